"""Asking whether a password is known from data breaches. Without an answer none is."""

from __future__ import annotations

from authsvc.http.outbound import AGENT, Call, Unreachable, call
from authsvc.http.slots import Slots
from authsvc.primitives import breaches
from authsvc.problems import Problem
from authsvc.world import WARNING, World

SECONDS = 2.0  # of the whole call: somebody waits to register
MAX_BYTES = 262_144  # padding brings an answer to 1,000 lines of 40 bytes; a prefix that many passwords share has more
TELL_MS = 60_000  # how often an outage is put into the log


class Breaches:
    """The range API at a URL; without one nothing is asked."""

    def __init__(self, world: World, slots: Slots, url: str) -> None:
        self._world = world
        self._slots = slots
        self._url = url
        self._told: int | None = None

    def count(self, password: str) -> int:
        """In how many places the password was seen; 0 also when nobody answers."""
        if not self._url:
            return 0
        asked = breaches.hashed(password)
        headers = {"Add-Padding": "true", **AGENT}
        try:
            with self._slots.taken("the breach check"):
                answered = call(
                    self._world,
                    Call("GET", self._url + asked.prefix, headers, seconds=SECONDS, most_bytes=MAX_BYTES),
                )
            if not answered.ok:
                raise ValueError(f"status {answered.status}")
            return breaches.count(answered.body, asked.suffix)
        except (Unreachable, ValueError) as error:
            self._tell(str(error).replace(asked.prefix, "*****"))  # it may repeat a line of theirs, and that what we asked for
        except Problem as problem:
            self._tell(str(problem.reason))
        return 0

    def _tell(self, why: str) -> None:
        now = self._world.now()
        if self._told is None or not 0 <= now - self._told < TELL_MS:
            self._told = now
            self._world.log(f"warning: the breach check was not done: {why}", WARNING)
