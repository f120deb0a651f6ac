"""Files that a broken disk has spoiled, and rows that somebody may have tampered with: whatever lies there, it can be looked at."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any


def damage(connection: sqlite3.Connection, *, indexes: bool = False) -> list[str]:
    """What is wrong with the pages of the file, up to three findings; with `indexes` also whether these fit their tables, which
    takes longer."""
    check = "integrity_check" if indexes else "quick_check"
    found = [line for (line,) in connection.execute(f"PRAGMA {check}(3)")]
    return [] if found == ["ok"] else found or [f"{check} says nothing"]


def fetched(connection: sqlite3.Connection, statement: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """All rows; bytes that are no text are replaced, and so will not fit their MAC."""
    try:
        return connection.execute(statement, values).fetchall()
    except sqlite3.OperationalError as error:
        if "UTF-8" not in str(error):
            raise
    usual = connection.text_factory
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.text_factory = usual
