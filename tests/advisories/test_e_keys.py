"""ATTACKS on API keys beyond their own routes: a key where people are expected (B3, E1), from elsewhere (F4), in a flood,
in a race (E3), and after its secret key is gone."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.routes import ROUTES, Route
from tests.staff import Caller, admin
from tests.support import Client, FakeWorld, actions, event_rows, running, together

DAY = 86_400
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), max_size=80)
# A body that gets past the shape of a route, so that its handler sees who is calling.
BODIES: dict[str, Any] = {
    "POST /email/verify": {},
    "POST /mfa/verify": {"factor_id": "fac_" + "0" * 26, "code": "123456"},
    "POST /authenticator/verify": {"code": "123456"},
    "POST /otp/send": {"channel": "email"},
    "POST /otp/verify": {"code": "123456", "challenge_id": "chl_" + "0" * 26},
}
RECOGNISING = [route for route in ROUTES if route.who.known]


def label(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route) -> str:
    return "/".join("x" if part.startswith(":") else part for part in route.path.split("/"))


def make(boss: Caller, *caps: str, **more: Any) -> dict[str, Any]:
    answer = boss.call("POST", "/keys", {"name": "svc", "caps": list(caps), **more})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize("caps", [["*"], []], ids=["every cap", "no cap"])
def test_e1_a_key_on_any_route_is_answered_and_never_a_fault(tmp_path: Path, caps: list[str], accept: str) -> None:
    """Whatever the route expects, a key with all caps or with none gets an answer that the contract knows, as data or page."""
    with running(tmp_path, delivery="off") as app:
        key = make(admin(app), *caps)["key"]
        faults = []
        for route in ROUTES:
            body = BODIES.get(label(route), {} if route.body.fields else None)
            answer = Client(app).call(route.method, path_of(route), body, token=key, headers={"Accept": accept})
            if answer.status >= 500:
                faults.append((label(route), answer.status))
        assert faults == []


@pytest.mark.parametrize("route", RECOGNISING, ids=label)
def test_b3_a_key_is_nobody_where_a_user_may_be_recognised(app: App, route: Route) -> None:
    """Routes that know their caller, if there is one, refuse a key by a 4xx and change nothing by it."""
    key = make(admin(app), "*")["key"]
    before = len(event_rows(app))

    answer = Client(app).call(route.method, path_of(route), BODIES.get(label(route)), token=key)

    assert 400 <= answer.status < 500, answer.body
    assert [row["actor_type"] for row in event_rows(app)[before:] if row["actor_type"] in ("key", "user")] == []


def test_b7_a_key_spliced_altered_or_of_another_id_is_none(app: App) -> None:
    """Neither another key's MAC nor one changed character is let in, whatever the row allows."""
    boss = admin(app)
    one, two = make(boss, "users:read")["key"], make(boss, "*")["key"]
    front, mac = one.split(".")
    swapped = mac[:7] + ("A" if mac[7] != "A" else "B") + mac[8:]
    for hostile in (f"{front}.{two.split('.')[1]}", f"{two.split('.')[0]}.{mac}", f"{front}.{swapped}", f"{front}.{'A' * 43}"):
        assert Client(app).get("/users", token=hostile).code == "invalid_token"
    assert Client(app).get("/users", token=one).status == 200


def test_f4_a_forwarding_header_brings_no_key_into_its_network(app: App) -> None:
    """Without a declared proxy only the peer's own address counts."""
    key = make(admin(app), "users:read", networks=["10.0.0.0/8"])["key"]
    outside = Client(app, ip="198.51.100.7")
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        value = "for=10.0.0.1" if name == "Forwarded" else "10.0.0.1"
        assert outside.get("/users", token=key, headers={name: value}).code == "invalid_token"
    assert Client(app, ip="10.9.9.9").get("/users", token=key).status == 200


def test_a_flood_by_one_key_slows_that_key_alone_wherever_it_comes_from(tmp_path: Path) -> None:
    """The bucket is the key's: its neighbour on the same network goes on, and another network does not help it."""
    with running(tmp_path, limit_admin="5/3600s") as app:
        boss = admin(app)
        loud, quiet = make(boss, "users:read")["key"], make(boss, "users:read")["key"]
        statuses = [Client(app).get("/users", token=loud).status for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        assert Client(app, ip="203.0.113.5").get("/users", token=loud).status == 429
        assert Client(app).get("/users", token=quiet).status == 200


def test_e3_of_many_revocations_at_once_one_is_recorded_and_no_later_call_passes(app: App) -> None:
    """Eight threads revoke while eight call: whoever calls after a 204 is refused."""
    boss = admin(app)
    made = make(boss, "users:read")

    def act(number: int) -> int:
        if number % 2:
            return Client(app).get("/users", token=made["key"]).status
        assert boss.call("DELETE", f"/keys/{made['id']}").status == 204
        return Client(app).get("/users", token=made["key"]).status

    ended = together(16, act)

    assert {ended[number] for number in range(0, 16, 2)} == {401}
    assert set(ended) <= {200, 401}
    assert actions(app).count("key.revoked") == 1


def test_e3_a_revoked_key_stays_in_the_list_for_a_month_and_then_goes(app: App, world: FakeWorld) -> None:
    """Housekeeping forgets it; one that counts stays, and its use goes on."""
    boss = admin(app)
    gone = make(boss, "users:read")
    world.advance(1)
    kept = make(boss, "users:read")
    boss.call("DELETE", f"/keys/{gone['id']}")
    assert [item["id"] for item in boss.get("/keys")["items"]] == [kept["id"], gone["id"]]

    world.advance(31 * DAY)
    while app.deliveries.housekeeping.run_once():
        pass

    boss = admin(app, "later@mail.com")
    assert [item["id"] for item in boss.get("/keys")["items"]] == [kept["id"]]
    assert Client(app).get("/users", token=gone["key"]).code == "invalid_token"
    assert Client(app).get("/users", token=kept["key"]).status == 200


def test_a_key_ends_at_its_very_time_and_not_before(app: App, world: FakeWorld) -> None:
    """A millisecond before it counts; from that time on it is token_expired."""
    made = make(admin(app), "users:read", expires_at="2027-01-15T08:00:10Z")
    world.advance(9.999)
    assert Client(app).get("/users", token=made["key"]).status == 200
    world.advance(0.001)
    assert Client(app).get("/users", token=made["key"]).code == "token_expired"


def test_f8_a_key_lives_as_long_as_the_secret_key_it_was_made_under(tmp_path: Path) -> None:
    """Under the previous secret it goes on; once that is gone it is no key of ours."""
    old, new = sha256(b"old").hexdigest(), sha256(b"new").hexdigest()
    with running(tmp_path, secret_key=old) as app:
        key = make(admin(app), "users:read")["key"]
    with running(tmp_path, secret_key=new, secret_key_previous=old) as app:
        assert Client(app).get("/users", token=key).status == 200
        assert make(admin(app, "second@mail.com"), "users:read")["key"] != key
    with running(tmp_path, secret_key=new) as app:
        assert Client(app).get("/users", token=key).code == "invalid_token"


def test_e1_the_list_of_keys_is_read_by_pages_and_takes_no_other_cursor(app: App, world: FakeWorld) -> None:
    """Newest first, each once; another kind of id, or none, is 422."""
    boss = admin(app)
    made = []
    for _ in range(5):
        made.append(make(boss, "a:b")["id"])
        world.advance(1)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = boss.get(f"/keys?limit=2{cursor and '&cursor=' + cursor}").json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    for hostile in (boss.id, "key_", "~", "key_' OR 1=1"):
        assert boss.get(f"/keys?cursor={hostile}").status == 422


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tail=TEXTS)
def test_b7_no_text_behind_the_prefix_is_a_key_or_a_fault(app: App, tail: str) -> None:
    """Cut, extended, odd or empty: refused as any bad credential."""
    assert Client(app).get("/user", token=f"ak_{tail}").status in (400, 401, 429)
