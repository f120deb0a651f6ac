"""The threads of a process beside its requests: started when first needed, anew after a fork, stopped cleanly."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from authsvc.delivery.attempts import attempt
from authsvc.delivery.counting import Counting
from authsvc.delivery.housekeeping import Housekeeping
from authsvc.world import ERROR, World

STOP_SECONDS = 10.0
AGAIN_SECONDS = 5.0  # until threads that could not be started are tried again


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
        self._crews: dict[int, Crew] = {}  # by process; a lock could be left held in a child by a fork
        self._stopped = threading.Event()

    def run_here(self) -> bool:
        """See to it that this process delivers and counts; whether all runs that is to run. Never fails a request."""
        return self._ended or self._start(self._runners if self._in_threads else (self._counting,))

    def run_once(self) -> int:
        """Deliver one batch of each kind, in the caller's thread; how many messages there were."""
        return sum(worker.run_once() for worker in self.workers)

    def tick(self) -> int:
        """A batch of each kind, a round of housekeeping and of counting, in the caller's thread; how much was done. What
        fails keeps nobody from their turn, and is tried again by a later one."""
        with self._crew().ticking():
            return sum(
                attempt(self._world, f"delivery: {runner.kind}", runner.run_once) for runner in self._one_of_each() if not self._ended
            )

    def run_until_stopped(self) -> None:
        """Deliver, in threads, until `ask_to_stop` was called (by a signal handler, say), then stop."""
        while not self._stopped.wait(None if self._start(self._runners) else AGAIN_SECONDS):
            pass
        self.stop()

    def ask_to_stop(self) -> None:
        self._stopped.set()

    def stop(self) -> None:
        """Let the running batches end, and ticks, then end the threads."""
        crew = self._crew()
        self._ended = True
        for runner in self._runners:
            runner.stop()
        crew.wait_until_still(STOP_SECONDS)

    def _one_of_each(self) -> Iterable[Runner]:
        return {runner.kind: runner for runner in self._runners}.values()

    def _start(self, runners: Sequence[Runner]) -> bool:
        return self._crew().start(runners, self._world)

    def _crew(self) -> Crew:
        """The one of this process. A parent's threads did not come along in a fork, and what they held is not ours to wait for."""
        crew = self._crews.get(os.getpid())
        if crew is None:
            made = Crew()
            crew = self._crews.setdefault(os.getpid(), made)
            if crew is made and len(self._crews) > 1:
                self._world.renew()
        return crew


class Crew:
    """Who works for an app in one process beside its requests: threads of ours, and threads of the host that tick."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._threads: dict[Runner, threading.Thread] = {}
        self._told = False
        self._changed = threading.Condition()
        self._ticking: list[int] = []  # the ids of threads

    def start(self, runners: Sequence[Runner], world: World) -> bool:
        """Start the threads that are missing; whether all have been started. What a limit of processes forbids now may be
        had later."""
        if not self._starting.acquire(blocking=False):
            return False  # another request is about it
        try:
            for runner in runners:
                if runner not in self._threads:
                    thread = threading.Thread(target=runner.run, name=f"delivery {runner.kind}", daemon=True)
                    thread.start()
                    self._threads[runner] = thread
        except RuntimeError as error:
            if not self._told:
                self._told = True
                world.log(f"delivery: {error}: {len(self._threads)} of {len(runners)} threads run; the others are tried again", ERROR)
            return False
        finally:
            self._starting.release()
        return True

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """While the caller's thread does a round."""
        me = threading.get_ident()
        with self._changed:
            self._ticking.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._ticking.remove(me)
                self._changed.notify_all()

    def wait_until_still(self, seconds: float) -> None:
        """Wait for each thread so long at most, and for all ticks, but not for one that this is called in by a signal."""
        for thread in list(self._threads.values()):
            thread.join(seconds)
        self._threads.clear()
        with self._changed:
            self._changed.wait_for(lambda: {*self._ticking} <= {threading.get_ident()}, seconds)
