"""Migrations: numbered SQL files, applied in one transaction after a copy of the database was put aside."""

from __future__ import annotations

import os
import re
import sqlite3
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from authsvc.problems import Refused
from authsvc.world import World

APPLICATION_ID = 0x61757468  # "auth": marks the file as ours

# `needs` is the oldest release schema that can still run on the database once the migration is in: additive
# migrations keep it low, so that the previous release runs beside the new one.
_LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, needs INTEGER NOT NULL, applied_at INTEGER NOT NULL)
"""
_NEEDS = re.compile(r"^-- needs: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of migrations/, `0001_ground.sql`."""

    number: int
    name: str
    sql: str

    @property
    def needs(self) -> int:
        match = _NEEDS.search(self.sql)
        return int(match[1]) if match else 1


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this release, in order."""
    folder = files("authsvc.store").joinpath("migrations")
    found = [Migration(int(file.name[:4]), file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")]
    return tuple(sorted(found, key=lambda migration: migration.number))


def migrate(connection: sqlite3.Connection, path: str | None, world: World, known: tuple[Migration, ...]) -> None:
    """Bring a database up to this release: wholly or not at all. Raises Refused for one that is not ours to touch. Without a
    path no copy is put aside: it is one itself."""
    newest = known[-1].number
    if schema(connection, newest) >= newest:
        return
    connection.execute("BEGIN IMMEDIATE")  # of two processes that start at once, the second waits here
    try:
        version = schema(connection, newest)
        if path is not None and 0 < version < newest:
            _put_copy_aside(path, version)
        for migration in known:
            if migration.number > version:
                _apply(connection, migration, world)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def schema(connection: sqlite3.Connection, newest: int) -> int:
    """The schema number of a database that this release may use; 0 for an empty one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID:
        if tables:
            raise Refused("this SQLite file belongs to another program; set AUTHSVC_DATABASE to a path of its own")
        return 0
    number, needs = connection.execute("SELECT max(number), max(needs) FROM migrations").fetchone()
    if needs > newest:
        raise Refused(
            f"the database was written by a newer authsvc (it needs schema {needs}, this release knows {newest}); "
            "install that release again, or restore the copy that it put beside the database"
        )
    return int(number)


def _apply(connection: sqlite3.Connection, migration: Migration, world: World) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(_LEDGER)
    for statement in statements(migration.sql):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO migrations (number, name, needs, applied_at) VALUES (?, ?, ?, ?)",
        (migration.number, migration.name, migration.needs, world.now()),
    )


def statements(sql: str) -> list[str]:
    """The statements of a script. (executescript would commit what came before it.)"""
    found, pending = [], ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    if re.sub(r"--.*", "", pending).strip():
        raise ValueError("the last statement of a migration does not end")
    return found


def _put_copy_aside(path: str, version: int) -> None:
    """`<database>.schema-3.bak`: what was there before, complete, with nobody else's eyes on it."""
    target = Path(f"{path}.schema-{version}.bak")
    partial = target.with_name(target.name + ".part")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    source, copy = sqlite3.connect(path), sqlite3.connect(partial)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    partial.replace(target)
