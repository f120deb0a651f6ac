"""Moments as text (RFC 3339)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import overload

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:(\.\d{1,6})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


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


def milliseconds(text: str) -> int:
    """A moment of RFC 3339 section 5.6, which says its zone; what is finer is cut off. Raises ValueError."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("not as in RFC 3339")
    try:
        at = datetime.fromisoformat("".join(found.groups("")).upper()).astimezone(UTC)
    except OverflowError:  # a zone that leads out of the years that there are
        raise ValueError("no such moment") from None
    return (at - EPOCH) // timedelta(milliseconds=1)
