"""Promises of flows/limits.py: which buckets one request is charged to, in which order, and what of it is shown."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.flows import limits
from authsvc.problems import Problem
from authsvc.routes import PASSWORD_TRY
from authsvc.rules.limits import Facts
from tests.support import FakeWorld, running

HERE = Facts("192.0.2.1", "marie@example.com", "ses_1")
ELSEWHERE = Facts("198.51.100.1", "marie@example.com", "ses_1")
TRY = ("login_network", "login", "login_account")


def stored(app: App) -> dict[str, int]:
    """How many buckets of each name the store has."""
    connection = sqlite3.connect(app.core.store.path)
    try:
        return dict(connection.execute("SELECT name, count(*) FROM buckets GROUP BY name"))
    finally:
        connection.close()


def outcome(app: App, names: tuple[str, ...], facts: Facts = HERE) -> list[tuple[str, bool]]:
    return [(charged.name, charged.charge.allowed) for charged in limits.charge(app.core, names, facts)]


def test_every_named_bucket_is_charged_once(app: App) -> None:
    """A request takes one token from each of its limits, in the order of the route table, memory first."""
    assert outcome(app, TRY) == [("login_network", True), ("login", True), ("login_account", True)]
    assert outcome(app, ("read",)) == [("read", True)]
    assert outcome(app, ("login", "read")) == [("read", True), ("login", True)]
    assert outcome(app, ()) == []
    assert stored(app) == {"login": 1, "login_account": 1, "login_network": 1}


def test_charging_stops_at_the_first_empty_bucket(tmp_path: Path, world: FakeWorld) -> None:
    """Who is refused by one limit does not use up the others: a network that is blocked cannot lock an account (ATTACKS A5)."""
    with running(tmp_path, world, limit_login_network="2/60s", limit_login="9/60s", limit_login_account="3/60s") as app:
        for _ in range(2):
            assert outcome(app, TRY) == [("login_network", True), ("login", True), ("login_account", True)]
        for _ in range(5):
            assert outcome(app, TRY) == [("login_network", False)]
        assert outcome(app, TRY, ELSEWHERE) == [("login_network", True), ("login", True), ("login_account", True)]
        assert outcome(app, TRY, ELSEWHERE) == [("login_network", True), ("login", True), ("login_account", False)]


def test_an_empty_bucket_in_memory_spares_the_store(tmp_path: Path, world: FakeWorld) -> None:
    """A flood that the process itself can refuse costs no write."""
    with running(tmp_path, world, limit_read="1/60s") as app:
        assert outcome(app, ("read", "login")) == [("read", True), ("login", True)]
        before = stored(app)
        assert outcome(app, ("read", "login"), Facts("203.0.113.1", "other@example.com", "ses_1")) == [("read", False)]
        assert stored(app) == before


def test_a_limit_of_zero_is_off(tmp_path: Path, world: FakeWorld) -> None:
    """Neither charged nor stored nor shown."""
    with running(tmp_path, world, limit_login="0", limit_read="0", limit_login_network="0") as app:
        for _ in range(20):
            assert outcome(app, (*TRY, "read")) == [("login_account", True)]
        assert stored(app) == {"login_account": 1}
        assert limits.headers(limits.charge(app.core, ("login", "read"), HERE)) == []


def test_an_empty_bucket_is_refused_with_the_time_to_wait(tmp_path: Path, world: FakeWorld) -> None:
    """429 with the seconds after which one token is there; after exactly that time one request passes, and no second."""
    with running(tmp_path, world, limit_register="2/60s") as app:
        for _ in range(2):
            limits.refuse_empty(limits.charge(app.core, ("register",), HERE))
        with pytest.raises(Problem) as caught:
            limits.refuse_empty(limits.charge(app.core, ("register",), HERE))
        problem = caught.value
        assert (problem.code, problem.status, problem.retry_after) == ("rate_limited", 429, 30)

        world.advance(30)
        limits.refuse_empty(limits.charge(app.core, ("register",), HERE))
        with pytest.raises(Problem):
            limits.refuse_empty(limits.charge(app.core, ("register",), HERE))


def test_the_headers_show_each_limit_and_what_is_left(tmp_path: Path, world: FakeWorld) -> None:
    """RateLimit-Policy has burst and window, RateLimit what remains and when the bucket is full, by the limit's name."""
    with running(tmp_path, world, limit_register="10/60s", limit_mail_network="500/3600s") as app:
        shown = dict(limits.headers(limits.charge(app.core, ("register", "mail_network"), HERE)))

    assert shown == {
        "RateLimit-Policy": '"register";q=10;w=60, "mail_network";q=500;w=3600',
        "RateLimit": '"register";r=9;t=6, "mail_network";r=499;t=8',
    }


def test_the_headers_never_show_what_is_not_the_callers_own(app: App) -> None:
    """The state of an account's bucket would tell a stranger that somebody else is trying it, everybody's how busy we are, and a
    wait is told by Retry-After alone (ATTACKS A1, A3)."""
    charged = limits.charge(app.core, PASSWORD_TRY, HERE)
    shown: list[Any] = limits.headers(charged)

    assert [item.name for item in charged] == list(PASSWORD_TRY)
    assert len(shown) == 2
    assert [name in str(shown) for name in PASSWORD_TRY] == [False, True, True, False, False]
    assert '"login"' in str(shown)
    assert limits.headers([item for item in charged if LIMITS[item.name].keyed_by in ("account", "everyone")]) == []
    assert limits.headers(limits.charge(app.core, PASSWORD_TRY, HERE._replace(device="usr_1 20000"))) == []
    assert limits.headers(limits.charge(app.core, ("register_all",), HERE)) == []
    assert limits.headers([]) == []


def test_what_is_sent_decides_and_not_what_exists(app: App) -> None:
    """An address that nobody has is counted like one that somebody has; no name of an account or network is stored (ATTACKS A3)."""
    for address in ("marie@example.com", "nobody@example.com"):
        limits.charge(app.core, TRY, Facts("192.0.2.1", address))
    connection = sqlite3.connect(app.core.store.path)
    keys = [key for (key,) in connection.execute("SELECT key FROM buckets")]
    connection.close()

    assert stored(app) == {"login": 2, "login_account": 2, "login_network": 1}
    assert not any(part in key for key in keys for part in ("marie", "nobody", "example", "192.0.2"))


@pytest.mark.parametrize("name", ["read", "login"])
@pytest.mark.parametrize("back", [1, 3_600, 86_400])
def test_after_a_clock_was_set_back_who_waits_as_told_passes(app: App, world: FakeWorld, name: str, back: int) -> None:
    """Buckets filled in a future that is no longer one refuse at most as long as an empty one would (ATTACKS B13)."""
    for _ in range(3):
        limits.charge(app.core, (name,), HERE)
    world.advance(-back)

    (first,) = limits.charge(app.core, (name,), HERE)
    world.advance(first.charge.retry_after)
    (second,) = limits.charge(app.core, (name,), HERE)

    assert first.charge.allowed or first.charge.retry_after <= first.limit.seconds
    assert second.charge.allowed
