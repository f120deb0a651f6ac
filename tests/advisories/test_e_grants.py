"""E1 to E3, B3 and A17 on roles and API keys: nobody gets more than somebody who has it gave them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from authsvc.problems import Problem
from tests.staff import Caller, admin, holder
from tests.support import Client, event_rows, running, together


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running(tmp_path) as app:
        yield app


def key_of(boss: Caller, *caps: str) -> str:
    made: str = boss.call("POST", "/keys", {"name": "svc", "caps": list(caps)})["key"]
    return made


@pytest.mark.parametrize("caps", [["*"], ["users:*"], ["audit:read"], ["users:read", "keys:write"]])
def test_e2_nobody_puts_more_into_a_role_or_a_key_than_they_hold(app: App, caps: list[str]) -> None:
    """403 and nothing is made, for a session and for a key alike."""
    boss = admin(app)
    staff = holder(app, "roles:write", "keys:write", "users:read")
    key = key_of(boss, "roles:write", "keys:write", "users:read")
    wanted = [*caps, "users:write"]
    before = len(event_rows(app))
    for call in (staff.call, lambda *given: Client(app).call(*given, token=key)):
        assert call("PUT", "/roles/mine", {"caps": wanted}).code == "forbidden"
        assert call("POST", "/keys", {"name": "x", "caps": wanted}).code == "forbidden"
    assert len(event_rows(app)) == before


def test_e2_a_role_that_holds_more_is_neither_widened_narrowed_nor_deleted(app: App) -> None:
    """Taking away what one does not hold is refused like giving it; what one holds may be changed beside it."""
    boss = admin(app)
    boss.call("PUT", "/roles/strong", {"caps": ["audit:read", "users:read"]})
    staff = holder(app, "roles:write", "users:read")
    assert staff.call("PUT", "/roles/strong", {"caps": ["users:read"]}).code == "forbidden"
    assert staff.call("DELETE", "/roles/strong").code == "forbidden"
    assert staff.call("PUT", "/roles/strong", {"caps": ["audit:read"]}).status == 200


def test_e2_nobody_grants_a_role_with_more_to_themselves_or_others(app: App) -> None:
    """By PUT and POST /user and by invite, with a session and with a key."""
    boss = admin(app)
    boss.call("PUT", "/roles/strong", {"caps": ["audit:read"]})
    staff, key = holder(app, "users:write"), key_of(boss, "users:write")
    other = Client(app).register("other@mail.com")["user"]["id"]
    for call in (staff.call, lambda *given: Client(app).call(*given, token=key)):
        for role in ("strong", "admin"):
            assert call("PUT", f"/user/{other}", {"roles": [role]}).code == "forbidden"
            assert call("POST", "/user", {"email": "x@mail.com", "roles": [role]}).code == "forbidden"
            assert call("POST", "/invites", {"email": "y@mail.com", "roles": [role]}).code == "forbidden"
    assert staff.call("PUT", f"/user/{staff.id}", {"roles": ["admin"]}).code == "forbidden"
    assert boss.get(f"/user/{other}")["roles"] == ["user"]


def test_e2_a_key_with_users_write_takes_over_no_admin(app: App) -> None:
    """Who acts on an account holds all that it may do: no new address, no status, no factor reset, no deletion."""
    boss = admin(app)
    key = key_of(boss, "users:read", "users:write", "users:delete")
    client = Client(app)
    assert client.put(f"/user/{boss.id}", {"email": "mine@evil.example"}, token=key).code == "forbidden"
    assert client.put(f"/user/{boss.id}", {"status": "disabled"}, token=key).code == "forbidden"
    assert client.delete(f"/user/{boss.id}/factors", token=key).code == "forbidden"
    assert client.delete(f"/user/{boss.id}/sessions", token=key).code == "forbidden"
    assert client.delete(f"/user/{boss.id}", token=key).code == "forbidden"
    assert boss.get("/user").status == 200


def test_e2_a_key_of_more_is_not_revoked_by_who_holds_less(app: App) -> None:
    """Revoking is taking away."""
    boss, staff = admin(app), holder(app, "keys:write")
    made = boss.call("POST", "/keys", {"name": "svc", "caps": ["users:read"]}).json()
    assert staff.call("DELETE", f"/keys/{made['id']}").code == "forbidden"
    assert Client(app).get("/users", token=made["key"]).status == 200


def test_b3_a_key_is_no_other_credential_and_no_other_credential_is_a_key(app: App) -> None:
    """Not in a cookie, not as a refresh token, not altered, not with another's MAC; 401 and no trace of why."""
    boss = admin(app)
    key, other = key_of(boss, "*"), key_of(boss, "*")
    client = Client(app)
    assert client.get("/user", headers={"Cookie": f"authsvc_access={key}"}).code == "invalid_token"
    assert client.refresh(key).status == 401
    assert client.post("/token/revoke", {"token": key}).code == "forbidden"
    assert client.get("/user", token=key).status == 200
    spliced = f"{key.partition('.')[0]}.{other.partition('.')[2]}"
    flipped = key[:-2] + ("A" if key[-2] != "A" else "B") + key[-1]
    for hostile in (spliced, flipped, key + "A", key[:-1], key.upper(), "ak_", "ak_x.y", key.replace("ak_", "ak_ak_"), f"{key},{key}"):
        assert client.get("/user", token=hostile).status in (400, 401), hostile


def test_e3_what_a_role_gave_is_gone_with_it(app: App) -> None:
    """Ungranted, or deleted: the access token made before opens nothing any more, and the next one has it not."""
    boss = admin(app)
    boss.call("PUT", "/roles/reader", {"caps": ["users:read"]})
    client = Client(app)
    user_id = client.register("r@mail.com")["user"]["id"]
    boss.call("PUT", f"/user/{user_id}", {"roles": ["reader"]})
    tokens = client.login("r@mail.com").json()
    assert client.get("/users", token=tokens["access_token"]).status == 200
    boss.call("PUT", f"/user/{user_id}", {"roles": []})
    assert client.get("/users", token=tokens["access_token"]).code == "invalid_token"
    assert client.refresh(tokens["refresh_token"])["user"]["caps"] == []


def test_a17_of_two_admins_who_demote_each_other_at_once_one_stays(app: App) -> None:
    """In threads, by role, status and deletion: there is an active admin whatever the order."""
    first, second = admin(app), admin(app, "second@mail.com")
    acts = [
        lambda: users.change_roles(app.core, first.id, CLI, ungrant=["admin"]),
        lambda: users.change_roles(app.core, second.id, CLI, ungrant=["admin"]),
    ]

    def attempt(number: int) -> str:
        try:
            acts[number % 2]()
        except Problem as problem:
            return problem.code
        return "done"

    ended = together(2, attempt)
    assert sorted(ended) == ["conflict", "done"]
    with app.core.store.read() as tx:
        assert len(tx.users.with_role("admin", 5)) == 1


def test_e1_keys_and_roles_of_nobody_and_of_others_look_alike(app: App) -> None:
    """Without the cap, an id that exists and one that does not are the same 403."""
    boss, staff = admin(app), holder(app, "users:read")
    made = boss.call("POST", "/keys", {"name": "svc", "caps": []}).json()
    boss.call("PUT", "/roles/there", {"caps": []})
    for path, unknown in ((f"/keys/{made['id']}", f"/keys/key_{'0' * 26}"), ("/roles/there", "/roles/nowhere")):
        answers = [staff.call("DELETE", one).json() | {"request_id": ""} for one in (path, unknown)]
        assert answers[0] == answers[1]
        assert answers[0]["code"] == "forbidden"
