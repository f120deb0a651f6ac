"""The directory: accounts looked for, a page at a time, always along an index and never far."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from authsvc.store.users import User

LOOKED_AT = 2_000  # rows seen for one page; where few of them fit, the page is short and the next one goes on from there
AFTER_ALL = "\U0010ffff"  # sorts behind whatever begins alike

# The ways through the table: each along one index, each with the place from which the next page goes on.
BY_ID, BY_ROLE, BY_STATUS, BY_NUMBER, BY_EMAIL, BY_NAME = "id", "role", "status", "number", "email", "name"
_NEWEST = "id >= :since AND id < :id ORDER BY id DESC"
WAYS = {
    BY_ID: f"FROM users u WHERE {_NEWEST}",
    BY_STATUS: f"FROM users u WHERE status = :status AND {_NEWEST}",
    BY_NUMBER: f"FROM users u WHERE phone_number = :number AND {_NEWEST}",
    BY_ROLE: "FROM user_roles r CROSS JOIN users u ON u.id = r.user_id "
    "WHERE r.role = :role AND r.user_id >= :since AND r.user_id < :id ORDER BY r.user_id DESC",
    BY_EMAIL: "FROM users u WHERE (email_key, id) > (:key, :id) AND email_key < :high ORDER BY email_key",
    BY_NAME: "FROM users u WHERE (name_key, id) > (:key, :id) AND name_key < :name_high ORDER BY name_key, id",
}
_FITS = {
    BY_EMAIL: "u.email <> ''",  # an account that has only a number
    BY_NAME: "(u.email_key < :low OR u.email_key >= :high OR u.email = '')",  # those were found by their address
}
_FILTERS = (
    "(:status IS NULL OR u.status = :status) AND u.created_at > :created_after AND u.id >= :since "
    "AND (:role IS NULL OR EXISTS (SELECT 1 FROM user_roles f WHERE f.user_id = u.id AND f.role = :role))"
)


class Place(NamedTuple):
    """Where a page begins: behind this row of this way. `key` is the folded address or name."""

    way: str
    key: str
    id: str


class Wanted(NamedTuple):
    """Which accounts. `since` and `until` bound their ids; `email_key` and `name_key` are beginnings, looked for together."""

    since: str = ""
    until: str = AFTER_ALL
    created_after: int = -1
    role: str | None = None
    status: str | None = None
    number: str | None = None
    email_key: str | None = None
    name_key: str | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways that lead to them, one after the other."""
        if self.email_key is not None:
            return (BY_EMAIL, BY_NAME)
        if self.number is not None:
            return (BY_NUMBER,)
        if self.role is not None and self.until == AFTER_ALL:
            return (BY_ROLE,)
        return (BY_STATUS,) if self.status is not None else (BY_ID,)

    @property
    def start(self) -> Place:
        return self.start_of(self.ways[0])

    def start_of(self, way: str) -> Place:
        """The beginning of a way."""
        keys = {BY_EMAIL: self.email_key or "", BY_NAME: self.name_key or ""}
        return Place(way, keys[way], "") if way in keys else Place(way, "", self.until)


class Directory:
    """Tables users and user_roles, for reading."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def page(self, wanted: Wanted, place: Place | None, limit: int) -> tuple[list[User], Place | None]:
        """Up to so many accounts, and where the next page begins; None at the end."""
        place = place or wanted.start
        found: list[User] = []
        looked = 0
        for way in wanted.ways[wanted.ways.index(place.way) :]:
            behind = place if place.way == way else wanted.start_of(way)
            for *row, name_key, fits in self._rows(wanted, behind, LOOKED_AT - looked):
                user = User._make(row)
                if fits and len(found) == limit:
                    return found, behind
                if fits:
                    found.append(user)
                behind = Place(way, _key(way, user, name_key), user.id)
                looked += 1
            if looked >= LOOKED_AT:
                return found, behind
        return found, None

    def _rows(self, wanted: Wanted, behind: Place, most: int) -> sqlite3.Cursor:
        return self._connection.execute(statement(behind.way), {**parameters(wanted), **behind._asdict(), "most": most})


def statement(way: str) -> str:
    fits = " AND ".join(filter(None, (_FILTERS, _FITS.get(way))))
    columns = ", ".join("u." + name for name in User._fields)
    return f"SELECT {columns}, u.name_key, {fits} {WAYS[way]} LIMIT :most"


def parameters(wanted: Wanted) -> dict[str, Any]:
    """Everything that the statements name, but for where they begin."""
    low, name = wanted.email_key or "", wanted.name_key or ""
    return {**wanted._asdict(), "low": low, "high": low + AFTER_ALL, "name_high": name + AFTER_ALL}


def _key(way: str, user: User, name_key: str | None) -> str:
    if way == BY_NAME:
        return name_key or ""
    return user.email_key if way == BY_EMAIL else ""
