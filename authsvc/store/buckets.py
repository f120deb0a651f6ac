"""Token buckets shared by all processes. The arithmetic is primitives/buckets.py; the write itself is the check."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from authsvc.config.parse import Limit
from authsvc.primitives.buckets import Charge, allowed, interval_ms, refused
from authsvc.primitives.keyring import Keyring, Purpose, encode

SWEPT_PER_CHARGE = 2  # rows that ride along: more leave than come, so the table stays as small as the traffic

# Takes a token unless the bucket is empty (then the WHERE holds and nothing comes back). A time further ahead than
# an empty bucket's comes from a clock that was set back, and counts as empty.
_TAKE = """
INSERT INTO buckets (name, key, full_at) VALUES (:name, :key, :now + :cost)
ON CONFLICT (name, key) DO UPDATE SET full_at =
  CASE WHEN buckets.full_at < :now THEN :now WHEN buckets.full_at > :now + :window THEN :now + :window ELSE buckets.full_at END + :cost
WHERE CASE WHEN buckets.full_at < :now THEN :now ELSE buckets.full_at END + :cost <= :now + :window
RETURNING full_at
"""
_EMPTY = "UPDATE buckets SET full_at = :now + :window WHERE name = :name AND key = :key AND full_at > :now + :window"
_STATE = "SELECT full_at FROM buckets WHERE name = :name AND key = :key"
_SWEEP = """
DELETE FROM buckets WHERE (name, key) IN (SELECT name, key FROM buckets WHERE full_at <= :now ORDER BY full_at LIMIT :most)
"""


class Buckets:
    """Table buckets. `count` is told of each charge, and counts it once it is committed."""

    def __init__(self, connection: sqlite3.Connection, keyring: Keyring, count: Callable[..., None]) -> None:
        self._connection = connection
        self._keyring = keyring
        self._count = count

    def charge(self, name: str, key: str, limit: Limit, now: int) -> Charge:
        """Take one token from a bucket, if it has one."""
        cost = interval_ms(limit)
        row = {"name": name, "key": hidden(self._keyring, name, key), "now": now, "cost": cost, "window": cost * limit.burst}
        taken = self._connection.execute(_TAKE, row).fetchone()
        self._count("limit_charges_total", limit=name, outcome="allowed" if taken else "refused")
        if taken is None:
            self._connection.execute(_EMPTY, row)  # after a clock that was set back it fills by today's
            (full_at,) = self._connection.execute(_STATE, row).fetchone()
            return refused(full_at, now, limit)
        self._connection.execute(_SWEEP, {"now": now, "most": SWEPT_PER_CHARGE})
        return allowed(taken[0], now, limit)

    def give_back(self, name: str, key: str, limit: Limit) -> None:
        """Put a token back that was taken in the same block: what it was for was right."""
        self._connection.execute(
            "UPDATE buckets SET full_at = full_at - :cost WHERE name = :name AND key = :key",
            {"name": name, "key": hidden(self._keyring, name, key), "cost": interval_ms(limit)},
        )

    def counts(self, name: str, limit: Limit, now: int) -> tuple[int, int]:
        """How many buckets of a name are not full, and how many of them are empty."""
        cost = interval_ms(limit)
        found = self._connection.execute(
            "SELECT count(*), count(CASE WHEN full_at + :cost > :now + :window THEN 1 END) FROM buckets "
            "WHERE name = :name AND full_at > :now",
            {"name": name, "now": now, "cost": cost, "window": cost * limit.burst},
        )
        used, empty = found.fetchone()
        return used, empty

    def clear(self, name: str, key: str | None) -> int:
        """Fill one bucket, or all of a name; how many were not full."""
        return forget(self._connection, self._keyring, "buckets", name, key)


def forget(connection: sqlite3.Connection, keyring: Keyring, table: str, name: str, key: str | None) -> int:
    """Delete the row of one key, or all of a name; how many there were."""
    which = "" if key is None else " AND key = :key"
    row = {"name": name} | ({} if key is None else {"key": hidden(keyring, name, key)})
    return connection.execute(f"DELETE FROM {table} WHERE name = :name{which}", row).rowcount


def hidden(keyring: Keyring, name: str, key: str) -> str:
    """What stands for a key in a table: no address or e-mail can be read there."""
    return encode(keyring.current.derive(Purpose.BUCKET, name, key)[:16])
