"""Charging the limits: those that a route names in one transaction before its handler runs, those of an effect where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from authsvc import events
from authsvc.config.limits import LIMITS
from authsvc.config.parse import Limit
from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.primitives.buckets import Charge
from authsvc.problems import Problem
from authsvc.rules.limits import FORWARDED, HIDDEN_KEYS, IN_MEMORY, Facts, key
from authsvc.store.tx import Tx


class Charged(NamedTuple):
    """One limit, whose bucket it was, and what taking a token from it gave."""

    name: str
    key: str
    limit: Limit
    charge: Charge


def charge(core: Core, names: Sequence[str], facts: Facts) -> list[Charged]:
    """Take a token from each named bucket, in this order, up to the first that is empty."""
    now = core.world.now()
    charged: list[Charged] = []
    stored: dict[tuple[str, str], Limit] = {}
    for (name, whose), limit in _due(core, names, facts).items():
        if name in IN_MEMORY:
            charged.append(Charged(name, whose, limit, core.memory_buckets.charge(name, whose, limit, now)))
        else:
            stored[name, whose] = limit
    if stored and all(item.charge.allowed for item in charged):
        charged += _in_store(core, stored)
    return charged


def refuse_empty(charged: Sequence[Charged]) -> None:
    """Raise rate_limited if one of them was empty."""
    for item in charged:
        if not item.charge.allowed:
            wait = item.charge.retry_after
            raise Problem("rate_limited", f"Too many requests. Try again in {wait} second{'s' if wait > 1 else ''}.", retry_after=wait)


def headers(charged: Sequence[Charged]) -> list[tuple[str, str]]:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers), without what a stranger should not see."""
    shown = [item for item in charged if LIMITS[item.name].keyed_by not in HIDDEN_KEYS and not LIMITS[item.name].delays]
    if not shown:
        return []
    policy = ", ".join(f'"{item.name}";q={item.limit.burst};w={item.limit.seconds}' for item in shown)
    state = ", ".join(f'"{item.name}";r={item.charge.remaining};t={item.charge.reset}' for item in shown)
    return [("RateLimit-Policy", policy), ("RateLimit", state)]


def was_right(tx: Tx, tried: Iterable[Charged]) -> None:
    """What was charged for turned out to be right: the limits that count failures have none of it."""
    for item in _of_failures(tried):
        if LIMITS[item.name].delays:
            tx.delays.forget(item.name, item.key)
        else:
            tx.buckets.give_back(item.name, item.key, item.limit)


def not_tried(core: Core, charged: Sequence[Charged]) -> None:
    """It could not be tried at all, by no fault of the caller: that was no failure."""
    if not any(_of_failures(charged)):
        return
    with suppress(Problem), core.store.write() as tx:  # the store may be what is away
        _untry(tx, charged, core.world.now())


def may(tx: Tx, core: Core, name: str, whose: str, cause: Cause | None) -> bool:
    """Whether an effect may be had once more; charged, and on record if not. Without a cause it is no news."""
    limit = _limit(core, name)
    if limit is None or tx.buckets.charge(name, whose, limit, core.world.now()).allowed:
        return True
    if cause is not None:
        tx.events.record(events.LIMIT_HIT, cause, outcome="failure", data={"limit": name})
    return False


def give_back(tx: Tx, core: Core, name: str, whose: str) -> None:
    """What `may` took in the same block was for something right."""
    limit = _limit(core, name)
    if limit is not None:
        tx.buckets.give_back(name, whose, limit)


class State(NamedTuple):
    """How it stands with a limit: how many buckets are not full (who failed lately), and how many of them are empty (have to
    wait). None: it is counted in the memory of each process, and cannot be seen from another."""

    name: str
    limit: Limit
    used: int | None
    empty: int | None


def states(core: Core) -> list[State]:
    """Every limit as it stands."""
    now = core.world.now()
    with core.store.read() as tx:
        return [_state(tx, name, core.settings.limits[name], now) for name in LIMITS]


def clear(core: Core, names: Sequence[str], whose: str | None, cause: Cause) -> int:
    """Fill one bucket, or all, of these limits, and forget the failures; how many that were. On record, with the account whose
    address it was."""
    cleared = 0
    with core.store.write() as tx:
        for name in names:
            count = (tx.delays if LIMITS[name].delays else tx.buckets).clear(name, whose)
            cleared += count
            user = (tx.users.by_email(whose.partition(" ")[0]) or tx.users.get(whose)) if whose else None
            tx.events.record(events.LIMIT_CLEARED, cause, subject=user.id if user else None, data={"limit": name, "cleared": count})
    return cleared


def _state(tx: Tx, name: str, limit: Limit, now: int) -> State:
    if name in IN_MEMORY:
        return State(name, limit, None, None)
    if not limit.burst:
        return State(name, limit, 0, 0)
    return State(name, limit, *(tx.delays.counts(name, now) if LIMITS[name].delays else tx.buckets.counts(name, limit, now)))


def is_on(core: Core, name: str) -> bool:
    return _limit(core, name) is not None


def _limit(core: Core, name: str) -> Limit | None:
    """A limit as it is set; none where it is off."""
    limit = core.settings.limits[name]
    return limit if limit.burst else None


def _due(core: Core, names: Sequence[str], facts: Facts) -> dict[tuple[str, str], Limit]:
    """The buckets of a request: each limit's own, or that of what takes its place on a known device; each once."""
    due: dict[tuple[str, str], Limit] = {}
    for named in names:
        name = (LIMITS[named].on_known_device if facts.device else None) or named
        if (limit := _limit(core, name)) is not None:
            due[name, key(LIMITS[name].keyed_by, facts)] = limit
    if facts.forwarder and (limit := _limit(core, FORWARDED)) is not None:
        due[FORWARDED, facts.forwarder] = limit
    return due


def _in_store(core: Core, due: Mapping[tuple[str, str], Limit]) -> list[Charged]:
    now = core.world.now()
    charged: list[Charged] = []
    with core.store.write() as tx:
        for (name, whose), limit in due.items():
            take = tx.delays.charge if LIMITS[name].delays else tx.buckets.charge
            charged.append(Charged(name, whose, limit, take(name, whose, limit, now)))
            if not charged[-1].charge.allowed:
                _untry(tx, charged[:-1], now)
                break
    return charged


def _untry(tx: Tx, charged: Sequence[Charged], now: int) -> None:
    for item in _of_failures(charged):
        if LIMITS[item.name].delays:
            tx.delays.untry(item.name, item.key, item.charge, now)
        else:
            tx.buckets.give_back(item.name, item.key, item.limit)


def _of_failures(charged: Iterable[Charged]) -> list[Charged]:
    return [item for item in charged if LIMITS[item.name].failures_only and item.charge.allowed]
