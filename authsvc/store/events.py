"""The audit trail: one door through which every event is recorded, each row sealed with a MAC."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from authsvc.events import Cause, Event
from authsvc.primitives import ids
from authsvc.primitives.keyring import Key, Keyring, Purpose, encode
from authsvc.world import World

SALT_BYTES = 16
SEALED = ("id", "at", "action", "outcome", "actor_type", "actor_id", "subject", "session_id", "request_id", "data", "personal_mac", "kid")
PERSONAL = ("personal_salt", "actor_label", "ip", "user_agent")
_COLUMNS = (*SEALED, *PERSONAL, "mac")
_INSERT = f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({', '.join(':' + name for name in _COLUMNS)})"
SHOWN = ("id", "at", "action", "outcome", "actor_type", "actor_id", "actor_label", "subject", "session_id", "ip", "user_agent", "data")
_NEXT = {
    column: f"SELECT seq FROM events WHERE {column} = :user_id AND seq > :after ORDER BY seq LIMIT :most"
    for column in ("subject", "actor_id")
}
_ERASE = {
    column: f"UPDATE events SET {', '.join(f'{name} = NULL' for name in PERSONAL)} "
    f"WHERE {column} = :user_id AND seq > :after AND seq <= :last AND personal_salt IS NOT NULL"
    for column in _NEXT
}

Row = Mapping[str, Any]


class Events:
    """Table events. `count` is told of each, and counts it once it is committed."""

    def __init__(self, connection: sqlite3.Connection, keyring: Keyring, world: World, count: Callable[..., None]) -> None:
        self._connection = connection
        self._keyring = keyring
        self._world = world
        self._count = count

    def record(
        self, event: Event, cause: Cause, *, subject: str | None = None, outcome: str = "success", data: Mapping[str, Any] | None = None
    ) -> None:
        """Write one event into the same transaction as what it tells of. `data` holds no secret and no personal data."""
        self._count("events_total", event=event.name, outcome=outcome)
        if event.counted_only:
            return
        key = self._keyring.current
        row: dict[str, Any] = {
            "id": ids.new(ids.EVENT, self._world),
            "at": self._world.now(),
            "action": event.name,
            "outcome": outcome,
            "actor_type": cause.actor_type,
            "actor_id": cause.actor_id,
            "subject": subject,
            "session_id": cause.session_id,
            "request_id": cause.request_id,
            "data": json.dumps(data or {}, separators=(",", ":"), sort_keys=True),
            "kid": key.kid,
            "personal_salt": encode(self._world.random_bytes(SALT_BYTES)),
            "actor_label": cause.label,
            "ip": cause.ip,
            "user_agent": cause.user_agent,
        }
        row["personal_mac"] = personal_mac(key, row)
        row["mac"] = row_mac(key, row)
        self._connection.execute(_INSERT, row)

    def erase(self, column: str, user_id: str, after: int, most: int) -> tuple[int, int]:
        """Take the personal data out of the next rows whose `subject` or `actor_id` this is; how many those are, and the last
        one's number. The rows still verify: what their MAC covers of it is a digest."""
        values = {"user_id": user_id, "after": after}
        found = [seq for (seq,) in self._connection.execute(_NEXT[column], {**values, "most": most})]
        if not found:
            return 0, after
        self._connection.execute(_ERASE[column], {**values, "last": found[-1]})
        return len(found), found[-1]

    def of_user(self, user_id: str, most: int) -> list[dict[str, Any]]:
        """The newest rows that tell of a user or of what they did, newest first."""
        found: dict[int, dict[str, Any]] = {}
        for column in _ERASE:
            rows = self._connection.execute(
                f"SELECT seq, {', '.join(SHOWN)} FROM events WHERE {column} = :user_id ORDER BY seq DESC LIMIT :most",
                {"user_id": user_id, "most": most},
            )
            found |= {row[0]: dict(zip(SHOWN, row[1:], strict=True)) for row in rows}
        return [found[seq] for seq in sorted(found, reverse=True)[:most]]


def is_erased(row: Row) -> bool:
    """Whether the personal data was taken out, the salt too: what stays does not show whose it was."""
    return all(row[name] is None for name in PERSONAL)


def personal_mac(key: Key, row: Row) -> str:
    """The MAC over the personal columns. Salted, so that once they are erased it cannot be used to guess them."""
    return encode(key.derive(Purpose.PERSONAL, *_parts(row, PERSONAL)))


def row_mac(key: Key, row: Row) -> str:
    """The MAC over all else."""
    return encode(key.derive(Purpose.AUDIT, *_parts(row, SEALED)))


def _parts(row: Row, names: tuple[str, ...]) -> list[str]:
    """Each column as text that tells NULL from the empty string."""
    return ["-" if row[name] is None else f"+{row[name]}" for name in names]
