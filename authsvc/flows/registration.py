"""New accounts: made by whoever asks, or by somebody else for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import challenges, enrolment, letters, passwords, sessions, signup
from authsvc.flows.core import Core
from authsvc.flows.login import PASSWORD
from authsvc.flows.sendings import Sent
from authsvc.flows.sessions import Tokens
from authsvc.flows.users import Account, NewUser, account_of, insert, refuse_unknown_roles
from authsvc.problems import Fault, Problem
from authsvc.rules.access import USER, Authority, demand_cover
from authsvc.rules.challenges import FIRST_PASSWORD_SECONDS, SET_PASSWORD, SMS, TAKEN, VERIFY, WELCOME, Kind
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import User


@dataclass(frozen=True, slots=True)
class Registered:
    """A new account: its tokens, the password if it was generated, and what is not ideal about it."""

    tokens: Tokens
    password: str | None
    warnings: Sequence[Fault]
    sent: Sent | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a registration asks to be sent: a welcome, a link to confirm the address, one to choose a password, and by SMS
    a code to prove the phone number."""

    welcome: bool = False
    verify: bool = False
    set_password: bool = False
    sms: bool = False


NOTHING = Wishes()


def register(
    core: Core, new: NewUser, password: str | None, wishes: Wishes, cause: Cause, *, locale: str | None, invite: Challenge | None = None
) -> Registered | None:
    """Make an account for whoever asks, and sign them in. None where the mailbox has to be looked into first: then
    nothing tells whether the address had an account already. `invite`: an open one for this address, which proves it."""
    locale = new.locale or locale
    signup.refuse_uninvited(core, new.email, invite)
    if core.settings.hides_accounts or (core.settings.verification_required and invite is None):
        _register_unseen(core, new, password, wishes, cause, locale, invite)
        return None
    choose = wishes.set_password and password is None
    given, encoded, warnings = _prepare(core, new, password, generate=not choose)
    with core.store.write() as tx:
        user = signup.insert(tx, core, new, encoded, invite=invite)
        session = sessions.open_session(tx, core, user, [PASSWORD], cause)
        user = tx.users.note_login(user.id, core.world.now())
        about = cause.by_user(user.id, user.email, session.id)
        tx.events.record(events.USER_REGISTERED, about, subject=user.id, data=_by_invite(tx, user, invite))
        if choose:
            challenges.ask(tx, core, SET_PASSWORD, "set_password", new.email, user, about, locale=locale)
        if wishes.verify and user.email_verified_at is None:
            challenges.ask(tx, core, VERIFY, "verify", new.email, user, about, locale=locale)
        sent = enrolment.begin(tx, core, user, SMS, new.phone_number, None, about, locale=locale).sent if wishes.sms else None
        if wishes.welcome and letters.may_ask(tx, core, new.email.key, about):
            letters.add(tx, "welcome", user.email, user, locale=locale)
        made = account_of(tx, user)
    return Registered(sessions.tokens(core, made, session), given, warnings, sent)


def create(
    core: Core,
    new: NewUser,
    password: str | None,
    cause: Cause,
    authority: Authority,
    *,
    wishes: Wishes = NOTHING,
    locale: str | None = None,
) -> tuple[Account, str | None]:
    """Make an account for somebody else; the password comes back if it was generated. With `set_password` there is none:
    a mail has the link that sets it, which proves the address.

    Where addresses must be confirmed, whoever may make accounts vouches for this one: its owner could not sign in.
    """
    choose = wishes.set_password and password is None
    new = replace(new, verified=new.verified or (core.settings.verification_required and not choose))
    given, encoded, _ = _prepare(core, new, password, generate=not choose)
    with core.store.write() as tx:
        made = _insert_for(tx, core, new, encoded, cause, authority)
        user = made.user
        if choose:
            chosen = challenges.make(core, SET_PASSWORD, new.email, user, vouched=True)
            tx.challenges.add(chosen._replace(expires_at=chosen.created_at + FIRST_PASSWORD_SECONDS * 1000))
            letters.add(tx, "account_made", user.email, user, locale=locale, challenge=chosen)
        if wishes.verify and user.email_verified_at is None:
            challenges.ask(tx, core, VERIFY, "verify", new.email, user, cause, locale=locale)
        if wishes.welcome:
            letters.add(tx, "welcome", user.email, user, locale=locale)
    return made, given


def _insert_for(tx: Tx, core: Core, new: NewUser, encoded: str | None, cause: Cause, authority: Authority) -> Account:
    roles = sorted({*new.roles} - {USER})
    refuse_unknown_roles(tx, roles, field="roles")
    demand_cover(authority, tx.roles.caps_of(roles))
    user = insert(tx, core, replace(new, roles=roles), encoded)
    tx.events.record(events.USER_CREATED, cause, subject=user.id, data={"roles": roles})
    return account_of(tx, user)


def _prepare(core: Core, new: NewUser, password: str | None, *, generate: bool) -> tuple[str | None, str | None, Sequence[Fault]]:
    """Everything slow about a new account, before its transaction: the password if generated, its hash, warnings."""
    generated = passwords.generated(core) if password is None and generate else None
    wanted = password if password is not None else generated
    warnings = passwords.accept(core, wanted, (new.email.address, new.name)) if wanted is not None else []
    with core.store.read() as tx:
        taken = tx.users.by_email(new.email.key) is not None
    if taken:  # the insert checks it again; this only saves the hash
        raise Problem("email_taken")
    return generated, core.hasher.hash(wanted) if wanted is not None else None, warnings


def _register_unseen(
    core: Core, new: NewUser, password: str | None, wishes: Wishes, cause: Cause, locale: str | None, invite: Challenge | None
) -> None:
    """The same work and the same writes whether or not the address has an account; only its mailbox is told."""
    if password is not None:
        passwords.accept(core, password, (new.email.address, new.name))
    encoded = core.hasher.hash(password) if password is not None else None
    cause = cause.labelled(new.email.address)
    with core.store.write() as tx:
        owner = tx.users.by_email(new.email.key)
        user = owner or signup.insert(tx, core, new, encoded, invite=invite)
        kind, letter = _first_letter(owner, password, wishes, invite)
        challenges.ask(tx, core, kind, letter, new.email, user, cause, locale=locale)
        if owner is None:
            tx.events.record(events.USER_REGISTERED, cause, subject=user.id, data=_by_invite(tx, user, invite))
        else:
            tx.events.record(events.USER_REGISTERED, cause, subject=user.id, outcome="failure", data={"reason": "taken"})


def _first_letter(owner: User | None, password: str | None, wishes: Wishes, invite: Challenge | None) -> tuple[Kind, str]:
    if owner is not None:
        return TAKEN, "already_registered"
    if password is None and wishes.set_password:
        return SET_PASSWORD, "set_password"
    if invite is not None:  # the address is proved; the same work all the same
        return WELCOME, "welcome"
    return VERIFY, "verify"


def _by_invite(tx: Tx, user: User, invite: Challenge | None) -> dict[str, Any]:
    """What the record says of an account that somebody was invited to make."""
    return {"invite_id": invite.id, "roles": tx.users.roles(user.id)} if invite else {}
