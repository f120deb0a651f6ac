"""What a credential is worth at this moment (RFC 7662), found out as if it had been used."""

from __future__ import annotations

import json
from typing import Any

from authsvc.flows import sessions
from authsvc.flows.authentication import authenticate, genuine_key
from authsvc.flows.core import Core
from authsvc.primitives import apikeys, refresh
from authsvc.problems import Problem

REFUSED = frozenset({"invalid_token", "token_expired"})
INACTIVE = {"active": False}
COPIED = ("iss", "aud", "sub", "iat", "exp", "jti", "sid", "auth_time", "amr", "acr", "roles", "email", "email_verified")


def introspect(core: Core, token: str) -> dict[str, Any]:
    """The members of an active credential; of any other, whatever is wrong with it, that it is not active."""
    look = _refresh_token if token.startswith(refresh.PREFIX) else _key if token.startswith(apikeys.PREFIX) else _access_token
    try:
        return {"active": True, **look(core, token)}
    except Problem as problem:
        if problem.code not in REFUSED:
            raise
        return INACTIVE


def _access_token(core: Core, token: str) -> dict[str, Any]:
    claims = authenticate(core, token).claims
    own = {claim.name: claims.get(claim.name) for claim in core.settings.claims}
    copied = {name: claims[name] for name in COPIED if name in claims}
    return own | copied | {"token_type": "Bearer", "scope": " ".join(claims["caps"]), "username": claims["email"]}


def _key(core: Core, token: str) -> dict[str, Any]:
    row = genuine_key(core, token)
    members = {"token_type": "api_key", "iss": core.settings.issuer, "sub": row.id, "iat": row.created_at // 1000}
    expires = {"exp": row.expires_at // 1000} if row.expires_at is not None else {}
    return members | expires | {"scope": " ".join(row.granted), "username": row.name, "networks": json.loads(row.networks)}


def _refresh_token(core: Core, token: str) -> dict[str, Any]:
    """Only the newest of its session: the one before is good for one answer that was lost, and not a credential."""
    parsed, session, user = sessions.genuine(core, token)
    sessions.refuse_over(core, session, user, core.world.now())
    if parsed.counter != session.counter:
        raise Problem("invalid_token")
    idle_until = session.last_seen_at + core.settings.refresh_seconds * 1000
    return {
        "token_type": "refresh_token",
        "iss": core.settings.issuer,
        "sub": user.id,
        "sid": session.id,
        "iat": session.rotated_at // 1000,
        "exp": min(session.expires_at, idle_until) // 1000,
        "username": user.email or None,
    }
