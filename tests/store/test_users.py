"""Accounts and their roles in the store."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest

from authsvc.app import App
from authsvc.primitives import ids
from authsvc.store.sessions import Session
from authsvc.store.tx import Tx
from authsvc.store.users import ACTIVE, CHANGEABLE, DISABLED, User
from tests.support import START, FakeWorld


def test_what_was_stored_comes_back(app: App) -> None:
    """Every column, by id and by the folded address, in whatever characters; and nothing for anybody else."""
    user = person(
        "ünï@example.com", name="Zoë \N{PILE OF POO}\n'; DROP TABLE users; --", phone_number="+15550100", metadata='{"a":"\\u0000"}'
    )
    with app.core.store.write() as tx:
        assert tx.users.add(user) is True
    with app.core.store.read() as tx:
        assert tx.users.get(user.id) == user
        assert tx.users.by_email(user.email_key) == user
        assert tx.users.get(user.id.upper()) is None
        assert tx.users.by_email(user.email_key.upper()) is None
        assert tx.users.by_email("") is None


@pytest.mark.parametrize("wild", ["%", "_", "%example%", "a@example.com' OR '1'='1", "*"])
def test_a_key_is_compared_and_never_matched(app: App, wild: str) -> None:
    """F5: wildcards and quotes in an id or address find nobody."""
    add(app, person("a@example.com"))
    with app.core.store.read() as tx:
        assert tx.users.get(wild) is None
        assert tx.users.by_email(wild) is None


def test_one_address_has_one_account(app: App) -> None:
    """A17: the second insert of a folded address is told so, changes nothing, and does not spoil its transaction."""
    first, second, other = person("a@example.com"), person("a@example.com", name="twin"), person("b@example.com")
    with app.core.store.write() as tx:
        assert [tx.users.add(user) for user in (first, second, other)] == [True, False, True]
    with app.core.store.read() as tx:
        assert tx.users.by_email("a@example.com") == first
        assert tx.users.get(second.id) is None
        assert tx.users.get(other.id) == other


def test_one_address_registered_at_once_by_many_threads_has_one_account(app: App) -> None:
    """A17: of many inserts at once exactly one is told that it won."""
    gate = threading.Barrier(16)
    won: list[bool] = []

    def work() -> None:
        gate.wait()
        with app.core.store.write() as tx:
            result = tx.users.add(person("a@example.com"))
        won.append(result)

    in_threads(16, work)
    assert sorted(won) == [False] * 15 + [True]


def test_an_id_that_is_taken_is_an_error(app: App) -> None:
    """Only the address may be somebody's already; two accounts of one id would be a fault of ours."""
    user = person("a@example.com")
    add(app, user)
    with pytest.raises(sqlite3.IntegrityError), app.core.store.write() as tx:
        tx.users.add(user._replace(email_key="b@example.com"))


def test_a_change_sets_what_it_names_and_counts(app: App) -> None:
    """Other columns and other accounts stay as they were; the version tells that something changed."""
    user, other = person("a@example.com", name="Old"), person("b@example.com", name="Other")
    add(app, user, other)
    with app.core.store.write() as tx:
        changed = tx.users.change(user.id, START + 5, name="New", locale=None)
    assert changed == user._replace(name="New", version=2, updated_at=START + 5)
    with app.core.store.read() as tx:
        assert tx.users.get(user.id) == changed
        assert tx.users.get(other.id) == other


@pytest.mark.parametrize("column", [*sorted(set(User._fields) - CHANGEABLE), "name = 'x', id", "nosuch"])
def test_no_other_column_can_be_changed(app: App, column: str) -> None:
    """A11: identity, generation and times are not set from values; a name that is no column of ours is refused before any SQL."""
    user = person("a@example.com")
    add(app, user)
    with pytest.raises(LookupError), app.core.store.write() as tx:
        tx.users.change(user.id, START, **{column: "x"})
    with app.core.store.read() as tx:
        assert tx.users.get(user.id) == user


def test_noting_a_login_is_no_change_of_the_account(app: App) -> None:
    """The version, which is the ETag's, stays; only the time of the last login moves."""
    user = person("a@example.com")
    add(app, user)
    with app.core.store.write() as tx:
        assert tx.users.note_login(user.id, START + 9) == user._replace(last_login_at=START + 9)


def test_a_new_generation_is_one_more(app: App) -> None:
    """Two ends of a generation at once are two: none is lost."""
    user = person("a@example.com")
    add(app, user)

    def work() -> None:
        with app.core.store.write() as tx:
            tx.users.outdate(user.id)

    in_threads(8, work)
    with app.core.store.read() as tx:
        assert tx.users.get(user.id) == user._replace(generation=9)


def test_a_rehash_replaces_only_the_hash_it_was_made_for(app: App) -> None:
    """A password changed meanwhile is not undone by the slower login's rehash of the old one."""
    user = person("a@example.com", password_hash="old")
    add(app, user)
    with app.core.store.write() as tx:
        tx.users.rehash(user.id, "older", "wrong")
        assert tx.users.get(user.id) == user
        tx.users.rehash(user.id, "old", "new")
        assert tx.users.get(user.id) == user._replace(password_hash="new")


def test_a_deleted_account_takes_all_that_hangs_on_it(app: App) -> None:
    """A18: sessions and roles go with it, others' stay; whoever registers the address again inherits nothing."""
    user, other = person("a@example.com"), person("b@example.com")
    add(app, user, other)
    with app.core.store.write() as tx:
        for one in (user, other):
            tx.users.set_roles(one.id, ["admin"], START)
            tx.sessions.add(session(one))
        tx.users.delete(user.id)
    again = person("a@example.com")
    add(app, again)
    with app.core.store.read() as tx:
        assert tx.users.get(user.id) is None
        assert tx.users.roles(user.id) == tx.users.roles(again.id) == []
        assert tx.users.roles(other.id) == ["admin"]
        assert count(tx, "sessions") == count(tx, "user_roles") == 1


def test_roles_are_exactly_those_that_were_set(app: App) -> None:
    """Setting replaces, repeats count once, and the answer is sorted."""
    user = person("a@example.com")
    add(app, user)
    with app.core.store.write() as tx:
        tx.users.set_roles(user.id, ["b", "a", "b"], START)
        assert tx.users.roles(user.id) == ["a", "b"]
        tx.users.set_roles(user.id, ["c"], START)
        assert tx.users.roles(user.id) == ["c"]
        tx.users.set_roles(user.id, [], START)
        assert tx.users.roles(user.id) == []


def test_a_role_of_nobody_cannot_be_stored(app: App) -> None:
    """The store itself refuses a role or session without its account."""
    for act in (
        lambda tx: tx.users.set_roles("usr_nobody", ["admin"], START),
        lambda tx: tx.sessions.add(session(person("x@example.com"))),
    ):
        with pytest.raises(sqlite3.IntegrityError), app.core.store.write() as tx:
            act(tx)


def test_others_with_a_role_are_active_others(app: App) -> None:
    """A17: neither oneself, nor a disabled account, nor one with another role keeps the last admin from being the last."""
    user, disabled, plain = person("a@example.com"), person("b@example.com", status=DISABLED), person("c@example.com")
    add(app, user, disabled, plain)
    with app.core.store.write() as tx:
        tx.users.set_roles(user.id, ["admin"], START)
        tx.users.set_roles(disabled.id, ["admin"], START)
        tx.users.set_roles(plain.id, ["user", "Admin"], START)
        assert tx.users.others_with("admin", user.id) is False
        assert tx.users.others_with("admin", plain.id) is True
        tx.users.set_roles(plain.id, ["admin"], START)
        assert tx.users.others_with("admin", user.id) is True


def test_pages_name_every_account_once_in_the_order_of_making(app: App, world: FakeWorld) -> None:
    """Page after page, with accounts coming in between, none is left out or told twice."""
    users = []
    for number in range(7):
        world.advance(1)
        users.append(person(f"{number}@example.com", world=world))
    add(app, *users)
    found: list[User] = []
    while True:
        with app.core.store.read() as tx:
            page = tx.users.page(after=found[-1].id if found else "", limit=3)
        assert len(page) <= 3
        assert not set(page) & set(found)
        if not page:
            break
        found += page
    assert found == users


def person(email: str, *, world: FakeWorld | None = None, **more: Any) -> User:
    values: dict[str, Any] = dict.fromkeys(User._fields)
    values |= {
        "id": ids.new(ids.USER, world or FakeWorld()),
        "email": email,
        "email_key": email,
        "status": ACTIVE,
        "familiar_since": 0,
        "mfa_enabled": 0,
    }
    values |= {"generation": 1, "version": 1, "metadata": "{}", "app_metadata": "{}", "created_at": START, "updated_at": START}
    return User(**values | more)


def session(user: User) -> Session:
    values: dict[str, Any] = dict.fromkeys(Session._fields, 0)
    values |= {"id": ids.new(ids.SESSION, FakeWorld()), "user_id": user.id, "kid": "k", "amr": "pwd", "acr": "aal1", "ended_at": None}
    return Session(**values)


def add(app: App, *users: User) -> None:
    with app.core.store.write() as tx:
        assert all(tx.users.add(user) for user in users)


def count(tx: Tx, table: str) -> int:
    return int(tx._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def in_threads(number: int, work: Any) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
