"""Waits in the store: the SQL does what the arithmetic says, over all threads, and keeps no secret readable."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.config.parse import Limit
from authsvc.delivery.housekeeping import SWEEP_SECONDS
from authsvc.primitives.delays import KEPT_MS, blocked_until, wait_ms
from authsvc.store.tx import Tx
from tests.support import START, FakeWorld, running, together

DAY = 86_400_000
LIMIT = Limit(3, 300)
STEPS = st.lists(st.tuples(st.sampled_from(["try", "untry", "right"]), st.integers(-2 * DAY, 2 * DAY) | st.integers(0, 5_000)), max_size=40)
FRESH = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One app for all examples; each has a key of its own."""
    folder: Path = tmp_path_factory.mktemp("delays")
    with running(folder) as app:
        yield app


def attempt(tx: Tx, now: int, key: str = "key", limit: Limit = LIMIT) -> bool:
    return tx.delays.charge("login_delay", key, limit, now).allowed


def rows(tx: Tx) -> int:
    return int(tx._connection.execute("SELECT count(*) FROM delays").fetchone()[0])


@settings(deadline=None)
@given(st.builds(Limit, st.integers(1, 6), st.integers(1, 900)), STEPS)
def test_the_sql_does_what_the_arithmetic_says(shared: App, limit: Limit, steps: list[tuple[str, int]]) -> None:
    """Whatever is tried, was right or is taken back, and whatever the clock does."""
    key = f"{next(FRESH)}"
    failures, until, forgotten, now, last = 0, 0, 0, START, None
    with shared.core.store.write() as tx:
        for act, step in steps:
            now += step
            if act == "right":
                tx.delays.forget("login_delay", key)
                failures, until, forgotten = 0, 0, 0
            elif act == "untry" and failures and last:
                tx.delays.untry("login_delay", key, last, now)
                failures, until = failures - 1, now if last.failures == failures else until
            elif act == "try":
                charge = tx.delays.charge("login_delay", key, limit, now)
                assert charge.allowed is (until <= now)
                if charge.allowed:
                    last = charge
                    failures = 1 if forgotten <= now else failures + 1
                    until = now + wait_ms(failures, limit)
                    forgotten = until + KEPT_MS
                    assert charge.remaining == max(0, limit.burst - failures)
                else:
                    until = blocked_until(until, failures, now, limit)
                    assert charge.retry_after == max(1, -(-(until - now) // 1000))


def test_three_come_at_once_and_then_each_waits_twice_as_long(app: App) -> None:
    """And the refusals in between put nothing off."""
    with app.core.store.write() as tx:
        assert [attempt(tx, START) for _ in range(5)] == [True, True, True, False, False]
        now = START
        for wait in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
            assert [attempt(tx, now + wait * 1000 - 1) for _ in range(3)] == [False] * 3
            now += wait * 1000
            assert attempt(tx, now)


def test_an_hour_without_a_failure_forgets_them(app: App) -> None:
    """Counted from the end of the last wait; a moment less forgets nothing."""
    for early, passing in ((1, 1), (0, 3)):
        with app.core.store.write() as tx:
            key = f"early {early}"
            assert [attempt(tx, START, key) for _ in range(3)] == [True] * 3
            later = START + 1_000 + KEPT_MS - early
            assert [attempt(tx, later, key) for _ in range(4)] == [True] * passing + [False] * (4 - passing)


def test_of_32_threads_no_more_than_the_free_tries_pass(app: App) -> None:
    """A4: the write is the check; each sees the one before it."""

    def act(_: int) -> list[bool]:
        passed = []
        for _ in range(3):
            with app.core.store.write() as tx:
                passed.append(attempt(tx, START))
        return passed

    assert Counter(itertools.chain.from_iterable(together(32, act))) == {True: 3, False: 93}


@settings(deadline=None)
@given(st.builds(Limit, st.integers(1, 4), st.integers(1, 900)), st.integers(1, 20), st.integers(1, 400 * DAY))
def test_a_clock_set_back_blocks_for_no_longer_than_the_cap(shared: App, limit: Limit, tries: int, back: int) -> None:
    """B13: who waits as told passes, and is told no more than the longest wait."""
    key, now = f"{next(FRESH)}", START
    with shared.core.store.write() as tx:
        for _ in range(tries):
            charge = tx.delays.charge("login_delay", key, limit, now)
            now += 0 if charge.allowed else charge.retry_after * 1000
        now -= back
        charge = tx.delays.charge("login_delay", key, limit, now)
        assert charge.retry_after <= limit.seconds
        assert charge.allowed or attempt(tx, now + charge.retry_after * 1000, key, limit)


def test_a_try_that_was_not_made_is_none(app: App) -> None:
    """Taken back with its wait; never below none."""
    with app.core.store.write() as tx:
        for _ in range(10):
            tx.delays.untry("login_delay", "key", tx.delays.charge("login_delay", "key", LIMIT, START), START)
        assert [attempt(tx, START) for _ in range(4)] == [True, True, True, False]


def test_a_try_that_was_not_made_leaves_the_wait_of_whoever_tried_since(app: App) -> None:
    """They were counted after it."""
    with app.core.store.write() as tx:
        assert [attempt(tx, START) for _ in range(2)] == [True, True]
        slow = tx.delays.charge("login_delay", "key", LIMIT, START)
        assert attempt(tx, START + 1_000)
        tx.delays.untry("login_delay", "key", slow, START + 1_500)
        assert not attempt(tx, START + 1_500)
        assert attempt(tx, START + 3_000)
        assert not attempt(tx, START + 4_999), "the third wait is as if three had failed"


def test_a_right_password_forgets_all_failures(app: App) -> None:
    """Of this key alone."""
    with app.core.store.write() as tx:
        for key in ("mine", "theirs"):
            assert [attempt(tx, START, key) for _ in range(4)] == [True] * 3 + [False]
        tx.delays.forget("login_delay", "mine")
        assert attempt(tx, START, "mine")
        assert not attempt(tx, START, "theirs")


def test_what_is_long_past_is_swept(app: App, world: FakeWorld) -> None:
    """Housekeeping deletes what would be forgotten anyway, and nothing else."""
    with app.core.store.write() as tx:
        for number in range(5):
            attempt(tx, START, f"{number}")
        attempt(tx, START + 10_000, "later")
    world.advance(KEPT_MS // 1000 + 5)
    app.deliveries.housekeeping.run_once()
    with app.core.store.read() as tx:
        assert rows(tx) == 1
    world.advance(SWEEP_SECONDS + 10)
    app.deliveries.housekeeping.run_once()
    with app.core.store.read() as tx:
        assert rows(tx) == 0


def test_neither_addresses_nor_networks_can_be_read_in_the_table(app: App) -> None:
    """A stolen database does not tell who failed to sign in, or from where."""
    with app.core.store.write() as tx:
        attempt(tx, START, "ann@example.com 192.0.2.0/24")
        found = tx._connection.execute("SELECT name, key FROM delays").fetchall()
    assert [(name, len(key)) for name, key in found] == [("login_delay", 22)]
    assert not [part for part in ("ann", "example", "192") if part in repr(found)]
