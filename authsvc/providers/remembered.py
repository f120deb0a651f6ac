"""What a provider publishes and we keep for a while: its endpoints and its keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from authsvc.http.outbound import Answered
from authsvc.problems import Problem
from authsvc.world import World

T = TypeVar("T")

LEAST_SECONDS, USUAL_SECONDS, MOST_SECONDS = 300, 3_600, 86_400
STALE_SECONDS = 86_400  # how long it is used on when it cannot be asked for anew
PAUSE_SECONDS = 10  # between two tries of which the first failed

_NOT_KEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])", re.IGNORECASE)
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,9})(?:$|[\s,])", re.IGNORECASE)


class _Kept(NamedTuple, Generic[T]):
    value: T
    at: int
    seconds: int


class Remembered(Generic[T]):
    """One such value. Two threads may ask for it at once; no lock is held, so that no fork can inherit one."""

    def __init__(self, world: World, load: Callable[[float | None], tuple[T, Answered]]) -> None:
        self._world = world
        self._load = load
        self._kept: _Kept[T] | None = None
        self._failed_at: int | None = None

    def get(self, until: float | None = None) -> T:
        """The value, asked for where it is not fresh; raises what asking raises where there is none to go on with. `until`
        is the deadline of the request that needs it, by the world's monotonic clock."""
        kept = self._kept
        past = self._age(kept.at) - kept.seconds if kept is not None else math.inf
        if kept is not None and past < 0:
            return kept.value
        if not self._rests():
            try:
                return self.renew(until)
            except Problem:
                if past > STALE_SECONDS:
                    raise
        if kept is None or past > STALE_SECONDS:
            raise Problem("oauth_exchange_failed", reason="not asked again so soon after a failure")
        return kept.value

    def renew(self, until: float | None = None) -> T:
        """Ask for it now."""
        try:
            value, answered = self._load(until)
        except Problem:
            self._failed_at = self._world.now()
            raise
        self._kept = _Kept(value, self._world.now(), lifetime(answered))
        self._failed_at = None
        return value

    @property
    def quiet(self) -> float:
        """Seconds since it was last asked for, in vain or not; endless where it never was."""
        tries = (self._kept.at if self._kept else None, self._failed_at)
        return min((self._age(at) for at in tries if at is not None), default=math.inf)

    def _rests(self) -> bool:
        return self._failed_at is not None and self._age(self._failed_at) < PAUSE_SECONDS

    def _age(self, since: int) -> float:
        """A clock that was set back makes it old, not young for ever."""
        age = (self._world.now() - since) / 1000
        return age if age >= 0 else math.inf


def lifetime(answered: Answered) -> int:
    """How long an answer may be used, in seconds, within our own bounds (RFC 9111 section 5.2.2.1)."""
    said = answered.headers.get("cache-control", "")
    if _NOT_KEPT.search(said):  # kept all the same, for the least: every sign-in would ask otherwise
        return LEAST_SECONDS
    found = _MAX_AGE.search(said)
    return min(MOST_SECONDS, max(LEAST_SECONDS, int(found[1]))) if found else USUAL_SECONDS
