"""/register, /login, /reauthenticate and /password/change as their callers see them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.primitives import devices
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running

PRODUCTION = {"public_url": "https://auth.example.com", "secret_key": "0123456789abcdef" * 4, "mail": "console:"}
TOKEN_MEMBERS = {"access_token", "token_type", "expires_in", "refresh_token", "session_id", "user"}
FORM = "application/x-www-form-urlencoded"
NEW_PASSWORD = "copper-meadow-27"
COOKIES = ["authsvc_access", "authsvc_device", "authsvc_refresh"]


def fault_codes(answer: Answer) -> list[tuple[str, str]]:
    """The field and code of each entry of `errors`."""
    return [(fault["field"], fault["code"]) for fault in answer["errors"]]


def form(client: Client, path: str, fields: dict[str, str], **headers: str) -> Answer:
    """Post like a page's form."""
    return client.call("POST", path, raw=urlencode(fields).encode(), content_type=FORM, headers=headers)


def cookie_names(answer: Answer) -> list[str]:
    """The names of the cookies that an answer sets."""
    return sorted(value.partition("=")[0] for value in answer.header_list("Set-Cookie"))


def test_registering_answers_with_tokens_and_the_user(client: Client, app: App) -> None:
    """201 with exactly the members of a TokenResponse, one event, and no cookie unless asked for."""
    answer = client.register(name="Ann", locale="pt-BR", phone_number="+14155550100", metadata={"a": [1]})
    assert answer.status == 201
    assert answer.json().keys() == TOKEN_MEMBERS
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 900)
    user = answer["user"]
    assert (user["email"], user["name"], user["locale"], user["phone_number"]) == (EMAIL, "Ann", "pt-BR", "+14155550100")
    assert (user["metadata"], user["roles"], user["caps"], user["status"]) == ({"a": [1]}, ["user"], [], "active")
    assert (user["email_verified"], user["phone_number_verified"], user["has_password"]) == (False, False, True)
    assert cookie_names(answer) == []
    assert actions(app) == ["user.registered"]


def test_an_address_is_kept_as_it_was_written(client: Client) -> None:
    """Letters go out to the spelling that its owner gave; any spelling signs in."""
    assert client.register("Ann.B@Mail.COM")["user"]["email"] == "Ann.B@Mail.COM"
    assert client.login("ann.b@mail.com")["user"]["email"] == "Ann.B@Mail.COM"


def test_the_tokens_of_a_registration_work_at_once(client: Client) -> None:
    """The access token reads the user, the refresh token refreshes."""
    answer = client.register()
    assert client.get("/user", token=answer["access_token"]).json() == answer["user"]
    assert client.refresh(answer["refresh_token"]).status == 200


def test_the_users_own_example_works_on_the_workbench(client: Client) -> None:
    """`password123` is accepted with a warning where the public URL is loopback http, and signs in."""
    answer = client.post("/register", {"email": "example@mail.com", "password": "password123"})
    assert answer.status == 201
    assert [(warning["code"], warning["field"]) for warning in answer["warnings"]] == [("password_weak", "password")]
    assert "password" not in answer.json()
    assert client.post("/login", {"email": "example@mail.com", "password": "password123"}).status == 200


def test_a_good_password_has_no_warnings(client: Client) -> None:
    """`warnings` is there only when there is something to warn of."""
    assert "warnings" not in client.register().json()


@pytest.mark.parametrize("password", ["password123", "aaaaaaaaaa", "example@mail.com", "example12"])
def test_a_weak_password_is_refused_in_production(tmp_path: Path, password: str) -> None:
    """Anywhere but on a workbench it is 422 with `password_weak`, and no account is made."""
    with running(tmp_path, **PRODUCTION) as app:
        client = Client(app)
        answer = client.post("/register", {"email": EMAIL, "password": password})
        assert (answer.status, answer.code, fault_codes(answer)) == (422, "invalid_request", [("password", "password_weak")])
        assert actions(app) == []
        assert client.register().status == 201


def test_a_generated_password_is_told_once_and_works(client: Client) -> None:
    """Without a password one is made, told in this answer only, and signs in."""
    answer = client.register(password=None)
    password = answer["password"]
    assert answer.json().keys() == TOKEN_MEMBERS | {"password"}
    assert re.fullmatch(r"[0-9a-z]{5}(-[0-9a-z]{5}){3}", password)
    login = client.login(password=password)
    assert login.status == 200
    for later in (login, client.get("/user", token=login["access_token"]), client.refresh(login["refresh_token"])):
        assert password.encode() not in later.body


def test_two_generated_passwords_differ(client: Client) -> None:
    """They come from chance, not from the account."""
    assert client.register(password=None)["password"] != client.register("b@mail.com", password=None)["password"]


@pytest.mark.parametrize("spelling", ["example@mail.com", "EXAMPLE@mail.com", "example@MAIL.COM", " example@mail.com "])
def test_a_known_address_is_taken(client: Client, app: App, spelling: str) -> None:
    """409 `email_taken` for every spelling of it; the account stays as it is."""
    before = client.register()["user"]
    answer = client.post("/register", {"email": spelling, "password": NEW_PASSWORD, "name": "Eve"})
    assert (answer.status, answer.code) == (409, "email_taken")
    assert client.login(password=NEW_PASSWORD).status == 401
    assert client.login()["user"]["name"] == before["name"]
    assert actions(app).count("user.registered") == 1


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("email", "required")]),
        ({"email": None}, [("email", "required")]),
        ({"email": 1}, [("email", "wrong_type")]),
        ({"email": "nobody"}, [("email", "invalid")]),
        ({"email": "a" * 300 + "@b.co"}, [("email", "too_long")]),
        ({"email": EMAIL, "password": "short"}, [("password", "too_short")]),
        ({"email": EMAIL, "password": ""}, [("password", "too_short")]),
        ({"email": EMAIL, "password": "x" * 1_025}, [("password", "too_long")]),
        ({"email": EMAIL, "password": 12345678}, [("password", "wrong_type")]),
        ({"email": EMAIL, "passwrod": PASSWORD}, [("passwrod", "unknown_field")]),
        ({"email": EMAIL, "options": {"setcookie": True}}, [("options.setcookie", "unknown_field")]),
        ({"email": EMAIL, "options": {"setCookie": "yes"}}, [("options.setCookie", "wrong_type")]),
        ({"email": EMAIL, "options": []}, [("options", "wrong_type")]),
        ({"email": "x", "name": "", "locale": "??"}, [("email", "invalid"), ("name", "too_short"), ("locale", "invalid")]),
    ],
)
def test_every_wrong_field_of_a_registration_is_named(
    client: Client, app: App, body: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    """422 `invalid_request` tells field and code of all faults at once, and nothing was done."""
    answer = client.post("/register", body)
    assert (answer.status, answer.code, fault_codes(answer)) == (422, "invalid_request", faults)
    assert actions(app) == []


@pytest.mark.parametrize(
    "field", ["id", "roles", "caps", "status", "app_metadata", "email_verified", "phone_number_verified", "created_at", "last_login_at"]
)
def test_what_is_not_the_callers_to_set_is_forbidden(client: Client, app: App, field: str) -> None:
    """A field that exists but is reserved is 403 and nothing of the registration is done."""
    answer = client.post("/register", {"email": EMAIL, "password": PASSWORD, field: ["admin"]})
    assert (answer.status, answer.code) == (403, "forbidden")
    assert client.login().status == 401
    assert "user.registered" not in actions(app)


def test_login_answers_with_tokens_and_sets_cookies(client: Client, app: App) -> None:
    """200 with exactly a TokenResponse; cookies come unless they are declined."""
    client.register()
    answer = client.login()
    assert (answer.status, answer.json().keys()) == (200, TOKEN_MEMBERS)
    assert cookie_names(answer) == COOKIES
    assert actions(app) == ["user.registered", "login.succeeded"]


def test_cookies_hold_the_tokens_of_the_answer(client: Client, app: App, world: FakeWorld) -> None:
    """The cookies are the same tokens, HttpOnly, for as long as each lasts, and what the browser is known by for 180 days;
    on plain http they are not Secure."""
    client.register()
    answer = client.login()
    access, refresh, device = answer.header_list("Set-Cookie")
    assert access == f"authsvc_access={answer['access_token']}; Max-Age=900; Path=/; HttpOnly; SameSite=Lax"
    assert refresh == f"authsvc_refresh={answer['refresh_token']}; Max-Age=2592000; Path=/token; HttpOnly; SameSite=Strict"
    known_by = devices.mint(app.core.keyring.current, answer["user"]["id"], world.now())
    assert device == f"authsvc_device={known_by}; Max-Age=15552000; Path=/login; HttpOnly; SameSite=Lax"
    assert known_by.encode() not in answer.body


def test_cookies_in_production_are_protected_by_their_names(tmp_path: Path) -> None:
    """On https all are Secure and carry the prefixes that browsers enforce."""
    with running(tmp_path, **PRODUCTION) as app:
        client = Client(app)
        answer = client.register(options={"setCookie": True})
        assert cookie_names(answer) == ["__Host-authsvc_access", "__Secure-authsvc_device", "__Secure-authsvc_refresh"]
        assert all(value.endswith("; Secure") for value in answer.header_list("Set-Cookie"))
        cookie = {"Cookie": f"__Host-authsvc_access={answer['access_token']}"}
        assert client.get("/user", headers=cookie).status == 200
        assert client.get("/user", headers={"Cookie": f"authsvc_access={answer['access_token']}"}).status == 401


@pytest.mark.parametrize(("options", "names"), [({}, []), ({"setCookie": False}, []), ({"setCookie": True}, COOKIES)])
def test_registering_sets_cookies_only_when_asked(client: Client, options: dict[str, bool], names: list[str]) -> None:
    """`options.setCookie` is false by default at /register."""
    assert names == cookie_names(client.register(options=options))


def test_login_sets_no_cookie_when_declined(client: Client) -> None:
    """`options.setCookie` is true by default at /login, and false is heard; the word is no boolean, and nobody is signed in."""
    client.register()
    answer = client.login(options={"setCookie": False})
    assert (answer.status, cookie_names(answer)) == (200, [])
    answer = client.login(options={"setCookie": "false"})
    assert (answer.status, cookie_names(answer)) == (422, [])


def test_each_login_opens_its_own_session(client: Client) -> None:
    """Nothing of an earlier sign-in is reused."""
    first, second, third = client.register(), client.login(), client.login()
    assert len({first["session_id"], second["session_id"], third["session_id"]}) == 3
    assert client.get("/user", token=first["access_token"]).status == 200


@pytest.mark.parametrize(
    ("email", "password"), [(EMAIL, "wrong-password-1"), ("unknown@mail.com", PASSWORD), (EMAIL, PASSWORD.upper()), (EMAIL, PASSWORD + " ")]
)
def test_a_failed_login_is_one_answer(client: Client, app: App, email: str, password: str) -> None:
    """401 `invalid_credentials` with a challenge, no cookie, no session, and one failure on record."""
    client.register()
    answer = client.login(email, password)
    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert answer.header("WWW-Authenticate") == 'Bearer realm="authsvc"'
    assert cookie_names(answer) == []
    assert [(row["action"], row["outcome"]) for row in event_rows(app)][1:] == [("login.failed", "failure")]


def test_login_notes_when_the_account_was_used(client: Client, world: FakeWorld) -> None:
    """`last_login_at` is the time of this sign-in, and nothing else of the user changes by it."""
    before = client.register()["user"]
    world.advance(3_600)
    after = client.login()["user"]
    assert after.pop("last_login_at") == "2027-01-15T09:00:00.000Z"
    assert before.pop("last_login_at") == "2027-01-15T08:00:00.000Z"
    assert before == after


def test_a_page_may_post_a_form(client: Client) -> None:
    """The same paths take forms; `options.setCookie` is a member of options."""
    assert form(client, "/register", {"email": EMAIL, "password": PASSWORD, "options.setCookie": "on"}).status == 201
    answer = form(client, "/login", {"email": EMAIL, "password": PASSWORD, "options.setCookie": "off"}, Origin="http://127.0.0.1:8000")
    assert (answer.status, cookie_names(answer)) == (200, [])


def test_a_form_from_a_foreign_site_is_refused(client: Client, app: App) -> None:
    """A foreign page cannot sign its visitor in."""
    client.register()
    answer = form(client, "/login", {"email": EMAIL, "password": PASSWORD}, Origin="https://evil.example")
    assert (answer.status, answer.code) == (403, "csrf_failed")
    assert cookie_names(answer) == []
    assert actions(app) == ["user.registered"]


def test_reauthenticating_renews_the_proof(client: Client, world: FakeWorld, app: App) -> None:
    """The password makes a session fresh again: the same session, new tokens, no cookies for a bearer."""
    first = client.register()
    world.advance(901)
    late = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=first["access_token"])
    assert (late.status, late.code) == (401, "reauthentication_required")
    assert "insufficient_user_authentication" in str(late.header("WWW-Authenticate"))
    answer = client.post("/reauthenticate", {"password": PASSWORD}, token=first["access_token"])
    assert (answer.status, answer.json().keys(), cookie_names(answer)) == (200, TOKEN_MEMBERS, [])
    assert answer["session_id"] == first["session_id"]
    changed = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=answer["access_token"])
    assert changed.status == 200
    assert actions(app) == ["user.registered", "login.succeeded", "password.changed"]


def test_reauthenticating_with_a_wrong_password_renews_nothing(client: Client, world: FakeWorld, app: App) -> None:
    """401 `invalid_credentials`, on record; the session stays, but not fresher than it was."""
    token = client.register()["access_token"]
    world.advance(901)
    answer = client.post("/reauthenticate", {"password": "wrong-password-1"}, token=token)
    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert client.get("/user", token=token).status == 200
    late = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=token)
    assert late.code == "reauthentication_required"
    assert actions(app) == ["user.registered", "login.failed"]


def test_cookie_sessions_get_new_cookies_and_bearers_none(app: App) -> None:
    """Who came by cookie is kept by cookie."""
    client = Client(app, keep_cookies=True)
    client.register(options={"setCookie": True})
    answer = client.post("/reauthenticate", {"password": PASSWORD})
    assert cookie_names(answer) == COOKIES
    changed = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD})
    assert cookie_names(changed) == COOKIES
    assert client.get("/user").status == 200


def test_changing_the_password_ends_the_other_sessions(client: Client, app: App) -> None:
    """The new password counts, the old one does not; other sessions and this one's old token are over at once."""
    other = client.register()
    mine = client.login()
    answer = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=mine["access_token"])
    assert (answer.status, answer.json().keys()) == (200, TOKEN_MEMBERS)
    assert answer["session_id"] == mine["session_id"]
    assert client.get("/user", token=answer["access_token"]).status == 200
    for dead in (other["access_token"], mine["access_token"]):
        assert client.get("/user", token=dead).code == "invalid_token"
    assert client.refresh(other["refresh_token"]).status == 401
    assert client.refresh(answer["refresh_token"]).status == 200
    assert (client.login().status, client.login(password=NEW_PASSWORD).status) == (401, 200)
    assert actions(app).count("password.changed") == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "faults"),
    [
        ({"current_password": "wrong-password-1", "new_password": NEW_PASSWORD}, 401, "invalid_credentials", None),
        ({"new_password": NEW_PASSWORD}, 422, "invalid_request", [("current_password", "required")]),
        ({"current_password": PASSWORD}, 422, "invalid_request", [("new_password", "required")]),
        ({"current_password": PASSWORD, "new_password": "short"}, 422, "invalid_request", [("new_password", "too_short")]),
        ({"current_password": PASSWORD, "new_password": "a\0" * 8}, 422, "invalid_request", [("new_password", "invalid")]),
        ({"current_password": PASSWORD, "new_password": NEW_PASSWORD, "email": "x"}, 422, "invalid_request", [("email", "unknown_field")]),
    ],
)
def test_a_refused_change_of_password_changes_nothing(
    client: Client, app: App, body: dict[str, str], status: int, code: str, faults: list[tuple[str, str]] | None
) -> None:
    """A wrong present password or an unacceptable new one leaves password and sessions alone."""
    token = client.register()["access_token"]
    answer = client.post("/password/change", body, token=token)
    assert (answer.status, answer.code) == (status, code)
    assert faults is None or fault_codes(answer) == faults
    assert client.get("/user", token=token).status == 200
    assert client.login().status == 200
    assert "password.changed" not in actions(app)


def test_a_weak_new_password_is_warned_of_or_refused(client: Client, tmp_path: Path) -> None:
    """The rule of /register holds for a change too, under the field's own name."""
    weak = {"current_password": PASSWORD, "new_password": "password123"}
    answer = client.post("/password/change", weak, token=client.register()["access_token"])
    assert [(warning["code"], warning["field"]) for warning in answer["warnings"]] == [("password_weak", "new_password")]
    (tmp_path / "production").mkdir()
    with running(tmp_path / "production", **PRODUCTION) as app:
        strict = Client(app)
        refused = strict.post("/password/change", weak, token=strict.register()["access_token"])
        assert (refused.status, fault_codes(refused)) == (422, [("new_password", "password_weak")])
        assert strict.login().status == 200


@pytest.mark.parametrize(
    ("path", "body"), [("/reauthenticate", {"password": PASSWORD}), ("/password/change", {"new_password": NEW_PASSWORD})]
)
def test_these_acts_need_a_signed_in_caller(client: Client, app: App, path: str, body: dict[str, str]) -> None:
    """Without credentials 401 `unauthenticated` with a challenge, and nothing on record."""
    answer = client.post(path, body)
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert answer.header("WWW-Authenticate") == 'Bearer realm="authsvc"'
    assert actions(app) == []
