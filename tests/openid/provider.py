"""A real OpenID provider for tests that is not ours: oidc-provider in a Node process of its own, and somebody who signs in there."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPErrorProcessor, ProxyHandler, Request, build_opener

import pytest

from tests.node import modules

HERE = Path(__file__).parent
PATIENCE_SECONDS = 30.0
MOST_STEPS = 20  # a sign-in takes seven requests
CANCEL = "[ Cancel ]"


@dataclass
class OpenIdProvider:
    """A provider that is running. Its signing keys are its own: another one on the same port has others."""

    issuer: str
    accounts: list[dict[str, Any]]
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def set_accounts(self, accounts: Sequence[dict[str, Any]]) -> None:
        """From now on there are these; each is the claims about one, of which `sub` is also the login."""
        self.accounts = [dict(account) for account in accounts]
        self.tell({"accounts": self.accounts})

    def change(self, sub: str, **claims: Any) -> None:
        """From now on this is told of an account that there is; what is None is not told any more."""
        assert sub in {account["sub"] for account in self.accounts}, sub
        changed = [account | claims if account["sub"] == sub else account for account in self.accounts]
        self.set_accounts([{name: value for name, value in account.items() if value is not None} for account in changed])

    def tell(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give the process an order and wait until it is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        patience = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        patience.start()
        with suppress(BrokenPipeError):  # it has died, and the log says of what
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
        line = self.process.stdout.readline()
        patience.cancel()
        if not line:
            pytest.fail(f"the provider gave up:\n{self.said()}", pytrace=False)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def said(self) -> str:
        """What it has logged."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


@contextmanager
def provider_running(
    clients: Sequence[dict[str, Any]], accounts: Sequence[dict[str, Any]], *, port: int = 0, conform_id_token_claims: bool = False
) -> Iterator[OpenIdProvider]:
    """A provider with these clients (RFC 7591's metadata) and accounts (OpenID Connect's claims); stopped at the end.

    With `conform_id_token_claims` what email and profile ask for is told by userinfo only, not in the ID token too.
    """
    command = ["node", str(HERE / "provider.mjs")]
    options = {"port": port, "clients": list(clients), "conformIdTokenClaims": conform_id_token_claims}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, bufsize=0, cwd=modules(HERE, "oidc-provider"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            provider = OpenIdProvider("", [dict(account) for account in accounts], process, log)
            provider.issuer = provider.tell({**options, "accounts": provider.accounts})["issuer"]
            yield provider
        finally:
            process.kill()


def sign_in(authorize_url: str, login: str, *, deny: bool = False) -> str:
    """Go through the provider's pages with a fresh browser; where they lead in the end, which is not asked for.

    Fails when the provider shows an error; it does so (with status 500) for a login that is not among the accounts.
    """
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(), AsItComes)
    request = Request(authorize_url)
    for _ in range(MOST_STEPS):
        with browser.open(request, timeout=PATIENCE_SECONDS) as answer:
            status, location, html = answer.status, answer.headers["Location"], answer.read().decode()
        if location is None:
            assert status == 200, f"{login!r} gets {status} from {request.full_url}: {words(html)}"
            page = Page(request.full_url, html)
            request = page.cancelled() if deny else page.filled(login)
            assert origin(request.full_url) == origin(authorize_url), f"the page leads to {request.full_url}"
        elif origin(urljoin(request.full_url, location)) != origin(authorize_url):
            return location
        else:
            request = Request(urljoin(request.full_url, location))
    raise AssertionError(f"no end after {MOST_STEPS} requests, at {request.full_url}")


class AsItComes(HTTPErrorProcessor):
    """Redirects and errors are answers like any other."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        return response

    https_response = http_response


class Page(HTMLParser):
    """A page with one form and a link to cancel."""

    def __init__(self, url: str, html: str) -> None:
        super().__init__()
        self.url = url
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self._href: str | None = None
        self.feed(html)
        self.close()
        assert self.action is not None, f"no form at {url}: {words(html)}"

    def filled(self, login: str) -> Request:
        """The form sent off; the password is any."""
        typed = {name: value for name, value in {"login": login, "password": "any"}.items() if name in self.fields}
        return Request(urljoin(self.url, self.action), urlencode(self.fields | typed).encode())

    def cancelled(self) -> Request:
        return Request(urljoin(self.url, self.links[CANCEL]))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            assert self.action is None, "a second form"
            self.action = attributes["action"]
        elif tag == "input":
            self.fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "a":
            self._href = attributes["href"]

    def handle_data(self, data: str) -> None:
        if self._href is not None:
            self.links[data.strip()] = self._href

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._href = None


def words(html: str) -> str:
    """What a page says."""
    return " ".join(re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", html).split())


def origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
