"""What webhooks carry, which events one wants, and when one that failed is tried again (Standard Webhooks 1.0.0)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from authsvc.events import EVENTS

MOST = 200  # webhooks
MOST_PATTERNS = 50
TEST = "webhook.test"
EVERYTHING = "*"

# After each failure in a row, in seconds; then daily. Three days in all until it is disabled.
SCHEDULE = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1  # of the delay, more: what failed together does not come back together
LONGEST_MS = round(SCHEDULE[-1] * 1000 * (1 + JITTER))
PATIENCE_MS = 3 * 86_400_000
LONGEST_WISH_SECONDS = 3_600  # of a receiver's own Retry-After
OVERLAP_MS = 86_400_000  # how long the former secret signs too

NAMES = frozenset(event.name for event in EVENTS if not event.counted_only)


def is_known(pattern: str) -> bool:
    """Whether any event can match it."""
    return bool(wanted([pattern]))


def wanted(patterns: Collection[str]) -> list[str]:
    """The names of all events that one of the patterns means."""
    return [name for name in NAMES if matches(patterns, name)]


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns means this event: its name, `prefix.*`, or `*`."""
    return any(pattern in (EVERYTHING, name) or (pattern.endswith(".*") and name.startswith(pattern[:-1])) for pattern in patterns)


def payload(row: Mapping[str, Any], timestamp: str) -> dict[str, Any]:
    """An event as others get it. Thin: ids and what happened; no address, no name, no secret."""
    return {
        "type": row["action"],
        "timestamp": timestamp,
        "data": {
            "id": row["id"],
            "subject": row["subject"],
            "actor": {"type": row["actor_type"], "id": row["actor_id"]},
            "outcome": row["outcome"],
            "session_id": row["session_id"],
            "details": _details(row["data"]),
        },
    }


def _details(data: Any) -> Any:
    """What was noted of it; nothing where somebody has put what is no JSON in its place (/audit/verify tells)."""
    try:
        return json.loads(data)
    except (ValueError, TypeError, RecursionError):
        return None


def delay_ms(failures: int, chance: int, wish: str | None = None) -> int:
    """Milliseconds after the so-manieth failure in a row. `chance` is a random byte, `wish` the receiver's Retry-After."""
    seconds = SCHEDULE[min(failures, len(SCHEDULE)) - 1]
    wished = min(int(wish), LONGEST_WISH_SECONDS) if wish and wish.isascii() and wish.isdigit() and len(wish) < 10 else 0
    return max(round(seconds * 1000 * (1 + JITTER * chance / 255)), wished * 1000)
