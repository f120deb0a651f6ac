"""/roles: made, changed, granted and deleted, and that each change counts at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.app import App
from tests.staff import admin, holder
from tests.support import Client, event_rows, running

CAPS = ["blog:write", "blog:read"]


@pytest.fixture
def app(tmp_path: Path) -> App:
    with running(tmp_path) as app:
        yield app


def test_a_role_is_made_listed_changed_and_deleted(app: App) -> None:
    """201, then 200; the built-in ones are listed too; each change is on record with the caps before and after."""
    boss = admin(app)
    made = boss.call("PUT", "/roles/editor", {"caps": CAPS, "description": "Writes."})
    assert (made.status, made["caps"], made["built_in"]) == (201, sorted(CAPS), False)
    changed = boss.call("PUT", "/roles/editor", {"caps": ["blog:read"]})
    assert (changed.status, changed["caps"], changed["description"]) == (200, ["blog:read"], "Writes.")
    assert [role["name"] for role in boss.get("/roles")["items"]] == ["admin", "user", "editor"]
    assert boss.call("DELETE", "/roles/editor").status == 204
    assert boss.call("DELETE", "/roles/editor").status == 404
    recorded = [(row["action"], row["subject"], row["data"]) for row in event_rows(app) if row["action"].startswith("role.")][1:]
    assert recorded == [
        ("role.created", "editor", '{"after":["blog:read","blog:write"],"before":[]}'),
        ("role.updated", "editor", '{"after":["blog:read"],"before":["blog:read","blog:write"]}'),
        ("role.deleted", "editor", '{"before":["blog:read"]}'),
    ]


def test_the_tokens_of_a_holder_carry_the_caps_and_a_change_counts_at_once(app: App) -> None:
    """An access token made before the change is refused; the next one has the new caps. A new description changes nothing."""
    boss, client = admin(app), Client(app)
    boss.call("PUT", "/roles/editor", {"caps": ["users:read"]})
    user = client.register("ed@mail.com").json()
    assert boss.call("PUT", f"/user/{user['user']['id']}", {"roles": ["editor"]}).status == 200
    tokens = client.login("ed@mail.com").json()
    assert tokens["user"]["caps"] == ["users:read"]
    assert client.get("/users", token=tokens["access_token"]).status == 200
    boss.call("PUT", "/roles/editor", {"caps": ["users:read"], "description": "Reads."})
    assert client.get("/users", token=tokens["access_token"]).status == 200
    boss.call("PUT", "/roles/editor", {"caps": ["blog:read"]})
    assert client.get("/users", token=tokens["access_token"]).code == "invalid_token"
    renewed = client.refresh(tokens["refresh_token"]).json()
    assert renewed["user"]["caps"] == ["blog:read"]
    assert client.get("/users", token=renewed["access_token"]).code == "forbidden"
    boss.call("DELETE", "/roles/editor")
    assert client.get("/user", token=renewed["access_token"]).code == "invalid_token"
    assert client.refresh(renewed["refresh_token"])["user"]["roles"] == ["user"]


@pytest.mark.parametrize("name", ["admin", "user"])
def test_a_built_in_role_stays_as_it_is(app: App, name: str) -> None:
    """409, and nothing is done."""
    boss = admin(app)
    before = len(event_rows(app))
    assert boss.call("PUT", f"/roles/{name}", {"caps": ["a:b"]}).code == "conflict"
    assert boss.call("DELETE", f"/roles/{name}").code == "conflict"
    assert len(event_rows(app)) == before


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/roles/Bad%20Name", {"caps": []}, "name"),
        ("/roles/x", {"caps": ["nope"]}, "caps"),
        ("/roles/x", {"caps": [1]}, "caps"),
        ("/roles/x", {"caps": "users:read"}, "caps"),
        ("/roles/x", {"caps": [f"a:{number}" for number in range(51)]}, "caps"),
        ("/roles/x", {}, "caps"),
        ("/roles/x", {"caps": [], "built_in": True}, "built_in"),
    ],
)
def test_what_is_no_role_is_refused(app: App, path: str, body: dict[str, object], field: str) -> None:
    """422 with the field; nothing is made."""
    boss = admin(app)
    answer = boss.call("PUT", path.replace("%20", " "), body)
    assert (answer.status, answer["errors"][0]["field"].partition(".")[0]) == (422, field)
    assert len(boss.get("/roles")["items"]) == 2


def test_reading_and_writing_roles_are_caps_of_their_own(app: App) -> None:
    """A reader may not write, nor a stranger read."""
    reader, nobody = holder(app, "roles:read"), holder(app)
    assert reader.get("/roles").status == 200
    assert reader.call("PUT", "/roles/x", {"caps": []}).code == "forbidden"
    assert nobody.get("/roles").code == "forbidden"
    assert Client(app).get("/roles").status == 401
