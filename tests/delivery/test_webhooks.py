"""Webhooks over real HTTP: in order, at least once, retried, given up; and what one that fails does to the others."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from authsvc.app import App
from authsvc.delivery.webhooks import EVENTS_PER_TURN, WebhookWorker
from tests.hooks import Receiver, closes, endless, hangs, receiving, says
from tests.letterbox import UNLIMITED
from tests.staff import Caller, admin
from tests.support import Client, FakeWorld, actions, event_rows, running

DAY = 86_400
LOOPBACK = "127.0.0.0/8"


@pytest.fixture
def real_time() -> FakeWorld:
    """A world that begins now, since receivers look at the clock."""
    world = FakeWorld()
    world.time = time.time_ns() // 1_000_000
    return world


@pytest.fixture
def app(tmp_path: Path, real_time: FakeWorld) -> Iterator[App]:
    with running(tmp_path, real_time, webhook_networks=LOOPBACK, **UNLIMITED) as app:
        yield app


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def boss(app: App) -> Caller:
    return admin(app)


def subscribe(boss: Caller, url: str, *events: str, **more: Any) -> dict[str, Any]:
    answer = boss.call("POST", "/webhooks", {"url": url, "events": list(events) or ["user.registered"], **more})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made


def people(app: App, *names: str) -> list[str]:
    """Register them; the ids of the events that tell of it."""
    before = len(event_rows(app))
    for name in names:
        Client(app).register(f"{name}@mail.com")
    return [row["id"] for row in event_rows(app)[before:] if row["action"] == "user.registered"]


def seen(boss: Caller, webhook_id: str) -> dict[str, Any]:
    token = boss.client.login("admin@mail.com")["access_token"]  # time has passed
    shown: dict[str, Any] = boss.client.get(f"/webhooks/{webhook_id}", token=token).json()
    return shown


def test_each_event_comes_in_its_order_and_any_library_verifies_it(app: App, boss: Caller, receiver: Receiver) -> None:
    """Standard Webhooks: id, time and signature over the very bytes; another secret, or one changed byte, does not verify."""
    made = subscribe(boss, receiver.url("/in"))
    ids = people(app, "a", "b", "c")
    assert app.deliveries.run_once() == 3
    assert [got.id for got in receiver.got] == ids
    for got in receiver.got:
        event = Verifier(made["secret"]).verify(got.body, got.headers)
        assert (event["type"], event["data"]["id"]) == ("user.registered", got.id)
        assert "@" not in got.body.decode()
        with pytest.raises(WebhookVerificationError):
            Verifier(made["secret"]).verify(got.body + b" ", got.headers)
    assert seen(boss, made["id"])["status"] == "active"
    assert app.deliveries.run_once() == 0


def test_it_gets_what_it_wants_and_nothing_from_before(app: App, boss: Caller, receiver: Receiver) -> None:
    """Names, prefixes, everything; what happened before it was made is not for it."""
    people(app, "early")
    subscribe(boss, receiver.url("/one"), "session.revoked")
    subscribe(boss, receiver.url("/prefix"), "login.*", "session.*")
    tokens = Client(app).login("early@mail.com").json()
    Client(app).post("/token/revoke", {"token": tokens["refresh_token"]})
    app.deliveries.run_once()
    assert receiver.types("/one") == ["session.revoked"]
    assert receiver.types("/prefix") == ["login.succeeded", "session.revoked"]


def test_a_failure_holds_its_own_order_and_nobody_elses(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """The failed event is tried again after 5 seconds, 5 minutes, half an hour; those after it wait; another webhook does not."""
    receiver.paths["/bad"] = says(500)
    bad, good = subscribe(boss, receiver.url("/bad")), subscribe(boss, receiver.url("/good"))
    ids = people(app, "a", "b")
    app.deliveries.run_once()
    assert [got.id for got in receiver.got if got.path == "/good"] == ids
    for seconds in (6, 331, 1_981):
        real_time.advance(seconds - 1)
        real_time.advance(1)
        assert app.deliveries.run_once() == 1
        assert app.deliveries.run_once() == 0
    assert [got.id for got in receiver.got if got.path == "/bad"] == [ids[0]] * 4
    assert seen(boss, bad["id"])["status"] == "failing"
    assert seen(boss, good["id"])["failing_since"] is None
    receiver.paths["/bad"] = says(204)
    real_time.advance(3 * 3_600)
    app.deliveries.run_once()
    assert [got.id for got in receiver.got if got.path == "/bad"][4:] == ids
    assert seen(boss, bad["id"])["status"] == "active"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 429, 500, 503])
def test_only_2xx_is_a_delivery_and_no_redirect_is_followed(app: App, boss: Caller, receiver: Receiver, status: int) -> None:
    """E7: whatever else is answered, it is tried again; where a redirect leads nobody goes."""
    receiver.behaviour = says(status, Location=receiver.url("/elsewhere"))
    made = subscribe(boss, receiver.url("/in"))
    people(app, "a")
    app.deliveries.run_once()
    assert [got.path for got in receiver.got] == ["/in"]
    (delivery,) = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
    assert (delivery["status"], delivery["status_code"], delivery["attempts"]) == ("failed", status, 1)


def test_a_receiver_may_say_when_to_come_back(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """Retry-After counts where it is longer than the schedule, up to an hour."""
    receiver.behaviour = says(503, Retry_After="900")
    subscribe(boss, receiver.url())
    people(app, "a")
    app.deliveries.run_once()
    real_time.advance(899)
    assert app.deliveries.run_once() == 0
    real_time.advance(1)
    receiver.behaviour = says(503, Retry_After="999999999")
    assert app.deliveries.run_once() == 1
    real_time.advance(3_601)
    assert app.deliveries.run_once() == 1


@pytest.mark.parametrize("wish", ["-1", "soon", "1e9", "９", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_nonsensical_wish_changes_nothing(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld, wish: str) -> None:
    """The schedule holds."""
    receiver.behaviour = says(503, Retry_After=wish.encode("ascii", "replace").decode())
    subscribe(boss, receiver.url())
    people(app, "a")
    app.deliveries.run_once()
    real_time.advance(6)
    assert app.deliveries.run_once() == 1


def test_gone_is_gone(app: App, boss: Caller, receiver: Receiver) -> None:
    """410 disables at once, is on record, and the administrators get a mail; enabled again it goes on where it stopped."""
    receiver.behaviour = says(410)
    made = subscribe(boss, receiver.url("/secret-path"))
    ids = people(app, "a", "b")
    app.deliveries.run_once()
    shown = seen(boss, made["id"])
    assert (shown["status"], shown["enabled"], shown["disabled_reason"]) == ("disabled", False, "gone")
    assert actions(app).count("webhook.disabled") == 1
    receiver.behaviour = says(200)
    assert len(receiver.got) == 1
    app.deliveries.run_once()
    letters = [line for line in app.core.world.lines if "was disabled" in line]  # type: ignore[attr-defined]
    assert len(letters) == 1
    assert "secret-path" not in letters[0]
    assert boss.call("PUT", f"/webhooks/{made['id']}", {"enabled": True})["status"] == "active"
    app.deliveries.run_once()
    assert [got.id for got in receiver.got] == [ids[0], *ids]


def test_after_three_days_of_failure_it_is_disabled_and_told(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """About ten tries over three days, then a mail to every administrator; the events stay where they are."""
    receiver.behaviour = closes
    made = subscribe(boss, receiver.url())
    people(app, "a")
    for _ in range(110):
        app.deliveries.run_once()
        real_time.advance(3_600)
    assert seen(boss, made["id"])["disabled_reason"] == "failing"
    assert 8 <= len([got for got in receiver.got if got.path == "/"]) <= 12
    assert actions(app).count("webhook.disabled") == 1


def test_both_secrets_sign_for_a_day_after_a_rotation(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """Two signatures, one space between them; then the former secret is good for nothing."""
    made = subscribe(boss, receiver.url())
    renewed = boss.call("POST", f"/webhooks/{made['id']}/rotate-secret").json()
    assert renewed["secret"] != made["secret"]
    people(app, "a")
    app.deliveries.run_once()
    real_time.advance(DAY)
    people(app, "b")
    app.deliveries.run_once()
    both, one = receiver.got
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    assert len(one.headers["webhook-signature"].split(" ")) == 1
    for secret in (made["secret"], renewed["secret"]):
        Verifier(secret).verify(both.body, both.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(made["secret"]).verify(one.body, one.headers)


def test_a_test_and_a_retry_come_out_of_turn(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """Neither waits for the one that fails, nor moves the place of the webhook; a disabled one gets them, too."""
    receiver.behaviour = says(500)
    made = subscribe(boss, receiver.url())
    ids = people(app, "a", "b")
    app.deliveries.run_once()
    assert boss.call("POST", f"/webhooks/{made['id']}/test").status == 202
    assert app.deliveries.run_once() == 1
    assert receiver.types() == ["user.registered", "webhook.test"]
    Verifier(made["secret"]).verify(receiver.got[-1].body, receiver.got[-1].headers)
    listed = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
    failed = next(item for item in listed if item["type"] == "user.registered")
    receiver.behaviour = says(200)
    assert boss.call("POST", f"/deliveries/{failed['id']}/retry").status == 202
    assert app.deliveries.run_once() == 1
    assert receiver.got[-1].id == ids[0]
    real_time.advance(6)
    app.deliveries.run_once()
    assert [got.id for got in receiver.got][-2:] == ids


def test_a_large_backlog_is_worked_off_turn_by_turn(app: App, boss: Caller, receiver: Receiver) -> None:
    """A turn is bounded, so that one webhook with much to do keeps no other waiting."""
    subscribe(boss, receiver.url("/much"))
    names = [f"p{number}" for number in range(EVENTS_PER_TURN + 5)]
    ids = people(app, *names)
    worker = WebhookWorker(app.core.settings, app.core.world, app.core.keyring, app.core.store)
    assert [worker.run_once() for _ in range(3)] == [EVENTS_PER_TURN, 5, 0]
    assert [got.id for got in receiver.got] == ids


def test_a_worker_that_dies_leaves_the_event_to_the_next(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """The lease runs out, and the same event is sent again under the same id: at least once."""
    made = subscribe(boss, receiver.url())
    (event_id,) = people(app, "a")
    with app.core.store.write() as tx:
        assert tx.webhooks.claim(made["id"]) is not None
    assert app.deliveries.run_once() == 0
    real_time.advance(61)
    assert app.deliveries.run_once() == 1
    assert [got.id for got in receiver.got] == [event_id]


def test_two_workers_at_once_send_each_event_once(app: App, boss: Caller, receiver: Receiver) -> None:
    """The lease keeps them apart."""
    for number in range(3):
        subscribe(boss, receiver.url(f"/{number}"))
    ids = people(app, *[f"p{number}" for number in range(10)])
    core = app.core
    workers = [WebhookWorker(core.settings, core.world, core.keyring, core.store) for _ in range(4)]

    def work(worker: WebhookWorker) -> None:
        for _ in range(5):
            worker.run_once()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        assert [got.id for got in receiver.got if got.path == f"/{number}"] == ids


def test_what_others_want_costs_a_webhook_no_write(app: App, boss: Caller, receiver: Receiver) -> None:
    """Looking for events that it does not want changes nothing in the database."""
    made = subscribe(boss, receiver.url(), "webhook.deleted")
    people(app, *[f"p{number}" for number in range(5)])
    with app.core.store.read() as tx:
        before = tx.webhooks.get(made["id"])
    assert app.deliveries.run_once() == 0
    with app.core.store.read() as tx:
        assert tx.webhooks.get(made["id"]) == before
    assert boss.call("PUT", f"/webhooks/{made['id']}", {"events": ["user.registered"]}).status == 200
    ids = people(app, "later")
    app.deliveries.run_once()
    assert [got.id for got in receiver.got] == ids


@pytest.mark.parametrize("count", [0, 200])
def test_an_event_costs_its_request_the_same_however_many_webhooks_there_are(
    app: App, boss: Caller, receiver: Receiver, count: int
) -> None:
    """No row more than without any: the events are the queue."""
    for number in range(count):
        subscribe(boss, receiver.url(f"/{number}"), "*")

    def rows() -> dict[str, int]:
        with app.core.store.read() as tx:
            return {
                name: tx._connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("outbox", "deliveries", "events")
            }

    before = rows()
    Client(app).register("one@mail.com")
    after = rows()
    assert {name: after[name] - before[name] for name in after} == {"outbox": 0, "deliveries": 0, "events": 1}
    if count:
        assert boss.call("POST", "/webhooks", {"url": receiver.url(), "events": ["*"]}).code == "conflict"


@pytest.mark.parametrize("behaviour", [hangs, endless])
def test_e9_one_receiver_that_hangs_keeps_no_other_waiting(tmp_path: Path, behaviour: Any) -> None:
    """In real threads, with a receiver that never answers (or never ends) beside one that does."""
    with receiving() as receiver, running(tmp_path, webhook_networks=LOOPBACK, delivery="threads", **UNLIMITED) as app:
        receiver.paths["/dead"] = behaviour
        boss = admin(app)
        subscribe(boss, receiver.url("/dead"))
        subscribe(boss, receiver.url("/live"))
        ids = people(app, "a", "b")
        with receiver.arrived:
            assert receiver.arrived.wait_for(lambda: [got.id for got in receiver.got if got.path == "/live"] == ids, 20)
        receiver.released.set()


def test_the_list_of_deliveries_has_pages(app: App, boss: Caller, receiver: Receiver) -> None:
    """Newest first; the cursor goes on where the page ended; a foreign cursor is refused."""
    made = subscribe(boss, receiver.url())
    ids = people(app, "a", "b", "c")
    app.deliveries.run_once()
    first = boss.get(f"/webhooks/{made['id']}/deliveries?limit=2").json()
    rest = boss.get(f"/webhooks/{made['id']}/deliveries?cursor={first['next_cursor']}").json()
    assert {item["event_id"] for item in first["items"] + rest["items"]} == set(ids)
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)
    assert boss.get(f"/webhooks/{made['id']}/deliveries?cursor=x").status == 422


def test_the_feed_gives_the_same_events_to_whoever_asks(app: App, boss: Caller, receiver: Receiver) -> None:
    """Oldest first, by an event's id or by the cursor, which is always there; what is asked for by type comes alone."""
    subscribe(boss, receiver.url())
    ids = people(app, "a", "b", "c")
    app.deliveries.run_once()
    page = boss.get("/events?types=user.registered&limit=2").json()
    assert [item["id"] for item in page["items"]][-1:] != ids[-1:]
    more = boss.get(f"/events?types=user.registered&after={ids[0]}").json()
    assert [item["id"] for item in more["items"]] == ids[1:]
    assert more["items"] == [{"id": got.id, **json.loads(got.body)} for got in receiver.got[1:]]
    nothing = boss.get(f"/events?types=user.registered&after={more['next_cursor']}").json()
    assert nothing["items"] == []
    (new_id,) = people(app, "d")
    assert [item["id"] for item in boss.get(f"/events?types=user.*&after={nothing['next_cursor']}")["items"]] == [new_id]
    for wrong in ("evt_x", "after_", "after_-1", "evt_" + "0" * 26, "x"):
        assert boss.get(f"/events?after={wrong}").status == 422, wrong
