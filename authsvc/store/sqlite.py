"""The store on SQLite: connections, and the two ways in, `read()` and `write()`. Opening a file is opening.py."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from authsvc.primitives.keyring import Keyring
from authsvc.primitives.metrics import Metrics
from authsvc.problems import Refused, unavailable
from authsvc.store.faults import MISSING, meaning
from authsvc.store.forking import Gate
from authsvc.store.tx import Tx
from authsvc.store.writer import Writer
from authsvc.world import World

BUSY_MS = 5_000  # SQLite's own patience; for a turn at writing, writer.py has its own
CACHE_KIB = 8_192
WAL_LIMIT_BYTES = 64 * 1024 * 1024
FILE_CHECK_SECONDS = 0.5  # how long a reader trusts that the file is still in its place; the writer never does

# What a fork caught in use all the same: the child must neither use nor close it, so it keeps it for ever.
_abandoned: list[object] = []
_arriving = threading.Lock()


def connect(path: str, *, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """A connection as every part of authsvc wants it: WAL, an fsync at each commit, explicit transactions."""
    connection = sqlite3.connect(path, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False)
    try:
        _set_up(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, path: str) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=ON",  # macOS: a plain fsync does not reach the disk
        "foreign_keys=ON",
        "trusted_schema=OFF",
        "cell_size_check=ON",
        f"cache_size=-{CACHE_KIB}",
        f"journal_size_limit={WAL_LIMIT_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        raise Refused(f"the file system of {path} cannot do write-ahead logging (is it a network share?); use a local disk")


class Store:
    """One database file. Safe for threads, for several processes, and for a fork."""

    def __init__(self, path: str, keyring: Keyring, world: World, metrics: Metrics, *, on_close: Callable[[], None]) -> None:
        self.path = path
        self.metrics = metrics
        self._on_close = on_close
        self._keyring = keyring
        self._world = world
        self._identity = _identity(path)
        self._closed = False
        self._start()

    def _start(self) -> None:
        """Everything that belongs to one process."""
        self._checked = float("-inf")
        self._readers: deque[Tx] = deque()  # those at rest: never more than there were readers at once
        self._gate = Gate(self.rest, self._renew)
        self._writer = Writer(lambda: connect(self.path), self._check_file, self._world, self.metrics)
        self._pid = os.getpid()  # last: only then may other threads go on

    @property
    def held(self) -> bool:
        """Whether this thread is inside a write block."""
        return self._writer.held

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """What is committed now. Each statement sees the latest; nothing is locked."""
        if self._pid != os.getpid():
            self._arrive()
        if self._world.monotonic() > self._checked + FILE_CHECK_SECONDS:
            self._check_file()
        with self._gate:
            try:
                reader = self._reader()
                try:
                    yield reader
                finally:
                    self._readers.append(reader)
            except sqlite3.Error as error:
                raise _translated(error) from error

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """The only way to write. Leaving the block means durable; an exception means undone."""
        if self._pid != os.getpid():
            self._arrive()
        with self._gate:
            try:
                with self._writer.turn() as connection:
                    tx = Tx(connection, self._keyring, self._world)
                    yield tx
                self.metrics.add(tx.counted)
                if tx.has_work:
                    self._world.wake()
            except sqlite3.Error as error:
                raise _translated(error) from error

    def close(self) -> None:
        """Finish writing, checkpoint, let go of the file. Later, let go of what somebody has opened who came too late."""
        if self._closed:
            self.rest()  # waits for nobody: a signal may come in the middle of a close, and close
        elif self._pid == os.getpid():
            self._closed = True
            self._close_readers()
            self._writer.close()
            self._on_close()

    def rest(self) -> None:
        """Hold no connection until the next use."""
        if self._pid == os.getpid():
            self._close_readers()
            self._writer.rest()

    def _close_readers(self) -> None:
        while self._readers:
            self._readers.pop().close()

    def _reader(self) -> Tx:
        try:
            return self._readers.pop()
        except IndexError:
            connection = connect(self.path)
            connection.execute("PRAGMA query_only=ON").close()
            return Tx(connection, self._keyring, self._world)

    def _arrive(self) -> None:
        """The first use in a child of a fork that Python was not told of (uWSGI's). Connections that were open then are open
        in the parent still, and their locks are not ours (forking.py): there is no safe way on."""
        with _arriving:
            if self._pid != os.getpid() and (self._readers or self._writer.is_open):
                raise unavailable("store: the host forked us while the database was in use; have each worker load the app (lazy-apps)")
            self._renew()

    def _renew(self) -> None:
        """In a child, after a fork."""
        if self._pid != os.getpid():
            _abandoned.append((self._writer, self._readers, self._gate))
            self._start()

    def _check_file(self) -> None:
        """Refuse to work on a file that is no longer the one at our path: what we wrote there would be lost."""
        if _identity(self.path) != self._identity:
            raise unavailable(f"store: {self.path} was removed or replaced while we run; restart authsvc", state=MISSING)
        self._checked = self._world.monotonic()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _translated(error: sqlite3.Error) -> Exception:
    return meaning(error) or error
