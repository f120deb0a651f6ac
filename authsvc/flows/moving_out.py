"""All accounts and roles as records that moving_in.py takes: what leaves the house when a service moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.factors import totp
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.store import identities
from authsvc.store.factors import Factor
from authsvc.store.tx import Tx
from authsvc.store.users import User

PAGE = 500  # accounts of one read, so that no read is long


def records(core: Core, *, secrets: bool) -> Iterator[dict[str, Any]]:
    """Roles, each before the first account that may have it; accounts in the order of their making; each as it was when it
    was read. `secrets`: those of authenticator apps too. What a record does not name is empty."""
    after, told = "", set[str]()
    while True:
        with core.store.read() as tx:
            users = tx.users.page(after=after, limit=PAGE)
            page = [_account(tx, core, user, secrets=secrets) for user in users]
            new = [role for role in tx.roles.every() if role.name not in told]  # after the accounts, which may have got one just now
        for role in new:
            told.add(role.name)
            yield {"type": "role", "name": role.name, "description": role.description, "caps": json.loads(role.caps)}
        yield from page
        if not page:
            return
        after = users[-1].id


def note(core: Core, count: int, cause: Cause, *, secrets: bool) -> None:
    """On record, since whoever has the file can try passwords for as long as they like."""
    with core.store.write() as tx:
        tx.events.record(events.USERS_EXPORTED, cause, data={"users": count, "secrets": secrets})


def _account(tx: Tx, core: Core, user: User, *, secrets: bool) -> dict[str, Any]:
    factors = sorted(tx.factors.of(user.id), key=lambda factor: (factor.created_at, factor.type, factor.label))
    return _filled(
        {
            "type": "user",
            "id": user.id,
            "email": user.email or None,
            "email_verified": user.email_verified_at is not None,
            "phone_number": user.phone_number,
            "phone_number_verified": user.phone_verified_at is not None,
            "name": user.name,
            "picture": user.picture,
            "locale": user.locale,
            "status": user.status,
            "password_hash": user.password_hash,
            "roles": tx.users.roles(user.id),
            "metadata": json.loads(user.metadata),
            "app_metadata": json.loads(user.app_metadata),
            "created_at": timestamp(user.created_at),
            "updated_at": timestamp(user.updated_at),
            "last_login_at": timestamp(user.last_login_at),
            "identities": [_identity(row) for row in tx.identities.of(user.id)],
            "factors": [_factor(core, factor, secrets=secrets) for factor in factors],
        }
    )


def _identity(row: identities.Row) -> dict[str, Any]:
    return _filled(
        {
            "provider": row.provider,
            "realm": row.realm,
            "subject": row.subject,
            "email": row.email,
            "email_verified": bool(row.email_verified),
            "created_at": timestamp(row.created_at),
            "last_used_at": timestamp(row.last_used_at),
        }
    )


def _factor(core: Core, factor: Factor, *, secrets: bool) -> dict[str, Any]:
    return _filled(
        {
            "type": factor.type,
            "label": factor.label,
            "phone_number": factor.target,
            "secret": totp.secret_of(core.keyring, factor) if secrets and factor.type == "totp" else None,
            "created_at": timestamp(factor.created_at),
            "last_used_at": timestamp(factor.last_used_at),
        }
    )


def _filled(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value not in (None, False, [], {})}
