"""Sign-in by a mailed link or the code beside it, or by a code that came by SMS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses, challenges, sendings, signin, signup, texts
from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.flows.signin import Wanted
from authsvc.flows.signup import PHONE_KEY
from authsvc.flows.users import NewUser
from authsvc.primitives.emails import Email
from authsvc.problems import Problem
from authsvc.rules.challenges import EMAIL, MAGIC, SMS
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

AMR = {EMAIL: "otp", SMS: "sms"}  # RFC 8176 has no word for mail


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for who signs in by what is sent to them. `create_user`: an address or number without an
    account gets one at the first use."""

    locale: str | None = None
    redirect_to: str | None = None
    create_user: bool = True
    set_cookie: bool = True

    def noted(self, core: Core, email: Email) -> dict[str, Any]:
        """What is kept of it. Where sign-up is not open to the address, none is made; the answer is the same."""
        return {
            "locale_asked": self.locale,
            "redirect_to": self.redirect_to,
            "create_user": self.create_user and signup.is_open(core, email),
            "set_cookie": self.set_cookie,
        }


def ask(core: Core, email: Email, wanted: Request, cause: Cause) -> Challenge:
    """Mail a link and a code."""
    with core.store.write() as tx:
        user = tx.users.by_email(email.key)
        challenge = challenges.ask(tx, core, MAGIC, "magic", email, user, cause, locale=wanted.locale, **wanted.noted(core, email))
        tx.events.record(events.MAGIC_SENT, cause.labelled(email.address), subject=user.id if user else None)
    return challenge


def ask_for_code(core: Core, email: Email, wanted: Request, cause: Cause) -> Challenge:
    """Mail the same to somebody who is going to type the code; soon again, and what was sent goes on counting."""
    with core.store.write() as tx:
        user = tx.users.by_email(email.key)
        made = challenges.make(core, MAGIC, email, user, **wanted.noted(core, email))
        return sendings.send_code(tx, core, made, user, cause.labelled(email.address), locale=wanted.locale)


def ask_by_phone(core: Core, number: str, wanted: Request, cause: Cause) -> Challenge:
    """Send a code by SMS."""
    with core.store.write() as tx:
        user = tx.users.by_phone(number)
        made = challenges.of(core, MAGIC, SMS, number, PHONE_KEY + number, user, **wanted.noted(core, Email("", PHONE_KEY + number)))
        return sendings.send_code(tx, core, made, user, cause.labelled(number), locale=wanted.locale)


def newest(core: Core, target_key: str) -> str | None:
    """The id of the newest open sign-in that was asked for by this address or number."""
    with core.store.read() as tx:
        challenge = tx.challenges.open_for(target_key, MAGIC.purpose, None, core.world.now())
    return challenge.id if challenge else None


def use(core: Core, challenge: Challenge, cause: Cause) -> Tokens:
    """Sign in whoever proved the mailbox, here and nowhere else. Raises link_invalid for all but the first use."""
    problem = None
    with core.store.write() as tx:
        challenges.spend(tx, core, challenge)
        user = _account(tx, core, challenge, cause)
        if challenge.channel == SMS:
            texts.note_verified(tx, core, challenge.target)
        if user.status != ACTIVE:
            problem = Problem("account_disabled")
            data = {"reason": "disabled"}
            tx.events.record(events.LOGIN_FAILED, cause.labelled(user.email), subject=user.id, outcome="failure", data=data)
        else:
            if challenge.channel == EMAIL:
                user = addresses.prove(tx, core, user, cause.by_user(user.id, user.email))
            tx.events.record(events.MAGIC_USED, cause.by_user(user.id, user.email), subject=user.id)
            noted = challenges.data_of(challenge)
            outcome = signin.enter(tx, core, user, [AMR[challenge.channel]], cause, Wanted(noted["set_cookie"], noted["redirect_to"]))
    if problem:
        raise problem
    return signin.tokens(core, outcome)


def _account(tx: Tx, core: Core, challenge: Challenge, cause: Cause) -> User:
    """The account of what was proved: the one that it had when the sign-in was asked for, one made since, or a new one."""
    by_mail = challenge.channel == EMAIL
    user = tx.users.by_email(challenge.target_key) if by_mail else tx.users.by_phone(challenge.target)
    if user is not None and challenge.user_id in (None, user.id):
        return user
    noted = challenges.data_of(challenge)
    if user is not None or challenge.user_id is not None or not noted["create_user"]:
        raise Problem("link_invalid")
    email = Email(challenge.target if by_mail else "", challenge.target_key)
    made = signup.insert(tx, core, NewUser(email, locale=noted["locale_asked"]), None)
    if not by_mail:
        tx.users.take_phone(made.id, challenge.target, core.world.now())
        tx.events.record(events.PHONE_VERIFIED, cause.by_user(made.id, challenge.target), subject=made.id)
    tx.events.record(events.USER_REGISTERED, cause.by_user(made.id, challenge.target), subject=made.id)
    return made
