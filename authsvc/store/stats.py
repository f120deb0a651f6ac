"""How large the database is, and what lies in it. Counting reads whole tables: for the command line, not for requests."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

BEGINNINGS = ("at", "created_at", "granted_at", "added_at", "sealed_at", "checked_at", "applied_at")


class Table(NamedTuple):
    """How many rows a table has, and when the oldest was made (ms), where its rows tell."""

    name: str
    rows: int
    oldest_at: int | None


class Stats:
    """The database as a whole."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def pages(self) -> tuple[int, int, int]:
        """Bytes of a page, pages of the file, and how many of them are free for new rows."""
        size, pages, free = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
        return size, pages, free

    def tables(self) -> list[Table]:
        names = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
        return [self._table(name) for (name,) in names.fetchall()]

    def _table(self, name: str) -> Table:
        columns = {row[1] for row in self._connection.execute(f"PRAGMA table_info({name})")}
        beginning = next((column for column in BEGINNINGS if column in columns), None)
        rows, oldest = self._connection.execute(f"SELECT count(*), min({beginning or 'NULL'}) FROM {name}").fetchone()
        return Table(name, rows, oldest)
