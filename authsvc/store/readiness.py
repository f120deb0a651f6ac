"""The row that shows whether the store can be written."""

from __future__ import annotations

import sqlite3


class Readiness:
    """Table readiness: one row."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def touch(self, now: int) -> None:
        """Write something; raises if the store cannot."""
        self._connection.execute(
            "INSERT INTO readiness (only_row, checked_at) VALUES (1, :now) ON CONFLICT (only_row) DO UPDATE SET checked_at = :now",
            {"now": now},
        )
