"""Table challenges: each write is its own check, and no row holds what a person could use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from authsvc.app import App
from authsvc.flows import challenges as flow
from authsvc.flows import users
from authsvc.primitives import codes, emails, links
from authsvc.rules.challenges import KINDS, MAGIC, RESET, UNDO, VERIFY, Kind
from authsvc.store.challenges import Challenge, Challenges
from authsvc.store.users import User
from tests.letterbox import rows
from tests.support import EMAIL, Client, FakeWorld, together

OTHER = "other@mail.com"


def made(app: App, kind: Kind = MAGIC, email: str = EMAIL, user: User | None = None, **changes: Any) -> Challenge:
    """A challenge that lies in the store."""
    challenge = flow.make(app.core, kind, emails.parse(email), user)._replace(**changes)
    with app.core.store.write() as tx:
        tx.challenges.add(challenge)
    return challenge


def account(app: App, email: str = EMAIL) -> User:
    return users.find(app.core, Client(app).register(email)["user"]["id"]).user


@contextmanager
def table(app: App) -> Iterator[Challenges]:
    with app.core.store.write() as tx:
        yield tx.challenges


def read(app: App, challenge: Challenge) -> Challenge | None:
    with app.core.store.read() as tx:
        return tx.challenges.get(challenge.id)


def open_ids(app: App) -> set[str]:
    return {row["id"] for row in rows(app, "SELECT id FROM challenges WHERE used_at IS NULL")}


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_is_added_is_found_again(app: App, kind: Kind) -> None:
    """Every column comes back as it was, and an unknown id gives nothing."""
    challenge = made(app, kind)
    assert read(app, challenge) == challenge
    assert read(app, challenge._replace(id="chl_" + "0" * 26)) is None


def test_a_row_holds_nothing_usable(app: App) -> None:
    """Neither the link nor the code nor the browser's secret lies in the table (contract section 7.1)."""
    challenge = made(app)
    key = app.core.keyring.current
    text = repr(rows(app, "SELECT * FROM challenges"))
    for secret in (links.mint(key, challenge.id, "magic"), links.bind(key, challenge.id)):
        assert secret.partition(".")[2] not in text
    assert codes.code(key, challenge.id, 1) not in text.replace(str(challenge.created_at), "").replace(str(challenge.expires_at), "")


def test_it_is_spent_once(app: App, world: FakeWorld) -> None:
    """The first gets the row, marked; the second gets nothing and changes nothing."""
    challenge = made(app)
    with table(app) as challenges:
        assert challenges.spend(challenge.id, world.now()) == challenge._replace(used_at=world.now())
    world.advance(1)
    with table(app) as challenges:
        assert challenges.spend(challenge.id, world.now()) is None
        assert challenges.spend("chl_" + "0" * 26, world.now()) is None
    assert read(app, challenge) == challenge._replace(used_at=challenge.created_at)


def test_of_many_at_once_one_spends_it(app: App, world: FakeWorld) -> None:
    """Twenty threads, one success."""
    challenge = made(app)

    def spend(_: int) -> Challenge | None:
        with table(app) as challenges:
            return challenges.spend(challenge.id, world.now())

    assert sum(spent is not None for spent in together(20, spend)) == 1


@pytest.mark.parametrize(("late", "alive"), [(-1, True), (0, False), (1, False)])
def test_it_runs_out(app: App, late: int, alive: bool) -> None:
    """At its end to the millisecond it can neither be spent nor its code be tried."""
    challenge = made(app)
    now = challenge.expires_at + late
    with table(app) as challenges:
        assert (challenges.try_code(challenge.id, 5, now) is not None) is alive
        assert (challenges.spend(challenge.id, now) is not None) is alive


def test_tries_are_counted_up_to_the_most(app: App, world: FakeWorld) -> None:
    """Each try is counted by the write that allows it; then no more are, though the link can still be spent."""
    challenge = made(app)
    with table(app) as challenges:
        tries = [challenges.try_code(challenge.id, 3, world.now()) for _ in range(5)]
    assert [tried and tried.attempts for tried in tries] == [1, 2, 3, None, None]
    with table(app) as challenges:
        spent = challenges.spend(challenge.id, world.now())
        assert spent is not None
        assert spent.attempts == 3
        assert challenges.try_code(challenge.id, 9, world.now()) is None, "nor is one that was spent"


def test_a_newer_one_ends_the_older_of_its_address_and_purpose(app: App, world: FakeWorld) -> None:
    """Others stay: another purpose, another address; and when an ended one ended stays as it was."""
    spent = made(app, used_at=world.now() - 5)
    old, other_purpose, other_address = made(app), made(app, RESET), made(app, MAGIC, OTHER)
    with table(app) as challenges:
        challenges.supersede(old.target_key, "magic", world.now())
    assert open_ids(app) == {other_purpose.id, other_address.id}
    assert read(app, spent) == spent


def test_all_of_an_account_end_by_its_id_and_by_its_address(app: App, world: FakeWorld) -> None:
    """Those of the named purposes, whether they were sent to another address or before there was an account."""
    user, stranger = account(app), account(app, OTHER)
    ended = {made(app, user=user).id, made(app, MAGIC, "new@mail.com", user).id, made(app).id, made(app, RESET, user=user).id}
    kept = {made(app, VERIFY, user=user).id, made(app, MAGIC, OTHER, stranger).id, made(app, MAGIC, "free@mail.com").id}
    assert open_ids(app) == ended | kept
    with table(app) as challenges:
        challenges.end_all(user.id, user.email_key, ["magic", "reset"], world.now())
    assert open_ids(app) == kept


def test_those_made_later_end_with_an_older_one(app: App, world: FakeWorld) -> None:
    """Of the same account and purpose; older ones and everybody else's stay."""
    user, stranger = account(app), account(app, OTHER)
    chain = []
    for number in range(3):
        world.advance(1)
        chain.append(made(app, UNDO, f"a{number}@mail.com", user))
    kept = {made(app, MAGIC, user=user).id, made(app, UNDO, OTHER, stranger).id}
    with table(app) as challenges:
        challenges.end_newer(chain[1])
    assert open_ids(app) == kept | {chain[0].id, chain[1].id}


def test_what_ended_long_ago_is_forgotten(app: App, world: FakeWorld) -> None:
    """A day after its end a row goes, two with each that comes; younger ones stay."""
    old = [made(app) for _ in range(5)]
    world.advance(600 + 86_400)
    young = made(app)
    assert {row["id"] for row in rows(app, "SELECT id FROM challenges")} == {challenge.id for challenge in [*old, young]}
    world.advance(1)
    newest = [made(app) for _ in range(3)]
    assert {row["id"] for row in rows(app, "SELECT id FROM challenges")} == {challenge.id for challenge in [young, *newest]}


def test_they_go_with_their_account(app: App) -> None:
    """Nothing of a deleted account can be used by the next one at its address (ATTACKS A18)."""
    user = account(app)
    gone, stays = made(app, user=user), made(app, MAGIC, OTHER)
    with app.core.store.write() as tx:
        tx.users.delete(user.id)
    assert read(app, gone) is None
    assert read(app, stays) == stays
