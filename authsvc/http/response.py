"""Answers: JSON, nothing, a problem (RFC 9457), or a stream of bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from authsvc.problems import Problem

JSON = "application/json"
PROBLEM = "application/problem+json"
NO_CONTENT = 204

Headers = list[tuple[str, str]]
# On every answer that is data. Pages and static files have their own.
API_SECURITY: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Vary", "Origin"),
]
# The same, where the form of the data depends on what is accepted.
NEGOTIATED: Headers = [*API_SECURITY[:-1], ("Vary", "Accept, Origin")]
# What is the same for all and no secret: any site may read it, with nobody's cookies, and caches may keep it.
PUBLIC_SECONDS = 300
PUBLIC: Headers = [
    *API_SECURITY[:2],
    ("Cache-Control", f"public, max-age={PUBLIC_SECONDS}"),
    API_SECURITY[3],
    ("Access-Control-Allow-Origin", "*"),
]
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(slots=True)
class Response:
    """A status, a body and headers. Length, security headers and cookies of failure are wsgi.py's business. `stream` takes
    the place of the body where nobody knows how long it gets; it is closed in the end."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: Headers = field(default_factory=list)
    value: Any = None  # what the JSON says, for the page that says it to a person
    security: Headers = field(default_factory=lambda: API_SECURITY)
    stream: Iterator[bytes] | None = None


# Compact JSON; one encoder, since making one costs as much as using it.
dumps = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def answer(value: Any, status: int = 200, headers: Headers | None = None) -> Response:
    """A JSON answer."""
    return Response(status, _encoded(value), JSON, headers or [], value)


def nothing(headers: Headers | None = None) -> Response:
    """204: done, and nothing to say."""
    return Response(NO_CONTENT, headers=headers or [])


class Streamed:
    """The body of a streamed answer, as a WSGI host takes it: `failed` is told of what goes wrong on the way, `ended` once
    that it is over, read to its end or not. What went wrong is raised again, so that the host breaks the connection off:
    a stream that ended too early must not look whole."""

    def __init__(self, chunks: Iterator[bytes], failed: Callable[[], None], ended: Callable[[], None]) -> None:
        self._chunks = chunks
        self._failed = failed
        self._ended: Callable[[], None] | None = ended

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except Exception:
            self._failed()
            raise

    def close(self) -> None:
        """Called by the host (PEP 3333), also when the client has gone."""
        ended, self._ended = self._ended, None
        if ended:
            close = getattr(self._chunks, "close", None)
            if close:
                close()
            ended()


def see_other(location: str, headers: Headers | None = None) -> Response:
    """303: a browser goes on by GET (RFC 9110 section 15.4.4)."""
    return Response(303, content_type="text/plain", headers=[("Location", location), *(headers or [])])


def found(location: str, headers: Headers | None = None, value: Any = None) -> Response:
    """302: to another site, and what a program would get that follows none (RFC 9110 section 15.4.3)."""
    return Response(302, b"", "text/plain", [("Location", location), *(headers or [])], value)


def refusal(problem: Problem, base_url: str, request_id: str) -> Response:
    """A problem as its caller sees it."""
    members: dict[str, Any] = {
        "type": f"{base_url}/problems/{problem.code}",
        "title": problem.kind.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
        **problem.members,
    }
    headers = list(problem.headers)
    if problem.errors:
        members["errors"] = [{"field": f.field, "code": f.code, "detail": f.detail} for f in problem.errors]
    if problem.retry_after is not None:
        members["retry_after"] = problem.retry_after
        headers.append(("Retry-After", str(problem.retry_after)))
    if problem.status == 401:
        headers.append(("WWW-Authenticate", challenge(problem.code)))
    return Response(problem.status, _encoded(members), PROBLEM, headers)


def _encoded(value: Any) -> bytes:
    """UTF-8. A lone surrogate, which only a hostile field name can bring here, becomes the JSON escape that it was."""
    return dumps(value).encode("utf-8", "backslashreplace")


def challenge(code: str) -> str:
    """RFC 6750 section 3; an error code only where a token was shown. Step-up is RFC 9470."""
    errors = {
        "invalid_token": 'error="invalid_token"',
        "token_expired": 'error="invalid_token", error_description="expired"',
        "reauthentication_required": 'error="insufficient_user_authentication", max_age="900"',
    }
    return 'Bearer realm="authsvc"' + (f", {errors[code]}" if code in errors else "")
