"""Accounts and roles that come from elsewhere: judged one by one, then written in batches; never over what is here."""

from __future__ import annotations

import json
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from authsvc import events
from authsvc.events import Cause
from authsvc.factors import totp
from authsvc.flows.core import Core
from authsvc.flows.enrolment import NONCE_BYTES
from authsvc.flows.newcomers import Newcomer, NewFactor, NewIdentity, NewRole
from authsvc.flows.roles import MOST
from authsvc.flows.users import packed
from authsvc.primitives import ids
from authsvc.primitives.keyring import Key, Purpose, encode
from authsvc.problems import Problem
from authsvc.rules.access import USER
from authsvc.store import identities, roles
from authsvc.store.factors import Factor
from authsvc.store.tx import Tx
from authsvc.store.users import User

NEW, THERE = "new", "there"
FUTURE_MS = 86_400_000  # how far ahead of ours another system's clock may have been


class Conflict(Exception):
    """Raised for one that cannot be made beside what is here; the message says why."""


@dataclass(slots=True)
class Judge:
    """Looks at what a file holds before anything is written: against what is here, and against what came before it in the file."""

    core: Core
    roles: set[str] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)

    def repeats(self, one: Newcomer | NewRole) -> str | None:
        """What of it another line had already. Every line is remembered by a few numbers, so that large files fit the memory."""
        for what, value in _unique(one):
            number = hash((what, value))
            if number in self._seen:
                return what
            self._seen.add(number)
        return None

    def unknown_roles(self, tx: Tx, one: Newcomer) -> list[str]:
        return [name for name in tx.roles.unknown(one.roles) if name not in self.roles]

    def too_late(self, one: Newcomer) -> bool:
        """Whether a time of it lies in the future, which no order of ids would survive."""
        times = (one.created_at, one.updated_at, one.last_login_at)
        return any(not 0 <= at <= self.core.world.now() + FUTURE_MS for at in times if at is not None)


class Written(NamedTuple):
    """What became of a batch: how many were made and how many were there, and by the number of their line those that could not be."""

    made: int
    there: int
    conflicts: list[tuple[int, str]]


def standing(tx: Tx, core: Core, one: Newcomer | NewRole, coming: Collection[str] = ()) -> str:
    """NEW, or THERE where an earlier run has made it; raises Conflict. `coming`: roles that are yet to be made."""
    return _standing_of_role(tx, one) if isinstance(one, NewRole) else _standing(tx, core, one, coming)


def write(core: Core, batch: Iterable[tuple[int, Newcomer | NewRole]], cause: Cause) -> Written:
    """Make these in one transaction, each wholly or not at all. Raises a Problem, and makes none, where a role cannot be made."""
    made, there, conflicts = 0, 0, []
    with core.store.write() as tx:
        for line, one in batch:
            try:
                if standing(tx, core, one) == THERE:
                    there += 1
                    continue
            except Conflict as conflict:
                if isinstance(one, NewRole):  # accounts of the file would get caps that it does not mean
                    raise Problem("conflict", reason=f"line {line}: {conflict}") from None
                conflicts.append((line, str(conflict)))
                continue
            _insert_role(tx, core, one, cause) if isinstance(one, NewRole) else _insert(tx, core, one, cause)
            made += 1
    return Written(made, there, conflicts)


def _standing_of_role(tx: Tx, one: NewRole) -> str:
    known = tx.roles.get(one.name)
    if known is None and len(tx.roles.every()) >= MOST:
        raise Conflict(f"there may be {MOST} roles")
    if known is not None and json.loads(known.caps) != sorted(set(one.caps)):
        raise Conflict(f"there is a role {one.name} with other caps")
    return NEW if known is None else THERE


def _standing(tx: Tx, core: Core, one: Newcomer, coming: Collection[str]) -> str:
    if any(tx.users.get(own) for own in _ids(core, one)):
        return THERE
    if tx.users.by_email(one.email.key):
        raise Conflict("its address has an account already")
    if one.phone_number and one.phone_number_verified and tx.users.by_phone(one.phone_number):
        raise Conflict("its phone number is another account's")
    if any(tx.identities.find(known.provider, known.realm, known.subject) for known in one.identities):
        raise Conflict("an identity of it is linked to another account")
    unknown = set(tx.roles.unknown(one.roles)) - set(coming)
    if unknown:
        raise Conflict(f"its role {min(unknown)} is not there")
    return NEW


def _ids(core: Core, one: Newcomer) -> list[str]:
    """The id that the file gives, or those that an earlier run may have given."""
    return [one.id] if one.id else [_settled(key, one) for key in core.keyring.every()]


def _settled(key: Key, one: Newcomer) -> str:
    """The id of an account that comes without one: the same each time, so that a file can be read in twice."""
    return ids.settled(ids.USER, one.created_at or 0, key.derive(Purpose.IMPORTED, one.email.key))


def _unique(one: Newcomer | NewRole) -> list[tuple[str, Hashable]]:
    """What only one of a file may have."""
    if isinstance(one, NewRole):
        return [("role", one.name)]
    found: list[tuple[str, Hashable]] = [("email", one.email.key)]
    found += [("id", one.id)] if one.id else []
    found += [("phone_number", one.phone_number)] if one.phone_number_verified else []
    return found + [("identity", (known.provider, known.realm, known.subject)) for known in one.identities]


def _insert_role(tx: Tx, core: Core, one: NewRole, cause: Cause) -> None:
    caps, now = sorted(set(one.caps)), core.world.now()
    tx.roles.put(roles.Role(one.name, one.description, json.dumps(caps, separators=(",", ":")), now, now))
    tx.events.record(events.ROLE_CREATED, cause, subject=one.name, data={"before": [], "after": caps, "imported": True})


def _insert(tx: Tx, core: Core, one: Newcomer, cause: Cause) -> None:
    now = core.world.now()
    created_at = now if one.created_at is None else one.created_at
    user = User(
        id=one.id or _settled(core.keyring.current, one),
        email=one.email.address,
        email_key=one.email.key,
        email_verified_at=created_at if one.email_verified else None,
        phone_number=one.phone_number,
        phone_verified_at=created_at if one.phone_number_verified else None,
        name=one.profile["name"],
        picture=one.profile["picture"],
        locale=one.profile["locale"],
        status=one.profile["status"],
        password_hash=one.password_hash,
        generation=1,
        version=1,
        metadata=packed(one.metadata),
        app_metadata=packed(one.app_metadata),
        created_at=created_at,
        updated_at=now if one.updated_at is None else one.updated_at,
        last_login_at=one.last_login_at,
        familiar_since=0,
        mfa_enabled=0,
    )
    tx.users.add(user)
    granted = sorted({*one.roles} - {USER})
    tx.users.set_roles(user.id, granted, now)
    for known in one.identities:
        tx.identities.add(_identity(core, user, known, created_at))
    for factor in one.factors:
        tx.factors.bring(_factor(core, user, factor))
    tx.events.record(events.USER_CREATED, cause, subject=user.id, data={"roles": granted, "imported": True})


def _identity(core: Core, user: User, known: NewIdentity, created_at: int) -> identities.Row:
    since = created_at if known.created_at is None else known.created_at
    return identities.Row(
        id=ids.new(ids.IDENTITY, core.world),
        user_id=user.id,
        provider=known.provider,
        realm=known.realm,
        subject=known.subject,
        email=known.email,
        email_verified=int(known.email_verified),
        created_at=since,
        last_used_at=since if known.last_used_at is None else known.last_used_at,
    )


def _factor(core: Core, user: User, one: NewFactor) -> Factor:
    now, key = core.world.now(), core.keyring.current
    made = Factor(
        id=ids.new(ids.FACTOR, core.world),
        kid=key.kid,
        user_id=user.id,
        type=one.type,
        label=one.label,
        target=one.phone_number,
        nonce=encode(core.world.random_bytes(NONCE_BYTES)),
        created_at=now if one.created_at is None else one.created_at,
        confirmed_at=now,
        last_step=0,
        last_used_at=one.last_used_at,
    )
    return made if one.secret is None else totp.adopted(key, made, one.secret)
