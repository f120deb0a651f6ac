"""The threads of a process beside its requests: started when first needed, anew after a fork, stopped cleanly."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Iterable, Sequence
from typing import Protocol

from authsvc.delivery.counting import Counting
from authsvc.delivery.housekeeping import Housekeeping
from authsvc.problems import Problem
from authsvc.world import ERROR, WARNING, World

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

    def tick(self) -> int:
        """A batch of each kind, a round of housekeeping and of counting, in the caller's thread; how much was done. What
        fails keeps nobody from their turn, and is tried again by a later one."""
        return sum(self._turn_of(runner) for runner in self._one_of_each())

    def run_until_stopped(self) -> None:
        """Deliver, in threads, until `ask_to_stop` was called (by a signal handler, say), then stop."""
        self._start(self._runners)
        self._stopped.wait()
        self.stop()

    def ask_to_stop(self) -> None:
        self._stopped.set()

    def stop(self) -> None:
        """Let the running batches end, then end the threads."""
        ours = os.getpid() in self._starters
        threads = self._threads if ours else []
        if self._starters and not ours:  # a child that never delivered: what its parent's threads held is not to be waited for
            self._world.renew()
        self._ended = True
        for runner in self._runners:
            runner.stop()
        for thread in threads:
            thread.join(STOP_SECONDS)
        self._threads = []

    def _one_of_each(self) -> Iterable[Runner]:
        return {runner.kind: runner for runner in self._runners}.values()

    def _turn_of(self, runner: Runner) -> int:
        try:
            return runner.run_once()
        except Problem as problem:  # the store is busy or away
            self._world.log(f"delivery: {runner.kind}: {problem.code}: {problem.reason}", WARNING)
        except Exception:  # noqa: BLE001 - whatever it was, the next one may do better
            self._world.log(f"delivery: {runner.kind}: {traceback.format_exc()}", ERROR)
        return 0

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
