"""The one door through which strangers make accounts: is it open to them, and did somebody invite them?"""

from __future__ import annotations

from dataclasses import replace

from authsvc.flows import challenges, users
from authsvc.flows.core import Core
from authsvc.flows.users import NewUser
from authsvc.primitives.emails import Email
from authsvc.problems import Problem, invalid
from authsvc.rules import signup
from authsvc.rules.access import EVERYTHING, covers
from authsvc.rules.challenges import INVITE
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

DISPOSABLE = "Addresses of this domain are not taken. Use one that you keep."
PHONE_KEY = "tel:"  # RFC 3966; what stands for the address of an account that has only a number


def insert(tx: Tx, core: Core, new: NewUser, password_hash: str | None, *, invite: Challenge | None = None) -> User:
    """Add the account inside a write block; raises signup_closed, link_invalid for an invite that was used or taken back,
    or email_taken. An invite is used up: its link proves the mailbox, and the roles that were promised are granted."""
    refuse_uninvited(core, new.email, invite)
    if invite is not None:
        challenges.spend(tx, core, invite)
        new = replace(new, verified=True, roles=_promised(tx, invite, core.world.now()))
    return users.insert(tx, core, new, password_hash)


def invited(core: Core, token: str, email: Email) -> Challenge:
    """The open invite that a link token belongs to; raises link_invalid, or a fault where it was sent to another address."""
    invite = challenges.find(core, token, INVITE)
    if invite.target_key != email.key:
        raise invalid("email", "not_allowed", "The invite is for another address.")
    return invite


def refuse_uninvited(core: Core, email: Email, invite: Challenge | None = None) -> None:
    """Raise signup_closed, or what is wrong with the address, for whom the settings keep out; whether the address has an
    account plays no part."""
    if invite is None:
        refuse_disposable(core, email)
    if not is_open(core, email, invite):
        raise Problem("signup_closed")


def is_open(core: Core, email: Email, invite: Challenge | None = None) -> bool:
    key = email.key if email.address else None  # what else stands in its place proves nothing
    settings = core.settings
    return signup.is_open(settings.signup, settings.signup_domains, key, invited=invite is not None, disposable=is_disposable(core, email))


def closed(core: Core, email: Email) -> Problem:
    """The refusal of a way in that has no field for the address."""
    return Problem("signup_closed", DISPOSABLE if is_disposable(core, email) else None)


def refuse_disposable(core: Core, email: Email) -> None:
    """Raise for an address that its owner is about to throw away."""
    if is_disposable(core, email):
        raise invalid("email", "not_allowed", DISPOSABLE)


def is_disposable(core: Core, email: Email) -> bool:
    return bool(email.address) and core.settings.disposable_domains.has(email.key.rpartition("@")[2])


def _promised(tx: Tx, invite: Challenge, now: int) -> list[str]:
    """The roles that go with an invite; raises link_invalid where who promised them could not grant them any more."""
    noted = challenges.data_of(invite)
    roles: list[str] = noted["roles"]
    unknown = tx.roles.unknown(roles)
    roles = [role for role in roles if role not in unknown]
    if roles and not covers(_held(tx, noted["by_type"], noted["by"], now), tx.roles.caps_of(roles)):
        raise Problem("link_invalid")
    return roles


def _held(tx: Tx, kind: str, host_id: str, now: int) -> list[str]:
    """What somebody who invited may do now."""
    if kind == "key":
        key = tx.keys.get(host_id)
        return key.granted if key and key.is_live(now) else []
    host = tx.users.get(host_id) if kind == "user" else None
    if kind == "user" and (host is None or host.status != ACTIVE):
        return []
    return tx.roles.caps_of(tx.users.roles(host_id)) if kind == "user" else list(EVERYTHING.caps)
