"""DELETE /user/:user_id and GET /user/:user_id/export."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from tests.letterbox import BROWSER, FORM, NEW, counts, letters, mails, rows, use, verify_link
from tests.staff import admin, holder
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows

ORIGIN = {"Origin": "http://127.0.0.1:8000"}
OWN_TABLES = ("users", "user_roles", "sessions", "challenges", "factors", "recovery_batches")


def test_an_owner_deletes_their_account(app: App) -> None:
    """204; every row of it goes, the tokens die, the address is free, and a goodbye is mailed."""
    user = Client(app).register(options={"verifyEmail": True}).json()
    Client(app).post("/login/magic", {"email": EMAIL})
    answer = Client(app).delete(f"/user/{user['user']['id']}", token=user["access_token"])
    assert (answer.status, answer.body) == (204, b"")
    assert counts(app, *OWN_TABLES) == [0] * len(OWN_TABLES)
    assert letters(app) == [("goodbye", EMAIL)]
    assert Client(app).get("/user", token=user["access_token"]).code == "invalid_token"
    assert Client(app).refresh(user["refresh_token"]).code == "invalid_token"
    assert actions(app)[-1] == "user.deleted"
    assert "was deleted" in mails(app)[0]
    assert Client(app).register().status == 201


def test_what_was_asked_for_before_there_was_an_account_goes_too(app: App) -> None:
    """A link and a code that were mailed to the address of the deleted name it, though they belong to no account;
    those of others stay."""
    Client(app).post("/login/magic", {"email": EMAIL})
    Client(app).post("/login/magic", {"email": NEW})
    user = Client(app).register().json()
    assert [row["user_id"] for row in rows(app, "SELECT user_id FROM challenges")] == [None, None]
    assert Client(app).delete(f"/user/{user['user']['id']}", token=user["access_token"]).status == 204
    assert [row["target"] for row in rows(app, "SELECT target FROM challenges")] == [NEW]


def test_deletion_needs_a_fresh_sign_in(app: App, world: FakeWorld) -> None:
    """A session that was left open deletes nothing, neither one's own account nor another's."""
    user, staff = Client(app).register().json(), admin(app)
    world.advance(950)
    for path, email in ((f"/user/{user['user']['id']}", EMAIL), (f"/user/{user['user']['id']}", "admin@mail.com")):
        old = Client(app).refresh(Client(app).login(email)["refresh_token"])
        assert old.status == 200
        world.advance(901)
        fresh = Client(app).refresh(old["refresh_token"])["access_token"]
        assert Client(app).delete(path, token=fresh).code == "reauthentication_required"
        assert Client(app).get(path + "/export", token=fresh).code == "reauthentication_required"
    assert counts(app, "users") == [2]
    assert staff.id


def test_an_administrator_deletes_another(app: App) -> None:
    """With `users:delete`, and with that alone."""
    user_id = Client(app).register()["user"]["id"]
    assert holder(app, "users:write").call("DELETE", f"/user/{user_id}").code == "not_found"
    assert holder(app, "users:delete").call("DELETE", f"/user/{user_id}").status == 204
    assert rows(app, "SELECT id FROM users WHERE id = ?", user_id) == []


def test_the_last_admin_stays(app: App) -> None:
    """409, and nothing is done; a second admin may go."""
    staff = admin(app)
    assert staff.call("DELETE", f"/user/{staff.id}").code == "conflict"
    assert letters(app) == []
    other = admin(app, EMAIL)
    assert staff.call("DELETE", f"/user/{other.id}").status == 204


def test_what_the_trail_keeps_of_a_deleted_account_is_its_id(app: App) -> None:
    """Who it was, from where and with what is erased in every row of theirs; ids, acts and times stay, others' rows too."""
    client = Client(app, ip="198.51.100.7")
    user = client.register().json()
    client.login(password="wrong-one-entirely")
    client.call("PUT", f"/user/{user['user']['id']}", {"name": "Ann"}, token=user["access_token"], headers={"User-Agent": "Curl/9"})
    other = Client(app, ip="203.0.113.9").register("other@mail.com")["user"]["id"]
    before = {row["id"]: row for row in event_rows(app)}
    assert client.delete(f"/user/{user['user']['id']}", token=user["access_token"]).status == 204
    theirs = [row for row in event_rows(app) if user["user"]["id"] in (row["subject"], row["actor_id"])]
    assert [row["action"] for row in theirs] == ["user.registered", "login.failed", "user.updated", "user.deleted"]
    for row in theirs:
        assert {row[name] for name in ("actor_label", "ip", "user_agent", "personal_salt")} == {None}
        kept = ("mac", "personal_mac", "at", "actor_id", "subject", "data")
        assert row["action"] == "user.deleted" or all(row[name] == before[row["id"]][name] for name in kept)
    (kept_row,) = [row for row in event_rows(app) if row["subject"] == other]
    assert kept_row == before[kept_row["id"]]


def test_an_address_taken_back_erases_the_squatter_too(app: App) -> None:
    """The way by which an unproved account gives way to the owner of its address is a deletion like any other."""
    from tests.letterbox import undo_link

    Client(app).register()
    undo = undo_link(app)
    squatter = Client(app, ip="198.51.100.7").register(EMAIL)["user"]["id"]
    assert use(app, undo).status == 200
    gone = [row for row in event_rows(app) if row["subject"] == squatter]
    assert [row["action"] for row in gone] == ["user.registered", "user.deleted"]
    assert {row["ip"] for row in gone} == {None}


def test_the_account_page_deletes_the_account(app: App, world: FakeWorld) -> None:
    """One form, a goodbye page and no cookies left; a session that is old asks who it is first, and nothing is done."""
    client = Client(app, keep_cookies=True)
    user = client.register(options={"setCookie": True})["user"]
    path = f"/user/{user['id']}?_method=DELETE"
    page = client.get("/account", headers=BROWSER).body.decode()
    assert f'action="/user/{user["id"]}?_method=DELETE"' in page
    world.advance(901)
    client.refresh(client.cookies["authsvc_refresh"])
    client.cookies["authsvc_access"] = client.post("/token/refresh", headers=ORIGIN)["access_token"]
    asked = client.post(path, raw=b"", content_type=FORM, headers=BROWSER | ORIGIN, environ={"CONTENT_TYPE": FORM})
    assert (asked.status, b"Is it you?" in asked.body, counts(app, "users")) == (401, True, [1])
    client.post("/reauthenticate", raw=f"password={PASSWORD}".encode(), content_type=FORM, headers=BROWSER | ORIGIN)
    done = client.post(path, raw=b"", headers=BROWSER | ORIGIN, environ={"CONTENT_TYPE": FORM})
    assert (done.status, b"Goodbye" in done.body, counts(app, "users")) == (200, True, [0])
    assert not {"authsvc_access", "authsvc_refresh"} & client.cookies.keys()


def test_an_export_has_everything_and_no_secret(app: App) -> None:
    """The account with its sessions, links, letters and records; no hash, key id or token is in it."""
    client = Client(app)
    user = client.register(name="Ann", metadata={"a": 1}).json()
    verify_link(app)
    export = client.get(f"/user/{user['user']['id']}/export", token=user["access_token"])
    told = export.json()
    assert told["user"] == user["user"]
    assert [session["id"] for session in told["sessions"]] == [user["session_id"]]
    assert [(item["purpose"], item["target"]) for item in told["links_and_codes"]] == [("verify", EMAIL)]
    assert [item["content"]["letter"] for item in told["messages"]] == ["verify"]
    assert [(row["action"], row["ip"]) for row in told["events"]] == [
        ("email.verification_sent", "192.0.2.1"),
        ("user.registered", "192.0.2.1"),
    ]
    assert (told["identities"], told["factors"], told["roles"]) == ([], [], [])
    for secret in ("argon2", '"kid"', '"mac"', "password_hash", user["refresh_token"]):
        assert secret not in export.body.decode()


def test_an_export_shows_a_factor_without_its_secret(app: App, client: Client) -> None:
    """What a factor is called and when it was used; what it is made from stays."""
    import pyotp

    user = client.register().json()
    secret = client.post("/mfa/setup", {"type": "totp"}, token=user["access_token"]).json()
    code = pyotp.TOTP(secret["secret"]).at(app.core.world.now() // 1000)
    assert client.post("/mfa/verify", {"factor_id": secret["factor_id"], "code": code}, token=user["access_token"]).status == 200
    export = client.get(f"/user/{user['user']['id']}/export", token=user["access_token"])
    (factor,) = export["factors"]
    assert (factor["id"], factor["type"], export["recovery_codes_left"]) == (secret["factor_id"], "totp", 10)
    assert secret["secret"] not in export.body.decode()
    assert "nonce" not in export.body.decode()


def test_an_export_keeps_an_administrators_data_to_themselves(app: App) -> None:
    """A record of what another did to the account shows their id, and not their address or whereabouts."""
    user = Client(app).register().json()
    staff = admin(app)
    staff.client.ip = "203.0.113.50"
    staff.call("PUT", f"/user/{user['user']['id']}", {"name": "Ann"})
    row: Any = Client(app).get(f"/user/{user['user']['id']}/export", token=user["access_token"])["events"][0]
    assert (row["action"], row["actor_id"], row["actor_label"], row["ip"]) == ("user.updated", staff.id, None, None)
    assert staff.get(f"/user/{user['user']['id']}/export")["user"]["name"] == "Ann"


def test_the_command_line_deletes_too(app: App) -> None:
    """By the same flow: with erasure, goodbye and the rule of the last admin."""
    from authsvc.flows import removal
    from authsvc.rules.access import EVERYTHING

    user_id = Client(app).register()["user"]["id"]
    users.change_roles(app.core, user_id, CLI, grant=["admin"])
    Client(app).register(NEW)
    with pytest.raises(Exception, match="last admin"):
        removal.delete(app.core, user_id, CLI, EVERYTHING)
    assert json.loads(event_rows(app)[-1]["data"]) != {"reason": None}
