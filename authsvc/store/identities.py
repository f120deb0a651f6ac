"""Identities at OAuth providers: rows and SQL."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple


class Row(NamedTuple):
    """A row of identities. Times in ms."""

    id: str
    user_id: str
    provider: str
    realm: str
    subject: str
    email: str | None
    email_verified: int
    created_at: int
    last_used_at: int


COLUMNS = ", ".join(Row._fields)
_INSERT = f"""
INSERT INTO identities ({COLUMNS}) VALUES ({", ".join(":" + name for name in Row._fields)}) ON CONFLICT DO NOTHING RETURNING id
"""


class Identities:
    """Table identities."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, row: Row) -> bool:
        """Link it; False when it is linked already, or the account has another one of this provider. The write is the check."""
        return self._connection.execute(_INSERT, row._asdict()).fetchone() is not None

    def find(self, provider: str, realm: str, subject: str) -> Row | None:
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM identities WHERE provider = :provider AND realm = :realm AND subject = :subject",
            {"provider": provider, "realm": realm, "subject": subject},
        ).fetchone()
        return Row._make(row) if row else None

    def of(self, user_id: str) -> list[Row]:
        """Those of an account, by the name of the provider."""
        rows = self._connection.execute(f"SELECT {COLUMNS} FROM identities WHERE user_id = :id ORDER BY provider", {"id": user_id})
        return [Row._make(row) for row in rows]

    def note_use(self, row_id: str, email: str | None, now: int, *, email_verified: bool) -> None:
        """What the provider says now; the account keeps its own address."""
        self._connection.execute(
            "UPDATE identities SET email = :email, email_verified = :verified, last_used_at = :now WHERE id = :id",
            {"id": row_id, "email": email, "verified": int(email_verified), "now": now},
        )

    def remove(self, user_id: str, provider: str) -> bool:
        """Unlink; False when there was none."""
        gone = self._connection.execute(
            "DELETE FROM identities WHERE user_id = :id AND provider = :provider RETURNING id", {"id": user_id, "provider": provider}
        )
        return gone.fetchone() is not None

    def remove_all(self, user_id: str, *, since: int = 0) -> int:
        """Unlink all that were linked since then (ms); how many those were."""
        gone = self._connection.execute(
            "DELETE FROM identities WHERE user_id = :id AND created_at >= :since", {"id": user_id, "since": since}
        )
        return gone.rowcount
