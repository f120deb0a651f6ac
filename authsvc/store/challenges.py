"""Challenges: rows and SQL. What a person holds (a link, a code) is derived from the row and lies nowhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

KEPT_MS = 86_400_000  # after its end a row only explains why its link is no longer valid
SWEPT_PER_ADD = 2  # rows that ride along: more leave than come


class Challenge(NamedTuple):
    """A row of challenges. Times in ms; `data` is a JSON text."""

    id: str
    kid: str
    purpose: str
    user_id: str | None
    channel: str
    target: str
    target_key: str
    data: str
    created_at: int
    expires_at: int
    used_at: int | None
    sends: int
    sent_at: int
    attempts: int


COLUMNS = ", ".join(Challenge._fields)
_INSERT = f"INSERT INTO challenges ({COLUMNS}) VALUES ({', '.join(':' + name for name in Challenge._fields)})"
_SWEEP = "DELETE FROM challenges WHERE id IN (SELECT id FROM challenges WHERE expires_at < :before ORDER BY expires_at LIMIT :most)"
_OPEN = "used_at IS NULL AND expires_at > :now"


class Challenges:
    """Table challenges."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, challenge: Challenge) -> None:
        self._connection.execute(_SWEEP, {"before": challenge.created_at - KEPT_MS, "most": SWEPT_PER_ADD})
        self._connection.execute(_INSERT, challenge._asdict())

    def get(self, challenge_id: str) -> Challenge | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM challenges WHERE id = :id", {"id": challenge_id}).fetchone()
        return Challenge._make(row) if row else None

    def spend(self, challenge_id: str, now: int) -> Challenge | None:
        """Use it up; None when it was used or has run out. The write is the check."""
        return self._changed(f"used_at = :now WHERE id = :id AND {_OPEN}", id=challenge_id, now=now)

    def try_code(self, challenge_id: str, most: int, now: int) -> Challenge | None:
        """Count a code that is about to be compared; None when no more may be. The write is the check."""
        return self._changed(
            f"attempts = attempts + 1 WHERE id = :id AND attempts < :most AND {_OPEN}", id=challenge_id, most=most, now=now
        )

    def open_for(self, target_key: str, purpose: str, user_id: str | None, now: int) -> Challenge | None:
        """The newest open one of this purpose for a target (and an account)."""
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM challenges WHERE target_key = :target_key AND purpose = :purpose AND {_OPEN} "
            "AND (:user_id IS NULL OR user_id = :user_id) ORDER BY id DESC LIMIT 1",
            {"target_key": target_key, "purpose": purpose, "user_id": user_id, "now": now},
        ).fetchone()
        return Challenge._make(row) if row else None

    def resend(self, challenge_id: str, *, not_since: int, expires_at: int, now: int) -> Challenge | None:
        """The next code of it, which ends the one before; None when that one was sent after `not_since`. Its tries go on counting."""
        return self._changed(
            f"sends = sends + 1, sent_at = :now, expires_at = :expires_at WHERE id = :id AND sent_at <= :not_since AND {_OPEN}",
            id=challenge_id,
            not_since=not_since,
            expires_at=expires_at,
            now=now,
        )

    def supersede(self, target_key: str, purpose: str, now: int) -> None:
        """A newer one for this address is about to be sent: older ones end."""
        self._connection.execute(
            "UPDATE challenges SET used_at = :now WHERE target_key = :target_key AND purpose = :purpose AND used_at IS NULL",
            {"target_key": target_key, "purpose": purpose, "now": now},
        )

    def end_all(self, user_id: str, target_key: str, purposes: Iterable[str], now: int) -> None:
        """End what is open of these purposes for an account or its address."""
        for purpose in purposes:
            self.supersede(target_key, purpose, now)
            self.end_of(user_id, purpose, now)

    def end_of(self, user_id: str, purpose: str, now: int) -> int:
        """End what is open of this purpose for an account, whatever the address; how many those were."""
        ended = self._connection.execute(
            "UPDATE challenges SET used_at = :now WHERE user_id = :user_id AND purpose = :purpose AND used_at IS NULL",
            {"user_id": user_id, "purpose": purpose, "now": now},
        )
        return ended.rowcount

    def forget(self, target_key: str) -> None:
        """Remove those of an address or number that were asked for before it had an account."""
        self._connection.execute("DELETE FROM challenges WHERE target_key = :key AND user_id IS NULL", {"key": target_key})

    def invites(self, *, before: str, limit: int, now: int) -> list[Challenge]:
        """The open invites, newest first, from the one before this id."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM challenges WHERE purpose = 'invite' AND used_at IS NULL AND expires_at > :now AND id < :before "
            "ORDER BY id DESC LIMIT :limit",
            {"before": before, "limit": limit, "now": now},
        )
        return [Challenge._make(row) for row in rows]

    def of(self, user_id: str, most: int) -> list[Challenge]:
        """Those of an account that are still kept, newest first."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM challenges WHERE user_id = :user_id ORDER BY id DESC LIMIT :most", {"user_id": user_id, "most": most}
        )
        return [Challenge._make(row) for row in rows]

    def end_newer(self, challenge: Challenge) -> None:
        """End those of the same account and purpose that were made after this one."""
        self._connection.execute(
            "UPDATE challenges SET used_at = created_at WHERE user_id = :user_id AND purpose = :purpose AND id > :id AND used_at IS NULL",
            {"user_id": challenge.user_id, "purpose": challenge.purpose, "id": challenge.id},
        )

    def _changed(self, change: str, **values: object) -> Challenge | None:
        row = self._connection.execute(f"UPDATE challenges SET {change} RETURNING {COLUMNS}", values).fetchone()
        return Challenge._make(row) if row else None
