"""A copy of the whole database while others write, checked before it is called one. Putting it back is restoring.py."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from authsvc.problems import Refused
from authsvc.store.broken import damage
from authsvc.store.migrations import APPLICATION_ID
from authsvc.store.opening import Presence

# What lies on the disk as one database, and what is put beside it, by the end of its name.
OWN = re.compile(r"|-wal|-shm|-journal|\.lock|\.key(\.new)?|\.schema-[0-9]+\.bak|\.restoring.*|\.before-[0-9]+.*")
_CONTENT = """
SELECT (SELECT max(number) FROM migrations), (SELECT count(*) FROM users), (SELECT max(at) FROM events),
  (SELECT kid FROM secret_keys ORDER BY added_at DESC LIMIT 1)
"""


class Content(NamedTuple):
    """What a copy holds: its schema, how many accounts, the time of its newest event (ms), and the id of the secret key that it
    was last written with."""

    schema: int
    users: int
    latest_at: int | None
    kid: str | None


def copy(database: str, target: str) -> Content:
    """Write what is committed now into `target`, an empty file. Raises Refused.

    It is written anew, not page by page: what was deleted is not in it. The database is only read; a write-ahead log that a
    crash has left stays for the next start to look into.
    """
    path = Path(database).resolve()
    if not path.is_file() or not path.stat().st_size:
        raise Refused(f"there is no database at {path}")
    try:
        with _present(str(path)), closing(reading(str(path))) as connection:
            _refuse_foreign(connection, str(path))
            connection.execute("VACUUM INTO :target", {"target": target})
        return content(target)
    except sqlite3.Error as error:
        raise Refused(f"the backup was not made: {error}") from None


def content(path: str) -> Content:
    """What a database holds that nobody writes to, once it is found whole. Raises Refused."""
    with closing(reading(path)) as connection:
        found = damage(connection)
        if found:
            raise Refused(f"{path} is damaged: {'; '.join(found)}")
        return Content._make(connection.execute(_CONTENT).fetchone())


@contextmanager
def _present(path: str) -> Iterator[None]:
    """For as long as it lasts nothing is restored over the database."""
    presence = Presence(path)
    try:
        presence.share()
        yield
    finally:
        presence.release()


def reading(path: str) -> sqlite3.Connection:
    """A connection that changes nothing, not even the log."""
    connection = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def _refuse_foreign(connection: sqlite3.Connection, path: str) -> None:
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise Refused(f"{path} is not a database of authsvc")
