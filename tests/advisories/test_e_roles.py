"""ATTACKS on roles in races and over time: the last admin (A17), a role deleted while it is granted (A18), tokens of a role
that changes meanwhile (E3), one's own role widened (E2), and caps against an independent reading of them."""

from __future__ import annotations

import re
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.rules.access import covers
from tests.letterbox import UNLIMITED, mails
from tests.staff import Caller, admin, holder
from tests.support import PASSWORD, Client, event_rows, running, together

RESOURCES, ACTIONS = ("users", "usersx", "blog"), ("read", "write", "other")
WILD = ["*", *(f"{resource}:*" for resource in RESOURCES)]
CAPS = st.lists(st.sampled_from([*WILD, *(f"{resource}:{action}" for resource in RESOURCES for action in ACTIONS[:2])]), max_size=5)
ACTS: dict[str, Any] = {
    "demote": lambda boss, other: boss.call("PUT", f"/user/{other}", {"roles": []}),
    "disable": lambda boss, other: boss.call("PUT", f"/user/{other}", {"status": "disabled"}),
    "delete": lambda boss, other: boss.call("DELETE", f"/user/{other}"),
}


def opened(caps: list[str]) -> set[tuple[str, str]]:
    """Every single act that these caps open, among a few; `other` stands for all that no cap names, as does `nothing`."""
    whole = {(resource, action) for resource in (*RESOURCES, "nothing") for action in ACTIONS}
    return {(resource, action) for resource, action in whole for cap in caps if cap in ("*", f"{resource}:*", f"{resource}:{action}")}


@given(held=CAPS, wanted=CAPS)
@example(held=["users:*"], wanted=["usersx:read"])
def test_e2_caps_cover_others_exactly_when_they_open_all_that_those_open(held: list[str], wanted: list[str]) -> None:
    """Against sets of single acts: no wildcard opens what its parts do not, and none less."""
    assert covers(held, wanted) == (opened(wanted) <= opened(held))


@pytest.mark.parametrize(("one", "two"), list(combinations_with_replacement(ACTS, 2)))
def test_a17_two_admins_who_end_each_other_at_once_leave_one(tmp_path: Path, one: str, two: str) -> None:
    """By role, status or deletion, in threads through HTTP: one active admin is left, and it is recorded once."""
    with running(tmp_path, **UNLIMITED) as app:
        bosses = admin(app), admin(app, "second@mail.com")
        before = len(event_rows(app))

        ended = together(2, lambda number: ACTS[(one, two)[number]](bosses[number], bosses[1 - number].id).status)

        with app.core.store.read() as tx:
            assert len(tx.users.with_role("admin", 5)) == 1
        # The slower one is refused as an admin who is none any more, or by the rule of the last admin.
        assert sorted(status in (200, 204) for status in ended) == [False, True]
        done = [row["action"] for row in event_rows(app)[before:] if row["outcome"] == "success"]
        assert len([action for action in done if action in ("role.changed", "user.disabled", "user.deleted")]) == 1


def test_a18_a_role_deleted_while_it_is_granted_is_left_to_nobody(tmp_path: Path) -> None:
    """Held by four and granted to eight while it is deleted: a role of that name made later is held by nobody who was not given it anew."""
    with running(tmp_path, **UNLIMITED) as app:
        boss = admin(app)
        boss.call("PUT", "/roles/editor", {"caps": ["blog:read"]})
        people = [Client(app).register(f"p{number}@mail.com")["user"]["id"] for number in range(8)]
        for user_id in people[4:]:
            assert boss.call("PUT", f"/user/{user_id}", {"roles": ["editor"]}).status == 200

        def act(number: int) -> int:
            if number == len(people):
                return boss.call("DELETE", "/roles/editor").status
            return boss.call("PUT", f"/user/{people[number]}", {"roles": ["editor"]}).status

        ended = together(len(people) + 1, act)

        assert ended[-1] == 204
        assert set(ended[:-1]) <= {200, 422}
        boss.call("PUT", "/roles/editor", {"caps": ["users:*", "audit:read"]})
        for user_id in people:
            seen = boss.get(f"/user/{user_id}").json()
            assert (seen["roles"], seen["caps"]) == (["user"], [])


def test_e3_no_token_made_while_a_role_changes_keeps_the_old_caps(tmp_path: Path) -> None:
    """Sign-ins and refreshes race a change: each access token that counts afterwards, whenever it was made, carries the new caps."""
    with running(tmp_path, **UNLIMITED) as app:
        boss, client = admin(app), Client(app)
        boss.call("PUT", "/roles/reader", {"caps": ["users:read"]})
        user_id = client.register("r@mail.com")["user"]["id"]
        boss.call("PUT", f"/user/{user_id}", {"roles": ["reader"]})
        before = [client.login("r@mail.com").json() for _ in range(4)]

        def act(number: int) -> str | None:
            if number == 8:
                assert boss.call("PUT", "/roles/reader", {"caps": ["blog:read"]}).status == 200
                return None
            answer = client.refresh(before[number]["refresh_token"]) if number < 4 else client.login("r@mail.com")
            return answer.json().get("access_token")

        made = [token for token in together(9, act) if token]

        assert len(made) == 8
        for token in [*made, *(tokens["access_token"] for tokens in before)]:
            seen = client.get("/user", token=token)
            assert seen.status == 401 or seen["caps"] == ["blog:read"]
            assert client.get("/users", token=token).status in (401, 403)


def of_role(app: App, boss: Caller, name: str, *caps: str) -> Caller:
    """Somebody whose caps come from a role, and not from a made-up token."""
    assert boss.call("PUT", f"/roles/{name}", {"caps": list(caps)}).status == 201
    email = f"{name}@mail.com"
    user_id = Client(app).register(email)["user"]["id"]
    assert boss.call("PUT", f"/user/{user_id}", {"roles": [name]}).status == 200
    signed_in = Client(app).login(email).json()
    return Caller(Client(app), user_id, signed_in["session_id"], signed_in["access_token"])


def test_e2_nobody_widens_the_role_they_have(app: App) -> None:
    """Not by a wildcard over what they hold, nor by a second role; the role and their caps stay."""
    boss = admin(app)
    staff = of_role(app, boss, "desk", "roles:read", "roles:write", "users:read", "users:write")
    for caps in (["users:*"], ["*"], ["roles:*"], ["users:read", "users:delete"], ["keys:write"]):
        assert staff.call("PUT", "/roles/desk", {"caps": caps}).code == "forbidden", caps
        assert staff.call("PUT", "/roles/second", {"caps": caps}).code == "forbidden", caps
    assert staff.call("PUT", f"/user/{staff.id}", {"roles": ["desk", "admin"]}).code == "forbidden"
    assert [role["name"] for role in boss.get("/roles")["items"]] == ["admin", "user", "desk"]
    assert boss.get(f"/user/{staff.id}")["caps"] == ["roles:read", "roles:write", "users:read", "users:write"]


def test_e2_who_holds_a_custom_role_with_more_is_out_of_reach(app: App) -> None:
    """Caps of a stored role count like an admin's: no address, status, session, factor or deletion by who holds less."""
    boss = admin(app)
    target = of_role(app, boss, "auditor", "audit:read")
    staff = holder(app, "users:read", "users:write", "users:delete")
    for method, path, body in (
        ("PUT", "", {"email": "mine@evil.example"}),
        ("PUT", "", {"status": "disabled"}),
        ("PUT", "", {"roles": []}),
        ("PUT", "", {"name": "Mallory"}),
        ("DELETE", "/factors", None),
        ("DELETE", "/sessions", None),
        ("GET", "/sessions", None),
        ("GET", "/export", None),
        ("DELETE", "", None),
    ):
        assert staff.call(method, f"/user/{target.id}{path}", body).code == "forbidden", (method, path, body)
    assert target.get("/user")["email"] == "auditor@mail.com"
    assert Client(app).login("auditor@mail.com", PASSWORD).status == 200


def test_e2_an_invite_promises_no_more_than_its_role_gave_when_it_was_made_or_its_host_holds_now(app: App) -> None:
    """The role was widened since: who accepts does not get, by somebody who could not grant it, what it gives now."""
    boss = admin(app)
    desk = of_role(app, boss, "desk", "users:write", "blog:read")
    boss.call("PUT", "/roles/guest", {"caps": ["blog:read"]})
    assert desk.call("POST", "/invites", {"email": "guest@mail.com", "roles": ["guest"]}).status == 201

    boss.call("PUT", "/roles/guest", {"caps": ["blog:read", "audit:read"]})

    token = re.findall(r"/register\?invite=(\S+)", mails(app, "guest@mail.com")[-1])[-1]
    answer = Client(app).post("/register", {"email": "guest@mail.com", "password": PASSWORD, "invite": token})
    assert answer.status == 410 or answer["user"]["caps"] == []
