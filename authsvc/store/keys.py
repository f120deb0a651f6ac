"""API keys: rows and SQL. The keys themselves are derived from their rows and lie nowhere."""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

KEPT_MS = 30 * 86_400_000  # after it was revoked or has run out, it still explains itself in the list


class ApiKey(NamedTuple):
    """A row of api_keys. `caps` and `networks` are JSON lists; times in ms."""

    id: str
    kid: str
    name: str
    caps: str
    networks: str
    created_by: str | None
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None

    def is_live(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def granted(self) -> list[str]:
        """What it may do."""
        caps: list[str] = json.loads(self.caps)
        return caps


COLUMNS = ", ".join(ApiKey._fields)
_INSERT = f"INSERT INTO api_keys ({COLUMNS}) VALUES ({', '.join(':' + name for name in ApiKey._fields)})"


class Keys:
    """Table api_keys."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, key: ApiKey) -> None:
        self._connection.execute(_INSERT, key._asdict())

    def get(self, key_id: str) -> ApiKey | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM api_keys WHERE id = :id", {"id": key_id}).fetchone()
        return ApiKey._make(row) if row else None

    def page(self, *, before: str, limit: int) -> list[ApiKey]:
        """Newest first, from the one before this id."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM api_keys WHERE id < :before ORDER BY id DESC LIMIT :limit", {"before": before, "limit": limit}
        )
        return [ApiKey._make(row) for row in rows]

    def count_live(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL").fetchone()[0])

    def revoke(self, key_id: str, now: int) -> bool:
        """False when it was revoked before."""
        row = self._connection.execute(
            "UPDATE api_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL RETURNING id", {"id": key_id, "now": now}
        ).fetchone()
        return row is not None

    def note_use(self, key_id: str, now: int) -> None:
        self._connection.execute("UPDATE api_keys SET last_used_at = :now WHERE id = :id", {"id": key_id, "now": now})
