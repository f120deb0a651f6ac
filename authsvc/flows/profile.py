"""What is set of an account: by its owner, or by an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses
from authsvc.flows.core import Core
from authsvc.flows.users import Account, account_of, etag, outranked, packed, put_roles, put_status
from authsvc.http import etags
from authsvc.problems import Problem, invalid
from authsvc.rules.access import Authority
from authsvc.store.tx import Tx
from authsvc.store.users import User

OBJECTS = frozenset({"metadata", "app_metadata"})
APART = frozenset({"email", "status", "roles"})  # whose change brings more about


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
    own, email = cause.actor_id == user_id, values.get("email")
    with core.store.write() as tx:
        user = outranked(tx, user_id, cause, authority)
        if if_match is not None and not etags.matches(if_match, etag(user)):
            raise Problem("precondition_failed")
        fields = _plain(values)
        if not own and email is not None and email.address != user.email:
            user = addresses.replace(tx, core, user, email, cause)
            fields.add("email")
        user = _put_columns(tx, core, user, values)
        if fields:
            tx.events.record(events.USER_UPDATED, cause, subject=user_id, data={"fields": sorted(fields)})
        if own and email is not None:
            addresses.ask_to_change(tx, core, user, email, cause, locale=locale)
        if "status" in values:
            user = put_status(tx, core, user, values["status"], cause)
        if "roles" in values:
            return put_roles(tx, core, user, values["roles"], cause, authority)
        return account_of(tx, user)


def _plain(values: Mapping[str, Any]) -> set[str]:
    """The fields that are no more than columns."""
    return {name for name in values if name not in APART}


def _put_columns(tx: Tx, core: Core, user: User, values: Mapping[str, Any]) -> User:
    now = core.world.now()
    columns = {name: packed(values[name]) if name in OBJECTS else values[name] for name in _plain(values)}
    number = columns.get("phone_number", user.phone_number)
    proved = columns.pop("phone_number_verified", None)
    if "email_verified" in columns:
        columns["email_verified_at"] = (user.email_verified_at or now) if columns.pop("email_verified") else None
    if number != user.phone_number or proved is False:
        columns["phone_verified_at"] = None  # it is theirs once a code that went there came back, or an administrator says so
    changed = tx.users.change(user.id, now, **columns) if columns else user
    if not proved:
        return changed
    _prove_number(tx, user.id, number, now)
    return tx.users.get(user.id) or changed


def _prove_number(tx: Tx, user_id: str, number: str | None, now: int) -> None:
    if number is None:
        raise invalid("phone_number_verified", "not_allowed", "The account has no phone number.")
    if not tx.users.take_phone(user_id, number, now):
        raise Problem("conflict", "The number belongs to another account.")
