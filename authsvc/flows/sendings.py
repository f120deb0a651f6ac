"""Sending the code of a factor by mail or SMS: one challenge, whose next code may be asked for after a while."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc import events
from authsvc.events import Cause
from authsvc.factors.kinds import BY_TYPE
from authsvc.flows import challenges, letters, texts
from authsvc.flows.core import Core
from authsvc.rules.challenges import EMAIL, FACTOR, KINDS, MAGIC, MOST_ATTEMPTS, SEND_SECONDS, SMS, SMS_SECONDS
from authsvc.store.challenges import Challenge
from authsvc.store.factors import Factor
from authsvc.store.tx import Tx
from authsvc.store.users import User


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a code went, and the challenge it belongs to."""

    challenge: Challenge
    channel: str


def send(tx: Tx, core: Core, factor: Factor, user: User, cause: Cause, *, locale: str | None) -> Sent:
    """Send a code of a factor."""
    channel = BY_TYPE[factor.type].channel or EMAIL
    made = challenges.of(core, FACTOR, channel, factor.target or user.email, factor.id, user)
    challenge = send_code(tx, core, made, user, cause, locale=locale)
    return Sent(challenge, channel)


def send_code(tx: Tx, core: Core, made: Challenge, user: User | None, cause: Cause, *, locale: str | None) -> Challenge:
    """Send the code of this challenge, or the next one of an open one like it, whose tries go on counting.

    Asked again too soon, or beyond a limit, the answer is the same and the last code goes on counting.
    """
    now = core.world.now()
    window = now - SEND_SECONDS * 1000
    ends = now + (SMS_SECONDS if made.channel == SMS else KINDS[made.purpose].seconds) * 1000
    known = tx.challenges.open_for(made.target_key, made.purpose, made.user_id, now)
    if known is not None and known.sent_at > window:
        return known
    if known is not None and known.attempts >= MOST_ATTEMPTS:
        tx.challenges.supersede(made.target_key, made.purpose, now)
        known = None
    may_send = _may_send(tx, core, made, cause)
    if known is None:
        challenge = made._replace(expires_at=ends)
        tx.challenges.add(challenge)
    elif may_send:
        challenge = tx.challenges.resend(known.id, not_since=window, expires_at=ends, now=now) or known
    else:
        return known
    if may_send:
        _post(tx, core, challenge, user, locale)
        tx.events.record(events.OTP_SENT, cause, subject=user.id if user else None, data={"channel": made.channel})
    return challenge


def _may_send(tx: Tx, core: Core, made: Challenge, cause: Cause) -> bool:
    if made.channel == SMS:
        return texts.may_send(tx, core, made.target, cause)
    return letters.may_ask(tx, core, made.target.casefold(), cause)


def _post(tx: Tx, core: Core, challenge: Challenge, user: User | None, locale: str | None) -> None:
    if challenge.channel == SMS:
        texts.add(tx, core, challenge.target, user, locale=locale, challenge=challenge)
    else:
        letter = "magic" if challenge.purpose == MAGIC.purpose else "code"
        letters.add(tx, letter, challenge.target, user, locale=locale, challenge=challenge)
