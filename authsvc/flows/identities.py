"""Identities at OAuth providers: whose account they are, linked and unlinked. The rule itself is rules/linking.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses, challenges, letters, sessions, signin, signup
from authsvc.flows.authentication import Caller
from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.flows.signin import Entered, Pending, Wanted
from authsvc.flows.users import NewUser, timestamp
from authsvc.primitives import ids
from authsvc.primitives.emails import Email
from authsvc.problems import Problem
from authsvc.providers.profile import Identity
from authsvc.providers.provider import Provider
from authsvc.rules.challenges import TAKEN, VERIFY
from authsvc.rules.linking import Way, has_other_way_in, was_strong, way_in
from authsvc.store.identities import Row
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

# RFC 8176 has no word for a sign-in that was done elsewhere; `mfa` stands beside it where a second step there counts.
AMR = "fed"
NO_ADDRESS = Email("", "")


@dataclass(frozen=True, slots=True)
class Arrived:
    """Who came back from a provider; `name` is what was told beside the code."""

    identity: Identity
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that is complete, and where the browser goes."""

    tokens: Tokens
    redirect_to: str | None


@dataclass(frozen=True, slots=True)
class Linked:
    """An identity that is linked now, and where the browser goes."""

    row: Row
    redirect_to: str | None


def every(core: Core, user_id: str) -> list[Row]:
    """The identities that are linked to an account."""
    with core.store.read() as tx:
        return tx.identities.of(user_id)


def public(core: Core, row: Row) -> dict[str, Any]:
    """An identity as its owner sees it."""
    return {
        "provider": row.provider,
        "title": title_of(core, row.provider),
        "email": row.email,
        "email_verified": bool(row.email_verified),
        "created_at": timestamp(row.created_at),
        "last_used_at": timestamp(row.last_used_at),
    }


def sign_in(core: Core, provider: Provider, arrived: Arrived, cause: Cause, *, redirect_to: str | None, locale: str | None) -> SignedIn:
    """Sign in, or sign up, whoever the provider says it is. Raises mfa_required where a second step is needed."""
    identity = arrived.identity
    with core.store.write() as tx:
        user, problem = _account(tx, core, provider, arrived, cause, locale)
        if problem is None and user is not None:
            outcome = _enter(tx, core, provider, user, identity, cause, Wanted(redirect_to=redirect_to))
        else:
            data = {"reason": problem.code if problem else "", "provider": provider.name}
            tx.events.record(events.LOGIN_FAILED, _by(cause, identity), subject=user.id if user else None, outcome="failure", data=data)
    if problem is not None:
        raise problem
    return SignedIn(signin.tokens(core, outcome), redirect_to)


def link(core: Core, provider: Provider, arrived: Arrived, caller: Caller, cause: Cause, *, redirect_to: str | None) -> Linked:
    """Link the identity to the account whose session began this; linking it twice is linking it once. Raises conflict."""
    user = caller.user
    cause = cause.by_user(user.id, user.email, caller.session.id)
    with core.store.write() as tx:
        known = _find(tx, provider, arrived.identity)
        if known is None:
            known = _link(tx, core, provider, user, arrived.identity, cause)
    if known is None:
        raise Problem("conflict", f"Another identity at {provider.title} is linked to your account. Unlink it first.")
    if known.user_id != user.id:
        raise Problem("conflict", f"This identity at {provider.title} is linked to another account.")
    return Linked(known, redirect_to)


def unlink(core: Core, user: User, provider: str, cause: Cause) -> None:
    """Unlink an identity. Never the last way in: then it is a conflict."""
    with core.store.write() as tx:
        linked = tx.identities.of(user.id)
        now_user = tx.users.get(user.id)
        if now_user is None or provider not in {row.provider for row in linked}:
            raise Problem("not_found", "No identity of this provider is linked.")
        others = has_other_way_in(
            password=now_user.password_hash is not None,
            confirmed_email=bool(now_user.email) and now_user.email_verified_at is not None,
            confirmed_phone=now_user.phone_verified_at is not None and core.settings.sms.scheme != "off",
            identities=len(linked),
        )
        if not others:
            raise Problem("conflict", "This is the last way into your account. Confirm your address or set a password first.")
        tx.identities.remove(user.id, provider)
        tx.events.record(events.IDENTITY_UNLINKED, cause, subject=user.id, data={"provider": provider})
        letters.notify(tx, core, "identity_unlinked", now_user, cause, provider=title_of(core, provider))


def title_of(core: Core, provider: str) -> str:
    """What people call it; its name where it is not offered any more."""
    return next((known.title for known in core.providers.every() if known.name == provider), provider)


def _account(
    tx: Tx, core: Core, provider: Provider, arrived: Arrived, cause: Cause, locale: str | None
) -> tuple[User | None, Problem | None]:
    """Whose account it is, or why nobody is signed in. What a refusal says is the same whether or not the address has
    an account, where accounts are hidden."""
    identity, email = arrived.identity, arrived.identity.email
    known = _find(tx, provider, identity)
    user = tx.users.get(known.user_id) if known else tx.users.by_email(email.key) if email else None
    confirmed = user is not None and user.email_verified_at is not None
    way = way_in(linked=known is not None, proved=identity.email_verified, account=user is not None, confirmed=confirmed)
    if way in (Way.NEW, Way.FOREIGN) and not signup.is_open(core, email or NO_ADDRESS):
        # Whether or not the address has an account, where nothing may tell.
        hidden = core.settings.hides_accounts or user is None
        return user, Problem("signup_closed") if hidden else Problem("oauth_not_linked")
    if user is None:
        user = _sign_up(tx, core, provider, arrived, cause, locale)
    elif way is Way.FOREIGN:
        return user, _foreign(tx, core, identity, user, cause, locale)
    elif user.status != ACTIVE:
        return user, Problem("account_disabled", "The account has been disabled.")
    elif known is not None:
        address = email.address if email else None
        tx.identities.note_use(known.id, address, core.world.now(), email_verified=identity.email_verified)
    else:
        joined = _join(tx, core, provider, user, identity, cause)
        if joined is None:
            return user, _foreign(tx, core, identity, user, cause, locale)
        user = joined
    if core.settings.verification_required and user.email_verified_at is None:
        return user, _unverified(tx, core, identity, user, cause, locale)
    return user, None


def _join(tx: Tx, core: Core, provider: Provider, user: User, identity: Identity, cause: Cause) -> User | None:
    """Link to the account of the same address, which the provider has verified; None where another identity is there."""
    about = cause.by_user(user.id, user.email)
    proved = addresses.prove(tx, core, user, about)
    return proved if _link(tx, core, provider, proved, identity, about) else None


def _sign_up(tx: Tx, core: Core, provider: Provider, arrived: Arrived, cause: Cause, locale: str | None) -> User:
    """A new account. Without an address it is known by the identity alone."""
    identity = arrived.identity
    email = identity.email or NO_ADDRESS._replace(key=f"{provider.name}:{identity.realm}:{identity.subject}")
    new = NewUser(
        email,
        name=identity.name or arrived.name,
        locale=identity.locale or locale,
        picture=identity.picture,
        verified=identity.email_verified,
    )
    user = signup.insert(tx, core, new, None)
    about = cause.by_user(user.id, user.email)
    tx.events.record(events.USER_REGISTERED, about, subject=user.id, data={"provider": provider.name})
    _link(tx, core, provider, user, identity, about, told=False)
    return user


def _foreign(tx: Tx, core: Core, identity: Identity, user: User, cause: Cause, locale: str | None) -> Problem:
    if not core.settings.hides_accounts or identity.email is None:
        return Problem("oauth_not_linked")
    challenges.ask(tx, core, TAKEN, "already_registered", identity.email, user, _by(cause, identity), locale=locale)
    return Problem("oauth_email_unverified")


def _unverified(tx: Tx, core: Core, identity: Identity, user: User, cause: Cause, locale: str | None) -> Problem:
    """The address of the account must be confirmed first; a mail that asks for it is on its way, if there is an address."""
    if user.email:
        challenges.ask(tx, core, VERIFY, "verify", Email(user.email, user.email_key), user, _by(cause, identity), locale=locale)
    return Problem("oauth_email_unverified")


def _enter(tx: Tx, core: Core, provider: Provider, user: User, identity: Identity, cause: Cause, wanted: Wanted) -> Entered | Pending:
    """The one door; but where the operator trusts this provider's own second step, and it tells of one, it counts."""
    if provider.name in core.settings.mfa_trust and was_strong(identity.amr, identity.acr):
        return signin.open_for(tx, core, user, [AMR, "mfa"], cause, sessions.AAL2)
    return signin.enter(tx, core, user, [AMR], cause, wanted)


def _link(tx: Tx, core: Core, provider: Provider, user: User, identity: Identity, cause: Cause, *, told: bool = True) -> Row | None:
    """None where the account has another identity of this provider. `told`: the owner is, by mail."""
    now = core.world.now()
    row = Row(
        id=ids.new(ids.IDENTITY, core.world),
        user_id=user.id,
        provider=provider.name,
        realm=identity.realm,
        subject=identity.subject,
        email=identity.email.address if identity.email else None,
        email_verified=int(identity.email_verified),
        created_at=now,
        last_used_at=now,
    )
    if not tx.identities.add(row):
        return None
    tx.events.record(events.IDENTITY_LINKED, cause, subject=user.id, data={"provider": provider.name})
    if told:
        letters.notify(tx, core, "identity_linked", user, cause, provider=provider.title)
    return row


def _find(tx: Tx, provider: Provider, identity: Identity) -> Row | None:
    return tx.identities.find(provider.name, identity.realm, identity.subject)


def _by(cause: Cause, identity: Identity) -> Cause:
    return cause.labelled(identity.email.address) if identity.email else cause
