"""API keys for services: made, listed and revoked. Who shows one is found by authentication.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from authsvc import events
from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.primitives import apikeys, ids
from authsvc.problems import Problem
from authsvc.rules.access import Authority, demand_cover
from authsvc.store.keys import ApiKey

MOST = 1_000


class NewKey(NamedTuple):
    """What a key is to be. `expires_at` in ms; no networks: from anywhere."""

    name: str
    caps: Sequence[str]
    expires_at: int | None = None
    networks: Sequence[str] = ()


def create(core: Core, new: NewKey, cause: Cause, authority: Authority) -> tuple[ApiKey, str]:
    """The row, and the key itself, which is shown this once. It may do nothing that its maker may not."""
    demand_cover(authority, new.caps)
    key = core.keyring.current
    row = ApiKey(
        id=ids.new(ids.API_KEY, core.world),
        kid=key.kid,
        name=new.name,
        caps=json.dumps(sorted(set(new.caps)), separators=(",", ":")),
        networks=json.dumps(list(dict.fromkeys(new.networks)), separators=(",", ":")),
        created_by=cause.actor_id,
        created_at=core.world.now(),
        expires_at=new.expires_at,
        revoked_at=None,
        last_used_at=None,
    )
    with core.store.write() as tx:
        if tx.keys.count_live() >= MOST:
            raise Problem("conflict", f"There may be {MOST} keys that are not revoked.")
        tx.keys.add(row)
        tx.events.record(events.KEY_CREATED, cause, subject=row.id, data={"caps": row.granted})
    return row, apikeys.mint(key, row.id)


def page(core: Core, *, before: str, limit: int) -> list[ApiKey]:
    """Newest first; those that do not count any more for a while, too."""
    with core.store.read() as tx:
        return tx.keys.page(before=before, limit=limit)


def revoke(core: Core, key_id: str, cause: Cause, authority: Authority) -> None:
    """From now on it opens nothing. Only for who may do all that it may."""
    with core.store.write() as tx:
        known = tx.keys.get(key_id)
        if known is None:
            raise Problem("not_found")
        demand_cover(authority, known.granted)
        if tx.keys.revoke(key_id, core.world.now()):
            tx.events.record(events.KEY_REVOKED, cause, subject=key_id)
