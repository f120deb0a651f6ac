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

from authsvc import events
from authsvc.app import App
from authsvc.delivery.webhooks import EVENTS_PER_TURN, WebhookWorker
from authsvc.events import SYSTEM
from authsvc.store.trail import Trail
from tests.hooks import Receiver, closes, endless, hangs, in_turn, meanwhile, receiving, says
from tests.letterbox import UNLIMITED, counts, letters, rows
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


def subscribe(boss: Caller, url: str, *names: str, **more: Any) -> dict[str, Any]:
    answer = boss.call("POST", "/webhooks", {"url": url, "events": list(names) or ["user.registered"], **more})
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


def worker_of(app: App) -> WebhookWorker:
    """One that has seen nothing yet, as after a restart or in another process."""
    return WebhookWorker(app.core.settings, app.core.world, app.core.keyring, app.core.store)


def test_after_a_recovery_the_schedule_begins_anew(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """What fails right after a success waits five seconds, however often something had failed before that."""
    subscribe(boss, receiver.url())
    ids = people(app, "a", "b")
    receiver.behaviour = in_turn(says(500), says(500), says(500), says(500), says(200), says(500), says(200))
    for _ in range(5):
        assert app.deliveries.run_once() >= 1
        real_time.advance(6 if len(receiver.got) == 1 else 3 * 3_600)
    assert [got.id for got in receiver.got] == [ids[0]] * 5 + [ids[1]]
    failed_at = rows(app, "SELECT last_at FROM deliveries WHERE delivered_at IS NULL")[0]["last_at"]
    assert rows(app, "SELECT due_at FROM webhooks")[0]["due_at"] - failed_at <= 5_500
    app.deliveries.run_once()
    assert [got.id for got in receiver.got][6:] == [ids[1]]


def test_one_that_is_deleted_while_it_is_called_harms_no_other(app: App, boss: Caller, receiver: Receiver) -> None:
    """The turn ends, nothing is noted of it, and the others get theirs in the same round."""
    gone = subscribe(boss, receiver.url("/gone"))
    for number in range(3):
        subscribe(boss, receiver.url(f"/{number}"))
    receiver.paths["/gone"] = meanwhile(lambda: boss.call("DELETE", f"/webhooks/{gone['id']}"), says(200))
    ids = people(app, "a", "b")
    worker_of(app).run_once()
    assert receiver.types("/gone") == ["user.registered"]
    for number in range(3):
        assert [got.id for got in receiver.got if got.path == f"/{number}"] == ids
    assert rows(app, "SELECT * FROM deliveries WHERE webhook_id = ?", gone["id"]) == []


def test_one_that_is_disabled_in_its_turn_gets_no_more(app: App, boss: Caller, receiver: Receiver) -> None:
    """From the answer on; enabled again it goes on where it stopped, and nothing comes twice."""
    made = subscribe(boss, receiver.url())
    off = meanwhile(lambda: boss.call("PUT", f"/webhooks/{made['id']}", {"enabled": False}), says(200))
    receiver.behaviour = in_turn(off, says(200))
    ids = people(app, "a", "b", "c")
    app.deliveries.run_once()
    assert [got.id for got in receiver.got] == ids[:1]
    assert seen(boss, made["id"])["disabled_reason"] == "asked"
    boss.call("PUT", f"/webhooks/{made['id']}", {"enabled": True})
    app.deliveries.run_once()
    assert [got.id for got in receiver.got] == ids


def test_a_new_url_counts_from_the_next_event_on(app: App, boss: Caller, receiver: Receiver) -> None:
    """Also in the middle of a turn: who has moved away gets nothing more."""
    made = subscribe(boss, receiver.url("/old"))
    receiver.paths["/old"] = meanwhile(lambda: boss.call("PUT", f"/webhooks/{made['id']}", {"url": receiver.url("/new")}), says(200))
    ids = people(app, "a", "b", "c")
    app.deliveries.run_once()
    assert [(got.path, got.id) for got in receiver.got] == [("/old", ids[0]), ("/new", ids[1]), ("/new", ids[2])]


def test_a_new_secret_signs_from_the_next_event_on(app: App, boss: Caller, receiver: Receiver) -> None:
    """Also in the middle of a turn: a receiver that knows only the new one refuses nothing."""
    made = subscribe(boss, receiver.url())
    renewed: list[str] = []
    rotate = meanwhile(lambda: renewed.append(boss.call("POST", f"/webhooks/{made['id']}/rotate-secret")["secret"]), says(200))
    receiver.behaviour = in_turn(rotate, says(200))
    people(app, "a", "b")
    app.deliveries.run_once()
    assert len(renewed) == 1
    Verifier(renewed[0]).verify(receiver.got[1].body, receiver.got[1].headers)
    Verifier(made["secret"]).verify(receiver.got[1].body, receiver.got[1].headers)


@pytest.mark.parametrize("status", [410, 500])
def test_what_the_former_url_answers_is_not_held_against_the_new_one(app: App, boss: Caller, receiver: Receiver, status: int) -> None:
    """A try that was under way when the URL was mended neither disables the webhook nor puts its next try off."""
    made = subscribe(boss, receiver.url("/old"))
    mend = {"url": receiver.url("/new"), "enabled": True}
    receiver.paths["/old"] = meanwhile(lambda: boss.call("PUT", f"/webhooks/{made['id']}", mend), says(status))
    ids = people(app, "a")
    app.deliveries.run_once()
    app.deliveries.run_once()
    assert [got.id for got in receiver.got if got.path == "/new"] == ids
    assert seen(boss, made["id"])["status"] == "active"
    assert "webhook.disabled" not in actions(app)


def test_a_turn_is_bounded_in_time_also_for_what_is_sent_again(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """No try begins after 20 seconds, so that the lease outlasts the turn: nobody else sends the same meanwhile."""
    made = subscribe(boss, receiver.url())
    people(app, *[f"p{number}" for number in range(12)])
    app.deliveries.run_once()
    for delivery in rows(app, "SELECT id FROM deliveries"):
        assert boss.call("POST", f"/deliveries/{delivery['id']}/retry").status == 202
    receiver.got.clear()
    other = worker_of(app)
    receiver.behaviour = meanwhile(lambda: (real_time.advance(9.9), other.run_once()), says(200))
    assert worker_of(app).run_once() <= 3
    assert len({got.id for got in receiver.got}) == len(receiver.got) <= 3
    assert made["id"] in {row["webhook_id"] for row in rows(app, "SELECT webhook_id FROM deliveries WHERE wanted_at IS NOT NULL")}


def test_a_clock_that_is_set_back_delays_nothing(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """A webhook that was made in what is now the future is served; so is one that failed there, after days at most."""
    receiver.paths["/failed"] = in_turn(says(500), says(200))
    for path in ("/made", "/failed"):
        subscribe(boss, receiver.url(path))
    real_time.advance(-3_600)
    ids = people(app, "a")
    app.deliveries.run_once()
    assert [got.id for got in receiver.got if got.path == "/made"] == ids
    assert [got.id for got in receiver.got if got.path == "/failed"] == ids
    real_time.advance(-3 * DAY)
    app.deliveries.run_once()
    assert [got.id for got in receiver.got if got.path == "/failed"] == ids * 2


def test_the_former_secret_signs_also_when_the_clock_was_set_back(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """A correction of a minute must not make receivers refuse what comes."""
    made = subscribe(boss, receiver.url())
    renewed = boss.call("POST", f"/webhooks/{made['id']}/rotate-secret").json()
    real_time.advance(-60)
    people(app, "a")
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE webhooks SET due_at = 0")
    app.deliveries.run_once()
    (got,) = receiver.got
    for secret in (made["secret"], renewed["secret"]):
        Verifier(secret).verify(got.body, got.headers)


def test_no_event_is_lost_while_the_subscription_grows(app: App, boss: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens after the answer to PUT comes, also where a worker is looking at the events at that very moment."""
    made = subscribe(boss, receiver.url(), "webhook.deleted")
    worker, between = worker_of(app), Trail.between
    begun: list[int] = []
    ids: list[str] = []

    def raced(trail: Trail, above: int, through: int, most: int) -> Any:
        if not begun:
            begun.append(above)
            assert boss.call("PUT", f"/webhooks/{made['id']}", {"events": ["user.registered"]}).status == 200
            ids.extend(people(app, "a"))
        return between(trail, above, through, most)

    monkeypatch.setattr(Trail, "between", raced)
    worker.run_once()
    worker.run_once()
    assert len(ids) == 1
    assert [got.id for got in receiver.got] == ids


def test_what_happened_before_it_was_wanted_does_not_come(app: App, boss: Caller, receiver: Receiver) -> None:
    """A wider subscription counts from now on, whichever worker serves it; what was already on its way still comes."""
    receiver.paths["/late"] = in_turn(says(500), says(200))
    idle, late = subscribe(boss, receiver.url("/idle"), "webhook.deleted"), subscribe(boss, receiver.url("/late"), "login.failed")
    people(app, "early")
    Client(app).login("early@mail.com", "wrong-password-1")
    worker_of(app).run_once()
    for made in (idle, late):
        wanted = ["user.registered", "webhook.deleted", "login.failed"]
        assert boss.call("PUT", f"/webhooks/{made['id']}", {"events": wanted, "enabled": True}).status == 200
    ids = people(app, "later")
    worker_of(app).run_once()
    assert [got.id for got in receiver.got if got.path == "/idle"] == ids
    assert receiver.types("/late")[:2] == ["login.failed"] * 2
    assert receiver.got[-1].id == ids[0]


def test_other_wishes_cost_the_same_however_far_behind_it_is(app: App, boss: Caller, receiver: Receiver) -> None:
    """By index: neither the only writer nor whoever asks is kept while the trail is walked through."""
    made = subscribe(boss, receiver.url(), "webhook.deleted", enabled=False)

    def steps() -> int:
        """So many thousand steps of SQLite's machine."""
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        with app.core.store.write() as tx, app.core.store.read() as reading:
            tx._connection.execute("UPDATE webhooks SET next_seq = 1")
            connections = (tx._connection, reading._connection)
        for connection in connections:
            connection.set_progress_handler(count, 1_000)
        try:
            assert boss.call("PUT", f"/webhooks/{made['id']}", {"events": ["webhook.deleted"]}).status == 200
        finally:
            for connection in connections:
                connection.set_progress_handler(None, 0)
        return counted

    few = steps()
    with app.core.store.write() as tx:
        for _ in range(3_000):
            tx.events.record(events.LOGIN_FAILED, SYSTEM, outcome="failure")
    assert steps() <= few + 2


def test_a_wider_wish_holds_up_no_writer(app: App, boss: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """PUT for one that lay disabled for long does not walk over the whole trail while nobody else may write."""
    made = subscribe(boss, receiver.url(), "webhook.deleted", enabled=False)
    with app.core.store.write() as tx:
        for _ in range(20_000):
            tx.events.record(events.LOGIN_FAILED, SYSTEM, outcome="failure")
    between, held = Trail.between, [0]

    def counted(trail: Trail, above: int, through: int, most: int) -> Any:
        found = between(trail, above, through, most)
        held[0] += len(found) * app.core.store.held
        return found

    monkeypatch.setattr(Trail, "between", counted)
    assert boss.call("PUT", f"/webhooks/{made['id']}", {"events": ["*"]}).status == 200
    assert held[0] <= 5_000


def test_those_that_fail_are_tried_after_those_that_do_not(app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld) -> None:
    """A receiver that takes its ten seconds to fail keeps no healthy one waiting for its turn."""
    receiver.behaviour = says(500)
    for number in range(6):
        subscribe(boss, receiver.url(f"/dead/{number}"))
    receiver.paths["/live"] = says(200)
    subscribe(boss, receiver.url("/live"))
    people(app, "a")
    worker_of(app).run_once()
    real_time.advance(6)
    people(app, "b")
    receiver.got.clear()
    worker_of(app).run_once()
    assert len(receiver.got) == 7
    assert receiver.got[0].path == "/live"


def test_a_row_that_nobody_can_read_stops_nothing_else(app: App, boss: Caller, receiver: Receiver) -> None:
    """One webhook's row was tampered with: the others get their events, in the same round and in the next."""
    broken = subscribe(boss, receiver.url("/broken"))
    subscribe(boss, receiver.url("/whole"))
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE webhooks SET events = '[' WHERE id = ?", (broken["id"],))
    ids = people(app, "a")
    worker_of(app).run_once()
    ids += people(app, "b")
    worker_of(app).run_once()
    assert [got.id for got in receiver.got if got.path == "/whole"] == ids
    assert receiver.types("/broken") == []


def test_an_event_that_nobody_can_read_holds_up_nothing_behind_it(app: App, boss: Caller, receiver: Receiver) -> None:
    """One row of the trail was tampered with: what comes after it is delivered, and GET /events goes on behind it."""
    subscribe(boss, receiver.url())
    ids = people(app, "a", "b", "c")
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE events SET data = '{' WHERE id = ?", (ids[0],))
    app.deliveries.run_once()
    assert [got.id for got in receiver.got][-2:] == ids[1:]
    feed = boss.get("/events?types=user.registered")
    assert feed.status == 200
    assert [item["id"] for item in feed["items"]][-2:] == ids[1:]


def test_one_that_wants_nothing_of_it_all_holds_back_no_pruning(app: App, boss: Caller, receiver: Receiver) -> None:
    """After 5,000 events that are nothing for it, its place is noted: what nobody awaits can be forgotten."""
    made = subscribe(boss, receiver.url(), "webhook.deleted")
    with app.core.store.write() as tx:
        before = tx.webhooks.get(made["id"])
        for _ in range(5_010):
            tx.events.record(events.LOGIN_FAILED, SYSTEM, outcome="failure")
        last = tx.trail.last()
    assert app.deliveries.run_once() == 0
    with app.core.store.read() as tx:
        after = tx.webhooks.get(made["id"])
        assert tx.webhooks.earliest() == last + 1  # type: ignore[operator]
    assert before is not None
    assert after == before._replace(next_seq=last + 1)  # type: ignore[operator]
    assert receiver.got == []


def test_an_event_that_was_forgotten_is_not_sent_again(app: App, boss: Caller, receiver: Receiver) -> None:
    """POST /deliveries/:id/retry of what was pruned fails, with its reason, and posts nothing."""
    made = subscribe(boss, receiver.url())
    people(app, "a")
    app.deliveries.run_once()
    with app.core.store.write() as tx:
        tx._connection.execute("DELETE FROM events WHERE action = 'user.registered'")
    (delivery,) = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
    assert boss.call("POST", f"/deliveries/{delivery['id']}/retry").status == 202
    app.deliveries.run_once()
    assert len(receiver.got) == 1
    (after,) = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
    assert (after["attempts"], after["error"], after["status_code"]) == (2, "the event was forgotten", None)


def test_every_active_admin_is_told_and_nobody_else(app: App, boss: Caller, receiver: Receiver) -> None:
    """One mail each to those with the role admin, at most twenty of them."""
    others = [admin(app, f"boss{number}@mail.com") for number in range(2)]
    people(app, "member")
    assert boss.call("PUT", f"/user/{others[1].id}", {"status": "disabled"}).status == 200
    receiver.behaviour = says(410)
    made = subscribe(boss, receiver.url())
    before = len(letters(app))
    people(app, "a")
    app.deliveries.run_once()
    told = [to for letter, to in letters(app)[before:] if letter == "webhook_disabled"]
    assert sorted(told) == ["admin@mail.com", "boss0@mail.com"]
    assert seen(boss, made["id"])["status"] == "disabled"


def test_a_process_has_four_threads_for_webhooks_however_many_there_are(tmp_path: Path) -> None:
    """E9: bounded; each of 30 webhooks is served all the same."""
    with receiving() as receiver, running(tmp_path, webhook_networks=LOOPBACK, delivery="threads", **UNLIMITED) as app:
        boss = admin(app)
        for number in range(30):
            subscribe(boss, receiver.url(f"/{number}"))
        ids = people(app, "a")
        got = receiver.wait_for(30)
        assert {one.path for one in got} == {f"/{number}" for number in range(30)}
        assert {one.id for one in got} == set(ids)
        assert sum(thread.name == "delivery webhooks" for thread in threading.enumerate()) == 4


def test_an_event_that_was_given_costs_one_row_however_often_it_was_tried(
    app: App, boss: Caller, receiver: Receiver, real_time: FakeWorld
) -> None:
    """The list shows the last try, and how many there were; the headers of each tell of that try, its id stays."""
    receiver.behaviour = in_turn(says(500), says(503), says(200))
    made = subscribe(boss, receiver.url())
    people(app, "a")
    for _ in range(3):
        app.deliveries.run_once()
        real_time.advance(331)
    (delivery,) = admin(app, "later@mail.com").get(f"/webhooks/{made['id']}/deliveries")["items"]
    assert (delivery["attempts"], delivery["status"], delivery["status_code"]) == (3, "delivered", 200)
    assert counts(app, "deliveries") == [1]
    assert len({(got.id, got.body) for got in receiver.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in receiver.got}) == 3
    assert len({got.headers["webhook-signature"] for got in receiver.got}) == 3
