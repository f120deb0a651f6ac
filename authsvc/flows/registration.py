"""New accounts: made by whoever asks, or by somebody else for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import challenges, enrolment, letters, passwords, sessions
from authsvc.flows.core import Core
from authsvc.flows.login import PASSWORD
from authsvc.flows.sendings import Sent
from authsvc.flows.sessions import Tokens
from authsvc.flows.users import Account, NewUser, insert, refuse_unknown_roles
from authsvc.problems import Fault, Problem
from authsvc.rules.access import USER
from authsvc.rules.challenges import SET_PASSWORD, SMS, TAKEN, VERIFY, Kind
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


def register(core: Core, new: NewUser, password: str | None, wishes: Wishes, cause: Cause, *, locale: str | None) -> Registered | None:
    """Make an account for whoever asks, and sign them in. None where the mailbox has to be looked into first: then
    nothing tells whether the address had an account already."""
    locale = new.locale or locale
    if core.settings.verification_required:
        _register_unseen(core, new, password, wishes, cause, locale)
        return None
    choose = wishes.set_password and password is None
    given, encoded, warnings = _prepare(core, new, password, generate=not choose)
    with core.store.write() as tx:
        user = insert(tx, core, new, encoded)
        session = sessions.open_session(tx, core, user, [PASSWORD], cause)
        user = tx.users.note_login(user.id, core.world.now())
        about = cause.by_user(user.id, user.email, session.id)
        tx.events.record(events.USER_REGISTERED, about, subject=user.id)
        if choose:
            challenges.ask(tx, core, SET_PASSWORD, "set_password", new.email, user, about, locale=locale)
        if wishes.verify:
            challenges.ask(tx, core, VERIFY, "verify", new.email, user, about, locale=locale)
        sent = enrolment.begin(tx, core, user, SMS, new.phone_number, None, about, locale=locale).sent if wishes.sms else None
        if wishes.welcome and letters.may_ask(tx, core, new.email.key, about):
            letters.add(tx, "welcome", user.email, user, locale=locale)
    return Registered(sessions.tokens(core, Account(user, new.roles), session), given, warnings, sent)


def create(core: Core, new: NewUser, password: str | None, cause: Cause) -> tuple[Account, str | None]:
    """Make an account for somebody else; the password comes back if it was generated.

    Where addresses must be confirmed, whoever may make accounts vouches for this one: its owner could not sign in.
    """
    new = replace(new, roles=sorted({*new.roles} - {USER}))
    refuse_unknown_roles(new.roles)
    given, encoded, _ = _prepare(core, new, password, generate=True)
    with core.store.write() as tx:
        user = insert(tx, core, new, encoded)
        if core.settings.verification_required:
            user = tx.users.change(user.id, user.created_at, email_verified_at=user.created_at)
        tx.events.record(events.USER_CREATED, cause, subject=user.id, data={"roles": list(new.roles)})
    return Account(user, new.roles), given


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


def _register_unseen(core: Core, new: NewUser, password: str | None, wishes: Wishes, cause: Cause, locale: str | None) -> None:
    """The same work and the same writes whether or not the address has an account; only its mailbox is told."""
    if password is not None:
        passwords.accept(core, password, (new.email.address, new.name))
    encoded = core.hasher.hash(password) if password is not None else None
    cause = cause.labelled(new.email.address)
    with core.store.write() as tx:
        owner = tx.users.by_email(new.email.key)
        user = owner or insert(tx, core, new, encoded)
        kind, letter = _first_letter(owner, password, wishes)
        challenges.ask(tx, core, kind, letter, new.email, user, cause, locale=locale)
        if owner is None:
            tx.events.record(events.USER_REGISTERED, cause, subject=user.id)
        else:
            tx.events.record(events.USER_REGISTERED, cause, subject=user.id, outcome="failure", data={"reason": "taken"})


def _first_letter(owner: User | None, password: str | None, wishes: Wishes) -> tuple[Kind, str]:
    if owner is not None:
        return TAKEN, "already_registered"
    if password is None and wishes.set_password:
        return SET_PASSWORD, "set_password"
    return VERIFY, "verify"
