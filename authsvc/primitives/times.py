"""Moments as text."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def timestamp(milliseconds: int) -> str: ...
@overload
def timestamp(milliseconds: None) -> None: ...
@overload
def timestamp(milliseconds: int | None) -> str | None: ...
def timestamp(milliseconds: int | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if milliseconds is None:
        return None
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
