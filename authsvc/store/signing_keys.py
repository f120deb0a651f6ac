"""Signing keys: rows and SQL. There is at most one that signs and one that will be the next; an index sees to it."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from authsvc.primitives.jws import HS256

NEXT, CURRENT, RETIRED = "next", "current", "retired"


class SigningKey(NamedTuple):
    """A row of signing_keys. Times in ms."""

    kid: str
    alg: str
    public: str
    sealed: str
    secret_kid: str
    state: str
    created_at: int
    activated_at: int | None
    retired_at: int | None = None
    ends_at: int | None = None


def derived_until(now: int, ends_at: int) -> SigningKey:
    """The row that says how long tokens of the secret keys' sub-keys still count after key pairs took over."""
    return SigningKey(HS256, HS256, "{}", "", "", RETIRED, now, None, now, ends_at)


COLUMNS = ", ".join(SigningKey._fields)
_INSERT = f"""
INSERT INTO signing_keys ({COLUMNS}) VALUES ({", ".join(":" + name for name in SigningKey._fields)})
ON CONFLICT DO NOTHING RETURNING kid
"""


class SigningKeys:
    """Table signing_keys."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def live(self, now: int) -> list[SigningKey]:
        """All whose tokens count, or will."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM signing_keys WHERE ends_at IS NULL OR ends_at > :now ORDER BY created_at, kid", {"now": now}
        )
        return [SigningKey._make(row) for row in rows]

    def add(self, key: SigningKey) -> bool:
        """False when there is another in its state."""
        return self._connection.execute(_INSERT, key._asdict()).fetchone() is not None

    def retire(self, now: int, ends_at: int) -> str | None:
        """The current one signs no more; its id."""
        return self._kid(
            "UPDATE signing_keys SET state = 'retired', retired_at = :now, ends_at = :ends_at WHERE state = 'current' RETURNING kid",
            now=now,
            ends_at=ends_at,
        )

    def promote(self, now: int) -> SigningKey | None:
        """The next one signs from now on."""
        row = self._connection.execute(
            f"UPDATE signing_keys SET state = 'current', activated_at = :now WHERE state = 'next' RETURNING {COLUMNS}", {"now": now}
        ).fetchone()
        return SigningKey._make(row) if row else None

    def drop_next(self) -> str | None:
        """Forget the one that was to be the next; it has signed nothing."""
        return self._kid("DELETE FROM signing_keys WHERE state = 'next' RETURNING kid")

    def remove(self, kid: str) -> bool:
        """False when there is none."""
        return self._kid("DELETE FROM signing_keys WHERE kid = :kid RETURNING kid", kid=kid) is not None

    def reseal(self, kid: str, former: str, secret_kid: str, sealed: str) -> None:
        """The same key under another seal, unless somebody was faster."""
        self._connection.execute(
            "UPDATE signing_keys SET sealed = :sealed, secret_kid = :secret_kid WHERE kid = :kid AND secret_kid = :former",
            {"kid": kid, "former": former, "secret_kid": secret_kid, "sealed": sealed},
        )

    def _kid(self, statement: str, **values: object) -> str | None:
        row = self._connection.execute(statement, values).fetchone()
        return str(row[0]) if row else None
