"""A look at a database from outside, which changes nothing in it: for a report on its health."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from authsvc.problems import Refused
from authsvc.store.backups import reading
from authsvc.store.broken import damage
from authsvc.store.migrations import migrations, schema


class Inspection(NamedTuple):
    """What was found. `newest`: the schema of this release; `damage`: what a check of the file says; `kids`: the secret keys that
    have made rows, the newest last; times in ms."""

    path: str
    schema: int
    newest: int
    damage: list[str]
    kids: list[str]
    latest_at: int
    size: int
    free: int


def inspect(database: str) -> Inspection | None:
    """None where there is no database yet. Raises Refused for one that cannot be used."""
    path = str(Path(database).resolve())
    if not os.path.exists(path) or not os.path.getsize(path):
        return None
    newest = migrations()[-1].number
    try:
        with closing(reading(path)) as connection:
            number = schema(connection, newest)
            found = damage(connection)
            kids = [kid for (kid,) in connection.execute("SELECT kid FROM secret_keys ORDER BY added_at")]
            (latest_at,) = connection.execute(
                "SELECT max(at) FROM (SELECT max(at) AS at FROM events UNION ALL SELECT max(applied_at) FROM migrations)"
            ).fetchone()
    except sqlite3.Error as error:
        raise Refused(f"{path}: {error}") from None
    return Inspection(path, number, newest, found, kids, int(latest_at or 0), os.path.getsize(path), free_bytes(path))


def free_bytes(path: str) -> int:
    """Room on the disk that a file lies on, or is going to."""
    folder = os.path.dirname(path)
    return shutil.disk_usage(folder).free if os.path.isdir(folder) else 0
