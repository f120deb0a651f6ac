"""Which CAPTCHAs were used. The write itself is the check."""

from __future__ import annotations

import sqlite3

KEPT_MS = 86_400_000  # beyond their time, in case the clock is set back

_SPEND = "INSERT INTO captchas (digest, expires_at) VALUES (:digest, :expires_at) ON CONFLICT (digest) DO NOTHING RETURNING digest"


class Captchas:
    """Table captchas."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def spend(self, digest: str, expires_at: int) -> bool:
        """Use one up; False if it was used before."""
        return self._connection.execute(_SPEND, {"digest": digest, "expires_at": expires_at}).fetchone() is not None
