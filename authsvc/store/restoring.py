"""Putting a backup in the place of the database: checked first, then exchanged in one step, the old one kept aside."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from authsvc import events
from authsvc.config.settings import Settings
from authsvc.primitives import times
from authsvc.primitives.keyring import Keyring
from authsvc.problems import Refused
from authsvc.store import keyfile
from authsvc.store.backups import Content, content
from authsvc.store.broken import damage
from authsvc.store.keyfile import sync_folder
from authsvc.store.migrations import migrate, migrations, schema
from authsvc.store.opening import Presence
from authsvc.store.ownership import hand_over
from authsvc.store.tx import Tx
from authsvc.world import World

LOGS = ("-wal", "-shm", "-journal")


class Restored(NamedTuple):
    """What is in place now, where the old database lies, and how many sessions were ended."""

    path: str
    content: Content
    aside: str | None
    sessions_ended: int


def restore(source: BinaryIO, settings: Settings, world: World, *, replace: bool, keep_sessions: bool) -> Restored:
    """Raises Refused, and then nothing is changed. A kill at any moment leaves the old database or the new one."""
    path = str(Path(settings.database).resolve())
    with _alone(path) as presence:
        there = os.path.exists(path) and os.path.getsize(path) > 0
        if there and not replace:
            raise Refused(f"there is a database at {path}; with --force it is kept aside and replaced")
        part = path + ".restoring"
        try:
            _take(source, part)
            held, ended = _prepare(part, path, settings, world, keep_sessions=keep_sessions)
            aside = _exchange(path, part, world, there=there)
        except (sqlite3.Error, OSError) as error:
            raise Refused(f"nothing was restored: {error}") from None
        finally:
            _drop(part)
        presence.mark()
        return Restored(path, held, aside, ended)


@contextmanager
def _alone(path: str) -> Iterator[Presence]:
    """Nobody else uses the database, and who starts meanwhile waits."""
    try:
        presence = Presence(path)
    except OSError as error:
        raise Refused(f"cannot write beside the database {path} ({error.strerror}); the folder must exist and be writable") from None
    try:
        if not presence.alone:
            raise Refused(f"the database {path} is in use; stop every process of authsvc first")
        yield presence
    finally:
        presence.release()


def _take(source: BinaryIO, part: str) -> None:
    """Put what comes beside the database, on the same disk and for nobody else's eyes."""
    _drop(part)  # a killed restore's, with a journal that must not meet another file
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        hand_over(file.fileno(), part)
        shutil.copyfileobj(source, file, 1_048_576)


def _prepare(part: str, path: str, settings: Settings, world: World, *, keep_sessions: bool) -> tuple[Content, int]:
    """Check the copy and make it ready for today; what it held, and how many sessions were ended in it."""
    with closing(_opened(part)) as connection:
        newest = migrations()[-1].number
        try:
            found = schema(connection, newest)
            _refuse_damaged(connection)
        except sqlite3.DatabaseError:
            raise Refused("the backup is damaged, or no database at all. Nothing was changed") from None
        except Refused as refused:
            raise Refused(f"this is no backup that can be restored: {str(refused).partition(';')[0]}. Nothing was changed") from None
        if not found:
            raise Refused("the backup is empty. Nothing was changed")
        keys = _keys(connection, path, settings, world)
        held = content(part)
        migrate(connection, None, world, migrations())
        connection.execute("BEGIN IMMEDIATE")
        ended = 0 if keep_sessions else _end_what_was_open(connection, world.now())
        told = {"backup_at": times.timestamp(held.latest_at), "schema": found, "sessions_ended": ended}
        Tx(connection, keys, world).events.record(events.DATABASE_RESTORED, events.CLI, data=told)
        connection.execute("COMMIT")
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    return held, ended


def _opened(part: str) -> sqlite3.Connection:
    """Nobody else has it, and after a kill it is thrown away: it needs no journal on the disk."""
    connection = sqlite3.connect(part, isolation_level=None)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    with suppress(sqlite3.DatabaseError):  # what is no database says so again
        connection.execute("PRAGMA journal_mode=MEMORY")
    return connection


def _refuse_damaged(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchone():
        raise Refused("the backup has triggers or views, which authsvc has none of: it is not as authsvc made it. Nothing was changed")
    found = damage(connection, indexes=True)
    if found:
        raise Refused(f"the backup is damaged: {'; '.join(found)}. Nothing was changed")
    if connection.execute("PRAGMA foreign_key_check").fetchone():
        raise Refused("the backup is damaged: rows are missing that others belong to. Nothing was changed")


def _keys(connection: sqlite3.Connection, path: str, settings: Settings, world: World) -> Keyring:
    """The keys, if the one is among them that the backup was last written with."""
    kids = [kid for (kid,) in connection.execute("SELECT kid FROM secret_keys ORDER BY added_at")]
    if kids and not settings.secret_key and not os.path.exists(path + ".key"):
        raise Refused(f"the backup was made with the secret key {kids[-1]}; put its key file at {path}.key first. Nothing was changed")
    keys = keyfile.keyring(settings, path, world, may_make=not kids)
    if kids and keys.get(kids[-1]) is None:
        raise Refused(
            f"the backup was made with the secret key {kids[-1]}, which is not among those given; put it into {path}.key or "
            "AUTHSVC_SECRET_KEY_PREVIOUS. Nothing was changed"
        )
    return keys


def _end_what_was_open(connection: sqlite3.Connection, now: int) -> int:
    """Links and codes that were used after the backup must not work a second time, nor may a session that was ended since.
    An invite may: what came of it is gone."""
    connection.execute("UPDATE challenges SET used_at = :now WHERE used_at IS NULL AND purpose <> 'invite'", {"now": now})
    return connection.execute("UPDATE sessions SET ended_at = :now WHERE ended_at IS NULL", {"now": now}).rowcount


def _exchange(path: str, part: str, world: World, *, there: bool) -> str | None:
    """One rename. Before it the old database is made one whole file, since its log would be taken for the new one's."""
    name = f"{path}.before-{re.sub('[^0-9]', '', times.timestamp(world.now()))}"
    if there:
        _close_log(path)
        os.link(path, name)
    for log in LOGS:
        with suppress(FileNotFoundError):  # of one that is damaged, or gone
            os.rename(path + log, name + log)
    sync_folder(os.path.dirname(path))
    os.replace(part, path)
    sync_folder(os.path.dirname(path))
    return name if there else None


def _close_log(path: str) -> None:
    """Everything into the main file; raises Refused while another program has it open. One that is damaged stays as it is."""
    try:
        with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise Refused(f"another program has {path} open; end it first. Nothing was changed") from None
    except sqlite3.DatabaseError:
        pass


def _drop(part: str) -> None:
    for log in ("", *LOGS):
        with suppress(FileNotFoundError):
            os.unlink(part + log)
