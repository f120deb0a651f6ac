"""Adding what a process has counted to the store's sums, every few seconds: so that others can tell it, and a kill loses little."""

from __future__ import annotations

import traceback

from authsvc.problems import Problem
from authsvc.store import counts
from authsvc.store.sqlite import Store
from authsvc.world import ERROR, World

SECONDS = 5.0


class Counting:
    """The one thread that every process has which answers or delivers. Requests only ever count in memory."""

    kind = "counting"

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._stopping = False

    def run_once(self) -> int:
        """Add what there is. A store that is away gets it later; that it is away is told elsewhere."""
        try:
            counts.settle(self._store)
        except Problem:
            pass
        except Exception:  # noqa: BLE001 - whatever it was, counting goes on
            self._world.log(f"counting: {traceback.format_exc()}", ERROR)
        return 0

    def run(self) -> None:
        """Add it every few seconds. Work that others are woken for is none of ours."""
        seen, due = 0, self._world.monotonic() + SECONDS
        while not self._stopping:
            seen = self._world.wait_for_work(seen, max(0.0, due - self._world.monotonic()))
            if not self._stopping and self._world.monotonic() >= due:
                self.run_once()
                due = self._world.monotonic() + SECONDS

    def stop(self) -> None:
        """At once; what is left is added when the service closes."""
        self._stopping = True
        self._world.wake()
