"""What was sent, or tried, to which webhook: a row for each event, from its first try on."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

KEPT_MS = 30 * 86_400_000  # what did not arrive
DELIVERED_KEPT_MS = 7 * 86_400_000


class Delivery(NamedTuple):
    """A row of deliveries. Times in ms. `wanted_at`: somebody wants it tried out of turn."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    created_at: int
    attempts: int = 0
    last_at: int | None = None
    wanted_at: int | None = None
    delivered_at: int | None = None
    status_code: int | None = None
    error: str | None = None
    duration_ms: int | None = None


COLUMNS = ", ".join(Delivery._fields)
_INSERT = f"""
INSERT INTO deliveries ({COLUMNS}) VALUES ({", ".join(":" + name for name in Delivery._fields)})
ON CONFLICT (webhook_id, event_id) DO UPDATE SET
  attempts = attempts + 1, last_at = excluded.last_at, wanted_at = NULL, status_code = excluded.status_code, error = excluded.error,
  duration_ms = excluded.duration_ms, delivered_at = COALESCE(excluded.delivered_at, delivered_at)
"""


class Deliveries:
    """Table deliveries."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def note(self, delivery: Delivery) -> None:
        """One more try of this event for this webhook, and how it ended."""
        self._connection.execute(_INSERT, delivery._asdict())

    def get(self, delivery_id: str) -> Delivery | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM deliveries WHERE id = :id", {"id": delivery_id}).fetchone()
        return Delivery._make(row) if row else None

    def page(self, webhook_id: str, *, before: str, limit: int) -> list[Delivery]:
        """Those of a webhook, newest first, from the one before this id."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM deliveries WHERE webhook_id = :id AND id < :before ORDER BY id DESC LIMIT :limit",
            {"id": webhook_id, "before": before, "limit": limit},
        )
        return [Delivery._make(row) for row in rows]

    def want(self, delivery_id: str, now: int) -> Delivery | None:
        """Have it tried once more, out of turn."""
        row = self._connection.execute(
            f"UPDATE deliveries SET wanted_at = :now WHERE id = :id RETURNING {COLUMNS}", {"id": delivery_id, "now": now}
        ).fetchone()
        return Delivery._make(row) if row else None

    def wanted(self, webhook_id: str, most: int) -> list[Delivery]:
        """What somebody wants tried, longest first."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM deliveries WHERE webhook_id = :id AND wanted_at IS NOT NULL ORDER BY wanted_at LIMIT :most",
            {"id": webhook_id, "most": most},
        )
        return [Delivery._make(row) for row in rows]

    def wanting(self) -> set[str]:
        """The webhooks that something is wanted for."""
        return {row[0] for row in self._connection.execute("SELECT DISTINCT webhook_id FROM deliveries WHERE wanted_at IS NOT NULL")}
