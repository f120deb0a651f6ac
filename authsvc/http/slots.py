"""How many request threads may wait for others at once, so that a slow one never keeps everybody else waiting."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from authsvc.problems import busy


class Slots:
    """At most half of the request threads, over everybody whom a request may have to wait for."""

    def __init__(self, *, threads: int) -> None:
        self._most = max(1, threads // 2)
        self._free: dict[int, threading.BoundedSemaphore] = {}  # by process; a child's are all free

    @contextmanager
    def taken(self, whom: str) -> Iterator[None]:
        """While a request waits for somebody. Raises busy."""
        free = self._free.setdefault(os.getpid(), threading.BoundedSemaphore(self._most))
        if not free.acquire(blocking=False):
            raise busy(f"too many requests wait for {whom}", retry_after=5)
        try:
            yield
        finally:
            free.release()
