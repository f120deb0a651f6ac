"""Opening a database: is it there, ours, whole, of our time and of our key? Every refusal says what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from authsvc import events
from authsvc.config.settings import Settings
from authsvc.primitives.keyring import Keyring
from authsvc.primitives.metrics import Metrics
from authsvc.problems import Refused
from authsvc.store import keyfile
from authsvc.store.broken import damage
from authsvc.store.migrations import migrate, migrations
from authsvc.store.ownership import hand_over
from authsvc.store.sqlite import Store, connect
from authsvc.store.tx import Tx
from authsvc.world import WARNING, World

LOCK_TIMEOUT_MS = 30_000  # a start may have to wait for another process's migration
MARK = b"A database of authsvc lies beside this file.\n"
_ADVICE = {
    sqlite3.SQLITE_READONLY: "the file and its folder must be writable",
    sqlite3.SQLITE_CANTOPEN: "the folder must exist and be writable",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is damaged or not a database; restore it from a backup",
    sqlite3.SQLITE_BUSY: "another process holds it; is a migration or a backup running?",
}


class Presence:
    """A lock on `<database>.lock` while a process uses the database; the kernel drops it when the process dies.

    Who gets it alone and finds a write-ahead log knows that the last stop was not clean. The file's content says that
    there was a database once, so that a missing one is never taken for a first start.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = _made_or_opened(path + ".lock")
        self.marked = os.pread(self._descriptor, 1, 0) != b""
        self.alone = self._try_alone()

    def _try_alone(self) -> bool:
        """Whether nobody else uses the database. If so the lock keeps others waiting until `share`."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)  # waits while the first one looks
            return False
        return True

    def mark(self) -> None:
        """Note that there is a database now."""
        if not self.marked:
            os.pwrite(self._descriptor, MARK, 0)

    def share(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        os.close(self._descriptor)


def open_store(settings: Settings, world: World, metrics: Metrics) -> tuple[Store, Keyring]:
    """The store, ready for use, and its keys. Raises Refused."""
    path = str(Path(settings.database).resolve())
    try:
        presence = Presence(path)
    except OSError as error:
        raise Refused(f"cannot write beside the database {path} ({error.strerror}); the folder must exist and be writable") from None
    try:
        keys = _prepare(path, presence, settings, world)
        presence.mark()
        presence.share()
    except BaseException as error:
        presence.release()
        if isinstance(error, sqlite3.Error | OSError):
            raise Refused(f"cannot use the database {path}: {error}{_advice(error)}") from None
        raise
    return Store(path, keys, world, metrics, on_close=presence.release), keys


def _prepare(path: str, presence: Presence, settings: Settings, world: World) -> Keyring:
    _refuse_lost(path, presence)
    unclean = presence.alone and _has_log(path)
    _make_private(path)
    _refuse_read_only(path)
    connection = connect(path, busy_ms=LOCK_TIMEOUT_MS)
    try:
        if unclean:
            _check_whole(connection, path, world)
        migrate(connection, path, world, migrations())
        return _matching_keys(connection, path, settings, world)
    finally:
        connection.close()


def _make_private(path: str) -> None:
    """Create the file, readable by nobody else; its log inherits the mode. An existing one is not even opened: closing
    it would drop the locks that another connection of this process has on it."""
    with suppress(FileExistsError):
        os.close(_made(path))


def _made(path: str) -> int:
    """The descriptor of a new file; raises FileExistsError."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    hand_over(descriptor, path)
    return descriptor


def _made_or_opened(path: str) -> int:
    try:
        return _made(path)
    except FileExistsError:
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _refuse_lost(path: str, presence: Presence) -> None:
    """A service that finds itself empty tells everybody that their account does not exist: worse than not starting."""
    if presence.marked and not (os.path.exists(path) and os.path.getsize(path)):
        raise Refused(f"the database {path} is gone or empty. Restore it; or, to begin anew, remove {path}.lock (and {path}.key)")


def _refuse_read_only(path: str) -> None:
    """SQLite opens a file that it may only read without a word, and leaves a log that nobody can write beside it."""
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise Refused(f"cannot write the database {path}; the file and its folder must be writable")


def _has_log(path: str) -> bool:
    log = path + "-wal"
    return os.path.exists(log) and os.path.getsize(log) > 0


def _check_whole(connection: sqlite3.Connection, path: str, world: World) -> None:
    """SQLite recovers by itself after a crash; this finds what a broken disk did to the file."""
    world.log("store: the last stop was not clean; checking the database", WARNING)
    found = damage(connection)
    if found:
        raise Refused(f"the database {path} is damaged: {'; '.join(found)}. Restore it from a backup")


def _matching_keys(connection: sqlite3.Connection, path: str, settings: Settings, world: World) -> Keyring:
    """The keys, if they are those that the rows here were made with."""
    kids = {kid for (kid,) in connection.execute("SELECT kid FROM secret_keys")}
    keys = keyfile.keyring(settings, path, world, may_make=not kids)
    if kids and not any(keys.get(kid) for kid in kids):
        raise Refused(
            "the secret key is not the one that this database was made with. Give that one "
            "(to replace it, keep it in AUTHSVC_SECRET_KEY_PREVIOUS)"
        )
    if keys.current.kid not in kids:
        _note_key(connection, keys, world, first=not kids)
    return keys


def _note_key(connection: sqlite3.Connection, keys: Keyring, world: World, *, first: bool) -> None:
    """From now on rows are made with this key. Where it takes the place of another one, that is on record."""
    connection.execute("BEGIN IMMEDIATE")
    tx = Tx(connection, keys, world)
    kid = keys.current.kid
    if tx.secret_keys.note(kid, world.now()) and not first:
        tx.events.record(events.KEYS_ROTATED, events.SYSTEM, data={"kind": "secret", "kid": kid})
    connection.execute("COMMIT")


def _advice(error: BaseException) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return f"; {_ADVICE[code]}" if code in _ADVICE else ""
