"""Webhooks and the edge of what is kept of the trail: what one waits for is not forgotten, and what was is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.delivery import webhooks
from tests.auditing import record, sealed
from tests.hooks import Receiver, receiving, says
from tests.letterbox import UNLIMITED
from tests.staff import ADMIN, admin
from tests.support import Answer, Client, FakeWorld, event_rows, running

YEAR = 366 * 86_400


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, webhook_networks="127.0.0.0/8", **UNLIMITED) as app:
        yield app


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(says(410)) as receiver:
        yield receiver


@pytest.fixture
def off(app: App, world: FakeWorld, receiver: Receiver) -> str:
    """A webhook that was disabled by its receiver's 410, and a year that went by with three seals behind it."""
    made = admin(app).call("POST", "/webhooks", {"url": receiver.url(), "events": ["login.failed", "login.succeeded"]}).json()
    sealed(app, world, (2, 2))
    app.deliveries.run_once()
    receiver.behaviour = says(200)
    receiver.got.clear()
    world.advance(YEAR)
    webhook_id: str = made["id"]
    return webhook_id


def put(app: App, webhook_id: str, **values: Any) -> Answer:
    """By the administrator, who signs in anew: a year has passed."""
    token = Client(app).login(ADMIN).json()["access_token"]
    return Client(app).call("PUT", f"/webhooks/{webhook_id}", values, token=token)


def place(app: App, webhook_id: str) -> int:
    with app.core.store.read() as tx:
        webhook = tx.webhooks.get(webhook_id)
    assert webhook is not None
    return webhook.next_seq


def first(app: App) -> int:
    with app.core.store.read() as tx:
        return tx.trail.first() or 0


def told(app: App) -> list[dict[str, Any]]:
    return [json.loads(row["data"]) for row in event_rows(app) if row["action"] == "webhook.updated"]


@pytest.mark.parametrize("more", [{}, {"events": ["login.succeeded"]}], ids=["as it was", "with other wishes"])
def test_one_that_was_disabled_for_too_long_begins_at_the_oldest_and_that_is_told(
    app: App, world: FakeWorld, receiver: Receiver, off: str, more: dict[str, Any]
) -> None:
    """What was forgotten meanwhile cannot come; how many events that are is on record, so that nobody takes it for all."""
    stood = place(app, off)
    sealed(app, world, (1, 1))
    missed = first(app) - stood
    assert missed > 0
    assert put(app, off, enabled=True, **more).status == 200
    assert told(app)[-1]["forgotten"] == missed
    assert place(app, off) >= first(app)
    app.deliveries.run_once()
    kept = [row["id"] for row in event_rows(app) if row["action"] == "login.succeeded"]
    assert [got.id for got in receiver.got] == kept


def test_other_wishes_of_one_that_is_disabled_hide_no_loss(app: App, world: FakeWorld, off: str) -> None:
    """They move its place, so that is where what was forgotten is told; enabling it later tells nothing twice."""
    stood = place(app, off)
    sealed(app, world, (1, 1))
    missed = first(app) - stood
    assert put(app, off, events=["login.succeeded"]).status == 200
    assert told(app)[-1]["forgotten"] == missed
    assert put(app, off, enabled=True).status == 200
    assert "forgotten" not in told(app)[-1]


def test_one_that_lost_nothing_is_told_of_nothing(app: App, world: FakeWorld, receiver: Receiver, off: str) -> None:
    """Enabled while all is still kept it goes on where it stopped; a change that enables nothing moves no place."""
    stood = place(app, off)
    assert put(app, off, description="still off").status == 200
    assert put(app, off, enabled=True).status == 200
    assert all("forgotten" not in data for data in told(app))
    assert place(app, off) == stood


def test_a_change_of_words_leaves_one_that_is_disabled_where_it_stands(app: App, world: FakeWorld, off: str) -> None:
    """What was forgotten is told when it is enabled, and not before, when nobody asks for it."""
    stood = place(app, off)
    sealed(app, world, (1, 1))
    assert put(app, off, description="still off").status == 200
    assert place(app, off) == stood
    assert "forgotten" not in told(app)[-1]


def test_what_nobody_awaits_any_more_is_forgotten(app: App, world: FakeWorld, off: str) -> None:
    """A disabled webhook holds nothing back: the trail stays bounded."""
    stood = place(app, off)
    record(app, 1)
    sealed(app, world, (1,))
    assert first(app) > stood


@pytest.mark.parametrize("wish", ["login.succeeded", "webhook.deleted"], ids=["with work", "without"])
def test_one_that_nobody_served_for_too_long_is_told_of_it_once(
    app: App, world: FakeWorld, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    """Enabled all the time, and no worker for a year: the first that comes tells how many events are gone, and goes on."""
    monkeypatch.setattr(webhooks, "ROWS_PER_NOTE", 1)
    receiver.behaviour = says(200)
    made = admin(app).call("POST", "/webhooks", {"url": receiver.url(), "events": [wish]}).json()
    stood = place(app, made["id"])
    sealed(app, world, (2, 2))
    world.advance(YEAR)
    sealed(app, world, (1, 1))
    missed = first(app) - stood
    assert missed > 0
    for _ in range(2):
        app.deliveries.run_once()
    assert [data.get("forgotten") for data in told(app)] == [missed]
    assert place(app, made["id"]) >= first(app)
    kept = [row["id"] for row in event_rows(app) if row["action"] == wish]
    assert [got.id for got in receiver.got] == kept


def test_what_arrived_is_listed_for_a_week_and_what_did_not_for_a_month(app: App, world: FakeWorld, receiver: Receiver) -> None:
    """What somebody wants sent once more waits for that, however old it is."""
    boss = admin(app)
    made = boss.call("POST", "/webhooks", {"url": receiver.url(), "events": ["login.succeeded"]}).json()
    for status in (200, 200, 500):
        receiver.behaviour = says(status)
        record(app, 1)
        app.deliveries.run_once()
        world.advance(1)  # ids of one millisecond have no order

    def listed() -> list[str | None]:
        with app.core.store.read() as tx:
            return [delivery.error for delivery in tx.deliveries.page(made["id"], before="~", limit=9)]

    again = boss.get(f"/webhooks/{made['id']}/deliveries")["items"][-1]["id"]
    assert boss.call("POST", f"/deliveries/{again}/retry").status == 202
    world.advance(6 * 86_400)
    app.deliveries.housekeeping.run_once()
    assert listed() == ["answered 500", None, None]
    world.advance(86_401)
    app.deliveries.housekeeping.run_once()
    assert listed() == ["answered 500", None]
    world.advance(24 * 86_400)
    app.deliveries.housekeeping.run_once()
    assert listed() == []


def test_a_loss_is_told_once_however_often_the_next_event_fails(app: App, world: FakeWorld, receiver: Receiver) -> None:
    """A try that fails moves no place; what was forgotten is behind it all the same."""
    receiver.behaviour = says(500)
    admin(app).call("POST", "/webhooks", {"url": receiver.url(), "events": ["login.succeeded"]})
    sealed(app, world, (2, 2))
    world.advance(YEAR)
    sealed(app, world, (1, 1))
    for _ in range(3):
        app.deliveries.run_once()
        world.advance(3_600)
    assert len(receiver.got) == 3
    assert len(told(app)) == 1


def test_a_test_moves_no_webhook_that_is_disabled(app: App, world: FakeWorld, receiver: Receiver, off: str) -> None:
    """What it lost is told when it is enabled, to whoever does that."""
    stood = place(app, off)
    sealed(app, world, (1, 1))
    token = Client(app).login(ADMIN).json()["access_token"]
    assert Client(app).call("POST", f"/webhooks/{off}/test", token=token).status == 202
    app.deliveries.run_once()
    assert [got.type for got in receiver.got] == ["webhook.test"]
    assert place(app, off) == stood
    assert told(app) == []


def test_other_wishes_skip_not_the_event_that_it_stands_at(app: App, world: FakeWorld, receiver: Receiver) -> None:
    """One that fails stands at an event that it wants: with more wishes it stands there still."""
    receiver.behaviour = says(500)
    boss = admin(app)
    made = boss.call("POST", "/webhooks", {"url": receiver.url(), "events": ["login.succeeded"]}).json()
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE webhooks SET next_seq = (SELECT max(seq) + 1 FROM events)")
    record(app, 2)
    app.deliveries.run_once()
    stood = place(app, made["id"])
    assert boss.call("PUT", f"/webhooks/{made['id']}", {"events": ["login.*"]}).status == 200
    assert place(app, made["id"]) == stood
