"""JSON that means one thing only: what signed text of others is read by. Bodies of requests are http/body.py's."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads(text: str | bytes) -> Any:
    """The value of a JSON text (RFC 8259). Raises ValueError, also for NaN and the like, and RecursionError."""
    return json.loads(text, object_pairs_hook=unique, parse_constant=_refuse)


def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these members: one that is there twice means two things (RFC 7519 section 4, RFC 8725 section 2.7)."""
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member is there twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
