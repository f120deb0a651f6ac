"""Reading rows that somebody may have tampered with: whatever lies there, it can be looked at."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any


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
