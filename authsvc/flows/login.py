"""Coming in: registration, sign-in by password, and confirming that it is still you."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import passwords, sessions
from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.flows.users import Account, NewUser, insert, refuse_unknown_roles
from authsvc.primitives.emails import Email
from authsvc.problems import Fault, Problem
from authsvc.rules.access import USER
from authsvc.store.sessions import Session
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

PASSWORD = "pwd"  # RFC 8176


@dataclass(frozen=True, slots=True)
class Registered:
    """A new account: its tokens, the password if it was generated, and what is not ideal about it."""

    tokens: Tokens
    password: str | None
    warnings: Sequence[Fault]


def register(core: Core, new: NewUser, password: str | None, cause: Cause) -> Registered:
    """Make an account for whoever asks, and sign them in."""
    given, encoded, warnings = _prepare(core, new, password)
    with core.store.write() as tx:
        user = insert(tx, core, new, encoded)
        session = sessions.open_session(tx, core, user, [PASSWORD], cause)
        user = tx.users.note_login(user.id, core.world.now())
        tx.events.record(events.USER_REGISTERED, cause.by_user(user.id, user.email, session.id), subject=user.id)
    return Registered(sessions.tokens(core, Account(user, new.roles), session), given, warnings)


def create(core: Core, new: NewUser, password: str | None, cause: Cause) -> tuple[Account, str | None]:
    """Make an account for somebody else; the password comes back if it was generated."""
    new = replace(new, roles=sorted({*new.roles} - {USER}))
    refuse_unknown_roles(new.roles)
    given, encoded, _ = _prepare(core, new, password)
    with core.store.write() as tx:
        user = insert(tx, core, new, encoded)
        tx.events.record(events.USER_CREATED, cause, subject=user.id, data={"roles": list(new.roles)})
    return Account(user, new.roles), given


def by_password(core: Core, email: Email, password: str, cause: Cause) -> Tokens:
    """Sign in. Unknown address, wrong password and no password are one answer at one cost."""
    cause = cause.labelled(email.address)
    with core.store.read() as tx:
        user = tx.users.by_email(email.key)
    right, rehashed = passwords.check(core, user, password)
    if user is None or not right:
        raise _failed(core, user, cause, Problem("invalid_credentials"), "credentials")
    if user.status != ACTIVE:
        raise _failed(core, user, cause, Problem("account_disabled"), "disabled")
    return _open(core, user, rehashed, cause)


def reauthenticate(core: Core, user: User, session_id: str, password: str, cause: Cause) -> Tokens:
    """Renew the session's auth_time by the password."""
    right, rehashed = passwords.check(core, user, password)
    if not right:
        raise _failed(core, user, cause, Problem("invalid_credentials"), "reauthentication")
    with core.store.write() as tx:
        outrun = _is_outrun(tx, user, cause)
        if not outrun:
            session = _prove(tx, core, session_id)
            _rehash(tx, user, rehashed)
            account = Account(user, tx.users.roles(user.id))
            tx.events.record(events.LOGIN_SUCCEEDED, cause, subject=user.id, data={"amr": [PASSWORD], "again": True})
    if outrun:
        raise Problem("invalid_credentials")
    return sessions.tokens(core, account, session)


def change_password(core: Core, user: User, session_id: str, current: str | None, new: str, cause: Cause) -> tuple[Tokens, Sequence[Fault]]:
    """Set a new password. It ends the other sessions; this one gets new tokens."""
    if user.password_hash is not None:
        if current is None:
            raise Problem("invalid_request", errors=[Fault("current_password", "required", "Give the present password.")])
        if not passwords.check(core, user, current)[0]:
            raise _failed(core, user, cause, Problem("invalid_credentials"), "password change")
    warnings = passwords.accept(core, new, (user.email, user.name), field="new_password")
    encoded = core.hasher.hash(new)
    return _store_password(core, user, session_id, encoded, cause), warnings


def set_password(core: Core, user: User, new: str, cause: Cause) -> None:
    """Set somebody else's password. All their sessions end."""
    passwords.accept(core, new, (user.email, user.name))
    encoded = core.hasher.hash(new)
    now = core.world.now()
    with core.store.write() as tx:
        if tx.users.get(user.id) is None:
            raise Problem("not_found")
        tx.users.change(user.id, now, password_hash=encoded)
        tx.users.outdate(user.id)
        tx.sessions.end_all(user.id, now)
        tx.events.record(events.PASSWORD_CHANGED, cause, subject=user.id)


def _prepare(core: Core, new: NewUser, password: str | None) -> tuple[str | None, str, Sequence[Fault]]:
    """Everything slow about a new account, before its transaction: the password if generated, its hash, warnings."""
    generated = passwords.generated(core) if password is None else None
    wanted = password if password is not None else str(generated)
    warnings = passwords.accept(core, wanted, (new.email.address, new.name))
    with core.store.read() as tx:
        taken = tx.users.by_email(new.email.key) is not None
    if taken:  # the insert checks it again; this only saves the hash
        raise Problem("email_taken")
    return generated, core.hasher.hash(wanted), warnings


def _open(core: Core, user: User, rehashed: str | None, cause: Cause) -> Tokens:
    with core.store.write() as tx:
        outrun = _is_outrun(tx, user, cause)
        if not outrun:
            _rehash(tx, user, rehashed)
            session = sessions.open_session(tx, core, user, [PASSWORD], cause)
            user = tx.users.note_login(user.id, core.world.now())
            account = Account(user, tx.users.roles(user.id))
            about = cause.by_user(user.id, user.email, session.id)
            tx.events.record(events.LOGIN_SUCCEEDED, about, subject=user.id, data={"amr": [PASSWORD]})
    if outrun:
        raise Problem("invalid_credentials")
    return sessions.tokens(core, account, session)


def _store_password(core: Core, user: User, session_id: str, encoded: str, cause: Cause) -> Tokens:
    now = core.world.now()
    with core.store.write() as tx:
        outrun = _is_outrun(tx, user, cause)
        if not outrun:
            session = _prove(tx, core, session_id)
            tx.users.change(user.id, now, password_hash=encoded)
            tx.sessions.end_all(user.id, now, but=session_id)
            account = Account(tx.users.outdate(user.id), tx.users.roles(user.id))
            tx.events.record(events.PASSWORD_CHANGED, cause, subject=user.id)
    if outrun:
        raise Problem("invalid_credentials")
    return sessions.tokens(core, account, session)


def _failed(core: Core, user: User | None, cause: Cause, problem: Problem, reason: str) -> Problem:
    """The refusal, once it is on record: the same write whether or not the account exists."""
    with core.store.write() as tx:
        tx.events.record(events.LOGIN_FAILED, cause, subject=user.id if user else None, outcome="failure", data={"reason": reason})
    return problem


def _is_outrun(tx: Tx, checked: User, cause: Cause) -> bool:
    """Whether the account was changed while its password was being checked, outside of any transaction; on record."""
    now = tx.users.get(checked.id)
    if now is not None and now.password_hash == checked.password_hash and now.status == ACTIVE:
        return False
    tx.events.record(events.LOGIN_FAILED, cause, subject=checked.id, outcome="failure", data={"reason": "outrun"})
    return True


def _rehash(tx: Tx, user: User, rehashed: str | None) -> None:
    if rehashed and user.password_hash:
        tx.users.rehash(user.id, user.password_hash, rehashed)


def _prove(tx: Tx, core: Core, session_id: str) -> Session:
    session = tx.sessions.prove(session_id, now=core.world.now(), amr=PASSWORD, acr=sessions.AAL1)
    if session is None:
        raise Problem("invalid_token", "The session has ended.")
    return session
