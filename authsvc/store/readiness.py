"""The row that shows whether the store can be written, and whether it is the one of our key."""

from __future__ import annotations

import sqlite3


class Readiness:
    """Table readiness: one row; and table secret_keys, for looking."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def touch(self, now: int) -> None:
        """Write something; raises if the store cannot."""
        self._connection.execute(
            "INSERT INTO readiness (only_row, checked_at) VALUES (1, :now) ON CONFLICT (only_row) DO UPDATE SET checked_at = :now",
            {"now": now},
        )

    def knows_key(self, kid: str) -> bool:
        """Whether rows here may be made with this key."""
        return self._connection.execute("SELECT 1 FROM secret_keys WHERE kid = :kid", {"kid": kid}).fetchone() is not None
