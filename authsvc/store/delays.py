"""Waits after failures, shared by all processes. The arithmetic is primitives/delays.py; the write itself is the check."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from authsvc.config.parse import Limit
from authsvc.primitives.buckets import Charge
from authsvc.primitives.delays import KEPT_MS, blocked_until, wait_ms
from authsvc.primitives.keyring import Keyring
from authsvc.store.buckets import forget, hidden

# Counts the try as failed, unless it has to wait (then the WHERE holds and nothing comes back). The row is locked from then
# on until the wait is in it too: of all who try at once each sees the one before.
_TRY = """
INSERT INTO delays (name, key, failures, blocked_until, forgotten_at) VALUES (:name, :key, 1, :now, :now + :kept)
ON CONFLICT (name, key) DO UPDATE SET failures = CASE WHEN delays.forgotten_at <= :now THEN 1 ELSE delays.failures + 1 END
WHERE delays.blocked_until <= :now
RETURNING failures
"""
_WAIT = "UPDATE delays SET blocked_until = :until, forgotten_at = :until + :kept WHERE name = :name AND key = :key"
_STATE = "SELECT failures, blocked_until FROM delays WHERE name = :name AND key = :key"
_SHORTEN = "UPDATE delays SET blocked_until = :until WHERE name = :name AND key = :key AND blocked_until > :until"
# Whoever came after it would have waited for it, and be counted.
_UNTRY = """
UPDATE delays SET failures = failures - 1, blocked_until = CASE WHEN failures = :failures THEN :now ELSE blocked_until END
WHERE name = :name AND key = :key AND failures > 0
"""


class Delays:
    """Table delays. `count` is told of each charge, and counts it once it is committed."""

    def __init__(self, connection: sqlite3.Connection, keyring: Keyring, count: Callable[..., None]) -> None:
        self._connection = connection
        self._keyring = keyring
        self._count = count

    def charge(self, name: str, key: str, limit: Limit, now: int) -> Charge:
        """Let one try through, if it need not wait; it counts as a failure until it turns out to be right. A refusal makes
        the wait no longer."""
        row = {"name": name, "key": hidden(self._keyring, name, key), "now": now, "kept": KEPT_MS}
        tried = self._connection.execute(_TRY, row).fetchone()
        self._count("limit_charges_total", limit=name, outcome="allowed" if tried else "refused")
        if tried is None:
            failures, until = self._connection.execute(_STATE, row).fetchone()
            ends = blocked_until(until, failures, now, limit)
            if ends < until:
                self._connection.execute(_SHORTEN, row | {"until": ends})
            return Charge(allowed=False, remaining=0, reset=_seconds(ends - now), retry_after=_seconds(ends - now))
        wait = wait_ms(tried[0], limit)
        self._connection.execute(_WAIT, row | {"until": now + wait})
        return Charge(allowed=True, remaining=max(0, limit.burst - tried[0]), reset=_seconds(wait), retry_after=0, failures=tried[0])

    def untry(self, name: str, key: str, charge: Charge, now: int) -> None:
        """Take back a try that was let through and not made; with its wait, unless somebody else has tried since."""
        row = {"name": name, "key": hidden(self._keyring, name, key), "failures": charge.failures, "now": now}
        self._connection.execute(_UNTRY, row)

    def forget(self, name: str, key: str) -> None:
        """The try was right: there were no failures."""
        forget(self._connection, self._keyring, "delays", name, key)

    def counts(self, name: str, now: int) -> tuple[int, int]:
        """How many have failed lately, and how many of them have to wait."""
        found = self._connection.execute(
            "SELECT count(*), count(CASE WHEN blocked_until > :now THEN 1 END) FROM delays WHERE name = :name AND forgotten_at > :now",
            {"name": name, "now": now},
        )
        known, blocked = found.fetchone()
        return known, blocked

    def clear(self, name: str, key: str | None) -> int:
        """Forget one, or all of a name; how many there were."""
        return forget(self._connection, self._keyring, "delays", name, key)


def _seconds(milliseconds: int) -> int:
    return max(1, -(-milliseconds // 1000))
