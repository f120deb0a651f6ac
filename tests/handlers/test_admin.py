"""POST /user, GET /users and PUT /user/:user_id as an administrator uses them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from authsvc.handlers.listings import sealed
from tests.letterbox import NEW, letters, link, rows, undo_link, use
from tests.staff import ADMIN, Caller, admin, holder
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows

DAY = 86_400
OTHER = "other@mail.com"
NUMBER = "+4915123456789"


@pytest.fixture
def staff(app: App, world: FakeWorld) -> Caller:
    caller = admin(app)
    world.advance(0.001)
    return caller


def made(staff: Caller, email: str, **more: Any) -> dict[str, Any]:
    answer = staff.call("POST", "/user", {"email": email, **more})
    assert answer.status == 201, answer.body
    staff.client.app.core.world.advance(0.001)  # ids of one millisecond have no order
    user: dict[str, Any] = answer.json()
    return user


def found(staff: Caller, query: str = "") -> list[str]:
    """The addresses of all pages."""
    addresses, cursor = [], ""
    while True:
        page = staff.get(f"/users?{query}{cursor}").json()
        addresses += [user["email"] for user in page["items"]]
        if page["next_cursor"] is None:
            return addresses
        cursor = f"&cursor={page['next_cursor']}"


def fields_of(app: App) -> list[tuple[str, Any]]:
    """The newest events: what was done, and the fields that it names."""
    return [(row["action"], json.loads(row["data"]).get("fields")) for row in event_rows(app)]


def test_an_account_is_made_with_all_that_was_said_of_it(app: App, staff: Caller) -> None:
    """201 with the user and an ETag, every given member as given, one event by the maker, and no mail."""
    body = {
        "name": "Ann",
        "picture": "https://example.com/a.png",
        "phone_number": NUMBER,
        "locale": "de",
        "metadata": {"a": 1},
        "app_metadata": {"org": "acme"},
        "email_verified": True,
        "status": "disabled",
    }
    user = made(staff, EMAIL, password=PASSWORD, roles=["admin", "user"], **body)
    assert {name: user[name] for name in body} == body
    assert (user["roles"], user["has_password"], "password" in user) == (["admin", "user"], True, False)
    assert staff.get(f"/user/{user['id']}").json() == user
    event = event_rows(app)[-1]
    assert (event["action"], event["actor_id"], event["subject"]) == ("user.created", staff.id, user["id"])
    assert json.loads(event["data"]) == {"roles": ["admin"]}
    assert letters(app) == []


def test_a_generated_password_is_shown_once(app: App, staff: Caller) -> None:
    """Who gives none gets one that works, in that answer and nowhere else."""
    user = made(staff, EMAIL)
    assert Client(app).login(EMAIL, user["password"]).status == 200
    assert "password" not in staff.get(f"/user/{user['id']}").json()


def test_an_invited_account_has_no_password_until_its_owner_chooses_one(app: App, staff: Caller, world: FakeWorld) -> None:
    """The mail's link counts for seven days, sets the password and proves the address; what the maker set up stays."""
    user = made(staff, EMAIL, phone_number=NUMBER, send_invite=True)
    assert (user["has_password"], user["email_verified"], "password" in user) == (False, False, False)
    assert letters(app) == [("account_made", EMAIL)]
    path = link(app)
    world.advance(7 * DAY - 10)
    assert use(app, path).status == 200
    seen = Client(app).login(EMAIL, "copper-lantern-27")["user"]
    assert (seen["email_verified"], seen["phone_number"]) == (True, NUMBER)
    assert "account.reclaimed" not in actions(app)


def test_mails_go_out_as_asked_for(app: App, staff: Caller) -> None:
    """A welcome, a link to confirm the address, or the invite by its other name; none for an address that is confirmed."""
    made(staff, EMAIL, options={"sendEmail": True, "verifyEmail": True})
    made(staff, OTHER, email_verified=True, options={"verifyEmail": True})
    made(staff, NEW, options={"sendResetEmail": True})
    assert letters(app) == [("verify", EMAIL), ("welcome", EMAIL), ("account_made", NEW)]


def test_an_invite_ends_after_seven_days(app: App, staff: Caller, world: FakeWorld) -> None:
    """After that the owner asks for a reset."""
    made(staff, EMAIL, send_invite=True)
    path = link(app)
    world.advance(7 * DAY + 1)
    assert use(app, path).code == "link_invalid"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"email": ADMIN}, "email_taken"),
        ({"email": EMAIL, "password": PASSWORD, "send_invite": True}, "invalid_request"),
        ({"email": EMAIL, "roles": ["nonsense"]}, "invalid_request"),
        ({"email": EMAIL, "roles": "admin"}, "invalid_request"),
        ({"email": EMAIL, "status": "gone"}, "invalid_request"),
        ({"email": EMAIL, "id": "usr_1"}, "forbidden"),
        ({"email": EMAIL, "invite": "x"}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
def test_what_cannot_be_made_is_not(app: App, staff: Caller, body: Any, code: str) -> None:
    """Refused as a whole: no account, no event, no mail."""
    before = actions(app)
    assert staff.call("POST", "/user", body).code == code
    assert actions(app) == before
    assert rows(app, "SELECT email FROM users") == [{"email": ADMIN}]


def test_roles_by_a_session_need_a_fresh_sign_in(app: App, staff: Caller, world: FakeWorld) -> None:
    """An account without roles may be made all day."""
    world.advance(901)
    staff.token = Client(app).refresh(Client(app).login(ADMIN)["refresh_token"])["access_token"]
    world.advance(899)
    made(staff, EMAIL)
    world.advance(2)
    assert staff.call("POST", "/user", {"email": OTHER, "roles": ["admin"]}).code == "reauthentication_required"


def test_accounts_are_found_by_what_is_known_of_them(app: App, staff: Caller) -> None:
    """By the beginning of the address or name in any case, by a whole id or number, by role and status; never by a wildcard."""
    ann = made(staff, "Ann.Lee@Example.com", name="Zoë Öster")
    made(staff, "bob@example.com", name="ANNABEL", phone_number=NUMBER, status="disabled")
    made(staff, "an_other@example.com")
    assert found(staff, "q=ann") == ["Ann.Lee@Example.com", "bob@example.com"]
    assert found(staff, "q=ANN.LEE@EX") == ["Ann.Lee@Example.com"]
    assert found(staff, "q=zo%C3%AB%20%C3%96") == ["Ann.Lee@Example.com"]
    assert found(staff, f"q={ann['id']}") == ["Ann.Lee@Example.com"]
    assert found(staff, f"q={ann['id']}&status=disabled") == []
    assert found(staff, f"q={ann['id']}&role=admin") == []
    assert found(staff, "q=%2B49%20151%20234%2056789") == ["bob@example.com"]
    assert found(staff, "status=disabled") == ["bob@example.com"]
    assert found(staff, "role=admin") == [ADMIN]
    assert found(staff, "role=admin&status=disabled") == []
    assert found(staff, "q=an&status=active") == ["an_other@example.com", "Ann.Lee@Example.com"]
    assert found(staff, "role=user") == ["an_other@example.com", "bob@example.com", "Ann.Lee@Example.com", ADMIN]
    for q in ("%25", "_", "a%25", "an_o%25", "'", "%5C", "usr_", "%2B1", "nobody"):
        assert found(staff, f"q={q}") == []


def test_a_changed_name_is_found_and_the_former_is_not(app: App, staff: Caller) -> None:
    """The searched form follows every way of setting the name."""
    user = made(staff, EMAIL, name="Ann")
    staff.call("PUT", f"/user/{user['id']}", {"name": "ÉMILE"})
    assert (found(staff, "q=Ann"), found(staff, "q=émi".replace("é", "%C3%A9"))) == ([], [EMAIL])
    staff.call("PUT", f"/user/{user['id']}", {"name": None})
    assert found(staff, "q=%C3%A9mi") == []


def test_accounts_made_after_a_moment_are_found(app: App, staff: Caller, world: FakeWorld) -> None:
    """`created_after` is a moment with its zone; it goes together with all the others."""
    made(staff, "first@mail.com")
    at = staff.get("/users?limit=1")["items"][0]["created_at"]
    world.advance(0.001)
    made(staff, "second@mail.com", status="disabled")
    assert found(staff, f"created_after={at}") == ["second@mail.com"]
    assert found(staff, f"created_after={at}&status=active") == []
    assert found(staff, f"created_after={at}&q=s") == ["second@mail.com"]
    assert found(staff, f"created_after={at}&role=admin") == []
    assert found(staff, "created_after=1970-01-01T00:00:00%2B01:00")[-1] == ADMIN
    for wrong in ("yesterday", "2027-01-15", "2027-01-15T08:00:00", "0", "9999-99-99T00:00:00Z", ""):
        assert staff.get(f"/users?created_after={wrong}").code == "invalid_request"


@pytest.mark.parametrize("query", ["", "q=u", "q=User", "q=%2B4915123456789", "status=active&q=u", "status=disabled", "role=admin"])
def test_pages_come_one_after_the_other_without_a_gap(app: App, staff: Caller, query: str) -> None:
    """However small the pages: each account once, in the order of one big page; also where many are named alike."""
    for number in range(12):
        status = "disabled" if number % 2 else "active"
        more = {"name": "User", "phone_number": NUMBER, "status": status, "roles": ["admin"] if number % 3 else []}
        made(staff, f"u{number:02}@mail.com" if number % 4 else f"x{number:02}@mail.com", password=PASSWORD, **more)
    whole = found(staff, f"{query}&limit=200")
    assert len(whole) == len(set(whole)) >= 6
    for limit in (1, 3):
        assert found(staff, f"{query}&limit={limit}") == whole


@pytest.mark.parametrize(
    "cursor", ["x", "e30", "W10", "!!!!", "W251bGwsMSwyXQ", "WyJpZCIsIiIsIngiXQ", "A" * 2_001, "", "WyJpZCIsIiIsIlx1ZDgwMCJd"]
)
def test_a_malformed_cursor_is_refused(staff: Caller, cursor: str) -> None:
    """422 with the field, whatever it is."""
    answer = staff.get(f"/users?cursor={cursor}")
    assert (answer.status, answer["errors"][0]["field"]) == (422, "cursor")


def test_a_cursor_of_another_search_is_refused(staff: Caller) -> None:
    """A place on another way leads nowhere."""
    assert staff.get(f"/users?cursor={sealed(('name', 'a', staff.id))}").code == "invalid_request"
    assert staff.get(f"/users?q=a&cursor={sealed(('id', '', staff.id))}").code == "invalid_request"
    assert staff.get(f"/users?cursor={sealed(('id', '', staff.id))}").status == 200


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60)
    | st.lists(st.text(max_size=8) | st.none() | st.integers(), max_size=4).map(lambda parts: json.dumps(parts).encode())
)
def test_no_cursor_breaks_anything(staff: Caller, raw: bytes) -> None:
    """Whatever stands in it: a page or 422."""
    import base64

    assert staff.get(f"/users?cursor={base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}").status in (200, 422)


def test_an_administrators_change_counts_at_once(app: App, staff: Caller) -> None:
    """Each field, its event with the names of the fields, and the version that follows."""
    user = made(staff, EMAIL, password=PASSWORD)
    path = f"/user/{user['id']}"
    body = {"app_metadata": {"org": "acme"}, "email_verified": True, "phone_number": NUMBER, "phone_number_verified": True, "name": "Ann"}
    answer = staff.call("PUT", path, body)
    assert {name: answer[name] for name in body} == body
    assert fields_of(app)[-1] == ("user.updated", sorted(body))
    off = staff.call("PUT", path, {"email_verified": False, "phone_number_verified": False})
    assert (off["email_verified"], off["phone_number_verified"], off["phone_number"]) == (False, False, NUMBER)
    assert answer.header("ETag") != off.header("ETag")
    stale = staff.call("PUT", path, {"status": "disabled"}, headers={"If-Match": answer.header("ETag")})
    assert stale.code == "precondition_failed"
    assert staff.get(path)["status"] == "active"


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ({"status": "disabled"}, ("user.disabled", ["status"])),
        ({"roles": ["admin"]}, ("role.changed", None)),
        ({"email": NEW}, ("user.updated", ["email"])),
    ],
)
def test_what_ends_sessions_ends_them(app: App, staff: Caller, body: dict[str, Any], event: tuple[str, Any]) -> None:
    """A changed address, status or role ends the tokens that were made before, and is on record."""
    user = Client(app).register().json()
    assert staff.call("PUT", f"/user/{user['user']['id']}", body).status == 200
    assert fields_of(app)[-1] == event
    assert Client(app).get("/user", token=user["access_token"]).code == "invalid_token"
    if "roles" not in body:
        assert Client(app).refresh(user["refresh_token"]).code == "invalid_token"


def test_enabling_an_account_brings_no_session_back(app: App, staff: Caller) -> None:
    """What disabling ended stays ended: whoever was signed in before signs in anew."""
    user = Client(app).register().json()
    for status in ("disabled", "active"):
        assert staff.call("PUT", f"/user/{user['user']['id']}", {"status": status})["status"] == status
    assert Client(app).refresh(user["refresh_token"]).code == "invalid_token"
    assert Client(app).get("/user", token=user["access_token"]).code == "invalid_token"
    assert Client(app).login().status == 200


def test_an_address_set_by_an_administrator_leaves_no_way_back(app: App, staff: Caller) -> None:
    """At once and unconfirmed; the former address is told, and no link that went there before counts any more."""
    user_id = Client(app).register("old@mail.com")["user"]["id"]
    undo = undo_link(app, EMAIL, "old@mail.com")
    Client(app).post("/login/magic", {"email": EMAIL})
    magic = link(app)
    answer = staff.call("PUT", f"/user/{user_id}", {"email": NEW})
    assert (answer["email"], answer["email_verified"]) == (NEW, False)
    assert letters(app)[-1] == ("email_replaced", EMAIL)
    assert [use(app, path).code for path in (undo, magic)] == ["link_invalid"] * 2
    assert staff.call("PUT", f"/user/{user_id}", {"email": OTHER, "email_verified": True})["email_verified"] is True
    assert staff.call("PUT", f"/user/{user_id}", {"email": ADMIN, "name": "Eve"}).code == "email_taken"
    assert staff.get(f"/user/{user_id}")["name"] is None


def test_a_number_is_proved_for_one_account_only(app: App, staff: Caller) -> None:
    """Another's number is a conflict, and without a number there is nothing to prove."""
    first, second = made(staff, EMAIL), made(staff, OTHER)
    assert staff.call("PUT", f"/user/{first['id']}", {"phone_number": NUMBER, "phone_number_verified": True}).status == 200
    assert staff.call("PUT", f"/user/{second['id']}", {"phone_number": NUMBER, "phone_number_verified": True}).code == "conflict"
    assert staff.call("PUT", f"/user/{second['id']}", {"phone_number_verified": True}).code == "invalid_request"
    assert staff.get(f"/user/{second['id']}")["phone_number"] is None


def test_an_administrators_own_address_waits_for_its_proof(app: App, staff: Caller) -> None:
    """Of one's own account no address changes without the new mailbox."""
    answer = staff.call("PUT", f"/user/{staff.id}", {"email": NEW})
    assert (answer.status, answer["email"]) == (200, ADMIN)
    assert letters(app) == [("email_change", NEW)]


def test_an_administrator_keeps_the_last_admin(app: App, staff: Caller) -> None:
    """Own roles and status follow the rules: the last admin stays, a second one may leave."""
    for body in ({"roles": []}, {"status": "disabled"}, {"roles": ["user"], "name": "x"}):
        assert staff.call("PUT", f"/user/{staff.id}", body).code == "conflict"
    assert staff.get("/user")["name"] is None
    users.change_roles(app.core, Client(app).register()["user"]["id"], CLI, grant=["admin"])
    answer = staff.call("PUT", f"/user/{staff.id}", {"roles": []})
    assert (answer.status, answer["roles"]) == (200, ["user"])


def test_the_lists_beside_a_user_come_when_asked_for(app: App, staff: Caller) -> None:
    """`include` names them; without it the object has its members only."""
    for path in ("/user", f"/user/{staff.id}"):
        plain = staff.get(path).json()
        more = staff.get(f"{path}?include=factors,identities").json()
        assert more == plain | {"factors": [], "identities": []}
        assert staff.get(f"{path}?include=secrets").code == "invalid_request"


def test_the_sessions_of_a_user_are_listed_and_ended(app: App, staff: Caller) -> None:
    """One by one, or all; the records name who did it."""
    user = Client(app).register().json()
    app.core.world.advance(0.001)  # type: ignore[attr-defined]
    second = Client(app).login().json()
    path = f"/user/{user['user']['id']}/sessions"
    reader = holder(app, "users:read")
    assert [item["id"] for item in reader.get(path)["items"]] == [second["session_id"], user["session_id"]]
    assert reader.get(path + "?limit=1")["next_cursor"] == second["session_id"]
    assert reader.call("DELETE", path).code == "forbidden"
    assert staff.call("DELETE", f"{path}/{second['session_id']}").status == 204
    assert staff.call("DELETE", f"{path}/{second['session_id']}").code == "not_found"
    assert staff.call("DELETE", f"{path}/{staff.session_id}").code == "not_found"
    assert Client(app).refresh(second["refresh_token"]).code == "invalid_token"
    assert staff.call("DELETE", path).status == 204
    assert Client(app).get("/user", token=user["access_token"]).code == "invalid_token"
    assert [row["actor_id"] for row in event_rows(app) if row["action"] == "session.revoked"] == [staff.id] * 2
