"""Charging the limits that a route names, in one transaction, before its handler runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from authsvc.config.limits import LIMITS
from authsvc.config.parse import Limit
from authsvc.flows.core import Core
from authsvc.primitives.buckets import Charge
from authsvc.problems import Problem
from authsvc.rules.limits import HIDDEN_KEYS, IN_MEMORY, Facts, key


class Charged(NamedTuple):
    """One limit and what taking a token from its bucket gave."""

    name: str
    limit: Limit
    charge: Charge


def charge(core: Core, names: Sequence[str], facts: Facts) -> list[Charged]:
    """Take a token from each named bucket, in this order, up to the first that is empty."""
    active = [(name, core.settings.limits[name]) for name in names if core.settings.limits[name].burst]
    charged = _in_memory(core, [item for item in active if item[0] in IN_MEMORY], facts)
    stored = [item for item in active if item[0] not in IN_MEMORY]
    if stored and all(item.charge.allowed for item in charged):
        charged += _in_store(core, stored, facts)
    return charged


def refuse_empty(charged: Sequence[Charged]) -> None:
    """Raise rate_limited if one of them was empty."""
    for item in charged:
        if not item.charge.allowed:
            raise Problem(
                "rate_limited", f"Too many requests. Try again in {item.charge.retry_after} seconds.", retry_after=item.charge.retry_after
            )


def headers(charged: Sequence[Charged]) -> list[tuple[str, str]]:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers), without what a stranger should not see."""
    shown = [item for item in charged if LIMITS[item.name].keyed_by not in HIDDEN_KEYS]
    if not shown:
        return []
    policy = ", ".join(f'"{item.name}";q={item.limit.burst};w={item.limit.seconds}' for item in shown)
    state = ", ".join(f'"{item.name}";r={item.charge.remaining};t={item.charge.reset}' for item in shown)
    return [("RateLimit-Policy", policy), ("RateLimit", state)]


def _in_memory(core: Core, limits: Sequence[tuple[str, Limit]], facts: Facts) -> list[Charged]:
    now = core.world.now()
    buckets = core.memory_buckets
    return [Charged(name, limit, buckets.charge(name, key(LIMITS[name].keyed_by, facts), limit, now)) for name, limit in limits]


def _in_store(core: Core, limits: Sequence[tuple[str, Limit]], facts: Facts) -> list[Charged]:
    now = core.world.now()
    charged: list[Charged] = []
    with core.store.write() as tx:
        for name, limit in limits:
            charged.append(Charged(name, limit, tx.buckets.charge(name, key(LIMITS[name].keyed_by, facts), limit, now)))
            if not charged[-1].charge.allowed:
                break
    return charged
