"""Forgotten passwords: a link to the mailbox, and a new password for whoever holds it."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses, challenges, letters, passwords
from authsvc.flows.core import Core
from authsvc.primitives.emails import Email
from authsvc.problems import Fault, Problem
from authsvc.rules.challenges import RESET
from authsvc.store.challenges import Challenge
from authsvc.store.users import ACTIVE, User


def ask(core: Core, email: Email, cause: Cause, *, locale: str | None) -> None:
    """Mail a link to the address if it has an account; nobody is told whether."""
    with core.store.write() as tx:
        user = tx.users.by_email(email.key)
        challenges.ask(tx, core, RESET, "reset", email, user, cause, locale=locale)
        tx.events.record(events.PASSWORD_RESET_REQUESTED, cause.labelled(email.address), subject=user.id if user else None)


def usable(core: Core, challenge: Challenge) -> User:
    """The account whose password the link can set; raises link_invalid. Spends nothing."""
    with core.store.read() as tx:
        user = tx.users.get(challenge.user_id or "")
    if user is None or user.email_key != challenge.target_key or user.status != ACTIVE:
        raise Problem("link_invalid")
    return user


def reset(core: Core, challenge: Challenge, password: str, cause: Cause) -> Sequence[Fault]:
    """Set the password. All sessions and all links that let somebody in end; a second factor stands. The warnings."""
    user = usable(core, challenge)
    warnings = passwords.accept(core, password, (user.email, user.name))
    encoded = core.hasher.hash(password)
    now = core.world.now()
    with core.store.write() as tx:
        challenges.spend(tx, core, challenge)
        current = tx.users.get(user.id)
        if current is None or current.email_key != challenge.target_key or current.status != ACTIVE:
            raise Problem("link_invalid")
        about = cause.by_user(user.id, user.email)
        if challenges.data_of(challenge).get("vouched"):  # who made the account is no squatter: what was set up stays
            current = tx.users.change(user.id, now, email_verified_at=current.email_verified_at or now)
        current = addresses.prove(tx, core, current, about)
        tx.users.change(user.id, now, password_hash=encoded)
        tx.users.outdate(user.id)
        tx.sessions.end_all(user.id, now)
        addresses.end_ways_in(tx, current, now)
        tx.events.record(events.PASSWORD_RESET, about, subject=user.id)
        letters.notify(tx, core, "password_changed", current, cause)
    return warnings
