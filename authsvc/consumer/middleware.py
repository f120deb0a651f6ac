"""The guard before an application, for WSGI (PEP 3333) and ASGI 3: a good token's claims go along, any other is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any

from authsvc.consumer.claims import Claims, InvalidToken, Refusal
from authsvc.consumer.verifier import Verifier
from authsvc.http import cookies

CLAIMS = "authsvc.claims"  # where an application finds them: `environ["authsvc.claims"]`, `scope["authsvc.claims"]`

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class WsgiGuard:
    """`optional`: without a token the application is called, with no claims; a bad token is refused all the same. `cookie`:
    the name of the cookie that may hold the token instead of the Authorization header. A cookie is sent by any page that a
    browser shows: whoever takes one guards against forged requests, too."""

    def __init__(self, app: WsgiApp, verifier: Verifier, *, optional: bool = False, cookie: str | None = None) -> None:
        self._app = app
        self._verifier = verifier
        self._optional = optional
        self._cookie = cookie

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.pop(CLAIMS, None)
        try:
            token = token_of(environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_COOKIE"), self._cookie)
            if token is not None:
                environ[CLAIMS] = self._verifier.verify(token)
            elif not self._optional:
                raise InvalidToken("unauthenticated", "An access token is needed.")
            return self._app(environ, start_response)
        except Refusal as refusal:
            return _answer(refusal, start_response)


class AsgiGuard:
    """The same for ASGI. Keys may have to be fetched, so verifying runs beside the event loop."""

    def __init__(self, app: AsgiApp, verifier: Verifier, *, optional: bool = False, cookie: str | None = None) -> None:
        self._app = app
        self._verifier = verifier
        self._optional = optional
        self._cookie = cookie

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            if scope["type"] != "lifespan":
                raise RuntimeError(f"AsgiGuard guards http only, not {scope['type']}")
            await self._app(scope, receive, send)
            return
        scope = {name: value for name, value in scope.items() if name != CLAIMS}
        try:
            token = token_of(_header(scope, b"authorization", b","), _header(scope, b"cookie", b"; "), self._cookie)
            if token is not None:
                scope[CLAIMS] = await asyncio.to_thread(self._verifier.verify, token)
            elif not self._optional:
                raise InvalidToken("unauthenticated", "An access token is needed.")
        except Refusal as refusal:
            await _send(refusal, send)
            return
        await self._app(scope, receive, send)


def require(cap: str, claims: Claims | None) -> Claims:
    """The claims, where their holder has this cap. Raises InvalidToken or Insufficient, which a framework turns into an
    answer by `status` and `code`."""
    if claims is None:
        raise InvalidToken("unauthenticated", "An access token is needed.")
    claims.demand(cap)
    return claims


def token_of(authorization: str | None, cookie_header: str | None, cookie: str | None) -> str | None:
    """The token of a request; where it has both, the header counts. Raises InvalidToken for what can be read in two ways."""
    if authorization is not None:
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip() or "," in authorization:
            raise InvalidToken("invalid_token", "Send one Authorization header: Bearer and the token.")
        return token.strip()
    found = cookies.find(cookie_header, cookie) if cookie and cookie_header else []
    if len(found) > 1:
        raise InvalidToken("invalid_token", "The cookie was sent twice.")
    return found[0] if found else None


def _all_headers(refusal: Refusal, body: bytes) -> list[tuple[str, str]]:
    own = {"Content-Type": "application/problem+json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return [*own.items(), *refusal.headers.items()]


def _answer(refusal: Refusal, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps(refusal.problem).encode()
    start_response(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", _all_headers(refusal, body))
    return [body]


async def _send(refusal: Refusal, send: Any) -> None:
    body = json.dumps(refusal.problem).encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in _all_headers(refusal, body)]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Any, name: bytes, between: bytes) -> str | None:
    found = [value for header, value in scope["headers"] if header == name]
    return between.join(found).decode("latin-1") if found else None
