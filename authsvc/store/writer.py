"""The one way to write: callers take turns in one transaction, and the last one out commits for all (group commit).

Every caller after the first has a savepoint of its own, so one's exception undoes only that one's work; and nobody
leaves before the commit, with its fsync, has come back. Under load many callers share one fsync; alone, a caller
commits at once.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from authsvc.primitives.metrics import Metrics
from authsvc.problems import Problem, busy
from authsvc.store.faults import BUSY, meaning
from authsvc.world import World

MAX_BATCH = 64  # callers in one commit; bounds how long the first of them waits
LOCK_SECONDS = 10.0  # how long another process may hold the file before we say busy
LOCK_POLL_SECONDS = 0.001  # SQLite's own wait backs off to 100 ms, at which a busy neighbour would starve us
ABANDONED_SECONDS = 5.0


class Batch:
    """One transaction that several callers share, and how it ended."""

    def __init__(self) -> None:
        self.size = 0
        self.ended = threading.Event()
        self.error: BaseException | None = None

    def end(self, error: BaseException | None) -> None:
        self.error = error
        self.ended.set()


class Writer:
    """Hands out turns at the writing connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], check: Callable[[], None], world: World, metrics: Metrics) -> None:
        self._connect = connect
        self._check = check
        self._world = world
        self._metrics = metrics
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()
        self._batch: Batch | None = None  # the open transaction; touched only in one's turn
        self._count = threading.Lock()
        self._waiting = 0
        self._mine = threading.local()

    @property
    def held(self) -> bool:
        """Whether this thread is inside a write block."""
        return getattr(self._mine, "held", False)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    @contextmanager
    def turn(self) -> Iterator[sqlite3.Connection]:
        """A turn at writing. Leaving it normally means durable; an exception means that nothing was done."""
        if self.held:
            raise RuntimeError("a write block inside a write block")
        self._wait_for_turn()
        try:
            batch, connection = self._join()
            self._mine.held = True
            try:
                yield connection
                if batch.size > 1:
                    connection.execute("RELEASE caller")
            except BaseException as error:
                self._undo(batch, error)
                raise
            finally:
                self._mine.held = False
        finally:
            self._leave()
        self._wait_for_commit(batch)

    def close(self) -> None:
        """Let the running turn end, then put everything into the main file."""
        with self._turn:
            self._commit()
            self._disconnect()

    def rest(self) -> None:
        """Do without a connection until the next turn, unless somebody is writing just now."""
        if self._turn.acquire(blocking=False):
            try:
                self._commit()
                self._disconnect()
            finally:
                self._turn.release()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with closing(connection), suppress(sqlite3.Error):  # all is committed: this only tidies up
                connection.execute("PRAGMA optimize")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _wait_for_turn(self) -> None:
        with self._count:
            self._waiting += 1
        try:
            self._turn.acquire()
        finally:
            with self._count:
                self._waiting -= 1

    def _join(self) -> tuple[Batch, sqlite3.Connection]:
        """The open batch, or a new one."""
        if self._connection is None:
            self._check()  # connecting would make a file where there is none
            self._connection = self._connect()
            self._connection.execute("PRAGMA busy_timeout=0")  # _begin waits
        if self._batch is None:
            self._begin(self._connection)
            self._batch = Batch()
        else:  # what the first one does needs none: to undo it, everything may go
            self._connection.execute("SAVEPOINT caller")
        self._batch.size += 1
        return self._batch, self._connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the file's write lock, waiting for other processes with short pauses."""
        deadline = self._world.monotonic() + LOCK_SECONDS
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                problem = meaning(error)
                if problem is None or problem.code != "busy":
                    raise
                if self._world.monotonic() > deadline:
                    raise busy("store: another process holds the write lock", state=BUSY) from None
            self._world.pause(LOCK_POLL_SECONDS)

    def _undo(self, batch: Batch, error: BaseException) -> None:
        """Undo this caller only; unless SQLite has already dropped the whole transaction (a full disk, say)."""
        connection = self._connection
        if connection is not None and connection.in_transaction and batch.size > 1:
            try:
                connection.execute("ROLLBACK TO caller")
                connection.execute("RELEASE caller")
                return
            except sqlite3.Error as worse:
                error = worse
        self._roll_back()
        self._batch = None
        batch.end(error)

    def _leave(self) -> None:
        """Commit, unless somebody is waiting who will."""
        try:
            batch = self._batch
            if batch is not None and (self._waiting == 0 or batch.size >= MAX_BATCH):
                self._commit()
        finally:
            self._turn.release()

    def _commit(self) -> None:
        """End the open batch, telling all who wait for it how."""
        batch, connection = self._batch, self._connection
        self._batch = None
        if batch is None or connection is None:
            return
        try:
            self._check()
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - raised again in each caller of the batch
            self._roll_back()
            self._metrics.count("store_commits_total", outcome="failed")
            batch.end(error)
        else:
            self._metrics.count("store_commits_total", outcome="done")
            self._metrics.observe("store_commit_transactions", batch.size)
            batch.end(None)

    def _roll_back(self) -> None:
        """Leave no transaction open; a connection that cannot even do that is given up."""
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection = None
            connection.close()

    def _wait_for_commit(self, batch: Batch) -> None:
        while not batch.ended.wait(ABANDONED_SECONDS):
            with self._turn:  # whoever was to commit died of an interrupt
                if self._batch is batch:
                    self._commit()
        error = batch.error
        if error is None:
            return
        problem = meaning(error) if isinstance(error, sqlite3.Error) else error
        if isinstance(problem, Problem):
            raise Problem(problem.code, retry_after=problem.retry_after, reason=problem.reason, state=problem.state)
        raise RuntimeError("the batch was not committed") from error
