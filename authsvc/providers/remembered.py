"""What a provider publishes and we keep for a while: its endpoints and its keys."""

from __future__ import annotations

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

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,9})(?:$|[\s,])", re.IGNORECASE)


class _Kept(NamedTuple, Generic[T]):
    value: T
    at: int
    seconds: int


class Remembered(Generic[T]):
    """One such value. Two threads may ask for it at once; no lock is held, so that no fork can inherit one."""

    def __init__(self, world: World, load: Callable[[], tuple[T, Answered]]) -> None:
        self._world = world
        self._load = load
        self._kept: _Kept[T] | None = None
        self._failed_at: int | None = None

    def get(self) -> T:
        """The value, asked for where it is not fresh; raises what asking raises where there is none to go on with."""
        kept = self._kept
        if kept is not None and (self._age(kept.at) < kept.seconds or self._rests()):
            return kept.value
        if kept is None and self._rests():
            raise Problem("oauth_exchange_failed", reason="not asked again so soon after a failure")
        try:
            return self.renew()
        except Problem:
            self._failed_at = self._world.now()
            if kept is None or self._age(kept.at) > kept.seconds + STALE_SECONDS:
                raise
            return kept.value

    def renew(self) -> T:
        """Ask for it now."""
        value, answered = self._load()
        self._kept = _Kept(value, self._world.now(), lifetime(answered))
        self._failed_at = None
        return value

    @property
    def age(self) -> float:
        """Seconds since it was asked for; endless where it never was."""
        return self._age(self._kept.at) if self._kept else float("inf")

    def _rests(self) -> bool:
        return self._failed_at is not None and self._age(self._failed_at) < PAUSE_SECONDS

    def _age(self, since: int) -> float:
        """A clock that was set back makes it old, not young for ever."""
        age = (self._world.now() - since) / 1000
        return age if age >= 0 else float("inf")


def lifetime(answered: Answered) -> int:
    """How long an answer may be used, in seconds, within our own bounds (RFC 9111 section 5.2.2.1)."""
    found = _MAX_AGE.search(answered.headers.get("cache-control", ""))
    return min(MOST_SECONDS, max(LEAST_SECONDS, int(found[1]))) if found else USUAL_SECONDS
