"""What a cap covers: the one rule for the service and for those who trust its tokens."""

from __future__ import annotations

from collections.abc import Iterable


def holds(caps: Iterable[str], wanted: str) -> bool:
    """Whether one of the caps covers the wanted one: itself, `resource:*` or `*`."""
    resource = wanted.partition(":")[0]
    return any(cap in ("*", wanted, f"{resource}:*") for cap in caps)
