"""What a database error means to a caller: busy, unavailable, or a fault of ours. Never a wrong answer."""

from __future__ import annotations

import sqlite3

from authsvc.problems import Problem, busy, unavailable

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
MISSING = "store_missing"  # or another file in its place: whoever looks for the file says so, never SQLite, which only cannot open it
FULL = "store_full"
DAMAGED = "store_damaged"
UNWRITABLE = "store_unwritable"
BUSY = "store_busy"
_UNAVAILABLE = {
    sqlite3.SQLITE_CANTOPEN: UNWRITABLE,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_INTERRUPT: UNWRITABLE,
    sqlite3.SQLITE_IOERR: UNWRITABLE,
    sqlite3.SQLITE_NOMEM: UNWRITABLE,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_PERM: UNWRITABLE,
    sqlite3.SQLITE_PROTOCOL: UNWRITABLE,
    sqlite3.SQLITE_READONLY: UNWRITABLE,
}


def meaning(error: sqlite3.Error) -> Problem | None:
    """The problem that a database error stands for; None when the statement itself is at fault."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
    if code in _BUSY:
        return busy(f"store: {error}", state=BUSY)
    if code in _UNAVAILABLE:
        return unavailable(f"store: {error}", state=_UNAVAILABLE[code])
    return None
