"""The outbox: what is to be delivered, written with its cause, and claimed under leases by whoever delivers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from authsvc.primitives import ids
from authsvc.world import World

SENT = "sent"
NEEDLESS = "needless"  # nobody to write to, or its link is of no use any more
DEAD = "dead"  # given up
DROPPED = "dropped"  # by an administrator

MAIL = "mail"
LETTER_SECONDS = 86_400  # how long a mail is tried

LEASE_MS = 300_000  # longer than any batch takes; after a kill another worker sends again
KEPT_MS = 7 * 86_400_000  # how long what was delivered can still be looked at


class Message(NamedTuple):
    """A row of outbox. Times in ms; `payload` is a JSON text, `ref` the challenge that the letter is rendered from."""

    id: str
    kind: str
    target: str
    ref: str | None
    user_id: str | None
    payload: str
    created_at: int
    due_at: int
    expires_at: int
    attempts: int
    lease_id: str | None
    lease_until: int | None
    last_error: str | None
    done_at: int | None
    outcome: str | None


COLUMNS = ", ".join(Message._fields)
_INSERT = f"INSERT INTO outbox ({COLUMNS}) VALUES ({', '.join(':' + name for name in Message._fields)})"
_DUE = "done_at IS NULL AND kind = :kind AND due_at <= :now AND (lease_until IS NULL OR lease_until <= :now)"
_CLAIM = f"""
UPDATE outbox SET lease_id = :lease_id, lease_until = :lease_until, attempts = attempts + 1
WHERE id IN (SELECT id FROM outbox WHERE {_DUE} ORDER BY due_at, id LIMIT :most) RETURNING {COLUMNS}
"""
_RELEASED = "lease_id = NULL, lease_until = NULL"
_REVIVE = f"done_at = NULL, outcome = NULL, attempts = 0, due_at = :now, expires_at = :now + :life, {_RELEASED}"
_SWEEP = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE done_at < :before AND outcome <> 'dead' ORDER BY done_at LIMIT :most)"


class Outbox:
    """Table outbox. `wake` is called once for a block that added something, after its commit."""

    def __init__(self, connection: sqlite3.Connection, world: World, wake: Callable[[], None]) -> None:
        self._connection = connection
        self._world = world
        self._wake = wake

    def add(
        self, kind: str, target: str, payload: Mapping[str, Any], *, seconds: int, ref: str | None = None, user_id: str | None = None
    ) -> str:
        """Put a message in, to be given up after so many seconds; its id. Nothing secret may be in the payload."""
        now = self._world.now()
        message = Message(
            id=ids.new(ids.DELIVERY, self._world),
            kind=kind,
            target=target,
            ref=ref,
            user_id=user_id,
            payload=json.dumps(payload, separators=(",", ":"), sort_keys=True),
            created_at=now,
            due_at=now,
            expires_at=now + seconds * 1000,
            attempts=0,
            lease_id=None,
            lease_until=None,
            last_error=None,
            done_at=None,
            outcome=None,
        )
        self._connection.execute(_INSERT, message._asdict())
        self._wake()
        return message.id

    def add_letter(
        self, letter: str, to: str, locale: str | None, facts: Mapping[str, Any], *, ref: str | None, user_id: str | None
    ) -> None:
        """One mail to one address, tried for a day."""
        payload = {"letter": letter, "to": to, "locale": locale, "facts": facts}
        self.add(MAIL, to.casefold(), payload, seconds=LETTER_SECONDS, ref=ref, user_id=user_id)

    def claim(self, kind: str, most: int, lease_ms: int = LEASE_MS) -> list[Message]:
        """Take some that are due, oldest first; nobody else gets them while the lease lasts."""
        now = self._world.now()
        lease = ids.new("lea", self._world)
        values = {"kind": kind, "now": now, "most": most, "lease_id": lease, "lease_until": now + lease_ms}
        claimed = [Message._make(row) for row in self._connection.execute(_CLAIM, values).fetchall()]
        return sorted(claimed, key=lambda message: (message.due_at, message.id))

    def end(self, message: Message, outcome: str, error: str | None = None) -> bool:
        """Note how it ended; False when the lease was lost and somebody else has it."""
        sets = f"done_at = :now, outcome = :outcome, last_error = :error, {_RELEASED}"
        return self._settle(message, sets, now=self._world.now(), outcome=outcome, error=error)

    def put_off(self, message: Message, due_at: int, error: str | None) -> bool:
        """Try again later; False when the lease was lost."""
        return self._settle(message, f"due_at = :due_at, last_error = :error, {_RELEASED}", due_at=due_at, error=error)

    def next_due(self, kind: str) -> int | None:
        """When the next one is due that nobody is delivering (ms); None when nothing waits."""
        row = self._connection.execute(
            "SELECT due_at FROM outbox WHERE done_at IS NULL AND kind = :kind AND (lease_until IS NULL OR lease_until <= :now) "
            "ORDER BY due_at LIMIT 1",
            {"kind": kind, "now": self._world.now()},
        ).fetchone()
        return row[0] if row else None

    def waiting(self, kind: str, most: int) -> int:
        """How many are still to be delivered, counted up to so many."""
        open_ones = "SELECT 1 FROM outbox WHERE done_at IS NULL AND kind = :kind LIMIT :most"
        return int(self._connection.execute(f"SELECT count(*) FROM ({open_ones}) o", {"kind": kind, "most": most}).fetchone()[0])

    def state(self) -> tuple[int, int, int | None]:
        """How many wait, how many were given up, and when the first of those that wait was due (ms)."""
        waiting, earliest = self._connection.execute("SELECT count(*), min(due_at) FROM outbox WHERE done_at IS NULL").fetchone()
        (dead,) = self._connection.execute("SELECT count(*) FROM outbox WHERE outcome = 'dead'").fetchone()
        return waiting, dead, earliest

    def get(self, message_id: str) -> Message | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM outbox WHERE id = :id", {"id": message_id}).fetchone()
        return Message._make(row) if row else None

    def page(self, *, after: str, limit: int, everything: bool) -> list[Message]:
        """Messages in the order of their making: those that wait or were given up, or all that are still kept."""
        which = "TRUE" if everything else "(done_at IS NULL OR outcome = 'dead')"
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM outbox WHERE id > :after AND {which} ORDER BY id LIMIT :limit", {"after": after, "limit": limit}
        )
        return [Message._make(row) for row in rows]

    def of(self, user_id: str, most: int) -> list[Message]:
        """The newest messages to an account that are still kept."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM outbox WHERE user_id = :user_id ORDER BY id DESC LIMIT :most", {"user_id": user_id, "most": most}
        )
        return [Message._make(row) for row in rows]

    def revive(self, message_id: str, *, seconds: int) -> bool:
        """Deliver it anew, trying for so long; False when it is not there or just being delivered."""
        now = self._world.now()
        revived = self._connection.execute(
            f"UPDATE outbox SET {_REVIVE} WHERE id = :id AND (lease_until IS NULL OR lease_until <= :now) RETURNING id",
            {"id": message_id, "now": now, "life": seconds * 1000},
        )
        found = revived.fetchone() is not None
        if found:
            self._wake()
        return found

    def drop(self, message_id: str) -> bool:
        """Never deliver it; False when there is nothing to drop."""
        dropped = self._connection.execute(
            f"UPDATE outbox SET done_at = :now, outcome = '{DROPPED}', {_RELEASED} "
            "WHERE id = :id AND (done_at IS NULL OR outcome = 'dead') AND (lease_until IS NULL OR lease_until <= :now) RETURNING id",
            {"id": message_id, "now": self._world.now()},
        )
        return dropped.fetchone() is not None

    def sweep(self, most: int) -> None:
        """Forget some of what was delivered long ago. What was given up stays until somebody has looked at it."""
        self._connection.execute(_SWEEP, {"before": self._world.now() - KEPT_MS, "most": most})

    def _settle(self, message: Message, sets: str, **values: object) -> bool:
        values |= {"id": message.id, "lease_id": message.lease_id}
        settled = self._connection.execute(f"UPDATE outbox SET {sets} WHERE id = :id AND lease_id = :lease_id RETURNING id", values)
        return settled.fetchone() is not None
