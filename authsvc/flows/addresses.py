"""E-mail addresses of accounts: confirmed, changed once the new one is proved, and taken back."""

from __future__ import annotations

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import challenges, letters, signup
from authsvc.flows.core import Core
from authsvc.flows.removal import remove
from authsvc.flows.users import Account, account_of
from authsvc.primitives.emails import Email, masked
from authsvc.problems import Problem
from authsvc.rules.challenges import CHANGE, KINDS, SET_PASSWORD, TAKEN, UNDO, VERIFY, WAYS_IN
from authsvc.store.challenges import Challenge
from authsvc.store.tx import Tx
from authsvc.store.users import User


def ask_to_verify(core: Core, email: Email, cause: Cause, *, locale: str | None) -> Challenge:
    """Mail a link and a code to this address, if it has an account that has not confirmed it; nobody is told which."""
    with core.store.write() as tx:
        user = tx.users.by_email(email.key)
        challenge = challenges.ask(tx, core, VERIFY, "verify", email, user, cause, locale=locale)
        about = cause if cause.actor_id else cause.labelled(email.address)
        tx.events.record(events.EMAIL_VERIFICATION_SENT, about, subject=user.id if user else None)
    return challenge


def ask_to_change(tx: Tx, core: Core, user: User, email: Email, cause: Cause, *, locale: str | None) -> None:
    """Mail the new address a link and a code; the account keeps the old one until one of them is used."""
    if email.address == user.email:
        return
    signup.refuse_disposable(core, email)
    owner = tx.users.by_email(email.key)
    taken = owner is not None and owner.id != user.id
    if taken and not core.settings.hides_accounts:
        raise Problem("email_taken")
    tx.challenges.end_of(user.id, CHANGE.purpose, core.world.now())  # whether or not it is taken, or that would tell
    if taken:
        challenges.ask(tx, core, TAKEN, "already_registered", email, owner, cause, locale=None)
    else:
        challenges.ask(tx, core, CHANGE, "email_change", email, user, cause, locale=locale)
    tx.events.record(events.EMAIL_VERIFICATION_SENT, cause, subject=user.id)


def confirm(core: Core, challenge: Challenge, cause: Cause) -> Account:
    """What was mailed to the address came back: it is confirmed, or becomes the account's own. Raises link_invalid."""
    with core.store.write() as tx:
        challenges.spend(tx, core, challenge)
        user = tx.users.get(challenge.user_id or "")
        if user is None:
            raise Problem("link_invalid")
        about = _by(cause, user)
        changed = _change(tx, core, user, challenge, about) if challenge.purpose == CHANGE.purpose else _verify(tx, core, user, challenge)
        tx.events.record(events.EMAIL_VERIFIED, about, subject=user.id)
        return account_of(tx, changed)


def undo(core: Core, challenge: Challenge, cause: Cause) -> None:
    """The former address takes the account back: everybody is signed out, and a new password can be chosen there only."""
    now = core.world.now()
    with core.store.write() as tx:
        challenges.spend(tx, core, challenge)
        tx.challenges.end_newer(challenge)  # links to later addresses; those to earlier ones still outrank this one
        _clear(tx, core, challenge, cause)
        restored = tx.users.change_email(challenge.user_id or "", challenge.target, challenge.target_key, now)
        if restored is None:
            raise Problem("email_taken")
        tx.users.change(restored.id, now, password_hash=None)
        tx.factors.remove_since(restored.id, challenge.created_at)  # not theirs
        tx.identities.remove_all(restored.id, since=challenge.created_at)
        tx.users.estrange(restored.id, now)
        tx.sessions.end_all(restored.id, now)
        end_ways_in(tx, restored, now)
        tx.events.record(events.EMAIL_CHANGED, _by(cause, restored), subject=restored.id, data={"undone": True})
        way_in = challenges.make(core, SET_PASSWORD, Email(restored.email, restored.email_key), restored)
        tx.challenges.add(way_in)
        letters.add(tx, "set_password", restored.email, restored, locale=None, challenge=way_in)  # no limit may keep the owner out


def prove(tx: Tx, core: Core, user: User, cause: Cause) -> User:
    """The address was proved by another way in than its confirmation. If that is the first proof, whatever was set up
    before may be a squatter's: password, phone number, sessions, factors, identities, links and a pending change of the
    address go."""
    if user.email_verified_at is not None:
        return user
    now = core.world.now()
    sessions = tx.sessions.end_all(user.id, now)
    pending = tx.challenges.end_of(user.id, CHANGE.purpose, now)
    tx.challenges.end_all(user.id, user.email_key, KINDS, now)
    factors = tx.factors.remove_all(user.id)
    identities = tx.identities.remove_all(user.id)
    held = {
        "password": user.password_hash,
        "phone_number": user.phone_number,
        "sessions": sessions,
        "factors": factors,
        "identities": identities,
        "email_change": pending,
    }
    dropped = [name for name, value in held.items() if value]
    tx.users.change(user.id, now, email_verified_at=now, password_hash=None, phone_number=None, phone_verified_at=None)
    proved = tx.users.estrange(user.id, now)
    tx.events.record(events.EMAIL_VERIFIED, cause, subject=user.id)
    if dropped:
        tx.events.record(events.ACCOUNT_RECLAIMED, cause, subject=user.id, data={"dropped": dropped})
        letters.notify(tx, core, "account_reclaimed", proved, cause)
    return proved


def end_ways_in(tx: Tx, user: User, now: int) -> None:
    """Links that let somebody in or set a password end when the password or the address changes."""
    tx.challenges.end_all(user.id, user.email_key, [kind.purpose for kind in (*WAYS_IN, CHANGE)], now)


def replace(tx: Tx, core: Core, user: User, email: Email, cause: Cause) -> User:
    """By an administrator: the address changes at once, unconfirmed. Whatever was mailed to the former one is of no use any
    more, the way back included; it is told."""
    now = core.world.now()
    changed = tx.users.change_email(user.id, email.address, email.key, now, proved=False)
    if changed is None:
        raise Problem("email_taken")
    tx.challenges.end_all(user.id, user.email_key, KINDS, now)
    tx.events.record(events.EMAIL_CHANGED, cause, subject=user.id)
    letters.add(tx, "email_replaced", user.email, user, locale=None, when=now, new_address=masked(email.address))
    tx.sessions.end_all(user.id, now)
    return tx.users.outdate(user.id)


def _verify(tx: Tx, core: Core, user: User, challenge: Challenge) -> User:
    if user.email_key != challenge.target_key:  # it was changed since
        raise Problem("link_invalid")
    return tx.users.change(user.id, core.world.now(), email_verified_at=core.world.now())


def _change(tx: Tx, core: Core, user: User, challenge: Challenge, cause: Cause) -> User:
    now = core.world.now()
    changed = tx.users.change_email(user.id, challenge.target, challenge.target_key, now)
    if changed is None:
        raise Problem("email_taken")
    end_ways_in(tx, user, now)
    tx.events.record(events.EMAIL_CHANGED, cause, subject=user.id)
    undoing = challenges.make(core, UNDO, Email(user.email, user.email_key), user)
    tx.challenges.add(undoing)
    letters.add(tx, "email_changed", user.email, user, locale=None, challenge=undoing, when=now, new_address=masked(challenge.target))
    return changed


def _clear(tx: Tx, core: Core, challenge: Challenge, cause: Cause) -> None:
    """An account that somebody made with the former address meanwhile, and nobody proved, gives way to its owner."""
    squatter = tx.users.by_email(challenge.target_key)
    if squatter is None or squatter.id == challenge.user_id or squatter.email_verified_at is not None:
        return
    if not tx.users.roles(squatter.id):  # one that was given a role was made by somebody who may
        remove(tx, core, squatter, cause, reason="address taken back")


def _by(cause: Cause, user: User) -> Cause:
    """Who holds the link acts for the account, signed in or not."""
    return cause if cause.actor_id else cause.by_user(user.id, user.email)
