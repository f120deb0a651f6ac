"""The directory in the store: along an index on every way, and never far."""

from __future__ import annotations

import random
from typing import Any

import pytest

from authsvc.app import App
from authsvc.store import directory
from authsvc.store.directory import BY_EMAIL, BY_ID, BY_NAME, BY_NUMBER, BY_ROLE, BY_STATUS, WAYS, Place, Wanted, parameters, statement
from authsvc.store.users import folded_name

SEARCHES = {
    BY_ID: Wanted(),
    BY_STATUS: Wanted(status="active"),
    BY_NUMBER: Wanted(number="+4915123456789", status="active"),
    BY_ROLE: Wanted(role="admin", status="active", created_after=5),
    BY_EMAIL: Wanted(email_key="a", name_key="a", role="admin"),
    BY_NAME: Wanted(email_key="a", name_key="a", status="active"),
}
INDEXES = {
    BY_ID: "SEARCH u USING INDEX sqlite_autoindex_users_1 (id>? AND id<?)",
    BY_STATUS: "SEARCH u USING INDEX users_by_status (status=? AND id>? AND id<?)",
    BY_NUMBER: "SEARCH u USING INDEX users_by_number (phone_number=? AND id>? AND id<?)",
    BY_ROLE: "SEARCH r USING COVERING INDEX user_roles_by_role (role=? AND user_id>? AND user_id<?)",
    BY_EMAIL: "SEARCH u USING INDEX sqlite_autoindex_users_2 (email_key>? AND email_key<?)",
    BY_NAME: "SEARCH u USING INDEX users_by_name ((name_key,id)>(?,?) AND name_key<?)",
}


def fill(app: App, count: int, **more: Any) -> None:
    """Accounts whose names are few and whose addresses are many."""
    draw = random.Random(7)
    names = ["Ann", "Anna", "ann", "Bob", None, "Élan", "ann\x1f"]
    with app.core.store.write() as tx:
        for number in range(count):
            row = {
                "id": f"usr_{number:026}",
                "email": f"{draw.choice('ab')}{number}@mail.com",
                "name": draw.choice(names),
                "status": draw.choice(["active", "disabled"]),
                "phone": draw.choice(["+1", "+2", None]),
                **more,
            }
            row |= {"email_key": row["email"], "name_key": row["name"] and folded_name(row["name"]), "at": number}
            tx._connection.execute(
                "INSERT INTO users (id, email, email_key, name, name_key, status, phone_number, generation, version, metadata, app_metadata, "
                "created_at, updated_at) VALUES (:id, :email, :email_key, :name, :name_key, :status, :phone, 1, 1, '{}', '{}', :at, :at)",
                row,
            )
            if number % 5 == 0:
                tx._connection.execute("INSERT INTO user_roles VALUES (:id, 'editor', 0)", row)


def pages(app: App, wanted: Wanted, limit: int) -> tuple[list[str], int]:
    """The ids of all pages, and how many pages that took."""
    found, place, count = [], None, 0
    while True:
        with app.core.store.read() as tx:
            users, place = tx.directory.page(wanted, place, limit)
        found += [user.id for user in users]
        count += 1
        if place is None:
            return found, count


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_along_its_index(app: App, way: str) -> None:
    """SQLite's own plan: bounded at both ends, nothing scanned, nothing sorted, and no look at other rows but by key."""
    wanted = SEARCHES[way]
    values = {**parameters(wanted), **wanted.start_of(way)._asdict(), "most": 10}
    with app.core.store.read() as tx:
        plan = [row[3] for row in tx._connection.execute("EXPLAIN QUERY PLAN " + statement(way), values)]
    assert plan[0] == INDEXES[way]
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]
    assert way in wanted.ways


@pytest.mark.parametrize(
    "wanted",
    [
        *SEARCHES.values(),
        Wanted(role="editor"),
        Wanted(role="editor", status="disabled", created_after=50),
        Wanted(number="+1"),
        Wanted(email_key="a", name_key="ann", role="editor"),
        Wanted(email_key="b1", name_key="b1", status="disabled"),
        Wanted(email_key="", name_key=""),
        Wanted(since="usr_" + "0" * 24 + "50", created_after=55),
        Wanted(email_key="e", name_key="\u00e9"),
    ],
)
@pytest.mark.parametrize("limit", [1, 7, 500])
@pytest.mark.parametrize("looked_at", [5, 2_000])
def test_pages_give_what_a_plain_look_at_all_rows_gives(app: App, wanted: Wanted, limit: int, looked_at: int, monkeypatch: Any) -> None:
    """Each account once, in order, however small the pages and however early they end."""
    monkeypatch.setattr(directory, "LOOKED_AT", looked_at)
    fill(app, 90)
    found, _ = pages(app, wanted, limit)
    assert found == expected(app, wanted)


def expected(app: App, wanted: Wanted) -> list[str]:
    """The same in Python."""
    with app.core.store.read() as tx:
        every = [(user, user.name and folded_name(user.name), tx.users.roles(user.id)) for user in tx.users.page(after="", limit=1_000)]
    fit = [
        (user, name)
        for user, name, roles in every
        if user.created_at > wanted.created_after
        and user.id >= wanted.since
        and wanted.status in (None, user.status)
        and wanted.number in (None, user.phone_number)
        and (wanted.role is None or wanted.role in roles)
    ]
    if wanted.email_key is None:
        return [user.id for user, _ in reversed(fit)]
    by_email = sorted((user.email_key, user.id) for user, _ in fit if user.email_key.startswith(wanted.email_key))
    by_name = sorted((name, user.id) for user, name in fit if name is not None and name.startswith(wanted.name_key or ""))
    seen = {user_id for _, user_id in by_email}
    return [user_id for _, user_id in by_email] + [user_id for _, user_id in by_name if user_id not in seen]


def test_a_page_ends_early_where_little_fits(app: App, monkeypatch: Any) -> None:
    """No page looks at more rows than it may: it is short, and the next one goes on from there."""
    monkeypatch.setattr(directory, "LOOKED_AT", 10)
    fill(app, 60)
    with app.core.store.read() as tx:
        users, place = tx.directory.page(Wanted(created_after=1_000), None, 5)
    assert (users, place) == ([], Place(BY_ID, "", f"usr_{50:026}"))
    found, count = pages(app, Wanted(role="editor", email_key="zz", name_key="a"), 50)
    assert found
    assert count >= 3


def test_an_older_release_beside_us_loses_no_page(app: App) -> None:
    """A name that was written without its folded form is not found by it, and pages go on past it."""
    fill(app, 20)
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE users SET name = 'STRA\u00dfE', name_key = 'stra\u00dfe' WHERE status = 'active'")
    wanted = Wanted(email_key="stra", name_key="stra")
    assert len(pages(app, wanted, 1)[0]) == len(pages(app, wanted, 200)[0]) > 3
