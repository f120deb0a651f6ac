"""No connection is open across a fork.

SQLite keeps its file locks in tables of the process. A fork copies the tables, but the locks stay with the parent: a child
would think that it holds what it does not, and lose what it writes. So before a fork new uses wait, running ones end,
and every connection is closed; afterwards parent and child each open their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from weakref import WeakSet

PATIENCE_SECONDS = 10.0


class _Uses(threading.local):
    """How deep a thread is in uses, one inside another."""

    depth = 0


class Gate:
    """Lets uses of a store through, except while the process forks. `rest` closes the connections; `renew` makes a
    child's store anew, while the child has only one thread."""

    def __init__(self, rest: Callable[[], None], renew: Callable[[], None]) -> None:
        self._rest = rest
        self.renew = renew
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside = 0
        self._forking = False
        self._mine = _Uses()
        _gates.add(self)

    def __enter__(self) -> None:
        """A use begins. One inside another passes at once, so that a fork never waits for what waits for it."""
        mine = self._mine
        if not mine.depth:
            with self._lock:
                while self._forking:
                    self._changed.wait()
                self._inside += 1
        mine.depth += 1

    def __exit__(self, *_: object) -> None:
        mine = self._mine
        mine.depth -= 1
        if not mine.depth:
            with self._lock:
                self._inside -= 1
                if self._forking:
                    self._changed.notify_all()

    def shut(self) -> None:
        """Before a fork. A thread that forks inside a use of its own cannot wait for itself."""
        mine = 1 if self._mine.depth else 0
        with self._changed:
            self._forking = True
            self._changed.wait_for(lambda: self._inside == mine, PATIENCE_SECONDS)
        self._rest()

    def open(self) -> None:
        """After a fork, in the parent. The child makes a gate of its own."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()


_gates: WeakSet[Gate] = WeakSet()


def _shut_all() -> None:
    for gate in list(_gates):
        gate.shut()


def _open_all() -> None:
    for gate in list(_gates):
        gate.open()


def _renew_all() -> None:
    for gate in list(_gates):
        gate.renew()


os.register_at_fork(before=_shut_all, after_in_parent=_open_all, after_in_child=_renew_all)
