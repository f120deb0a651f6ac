"""Second factors and recovery codes: rows and SQL. No row holds a secret."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

UNCONFIRMED_MS = 900_000  # how long a factor waits for its first code
SWEPT_PER_ADD = 2


class Factor(NamedTuple):
    """A row of factors. Times in ms."""

    id: str
    kid: str
    user_id: str
    type: str
    label: str
    target: str | None
    nonce: str
    created_at: int
    confirmed_at: int | None
    last_step: int
    last_used_at: int | None


class Batch(NamedTuple):
    """A row of recovery_batches. `used` has a bit for each used code."""

    user_id: str
    id: str
    kid: str
    created_at: int
    used: int


COLUMNS = ", ".join(Factor._fields)
_INSERT = f"INSERT INTO factors ({COLUMNS}) VALUES ({', '.join(':' + name for name in Factor._fields)})"
_SWEEP = """
DELETE FROM factors WHERE id IN (
  SELECT id FROM factors WHERE confirmed_at IS NULL AND created_at < :before ORDER BY created_at LIMIT :most)
"""
_PUT_BATCH = """
INSERT INTO recovery_batches (user_id, id, kid, created_at, used) VALUES (:user_id, :id, :kid, :created_at, :used)
ON CONFLICT (user_id) DO UPDATE SET id = :id, kid = :kid, created_at = :created_at, used = :used
"""


class Factors:
    """Tables factors and recovery_batches; and users.mfa_enabled, which follows them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, factor: Factor) -> None:
        """A factor that waits for its first code, in place of others of its kind that still wait."""
        self._connection.execute(_SWEEP, {"before": factor.created_at - UNCONFIRMED_MS, "most": SWEPT_PER_ADD})
        self._connection.execute("DELETE FROM factors WHERE user_id = :user_id AND type = :type AND confirmed_at IS NULL", factor._asdict())
        self._connection.execute(_INSERT, factor._asdict())

    def bring(self, factor: Factor) -> None:
        """One that counts already."""
        self._connection.execute(_INSERT, factor._asdict())
        self._note(factor.user_id)

    def get(self, factor_id: str, user_id: str) -> Factor | None:
        """A factor of this user, confirmed or not."""
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM factors WHERE id = :id AND user_id = :user_id", {"id": factor_id, "user_id": user_id}
        ).fetchone()
        return Factor._make(row) if row else None

    def of(self, user_id: str) -> list[Factor]:
        """The confirmed factors of a user, oldest first."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM factors WHERE user_id = :user_id AND confirmed_at IS NOT NULL ORDER BY id", {"user_id": user_id}
        )
        return [Factor._make(row) for row in rows]

    def waiting(self, user_id: str, factor_id: str | None, type: str | None) -> Factor | None:  # noqa: A002 - the column's name
        """The newest factor of a user that waits for its first code (with this id, of this type)."""
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM factors WHERE user_id = :user_id AND confirmed_at IS NULL "
            "AND (:id IS NULL OR id = :id) AND (:type IS NULL OR type = :type) ORDER BY id DESC LIMIT 1",
            {"user_id": user_id, "id": factor_id, "type": type},
        ).fetchone()
        return Factor._make(row) if row else None

    def confirm(self, factor_id: str, now: int) -> Factor | None:
        """From now on it counts; None when it counted already, or waited too long."""
        row = self._connection.execute(
            f"UPDATE factors SET confirmed_at = :now, last_used_at = :now WHERE id = :id AND confirmed_at IS NULL AND created_at >= :since "
            f"RETURNING {COLUMNS}",
            {"id": factor_id, "now": now, "since": now - UNCONFIRMED_MS},
        ).fetchone()
        confirmed = Factor._make(row) if row else None
        if confirmed:
            self._note(confirmed.user_id)
        return confirmed

    def advance(self, factor_id: str, step: int, now: int) -> bool:
        """Spend a time step; False when it, or a later one, was spent before. The write is the check."""
        row = self._connection.execute(
            "UPDATE factors SET last_step = :step, last_used_at = :now WHERE id = :id AND last_step < :step RETURNING id",
            {"id": factor_id, "step": step, "now": now},
        ).fetchone()
        return row is not None

    def note_use(self, factor_id: str, now: int) -> None:
        self._connection.execute("UPDATE factors SET last_used_at = :now WHERE id = :id", {"id": factor_id, "now": now})

    def remove(self, user_id: str, factor_ids: list[str]) -> None:
        """Remove these factors of a user; with the last confirmed one go the recovery codes."""
        for factor_id in factor_ids:
            self._connection.execute("DELETE FROM factors WHERE id = :id AND user_id = :user_id", {"id": factor_id, "user_id": user_id})
        if not self._note(user_id):
            self._connection.execute("DELETE FROM recovery_batches WHERE user_id = :user_id", {"user_id": user_id})

    def remove_since(self, user_id: str, since: int) -> None:
        """Remove what was confirmed since then (ms), and what still waits."""
        self._connection.execute(
            "DELETE FROM factors WHERE user_id = :user_id AND (confirmed_at IS NULL OR confirmed_at >= :since)",
            {"user_id": user_id, "since": since},
        )
        self.remove(user_id, [])

    def remove_all(self, user_id: str) -> list[Factor]:
        """Remove every factor of a user, waiting ones too; those that counted."""
        counted = self.of(user_id)
        self._connection.execute("DELETE FROM factors WHERE user_id = :user_id", {"user_id": user_id})
        self.remove(user_id, [])
        return counted

    def batch(self, user_id: str) -> Batch | None:
        """The recovery codes of a user."""
        row = self._connection.execute(
            "SELECT user_id, id, kid, created_at, used FROM recovery_batches WHERE user_id = :user_id", {"user_id": user_id}
        ).fetchone()
        return Batch._make(row) if row else None

    def put_batch(self, batch: Batch) -> None:
        """New recovery codes in place of the old ones."""
        self._connection.execute(_PUT_BATCH, batch._asdict())

    def spend_recovery(self, batch: Batch, bit: int) -> int | None:
        """Use one code up; the bits then, or None when it was used before. The write is the check."""
        row = self._connection.execute(
            "UPDATE recovery_batches SET used = used | :bit WHERE id = :id AND used & :bit = 0 RETURNING used", {"id": batch.id, "bit": bit}
        ).fetchone()
        return row[0] if row else None

    def _note(self, user_id: str) -> bool:
        """Keep users.mfa_enabled true to the rows."""
        enabled = bool(self.of(user_id))
        self._connection.execute(
            "UPDATE users SET mfa_enabled = :enabled, version = version + 1 WHERE id = :id AND mfa_enabled <> :enabled",
            {"id": user_id, "enabled": int(enabled)},
        )
        return enabled
