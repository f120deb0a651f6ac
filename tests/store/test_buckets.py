"""Buckets in the store: the SQL does what the arithmetic says, over all threads, and keeps no secret readable."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.config.parse import Limit
from authsvc.primitives.buckets import Charge, allowed, interval_ms, refused, take
from authsvc.store.tx import Tx
from tests.support import EMAIL, START, Client, running

DAY = 86_400_000
LIMIT = Limit(3, 60)
LIMITS = st.builds(Limit, st.integers(1, 50), st.integers(1, 86_400))
STEPS = st.lists(st.one_of(st.just(0), st.integers(0, 30_000), st.integers(-2 * DAY, 2 * DAY)), max_size=40)
FRESH = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One app for all examples; each takes a bucket of its own."""
    folder: Path = tmp_path_factory.mktemp("buckets")
    with running(folder) as app:
        yield app


@settings(deadline=None)
@given(LIMITS, STEPS)
def test_the_sql_does_what_the_arithmetic_says(shared: App, limit: Limit, steps: list[int]) -> None:
    """Whatever the clock does, the table's answers are those of primitives/buckets, but for a clock set back."""
    key = f"{next(FRESH)}"
    with shared.core.store.write() as tx:
        tx._connection.execute("DELETE FROM buckets")
        full_at, now = 0, START
        for step in steps:
            now += step
            answer = tx.buckets.charge("login", key, limit, now)
            taken = take(full_at, now, limit)
            if taken is None:
                assert answer == refused(full_at, now, limit)
                full_at = min(full_at, now + interval_ms(limit) * limit.burst)
            else:
                assert answer == allowed(taken, now, limit)
                full_at = taken


@settings(deadline=None)
@given(LIMITS, st.integers(1, 400 * DAY))
def test_a_clock_set_back_locks_nobody_out_for_longer_than_told(shared: App, limit: Limit, back: int) -> None:
    """B13: a bucket of the time before the step counts as empty and no more: after Retry-After there is a token."""
    key = f"{next(FRESH)}"
    with shared.core.store.write() as tx:
        tx._connection.execute("DELETE FROM buckets")
        for _ in range(limit.burst):
            tx.buckets.charge("login", key, limit, START)
        now = START - back
        charge = tx.buckets.charge("login", key, limit, now)
        assert not charge.allowed
        assert tx.buckets.charge("login", key, limit, now + charge.retry_after * 1000).allowed


def test_an_empty_bucket_refuses_until_a_token_is_back(app: App) -> None:
    """Three at once, then one each 20 seconds; the refusals in between put nothing off."""
    with app.core.store.write() as tx:
        assert [take_one(tx, START).allowed for _ in range(5)] == [True, True, True, False, False]
        assert take_one(tx, START) == Charge(allowed=False, remaining=0, reset=20, retry_after=20)
        assert [take_one(tx, START + 19_999).allowed for _ in range(2)] == [False, False]
        assert [take_one(tx, START + 20_000).allowed for _ in range(2)] == [True, False]
        assert [take_one(tx, START + 300_000).allowed for _ in range(4)] == [True, True, True, False]


def test_threads_that_ask_at_once_share_one_burst(app: App) -> None:
    """A4: however many threads take from one bucket at one time, exactly the burst passes."""
    answers: list[bool] = []
    gate = threading.Barrier(32)

    def work() -> None:
        gate.wait()
        for _ in range(3):
            with app.core.store.write() as tx:
                charge = tx.buckets.charge("login", "key", Limit(10, 3_600), START)
            answers.append(charge.allowed)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(answers) == {True: 10, False: 86}


def test_a_charge_that_is_undone_was_not_taken(app: App) -> None:
    """A token belongs to its transaction."""
    with pytest.raises(LookupError), app.core.store.write() as tx:  # noqa: PT012 - the block is what fails
        take_one(tx, START)
        raise LookupError
    with app.core.store.write() as tx:
        assert take_one(tx, START).remaining == 2


def test_buckets_of_other_names_and_keys_are_apart(app: App) -> None:
    """Nobody pays for another, nor for another limit; not even where name and key run together."""
    limit = Limit(1, 60)
    with app.core.store.write() as tx:
        for name, key in (("login", "a"), ("login", "b"), ("register", "a"), ("logi", "na"), ("login", "")):
            assert [tx.buckets.charge(name, key, limit, START).allowed for _ in range(2)] == [True, False], (name, key)


def test_buckets_that_are_full_again_are_swept(app: App) -> None:
    """The table is as small as the traffic: rows of no more use leave faster than new ones come; others stay."""
    with app.core.store.write() as tx:
        for number in range(100):
            tx.buckets.charge("login", f"old {number}", LIMIT, START)
        tx.buckets.charge("login", "slow", Limit(1, 3_600), START)
        assert rows(tx) == 101
        later = START + 60_000
        for number in range(100):
            tx.buckets.charge("login", f"new {number}", LIMIT, later)
        assert rows(tx) == 101
        assert not tx.buckets.charge("login", "slow", Limit(1, 3_600), later).allowed


def test_a_swept_bucket_is_a_full_one(app: App) -> None:
    """Whether its row is there or not, a rested bucket gives the same."""
    with app.core.store.write() as tx:
        for _ in range(3):
            take_one(tx, START)
        for number in range(5):
            tx.buckets.charge("login", f"{number}", LIMIT, START + 61_000)
        assert [take_one(tx, START + 61_000).remaining for _ in range(3)] == [2, 1, 0]


def test_neither_addresses_nor_networks_can_be_read_in_the_table(app: App) -> None:
    """A stolen database does not tell who tried to sign in, or from where: keys are MACs under the secret key."""
    client = Client(app, ip="198.51.100.77")
    client.register()
    client.login()
    client.login("somebody.else@example.com")
    with app.core.store.read() as tx:
        found = tx._connection.execute("SELECT name, key FROM buckets").fetchall()
    assert {name for name, _ in found} == {"login", "login_account", "login_all", "login_network", "register", "register_all"}
    text = repr(found)
    assert not [part for part in (EMAIL, "example", "somebody", "198.51", "mail.com") if part in text]
    assert all(len(key) == 22 for _, key in found)


def test_another_secret_key_hides_the_same_names_otherwise(tmp_path: Path) -> None:
    """Equal addresses of two services cannot be joined."""
    keys = []
    for name in "ab":
        (tmp_path / name).mkdir()
        with running(tmp_path / name) as app, app.core.store.write() as tx:
            take_one(tx, START)
            keys += tx._connection.execute("SELECT key FROM buckets").fetchall()
    assert len(set(keys)) == 2


def take_one(tx: Tx, now: int) -> Charge:
    return tx.buckets.charge("login", "key", LIMIT, now)


def rows(tx: Tx) -> int:
    return int(tx._connection.execute("SELECT count(*) FROM buckets").fetchone()[0])
