"""The clock, chance, pauses and the log: the only room that touches them. Tests put their own in its place."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress


class World:
    """What the process takes from outside itself."""

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

    def slow(self, act: str) -> None:
        """Called before anything slow (hashing, network), so that tests can refuse it inside a write block."""

    def log(self, line: str) -> None:
        """One line to standard error, whole even when several threads log at once."""
        with suppress(OSError, ValueError, AttributeError):  # nobody listens: no reason to fail a request
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
