"""The sums of all processes: only what was committed is counted, nothing is lost, and no sum ever falls."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.events import CLI
from authsvc.primitives.metrics import SUM
from authsvc.problems import Problem
from authsvc.store import counts
from tests.store.test_sqlite import child, fork_in_c
from tests.support import Client, make_app, running, together

FAILED = ("events_total", ("login.failed", "failure"), "")


def record(app: App) -> None:
    with app.core.store.write() as tx:
        tx.events.record(events.LOGIN_FAILED, CLI, outcome="failure")


def stored(app: App) -> dict[tuple[str, tuple[str, ...], str], float]:
    with app.core.store.read() as tx:
        return tx.counts.every()


def settled(app: App) -> float:
    counts.settle(app.core.store)
    return stored(app).get(FAILED, 0)


def test_an_event_counts_once_it_is_committed(app: App) -> None:
    """One row of the trail, one count; a session's refresh is counted and leaves no row."""
    record(app)
    with app.core.store.write() as tx:
        tx.events.record(events.SESSION_REFRESHED, CLI)
    assert settled(app) == 1
    assert stored(app)["events_total", ("session.refreshed", "success"), ""] == 1
    with app.core.store.read() as tx:
        assert tx.trail.last() == 1


def test_what_was_undone_is_not_counted(app: App) -> None:
    """A block that fails counts nothing, though others of its batch do; neither does a charge that was undone with it."""

    def act(number: int) -> None:
        try:
            with app.core.store.write() as tx:
                tx.events.record(events.LOGIN_FAILED, CLI, outcome="failure")
                tx.buckets.charge("login", str(number), app.core.settings.limits["login"], 0)
                if number % 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass

    together(16, act)
    assert settled(app) == 8
    assert stored(app)["limit_charges_total", ("login", "allowed"), ""] == 8
    with app.core.store.read() as tx:
        assert tx.trail.last() == 8


def test_a_commit_that_fails_counts_nothing_but_itself(app: App) -> None:
    """The answer was `unavailable`, the trail has no row, and the events no count."""
    record(app)
    writer = app.core.store._writer
    check, writer._check = writer._check, broken
    with pytest.raises(Problem):
        record(app)
    writer._check = check
    assert settled(app) == 1
    sums = stored(app)
    assert sums["store_commits_total", ("failed",), ""] == 1
    assert sums["store_commits_total", ("done",), ""] == sum(
        value for (name, _, part), value in sums.items() if name == "store_commit_transactions" and part != SUM
    )


def broken() -> None:
    raise Problem("unavailable")


def test_a_refused_charge_is_counted_as_one(app: App) -> None:
    """The door of the buckets counts, whoever charges."""
    limit = app.core.settings.limits["mail_address"]
    with app.core.store.write() as tx:
        assert [tx.buckets.charge("mail_address", "key", limit, 0).allowed for _ in range(limit.burst + 2)].count(False) == 2
    counts.settle(app.core.store)
    assert stored(app)["limit_charges_total", ("mail_address", "allowed"), ""] == limit.burst
    assert stored(app)["limit_charges_total", ("mail_address", "refused"), ""] == 2


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[App, App]]:
    """Two processes on one file, as far as the store can tell."""
    with running(tmp_path) as one, running(tmp_path) as other:
        yield one, other


def test_processes_add_to_one_sum(pair: tuple[App, App]) -> None:
    """32 threads over two apps that record and settle as they like: the sum is the number of rows, whoever is asked."""
    one, other = pair

    def act(number: int) -> float:
        app = pair[number % 2]
        for _ in range(5):
            record(app)
        return settled(app)

    together(32, act)
    assert settled(one) == settled(other) == 160


def test_no_sum_falls_whichever_process_is_asked(pair: tuple[App, App]) -> None:
    """What one has counted and not settled yet is missing in the other's answer, but never again once it was told."""
    seen = []
    for number in range(30):
        record(pair[number % 2])
        seen.append(settled(pair[number // 3 % 2]))
    assert seen == sorted(seen)
    assert max(settled(pair[0]), settled(pair[1])) == 30


def test_sums_outlive_their_process(tmp_path: Path) -> None:
    """A close settles; the next start goes on from there."""
    for number in (1, 2, 3):
        with running(tmp_path) as app:
            record(app)
            assert settled(app) == number
            record(app)
            app.core.metrics.take()  # killed: what was not settled is lost, and nothing else
    for number in (4, 5):
        with running(tmp_path) as app:
            record(app)
        with running(tmp_path) as app:
            assert stored(app)[FAILED] == number


@pytest.mark.parametrize("fork", [os.fork, fork_in_c], ids=["told", "not told"])
def test_what_was_counted_before_a_fork_is_told_once(tmp_path: Path, fork: Callable[[], int]) -> None:
    """Making the app makes a key for ES256, an event. However many workers come of it, and whoever closes, there was one."""
    app = make_app(tmp_path, jwt_alg="ES256")
    assert Client(app).get("/healthz").status == 200
    with child(app.close, fork=fork):
        pass
    acts = (lambda: Client(app).get("/healthz").status, lambda: Client(app).get("/readyz").status, app.close)
    for _ in range(3):
        with child(*acts, fork=fork) as result:
            pass
        assert result == [200, 200, None]
    app.close()
    with running(tmp_path, jwt_alg="ES256") as app:
        sums = stored(app)
    assert {key[1]: value for key, value in sums.items() if key[0] == "events_total"} == {("keys.rotated", "success"): 1}
    assert sums["http_requests_total", ("GET", "/healthz", "200"), ""] == 1 + 3
    assert sums["store_commits_total", ("done",), ""] == 2 + 3, "the key, its count, and each look at readiness"


def test_a_store_that_cannot_be_written_loses_no_count(app: App) -> None:
    """What could not be settled waits, with what is counted meanwhile, and is settled once."""
    record(app)
    app.core.store._writer._connection.execute("PRAGMA query_only=ON").fetchall()
    for _ in range(3):
        with pytest.raises(Problem, match="Unavailable"):
            counts.settle(app.core.store)
    app.core.metrics.count("events_total", event="login.failed", outcome="failure")
    assert stored(app) == {}
    app.core.store._writer._connection.execute("PRAGMA query_only=OFF").fetchall()
    assert settled(app) == settled(app) == 2


def test_a_close_without_room_is_a_clean_end(tmp_path: Path) -> None:
    """The figures of the last seconds are no reason to fail."""
    app = make_app(tmp_path)
    record(app)
    app.core.store._writer._connection.execute("PRAGMA query_only=ON").fetchall()
    app.close()


def test_an_idle_service_writes_nothing(app: App) -> None:
    """Settling is itself a commit; that is no reason for another one."""
    record(app)
    for _ in range(3):
        counts.settle(app.core.store)
    assert {name for name, _, _ in app.core.metrics.take()} == {"store_commits_total", "store_commit_transactions"}
    for _ in range(3):
        counts.settle(app.core.store)
    assert app.core.metrics.take() == {}
    assert stored(app)["store_commits_total", ("done",), ""] == 1


def test_what_another_release_has_counted_stays(app: App) -> None:
    """A row that this release does not know, or with other labels, is neither shown nor touched."""
    strange = [("gone_total", "{}", "", 7.0), ("events_total", '{"event": "x"}', "", 7.0)]
    with closing(sqlite3.connect(app.core.store.path)) as connection, connection:
        connection.executemany("INSERT INTO counts VALUES (?, ?, ?, ?)", strange)
    record(app)
    assert settled(app) == 1
    assert set(stored(app)) & {("gone_total", (), ""), ("events_total", ("x",), "")} == set()
    with app.core.store.read() as tx:
        found = tx._connection.execute("SELECT * FROM counts WHERE value = 7 ORDER BY name DESC").fetchall()
    assert found == strange


def test_labels_hold_no_name_of_anybody(app: App) -> None:
    """After a registration and sign-ins neither the address nor the account's id stands in a label."""
    client = Client(app)
    made = client.register().json()
    client.login(password="wrong-harbour-91")
    client.get(f"/user/{made['user']['id']}", token=made["access_token"])
    counts.settle(app.core.store)
    with app.core.store.read() as tx:
        text = str(tx._connection.execute("SELECT * FROM counts").fetchall())
    assert "/user/:user_id" in text
    assert made["user"]["id"] not in text
    assert "example" not in text
    assert "192.0.2" not in text
