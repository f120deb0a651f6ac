"""Putting SMS into the outbox: never beyond what may be spent on a number, a network, a range or a day."""

from __future__ import annotations

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import limits
from authsvc.flows.core import Core
from authsvc.rules import phones
from authsvc.rules.limits import network
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import User

SMS = "sms"
SECONDS = 300  # an SMS that is late is of no use

# Charged in this order, dearest last: what one of them refuses costs nothing in those behind it.
LIMITS = ("sms_pace", "sms_number", "sms_number_day", "sms_network", "sms_prefix", "sms_day")
BREAKER_SENT = 50  # codes of one day to one range of numbers, from which on it matters how many were used
BREAKER_SHARE = 10  # per cent that must have been


def may_send(tx: Tx, core: Core, number: str, cause: Cause) -> bool:
    """Whether one more SMS may go to this number; charged, and on record if not."""
    barred = _barred(tx, core, number)
    if barred is not None:
        tx.events.record(events.LIMIT_HIT, cause, outcome="failure", data={"limit": barred})
        return False
    keys = {"sms_network": network(cause.ip or ""), "sms_prefix": phones.prefix(number), "sms_day": "all"}
    return all(limits.may(tx, core, name, keys.get(name, number), cause) for name in LIMITS)


def add(tx: Tx, core: Core, number: str, user: User | None, *, locale: str | None, challenge: Challenge) -> None:
    """One SMS with the code of a challenge."""
    payload = {"to": number, "locale": (user.locale if user else None) or locale}
    tx.outbox.add(SMS, number, payload, seconds=SECONDS, ref=challenge.id, user_id=user.id if user else None)
    tx.sms_counts.note(_day(core), phones.prefix(number), sent=1)


def note_verified(tx: Tx, core: Core, number: str) -> None:
    """A code that was sent there came back."""
    tx.sms_counts.note(_day(core), phones.prefix(number), verified=1)


def stats(core: Core) -> list[tuple[int, str, int, int]]:
    """Day (since the epoch), range of numbers, codes sent and used; the newest day first."""
    with core.store.read() as tx:
        return tx.sms_counts.every()


def _barred(tx: Tx, core: Core, number: str) -> str | None:
    """What keeps every SMS from such numbers, whoever asks."""
    settings = core.settings
    if settings.sms.scheme == "off" or not phones.is_allowed(number, settings.sms_countries):
        return "sms_countries"
    sent, verified = tx.sms_counts.of(_day(core), phones.prefix(number))
    if sent >= BREAKER_SENT and verified * 100 < sent * BREAKER_SHARE:
        return "sms_breaker"
    return None


def _day(core: Core) -> int:
    return core.world.now() // 86_400_000
