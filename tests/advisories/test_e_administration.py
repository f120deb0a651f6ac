"""ATTACKS on administration: somebody else's ids (E1), more than one holds (E2), mass assignment (A11), the last admin in a
race (A17), what outlives a deletion (A18, E3), and hostile searches (F5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from authsvc.routes import ROUTES, Route
from authsvc.rules.access import holds
from tests.letterbox import UNLIMITED, code, counts, link, mails, rows, state, use
from tests.staff import Caller, admin, holder
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

UNKNOWN = "usr_00000000000000000000000000"
BODIES: dict[str, Any] = {
    "PUT /user/:user_id": {"name": "Mallory"},
    "POST /user": {"email": "new@mail.com"},
    "POST /invites": {"email": "new@mail.com"},
    "POST /token/introspect": {"token": "x"},
}
NEW_PATHS = {
    "/user/:user_id",
    "/user/:user_id/export",
    "/user/:user_id/factors",
    "/user/:user_id/sessions",
    "/user/:user_id/sessions/:session_id",
}
OF_A_USER = [route for route in ROUTES if route.path in NEW_PATHS]
BY_CAP = [route for route in ROUTES if route.who.cap]
ACTS = [route for route in OF_A_USER if route.path != "/user/:user_id" or route.method != "GET"]
OTHER_CAPS = (
    "users",
    "users:",
    "users:x",
    "user:write",
    "user:*",
    "xusers:read",
    "read",
    "roles:*",
    "keys:write",
    "users:read:x",
    "U:*",
    "**",
)


def label(route: Route) -> str:
    return f"{route.method} {route.path}"


def call(caller: Caller, route: Route, user_id: str, session_id: str = "ses_x") -> Answer:
    path = route.path.replace(":user_id", user_id).replace(":session_id", session_id).replace(":invite_id", "chl_x")
    return caller.call(route.method, path, BODIES.get(label(route)))


def same(answer: Answer) -> tuple[int, Any]:
    body = answer.json() if answer.body else {}
    return answer.status, {name: value for name, value in body.items() if name != "request_id"}


@pytest.fixture
def victim(client: Client) -> Any:
    return client.register("victim@mail.com").json()


@pytest.mark.parametrize("route", BY_CAP, ids=label)
def test_e1_without_the_cap_no_id_is_different_from_another(app: App, victim: Any, route: Route) -> None:
    """A stranger, a user and a holder of every other cap learn nothing: foreign and missing ids are one answer, and
    nothing is done."""
    needed = str(route.who.cap)
    others = [cap for cap in ("users:read", "users:write", "users:delete", "tokens:introspect", *OTHER_CAPS) if not holds([cap], needed)]
    nobody, plain, other = Caller(Client(app), "", "", "x"), holder(app), holder(app, *others)
    before = state(app)
    for caller, statuses in ((nobody, {401}), (plain, {403, 404}), (other, {403, 404})):
        foreign = same(call(caller, route, victim["user"]["id"], victim["session_id"]))
        assert foreign == same(call(caller, route, UNKNOWN))
        assert foreign == same(call(caller, route, "usr_'--"))
        assert foreign[0] in statuses
    assert state(app) == before


@pytest.mark.parametrize("route", [route for route in OF_A_USER if route.who.cap], ids=label)
def test_e1_with_the_cap_a_missing_id_is_plainly_missing(app: App, route: Route) -> None:
    """404 for whoever may know, and nothing is written."""
    caller = holder(app, str(route.who.cap))
    before = actions(app)
    assert call(caller, route, UNKNOWN).code == "not_found"
    assert actions(app) == before


@pytest.mark.parametrize("route", ACTS, ids=label)
def test_e2_a_cap_on_accounts_is_no_way_to_an_admins(app: App, route: Route) -> None:
    """Who holds every cap on users and nothing else cannot read the sessions of an admin, nor change, end or delete
    anything of theirs; nor can they who hold a little less than all."""
    boss = admin(app)
    caller = holder(app, "users:*", "roles:*", "keys:*", "audit:*", "tokens:*", "webhooks:*")
    before = state(app)
    answer = call(caller, route, boss.id, boss.session_id)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert state(app) == before
    assert boss.get("/user").status == 200


@pytest.mark.parametrize(
    "body",
    [{"email": "mine@mail.com"}, {"email_verified": False}, {"status": "disabled"}, {"phone_number": "+4915123456789"}, {"roles": []}],
)
def test_e2_an_admins_address_cannot_be_taken_by_a_lesser_cap(app: App, body: Any) -> None:
    """The way from users:write to everything by changing the admin's address and asking for a reset is closed."""
    boss = admin(app)
    caller = holder(app, "users:write")
    before = state(app)
    assert caller.call("PUT", f"/user/{boss.id}", body).code == "forbidden"
    assert state(app) == before


@pytest.mark.parametrize("roles", [["admin"], ["user", "admin"]])
def test_e2_nobody_grants_what_they_do_not_hold(app: App, victim: Any, roles: list[str]) -> None:
    """To another, to themselves, to a new account or by an invite: 403 on every way, and nothing is done."""
    caller = holder(app, "users:*", "users:write", "roles:*")
    before = state(app)
    for method, path, body in (
        ("PUT", f"/user/{victim['user']['id']}", {"roles": roles}),
        ("PUT", f"/user/{caller.id}", {"roles": roles, "name": "x"}),
        ("POST", "/user", {"email": "new@mail.com", "roles": roles}),
        ("POST", "/invites", {"email": "new@mail.com", "roles": roles}),
    ):
        answer = caller.call(method, path, body)
        assert (answer.status, answer.code) == (403, "forbidden"), path
    assert state(app) == before
    assert rows(app, "SELECT * FROM user_roles") == []


def test_e2_an_admins_invite_is_not_taken_back_by_a_lesser_cap(app: App) -> None:
    """What one could not have promised one cannot withdraw."""
    boss = admin(app)
    invite_id = boss.call("POST", "/invites", {"email": EMAIL, "roles": ["admin"]})["id"]
    assert holder(app, "users:write").call("DELETE", f"/invites/{invite_id}").code == "forbidden"
    assert [item["id"] for item in boss.get("/invites")["items"]] == [invite_id]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roles", ["admin"]),
        ("roles", 5),
        ("status", "active"),
        ("status", None),
        ("app_metadata", {"org": "x"}),
        ("email_verified", True),
        ("phone_number_verified", True),
        ("id", "usr_1"),
        ("caps", ["*"]),
        ("mfa_enabled", False),
        ("created_at", 0),
    ],
)
def test_a11_ones_own_account_has_fields_that_are_not_ones_own(app: App, client: Client, name: str, value: Any) -> None:
    """403 whatever the value looks like, and the fields beside it are not set either, in JSON and by a form."""
    user = client.register().json()
    before = state(app)
    own = client.put(f"/user/{user['user']['id']}", {"name": "Mallory", name: value}, token=user["access_token"])
    foreign = client.put(f"/user/{UNKNOWN}", {"name": "Mallory", name: value}, token=user["access_token"])
    assert (own.status, own.code) == (403, "forbidden")
    assert foreign.code in ("forbidden", "not_found")
    form = client.post(
        f"/user/{user['user']['id']}?_method=PUT",
        raw=f"name=Mallory&{name}=admin".encode(),
        content_type="application/x-www-form-urlencoded",
        token=user["access_token"],
    )
    assert form.code == "forbidden"
    assert state(app) == before


@pytest.mark.parametrize("name", ["roles", "app_metadata", "email_verified", "status", "phone_number_verified", "id", "caps"])
def test_a11_registering_sets_nothing_of_an_administrators(app: App, client: Client, name: str) -> None:
    """An invite's roles come from the invite, never from the body."""
    assert client.post("/register", {"email": EMAIL, "password": PASSWORD, name: ["admin"]}).code == "forbidden"
    assert counts(app, "users") == [0]


@pytest.mark.parametrize("way", ["demote", "disable", "delete", "mixed"])
def test_a17_two_admins_who_remove_each_other_leave_one(tmp_path: Path, way: str) -> None:
    """In threads, at once, by any way: one wins, and one admin stays who can sign in."""
    with running(tmp_path, **UNLIMITED) as app:
        pair = [admin(app, f"admin{number}@mail.com") for number in range(2)]
        acts = {"demote": ("PUT", {"roles": []}), "disable": ("PUT", {"status": "disabled"}), "delete": ("DELETE", None)}
        names = list(acts)

        def act(number: int) -> int:
            method, body = acts[names[number % 3] if way == "mixed" else way]
            me, other = pair[number % 2], pair[1 - number % 2]
            return me.call(method, f"/user/{other.id}", body).status

        statuses = together(6, act)
        assert sum(status in (200, 204) for status in statuses) >= 1
        left = rows(app, "SELECT u.email FROM users u JOIN user_roles r ON r.user_id = u.id WHERE r.role = 'admin' AND u.status = 'active'")
        assert len(left) == 1
        assert Client(app).login(left[0]["email"]).status == 200


def test_a17_two_invites_and_a_registration_of_one_address_make_one_account(tmp_path: Path) -> None:
    """However many come at once: one account, one event."""
    with running(tmp_path, **UNLIMITED) as app:
        boss = admin(app)
        boss.call("POST", "/invites", {"email": EMAIL})
        token = next(line for line in mails(app)[-1].splitlines() if "invite=" in line).partition("invite=")[2]
        bodies = [{"email": EMAIL, "password": PASSWORD}, {"email": EMAIL, "password": PASSWORD, "invite": token}]
        answers = together(8, lambda number: Client(app).post("/register", bodies[number % 2]))
        made = [boss.call("POST", "/user", {"email": EMAIL}), *answers]
        assert sum(answer.status == 201 for answer in made) == 1
        assert rows(app, "SELECT count(*) AS n FROM users WHERE email = ?", EMAIL) == [{"n": 1}]
        assert actions(app).count("user.registered") == 2


def test_a18_nothing_of_a_deleted_account_comes_to_its_successor(app: App, client: Client, world: FakeWorld) -> None:
    """The same address again is a stranger: no roles, sessions, factors, links, codes or device of the former account."""
    boss = admin(app)
    old = client.register(phone_number="+4915123456789", metadata={"a": 1}, options={"verifyEmail": True}).json()
    verify, pin = link(app), code(app)
    magic_challenge = client.post("/login/magic", {"email": EMAIL})["challenge_id"]
    magic, magic_pin = link(app), code(app)
    client.post("/password/forgot", {"email": EMAIL})
    reset = link(app)
    client.put(f"/user/{old['user']['id']}", {"email": "next@mail.com"}, token=old["access_token"])
    change = link(app, "next@mail.com")
    device = Client(app, keep_cookies=True)
    device.login()
    boss.call("PUT", f"/user/{old['user']['id']}", {"roles": ["admin"]})
    assert boss.call("DELETE", f"/user/{old['user']['id']}").status == 204
    world.advance(1)
    new = client.register(password="copper-lantern-27").json()
    assert new["user"]["id"] != old["user"]["id"]
    assert (new["user"]["roles"], new["user"]["metadata"], new["user"]["phone_number"], new["user"]["email_verified"]) == (
        ["user"],
        {},
        None,
        False,
    )
    before = state(app)[0]
    assert [use(app, path).code for path in (verify, magic, reset, change)] == ["link_invalid"] * 4
    assert client.post("/otp/verify", {"challenge_id": magic_challenge, "code": magic_pin}).code == "code_invalid"
    assert client.post("/otp/verify", {"email": EMAIL, "code": pin}).code == "code_invalid"
    for token in (old["access_token"], device.cookies["authsvc_access"]):
        assert client.get("/user", token=token).code == "invalid_token"
    assert client.refresh(old["refresh_token"]).code == "invalid_token"
    assert client.login().code == "invalid_credentials"
    assert [session["id"] for session in client.get("/sessions", token=new["access_token"])["items"]] == [new["session_id"]]
    assert client.get(f"/user/{new['user']['id']}/export", token=new["access_token"])["events"][-1]["action"] == "user.registered"
    assert state(app)[0] == before


PERSONAL = ("victim@mail.com", "Victoria", "+4915123456789", "198.51.100.77", "Netscape", "Europe")


def test_a_deleted_persons_data_is_in_no_row_of_any_table(app: App, world: FakeWorld) -> None:
    """Every column of every table is looked through: only the goodbye on its way still names the address, and a week after
    it has gone nothing does."""
    client = Client(app, ip="198.51.100.77")
    body = {"email": "victim@mail.com", "name": "Victoria", "phone_number": "+4915123456789", "metadata": {"zone": "Europe"}}
    agent = {"User-Agent": "Netscape"}
    client.post("/login/magic", {"email": "victim@mail.com"}, headers=agent)
    mails(app, "victim@mail.com")
    world.advance(8 * 86_400)
    user = client.post("/register", body | {"password": PASSWORD, "options": {"verifyEmail": True}}, headers=agent).json()
    client.post("/login", {"email": "victim@mail.com", "password": "wrong-one-entirely"}, headers=agent)
    client.post("/login/magic", {"email": "victim@mail.com"}, headers=agent)
    mails(app, "victim@mail.com")
    assert found(app) >= {("users", "name"), ("events", "ip"), ("sessions", "user_agent"), ("outbox", "payload"), ("challenges", "target")}
    assert client.delete(f"/user/{user['user']['id']}", token=user["access_token"]).status == 204
    assert found(app) <= {("outbox", "target"), ("outbox", "payload"), *ASKED_FOR_BEFORE}
    mails(app, "victim@mail.com")
    world.advance(8 * 86_400)
    Client(app).register(options={"sendEmail": True})
    mails(app)
    assert found(app) <= ASKED_FOR_BEFORE


# Before there was an account nothing belonged to one: such a row has no id to be found by, and goes with the trail's age.
ASKED_FOR_BEFORE = {("events", "actor_label"), ("events", "ip"), ("events", "user_agent")}


def found(app: App) -> set[tuple[str, str]]:
    """The tables and columns in which something of the person stands."""
    places = set()
    for table in [row["name"] for row in rows(app, "SELECT name FROM sqlite_master WHERE type = 'table'")]:
        for row in rows(app, f"SELECT * FROM {table}"):
            places |= {(table, name) for name, value in row.items() if any(word in str(value) for word in PERSONAL)}
    return places


def test_e3_a_deleted_or_disabled_callers_credentials_end_at_once(app: App, victim: Any) -> None:
    """An admin's token dies with the account, on every route that it opened."""
    boss, other = admin(app), admin(app, "second@mail.com")
    assert boss.call("DELETE", f"/user/{other.id}").status == 204
    for route in BY_CAP:
        assert call(other, route, victim["user"]["id"]).code == "invalid_token"
    third = admin(app, "third@mail.com")
    users.set_status(app.core, third.id, "disabled", CLI)
    for route in BY_CAP:
        assert call(third, route, victim["user"]["id"]).code == "invalid_token"


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE users; --", '" OR 1=1', "%", "_", "\\", "*", "?", ":q", "a%' --", "\u202e", "\U0010ffff", "]]", "usr_%"]
)
def test_f5_a_search_is_a_text_and_nothing_else(app: App, victim: Any, text: str) -> None:
    """No spelling of q, role, status or cursor is SQL or a wildcard: nobody is found, or the value is refused."""
    from urllib.parse import quote

    caller = holder(app, "users:read")
    q = caller.get(f"/users?q={quote(text)}")
    assert q.status == 422 or q["items"] == []
    for name in ("role", "status", "cursor", "created_after", "limit"):
        assert caller.get(f"/users?{name}={quote(text)}").code == "invalid_request"
    assert len(caller.get("/users")["items"]) == 2


def test_e5_what_an_administrator_writes_is_data_in_every_record(app: App, victim: Any) -> None:
    """Line breaks in names are refused; what is set stands in no record but by the name of its field."""
    boss = admin(app)
    path = f"/user/{victim['user']['id']}"
    assert boss.call("PUT", path, {"name": "x\ny"}).code == "invalid_request"
    assert boss.call("PUT", path, {"app_metadata": {"note": "=cmd|' /C calc'!A0\n\x1b[2J"}}).status == 200
    assert json.loads(event_rows(app)[-1]["data"]) == {"fields": ["app_metadata"]}
