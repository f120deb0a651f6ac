"""How many SMS codes were sent to each range of numbers on a day, and how many of them were used."""

from __future__ import annotations

import sqlite3

KEPT_DAYS = 30


class SmsCounts:
    """Table sms_counts."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def note(self, day: int, prefix: str, *, sent: int = 0, verified: int = 0) -> None:
        self._connection.execute("DELETE FROM sms_counts WHERE day < :day", {"day": day - KEPT_DAYS})
        self._connection.execute(
            "INSERT INTO sms_counts (day, prefix, sent, verified) VALUES (:day, :prefix, :sent, :verified) "
            "ON CONFLICT (day, prefix) DO UPDATE SET sent = sms_counts.sent + :sent, verified = sms_counts.verified + :verified",
            {"day": day, "prefix": prefix, "sent": sent, "verified": verified},
        )

    def of(self, day: int, prefix: str) -> tuple[int, int]:
        """How many were sent and how many used."""
        row = self._connection.execute(
            "SELECT sent, verified FROM sms_counts WHERE day = :day AND prefix = :prefix", {"day": day, "prefix": prefix}
        ).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    def every(self) -> list[tuple[int, str, int, int]]:
        """Day, prefix, sent, used; the newest day first."""
        rows = self._connection.execute("SELECT day, prefix, sent, verified FROM sms_counts ORDER BY day DESC, sent DESC, prefix")
        return [tuple(row) for row in rows]
