"""Sign-in by a mailed link, or by the code beside it."""

from __future__ import annotations

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses, challenges, sessions
from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.flows.users import Account, NewUser, insert
from authsvc.primitives.emails import Email
from authsvc.problems import Problem
from authsvc.rules.challenges import MAGIC
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

MAILED = "otp"  # RFC 8176 has no word for mail


def ask(
    core: Core, email: Email, cause: Cause, *, locale: str | None, redirect_to: str | None, create_user: bool, set_cookie: bool
) -> Challenge:
    """Mail a link and a code. `create_user`: an address without an account gets one at the first use."""
    with core.store.write() as tx:
        user = tx.users.by_email(email.key)
        challenge = challenges.ask(
            tx,
            core,
            MAGIC,
            "magic",
            email,
            user,
            cause,
            locale=locale,
            redirect_to=redirect_to,
            create_user=create_user,
            set_cookie=set_cookie,
            locale_asked=locale,
        )
        tx.events.record(events.MAGIC_SENT, cause.labelled(email.address), subject=user.id if user else None)
    return challenge


def use(core: Core, challenge: Challenge, cause: Cause) -> Tokens:
    """Sign in whoever proved the mailbox, here and nowhere else. Raises link_invalid for all but the first use."""
    problem = None
    with core.store.write() as tx:
        challenges.spend(tx, core, challenge)
        user = _account(tx, core, challenge, cause)
        if user.status != ACTIVE:
            problem = Problem("account_disabled")
            data = {"reason": "disabled"}
            tx.events.record(events.LOGIN_FAILED, cause.labelled(user.email), subject=user.id, outcome="failure", data=data)
        else:
            user = addresses.prove(tx, core, user, cause.by_user(user.id, user.email))
            session = sessions.open_session(tx, core, user, [MAILED], cause)
            user = tx.users.note_login(user.id, core.world.now())
            account = Account(user, tx.users.roles(user.id))
            about = cause.by_user(user.id, user.email, session.id)
            tx.events.record(events.MAGIC_USED, about, subject=user.id)
            tx.events.record(events.LOGIN_SUCCEEDED, about, subject=user.id, data={"amr": [MAILED]})
    if problem:
        raise problem
    return sessions.tokens(core, account, session)


def _account(tx: Tx, core: Core, challenge: Challenge, cause: Cause) -> User:
    """The account of the proved address: the one that it had when the link was asked for, one made since, or a new one."""
    user = tx.users.by_email(challenge.target_key)
    if user is not None and challenge.user_id in (None, user.id):
        return user
    noted = challenges.data_of(challenge)
    if user is not None or challenge.user_id is not None or not noted["create_user"]:
        raise Problem("link_invalid")
    made = insert(tx, core, NewUser(Email(challenge.target, challenge.target_key), locale=noted["locale_asked"]), None)
    tx.events.record(events.USER_REGISTERED, cause.by_user(made.id, made.email), subject=made.id)
    return made
