"""What a database error means to a caller: busy, unavailable, or a fault of ours. Never a wrong answer."""

from __future__ import annotations

import sqlite3

from authsvc.problems import Problem, busy, unavailable

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def meaning(error: sqlite3.Error) -> Problem | None:
    """The problem that a database error stands for; None when the statement itself is at fault."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
    if code in _BUSY:
        return busy(f"store: {error}")
    if code in _UNAVAILABLE:
        return unavailable(f"store: {error}")
    return None
