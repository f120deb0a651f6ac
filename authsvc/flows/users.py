"""Accounts as their callers see them, and the acts that change them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.primitives import ids, times
from authsvc.primitives.emails import Email
from authsvc.problems import Problem, invalid
from authsvc.rules.access import ADMIN, EVERYTHING, USER, Authority, demand_cover, demand_outranks
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, DISABLED, User

timestamp = times.timestamp


@dataclass(frozen=True, slots=True)
class Account:
    """An account with the roles granted to it, and the caps that these give."""

    user: User
    roles: Sequence[str]
    caps: Sequence[str]

    @property
    def all_roles(self) -> list[str]:
        """The granted roles and the one that everybody has."""
        return sorted({*self.roles, USER})


@dataclass(frozen=True, slots=True)
class NewUser:
    """What an account begins with. `verified`: it is known that the address is its owner's."""

    email: Email
    name: str | None = None
    phone_number: str | None = None
    locale: str | None = None
    metadata: Mapping[str, Any] | None = None
    roles: Sequence[str] = ()
    picture: str | None = None
    app_metadata: Mapping[str, Any] | None = None
    verified: bool = False
    status: str = ACTIVE


def public(user: User, roles: Sequence[str], caps: Sequence[str]) -> dict[str, Any]:
    """The User object of the contract. Hashes and secrets are not among its members."""
    return {
        "id": user.id,
        "email": user.email or None,
        "email_verified": user.email_verified_at is not None,
        "phone_number": user.phone_number,
        "phone_number_verified": user.phone_verified_at is not None,
        "name": user.name,
        "picture": user.picture,
        "locale": user.locale,
        "status": user.status,
        "roles": roles,
        "caps": caps,
        "mfa_enabled": bool(user.mfa_enabled),
        "has_password": user.password_hash is not None,
        "metadata": json.loads(user.metadata) if user.metadata != "{}" else {},
        "app_metadata": json.loads(user.app_metadata) if user.app_metadata != "{}" else {},
        "created_at": timestamp(user.created_at),
        "updated_at": timestamp(user.updated_at),
        "last_login_at": timestamp(user.last_login_at),
    }


def insert(tx: Tx, core: Core, new: NewUser, password_hash: str | None) -> User:
    """Add the account inside a write block; raises email_taken. Recording the event is the caller's, and so is whether it
    may be made at all: what strangers ask for goes through flows/signup.py."""
    now = core.world.now()
    user = User(
        id=ids.new(ids.USER, core.world),
        email=new.email.address,
        email_key=new.email.key,
        email_verified_at=now if new.verified else None,
        phone_number=new.phone_number,
        phone_verified_at=None,
        name=new.name,
        picture=new.picture,
        locale=new.locale,
        status=new.status,
        password_hash=password_hash,
        generation=1,
        version=1,
        metadata=packed(new.metadata or {}),
        app_metadata=packed(new.app_metadata or {}),
        created_at=now,
        updated_at=now,
        last_login_at=None,
        familiar_since=0,
        mfa_enabled=0,
    )
    if not tx.users.add(user):
        raise Problem("email_taken")
    if new.roles:
        tx.users.set_roles(user.id, new.roles, now)
    return user


def packed(value: Mapping[str, Any]) -> str:
    """An object as a column holds it."""
    return json.dumps(value, separators=(",", ":"))


def etag(user: User) -> str:
    """The strong validator of an account's representation (RFC 9110 section 8.8.3)."""
    return f'"{user.version}.{user.generation}.{user.last_login_at or 0}"'


def account_of(tx: Tx, user: User) -> Account:
    """The account as it stands, inside a block."""
    roles = tx.users.roles(user.id)
    return Account(user, roles, tx.roles.caps_of(roles))


def find(core: Core, user_id: str) -> Account:
    """An account by its id; raises not_found."""
    with core.store.read() as tx:
        return account_of(tx, existing(tx, user_id))


def find_outranked(core: Core, user_id: str, cause: Cause, authority: Authority) -> User:
    """An account to act on; raises not_found, or forbidden for one that may do what its actor may not."""
    with core.store.read() as tx:
        return outranked(tx, user_id, cause, authority)


def find_by_email(core: Core, email: Email) -> Account | None:
    with core.store.read() as tx:
        user = tx.users.by_email(email.key)
        return account_of(tx, user) if user else None


def every(core: Core) -> Iterable[Account]:
    """All accounts in the order of their making, read a page at a time so that no read is long."""
    after = ""
    while True:
        with core.store.read() as tx:
            page = [account_of(tx, user) for user in tx.users.page(after=after, limit=500)]
        yield from page
        if not page:
            return
        after = page[-1].user.id


def set_status(core: Core, user_id: str, status: str, cause: Cause) -> Account:
    """Disable an account, which ends its sessions at once, or enable it again."""
    with core.store.write() as tx:
        user = put_status(tx, core, existing(tx, user_id), status, cause)
        return account_of(tx, user)


def put_status(tx: Tx, core: Core, user: User, status: str, cause: Cause) -> User:
    """The same inside a write block."""
    if user.status == status:
        return user
    if status == DISABLED:
        keep_an_admin(tx, user.id)
    now = core.world.now()
    tx.users.change(user.id, now, status=status)
    changed = tx.users.outdate(user.id)
    tx.sessions.end_all(user.id, now)
    event = events.USER_DISABLED if status == DISABLED else events.USER_UPDATED
    tx.events.record(event, cause, subject=user.id, data={"fields": ["status"]})
    return changed


def change_roles(core: Core, user_id: str, cause: Cause, *, grant: Iterable[str] = (), ungrant: Iterable[str] = ()) -> Account:
    """Grant and take away roles. It counts at once: access tokens made before are refused."""
    grant, ungrant = set(grant), set(ungrant)
    with core.store.write() as tx:
        refuse_unknown_roles(tx, grant)
        user = existing(tx, user_id)
        return put_roles(tx, core, user, ({*tx.users.roles(user_id)} | grant) - ungrant, cause, EVERYTHING)


def put_roles(tx: Tx, core: Core, user: User, roles: Iterable[str], cause: Cause, authority: Authority) -> Account:
    """Inside a write block: let the account have exactly these. What is granted and what is taken away must be the
    granter's own."""
    before, after = tx.users.roles(user.id), sorted({*roles} - {USER})
    if after == before:
        return account_of(tx, user)
    refuse_unknown_roles(tx, {*after} - {*before}, field="roles")
    demand_cover(authority, tx.roles.caps_of({*before} ^ {*after}))
    if ADMIN in before and ADMIN not in after:
        keep_an_admin(tx, user.id)
    tx.users.set_roles(user.id, after, core.world.now())
    tx.events.record(events.ROLE_CHANGED, cause, subject=user.id, data={"before": before, "after": after})
    return account_of(tx, tx.users.outdate(user.id))


def refuse_unknown_roles(tx: Tx, roles: Iterable[str], *, field: str | None = None) -> None:
    """Raise for a role that does not exist: not_found, or a fault of the field that names it."""
    unknown = tx.roles.unknown(roles)
    if unknown and field:
        raise invalid(field, "not_allowed", f"There is no role {unknown[0]!r}.")
    if unknown:
        raise Problem("not_found", f"There is no role {unknown[0]!r}.")


def keep_an_admin(tx: Tx, user_id: str) -> None:
    """Raise where this would take away the last active admin. In the same block as the change, so two cannot race."""
    if ADMIN in tx.users.roles(user_id) and not tx.users.others_with(ADMIN, user_id):
        raise Problem("conflict", "This is the last admin.")


def existing(tx: Tx, user_id: str) -> User:
    """The account, inside a block; raises not_found."""
    user = tx.users.get(user_id)
    if user is None:
        raise Problem("not_found", f"There is no account {user_id}.")
    return user


def outranked(tx: Tx, user_id: str, cause: Cause, authority: Authority) -> User:
    """The account that somebody is about to act on: their own, or one that may do nothing that they may not."""
    user = existing(tx, user_id)
    if cause.actor_id != user_id:
        demand_outranks(authority, tx.roles.caps_of(tx.users.roles(user_id)))
    return user
