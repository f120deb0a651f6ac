"""/token/refresh and /token/revoke."""

from __future__ import annotations

from authsvc.flows import sessions
from authsvc.flows.core import Core
from authsvc.handlers.answers import cleared_cookies, token_response
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, raw
from authsvc.primitives.jwts import MAX_BYTES
from authsvc.problems import Problem

_token = raw(most=MAX_BYTES).about(example="rt_…")
REFRESH = Shape({"refresh_token": Field(_token)})
REVOKE = Shape(
    {
        "token": Field(_token),
        "token_type_hint": Field(raw(most=100)),  # RFC 7009; a token shows its kind itself
        "refresh_token": Field(_token),
    },
    lenient=True,
)


def presented(core: Core, request: Request) -> str | None:
    """The credential that a token endpoint works on: of the header, else the body, else the cookies. The header of a service
    that calls for an end user is its own."""
    in_body = request.body.get("refresh_token") or request.body.get("token")
    if request.forwarder is not None:
        return in_body
    token = request.bearer() or in_body
    if token is None:
        token = request.cookie(core.cookies.refresh.name) or request.cookie(core.cookies.access.name)
        request.by_cookie = token is not None
    return token


def refresh(core: Core, request: Request) -> Response:
    if request.token is None:
        raise Problem("unauthenticated", "Send a refresh token: by cookie, as the bearer, or as `refresh_token`.")
    return token_response(core, sessions.rotate(core, request.token, request.cause), cookies=request.by_cookie)


def revoke(core: Core, request: Request) -> Response:
    access = request.cookie(core.cookies.access.name) if request.by_cookie else None  # one of the two may be stale
    for token in {request.token, access} - {None}:
        sessions.revoke_by_token(core, str(token), request.cause)
    return answer({"status": "revoked"}, headers=cleared_cookies(core))
