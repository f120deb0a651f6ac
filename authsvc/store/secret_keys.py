"""Which secret keys have made rows here, and which rows still need each. Counting reads whole tables: for the command line."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from authsvc.primitives.keyring import KID_LENGTH
from authsvc.rules.webhooks import OVERLAP_MS


@dataclass(frozen=True, slots=True)
class Named:
    """Rows of a table that name the secret key that they are checked with, in a column. `until`: when the last of them needs it
    no more, where that comes by itself. `only` leaves out those that need it no more already."""

    what: str
    table: str
    column: str = "kid"
    only: str = "TRUE"
    until: str = "NULL"
    value: str = ""  # the id within the column, where more stands there


# Every column that names a secret key; a test holds it against the schema.
NAMED: tuple[Named, ...] = (
    Named("sessions", "sessions", only="ended_at IS NULL AND expires_at > :now", until="expires_at"),
    Named("links and codes", "challenges", only="used_at IS NULL AND expires_at > :now", until="expires_at"),
    Named("authenticators", "factors", only="type = 'totp'"),
    Named("recovery codes", "recovery_batches"),
    Named("API keys", "api_keys", only="revoked_at IS NULL AND COALESCE(expires_at, :now + 1) > :now", until="expires_at"),
    Named("webhook secrets", "webhooks"),
    Named(
        "former webhook secrets",
        "webhooks",
        "former_kid",
        only=f"rotated_at > :now - {OVERLAP_MS}",
        until=f"rotated_at + {OVERLAP_MS}",
    ),
    Named("audit rows", "events", until="at + :kept"),
    Named("audit seals", "seals", until="sealed_at + :kept"),
    Named(
        "edge of pruned audit rows",
        "seals",
        "pruned",
        only="pruned IS NOT NULL",
        until="sealed_at + :kept",
        value=f"substr(pruned, 1, {KID_LENGTH})",
    ),
    Named("signing keys", "signing_keys", "secret_kid", only="sealed <> ''"),
)
# Columns of such a name that need none: a register, and ids of other keys.
NEEDLESS = frozenset({("secret_keys", "kid"), ("signing_keys", "kid")})


class Need(NamedTuple):
    """What still needs a key: how many rows, and until when (ms); None: until they are removed or changed."""

    what: str
    rows: int
    until: int | None


class SecretKeys:
    """Table secret_keys."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def every(self) -> dict[str, int]:
        """When each was first used here (ms)."""
        return dict(self._connection.execute("SELECT kid, added_at FROM secret_keys ORDER BY added_at"))

    def note(self, kid: str, now: int) -> bool:
        """Note that rows are made with this key from now on; False when that was known."""
        row = self._connection.execute(
            "INSERT INTO secret_keys (kid, added_at) VALUES (:kid, :now) ON CONFLICT (kid) DO NOTHING RETURNING kid",
            {"kid": kid, "now": now},
        ).fetchone()
        return row is not None

    def forget(self, kid: str) -> None:
        self._connection.execute("DELETE FROM secret_keys WHERE kid = :kid", {"kid": kid})

    def needs(self, now: int, audit_kept: int) -> dict[str, list[Need]]:
        """What needs each key. `audit_kept` in ms."""
        found: dict[str, list[Need]] = {}
        for named in NAMED:
            value = named.value or named.column
            rows = self._connection.execute(
                f"SELECT {value}, count(*), max({named.until}) FROM {named.table} WHERE {named.only} GROUP BY 1",
                {"now": now, "kept": audit_kept},
            )
            for kid, count, until in rows:
                found.setdefault(str(kid), []).append(Need(named.what, count, until))
        return found
