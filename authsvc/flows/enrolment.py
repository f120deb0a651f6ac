"""Second factors of an account: set up, confirmed by a first code, listed, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.factors import recovery, totp
from authsvc.factors.kinds import BY_TYPE
from authsvc.flows import challenges, letters, sendings, sessions, texts
from authsvc.flows.core import Core
from authsvc.flows.second_step import Shown, gain
from authsvc.flows.sendings import Sent
from authsvc.primitives import ids
from authsvc.primitives.keyring import encode
from authsvc.problems import Problem, invalid
from authsvc.rules import phones
from authsvc.rules.access import ADMIN
from authsvc.rules.challenges import FACTOR, SMS
from authsvc.store.factors import UNCONFIRMED_MS, Batch, Factor
from authsvc.store.tx import Tx
from authsvc.store.users import User

MOST_FACTORS = 10
WORDS = {"totp": "Authenticator (TOTP)", "sms": "SMS", "email": "E-mail"}  # in letters, where no label of a stranger stands
NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class SetUp:
    """A factor that waits for its first code: what its owner needs, and where a code was sent."""

    factor: Factor
    details: Mapping[str, Any]
    sent: Sent | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A factor that counts, and with the first one the recovery codes."""

    factor: Factor
    recovery_codes: Sequence[str] | None


def set_up(core: Core, user: User, kind: str, phone_number: str | None, label: str | None, cause: Cause, *, locale: str | None) -> SetUp:
    """Begin with a factor. It counts once `confirm` has seen a code of it, within 15 minutes."""
    with core.store.write() as tx:
        return begin(tx, core, user, kind, phone_number, label, cause, locale=locale)


def begin(
    tx: Tx, core: Core, user: User, kind: str, phone_number: str | None, label: str | None, cause: Cause, *, locale: str | None
) -> SetUp:
    """The same inside a write block."""
    if len(tx.factors.of(user.id)) >= MOST_FACTORS:
        raise Problem("conflict", f"At most {MOST_FACTORS} factors.")
    target = _target(core, user, kind, phone_number)
    factor = tx.factors.waiting(user.id, None, kind)
    if not BY_TYPE[kind].channel or factor is None or not _may_go_on(factor, target, core.world.now()):
        factor = _new_factor(core, user, kind, target, label)
        tx.factors.add(factor)
    sent = sendings.send(tx, core, factor, user, cause, locale=locale) if BY_TYPE[kind].channel else None
    return SetUp(factor, BY_TYPE[kind].details(core.keyring, factor, service=core.settings.name, account=user.email or user.id), sent)


def _may_go_on(factor: Factor, target: str | None, now: int) -> bool:
    """Whether who sets up the same once more means this one: its last code goes on counting, or the next one is sent."""
    return factor.target == target and factor.created_at > now - UNCONFIRMED_MS


def _new_factor(core: Core, user: User, kind: str, target: str | None, label: str | None) -> Factor:
    return Factor(
        id=ids.new(ids.FACTOR, core.world),
        kid=core.keyring.current.kid,
        user_id=user.id,
        type=kind,
        label=label or default_label(kind, target),
        target=target,
        nonce=encode(core.world.random_bytes(NONCE_BYTES)),
        created_at=core.world.now(),
        confirmed_at=None,
        last_step=0,
        last_used_at=None,
    )


def waiting(core: Core, user: User, factor_id: str) -> SetUp | None:
    """A factor that was set up and waits for its first code, with what its owner needs: derived once more."""
    with core.store.read() as tx:
        factor = tx.factors.waiting(user.id, factor_id, None)
    if factor is None:
        return None
    return SetUp(factor, BY_TYPE[factor.type].details(core.keyring, factor, service=core.settings.name, account=user.email), None)


def confirm(
    core: Core, user: User, session_id: str, factor_id: str | None, code: str, cause: Cause, *, kind: str | None = None
) -> Confirmed:
    """The first code of a factor: from now on it is asked for at every sign-in. The session gains its strength."""
    with core.store.write() as tx:
        factor = tx.factors.waiting(user.id, factor_id, kind)
        if factor is None:
            raise Problem("not_found", "There is no factor that waits for its first code.")
        problem = _check(tx, core, user, factor, code, cause)
        if problem is None:
            factor, batch = _count_from_now(tx, core, user, factor, session_id, cause)
    if problem is not None:
        raise problem
    codes = recovery.RECOVERY.details(core.keyring, recovery.as_factor(batch), service="", account="")["recovery_codes"] if batch else None
    return Confirmed(factor, codes)


def remove(
    core: Core, user: User, roles: Sequence[str], factor_ids: Sequence[str] | None, cause: Cause, *, kind: str | None = None
) -> None:
    """Take some factors away, or all (of a kind). Never the last one where everybody must have one."""
    with core.store.write() as tx:
        present = tx.factors.of(user.id)
        chosen = [f for f in present if (factor_ids is None or f.id in factor_ids) and kind in (None, f.type)]
        if not chosen or (factor_ids is not None and len(chosen) < len(set(factor_ids))):
            raise Problem("not_found", "There is no such factor.")
        if len(chosen) == len(present) and core.settings.wants_mfa(ADMIN in roles):
            raise Problem("conflict", "Here everybody needs a second factor: add another one first.")
        _remove(tx, core, user, chosen, cause)


def reset(core: Core, user: User, cause: Cause) -> int:
    """By an administrator, for somebody who has lost all of theirs: every factor goes, and every session with it."""
    with core.store.write() as tx:
        if tx.users.get(user.id) is None:
            raise Problem("not_found")
        gone = tx.factors.of(user.id)
        if gone:
            _remove(tx, core, user, gone, cause)
            tx.users.outdate(user.id)
            tx.sessions.end_all(user.id, core.world.now())
    return len(gone)


def renew_recovery_codes(core: Core, user: User, cause: Cause) -> Sequence[str]:
    """Ten new codes; the old ones do not count any more."""
    with core.store.write() as tx:
        if not tx.factors.of(user.id):
            raise Problem("conflict", "Recovery codes come with a second factor; add one first.")
        batch = _new_batch(tx, core, user.id)
        tx.events.record(events.RECOVERY_RENEWED, cause, subject=user.id)
    codes: Sequence[str] = recovery.RECOVERY.details(core.keyring, recovery.as_factor(batch), service="", account="")["recovery_codes"]
    return codes


def every(core: Core, user_id: str) -> tuple[list[Factor], int]:
    """The factors of a user, and how many recovery codes are left."""
    with core.store.read() as tx:
        batch = tx.factors.batch(user_id)
        return tx.factors.of(user_id), recovery.left_of(batch)


def _count_from_now(tx: Tx, core: Core, user: User, factor: Factor, session_id: str, cause: Cause) -> tuple[Factor, Batch | None]:
    """Everything that a right first code brings about; the factor, and the recovery codes if it is the first."""
    confirmed = tx.factors.confirm(factor.id, core.world.now())
    if confirmed is None:
        raise Problem("not_found", "The factor waited too long for its first code. Set it up again.")
    first = len(tx.factors.of(user.id)) == 1
    _take_number(tx, core, user, confirmed, cause)
    sessions.strengthen(tx, core, session_id, *gain(tx, session_id, Shown(confirmed)))
    tx.events.record(events.FACTOR_ADDED, cause, subject=user.id, data={"type": confirmed.type, "factor_id": confirmed.id})
    letters.notify(tx, core, "factor_added", user, cause, factor=WORDS[confirmed.type])
    return confirmed, _new_batch(tx, core, user.id) if first else None


def _check(tx: Tx, core: Core, user: User, factor: Factor, code: str, cause: Cause) -> Problem | None:
    """Whether this is a code of a factor that does not count yet; tries are counted as for those that do."""
    now = core.world.now()
    problem = Problem("code_invalid")
    if not challenges.may_try(tx, core, user.id, cause):
        problem = Problem("too_many_attempts")
    elif BY_TYPE[factor.type].accepts(tx, core.keyring, factor, code, now):
        challenges.was_right(tx, core, user.id)
        return None
    elif factor.type == totp.TOTP.type and (off := totp.seconds_off(core.keyring, factor, code, now)) is not None:
        way = "ahead" if off > 0 else "behind"
        problem = Problem(
            "code_invalid", f"The code is right, but your device's clock is about {abs(off)} seconds {way}. Set it right and try again."
        )
    tx.events.record(events.OTP_FAILED, cause, subject=user.id, outcome="failure", data={"reason": problem.code})
    return problem


def _take_number(tx: Tx, core: Core, user: User, factor: Factor, cause: Cause) -> None:
    """The code came to the number: it is the user's, and nobody else's."""
    if factor.type != SMS or factor.target is None:
        return
    if not tx.users.take_phone(user.id, factor.target, core.world.now()):
        raise Problem("conflict", "The number belongs to another account.")
    texts.note_verified(tx, core, factor.target)
    tx.events.record(events.PHONE_VERIFIED, cause, subject=user.id)


def _remove(tx: Tx, core: Core, user: User, chosen: Sequence[Factor], cause: Cause) -> None:
    tx.factors.remove(user.id, [factor.id for factor in chosen])
    for factor in chosen:
        tx.challenges.supersede(factor.id, FACTOR.purpose, core.world.now())
        tx.events.record(events.FACTOR_REMOVED, cause, subject=user.id, data={"type": factor.type, "factor_id": factor.id})
    letters.notify(tx, core, "factor_removed", user, cause, factor=", ".join(WORDS[factor.type] for factor in chosen))


def _new_batch(tx: Tx, core: Core, user_id: str) -> Batch:
    batch = Batch(user_id, ids.new(ids.RECOVERY, core.world), core.keyring.current.kid, core.world.now(), 0)
    tx.factors.put_batch(batch)
    return batch


def _target(core: Core, user: User, kind: str, phone_number: str | None) -> str | None:
    if kind != SMS:
        if phone_number is not None:
            raise invalid("phone_number", "not_allowed", "Only for `sms`.")
        if kind == "email" and user.email_verified_at is None:
            raise Problem("email_not_verified", "Confirm your address first.")
        return None
    number = phone_number or user.phone_number
    if number is None:
        raise invalid("phone_number", "required", "Say which number.")
    if not phones.is_allowed(number, core.settings.sms_countries) or core.settings.sms.scheme == "off":
        raise invalid("phone_number", "not_allowed", "SMS cannot be sent to this number.")
    return number


def default_label(kind: str, target: str | None) -> str:
    return {"totp": "Authenticator app", "email": "E-mail"}.get(kind) or phones.masked(target or "")
