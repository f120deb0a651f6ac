"""From a credential to the caller: an access token of a live session and an active account, or an API key that counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.flows.sessions import AAL1, is_live
from authsvc.primitives import apikeys
from authsvc.problems import Problem
from authsvc.rules.access import ADMIN, Authority, Presented
from authsvc.rules.limits import Facts
from authsvc.store.keys import ApiKey
from authsvc.store.sessions import Session
from authsvc.store.users import ACTIVE, User

USE_MS = 60_000  # how exactly it is noted when a key was last used


class Caller(NamedTuple):
    """A user who is calling. The claims are as good as the store: a change of roles starts a new generation."""

    user: User
    session: Session
    claims: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.user.id

    @property
    def roles(self) -> list[str]:
        roles: list[str] = self.claims["roles"]
        return roles

    @property
    def caps(self) -> list[str]:
        caps: list[str] = self.claims["caps"]
        return caps

    @property
    def authority(self) -> Authority:
        return Authority(self.caps)

    def caused(self, cause: Cause) -> Cause:
        return cause.by_user(self.user.id, self.user.email, self.session.id)

    def facts(self, ip: str) -> Facts:
        return Facts(ip, self.user.email_key, self.session.id, device=self.session.id)


class KeyCaller(NamedTuple):
    """A service that is calling, by its API key."""

    key: ApiKey
    caps: Sequence[str]

    @property
    def id(self) -> str:
        return self.key.id

    @property
    def authority(self) -> Authority:
        return Authority(self.caps)

    def caused(self, cause: Cause) -> Cause:
        return cause.by_key(self.key.id, self.key.name)

    def facts(self, ip: str) -> Facts:
        return Facts(ip, None, self.key.id)


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


def authenticate_key(core: Core, text: str, ip: str) -> KeyCaller:
    """The caller whom an API key names, and a note that it was used; raises invalid_token or token_expired."""
    row, now = genuine_key(core, text), core.world.now()
    if not _is_within(ip, json.loads(row.networks)):
        raise Problem("invalid_token", "This key may not be used from here.")
    if row.last_used_at is None or not 0 <= now - row.last_used_at < USE_MS:
        with suppress(Problem), core.store.write() as tx:  # a store that cannot be written to can still be read by keys
            tx.keys.note_use(row.id, now)
    return KeyCaller(row, row.granted)


def genuine_key(core: Core, text: str) -> ApiKey:
    """The row of a key that we made and that still counts, wherever it comes from; raises invalid_token or token_expired."""
    token = apikeys.parse(text)
    if token is None:
        raise Problem("invalid_token")
    with core.store.read() as tx:
        row = tx.keys.get(token.key_id)
    secret = core.keyring.get(row.kid) if row else None
    if row is None or secret is None or not apikeys.is_genuine(token, secret):
        raise Problem("invalid_token")
    if row.revoked_at is not None:
        raise Problem("invalid_token", "The key was revoked.")
    if row.expires_at is not None and row.expires_at <= core.world.now():
        raise Problem("token_expired", "The key has run out.")
    return row


def presented(core: Core, caller: Caller | KeyCaller) -> Presented:
    """What a caller shows to the rules. A key proves each time anew whose it is."""
    if isinstance(caller, KeyCaller):
        return Presented(caller.id, caller.caps, core.world.now())
    session = caller.session
    lacks = core.settings.mfa != "optional" and session.acr == AAL1 and core.settings.wants_mfa(ADMIN in caller.roles)
    owes = bool(caller.user.mfa_enabled) and session.acr == AAL1
    return Presented(caller.user.id, caller.caps, session.auth_time, lacks, owes)


def _is_within(ip: str, networks: Sequence[str]) -> bool:
    if not networks:
        return True
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ip_network(network) for network in networks if ip_network(network).version == address.version)
