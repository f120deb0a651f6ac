"""The one door behind every way in: who has a second factor is asked for it, all others get their session."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import challenges, sessions
from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.flows.users import Account, account_of
from authsvc.primitives import links
from authsvc.primitives.emails import Email
from authsvc.problems import Problem
from authsvc.rules.challenges import LOGIN
from authsvc.store.challenges import Challenge
from authsvc.store.factors import Factor
from authsvc.store.sessions import Session
from authsvc.store.tx import Tx
from authsvc.store.users import User

PREFIX = "mfa_"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a sign-in is to end in: cookies or not, and where a browser goes."""

    set_cookie: bool = True
    redirect_to: str | None = None


@dataclass(frozen=True, slots=True)
class Entered:
    """A sign-in that is complete."""

    account: Account
    session: Session


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in whose second step is still to come."""

    challenge: Challenge
    factors: Sequence[Factor]


def enter(tx: Tx, core: Core, user: User, amr: Sequence[str], cause: Cause, wanted: Wanted) -> Entered | Pending:
    """After a first step, inside its write block."""
    if not user.mfa_enabled:
        return open_for(tx, core, user, amr, cause, sessions.AAL1)
    email = Email(user.email, user.email_key)
    data = {"amr": list(amr), "set_cookie": wanted.set_cookie, "redirect_to": wanted.redirect_to}
    challenge = challenges.make(core, LOGIN, email, user, **data)
    tx.challenges.add(challenge)
    tx.events.record(events.LOGIN_MFA_REQUIRED, cause.by_user(user.id, user.email), subject=user.id, data={"amr": list(amr)})
    return Pending(challenge, tx.factors.of(user.id))


def open_for(tx: Tx, core: Core, user: User, amr: Sequence[str], cause: Cause, acr: str) -> Entered:
    """The session of somebody who has done all steps."""
    session = sessions.open_session(tx, core, user, amr, cause, acr=acr)
    user = tx.users.note_login(user.id, core.world.now())
    about = cause.by_user(user.id, user.email, session.id)
    tx.events.record(events.LOGIN_SUCCEEDED, about, subject=user.id, data={"amr": list(amr)})
    return Entered(account_of(tx, user), session)


def tokens(core: Core, outcome: Entered | Pending) -> Tokens:
    """After the commit: the tokens, or mfa_required with what the second step needs."""
    if isinstance(outcome, Entered):
        return sessions.tokens(core, outcome.account, outcome.session)
    factors = [{"id": factor.id, "type": factor.type, "label": factor.label} for factor in outcome.factors]
    raise Problem("mfa_required", members={"mfa_token": token_of(core, outcome.challenge), "factors": factors})


def token_of(core: Core, challenge: Challenge) -> str:
    """What stands for a sign-in between its steps; derived, and good for this one only."""
    key = core.keyring.get(challenge.kid)
    if key is None:
        raise Problem("invalid_token", reason=f"challenge {challenge.id} was made under a key that is gone")
    return PREFIX + links.mint(key, challenge.id, LOGIN.purpose)


def pending(core: Core, mfa_token: str) -> Challenge:
    """The sign-in that this token stands for; raises invalid_token."""
    try:
        return challenges.find(core, mfa_token.removeprefix(PREFIX) if mfa_token.startswith(PREFIX) else "", LOGIN)
    except Problem:
        raise Problem("invalid_token", "The first step was too long ago, or was completed. Sign in again.") from None


def first_step(challenge: Challenge) -> tuple[list[str], Wanted]:
    """How the first step was done, and what the sign-in is to end in."""
    noted = json.loads(challenge.data)
    return noted["amr"], Wanted(noted["set_cookie"], noted["redirect_to"])
