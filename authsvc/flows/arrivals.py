"""Somebody came back from an OAuth provider to sign in: whose account that is, or a new one. The rule is rules/linking.py."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses, challenges, identities, sessions, signin, signup
from authsvc.flows.authentication import Caller
from authsvc.flows.core import Core
from authsvc.flows.sessions import Tokens
from authsvc.flows.signin import Entered, Pending, Wanted
from authsvc.flows.users import NewUser, account_of
from authsvc.primitives import ids
from authsvc.primitives.emails import Email
from authsvc.problems import Problem
from authsvc.providers.profile import Identity
from authsvc.providers.provider import Provider
from authsvc.rules.challenges import TAKEN, VERIFY
from authsvc.rules.linking import Way, was_strong, way_in
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, User

# RFC 8176 has no word for a sign-in that was done elsewhere; `mfa` stands beside it where a second step there counts.
AMR = "fed"
NO_ADDRESS = Email("", "")


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who came back, and from where; `name` is what was told beside the code and signed by nobody."""

    provider: Provider
    identity: Identity
    cause: Cause
    name: str | None = None
    locale: str | None = None

    @property
    def by(self) -> Cause:
        """The cause with the address that the provider told."""
        return self.cause.labelled(self.identity.email.address) if self.identity.email else self.cause


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that is complete, and where the browser goes."""

    tokens: Tokens
    redirect_to: str | None


class _Refused(Exception):
    """Why nobody is signed in. What was done up to here stays: a mail is on its way, and the refusal goes on record."""

    def __init__(self, problem: Problem, user: User | None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.user = user


def sign_in(core: Core, arrival: Arrival, wanted: Wanted) -> SignedIn:
    """Sign in, or sign up, whoever the provider says it is. Raises mfa_required where a second step is needed."""
    refused: _Refused | None = None
    with core.store.write() as tx:
        try:
            outcome = _enter(tx, core, arrival, _account(tx, core, arrival), wanted)
        except _Refused as error:
            refused = error
            subject = error.user.id if error.user else None
            data = {"reason": error.problem.code, "provider": arrival.provider.name}
            tx.events.record(events.LOGIN_FAILED, arrival.by, subject=subject, outcome="failure", data=data)
    if refused is not None:
        raise refused.problem
    return SignedIn(signin.tokens(core, outcome), wanted.redirect_to)


def renew(core: Core, provider: Provider, identity: Identity, caller: Caller, cause: Cause) -> Tokens:
    """Renew the auth_time of the caller's session by an identity that is linked to their account; nobody else's does."""
    user = caller.user
    with core.store.write() as tx:
        known = identities.find(tx, provider, identity)
        is_theirs = known is not None and known.user_id == user.id
        if is_theirs:
            session = sessions.strengthen(tx, core, caller.session.id, AMR)
            account = account_of(tx, user)
            tx.events.record(events.LOGIN_SUCCEEDED, cause, subject=user.id, data={"amr": [AMR], "again": True})
        else:
            data = {"reason": "reauthentication", "provider": provider.name}
            tx.events.record(events.LOGIN_FAILED, cause, subject=user.id, outcome="failure", data=data)
    if not is_theirs:
        raise Problem("oauth_not_linked", f"That was somebody else at {provider.title}: nobody who is linked to your account.")
    return sessions.tokens(core, account, session)


def _account(tx: Tx, core: Core, arrival: Arrival) -> User:
    """Whose account it is. Raises _Refused, with the same problem whether or not the address has an account, where
    accounts are hidden."""
    identity, email = arrival.identity, arrival.identity.email
    known = identities.find(tx, arrival.provider, identity)
    user = tx.users.get(known.user_id) if known else tx.users.by_email(email.key) if email else None
    confirmed = user is not None and user.email_verified_at is not None
    way = way_in(linked=known is not None, proved=identity.email_verified, account=user is not None, confirmed=confirmed)
    if user is None or way is Way.FOREIGN:
        user = _newcomer(tx, core, arrival, user)
    elif user.status != ACTIVE:
        raise _Refused(Problem("account_disabled", "The account has been disabled."), user)
    elif known is not None:
        address = email.address if email else None
        tx.identities.note_use(known.id, address, core.world.now(), email_verified=identity.email_verified)
    else:
        user = _join(tx, core, arrival, user)
    if core.settings.verification_required and user.email_verified_at is None:
        raise _unconfirmed(tx, core, arrival, user)
    return user


def _newcomer(tx: Tx, core: Core, arrival: Arrival, owner: User | None) -> User:
    """An account of their own, unless somebody has the address already and nothing shows that it is they."""
    if owner is not None and not core.settings.hides_accounts:
        raise _Refused(Problem("oauth_not_linked"), owner)
    email = arrival.identity.email or NO_ADDRESS
    if not signup.is_open(core, email):
        raise _Refused(signup.closed(core, email), owner)
    if owner is None:
        return _sign_up(tx, core, arrival)
    raise _foreign(tx, core, arrival, owner)


def _sign_up(tx: Tx, core: Core, arrival: Arrival) -> User:
    """A new account. Without an address it is known by the identity alone; what stands in its place means nothing."""
    provider, identity = arrival.provider, arrival.identity
    new = NewUser(
        identity.email or NO_ADDRESS._replace(key=ids.new(ids.IDENTITY, core.world)),
        name=identity.name or arrival.name,
        locale=identity.locale or arrival.locale,
        picture=identity.picture,
        verified=identity.email_verified,
    )
    user = signup.insert(tx, core, new, None)
    about = arrival.cause.by_user(user.id, user.email)
    tx.events.record(events.USER_REGISTERED, about, subject=user.id, data={"provider": provider.name})
    identities.add(tx, core, provider, user, identity, about, told=False)
    return user


def _join(tx: Tx, core: Core, arrival: Arrival, user: User) -> User:
    """Link to the account of the same address, which the provider has verified; unless another identity of this provider
    is linked there."""
    about = arrival.cause.by_user(user.id, user.email)
    proved = addresses.prove(tx, core, user, about)
    if identities.add(tx, core, arrival.provider, proved, arrival.identity, about) is None:
        raise _Refused(Problem("oauth_not_linked"), user)
    return proved


def _foreign(tx: Tx, core: Core, arrival: Arrival, owner: User) -> _Refused:
    """Accounts are hidden: the same as for an address that has none, and the owner gets a mail."""
    if arrival.identity.email is not None:
        challenges.ask(tx, core, TAKEN, "already_registered", arrival.identity.email, owner, arrival.by, locale=arrival.locale)
    return _Refused(Problem("oauth_email_unverified"), owner)


def _unconfirmed(tx: Tx, core: Core, arrival: Arrival, user: User) -> _Refused:
    """The address of the account must be confirmed first; a mail that asks for it is on its way, if there is an address."""
    if user.email:
        challenges.ask(tx, core, VERIFY, "verify", Email(user.email, user.email_key), user, arrival.by, locale=arrival.locale)
    return _Refused(Problem("oauth_email_unverified"), user)


def _enter(tx: Tx, core: Core, arrival: Arrival, user: User, wanted: Wanted) -> Entered | Pending:
    """The one door; but where the operator trusts this provider's own second step, and it tells of one, it counts."""
    identity = arrival.identity
    if arrival.provider.name in core.settings.mfa_trust and was_strong(identity.amr, identity.acr):
        return signin.open_for(tx, core, user, [AMR, "mfa"], arrival.cause, sessions.AAL2)
    return signin.enter(tx, core, user, [AMR], arrival.cause, wanted)
