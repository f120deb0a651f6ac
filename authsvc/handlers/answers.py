"""Answers that several handlers give: tokens, and the cookies that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.http.response import Headers, Response, answer
from authsvc.problems import Fault


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
    }
    if warnings:
        body["warnings"] = [{"code": fault.code, "field": fault.field, "detail": fault.detail} for fault in warnings]
    return answer(body, status, _set_cookies(core, tokens) if cookies else [])


def cleared_cookies(core: Core) -> Headers:
    return [core.access_cookie.clear(), core.refresh_cookie.clear()]


def _set_cookies(core: Core, tokens: Tokens) -> Headers:
    return [
        core.access_cookie.set(tokens.access_token, tokens.expires_in),
        core.refresh_cookie.set(tokens.refresh_token, tokens.refresh_expires_in),
    ]
