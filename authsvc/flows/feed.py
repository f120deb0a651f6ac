"""The events as webhooks carry them, for whoever would rather ask for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.primitives.ids import EVENT, is_id
from authsvc.problems import invalid
from authsvc.rules.webhooks import NAMES, matches, payload
from authsvc.store.trail import LAST

MOST_LOOKED_AT, ROWS_PER_READ = 5_000, 200  # rows for one page, and at a time
GONE = "Use the id of an event that is still kept, or the `next_cursor` of an earlier page."

_PLACE = re.compile(r"after_([0-9]{1,18})")


class Page(NamedTuple):
    """Events in their order, and where the next page begins; there is always a next one, sooner or later."""

    items: list[dict[str, Any]]
    next_cursor: str


def page(core: Core, after: str | None, types: Sequence[str], limit: int) -> Page:
    """What happened after an event, or after the place of an earlier page; from the oldest that is kept, without either."""
    items: list[dict[str, Any]] = []
    with core.store.read() as tx:
        above = 0
        if after is not None and (place := _PLACE.fullmatch(after)):
            above = int(place[1])
            if above > (tx.trail.last() or 0):  # of another time of this database: a backup was put back
                raise invalid("after", "invalid", GONE)
        elif after is not None:
            number = tx.trail.number_of(after) if is_id(after, EVENT) else None
            if number is None:
                raise invalid("after", "invalid", GONE)
            above = number
        looked = 0  # rows, not numbers: what was forgotten leaves a gap
        while len(items) < limit and (rows := tx.trail.between(above, LAST, min(ROWS_PER_READ, MOST_LOOKED_AT - looked))):
            looked += len(rows)
            for row in rows:
                if len(items) == limit:
                    break
                above = row["seq"]
                if row["action"] in NAMES and matches(types, row["action"]):
                    items.append({"id": row["id"], **payload(row, timestamp(row["at"]))})
    return Page(items, f"after_{above}")
