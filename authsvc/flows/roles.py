"""Roles: made, changed and deleted. A change counts at once, for everybody who has the role."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from authsvc import events
from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.problems import Problem
from authsvc.rules.access import BUILT_IN_ROLES, Authority, demand_cover
from authsvc.store.roles import Role

MOST = 500  # roles
DESCRIPTIONS = {"admin": "May do everything.", "user": "What everybody is."}


class Shown(NamedTuple):
    """A role as callers see it. Times in ms; a built-in one has none."""

    name: str
    description: str
    caps: Sequence[str]
    built_in: bool
    created_at: int | None = None
    updated_at: int | None = None


def every(core: Core) -> list[Shown]:
    """All roles, the built-in ones first."""
    with core.store.read() as tx:
        own = tx.roles.every()
    built_in = [Shown(name, DESCRIPTIONS[name], list(caps), built_in=True) for name, caps in BUILT_IN_ROLES.items()]
    return built_in + [_shown(role) for role in own]


def put(core: Core, name: str, description: str | None, caps: Sequence[str], cause: Cause, authority: Authority) -> tuple[Shown, bool]:
    """Make a role, or change it; whether it is new. What it gains and what it loses must be the actor's own."""
    _refuse_built_in(name)
    now, wanted = core.world.now(), sorted(set(caps))
    with core.store.write() as tx:
        known = tx.roles.get(name)
        before: list[str] = json.loads(known.caps) if known else []
        demand_cover(authority, {*before} ^ {*wanted})
        if known is None and len(tx.roles.every()) >= MOST:
            raise Problem("conflict", f"There may be {MOST} roles.")
        words = description if description is not None else known.description if known else ""
        role = Role(name, words, json.dumps(wanted, separators=(",", ":")), known.created_at if known else now, now)
        tx.roles.put(role)
        if known is not None and before != wanted:
            tx.roles.outdate_holders(name)
        event = events.ROLE_UPDATED if known else events.ROLE_CREATED
        tx.events.record(event, cause, subject=name, data={"before": before, "after": wanted})
    return _shown(role), known is None


def remove(core: Core, name: str, cause: Cause, authority: Authority) -> None:
    """Delete a role, and take it from all who have it."""
    _refuse_built_in(name)
    with core.store.write() as tx:
        known = tx.roles.get(name)
        if known is None:
            raise Problem("not_found")
        before: list[str] = json.loads(known.caps)
        demand_cover(authority, before)
        tx.roles.outdate_holders(name)
        tx.roles.remove(name)
        tx.events.record(events.ROLE_DELETED, cause, subject=name, data={"before": before})


def _shown(role: Role) -> Shown:
    return Shown(role.name, role.description, json.loads(role.caps), built_in=False, created_at=role.created_at, updated_at=role.updated_at)


def _refuse_built_in(name: str) -> None:
    if name in BUILT_IN_ROLES:
        raise Problem("conflict", f"The role {name} is built in: it stays as it is.")
