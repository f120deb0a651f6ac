"""Reading the audit trail: by filters and page by page, or row by row for whoever checks it. Writing it is events.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from authsvc.store.broken import fetched
from authsvc.store.events import PERSONAL, SEALED

COLUMNS = ("seq", *SEALED, *PERSONAL, "mac")
MOST_LOOKED_AT = 5_000  # rows for one page, where no index serves all of its filters
LOOKED_AT_ONCE = 500
MOST_ACTIONS = 400  # that a prefix may stand for; SQLite joins up to 500 lists
LAST = 2**62
UNSEALED_LOOKED_AT = 2_000
SAMPLE = 100
# Of a row of events and its entries in four indexes: headers, numbers, and the space that B-trees keep free.
OVERHEAD_BYTES, FILL = 110, 1.1

_SELECTED = ", ".join("e." + name for name in COLUMNS)
# A walk from one name to the next by the index: as many steps as there are names, however many rows.
_ACTIONS = """
WITH RECURSIVE names (name) AS (
  SELECT min(action) FROM events WHERE action >= :prefix
  UNION ALL SELECT (SELECT min(action) FROM events WHERE action > names.name) FROM names WHERE names.name < :end
) SELECT name FROM names WHERE name < :end LIMIT :most
"""
_LENGTHS = " + ".join(f"COALESCE(length({name}), 0)" for name in COLUMNS[1:])
_SIZE = f"""
SELECT avg({_LENGTHS} + length(id) + length(action) + COALESCE(length(subject), 0) + COALESCE(length(actor_id), 0)) FROM events
WHERE seq IN (SELECT seq FROM (SELECT seq FROM events ORDER BY seq LIMIT {SAMPLE}))
OR seq IN (SELECT seq FROM (SELECT seq FROM events ORDER BY seq DESC LIMIT {SAMPLE}))
"""

# Whoever reads their own rows may not find out by trying what is not shown to them of who else acted.
_OWN = " AND (:own IS NULL OR e.actor_id = :own)"

Row = Mapping[str, Any]


class Filter(NamedTuple):
    """Which rows; None asks for nothing. `own`: those that a user made or that are about them. `after` (included) and
    `before` (not included) in ms. `actions`: any of these; `hidden`: none of these."""

    actor: str | None = None
    subject: str | None = None
    own: str | None = None
    actions: tuple[str, ...] | None = None
    hidden: tuple[str, ...] = ()
    outcome: str | None = None
    ip: str | None = None
    after: int | None = None
    before: int | None = None


class Found(NamedTuple):
    """Rows, and the number of the row to go on from; None at the end. There may be no rows and yet more to come."""

    rows: list[Row]
    next: int | None


class Trail:
    """Table events, for reading."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def search(self, wanted: Filter, *, above: int, below: int, limit: int, newest_first: bool) -> Found:
        """The first rows between two numbers (neither included), found by index; what no index serves is looked through,
        but never many more than MOST_LOOKED_AT rows."""
        rows: list[Row] = []
        looked = 0
        at_once = limit + 1 if _is_served(wanted) else max(limit + 1, LOOKED_AT_ONCE)
        while True:
            numbers, matching = self._batch(wanted, above, below, at_once, newest_first=newest_first)
            rows += matching
            looked += len(numbers)
            if len(rows) > limit:
                return Found(rows[:limit], rows[limit - 1]["seq"])
            if len(numbers) < at_once:
                return Found(rows, None)
            above, below = (above, numbers[-1]) if newest_first else (numbers[-1], below)
            if looked >= MOST_LOOKED_AT:
                return Found(rows, numbers[-1])

    def _batch(self, wanted: Filter, above: int, below: int, most: int, *, newest_first: bool) -> tuple[list[int], list[Row]]:
        """The numbers of the next candidates, and those of their rows that match."""
        values = wanted._asdict() | {"above": above, "below": below, "most": most}
        values |= {f"action{place}": name for place, name in enumerate(wanted.actions or ())}
        values |= {f"hidden{place}": name for place, name in enumerate(wanted.hidden)}
        order = "DESC" if newest_first else "ASC"
        candidates = f"{' UNION '.join(_sources(wanted))} ORDER BY seq {order} LIMIT :most"
        numbers = [seq for (seq,) in self._connection.execute(candidates, values)]
        if not numbers:
            return [], []
        # In SQLite a CROSS JOIN also says in which order: from the candidates to their rows.
        return numbers, self._fetched(
            f"SELECT {_SELECTED} FROM ({candidates}) c CROSS JOIN events e WHERE e.seq = c.seq AND {_conditions(wanted)} "
            f"ORDER BY e.seq {order}",
            values,
        )

    def actions(self, prefix: str) -> tuple[str, ...]:
        """The names of recorded events that begin so."""
        values = {"prefix": prefix, "end": prefix + "\x7f", "most": MOST_ACTIONS}
        return tuple(name for (name,) in self._connection.execute(_ACTIONS, values))

    def span(self, after: int | None, before: int | None) -> tuple[int, int]:
        """Two numbers between which (neither included) lie all rows of that time. The seals tell, also of times when the
        clock had been set back; the rows in between still have to be looked at."""
        above, below = 0, LAST
        if after is not None:
            first = self._number("SELECT from_seq FROM seals WHERE latest_at >= :at ORDER BY latest_at, through_seq LIMIT 1", at=after)
            above = first - 1 if first is not None else self._number("SELECT max(through_seq) FROM seals") or 0
        if before is not None:
            through = self._number(
                "SELECT through_seq FROM seals WHERE latest_at >= :at ORDER BY latest_at, through_seq LIMIT 1", at=before
            )
            if through is not None:
                set_back = self._number("SELECT max(through_seq) FROM seals WHERE earliest_at IS NOT NULL AND earliest_at < :at", at=before)
                unsealed = self._number(
                    "SELECT max(seq) FROM (SELECT seq, at FROM events WHERE seq > (SELECT max(through_seq) FROM seals) "
                    "ORDER BY seq DESC LIMIT :most) e WHERE at < :at",
                    at=before,
                    most=UNSEALED_LOOKED_AT,
                )
                below = max(through, set_back or 0, unsealed or 0) + 1
        return above, below

    def between(self, above: int, through: int, most: int) -> list[Row]:
        """Rows in their order, from the one after `above`."""
        return self._fetched(
            f"SELECT {_SELECTED} FROM events e WHERE e.seq > :above AND e.seq <= :through ORDER BY e.seq LIMIT :most",
            {"above": above, "through": through, "most": most},
        )

    def count_of(self, actions: Collection[str], from_seq: int, most: int) -> int:
        """How many rows of these names there are from this one on, counted up to so many; by index, name by name."""
        found = 0
        for action in actions:
            rows = self._connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM events WHERE action = :action AND seq >= :from_seq LIMIT :most) e",
                {"action": action, "from_seq": from_seq, "most": most - found},
            )
            found += rows.fetchone()[0]
            if found >= most:
                break
        return found

    def first(self) -> int | None:
        return self._number("SELECT min(seq) FROM events")

    def last(self) -> int | None:
        return self._number("SELECT max(seq) FROM events")

    def next_of(self, actions: Collection[str], above: int) -> int | None:
        """The number of the next row that tells of any of these events; a look into the index for each."""
        statement = "SELECT min(seq) FROM events WHERE action = :action AND seq > :above"
        found = [self._number(statement, action=action, above=above) for action in actions]
        return min((number for number in found if number is not None), default=None)

    def forgotten(self, number: int) -> int:
        """How many rows from this one on are not kept any more."""
        return max((self.first() or 0) - number, 0)

    def number_of(self, event_id: str) -> int | None:
        return self._number("SELECT seq FROM events WHERE id = :id", id=event_id)

    def row_bytes(self) -> float:
        """About how much room one row takes in the file, its entries in the indexes included; by the newest and the oldest."""
        (size,) = self._connection.execute(_SIZE).fetchone()
        return ((size or 0) + OVERHEAD_BYTES) * FILL

    def _number(self, statement: str, **values: object) -> int | None:
        row = self._connection.execute(statement, values).fetchone()
        return row[0] if row else None

    def _fetched(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        return [dict(zip(COLUMNS, row, strict=True)) for row in fetched(self._connection, statement, values)]


def _sources(wanted: Filter) -> list[str]:
    """The lists of numbers, each in order by an index, that together hold all rows that are wanted."""
    if wanted.own is not None:
        conditions = ["subject = :own", "actor_id = :own"]
    elif wanted.subject is not None:
        conditions = ["subject = :subject"]
    elif wanted.actor is not None:
        conditions = ["actor_id = :actor"]
    elif wanted.actions is not None:
        conditions = [f"action = :action{place}" for place in range(len(wanted.actions))] or ["FALSE"]
    else:
        conditions = ["TRUE"]
    return [f"SELECT seq FROM events WHERE {condition} AND seq > :above AND seq < :below" for condition in conditions]


def _is_served(wanted: Filter) -> bool:
    """Whether the lists hold nothing else than what is wanted."""
    asked = [value for value in wanted if value]
    return not asked or (len(asked) == 1 and not (wanted.hidden or wanted.outcome or wanted.ip or wanted.after or wanted.before))


def _conditions(wanted: Filter) -> str:
    told = {
        f"e.actor_id = :actor{_OWN}": wanted.actor is not None,
        "e.subject = :subject": wanted.subject is not None,
        "(e.subject = :own OR e.actor_id = :own)": wanted.own is not None,
        f"e.action IN ({_names('action', wanted.actions)})": wanted.actions is not None,
        f"e.action NOT IN ({_names('hidden', wanted.hidden)})": bool(wanted.hidden),
        "e.outcome = :outcome": wanted.outcome is not None,
        f"e.ip = :ip{_OWN}": wanted.ip is not None,
        "e.at >= :after": wanted.after is not None,
        "e.at < :before": wanted.before is not None,
    }
    return " AND ".join(condition for condition, asked in told.items() if asked) or "TRUE"


def _names(prefix: str, names: tuple[str, ...] | None) -> str:
    return ", ".join(f":{prefix}{place}" for place in range(len(names or ())))
