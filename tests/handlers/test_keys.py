"""/keys: made, shown once, used as a caller, revoked; and what a key may not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.routes import ROUTES
from tests.staff import Caller, admin, holder
from tests.support import Client, FakeWorld, event_rows, running


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world) as app:
        yield app


def make(boss: Caller, *caps: str, **more: Any) -> dict[str, Any]:
    answer = boss.call("POST", "/keys", {"name": "svc", "caps": list(caps), **more})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made


def test_a_key_is_shown_once_and_lies_nowhere(app: App, tmp_path: Path) -> None:
    """The list tells all but the key itself; the database's bytes have it not."""
    boss = admin(app)
    made = make(boss, "users:read")
    assert made["key"].startswith("ak_")
    listed = boss.get("/keys")["items"]
    assert [{**item, "key": made["key"]} for item in listed] == [made]
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.name.startswith("authsvc.db") and file.suffix != ".key")
    assert made["key"].rpartition(".")[2].encode() not in stored
    assert made["id"].encode() in stored


def test_a_key_calls_what_its_caps_open_and_nothing_else(app: App) -> None:
    """A route of a cap that it has; 403 for another cap; `GET /user` is the key itself."""
    boss, client = admin(app), Client(app)
    made = make(boss, "users:read", "users:write")
    assert client.get("/users", token=made["key"]).status == 200
    assert client.get(f"/user/{boss.id}", token=made["key"]).status == 200
    assert client.get("/roles", token=made["key"]).code == "forbidden"
    own = client.get("/user", token=made["key"]).json()
    assert (own["id"], own["caps"], "key" in own) == (made["id"], ["users:read", "users:write"], False)
    created = client.post("/user", {"email": "new@mail.com"}, token=made["key"])
    assert created.status == 201
    row = next(row for row in event_rows(app) if row["action"] == "user.created")
    assert (row["actor_type"], row["actor_id"], row["actor_label"]) == ("key", made["id"], "svc")


def test_a_key_has_no_account(app: App) -> None:
    """Every route for somebody who is signed in refuses a key, whatever its caps; none answers with a fault of ours."""
    boss, client = admin(app), Client(app)
    key = make(boss, "*")["key"]
    for route in ROUTES:
        if route.who.signed_in:
            path = "/".join("x" if segment.startswith(":") else segment for segment in route.path.split("/"))
            answer = client.call(route.method, path, {} if route.body.fields else None, token=key)
            assert answer.status < 500, (path, answer.body)
            if not route.who.keys:
                assert answer.status in (403, 422), (path, answer.body)


def test_a_key_counts_from_its_networks_only_until_it_runs_out_or_is_revoked(app: App, world: FakeWorld) -> None:
    """401 from elsewhere, from the moment of its end on, and at once after it was revoked; revoking twice is revoking once."""
    boss = admin(app)
    until = "2027-01-16T08:00:00Z"
    made = make(boss, "users:read", networks=["192.0.2.0/24", "2001:db8::/32"], expires_at=until)
    assert made["expires_at"] == "2027-01-16T08:00:00.000Z"
    for ip, status in (("192.0.2.9", 200), ("2001:db8::7", 200), ("::ffff:192.0.2.9", 200), ("198.51.100.1", 401), ("unknown", 401)):
        assert Client(app, ip=ip).get("/users", token=made["key"]).status == status, ip
    world.advance(86_400 * 3)
    assert Client(app).get("/users", token=made["key"]).code == "token_expired"
    boss = admin(app, "second@mail.com")
    other = make(boss, "users:read")
    assert [boss.call("DELETE", f"/keys/{other['id']}").status for _ in range(2)] == [204, 204]
    assert Client(app).get("/users", token=other["key"]).code == "invalid_token"
    assert [row["action"] for row in event_rows(app)].count("key.revoked") == 1
    assert boss.call("DELETE", "/keys/key_unknown").status == 404


def test_when_it_was_last_used_is_noted_to_the_minute(app: App, world: FakeWorld) -> None:
    """The first use, and then one a minute at most: a busy key costs no write at each call."""
    boss = admin(app)
    made = make(boss, "users:read")
    began = world.now()
    for seconds, noted in ((0, 0), (59, 0), (1, 60)):
        world.advance(seconds)
        assert Client(app).get("/users", token=made["key"]).status == 200
        with app.core.store.read() as tx:
            row = tx.keys.get(made["id"])
        assert row is not None
        assert row.last_used_at == began + noted * 1000


def test_a_key_is_introspected(app: App) -> None:
    """RFC 7662: its caps are the scope; revoked, it is inactive and nothing else."""
    boss, client = admin(app), Client(app)
    made = make(boss, "users:read", "tokens:introspect")
    seen = client.post("/token/introspect", {"token": made["key"]}, token=made["key"]).json()
    assert (seen["active"], seen["sub"], seen["scope"], seen["token_type"]) == (True, made["id"], "tokens:introspect users:read", "api_key")
    boss.call("DELETE", f"/keys/{made['id']}")
    assert boss.call("POST", "/token/introspect", {"token": made["key"]}).json() == {"active": False}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"caps": ["users:read"]}, "name"),
        ({"name": "x"}, "caps"),
        ({"name": "x", "caps": ["users"]}, "caps"),
        ({"name": "x", "caps": [], "networks": ["10.0.0.1/8"]}, "networks"),
        ({"name": "x", "caps": [], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "caps": [], "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x\n", "caps": []}, "name"),
        ({"name": "x", "caps": [], "id": "key_1"}, "id"),
    ],
)
def test_what_is_no_key_is_refused(app: App, body: dict[str, Any], field: str) -> None:
    """422 with the field; nothing is made."""
    boss = admin(app)
    answer = boss.call("POST", "/keys", body)
    assert (answer.status, answer["errors"][0]["field"].partition(".")[0]) == (422, field)
    assert boss.get("/keys")["items"] == []


def test_making_a_key_needs_a_fresh_sign_in_and_the_cap(app: App, world: FakeWorld) -> None:
    """A stolen old session makes no key."""
    boss, other = admin(app), holder(app, "users:*")
    assert other.call("POST", "/keys", {"name": "x", "caps": []}).code == "forbidden"
    world.advance(901)
    refreshed = Client(app).login("admin@mail.com")
    assert refreshed.status == 200
    assert boss.call("POST", "/keys", {"name": "x", "caps": []}).code in ("reauthentication_required", "token_expired")
