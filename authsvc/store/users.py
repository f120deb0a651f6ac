"""Accounts and their roles: rows and SQL."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple

ACTIVE = "active"
DISABLED = "disabled"


class User(NamedTuple):
    """A row of users. `metadata` and `app_metadata` are JSON texts; times in ms."""

    id: str
    email: str
    email_key: str
    email_verified_at: int | None
    phone_number: str | None
    phone_verified_at: int | None
    name: str | None
    picture: str | None
    locale: str | None
    status: str
    password_hash: str | None
    generation: int
    version: int
    metadata: str
    app_metadata: str
    created_at: int
    updated_at: int
    last_login_at: int | None
    familiar_since: int
    mfa_enabled: int


COLUMNS = ", ".join(User._fields)
_INSERT = f"""
INSERT INTO users ({COLUMNS}, name_key) VALUES ({", ".join(":" + name for name in User._fields)}, :name_key)
ON CONFLICT (email_key) DO NOTHING RETURNING id
"""
CHANGEABLE = frozenset(
    {
        "name",
        "picture",
        "locale",
        "metadata",
        "app_metadata",
        "status",
        "password_hash",
        "last_login_at",
        "email_verified_at",
        "phone_number",
        "phone_verified_at",
    }
)


class Users:
    """Tables users and user_roles."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, user_id: str) -> User | None:
        return self._one("id = :value", user_id)

    def by_email(self, email_key: str) -> User | None:
        return self._one("email_key = :value", email_key)

    def add(self, user: User) -> bool:
        """Insert a new account; False when its e-mail address has one already."""
        return self._connection.execute(_INSERT, {**user._asdict(), "name_key": _name_key(user.name)}).fetchone() is not None

    def change(self, user_id: str, now: int, **values: Any) -> User:
        """Set some columns; the version counts."""
        if not values.keys() <= CHANGEABLE:
            raise LookupError(values.keys() - CHANGEABLE)
        if "name" in values:
            values["name_key"] = _name_key(values["name"])
        sets = "".join(f"{name} = :{name}, " for name in values)
        return self._changed(f"{sets}version = version + 1, updated_at = :now", user_id, now=now, **values)

    def change_email(self, user_id: str, email: str, email_key: str, now: int, *, proved: bool = True) -> User | None:
        """Give the account another address, which its owner has proved; None when that one has an account of its own."""
        taken = self._connection.execute(
            "SELECT 1 FROM users WHERE email_key = :key AND id <> :id", {"key": email_key, "id": user_id}
        ).fetchone()
        if taken:
            return None
        sets = "email = :email, email_key = :key, email_verified_at = :proved, version = version + 1, updated_at = :now"
        return self._changed(sets, user_id, email=email, key=email_key, now=now, proved=now if proved else None)

    def take_phone(self, user_id: str, number: str, now: int) -> bool:
        """Make a proved number the account's own; False when it is another's."""
        taken = self._connection.execute(
            "SELECT 1 FROM users WHERE phone_number = :number AND phone_verified_at IS NOT NULL AND id <> :id",
            {"number": number, "id": user_id},
        ).fetchone()
        if not taken:
            self._changed(
                "phone_number = :number, phone_verified_at = :now, version = version + 1, updated_at = :now",
                user_id,
                number=number,
                now=now,
            )
        return not taken

    def by_phone(self, number: str) -> User | None:
        """The account that has proved this number."""
        return self._one("phone_verified_at IS NOT NULL AND phone_number = :value", number)

    def note_login(self, user_id: str, now: int) -> User:
        """Remember when the account was last used. No change of the account: its version stays."""
        return self._changed("last_login_at = :now", user_id, now=now)

    def outdate(self, user_id: str) -> User:
        """Start a new generation: every access token made before is refused from now on."""
        return self._changed("generation = generation + 1", user_id)

    def estrange(self, user_id: str, now: int) -> User:
        """From now on no device is known that was known before, and no access token counts that was made before."""
        return self._changed("familiar_since = :now, generation = generation + 1", user_id, now=now)

    def rehash(self, user_id: str, old: str, new: str) -> None:
        """Put the same password's newer hash in place of the old one, if that still stands there."""
        self._connection.execute(
            "UPDATE users SET password_hash = :new WHERE id = :id AND password_hash = :old", {"id": user_id, "old": old, "new": new}
        )

    def delete(self, user_id: str) -> None:
        """Remove the account; its sessions and roles go with it."""
        self._connection.execute("DELETE FROM users WHERE id = :id", {"id": user_id})

    def page(self, *, after: str, limit: int) -> list[User]:
        """Accounts in the order of their making, from the one after this id."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM users WHERE id > :after ORDER BY id LIMIT :limit", {"after": after, "limit": limit}
        )
        return [User._make(row) for row in rows]

    def roles(self, user_id: str) -> list[str]:
        """The roles granted to an account (not those that everybody has)."""
        rows = self._connection.execute("SELECT role FROM user_roles WHERE user_id = :id ORDER BY role", {"id": user_id})
        return [role for (role,) in rows]

    def with_role(self, role: str, most: int) -> list[User]:
        """Some active accounts that were granted this role, the oldest first."""
        columns = ", ".join("u." + name for name in User._fields)
        rows = self._connection.execute(
            f"SELECT {columns} FROM user_roles r JOIN users u ON u.id = r.user_id WHERE r.role = :role AND u.status = 'active' "
            "ORDER BY r.user_id LIMIT :most",
            {"role": role, "most": most},
        )
        return [User._make(row) for row in rows]

    def grants(self, user_id: str) -> list[tuple[str, int]]:
        """The same with when each was granted (ms)."""
        rows = self._connection.execute("SELECT role, granted_at FROM user_roles WHERE user_id = :id ORDER BY role", {"id": user_id})
        return rows.fetchall()

    def set_roles(self, user_id: str, roles: Iterable[str], now: int) -> None:
        """Grant exactly these roles."""
        self._connection.execute("DELETE FROM user_roles WHERE user_id = :id", {"id": user_id})
        for role in sorted(set(roles)):
            self._connection.execute(
                "INSERT INTO user_roles (user_id, role, granted_at) VALUES (:id, :role, :now)", {"id": user_id, "role": role, "now": now}
            )

    def others_with(self, role: str, user_id: str) -> bool:
        """Whether another active account has this role."""
        found = self._connection.execute(
            "SELECT 1 FROM user_roles r JOIN users u ON u.id = r.user_id WHERE r.role = :role AND u.id <> :id AND u.status = 'active' LIMIT 1",
            {"role": role, "id": user_id},
        )
        return found.fetchone() is not None

    def _one(self, condition: str, value: str) -> User | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM users WHERE {condition}", {"value": value}).fetchone()
        return User._make(row) if row else None

    def _changed(self, sets: str, user_id: str, **values: Any) -> User:
        row = self._connection.execute(f"UPDATE users SET {sets} WHERE id = :id RETURNING {COLUMNS}", {"id": user_id, **values}).fetchone()
        return User._make(row)


def folded_name(name: str) -> str:
    """What all spellings of a name share that differ by case only."""
    return unicodedata.normalize("NFC", name.casefold())


def _name_key(name: str | None) -> str | None:
    return None if name is None else folded_name(name)
