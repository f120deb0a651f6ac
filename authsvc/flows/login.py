"""Coming in by password, confirming that it is still you, and changing the password."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses, letters, limits, passwords, sessions, signin
from authsvc.flows.core import Core
from authsvc.flows.limits import Charged
from authsvc.flows.sessions import Tokens
from authsvc.flows.signin import Entered, Wanted
from authsvc.flows.users import account_of
from authsvc.primitives import devices
from authsvc.primitives.emails import Email
from authsvc.problems import Fault, Problem
from authsvc.rules.limits import network
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

PASSWORD = "pwd"  # RFC 8176
WANTED = Wanted()
RECENT_SESSIONS = 50  # looked through for a sign-in from a device like this one


def by_password(
    core: Core,
    email: Email,
    password: str,
    cause: Cause,
    wanted: Wanted = WANTED,
    *,
    device: str | None = None,
    tried: Sequence[Charged] = (),
) -> Tokens:
    """Sign in; raises mfa_required where a second step is needed. Unknown address, wrong password and no password are one
    answer at one cost. `device`: what this browser keeps from an earlier sign-in; the owner is told of one from a device that
    nothing is known of. `tried`: what the try was charged to; a right password is no failure, whatever comes after it."""
    cause = cause.labelled(email.address)
    with core.store.read() as tx:
        user = tx.users.by_email(email.key)
    right, rehashed = passwords.check(core, user, password)
    if user is None or not right:
        raise _failed(core, user, cause, Problem("invalid_credentials"), "credentials")
    if user.status != ACTIVE:
        raise _failed(core, user, cause, Problem("account_disabled"), "disabled", right=tried)
    if core.settings.verification_required and user.email_verified_at is None:
        # Where accounts are hidden, whoever registered an address must not learn here that it was free; not by a wait either.
        hidden = core.settings.hides_accounts
        problem = Problem("invalid_credentials" if hidden else "email_not_verified")
        raise _failed(core, user, cause, problem, "unverified", right=() if hidden else tried)
    return _open(core, user, rehashed, cause, wanted, tried, familiar=_is_familiar(core, user, cause, device))


def reauthenticate(core: Core, user: User, session_id: str, password: str, cause: Cause, tried: Sequence[Charged] = ()) -> Tokens:
    """Renew the session's auth_time by the password."""
    right, rehashed = passwords.check(core, user, password)
    if not right:
        raise _failed(core, user, cause, Problem("invalid_credentials"), "reauthentication")
    with core.store.write() as tx:
        outrun = _is_outrun(tx, user, cause)
        if not outrun:
            session = sessions.strengthen(tx, core, session_id, PASSWORD)
            limits.was_right(tx, tried)
            _rehash(tx, user, rehashed)
            account = account_of(tx, user)
            tx.events.record(events.LOGIN_SUCCEEDED, cause, subject=user.id, data={"amr": [PASSWORD], "again": True})
    if outrun:
        raise Problem("invalid_credentials")
    return sessions.tokens(core, account, session)


def change_password(
    core: Core, user: User, session_id: str, current: str | None, new: str, cause: Cause, tried: Sequence[Charged] = ()
) -> tuple[Tokens, Sequence[Fault]]:
    """Set a new password. It ends the other sessions; this one gets new tokens."""
    if user.password_hash is not None:
        if current is None:
            raise Problem("invalid_request", errors=[Fault("current_password", "required", "Give the present password.")])
        if not passwords.check(core, user, current)[0]:
            raise _failed(core, user, cause, Problem("invalid_credentials"), "password change")
    if tried:
        with core.store.write() as tx:  # before the new one is looked at: whether that will do is another matter
            limits.was_right(tx, tried)
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
        addresses.end_ways_in(tx, user, now)
        tx.events.record(events.PASSWORD_CHANGED, cause, subject=user.id)
        letters.notify(tx, core, "password_changed", user, cause)


def _open(
    core: Core, user: User, rehashed: str | None, cause: Cause, wanted: Wanted, tried: Sequence[Charged], *, familiar: bool
) -> Tokens:
    with core.store.write() as tx:
        outrun = _is_outrun(tx, user, cause)
        if not outrun:
            limits.was_right(tx, tried)
            _rehash(tx, user, rehashed)
            outcome = signin.enter(tx, core, user, [PASSWORD], cause, wanted)
            if not familiar and isinstance(outcome, Entered):
                letters.notify(tx, core, "new_device", user, cause)
    if outrun:
        raise Problem("invalid_credentials")
    return signin.tokens(core, outcome)


def _is_familiar(core: Core, user: User, cause: Cause, device: str | None) -> bool:
    """Whether this user is known to come from here: by what the browser keeps, or by an earlier session like this one.
    The first sign-in of all is no news to its owner."""
    if devices.is_known(device, core.keyring, user.id, core.world.now(), since=user.familiar_since):
        return True
    with core.store.read() as tx:
        recent = tx.sessions.recent(user.id, RECENT_SESSIONS)
    here = (network(cause.ip or ""), cause.user_agent)
    known = [session for session in recent if session.created_at > user.familiar_since]
    return not recent or any((network(session.ip or ""), session.user_agent) == here for session in known)


def _store_password(core: Core, user: User, session_id: str, encoded: str, cause: Cause) -> Tokens:
    now = core.world.now()
    with core.store.write() as tx:
        outrun = _is_outrun(tx, user, cause)
        if not outrun:
            session = sessions.strengthen(tx, core, session_id, PASSWORD)
            tx.users.change(user.id, now, password_hash=encoded)
            tx.sessions.end_all(user.id, now, but=session_id)
            addresses.end_ways_in(tx, user, now)
            account = account_of(tx, tx.users.outdate(user.id))
            tx.events.record(events.PASSWORD_CHANGED, cause, subject=user.id)
            letters.notify(tx, core, "password_changed", user, cause)
    if outrun:
        raise Problem("invalid_credentials")
    return sessions.tokens(core, account, session)


def _failed(core: Core, user: User | None, cause: Cause, problem: Problem, reason: str, *, right: Sequence[Charged] = ()) -> Problem:
    """The refusal, once it is on record: the same write whether or not the account exists. `right`: what was charged for a
    password that was right."""
    with core.store.write() as tx:
        limits.was_right(tx, right)
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
