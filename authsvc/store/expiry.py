"""What every table forgets, and when: one table of rules, carried out in small batches. Audit rows are seals.py's."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from authsvc.store import captchas, challenges, deliveries, factors, keys, outbox, sms_counts

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Expiry:
    """Rows of a table that go `kept` after the time in a column, both in `unit` ms. `only` narrows them; an index begins with
    the column."""

    name: str
    table: str
    key: str
    column: str
    kept: int
    only: str = "TRUE"
    unit: int = 1


EXPIRIES: tuple[Expiry, ...] = (
    Expiry("ended sessions", "sessions", "id", "ended_at", 30 * DAY_MS, "ended_at IS NOT NULL"),
    Expiry("expired sessions", "sessions", "id", "expires_at", 30 * DAY_MS),
    Expiry("challenges", "challenges", "id", "expires_at", challenges.KEPT_MS),
    Expiry("settled messages", "outbox", "id", "done_at", outbox.KEPT_MS, "done_at IS NOT NULL AND outcome <> 'dead'"),
    Expiry("given-up messages", "outbox", "id", "done_at", 30 * DAY_MS, "outcome = 'dead'"),
    Expiry("deliveries", "deliveries", "id", "created_at", deliveries.KEPT_MS),
    Expiry(
        "deliveries that arrived",
        "deliveries",
        "id",
        "created_at",
        deliveries.DELIVERED_KEPT_MS,
        "delivered_at IS NOT NULL AND wanted_at IS NULL",
    ),
    Expiry("revoked keys", "api_keys", "id", "revoked_at", keys.KEPT_MS, "revoked_at IS NOT NULL"),
    Expiry("keys that ran out", "api_keys", "id", "expires_at", keys.KEPT_MS, "expires_at IS NOT NULL"),
    Expiry("signing keys whose tokens have run out", "signing_keys", "kid", "ends_at", 0, "ends_at IS NOT NULL"),
    Expiry("used CAPTCHAs", "captchas", "digest", "expires_at", captchas.KEPT_MS),
    Expiry("full buckets", "buckets", "name, key", "full_at", 0),
    Expiry("failures long past", "delays", "name, key", "forgotten_at", 0),
    Expiry("factors that nobody confirmed", "factors", "id", "created_at", factors.UNCONFIRMED_MS, "confirmed_at IS NULL"),
    Expiry("SMS figures", "sms_counts", "day, prefix", "day", sms_counts.KEPT_DAYS, unit=DAY_MS),
)


class Expired:
    """Rows whose time is over, of any table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def any(self, expiry: Expiry, now: int) -> bool:
        found = self._connection.execute(f"SELECT 1 FROM {expiry.table} WHERE {_which(expiry)} LIMIT 1", _before(expiry, now))
        return found.fetchone() is not None

    def forget(self, expiry: Expiry, now: int, most: int) -> int:
        """Delete some, those that ended first; how many there were."""
        chosen = f"SELECT {expiry.key} FROM {expiry.table} WHERE {_which(expiry)} ORDER BY {expiry.column} LIMIT :most"
        deleted = self._connection.execute(
            f"DELETE FROM {expiry.table} WHERE ({expiry.key}) IN ({chosen})", _before(expiry, now) | {"most": most}
        )
        return deleted.rowcount


def _which(expiry: Expiry) -> str:
    return f"{expiry.column} < :before AND {expiry.only}"


def _before(expiry: Expiry, now: int) -> dict[str, int]:
    return {"before": now // expiry.unit - expiry.kept}
