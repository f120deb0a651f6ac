"""Identities at OAuth providers that are linked to accounts: listed, linked and unlinked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import letters
from authsvc.flows.authentication import Caller
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.primitives import ids
from authsvc.problems import Problem
from authsvc.providers.profile import Identity
from authsvc.providers.provider import Provider
from authsvc.rules.linking import has_other_way_in
from authsvc.store.identities import Row
from authsvc.store.tx import Tx
from authsvc.store.users import User


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


def link(core: Core, provider: Provider, identity: Identity, caller: Caller, cause: Cause, *, redirect_to: str | None) -> Linked:
    """Link the identity to the account whose session began this; linking it twice is linking it once. Raises conflict."""
    user = caller.user
    cause = cause.by_user(user.id, user.email, caller.session.id)
    with core.store.write() as tx:
        if tx.users.get(user.id) is None:  # deleted since the session was looked at
            raise Problem("oauth_state_invalid", "The account that began this is gone.")
        known = find(tx, provider, identity)
        if known is None:
            known = add(tx, core, provider, user, identity, cause)
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
        offered = {one.name: one.realm for one in core.providers.every()}
        safe = has_other_way_in(
            password=bool(now_user.email) and now_user.password_hash is not None,
            confirmed_email=bool(now_user.email) and now_user.email_verified_at is not None,
            confirmed_phone=now_user.phone_verified_at is not None and core.settings.sms.scheme != "off",
            others=sum(row.provider != provider and offered.get(row.provider) == row.realm for row in linked),
        )
        if not safe:
            raise Problem("conflict", "This is the last way into your account. Confirm your address or set a password first.")
        tx.identities.remove(user.id, provider)
        tx.events.record(events.IDENTITY_UNLINKED, cause, subject=user.id, data={"provider": provider})
        letters.notify(tx, core, "identity_unlinked", now_user, cause, provider=title_of(core, provider))


def title_of(core: Core, provider: str) -> str:
    """What people call it; its name where it is not offered any more."""
    return next((known.title for known in core.providers.every() if known.name == provider), provider)


def find(tx: Tx, provider: Provider, identity: Identity) -> Row | None:
    """What is on record of somebody at a provider."""
    return tx.identities.find(provider.name, identity.realm, identity.subject)


def add(tx: Tx, core: Core, provider: Provider, user: User, identity: Identity, cause: Cause, *, told: bool = True) -> Row | None:
    """Link it; None where the account has another identity of this provider. `told`: the owner is, by mail."""
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
