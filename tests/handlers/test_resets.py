"""/password/forgot and /password/reset/:token as their callers see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from tests.letterbox import BROWSER, FORM, JSON_ONLY, NEW_PASSWORD, confirm, letters, link, mails, reset_link, rows, state
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running


def page(client: Client, method: str, path: str, fields: dict[str, str] | None = None) -> Answer:
    raw = urlencode(fields).encode() if fields else None
    return client.call(method, path, raw=raw, content_type=FORM, headers=BROWSER)


@pytest.mark.parametrize("known", [True, False])
def test_asking_is_always_accepted(client: Client, app: App, known: bool) -> None:
    """202 with the same body for everybody; a link goes to an account only, and the old password stays."""
    if known:
        client.register()
    answer = client.post("/password/forgot", {"email": EMAIL})
    assert (answer.status, answer.json(), answer.header_list("Set-Cookie")) == (202, {"status": "sent"}, [])
    assert actions(app)[-1] == "password.reset_requested"
    assert letters(app) == [("reset", EMAIL)]
    assert len(mails(app)) == known
    assert client.login().status == (200 if known else 401)


@pytest.mark.parametrize(
    ("body", "faults"),
    [({}, [("email", "required")]), ({"email": "x"}, [("email", "invalid")]), ({"email": EMAIL, "a": 1}, [("a", "unknown_field")])],
)
def test_a_wrong_asking_is_refused(client: Client, app: App, body: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    """422 names each fault, and nothing is queued."""
    answer = client.post("/password/forgot", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [(fault["field"], fault["code"]) for fault in answer["errors"]] == faults
    assert letters(app) == []


def test_any_spelling_of_the_address_mails_its_owner(client: Client, app: App) -> None:
    """The link opens the account whose key the spelling shares (ATTACKS A9)."""
    client.register()
    client.post("/password/forgot", {"email": EMAIL.upper()})
    assert client.post(link(app, EMAIL.upper()), {"password": NEW_PASSWORD}).status == 200
    assert client.login(password=NEW_PASSWORD).status == 200


@pytest.mark.parametrize("headers", [{}, JSON_ONLY, {"Accept": "*/*"}])
def test_looking_tells_whose_link_it_is_and_until_when(client: Client, app: App, headers: dict[str, str]) -> None:
    """JSON with the half-masked address and the end; as often as one likes, for nothing is spent."""
    client.register()
    path = reset_link(app)
    before = state(app)
    for _ in range(2):
        answer = client.get(path, headers=headers)
        assert answer.status == 200
        assert answer.json() == {"valid": True, "email": "e•••@mail.com", "expires_at": "2027-01-15T08:30:00.000Z"}
    assert state(app) == before


def test_a_browser_is_shown_the_form(client: Client, app: App) -> None:
    """The page posts to its own address, names the account half-masked, and holds no other secret."""
    client.register()
    path = reset_link(app)
    answer = page(client, "GET", path)
    assert (answer.status, answer.header("Content-Type")) == (200, "text/html; charset=utf-8")
    assert "e•••@mail.com" in answer.body.decode()
    assert EMAIL.encode() not in answer.body
    assert b'type="password"' in answer.body


def test_the_link_sets_the_password(client: Client, app: App) -> None:
    """200; sessions end, the address is proved, the owner is told, and nobody is signed in by it."""
    client.register()
    confirm(app)
    old = client.login()
    before = len(event_rows(app))
    answer = client.post(reset_link(app), {"password": NEW_PASSWORD})
    assert (answer.status, answer.json(), answer.header_list("Set-Cookie")) == (200, {"status": "password_reset"}, [])
    assert actions(app)[before:] == ["password.reset_requested", "password.reset"]
    assert letters(app)[-1] == ("password_changed", EMAIL)
    assert client.get("/user", token=old["access_token"]).status == 401
    assert client.refresh(old["refresh_token"]).status == 401
    assert rows(app, "SELECT id FROM sessions WHERE ended_at IS NULL") == []
    assert client.login().status == 401
    assert client.login(password=NEW_PASSWORD)["user"]["email_verified"] is True


def test_a_browser_sets_the_password(client: Client, app: App) -> None:
    """The page says that it is done; a too short one shows the form again, and the link still counts."""
    client.register()
    path = reset_link(app)
    short = page(client, "POST", path, {"password": "short"})
    assert (short.status, short.header("Content-Type")) == (422, "text/html; charset=utf-8")
    assert b'type="password"' in short.body
    answer = page(client, "POST", path, {"password": NEW_PASSWORD})
    assert (answer.status, answer.header_list("Set-Cookie")) == (200, [])
    assert page(client, "POST", path, {"password": NEW_PASSWORD}).status == 410


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("password", "required")),
        ({"password": "short"}, ("password", "too_short")),
        ({"password": 12345678}, ("password", "wrong_type")),
        ({"password": "x" * 1025}, ("password", "too_long")),
        ({"password": NEW_PASSWORD, "email": EMAIL}, ("email", "unknown_field")),
    ],
)
def test_a_password_that_may_not_be_set_spends_nothing(client: Client, app: App, body: dict[str, Any], fault: tuple[str, str]) -> None:
    """422 as at registration; the link is there for a better one."""
    client.register()
    path = reset_link(app)
    before = state(app)
    answer = client.post(path, body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [(found["field"], found["code"]) for found in answer["errors"]] == [fault]
    assert state(app) == before
    assert client.post(path, {"password": NEW_PASSWORD}).status == 200


@pytest.mark.parametrize(("setting", "status"), [("warn", 200), ("refuse", 422)])
@pytest.mark.parametrize("password", ["password123", EMAIL])
def test_a_weak_password_is_warned_of_or_refused(tmp_path: Path, setting: str, status: int, password: str) -> None:
    """As at registration, the account's own address included."""
    with running(tmp_path, password_weak=setting) as app:
        client = Client(app)
        client.register()
        answer = client.post(reset_link(app), {"password": password})
        assert answer.status == status
        found = answer["warnings"] if status == 200 else answer["errors"]
        assert [(fault["field"], fault["code"]) for fault in found] == [("password", "password_weak")]
        assert client.login(password=password).status == (200 if status == 200 else 401)


@pytest.mark.parametrize("seconds", [1_799, 1_800])
def test_the_link_lasts_half_an_hour(client: Client, app: App, world: FakeWorld, seconds: int) -> None:
    """To the second, for looking and for setting."""
    client.register()
    path = reset_link(app)
    world.advance(seconds)
    late = seconds == 1_800
    assert client.get(path).status == (410 if late else 200)
    assert client.post(path, {"password": NEW_PASSWORD}).status == (410 if late else 200)
    assert client.login().status == (200 if late else 401)


def test_a_disabled_account_gets_no_link_and_its_link_no_password(client: Client, app: App) -> None:
    """Nothing is mailed, and a link of before is 410."""
    user_id = client.register()["user"]["id"]
    path = reset_link(app)
    users.set_status(app.core, user_id, "disabled", CLI)
    assert client.post(path, {"password": NEW_PASSWORD}).code == "link_invalid"
    count = len(mails(app))
    assert client.post("/password/forgot", {"email": EMAIL}).status == 202
    assert len(mails(app)) == count
    assert client.login().code == "account_disabled", "the old password stands"


def test_a_set_password_link_lasts_a_day(client: Client, app: App, world: FakeWorld) -> None:
    """What a registration without a password mailed counts for 24 hours at the same path."""
    client.register(password=None, options={"sendResetEmail": True})
    path = link(app)
    assert path.startswith("/password/reset/")
    world.advance(86_399)
    assert client.get(path)["valid"] is True
    assert client.post(path, {"password": PASSWORD}).status == 200
    assert client.login().status == 200
