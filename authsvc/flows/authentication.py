"""From an access token to the caller: genuine, of the present generation, of a live session and an active account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from authsvc.flows.core import Core
from authsvc.flows.sessions import AAL1, is_live
from authsvc.problems import Problem
from authsvc.rules.access import ADMIN, Presented
from authsvc.store.sessions import Session
from authsvc.store.users import ACTIVE, User


class Caller(NamedTuple):
    """Who is calling. The claims are as good as the store: a change of roles starts a new generation."""

    user: User
    session: Session
    claims: Mapping[str, Any]

    @property
    def roles(self) -> list[str]:
        roles: list[str] = self.claims["roles"]
        return roles

    @property
    def caps(self) -> list[str]:
        caps: list[str] = self.claims["caps"]
        return caps


def authenticate(core: Core, token: str) -> Caller:
    """The caller whom an access token names; raises invalid_token or token_expired."""
    claims = core.tokens.verify(token)
    with core.store.read() as tx:
        found = tx.sessions.with_user(claims["sid"])
    if found is None:
        raise Problem("invalid_token", "The session has ended.")
    session, user = found
    current = user.status == ACTIVE and user.generation == claims["gen"] and user.id == claims["sub"]
    if not current or not is_live(core, session, core.world.now()):
        raise Problem("invalid_token", "The session has ended.")
    return Caller(user, session, claims)


def presented(core: Core, caller: Caller) -> Presented:
    """What a caller shows to the rules."""
    session = caller.session
    lacks = core.settings.mfa != "optional" and session.acr == AAL1 and core.settings.wants_mfa(ADMIN in caller.roles)
    owes = bool(caller.user.mfa_enabled) and session.acr == AAL1
    return Presented(caller.user.id, caller.caps, session.auth_time, lacks, owes)
