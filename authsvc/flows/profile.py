"""What is set of an account: by its owner, or by an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses
from authsvc.flows.core import Core
from authsvc.flows.users import Account, etag, outranked, packed, put_roles, put_status
from authsvc.http import etags
from authsvc.primitives.emails import Email
from authsvc.problems import Problem, invalid
from authsvc.rules.access import Authority
from authsvc.store.tx import Tx
from authsvc.store.users import User

OBJECTS = frozenset({"metadata", "app_metadata"})


def change(
    core: Core,
    user_id: str,
    values: Mapping[str, Any],
    cause: Cause,
    authority: Authority,
    *,
    if_match: str | None,
    locale: str | None = None,
) -> Account:
    """Set some fields; absent ones stay. One's own new e-mail address has to be proved first, another's changes at once.

    Who may set `status`, `roles` and the like at all is the route's business. `if_match`: ETags, comma-separated, or None
    for any.
    """
    with core.store.write() as tx:
        user = outranked(tx, user_id, cause, authority)
        if if_match is not None and not etags.matches(if_match, etag(user)):
            raise Problem("precondition_failed")
        user, changed = _put_email(tx, core, user, values, cause, locale)
        changed |= _put_columns(tx, core, user, values)
        if changed:
            tx.events.record(events.USER_UPDATED, cause, subject=user_id, data={"fields": sorted(changed)})
        if "status" in values:
            put_status(tx, core, user, values["status"], cause)
        if "roles" in values:
            put_roles(tx, core, user, values["roles"], cause, authority)
        return Account(tx.users.get(user_id) or user, tx.users.roles(user_id))


def _put_email(tx: Tx, core: Core, user: User, values: Mapping[str, Any], cause: Cause, locale: str | None) -> tuple[User, set[str]]:
    """The account, and the fields that changed."""
    email: Email | None = values.get("email")
    if email is None or email.address == user.email:
        return user, set()
    if cause.actor_id == user.id:
        addresses.ask_to_change(tx, core, user, email, cause, locale=locale)
        return user, set()
    return addresses.replace(tx, core, user, email, cause), {"email"}


def _put_columns(tx: Tx, core: Core, user: User, values: Mapping[str, Any]) -> set[str]:
    """Everything that is no more than a column; the fields that were set."""
    now = core.world.now()
    given = {name: value for name, value in values.items() if name not in ("email", "status", "roles")}
    columns = {name: packed(value) if name in OBJECTS else value for name, value in given.items()}
    number = columns.get("phone_number", user.phone_number)
    proved = columns.pop("phone_number_verified", None)
    if "email_verified" in columns:
        columns["email_verified_at"] = (user.email_verified_at or now) if columns.pop("email_verified") else None
    if number != user.phone_number or proved is False:
        columns["phone_verified_at"] = None  # it is theirs once a code that went there came back, or an administrator says so
    if columns:
        tx.users.change(user.id, now, **columns)
    if proved:
        _prove_number(tx, user.id, number, now)
    return set(given)


def _prove_number(tx: Tx, user_id: str, number: str | None, now: int) -> None:
    if number is None:
        raise invalid("phone_number_verified", "not_allowed", "The account has no phone number.")
    if not tx.users.take_phone(user_id, number, now):
        raise Problem("conflict", "The number belongs to another account.")
