"""The second step of a sign-in, and any other moment at which somebody shows a second factor."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc import events
from authsvc.events import Cause
from authsvc.factors import recovery
from authsvc.factors.kinds import BY_TYPE
from authsvc.flows import challenges, letters, limits, sendings, sessions, signin, texts
from authsvc.flows.core import Core
from authsvc.flows.limits import Charged
from authsvc.flows.sendings import Sent
from authsvc.flows.sessions import Tokens
from authsvc.flows.signin import Wanted
from authsvc.flows.users import account_of
from authsvc.problems import Problem
from authsvc.rules.challenges import MOST_ATTEMPTS, SMS
from authsvc.store.factors import Factor
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

MFA = "mfa"  # RFC 8176: more than one factor


def finish(core: Core, mfa_token: str, factor_id: str | None, code: str, cause: Cause) -> tuple[Tokens, Wanted]:
    """Complete a sign-in. Each try counts against it and against the account; the fifth wrong one ends it."""
    challenge = signin.pending(core, mfa_token)
    now = core.world.now()
    with core.store.write() as tx:
        user = tx.users.get(challenge.user_id or "")
        if user is None or user.status != ACTIVE:
            raise Problem("invalid_token")
        counted = tx.challenges.try_code(challenge.id, MOST_ATTEMPTS, now)
        refusal = Problem("too_many_attempts") if counted is None else try_factors(tx, core, user, factor_id, code, cause)
        if not isinstance(refusal, Problem) and tx.challenges.spend(challenge.id, now) is None:
            raise Problem("invalid_token")  # somebody was faster: undone with the block
        if not isinstance(refusal, Problem):
            amr, wanted = signin.first_step(challenge)
            methods, acr = strengthened(amr, refusal)
            entered = signin.open_for(tx, core, user, methods, cause, acr)
    if isinstance(refusal, Problem):
        raise refusal
    return signin.tokens(core, entered), wanted


def send(core: Core, mfa_token: str, factor_id: str | None, cause: Cause, *, locale: str | None) -> Sent:
    """Send the code of a factor to which codes are sent, for a sign-in that waits."""
    challenge = signin.pending(core, mfa_token)
    with core.store.write() as tx:
        user = tx.users.get(challenge.user_id or "")
        if user is None or user.status != ACTIVE:
            raise Problem("invalid_token")
        sendable = [factor for factor in tx.factors.of(user.id) if BY_TYPE[factor.type].channel and factor_id in (None, factor.id)]
        if not sendable:
            raise Problem("not_found", "There is no such factor to which a code could be sent.")
        return sendings.send(tx, core, sendable[0], user, cause.by_user(user.id, user.email), locale=locale)


def factors_of(core: Core, mfa_token: str) -> list[Factor]:
    """The factors of the account that a waiting sign-in is for; none for a token that is of no use any more."""
    try:
        challenge = signin.pending(core, mfa_token)
    except Problem:
        return []
    with core.store.read() as tx:
        return tx.factors.of(challenge.user_id or "")


def reauthenticate(
    core: Core, user: User, session_id: str, factor_id: str, code: str, cause: Cause, tried: Sequence[Charged] = ()
) -> Tokens:
    """Renew the session's auth_time by a factor."""
    with core.store.write() as tx:
        right = try_factors(tx, core, user, factor_id, code, cause)
        if not isinstance(right, Problem):
            limits.was_right(tx, tried)
            session = sessions.strengthen(tx, core, session_id, *gain(tx, session_id, right))
            current = tx.users.get(user.id) or user
            account = account_of(tx, current)
            tx.events.record(events.LOGIN_SUCCEEDED, cause, subject=user.id, data={"amr": [right.amr], "again": True})
    if isinstance(right, Problem):
        raise right
    return sessions.tokens(core, account, session)


class Shown:
    """The factor whose code was right."""

    def __init__(self, factor: Factor) -> None:
        self.factor = factor
        self.amr = BY_TYPE[factor.type].amr
        self.channel = BY_TYPE[factor.type].channel


def try_factors(tx: Tx, core: Core, user: User, factor_id: str | None, code: str, cause: Cause) -> Shown | Problem:
    """The factor of this user whose code it is, spent; or why not, on record. Counted against the account."""
    now = core.world.now()
    candidates = _candidates(tx, user.id, factor_id)
    if not candidates:
        return Problem("not_found", "There is no such factor.")
    if not challenges.may_try(tx, core, user.id, cause.labelled(user.email)):
        return _failed(tx, user, cause, Problem("too_many_attempts"))
    for factor in candidates:
        if BY_TYPE[factor.type].accepts(tx, core.keyring, factor, code, now):
            challenges.was_right(tx, core, user.id)
            return _accepted(tx, core, user, factor, cause)
    return _failed(tx, user, cause, Problem("code_invalid"))


# What a first step has proved, by what it added to `amr`: a mailed link or code says `otp`.
PROVED = {"otp": "email", "sms": "sms"}


def strengthened(amr: Sequence[str], shown: Shown) -> tuple[list[str], str]:
    """How a session was opened, and the strength of it: two different things make `aal2`, a mailbox or a phone twice do not."""
    proved = {PROVED.get(method, method) for method in amr} | {shown.channel or shown.factor.type}
    methods = list(dict.fromkeys([*amr, shown.amr]))
    if MFA not in amr and len(proved) < 2:
        return methods, sessions.AAL1
    return list(dict.fromkeys([*methods, MFA])), sessions.AAL2


def gain(tx: Tx, session_id: str, shown: Shown) -> tuple[list[str], str]:
    """What a session is once this was shown in it."""
    found = tx.sessions.with_user(session_id)
    return strengthened(found[0].amr.split() if found else [], shown)


def _candidates(tx: Tx, user_id: str, factor_id: str | None) -> list[Factor]:
    """The factors that a code may belong to: the named one, else all; and the recovery codes, unless one is named."""
    factors = [factor for factor in tx.factors.of(user_id) if factor_id in (None, factor.id)]
    batch = tx.factors.batch(user_id)
    if batch and (factors or factor_id is None):
        factors.append(recovery.as_factor(batch))
    return factors


def _accepted(tx: Tx, core: Core, user: User, factor: Factor, cause: Cause) -> Shown:
    if factor.type == recovery.RECOVERY.type:
        remaining = recovery.left_of(tx.factors.batch(user.id))
        tx.events.record(events.RECOVERY_USED, cause.by_user(user.id, user.email), subject=user.id, data={"left": remaining})
        letters.notify(tx, core, "recovery_used", user, cause, left=remaining)
    else:
        tx.factors.note_use(factor.id, core.world.now())
        if factor.type == SMS and factor.target is not None:
            texts.note_verified(tx, core, factor.target)
    return Shown(factor)


def _failed(tx: Tx, user: User, cause: Cause, problem: Problem) -> Problem:
    tx.events.record(events.OTP_FAILED, cause.labelled(user.email), subject=user.id, outcome="failure", data={"reason": problem.code})
    return problem
