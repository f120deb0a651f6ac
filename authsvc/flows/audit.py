"""The audit trail as its readers see it: searched page by page, or read out as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from authsvc.events import EVENTS
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.store.trail import Filter, Found, Row

ROWS_PER_CHUNK = 500  # of one read, while nothing is held that others wait for
EVERYTHING_OF = ".*"
INTERNAL = tuple(event.name for event in EVENTS if event.internal)


def page(core: Core, wanted: Filter, *, cursor: str | None, limit: int) -> tuple[list[Row], str | None]:
    """Rows that match, the newest first, and the cursor of the next page. A page may hold fewer than asked for, or none,
    and have a next one all the same: only so many rows are looked at for one."""
    with core.store.read() as tx:
        above, below = tx.trail.span(wanted.after, wanted.before)
        if cursor is not None:
            below = min(below, tx.trail.number_of(cursor) or 0)  # one that is gone was pruned, with all before it
        found = tx.trail.search(wanted, above=above, below=below, limit=limit, newest_first=True)
        return found.rows, _cursor(tx.trail.between(found.next - 1, found.next, 1)) if found.next is not None else None


def export(core: Core, wanted: Filter) -> Iterator[list[Row]]:
    """All rows that match, the oldest first, in chunks; those that were there when it began."""
    with core.store.read() as tx:
        above, below = tx.trail.span(wanted.after, wanted.before)
        below = min(below, (tx.trail.last() or 0) + 1)
    going_on: int | None = above
    while going_on is not None:
        found = _chunk(core, wanted, going_on, below)
        if found.rows:
            yield found.rows
        going_on = found.next


def actions(core: Core, name: str) -> tuple[str, ...]:
    """The names that `login.*`, or a name itself, stands for."""
    if not name.endswith(EVERYTHING_OF):
        return (name,)
    with core.store.read() as tx:
        return tx.trail.actions(name.removesuffix("*"))


def public(row: Row, seen_by: str | None = None) -> dict[str, Any]:
    """The item of the contract. `seen_by`: as this user sees it, to whom nobody else's personal data are shown."""
    told = {name: _text(value) for name, value in row.items()}
    if seen_by is not None and row["actor_id"] != seen_by:
        told |= dict.fromkeys(("actor_id", "actor_label", "session_id", "ip", "user_agent", "request_id"))
    return {
        "id": told["id"],
        "at": _time(row["at"]),
        "action": told["action"],
        "outcome": told["outcome"],
        "actor": {"type": told["actor_type"], "id": told["actor_id"], "label": told["actor_label"]},
        "subject": told["subject"],
        "session_id": told["session_id"],
        "ip": told["ip"],
        "user_agent": told["user_agent"],
        "request_id": told["request_id"],
        "data": _data(row["data"]),
    }


def _chunk(core: Core, wanted: Filter, above: int, below: int) -> Found:
    with core.store.read() as tx:
        return tx.trail.search(wanted, above=above, below=below, limit=ROWS_PER_CHUNK, newest_first=False)


def _cursor(rows: list[Row]) -> str | None:
    return str(rows[0]["id"]) if rows else None


def _text(value: Any) -> str | None:
    """What somebody has put there in its place is shown as it is: /audit/verify judges it."""
    return value if value is None or isinstance(value, str) else str(value)


def _time(value: Any) -> str | None:
    try:
        shown: str | None = timestamp(value)
        return shown
    except (TypeError, ValueError, OverflowError, OSError):
        return str(value)


def _data(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return str(text)
