"""Putting letters into the outbox, in the same transaction as their cause. Rendering and sending is delivery's business."""

from __future__ import annotations

from typing import Any

from authsvc.events import Cause
from authsvc.flows import limits
from authsvc.flows.core import Core
from authsvc.rules.devices import describe
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import User


def may_ask(tx: Tx, core: Core, email_key: str, cause: Cause) -> bool:
    """Whether one more mail may be sent to this address because somebody asked for it; charged, and on record if not."""
    return limits.may(tx, core, "mail_address", email_key, cause)


def add(tx: Tx, letter: str, to: str, user: User | None, *, locale: str | None, challenge: Challenge | None = None, **facts: Any) -> None:
    """One letter to one address. `facts` are placeholders of the letter that are known now, and not secret."""
    if not to:  # an account that has only a phone number
        return
    chosen = (user.locale if user else None) or locale
    tx.outbox.add_letter(letter, to, chosen, facts, ref=challenge.id if challenge else None, user_id=user.id if user else None)


def notify(tx: Tx, core: Core, letter: str, user: User, cause: Cause, **more: Any) -> None:
    """Tell the owner of what was done to their account, when and from where."""
    facts: dict[str, Any] = {"when": core.world.now(), "device": describe(cause.user_agent), "ip": cause.ip or "-", **more}
    add(tx, letter, user.email, user, locale=None, challenge=None, **facts)
