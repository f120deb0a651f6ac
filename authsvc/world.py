"""The clock, chance, pauses and the log: the only room that touches them. Tests put their own in its place."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress


class World:
    """What the process takes from outside itself."""

    def __init__(self) -> None:
        self.renew()

    def now(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May step backwards when the host's clock is set."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean something."""
        return time.monotonic()

    def random_bytes(self, count: int) -> bytes:
        """Bytes from the operating system's generator."""
        return os.urandom(count)

    def pause(self, seconds: float) -> None:
        """Let other threads and processes run for a while."""
        time.sleep(seconds)

    def wake(self) -> None:
        """Let all who wait for work look at once."""
        with self._work:
            self._wakes += 1
            self._work.notify_all()

    def wait_for_work(self, seen: int, seconds: float) -> int:
        """Wait until there was a call to `wake` after the `seen` ones, or so long; how many there were by now."""
        with self._work:
            self._work.wait_for(lambda: self._wakes != seen, seconds)
            return self._wakes

    def renew(self) -> None:
        """In a child, after a fork: what other threads of the parent held is not ours to wait for."""
        self._work = threading.Condition()
        self._wakes = 0

    def slow(self, act: str) -> None:
        """Called before anything slow (hashing, network), so that tests can refuse it inside a write block."""

    def log(self, line: str) -> None:
        """One line to standard error, whole even when several threads log at once."""
        with suppress(OSError, ValueError, AttributeError):  # nobody listens: no reason to fail a request
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
