"""Deleting an account: everything of it goes, and out of the trail all that is personal."""

from __future__ import annotations

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import letters
from authsvc.flows.core import Core
from authsvc.flows.signup import PHONE_KEY
from authsvc.flows.users import keep_an_admin, outranked
from authsvc.rules.access import Authority
from authsvc.store import erasures
from authsvc.store.tx import Tx
from authsvc.store.users import User


def delete(core: Core, user_id: str, cause: Cause, authority: Authority) -> None:
    """Remove an account and all that hangs on it, and say goodbye to its address. Never the last admin."""
    with core.store.write() as tx:
        user = outranked(tx, user_id, cause, authority)
        keep_an_admin(tx, user_id)
        letters.add(tx, "goodbye", user.email, None, locale=user.locale, when=core.world.now())
        remove(tx, core, user, cause)


def remove(tx: Tx, core: Core, user: User, cause: Cause, *, reason: str | None = None) -> None:
    """The same inside a write block, without asking and without a word."""
    tx.challenges.forget(user.email_key)
    if user.phone_verified_at is not None:
        tx.challenges.forget(f"{PHONE_KEY}{user.phone_number}")
    tx.users.delete(user.id)
    tx.events.record(events.USER_DELETED, cause, subject=user.id, data={"reason": reason} if reason else {})
    erasures.begin(tx, user.id, core.world.now())
