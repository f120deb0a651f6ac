"""Roles: rows and SQL. The built-in ones stand in rules/access.py and have no rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from authsvc.rules.access import BUILT_IN_ROLES


class Role(NamedTuple):
    """A row of roles. `caps` is a JSON list; times in ms."""

    name: str
    description: str
    caps: str
    created_at: int
    updated_at: int


COLUMNS = ", ".join(Role._fields)


class Roles:
    """Table roles."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def every(self) -> list[Role]:
        return [Role._make(row) for row in self._connection.execute(f"SELECT {COLUMNS} FROM roles ORDER BY name")]

    def get(self, name: str) -> Role | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM roles WHERE name = :name", {"name": name}).fetchone()
        return Role._make(row) if row else None

    def put(self, role: Role) -> None:
        """Make it, or give it this description and these caps."""
        self._connection.execute(
            f"INSERT INTO roles ({COLUMNS}) VALUES (:name, :description, :caps, :created_at, :updated_at) ON CONFLICT (name) "
            "DO UPDATE SET description = excluded.description, caps = excluded.caps, updated_at = excluded.updated_at",
            role._asdict(),
        )

    def remove(self, name: str) -> None:
        """Delete it, and take it from all who have it."""
        self._connection.execute("DELETE FROM user_roles WHERE role = :name", {"name": name})
        self._connection.execute("DELETE FROM roles WHERE name = :name", {"name": name})

    def outdate_holders(self, name: str) -> None:
        """Start a new generation for all who have it: access tokens made before are refused from now on."""
        self._connection.execute(
            "UPDATE users SET generation = generation + 1 WHERE id IN (SELECT user_id FROM user_roles WHERE role = :name)", {"name": name}
        )

    def caps_of(self, names: Iterable[str]) -> list[str]:
        """The caps that these roles give together, sorted. Nothing is asked for who has built-in roles alone."""
        caps: set[str] = set()
        for name in names:
            caps.update(BUILT_IN_ROLES[name] if name in BUILT_IN_ROLES else self._caps(name))
        return sorted(caps)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of these that do not exist, sorted."""
        return sorted(name for name in set(names) if name not in BUILT_IN_ROLES and self.get(name) is None)

    def _caps(self, name: str) -> Sequence[str]:
        role = self.get(name)
        caps: list[str] = json.loads(role.caps) if role else []
        return caps
