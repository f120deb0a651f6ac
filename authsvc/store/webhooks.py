"""Webhooks: rows and SQL. Their secrets are derived from the row and lie nowhere."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from authsvc.primitives import ids
from authsvc.primitives.keyring import Keyring, Purpose
from authsvc.rules.webhooks import OVERLAP_MS
from authsvc.world import World

LEASE_MS = 60_000  # longer than a turn takes; after a kill another worker goes on


class Webhook(NamedTuple):
    """A row of webhooks. Times in ms; `events` is a JSON list."""

    id: str
    kid: str
    version: int
    former_kid: str | None
    rotated_at: int | None
    url: str
    description: str
    events: str
    enabled: int
    disabled_reason: str | None
    next_seq: int
    failures: int
    due_at: int
    failing_since: int | None
    last_success_at: int | None
    lease_id: str | None
    lease_until: int
    created_at: int
    updated_at: int


COLUMNS = ", ".join(Webhook._fields)
_INSERT = f"INSERT INTO webhooks ({COLUMNS}) VALUES ({', '.join(':' + name for name in Webhook._fields)})"
CHANGEABLE = frozenset({"url", "description", "events", "enabled", "disabled_reason", "failures", "due_at", "failing_since", "next_seq"})


class Webhooks:
    """Table webhooks."""

    def __init__(self, connection: sqlite3.Connection, world: World) -> None:
        self._connection = connection
        self._world = world

    def add(self, webhook: Webhook) -> None:
        self._connection.execute(_INSERT, webhook._asdict())

    def get(self, webhook_id: str) -> Webhook | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM webhooks WHERE id = :id", {"id": webhook_id}).fetchone()
        return Webhook._make(row) if row else None

    def every(self) -> list[Webhook]:
        """All of them, in the order of their making; rules/webhooks.py says how many there may be."""
        return [Webhook._make(row) for row in self._connection.execute(f"SELECT {COLUMNS} FROM webhooks ORDER BY id")]

    def earliest(self) -> int | None:
        """The first event that an enabled one may not have had yet; None where there is none."""
        row: int | None = self._connection.execute("SELECT min(next_seq) FROM webhooks WHERE enabled = 1").fetchone()[0]
        return row

    def count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM webhooks").fetchone()[0])

    def change(self, webhook_id: str, now: int, **values: Any) -> Webhook | None:
        """Set some columns; None when there is none of this id."""
        if not values.keys() <= CHANGEABLE:
            raise LookupError(values.keys() - CHANGEABLE)
        sets = "".join(f"{name} = :{name}, " for name in values)
        return self._changed(f"{sets}updated_at = :now WHERE id = :id", id=webhook_id, now=now, **values)

    def rotate(self, webhook_id: str, kid: str, now: int) -> Webhook | None:
        """The next version of its secret."""
        sets = "version = version + 1, former_kid = kid, kid = :kid, rotated_at = :now, updated_at = :now"
        return self._changed(f"{sets} WHERE id = :id", id=webhook_id, kid=kid, now=now)

    def remove(self, webhook_id: str) -> Webhook | None:
        """Delete it with its deliveries."""
        row = self._connection.execute(f"DELETE FROM webhooks WHERE id = :id RETURNING {COLUMNS}", {"id": webhook_id}).fetchone()
        return Webhook._make(row) if row else None

    def claim(self, webhook_id: str) -> Webhook | None:
        """Keep others from it for a while; None when somebody else has it. The write is the check."""
        now = self._world.now()
        return self._changed(
            "lease_id = :lease_id, lease_until = :until WHERE id = :id AND (lease_until <= :now OR lease_until > :unbelievable)",
            id=webhook_id,
            lease_id=ids.new(ids.DELIVERY, self._world),
            until=now + LEASE_MS,
            now=now,
            unbelievable=now + 2 * LEASE_MS,  # the clock was set back meanwhile
        )

    def release(self, claimed: Webhook) -> None:
        """Let others have it at once."""
        self._kept(claimed, "lease_id = NULL, lease_until = 0")

    def advance(self, claimed: Webhook, next_seq: int) -> bool:
        """It has had all events before this one; False when the lease was lost."""
        return self._kept(claimed, "next_seq = max(next_seq, :next_seq)", next_seq=next_seq)

    def succeeded(self, claimed: Webhook, now: int) -> bool:
        return self._kept(claimed, "failures = 0, failing_since = NULL, last_success_at = :now", now=now)

    def failed(self, claimed: Webhook, now: int, due_at: int) -> Webhook | None:
        """One more failure in a row; the next try is due then."""
        return self._changed(
            "failures = failures + 1, failing_since = COALESCE(failing_since, :now), due_at = :due_at WHERE id = :id AND lease_id = :lease_id",
            id=claimed.id,
            lease_id=claimed.lease_id,
            now=now,
            due_at=due_at,
        )

    def disable(self, claimed: Webhook, reason: str) -> bool:
        """False when it is disabled already."""
        return self._kept(claimed, "enabled = 0, disabled_reason = :reason", " AND enabled = 1", reason=reason)

    def _kept(self, claimed: Webhook, sets: str, also: str = "", **values: Any) -> bool:
        """A change by whoever has the lease."""
        where = f"WHERE id = :id AND lease_id = :lease_id{also}"
        return self._changed(f"{sets} {where}", id=claimed.id, lease_id=claimed.lease_id, **values) is not None

    def _changed(self, change: str, **values: Any) -> Webhook | None:
        row = self._connection.execute(f"UPDATE webhooks SET {change} RETURNING {COLUMNS}", values).fetchone()
        return Webhook._make(row) if row else None


def secrets_of(webhook: Webhook, keyring: Keyring, now: int) -> list[bytes]:
    """What it is signed by: the present secret, and for a while the former one. Raises LookupError for a key that is gone."""
    made = [(webhook.kid, webhook.version)]
    if webhook.former_kid and webhook.rotated_at is not None and now - webhook.rotated_at < OVERLAP_MS:
        made.append((webhook.former_kid, webhook.version - 1))
    found = [(keyring.get(kid), version) for kid, version in made]
    secrets = [key.derive(Purpose.WEBHOOK, webhook.id, str(version)) for key, version in found if key is not None]
    if not secrets:
        raise LookupError("the secret key that its secret is derived from is gone: rotate the secret")
    return secrets
