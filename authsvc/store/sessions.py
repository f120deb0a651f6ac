"""Sessions: rows and SQL. A session is one sign-in; its refresh tokens are derived from its id and counter."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from authsvc.store.users import User

NEVER = 2**62  # ms; a time that no clock shows, and that SQLite's integers hold


class Session(NamedTuple):
    """A row of sessions. Times in ms; `amr` is space-separated."""

    id: str
    user_id: str
    kid: str
    counter: int
    rotated_at: int
    created_at: int
    last_seen_at: int
    expires_at: int
    ended_at: int | None
    auth_time: int
    amr: str
    acr: str
    ip: str | None
    user_agent: str | None
    label: str | None


COLUMNS = ", ".join(Session._fields)
_WIDTH = len(Session._fields)
_INSERT = f"INSERT INTO sessions ({COLUMNS}) VALUES ({', '.join(':' + name for name in Session._fields)})"
_WITH_USER = f"""
SELECT {", ".join("s." + name for name in Session._fields)}, {", ".join("u." + name for name in User._fields)}
FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = :id
"""
_ROTATE = f"""
UPDATE sessions SET counter = counter + 1, rotated_at = :now, last_seen_at = :now, ip = :ip, user_agent = :user_agent
WHERE id = :id AND counter = :counter AND ended_at IS NULL
AND EXISTS (SELECT 1 FROM users u WHERE u.id = sessions.user_id AND u.generation = :generation)
RETURNING {COLUMNS}
"""


class Sessions:
    """Table sessions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, session: Session) -> None:
        self._connection.execute(_INSERT, session._asdict())

    def with_user(self, session_id: str) -> tuple[Session, User] | None:
        """A session and its account in one look."""
        row = self._connection.execute(_WITH_USER, {"id": session_id}).fetchone()
        return (Session._make(row[:_WIDTH]), User._make(row[_WIDTH:])) if row else None

    def rotate(self, session_id: str, counter: int, generation: int, *, now: int, ip: str | None, user_agent: str | None) -> Session | None:
        """Spend the token of this counter, of an account that is still of this generation; None when it is not the one
        that counts, or the account has changed. The write is the check."""
        values = {"id": session_id, "counter": counter, "generation": generation, "now": now, "ip": ip, "user_agent": user_agent}
        row = self._connection.execute(_ROTATE, values).fetchone()
        return Session._make(row) if row else None

    def end_grace(self, session_id: str) -> None:
        """From now on the previous refresh token is refused whatever the clock says, until the session is refreshed."""
        self._connection.execute("UPDATE sessions SET rotated_at = :never WHERE id = :id", {"id": session_id, "never": NEVER})

    def prove(self, session_id: str, *, now: int, amr: str, acr: str) -> Session | None:
        """Note that the owner proved anew who they are; None when the session has ended meanwhile."""
        row = self._connection.execute(
            f"UPDATE sessions SET auth_time = :now, amr = :amr, acr = :acr WHERE id = :id AND ended_at IS NULL RETURNING {COLUMNS}",
            {"id": session_id, "now": now, "amr": amr, "acr": acr},
        ).fetchone()
        return Session._make(row) if row else None

    def end(self, session_id: str, user_id: str, now: int) -> bool:
        """End one session of this user; False when there is none to end."""
        ended = self._connection.execute(
            "UPDATE sessions SET ended_at = :now WHERE id = :id AND user_id = :user_id AND ended_at IS NULL RETURNING id",
            {"id": session_id, "user_id": user_id, "now": now},
        )
        return ended.fetchone() is not None

    def end_all(self, user_id: str, now: int, *, but: str | None = None) -> list[str]:
        """End every session of a user, except perhaps one; the ids of those that were ended."""
        ended = self._connection.execute(
            "UPDATE sessions SET ended_at = :now WHERE user_id = :user_id AND ended_at IS NULL AND id <> :but RETURNING id",
            {"user_id": user_id, "now": now, "but": but or ""},
        )
        return [session_id for (session_id,) in ended.fetchall()]

    def recent(self, user_id: str, limit: int) -> list[Session]:
        """The newest sessions of a user, ended ones too."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM sessions WHERE user_id = :user_id ORDER BY id DESC LIMIT :limit", {"user_id": user_id, "limit": limit}
        )
        return [Session._make(row) for row in rows]

    def page(self, user_id: str, *, before: str, limit: int, now: int, idle_since: int) -> list[Session]:
        """The live sessions of a user, newest first, from the one before this id."""
        rows = self._connection.execute(
            f"""SELECT {COLUMNS} FROM sessions WHERE user_id = :user_id AND id < :before AND ended_at IS NULL
            AND expires_at > :now AND last_seen_at > :idle_since ORDER BY id DESC LIMIT :limit""",
            {"user_id": user_id, "before": before, "limit": limit, "now": now, "idle_since": idle_since},
        )
        return [Session._make(row) for row in rows]
