"""/webhooks, /deliveries and /events as their callers see them: forms, refusals, and what each act leaves on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from tests.hooks import Receiver, receiving, says
from tests.letterbox import UNLIMITED, counts, rows
from tests.staff import ADMIN, Caller, admin
from tests.support import Client, FakeWorld, actions, event_rows, running

NOBODY = "whk_" + "0" * 26
NOTHING = "dlv_" + "0" * 26
MEMBERS = {
    "id",
    "url",
    "description",
    "events",
    "enabled",
    "status",
    "disabled_reason",
    "last_success_at",
    "failing_since",
    "created_at",
    "updated_at",
}
ONE = ["user.registered"]


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, webhook_networks="127.0.0.0/8", **UNLIMITED) as app:
        yield app


@pytest.fixture
def boss(app: App) -> Caller:
    return admin(app)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def make(boss: Caller, url: str = "http://127.0.0.1:9000/hook-path", **more: Any) -> dict[str, Any]:
    answer = boss.call("POST", "/webhooks", {"url": url, "events": ONE, **more})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made


def test_one_is_made_shown_listed_changed_and_deleted(app: App, boss: Caller) -> None:
    """Its members are these and no others; the secret is in the first answer alone; each change is on record by its origin."""
    before = len(event_rows(app))
    made = make(boss, description="  billing  ", events=["session.*", "user.registered", "session.*"])
    assert made.keys() == MEMBERS | {"secret"}
    shown = boss.get(f"/webhooks/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert boss.get("/webhooks").json() == {"items": [shown], "next_cursor": None}
    assert (shown["description"], shown["events"], shown["status"], shown["enabled"]) == (
        "billing",
        ["session.*", "user.registered"],
        "active",
        True,
    )
    changed = boss.call("PUT", f"/webhooks/{made['id']}", {"description": "", "events": ["*"]})
    assert (changed.status, changed["description"], changed["events"], changed["url"]) == (200, "", ["*"], made["url"])
    assert "secret" not in changed.json()
    gone = boss.call("DELETE", f"/webhooks/{made['id']}")
    assert (gone.status, gone.body) == (204, b"")
    assert boss.get(f"/webhooks/{made['id']}").code == "not_found"
    assert boss.get("/webhooks")["items"] == []
    told = event_rows(app)[before:]
    assert [row["action"] for row in told] == ["webhook.created", "webhook.updated", "webhook.deleted"]
    assert {(row["subject"], row["actor_id"], json.loads(row["data"])["url"]) for row in told} == {(made["id"], boss.id, "127.0.0.1:9000")}
    assert json.loads(told[1]["data"])["fields"] == ["description", "events"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("url", None, "required"),
        ("url", 1, "wrong_type"),
        ("url", "", "invalid"),
        ("url", "ftp://127.0.0.1/", "invalid"),
        ("url", "https://user:pass@example.com/", "invalid"),
        ("url", "https://127.1/", "invalid"),
        ("url", "https://localhost./", "invalid"),
        ("url", "http://127.0.0.1:22/", "not_allowed"),
        ("url", "http://10.0.0.1/", "not_allowed"),
        ("url", "https://example.com/" + "x" * 2_048, "too_long"),
        ("url", "https://example.com/\ud800", "invalid"),
        ("events", None, "required"),
        ("events", [], "too_short"),
        ("events", "user.*", "wrong_type"),
        ("events", {"user.*": 1}, "wrong_type"),
        ("events", [1], "wrong_type"),
        ("events", [["user.*"]], "wrong_type"),
        ("events", ["nothing.*"], "not_allowed"),
        ("events", ["webhook.test"], "not_allowed"),
        ("events", ["user*"], "not_allowed"),
        ("events", ["USER.REGISTERED"], "not_allowed"),
        ("events", ["user.registered", ""], "not_allowed"),
        ("events", ["user.registered"] * 51, "too_long"),
        ("events", ["x" * 61], "too_long"),
        ("description", 1, "wrong_type"),
        ("description", "x" * 201, "too_long"),
        ("description", "a\nb", "invalid"),
        ("enabled", "yes", "wrong_type"),
        ("enabled", 1, "wrong_type"),
        ("secret", "whsec_AAAA", "unknown_field"),
        ("id", NOBODY, "unknown_field"),
        ("status", "active", "unknown_field"),
        ("next_seq", 1, "unknown_field"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_nothing_is_made_or_changed(app: App, boss: Caller, field: str, value: Any, code: str) -> None:
    """422 with the field and why, when a webhook is made and when it is changed; no row, no event."""
    made = make(boss)
    before = actions(app), rows(app, "SELECT * FROM webhooks")
    body = {"url": "http://127.0.0.1:9000/", "events": ONE, field: value}
    body = {name: value for name, value in body.items() if value is not None}
    refused = [boss.call("POST", "/webhooks", body)]
    if value is not None:
        refused.append(boss.call("PUT", f"/webhooks/{made['id']}", {field: value}))
    for answer in refused:
        assert (answer.status, answer.code) == (422, "invalid_request"), answer.body
        assert [(error["field"], error["code"]) for error in answer["errors"]] == [(field, code)]
    assert (actions(app), rows(app, "SELECT * FROM webhooks")) == before


@pytest.mark.parametrize("field", ["url", "events", "description", "enabled"])
def test_nothing_is_emptied_by_null(app: App, boss: Caller, field: str) -> None:
    """PUT with null is refused for the field; the webhook stays as it was."""
    made = make(boss)
    before = boss.get(f"/webhooks/{made['id']}").json()
    answer = boss.call("PUT", f"/webhooks/{made['id']}", {field: None})
    assert (answer.status, [error["field"] for error in answer["errors"]]) == (422, [field])
    assert boss.get(f"/webhooks/{made['id']}").json() == before


@pytest.mark.parametrize("webhook_id", [NOBODY, "whk_x", "x", "usr_" + "0" * 26, "whk_" + "0" * 25 + "%27", "whk_" + "0" * 2_000])
def test_who_is_not_there_is_not_found(app: App, boss: Caller, webhook_id: str) -> None:
    """404 for each act, and nothing is recorded."""
    before = actions(app)
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"description": "x"}),
        ("PUT", "", {"events": ["*"]}),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", None),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
    ):
        assert boss.call(method, f"/webhooks/{webhook_id}{path}", body).status == 404, (method, path)
    for delivery_id in (NOTHING, "dlv_x", webhook_id):
        assert boss.call("POST", f"/deliveries/{delivery_id}/retry").status == 404
    assert actions(app) == before
    assert counts(app, "webhooks", "deliveries") == [0, 0]


def test_secrets_are_for_whoever_signed_in_lately(app: App, boss: Caller, world: FakeWorld) -> None:
    """By a session, making one and renewing its secret need a fresh sign-in; reading, changing and deleting do not."""
    made = make(boss)
    tokens = Client(app).login(ADMIN).json()
    world.advance(600)
    boss.token = Client(app).refresh(tokens["refresh_token"])["access_token"]
    new = {"url": "http://127.0.0.1:9000/", "events": ONE}
    assert boss.call("POST", "/webhooks", new).status == 201
    world.advance(301)
    before = rows(app, "SELECT * FROM webhooks")
    for path, body in (("/webhooks", new), (f"/webhooks/{made['id']}/rotate-secret", None)):
        assert boss.call("POST", path, body).code == "reauthentication_required"
    assert rows(app, "SELECT * FROM webhooks") == before
    assert boss.get("/webhooks").status == 200
    assert boss.call("PUT", f"/webhooks/{made['id']}", {"description": "x"}).status == 200
    assert boss.call("DELETE", f"/webhooks/{made['id']}").status == 204


def test_an_api_key_with_the_cap_may_do_all_of_it(app: App, boss: Caller) -> None:
    """A service makes, renews and deletes its webhooks itself, and the record names the key."""
    key = boss.call("POST", "/keys", {"name": "svc", "caps": ["webhooks:write"]})["key"]
    client = Client(app)
    made = client.post("/webhooks", {"url": "http://127.0.0.1:9000/", "events": ONE}, token=key)
    assert made.status == 201
    renewed = client.post(f"/webhooks/{made['id']}/rotate-secret", token=key)
    assert renewed["secret"] != made["secret"]
    assert client.get("/events", token=key).code == "forbidden"
    assert client.delete(f"/webhooks/{made['id']}", token=key).status == 204
    assert [row["actor_type"] for row in event_rows(app)[-3:]] == ["key"] * 3


def test_nobody_gets_anything_without_a_token(app: App, boss: Caller) -> None:
    """401 for each act, known or not."""
    made = make(boss)
    client = Client(app)
    for method, path in (
        ("GET", "/webhooks"),
        ("POST", "/webhooks"),
        ("GET", f"/webhooks/{made['id']}"),
        ("PUT", f"/webhooks/{NOBODY}"),
        ("DELETE", f"/webhooks/{made['id']}"),
        ("POST", f"/webhooks/{made['id']}/rotate-secret"),
        ("POST", f"/webhooks/{made['id']}/test"),
        ("GET", f"/webhooks/{made['id']}/deliveries"),
        ("POST", f"/deliveries/{NOTHING}/retry"),
        ("GET", "/events"),
    ):
        assert client.call(method, path).status == 401, path
    assert boss.get("/webhooks")["items"][0]["id"] == made["id"]


def test_there_may_be_two_hundred(app: App, boss: Caller) -> None:
    """The next one is a conflict, until one is deleted; all are in one list."""
    made = [make(boss, f"http://127.0.0.1:9000/{number}") for number in range(200)]
    assert boss.call("POST", "/webhooks", {"url": "http://127.0.0.1:9000/", "events": ONE}).code == "conflict"
    assert len(boss.get("/webhooks")["items"]) == 200
    assert actions(app).count("webhook.created") == 200
    boss.call("DELETE", f"/webhooks/{made[0]['id']}")
    make(boss)


def test_deleting_one_takes_its_deliveries_along(app: App, boss: Caller, receiver: Receiver) -> None:
    """They are not there for retry any more; those of others are."""
    first, second = make(boss, receiver.url("/1")), make(boss, receiver.url("/2"))
    Client(app).register("a@mail.com")
    app.deliveries.run_once()
    (mine,) = boss.get(f"/webhooks/{first['id']}/deliveries")["items"]
    (other,) = boss.get(f"/webhooks/{second['id']}/deliveries")["items"]
    boss.call("DELETE", f"/webhooks/{first['id']}")
    assert boss.call("POST", f"/deliveries/{mine['id']}/retry").code == "not_found"
    assert boss.call("POST", f"/deliveries/{other['id']}/retry").status == 202
    assert counts(app, "deliveries") == [1]


def test_a_test_is_listed_from_the_moment_it_is_asked_for(app: App, boss: Caller, receiver: Receiver) -> None:
    """202 with the delivery, waiting; delivered once a worker came by; it carries its own id and is no event of the trail."""
    made = make(boss, receiver.url())
    before = actions(app)
    asked = boss.call("POST", f"/webhooks/{made['id']}/test")
    assert (asked.status, asked["status"], asked["type"], asked["attempts"]) == (202, "waiting", "webhook.test", 0)
    assert boss.get(f"/webhooks/{made['id']}/deliveries")["items"] == [asked.json()]
    app.deliveries.run_once()
    (told,) = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
    assert (told["id"], told["status"], told["attempts"], told["status_code"]) == (asked["id"], "delivered", 1, 200)
    (got,) = receiver.got
    assert (got.id, got.type) == (asked["event_id"], "webhook.test")
    assert json.loads(got.body)["data"] == {"id": got.id}
    assert actions(app) == before
    assert boss.get(f"/webhooks/{made['id']}")["last_success_at"] is None


def test_a_delivery_tells_how_it_went_and_not_what_was_said(app: App, boss: Caller, receiver: Receiver) -> None:
    """Status, code, tries and times; nothing of the answer's body, of the event's content, or of the secret."""
    receiver.behaviour = lambda handler: handler.say(500, {"X-Told": "whisper"}, b"<script>stack trace</script>")
    made = make(boss, receiver.url())
    Client(app).register("a@mail.com")
    app.deliveries.run_once()
    answer = boss.get(f"/webhooks/{made['id']}/deliveries")
    (told,) = answer["items"]
    assert told.keys() == {
        "id",
        "webhook_id",
        "event_id",
        "type",
        "status",
        "attempts",
        "status_code",
        "error",
        "duration_ms",
        "created_at",
        "last_at",
        "delivered_at",
    }
    assert (told["status"], told["error"], told["delivered_at"]) == ("failed", "answered 500", None)
    for secret in ("whisper", "stack trace", "mail.com", made["secret"]):
        assert secret not in answer.body.decode()


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=-1", "cursor=", "cursor=evt_x", "before=1", "limit=1&limit=2"])
def test_a_wrong_page_is_refused(app: App, boss: Caller, query: str) -> None:
    """422, never a list of something else."""
    made = make(boss)
    assert boss.get(f"/webhooks/{made['id']}/deliveries?{query}").status in (400, 422)


def test_turning_one_off_and_on_is_told_by_its_status(app: App, boss: Caller, receiver: Receiver) -> None:
    """Asked for by PUT it is disabled, not failing; what happened meanwhile comes once it is on again."""
    made = make(boss, receiver.url(), enabled=False)
    assert (made["status"], made["enabled"], made["disabled_reason"]) == ("disabled", False, "asked")
    Client(app).register("a@mail.com")
    app.deliveries.run_once()
    assert receiver.got == []
    on = boss.call("PUT", f"/webhooks/{made['id']}", {"enabled": True})
    assert (on["status"], on["disabled_reason"]) == ("active", None)
    app.deliveries.run_once()
    assert receiver.types() == ["user.registered"]


def test_the_path_of_a_url_is_in_no_event_and_no_log(app: App, boss: Caller, world: FakeWorld, receiver: Receiver) -> None:
    """It may hold a secret of the receiver's; whoever may read webhooks sees it, whoever reads the trail does not."""
    receiver.behaviour = says(410)
    made = make(boss, receiver.url("/hook-path?token=hook-token"))
    boss.call("PUT", f"/webhooks/{made['id']}", {"url": receiver.url("/hook-path/2?token=hook-token")})
    Client(app).register("a@mail.com")
    app.deliveries.run_once()
    app.deliveries.run_once()
    boss.call("DELETE", f"/webhooks/{made['id']}")
    assert "webhook.disabled" in actions(app)
    for text in (str(event_rows(app)), "".join(world.lines), str(rows(app, "SELECT payload FROM outbox")), str(boss.get("/events").body)):
        assert "hook-path" not in text
        assert "hook-token" not in text
