"""Rows as lines of text, NDJSON or CSV (RFC 4180): one line each, whatever somebody has put into a field."""

from __future__ import annotations

import re
from collections.abc import Iterable

from authsvc.http.response import dumps

NDJSON = "application/x-ndjson"
CSV = "text/csv"

# What ends a line somewhere, moves a terminal's cursor, or turns the direction of reading. A JSON text has them only
# within its strings, where the escape means the same.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SPECIAL = re.compile('[",]|^ | $')
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their full-width forms


def ndjson(value: object) -> bytes:
    """One JSON object and a line feed."""
    return (visible(dumps(value)) + "\n").encode()


def csv(cells: Iterable[object]) -> bytes:
    """One record and CR LF. Nothing is an empty cell; what a spreadsheet would take for a formula begins with an apostrophe."""
    return (",".join(_cell(value) for value in cells) + "\r\n").encode()


def visible(text: str) -> str:
    """Control characters as \\uXXXX."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    shown = ("'" if text.startswith(FORMULA) else "") + visible(text)
    return '"' + shown.replace('"', '""') + '"' if _SPECIAL.search(shown) else shown
