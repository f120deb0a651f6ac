"""Sessions: opened by a sign-in, kept by refreshing, ended by logout. Tokens are made here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.flows.users import Account, account_of, public
from authsvc.primitives import apikeys, ids, refresh
from authsvc.primitives.refresh import RefreshToken
from authsvc.problems import Problem
from authsvc.rules.access import is_admin
from authsvc.store.sessions import Session
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

AAL1, AAL2 = "aal1", "aal2"  # one factor, two (NIST SP 800-63B)
# How far the clock may step back between a refresh and its repetition and still be believed.
CLOCK_STEP_MS = 2_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in or a refresh gives. Durations in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    refresh_expires_in: int
    session: Session
    user: dict[str, Any]


def open_session(tx: Tx, core: Core, user: User, amr: Sequence[str], cause: Cause, *, acr: str = AAL1) -> Session:
    """A new session inside a write block: the one door for every way in. Every sign-in gets its own, so none can be
    fixed beforehand."""
    if core.settings.verification_required and user.email_verified_at is None:
        raise Problem("email_not_verified")
    now = core.world.now()
    session = Session(
        id=ids.new(ids.SESSION, core.world),
        user_id=user.id,
        kid=core.keyring.current.kid,
        counter=0,
        rotated_at=now,
        created_at=now,
        last_seen_at=now,
        expires_at=now + core.settings.session_seconds * 1000,
        ended_at=None,
        auth_time=now,
        amr=" ".join(amr),
        acr=acr,
        ip=cause.ip,
        user_agent=cause.user_agent,
        label=None,
    )
    tx.sessions.add(session)
    return session


def tokens(core: Core, account: Account, session: Session) -> Tokens:
    """The tokens of a session as it stands. Made after the commit: nothing here needs the store."""
    user, key = account.user, core.keyring.get(session.kid)
    if key is None:
        raise Problem("invalid_token", reason=f"session {session.id} was made under a key that is gone")
    roles, caps = account.all_roles, account.caps
    if session.acr == AAL1 and core.settings.wants_mfa(is_admin(roles, caps)):
        caps = []  # what such a session may do, here and at other services, is to get itself a second factor
    seen = public(user, roles, caps)
    claims = {
        "sub": user.id,
        "sid": session.id,
        "gen": user.generation,
        "auth_time": session.auth_time // 1000,
        "amr": session.amr.split(),
        "acr": session.acr,
        "roles": seen["roles"],
        "caps": seen["caps"],
        "email": user.email or None,
        "email_verified": seen["email_verified"],
        **{claim.name: _dig(seen, claim.source) for claim in core.settings.claims},
    }
    left = (session.expires_at - core.world.now()) // 1000
    return Tokens(
        access_token=core.tokens.issue(claims),
        refresh_token=refresh.mint(key, session.id, session.counter),
        expires_in=core.tokens.seconds,
        refresh_expires_in=max(0, min(core.settings.refresh_seconds, left)),
        session=session,
        user=seen,
    )


def strengthen(tx: Tx, core: Core, session_id: str, amr: str | Sequence[str], acr: str | None = None) -> Session:
    """Note that the owner proved anew who they are, and by what; a session never gets weaker by it."""
    found = tx.sessions.with_user(session_id)
    if found is None:
        raise Problem("invalid_token", "The session has ended.")
    more = [amr] if isinstance(amr, str) else amr
    methods = " ".join(dict.fromkeys([*found[0].amr.split(), *more]))
    session = tx.sessions.prove(session_id, now=core.world.now(), amr=methods, acr=max(found[0].acr, acr or AAL1))
    if session is None:
        raise Problem("invalid_token", "The session has ended.")
    return session


def rotate(core: Core, text: str, cause: Cause) -> Tokens:
    """Spend a refresh token for its successor (RFC 9700 section 4.14.2).

    The previous token yields the same successor for a short while, for clients that lost the answer or ask twice at
    once. A token spent longer ago was copied by somebody: its session ends.
    """
    token, session, user = genuine(core, text)
    now = core.world.now()
    refuse_over(core, session, user, now)
    with core.store.read() as tx:
        account = account_of(tx, user)
    if token.counter == session.counter:
        with core.store.write() as tx:  # one statement, so that many fit into one commit
            rotated = _rotate(tx, account, token, now, cause)
        if rotated:
            return tokens(core, account, rotated)
    return _settle(core, token, now, cause)


def _settle(core: Core, token: RefreshToken, now: int, cause: Cause) -> Tokens:
    """The rarer ends: somebody else was faster, the account changed meanwhile, or the token was spent before."""
    with core.store.write() as tx:
        session, user = _found(tx, token)
        refuse_over(core, session, user, now)
        account = account_of(tx, user)
        rotated = _rotate(tx, account, token, now, cause)
        reused = rotated is None and not _is_repetition(core, session, token, now)
        if reused and _is_certain(session, token, now):
            tx.sessions.end(session.id, session.user_id, now)
            about = cause.by_user(session.user_id, account.user.email, session.id)
            tx.events.record(events.SESSION_REUSE_DETECTED, about, subject=session.user_id, outcome="failure")
        elif reused and token.counter < session.counter:
            tx.sessions.end_grace(session.id)  # refused once is refused for good, though the clock comes back
    if reused:
        raise Problem("invalid_token", "This refresh token was used before.")
    return tokens(core, account, rotated or session)


def _rotate(tx: Tx, account: Account, token: RefreshToken, now: int, cause: Cause) -> Session | None:
    generation = account.user.generation
    rotated = tx.sessions.rotate(token.session_id, token.counter, generation, now=now, ip=cause.ip, user_agent=cause.user_agent)
    if rotated:
        tx.events.record(events.SESSION_REFRESHED, cause, subject=rotated.user_id)
    return rotated


def revoke(core: Core, *, session_id: str, user_id: str, cause: Cause) -> bool:
    """End one session of this user; False when there was none to end."""
    now = core.world.now()
    with core.store.write() as tx:
        ended = tx.sessions.end(session_id, user_id, now)
        if ended:
            tx.events.record(events.SESSION_REVOKED, cause, subject=user_id, data={"session_id": session_id})
    return ended


def revoke_by_token(core: Core, text: str, cause: Cause) -> None:
    """Log out with any credential of the session (RFC 7009); what is no credential of ours is already logged out."""
    if apikeys.parse(text) is not None:
        raise Problem("forbidden", "An API key is no session: it is revoked by DELETE /keys/:key_id.")
    try:
        if text.startswith(refresh.PREFIX):
            session_id = genuine(core, text)[0].session_id
        else:
            session_id = core.tokens.verify(text, allow_expired=True)["sid"]
    except Problem as problem:
        if problem.code != "invalid_token":
            raise
        return
    with core.store.read() as tx:
        found = tx.sessions.with_user(session_id)
    if found:
        session, user = found
        revoke(core, session_id=session.id, user_id=user.id, cause=cause.by_user(user.id, user.email, session.id))


def revoke_all(core: Core, user: User, cause: Cause, *, but: str | None) -> None:
    """End all sessions of a user, except perhaps the current one."""
    now = core.world.now()
    with core.store.write() as tx:
        for session_id in tx.sessions.end_all(user.id, now, but=but):
            tx.events.record(events.SESSION_REVOKED, cause, subject=user.id, data={"session_id": session_id})


def page(core: Core, user_id: str, *, before: str, limit: int) -> list[Session]:
    """Live sessions of a user, newest first."""
    now = core.world.now()
    with core.store.read() as tx:
        return tx.sessions.page(user_id, before=before, limit=limit, now=now, idle_since=now - core.settings.refresh_seconds * 1000)


def is_live(core: Core, session: Session, now: int) -> bool:
    """Whether a session still counts: not ended, not too old, not idle for too long."""
    idle_since = now - core.settings.refresh_seconds * 1000
    return session.ended_at is None and session.expires_at > now and session.last_seen_at > idle_since


def genuine(core: Core, text: str) -> tuple[RefreshToken, Session, User]:
    """A refresh token that we made, whether or not it still counts, with its session and account."""
    token = refresh.parse(text)
    if token is None:
        raise Problem("invalid_token")
    with core.store.read() as tx:
        session, user = _found(tx, token)
    key = core.keyring.get(session.kid)
    if key is None or not refresh.is_genuine(token, key):
        raise Problem("invalid_token")
    return token, session, user


def _found(tx: Tx, token: RefreshToken) -> tuple[Session, User]:
    found = tx.sessions.with_user(token.session_id)
    if found is None:
        raise Problem("invalid_token")
    return found


def refuse_over(core: Core, session: Session, user: User, now: int) -> None:
    unconfirmed = core.settings.verification_required and user.email_verified_at is None  # it may have been opened before that
    if not is_live(core, session, now) or user.status != ACTIVE or unconfirmed:
        raise Problem("invalid_token", "The session has ended.")


def _is_repetition(core: Core, session: Session, token: RefreshToken, now: int) -> bool:
    since = now - session.rotated_at
    return token.counter == session.counter - 1 and -CLOCK_STEP_MS <= since <= core.settings.refresh_grace_seconds * 1000


def _is_certain(session: Session, token: RefreshToken, now: int) -> bool:
    """Whether it was surely copied. With a clock that was set back, the previous token may only be late; and a database
    that was restored from a backup does not know the newest one: both are refused, but nobody is logged out."""
    return token.counter < session.counter - 1 or (token.counter < session.counter and now >= session.rotated_at)


def _dig(value: Any, source: str) -> Any:
    """A dotted field of the user; None where a step is missing."""
    for step in source.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
