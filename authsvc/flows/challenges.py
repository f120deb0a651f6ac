"""Links and codes: asked for, looked at, spent. Only here is a token of a mailed link believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import letters, limits
from authsvc.flows.core import Core
from authsvc.primitives import codes, ids, links
from authsvc.primitives.emails import Email
from authsvc.primitives.keyring import Key
from authsvc.problems import Problem
from authsvc.rules.challenges import CHANGE, EMAIL, KINDS, MOST_ATTEMPTS, Kind
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import User


def ask(
    tx: Tx, core: Core, kind: Kind, letter: str, email: Email, user: User | None, cause: Cause, *, locale: str | None, **data: Any
) -> Challenge:
    """A new challenge, and the letter that carries it. The same writes whether or not the address has an account.

    Where the address has had too many mails, nothing is sent, and the ones sent before go on counting.
    """
    may_send = letters.may_ask(tx, core, email.key, cause)
    if may_send and kind is not CHANGE:  # several accounts may wish for one address; each ends its own older wishes
        tx.challenges.supersede(email.key, kind.purpose, core.world.now())
    challenge = make(core, kind, email, user, **data)
    tx.challenges.add(challenge)
    if may_send:
        letters.add(tx, letter, email.address, user, locale=locale, challenge=challenge)
    return challenge


def make(core: Core, kind: Kind, email: Email, user: User | None, **data: Any) -> Challenge:
    """A challenge as it begins."""
    return of(core, kind, EMAIL, email.address, email.key, user, **data)


def of(core: Core, kind: Kind, channel: str, target: str, target_key: str, user: User | None, **data: Any) -> Challenge:
    """The same for any channel."""
    now = core.world.now()
    return Challenge(
        id=ids.new(ids.CHALLENGE, core.world),
        kid=core.keyring.current.kid,
        purpose=kind.purpose,
        user_id=user.id if user else None,
        channel=channel,
        target=target,
        target_key=target_key,
        data=json.dumps(data, separators=(",", ":")),
        created_at=now,
        expires_at=now + kind.seconds * 1000,
        used_at=None,
        sends=1,
        sent_at=now,
        attempts=0,
    )


def find(core: Core, text: str, *kinds: Kind) -> Challenge:
    """The open challenge that a link token of one of these kinds belongs to; raises link_invalid. Spends nothing."""
    found = genuine(core, text, *kinds)
    if found is None:
        raise Problem("link_invalid")
    return found[0]


def genuine(core: Core, text: str, *kinds: Kind) -> tuple[Challenge, Key] | None:
    """The same, with the key that the token was made with; None where there is no such challenge."""
    token = links.parse(text)
    challenge = get(core, token.challenge_id) if token else None
    key = core.keyring.get(challenge.kid) if challenge else None
    if token is None or challenge is None or key is None or not links.is_genuine(token, key, challenge.purpose):
        return None
    if challenge.purpose not in {kind.purpose for kind in kinds} or not is_open(challenge, core.world.now()):
        return None
    return challenge, key


def get(core: Core, challenge_id: str) -> Challenge | None:
    """What is on record of a challenge; nothing is proved by naming it."""
    with core.store.read() as tx:
        return tx.challenges.get(challenge_id)


def spend(tx: Tx, core: Core, challenge: Challenge) -> None:
    """Use it up, inside the block that does what it is for; raises link_invalid for all but the first."""
    if tx.challenges.spend(challenge.id, core.world.now()) is None:
        raise Problem("link_invalid")


def check_code(core: Core, challenge_id: str, code: str, cause: Cause) -> Challenge:
    """The challenge whose code this is. Each try is counted by the write that allows it, right or wrong."""
    with core.store.write() as tx:
        found, problem = _try(tx, core, challenge_id, code, cause)
        if problem is not None:
            about = cause.labelled(found.target) if found else cause
            data = {"reason": problem.code, "challenge_id": found.id if found else None}
            tx.events.record(events.OTP_FAILED, about, subject=found.user_id if found else None, outcome="failure", data=data)
    if found is None or problem is not None:
        raise problem or Problem("code_invalid")
    return found


def is_open(challenge: Challenge, now: int) -> bool:
    return challenge.used_at is None and challenge.expires_at > now


def data_of(challenge: Challenge) -> Mapping[str, Any]:
    """What was noted when it was asked for."""
    noted: dict[str, Any] = json.loads(challenge.data)
    return noted


def binding(core: Core, challenge: Challenge) -> str:
    """What the browser that asked keeps in its cookie."""
    key = core.keyring.get(challenge.kid)
    return links.bind(key, challenge.id) if key else ""


def is_bound(core: Core, challenge: Challenge, cookie: str | None) -> bool:
    """Whether this browser is the one that asked."""
    key = core.keyring.get(challenge.kid)
    return cookie is not None and key is not None and links.is_bound(cookie, key, challenge.id)


def _try(tx: Tx, core: Core, challenge_id: str, code: str, cause: Cause) -> tuple[Challenge | None, Problem | None]:
    now = core.world.now()
    counted = tx.challenges.try_code(challenge_id, MOST_ATTEMPTS, now)
    if counted is None:
        known = tx.challenges.get(challenge_id)
        return known, _why_not(known, now)
    if not may_try(tx, core, counted.target_key, cause.labelled(counted.target)):
        return counted, Problem("too_many_attempts")
    key = core.keyring.get(counted.kid)
    if key is None or not KINDS[counted.purpose].has_code or not codes.is_right(code, key, counted.id, counted.sends):
        return counted, Problem("code_invalid")
    was_right(tx, core, counted.target_key)
    return counted, None


def may_try(tx: Tx, core: Core, whose: str, cause: Cause) -> bool:
    """Whether one more code may be compared. `whose`: the account, or the address or number that nobody has signed in for;
    apart, so that a stranger's wrong codes never use up what the owner of a factor has."""
    return limits.may(tx, core, "code_account", whose, cause)


def was_right(tx: Tx, core: Core, whose: str) -> None:
    """Only wrong codes count."""
    limits.give_back(tx, core, "code_account", whose)


def _why_not(challenge: Challenge | None, now: int) -> Problem:
    if challenge is None:
        return Problem("code_invalid")
    return Problem("too_many_attempts" if is_open(challenge, now) else "code_expired")
