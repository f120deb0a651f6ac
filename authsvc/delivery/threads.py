"""The threads of a process beside its requests: started when first needed, anew after a fork, stopped cleanly."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Protocol

from authsvc.delivery.counting import Counting
from authsvc.delivery.housekeeping import Housekeeping
from authsvc.world import World

STOP_SECONDS = 10.0


class Runner(Protocol):
    """Something that works until it is stopped."""

    @property
    def kind(self) -> str: ...

    def run_once(self) -> int: ...

    def run(self) -> None: ...

    def stop(self) -> None: ...


class Deliveries:
    """All workers of an app, its housekeeping and its counting, a thread for each once `run_here` was called. Without
    `in_threads` others deliver and keep house; what a process has counted only it can tell."""

    def __init__(
        self, world: World, workers: Sequence[Runner], housekeeping: Housekeeping, counting: Counting, *, in_threads: bool
    ) -> None:
        self._world = world
        self.workers = workers
        self.housekeeping = housekeeping
        self._counting = counting
        self._runners: Sequence[Runner] = (*workers, housekeeping, counting)
        self._in_threads = in_threads
        self._ended = False
        self._starters: dict[int, object] = {}  # by process; a lock could be left held in a child by a fork
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()

    def run_here(self) -> None:
        """See to it that this process delivers and counts. Costs next to nothing once it does."""
        if os.getpid() not in self._starters and not self._ended:
            self._start(self._runners if self._in_threads else (self._counting,))

    def run_once(self) -> int:
        """Deliver one batch of each kind, in the caller's thread; how many messages there were."""
        return sum(worker.run_once() for worker in self.workers)

    def run_until_stopped(self) -> None:
        """Deliver, in threads, until `ask_to_stop` was called (by a signal handler, say), then stop."""
        self._start(self._runners)
        self._stopped.wait()
        self.stop()

    def ask_to_stop(self) -> None:
        self._stopped.set()

    def stop(self) -> None:
        """Let the running batches end, then end the threads."""
        threads = self._threads if os.getpid() in self._starters else []
        self._ended = True
        for runner in self._runners:
            runner.stop()
        for thread in threads:
            thread.join(STOP_SECONDS)
        self._threads = []

    def _start(self, runners: Sequence[Runner]) -> None:
        """Start the threads, if nobody has in this process. A parent's did not come along in a fork."""
        me = object()
        if self._starters.setdefault(os.getpid(), me) is not me:
            return
        if len(self._starters) > 1:
            self._world.renew()
        self._threads = [threading.Thread(target=runner.run, name=f"delivery {runner.kind}", daemon=True) for runner in runners]
        for thread in self._threads:
            thread.start()
