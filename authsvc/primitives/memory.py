"""Keeping a dict bounded, when it only remembers what can be found out again."""

from __future__ import annotations

from itertools import islice
from typing import Any


def make_room(remembered: dict[Any, Any], most: int) -> None:
    """Forget the older half of a full dict. Other threads may add and forget meanwhile."""
    if len(remembered) >= most:
        for old in list(islice(remembered, most // 2)):
            remembered.pop(old, None)
