"""Seals over the audit trail: each covers the rows after the one before it, so that none can be moved or taken out unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from authsvc.primitives.keyring import Key, Purpose, encode
from authsvc.store.broken import fetched

MOST_ROWS = 1_000  # that one seal covers
MARK_LENGTH = 8


class Sealable(NamedTuple):
    """What a seal takes in of a row."""

    seq: int
    at: int
    mac: str


def sealable(row: Mapping[str, Any]) -> Sealable:
    """The same of whatever somebody has put there."""
    at = row["at"]
    return Sealable(row["seq"], at if isinstance(at, int) else 0, str(row["mac"]))


class Seal(NamedTuple):
    """A row of seals. Times in ms."""

    through_seq: int
    from_seq: int
    row_count: int
    latest_at: int
    earliest_at: int | None
    marks: str
    digest: str
    kid: str
    sealed_at: int
    pruned: str | None = None


class Prunable(NamedTuple):
    """A seal whose rows may be forgotten, and the time of the last of them."""

    through_seq: int
    row_count: int
    digest: str
    at: int


COLUMNS = ", ".join(Seal._fields)
# The write is the check: of several processes that sealed the same rows, one wins.
_INSERT = f"""
INSERT INTO seals ({COLUMNS}) SELECT {", ".join(":" + name for name in Seal._fields)}
WHERE COALESCE((SELECT max(through_seq) FROM seals), 0) = :from_seq - 1
ON CONFLICT (through_seq) DO NOTHING RETURNING through_seq
"""
_PRUNABLE = """
SELECT s.through_seq, s.row_count, s.digest, COALESCE(e.at, s.sealed_at) FROM seals s LEFT JOIN events e ON e.seq = s.through_seq
WHERE s.pruned IS NULL AND s.through_seq < (SELECT max(through_seq) FROM seals) ORDER BY s.through_seq LIMIT :most
"""


class Seals:
    """Table seals."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def newest(self) -> Seal | None:
        return self._one("TRUE ORDER BY through_seq DESC")

    def oldest(self) -> Seal | None:
        """Where anything was pruned, the edge: the one that tells what lay before the rows that are still there."""
        return self._one("TRUE ORDER BY through_seq")

    def after(self, seq: int) -> Seal | None:
        """The first that covers rows after this one."""
        return self._one("through_seq > :value ORDER BY through_seq", seq)

    def before(self, seq: int) -> Seal | None:
        """The last that covers no row from this one on."""
        return self._one("through_seq < :value ORDER BY through_seq DESC", seq)

    def add(self, seal: Seal) -> bool:
        """Put a seal after the newest; False when somebody else has sealed these rows."""
        return self._connection.execute(_INSERT, seal._asdict()).fetchone() is not None

    def prunable(self, most: int) -> list[Prunable]:
        """The oldest whose rows are still there. Never the newest of all: the numbering of rows goes on from its last one."""
        return [Prunable._make(row) for row in self._connection.execute(_PRUNABLE, {"most": most})]

    def prune(self, through_seq: int, mark: str) -> int:
        """Forget the rows that this seal and those before it cover; how many there were. The seal stays, marked, as the edge."""
        edge = self._connection.execute(
            "UPDATE seals SET pruned = :mark WHERE through_seq = :seq AND pruned IS NULL RETURNING through_seq",
            {"mark": mark, "seq": through_seq},
        )
        if edge.fetchone() is None:
            return 0
        self._connection.execute("DELETE FROM seals WHERE through_seq < :seq", {"seq": through_seq})
        return self._connection.execute("DELETE FROM events WHERE seq <= :seq", {"seq": through_seq}).rowcount

    def _one(self, condition: str, value: int | None = None) -> Seal | None:
        rows = fetched(self._connection, f"SELECT {COLUMNS} FROM seals WHERE {condition} LIMIT 1", {"value": value})
        return _as_made(Seal._make(rows[0])) if rows else None


def _as_made(seal: Seal) -> Seal:
    """With the types that a seal has, whatever somebody has put there: it will not fit its digest."""
    return seal._replace(
        from_seq=_whole(seal.from_seq),
        row_count=_whole(seal.row_count),
        latest_at=_whole(seal.latest_at),
        sealed_at=_whole(seal.sealed_at),
        marks=str(seal.marks),
        digest=str(seal.digest),
        kid=str(seal.kid),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else -1


def make(key: Key, previous: Seal | None, rows: Sequence[Sealable], now: int) -> Seal:
    """The seal over these rows, which come after the previous one's."""
    times = [row.at for row in rows]
    before = previous.latest_at if previous else 0
    seal = Seal(
        through_seq=rows[-1].seq,
        from_seq=previous.through_seq + 1 if previous else 1,
        row_count=len(rows),
        latest_at=max(before, *times),
        earliest_at=min(times) if sorted([before, *times]) != [before, *times] else None,
        marks=marks(rows),
        digest="",
        kid=key.kid,
        sealed_at=now,
    )
    return seal._replace(digest=digest(key, previous.digest if previous else "", seal, rows))


def digest(key: Key, previous: str, seal: Seal, rows: Iterable[Sealable]) -> str:
    """The MAC that a seal should have, given the digest of the one before and the rows that lie there."""
    about = (seal.from_seq, seal.through_seq, seal.row_count, seal.latest_at, seal.earliest_at, seal.sealed_at)
    return encode(key.derive(Purpose.SEAL, previous, *map(str, about), *(f"{row.seq} {row.mac}" for row in rows)))


def marks(rows: Iterable[Sealable]) -> str:
    return "".join(row.mac[:MARK_LENGTH].ljust(MARK_LENGTH) for row in rows)


def edge_mark(key: Key, through_seq: int, digest: str) -> str:
    """What only we can write onto a seal whose rows we forget."""
    return f"{key.kid}.{encode(key.derive(Purpose.PRUNED, str(through_seq), digest))}"
