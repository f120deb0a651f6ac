"""Going to an OAuth provider and coming back: the attempt, derived and spent once, and what the provider says at its end."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import arrivals, challenges, identities, sessions
from authsvc.flows.arrivals import Arrival, SignedIn
from authsvc.flows.authentication import Caller
from authsvc.flows.challenges import data_of
from authsvc.flows.core import Core
from authsvc.flows.identities import Linked
from authsvc.flows.signin import Wanted
from authsvc.primitives import links
from authsvc.primitives.keyring import Key, Purpose, encode
from authsvc.problems import Problem
from authsvc.providers.profile import Identity
from authsvc.providers.provider import Attempt, Provider
from authsvc.rules.challenges import OAUTH, PROVIDER
from authsvc.store.challenges import Challenge
from authsvc.store.users import ACTIVE

DENIED = "access_denied"  # RFC 6749 section 4.1.2.1


@dataclass(frozen=True, slots=True)
class Returned:
    """What the browser brings back from the provider (RFC 6749 section 4.1.2, RFC 9207)."""

    state: str
    code: str | None = None
    iss: str | None = None
    error: str | None = None
    name: str | None = None  # told beside the code, and signed by nobody


def begin(
    core: Core,
    provider: Provider,
    browser: str,
    *,
    redirect_to: str | None,
    locale: str | None,
    caller: Caller | None,
    again: bool = False,
) -> str:
    """The URL to send the browser to. `browser`: what only this browser keeps. With a caller the identity will be linked
    to their account, by their session, or, `again`, renew that; without one it signs somebody in."""
    key = core.keyring.current
    challenge = challenges.of(
        core,
        OAUTH,
        PROVIDER,
        provider.name,
        f"{PROVIDER}:{provider.name}",
        caller.user if caller else None,
        browser=_trace(key, browser),
        session_id=caller.session.id if caller else None,
        redirect_to=redirect_to,
        locale=locale,
        again=again,
    )._replace(kid=key.kid)  # the one that the trace was made with, though another may be current by now
    with core.providers.waiting():
        url = provider.authorize_url(_attempt(core, key, provider, challenge))
    with core.store.write() as tx:
        tx.challenges.add(challenge)
    return url


def finish(
    core: Core, provider: Provider, returned: Returned, browser: str | None, caller: Caller | None, cause: Cause, *, set_cookie: bool
) -> SignedIn | Linked:
    """Sign in or link whoever came back, once. `set_cookie`: how a sign-in ends that has a second step. Raises oauth_… and
    mfa_required."""
    challenge, key = _genuine(core, provider, returned.state, browser)
    if challenge.user_id is not None and caller is not None and caller.user.id != challenge.user_id:
        raise Problem("oauth_state_invalid", "Somebody else is signed in now. Begin again.")
    with core.providers.waiting():  # or busy, which spends nothing
        with core.store.write() as tx:  # spent before anything is asked of the provider, whatever comes of it
            if tx.challenges.spend(challenge.id, core.world.now()) is None:
                raise Problem("oauth_state_invalid")
        identity = _ask(core, provider, returned, _attempt(core, key, provider, challenge), cause)
    noted = data_of(challenge)
    if challenge.user_id is None:
        wanted = Wanted(set_cookie, noted["redirect_to"])
        return arrivals.sign_in(core, Arrival(provider, identity, cause, returned.name, noted["locale"]), wanted)
    linking = _linking(core, challenge.user_id, noted["session_id"])
    if noted.get("again"):
        return SignedIn(arrivals.renew(core, provider, identity, linking, cause), noted["redirect_to"])
    return identities.link(core, provider, identity, linking, cause, redirect_to=noted["redirect_to"])


def _genuine(core: Core, provider: Provider, state: str, browser: str | None) -> tuple[Challenge, Key]:
    """The open attempt that this state stands for, if it was begun here, by this browser, for this provider."""
    found = challenges.genuine(core, state, OAUTH)
    if found is None or found[0].target != provider.name:
        raise Problem("oauth_state_invalid")
    challenge, key = found
    if browser is None or not hmac.compare_digest(_trace(key, browser), data_of(challenge)["browser"]):
        raise Problem("oauth_state_invalid")
    return challenge, key


def _ask(core: Core, provider: Provider, returned: Returned, attempt: Attempt, cause: Cause) -> Identity:
    """Who it is, by the provider's word. What goes wrong is on record."""
    try:
        if not provider.is_from_here(returned.iss):
            raise Problem("oauth_state_invalid", "The answer is another provider's.", reason=f"{provider.name}: iss is {returned.iss!a}")
        if returned.error == DENIED:
            raise Problem("oauth_denied")
        if returned.error is not None or not returned.code:
            raise Problem("oauth_exchange_failed", reason=f"{provider.name}: it answered {returned.error!a} in place of a code")
        return provider.identify(returned.code, attempt)
    except Problem as problem:
        with core.store.write() as tx:
            data = {"reason": problem.code, "provider": provider.name}
            tx.events.record(events.LOGIN_FAILED, cause, outcome="failure", data=data)
        raise


def _linking(core: Core, user_id: str, session_id: str) -> Caller:
    """Who began the linking, if their session still counts."""
    with core.store.read() as tx:
        found = tx.sessions.with_user(session_id)
    if found is None or found[1].id != user_id or found[1].status != ACTIVE or not sessions.is_live(core, found[0], core.world.now()):
        raise Problem("oauth_state_invalid", "The session that began this has ended. Sign in, and begin again.")
    return Caller(found[1], found[0], {})


def _attempt(core: Core, key: Key, provider: Provider, challenge: Challenge) -> Attempt:
    return Attempt(
        redirect_uri=f"{core.settings.public_url}/oauth/{provider.name}/callback",
        state=links.mint(key, challenge.id, OAUTH.purpose),
        nonce=encode(key.derive(Purpose.NONCE, challenge.id)),
        verifier=encode(key.derive(Purpose.VERIFIER, challenge.id)),
    )


def _trace(key: Key, browser: str) -> str:
    return encode(key.derive(Purpose.BROWSER, browser))
