"""Token buckets as one number: the time at which a bucket is full again (the generic cell rate algorithm)."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from authsvc.config.parse import Limit
from authsvc.primitives.memory import make_room
from authsvc.primitives.metrics import Metrics

MEMORY_KEYS = 50_000


class Charge(NamedTuple):
    """What came of taking one token. `remaining` counts tokens; `reset` and `retry_after` are whole seconds. `failures`, of a
    delay: how many there are in a row, this try among them."""

    allowed: bool
    remaining: int
    reset: int
    retry_after: int
    failures: int = 0


def interval_ms(limit: Limit) -> int:
    """Milliseconds in which one token comes back, rounded up, so that the limit is never exceeded."""
    return -(-limit.seconds * 1000 // limit.burst)


def take(full_at: int, now: int, limit: Limit) -> int | None:
    """The bucket's new time after one token was taken, or None when it is empty.

    A time further ahead than an empty bucket's comes from a clock that was set back: it counts as empty, no more.
    """
    cost, window = interval_ms(limit), interval_ms(limit) * limit.burst
    taken = min(max(full_at, now), now + window) + cost
    return taken if taken <= now + window else None


def empty(full_at: int, now: int, limit: Limit) -> int:
    """What the time of a bucket is brought back to when it is found empty, so that it fills by today's clock."""
    return min(full_at, now + interval_ms(limit) * limit.burst)


def allowed(full_at: int, now: int, limit: Limit) -> Charge:
    """The answer for a bucket from which a token was just taken."""
    cost, window = interval_ms(limit), interval_ms(limit) * limit.burst
    return Charge(allowed=True, remaining=(now + window - full_at) // cost, reset=_seconds(full_at - now), retry_after=0)


def refused(full_at: int, now: int, limit: Limit) -> Charge:
    """The answer for an empty bucket."""
    cost, window = interval_ms(limit), interval_ms(limit) * limit.burst
    wait = _seconds(min(full_at, now + window) + cost - (now + window))
    return Charge(allowed=False, remaining=0, reset=wait, retry_after=wait)


class MemoryBuckets:
    """Buckets of this process alone, for what is too cheap to ask the store. Bounded: the oldest keys go first."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._charges = self._metrics.tally(self._count)
        self._full_at: dict[tuple[str, str], int] = {}

    def charge(self, name: str, key: str, limit: Limit, now: int) -> Charge:
        # Two threads may both read before either writes, and so share a token: harmless for these limits.
        known = self._full_at.get((name, key), 0)
        taken = take(known, now, limit)
        self._charges.note((name, taken is not None))
        if taken is None:
            self._full_at[name, key] = empty(known, now, limit)
            return refused(known, now, limit)
        make_room(self._full_at, MEMORY_KEYS)
        self._full_at[name, key] = taken
        return allowed(taken, now, limit)

    def _count(self, charges: list[tuple[str, bool]]) -> None:
        for (limit, was_allowed), number in Counter(charges).items():
            self._metrics.count("limit_charges_total", number, limit=limit, outcome="allowed" if was_allowed else "refused")


def _seconds(milliseconds: int) -> int:
    return max(1, -(-milliseconds // 1000))
