"""One request, read once from the WSGI environ (PEP 3333)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from authsvc.http import cookies, tracing
from authsvc.http.body import FORM, media_type
from authsvc.problems import Problem, ambiguous

MAX_HEADER = 16_384

METHOD = "_method="

_UNCLEAN = re.compile(r"%2f|(?<!:)//|/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Request:
    """What a handler may know. `client` and everything below it is filled in as wsgi.py goes along."""

    __slots__ = (
        "body",
        "by_cookie",
        "caller",
        "captcha",
        "cause",
        "charged",
        "client",
        "environ",
        "forwarder",
        "given",
        "id",
        "limits",
        "method",
        "params",
        "query",
        "token",
        "trace",
    )

    def __init__(self, environ: Mapping[str, Any], request_id: str) -> None:
        self.environ = environ
        self.method = _method(environ)
        self.id = request_id
        parent = environ.get("HTTP_TRACEPARENT")
        self.trace = tracing.parse(parent) if parent else None
        self.client = ""
        self.params: Mapping[str, str] = {}
        self.given: dict[str, Any] = {}  # the body as it was sent, for a form that is shown again
        self.body: dict[str, Any] = {}
        self.query: dict[str, Any] = {}
        self.caller: Any = None
        self.cause: Any = None
        self.token: str | None = None
        self.by_cookie = False
        self.forwarder: Any = None  # the API key of a service that calls for an end user
        self.charged: list[Any] = []  # what the limits have left
        self.limits: list[tuple[str, str]] = []
        self.captcha: str | None = None  # the action that it had to bring one for

    @property
    def path(self) -> str:
        """The path below the mount point, decoded. Raises not_found for what is no UTF-8: no route is spelled so."""
        raw: str = self.environ.get("PATH_INFO", "")
        given = self.environ.get("REQUEST_URI") or self.environ.get("RAW_URI") or ""
        if _UNCLEAN.search(given.partition("?")[0]):  # the host has decoded or cleaned it, but it is no path of ours
            raise Problem("not_found")
        if raw.isascii():
            return raw
        try:
            return raw.encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise Problem("not_found") from None

    def header(self, name: str) -> str | None:
        """A header by its WSGI name without the prefix: `IF_MATCH`."""
        value: str | None = self.environ.get("HTTP_" + name)
        return value

    def user_agent(self) -> str | None:
        """What the client calls itself, cut to a size that can be kept; control characters never get through."""
        agent = self.header("USER_AGENT")
        if agent and not (agent.isascii() and agent.isprintable()):
            agent = re.sub(r"[^\x20-\x7e]", "?", agent)
        return agent[:256] if agent else None

    def bearer(self) -> str | None:
        """The token of the Authorization header (RFC 6750 section 2.1). Hosts join two such headers with a comma."""
        value = self.header("AUTHORIZATION")
        if value is None:
            return None
        scheme, _, token = value.strip().partition(" ")
        if "," in value:
            raise ambiguous("There is more than one Authorization header.")
        if scheme.lower() != "bearer":
            raise Problem("unauthenticated", "Use the Bearer scheme.")
        token = token.lstrip(" ")
        if not token or " " in token:
            raise Problem("invalid_token", "The bearer token is malformed.")
        return token

    def cookie(self, name: str) -> str | None:
        """The one cookie of this name. Two are ambiguous: a sibling domain may have planted one."""
        header = self.header("COOKIE")
        if not header:
            return None
        found = cookies.find(header, name)
        # Hosts join two Cookie headers with a comma, which none of our values has. Names are not looked for behind
        # one: there a foreign cookie's value could pass for a protected cookie of ours.
        if len(found) > 1 or (found and "," in found[0]):
            raise ambiguous("A cookie was sent twice.")
        return found[0] if found else None

    def query_values(self) -> dict[str, str]:
        """The query parameters. A repeated one is ambiguous."""
        raw = self.environ.get("QUERY_STRING", "")
        if raw.startswith(METHOD) and self.method != self.environ["REQUEST_METHOD"]:
            raw = raw.partition("&")[2]
        if not raw:
            return {}
        try:
            pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise ambiguous("The query string is malformed.") from None
        if len(dict(pairs)) != len(pairs):
            raise ambiguous("A query parameter was sent twice.")
        return dict(pairs)


def _method(environ: Mapping[str, Any]) -> str:
    """The method. A form can only POST: `?_method=PUT` or `DELETE` on its action says what it means."""
    method: str = environ["REQUEST_METHOD"]
    if method == "POST" and environ.get("QUERY_STRING", "").startswith(METHOD) and media_type(environ) == FORM:
        wanted = environ["QUERY_STRING"].removeprefix(METHOD).partition("&")[0]
        return wanted if wanted in ("PUT", "DELETE") else method
    return method


def request_id(environ: Mapping[str, Any], random_bytes: Callable[[int], bytes]) -> str:
    """The caller's own id where it is harmless, else a fresh one."""
    given: str | None = environ.get("HTTP_X_REQUEST_ID")
    return given if given and _REQUEST_ID.fullmatch(given) else random_bytes(12).hex()
