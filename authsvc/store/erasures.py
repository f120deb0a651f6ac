"""Erasures: whose personal data is still to be taken out of the audit trail, and how far that has come."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from authsvc.store.tx import Tx

AT_ONCE = 1_000  # rows erased by the transaction that deletes the account
LINGER_MS = 3_600_000  # what was under way when the account went may still be recorded: one last look after this time
MOST_ACCOUNTS = 20  # looked at by one run


class Erasure(NamedTuple):
    """A row of erasures. Times in ms; `after_…` are numbers of audit rows."""

    user_id: str
    since: int
    due_at: int
    after_subject: int
    after_actor: int


COLUMNS = ", ".join(Erasure._fields)
# An account that was deleted a while ago may have come back by an import, and go again.
_INSERT = f"""
INSERT INTO erasures ({COLUMNS}) VALUES ({", ".join(":" + name for name in Erasure._fields)})
ON CONFLICT (user_id) DO UPDATE SET since = excluded.since, due_at = excluded.due_at, after_subject = 0, after_actor = 0
"""
_UPDATE = "UPDATE erasures SET due_at = :due_at, after_subject = :after_subject, after_actor = :after_actor WHERE user_id = :user_id"


class Erasures:
    """Table erasures."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, erasure: Erasure) -> None:
        self._connection.execute(_INSERT, erasure._asdict())

    def due(self, now: int, most: int) -> list[Erasure]:
        """Those that have something to do, longest due first."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM erasures WHERE due_at <= :now ORDER BY due_at LIMIT :most", {"now": now, "most": most}
        )
        return [Erasure._make(row) for row in rows.fetchall()]

    def put(self, erasure: Erasure) -> None:
        """Note how far it has come."""
        self._connection.execute(_UPDATE, erasure._asdict())

    def end(self, user_id: str) -> None:
        self._connection.execute("DELETE FROM erasures WHERE user_id = :user_id", {"user_id": user_id})


def begin(tx: Tx, user_id: str, now: int) -> None:
    """Inside the block that deletes the account, after its last event: erase what can be at once; `run` does the rest."""
    erasure = Erasure(user_id, now, now, 0, 0)
    tx.erasures.add(erasure)
    _work_off(tx, erasure, now, AT_ONCE)


def run(tx: Tx, now: int, most: int) -> int:
    """Erase what is personal in up to so many rows of the trail; how many were looked at. To be called now and then, until
    it gives 0."""
    left = most
    for erasure in tx.erasures.due(now, MOST_ACCOUNTS):
        left -= _work_off(tx, erasure, now, left)
        if left <= 0:
            break
    return most - left


def _work_off(tx: Tx, erasure: Erasure, now: int, most: int) -> int:
    """One account; how many rows were looked at. A row that tells of the account and of what it did itself counts twice."""
    told, after_subject = tx.events.erase("subject", erasure.user_id, erasure.after_subject, most)
    done, after_actor = tx.events.erase("actor_id", erasure.user_id, erasure.after_actor, most - told)
    if told + done >= most:
        due_at = now
    elif now >= erasure.since + LINGER_MS:
        tx.erasures.end(erasure.user_id)
        return told + done
    else:
        due_at = erasure.since + LINGER_MS
    tx.erasures.put(erasure._replace(due_at=due_at, after_subject=after_subject, after_actor=after_actor))
    return told + done
