"""Answers that several handlers give: tokens, and the cookies that carry them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.http.etags import is_known
from authsvc.http.request import Request
from authsvc.http.response import PUBLIC, Headers, Response, answer
from authsvc.primitives import devices
from authsvc.problems import Fault
from authsvc.store.challenges import Challenge

NOT_MODIFIED = 304


def token_response(
    core: Core, tokens: Tokens, *, cookies: bool, status: int = 200, warnings: Sequence[Fault] = (), **more: Any
) -> Response:
    """RFC 6749 section 5.1, with the session and the user beside the tokens."""
    body = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
        "session_id": tokens.session.id,
        "user": tokens.user,
        **{name: value for name, value in more.items() if value is not None},
        **warned(warnings),
    }
    return answer(body, status, _set_cookies(core, tokens) if cookies else [])


def warned(warnings: Sequence[Fault]) -> dict[str, Any]:
    """`warnings`, where there are any."""
    listed = [{"code": fault.code, "field": fault.field, "detail": fault.detail} for fault in warnings]
    return {"warnings": listed} if listed else {}


def challenge_sent(core: Core, challenge: Challenge, headers: Headers | None = None, **more: str) -> Response:
    """202: if somebody is to get a mail, it is on its way. The same for all addresses."""
    left = -(-(challenge.expires_at - core.world.now()) // 1000)  # rounded up: what has just begun is whole
    return answer({"status": "sent", "challenge_id": challenge.id, "expires_in": left, **more}, 202, headers)


def published(request: Request, made: Response) -> Response:
    """An answer that is the same for everybody and every site, and for a while; 304 for who has it already."""
    made.security = PUBLIC
    tag = f'"{hashlib.sha256(made.body).hexdigest()[:32]}"'
    if is_known(request.header("IF_NONE_MATCH"), tag):
        made = Response(NOT_MODIFIED, security=PUBLIC)
    made.headers.append(("ETag", tag))
    return made


def cleared_cookies(core: Core) -> Headers:
    return [core.cookies.access.clear(), core.cookies.refresh.clear()]


def _set_cookies(core: Core, tokens: Tokens) -> Headers:
    return [
        core.cookies.access.set(tokens.access_token, tokens.expires_in),
        core.cookies.refresh.set(tokens.refresh_token, tokens.refresh_expires_in),
        core.cookies.device.set(devices.mint(core.keyring.current, tokens.session.user_id, core.world.now()), devices.SECONDS),
    ]
