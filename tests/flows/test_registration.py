"""New accounts: the mails they ask for, and what the settings that want a confirmed address make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.flows import sessions, users
from authsvc.problems import Problem
from tests.letterbox import BROWSER, JSON_ONLY, NEW_PASSWORD, UNLIMITED, counts, letters, link, magic_link, mails, reset_link, rows, use
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

REQUIRED = {"email_verification": "required"}
HIDE = {"enumeration": "hide"}
MODES = pytest.mark.parametrize("mode", [REQUIRED, HIDE, REQUIRED | HIDE], ids=["required", "hide", "both"])


def register(app: App, email: str = EMAIL, password: str | None = PASSWORD, **more: Any) -> Answer:
    body = {"email": email, **more} | ({} if password is None else {"password": password})
    return Client(app).post("/register", body)


@pytest.mark.parametrize(
    ("options", "password", "expected"),
    [
        ({}, PASSWORD, []),
        ({}, None, []),
        ({"sendEmail": True}, PASSWORD, ["welcome"]),
        ({"verifyEmail": True}, PASSWORD, ["verify"]),
        ({"sendResetEmail": True}, None, ["set_password"]),
        ({"sendResetEmail": True}, PASSWORD, []),
        ({"sendEmail": True, "verifyEmail": True, "sendResetEmail": True}, None, ["set_password", "verify", "welcome"]),
        ({"sendEmail": False, "verifyEmail": False, "sendResetEmail": False}, None, []),
    ],
)
def test_each_option_sends_its_letter(app: App, options: dict[str, bool], password: str | None, expected: list[str]) -> None:
    """To the address, once each; nothing that was not asked for. Whoever chooses a password by mail is not told one."""
    answer = register(app, password=password, options=options)
    assert answer.status == 201
    assert letters(app) == [(letter, EMAIL) for letter in expected]
    generated = password is None and not options.get("sendResetEmail")
    assert ("password" in answer.json()) is generated
    assert answer["user"]["has_password"] is (password is not None or generated)
    assert actions(app) == ["user.registered"]
    assert len(mails(app)) == len(expected)
    assert Client(app).get("/user", token=answer["access_token"]).status == 200


def test_a_password_chosen_by_mail_is_the_first(app: App) -> None:
    """The link sets it and confirms the address; before, nothing signs in."""
    register(app, password=None, options={"sendResetEmail": True})
    assert Client(app).login(password="").status == 401
    assert use(app, link(app)).status == 200
    user = Client(app).login(password=NEW_PASSWORD)["user"]
    assert (user["has_password"], user["email_verified"]) == (True, True)


def test_a_verification_at_registration_confirms(app: App) -> None:
    """Its link is one like any other."""
    register(app, options={"verifyEmail": True})
    assert use(app, link(app))["user"]["email_verified"] is True
    assert Client(app).login().status == 200


@pytest.mark.parametrize("options", [{"sendEmail": True}, {"verifyEmail": True}, {"sendResetEmail": True}])
def test_a_taken_address_is_not_mailed(app: App, options: dict[str, bool]) -> None:
    """Under `reveal` 409 says enough."""
    register(app)
    assert register(app, password=None, options=options).code == "email_taken"
    assert letters(app) == []


def test_the_letters_of_a_registration_count_for_the_limit_of_the_address(tmp_path: Path) -> None:
    """A registration is no way to mail a stranger more often (ATTACKS C13); the account is made all the same."""
    with running(tmp_path, limit_mail_address="1/3600s") as app:
        answer = register(app, options={"sendEmail": True, "verifyEmail": True})
        assert answer.status == 201
        assert letters(app) == [("verify", EMAIL)]
        assert actions(app) == ["user.registered", "limit.hit"]


def test_letters_are_in_the_accounts_language(app: App) -> None:
    """Its own locale before the browser's, which stands in where it has none."""
    german = {"Accept-Language": "de"}
    Client(app).post("/register", {"email": EMAIL, "password": PASSWORD, "options": {"verifyEmail": True}}, headers=german)
    Client(app).post(
        "/register", {"email": "b@mail.com", "password": PASSWORD, "locale": "en", "options": {"verifyEmail": True}}, headers=german
    )
    assert "Code" in mails(app)[0]
    assert "Please confirm" not in mails(app)[0]
    assert "Please confirm" in mails(app, "b@mail.com")[0]


@MODES
def test_registering_signs_nobody_in(tmp_path: Path, mode: dict[str, str]) -> None:
    """The same 202 for a free and a taken address, without tokens or cookies, whatever was asked for."""
    with running(tmp_path, **mode, **UNLIMITED) as app:
        for options in ({}, {"setCookie": True, "sendEmail": True, "verifyEmail": True}):
            answers = [register(app, options=options, name="Ann") for _ in range(2)]
            for answer in answers:
                assert (answer.status, answer.json()) == (202, {"status": "verification_sent"})
                assert answer.header_list("Set-Cookie") == []
        assert counts(app, "users", "sessions") == [1, 0]
        assert letters(app) == [("verify", EMAIL)] + [("already_registered", EMAIL)] * 3
        assert actions(app) == ["user.registered"] * 4
        assert [(row["outcome"], row["data"]) for row in event_rows(app)[:2]] == [("success", "{}"), ("failure", '{"reason":"taken"}')]


@MODES
def test_nobody_is_in_before_the_address_is_confirmed(tmp_path: Path, mode: dict[str, str]) -> None:
    """The right password is told so, or under `hide` is nothing but wrong; once confirmed it signs in."""
    with running(tmp_path, **mode, **UNLIMITED) as app:
        register(app)
        early = Client(app).login()
        hidden = "enumeration" in mode
        assert (early.status, early.code) == ((401, "invalid_credentials") if hidden else (403, "email_not_verified"))
        assert early.header_list("Set-Cookie") == []
        assert Client(app).login(password=NEW_PASSWORD).code == "invalid_credentials"
        assert event_rows(app)[1]["data"] == '{"reason":"unverified"}'
        page = Client(app).post("/login", {"email": EMAIL, "password": PASSWORD}, headers=BROWSER)
        assert (page.status, page.header_list("Set-Cookie")) == (early.status, [])
        assert counts(app, "sessions") == [0]
        confirmed = use(app, link(app))
        assert (confirmed.status, confirmed.header_list("Set-Cookie")) == (200, [])
        assert counts(app, "sessions") == [0], "confirming is no sign-in"
        assert Client(app).login()["user"]["email_verified"] is True


@MODES
def test_every_other_way_in_proves_the_address(tmp_path: Path, mode: dict[str, str]) -> None:
    """A magic link signs in, and a reset lets the new password in: both confirm."""
    with running(tmp_path, **mode, **UNLIMITED) as app:
        register(app)
        assert Client(app).get(magic_link(app), headers=JSON_ONLY)["user"]["email_verified"] is True
        register(app, "b@mail.com")
        assert use(app, reset_link(app, "b@mail.com")).status == 200
        assert Client(app).login("b@mail.com", NEW_PASSWORD).status == 200


@MODES
def test_the_one_door_lets_no_unconfirmed_account_in(tmp_path: Path, mode: dict[str, str]) -> None:
    """open_session refuses, whoever calls it."""
    with running(tmp_path, **mode) as app:
        register(app)
        (row,) = rows(app, "SELECT id FROM users")
        user = users.find(app.core, row["id"]).user
        from authsvc.events import Cause

        with pytest.raises(Problem) as caught, app.core.store.write() as tx:
            sessions.open_session(tx, app.core, user, ["pwd"], Cause())
        assert caught.value.code == "email_not_verified"
        assert counts(app, "sessions") == [0]


@MODES
def test_a_session_from_before_the_setting_is_not_renewed(tmp_path: Path, world: FakeWorld, mode: dict[str, str]) -> None:
    """An unconfirmed account that was let in earlier is not kept in; a confirmed one is."""
    with running(tmp_path, world) as app:
        open_one, confirmed = register(app), register(app, "b@mail.com")
        Client(app).post("/email/verify", {"email": "b@mail.com"})
        assert use(app, link(app, "b@mail.com")).status == 200
    with running(tmp_path, world, **mode) as app:
        assert Client(app).refresh(open_one["refresh_token"]).code == "invalid_token"
        assert Client(app).refresh(confirmed["refresh_token"]).status == 200


@MODES
@pytest.mark.parametrize("weak", ["refuse", "warn"])
def test_the_rules_of_passwords_are_told_equally(tmp_path: Path, mode: dict[str, str], weak: str) -> None:
    """What may not be set is 422 whether or not there is an account, and nothing is written; a warning is told to neither."""
    with running(tmp_path, **mode, password_weak=weak, **UNLIMITED) as app:
        register(app, password="violet-harbour-91")
        before = counts(app, "users", "challenges", "outbox", "events")
        for password in ("short", "password123"):
            answers = [register(app, email, password) for email in (EMAIL, "free@mail.com")]
            told = [(answer.status, [(f["field"], f["code"]) for f in answer.json().get("errors", [])]) for answer in answers]
            assert told[0] == told[1]
            assert told[0][0] == (202 if weak == "warn" and password == "password123" else 422)
            assert "warnings" not in answers[0].json()
        if weak == "refuse":
            assert counts(app, "users", "challenges", "outbox", "events") == before


@MODES
def test_the_owner_of_an_address_loses_nothing_by_anothers_registration(tmp_path: Path, mode: dict[str, str]) -> None:
    """Their row stays as it is, their password too, and the letter has no link that could be used."""
    with running(tmp_path, **mode, **UNLIMITED) as app:
        register(app)
        use(app, link(app))
        session = Client(app).login()
        before = rows(app, "SELECT * FROM users")
        assert register(app, password=NEW_PASSWORD, name="Eve", phone_number="+14155550100").status == 202
        assert rows(app, "SELECT * FROM users") == before
        assert letters(app)[-1] == ("already_registered", EMAIL)
        assert "http://127.0.0.1:8000/login\n" in mails(app)[-1]
        assert "/email/verify/" not in mails(app)[-1]
        assert Client(app).login(password=NEW_PASSWORD).status == 401
        assert Client(app).get("/user", token=session["access_token"]).status == 200


@MODES
def test_a_registration_without_a_password_is_finished_by_mail(tmp_path: Path, mode: dict[str, str]) -> None:
    """With `sendResetEmail` the letter sets the password; without, it confirms, and nobody is told a password."""
    with running(tmp_path, **mode, **UNLIMITED) as app:
        assert register(app, password=None, options={"sendResetEmail": True}).json() == {"status": "verification_sent"}
        assert register(app, "b@mail.com", None).json() == {"status": "verification_sent"}
        assert letters(app) == [("set_password", EMAIL), ("verify", "b@mail.com")]
        assert use(app, link(app)).status == 200
        assert Client(app).login(password=NEW_PASSWORD).status == 200


@MODES
def test_two_registrations_at_once_make_one_account(tmp_path: Path, mode: dict[str, str]) -> None:
    """Ten at once: all 202, one account, one letter to confirm and nine that tell of it (ATTACKS A17)."""
    with running(tmp_path, **mode, **UNLIMITED) as app:
        answers = together(10, lambda number: register(app, password=f"violet-harbour-{number}"))
        assert {answer.status for answer in answers} <= {202, 503}
        done = sum(answer.status == 202 for answer in answers)
        assert counts(app, "users", "sessions") == [1, 0]
        assert sorted(letter for letter, _ in letters(app)) == ["already_registered"] * (done - 1) + ["verify"]


def test_a_browser_is_told_to_look_into_its_mailbox(tmp_path: Path) -> None:
    """The page is the same for a free and a taken address."""
    with running(tmp_path, **HIDE, **UNLIMITED) as app:
        pages = [Client(app).post("/register", {"email": EMAIL, "password": PASSWORD}, headers=BROWSER) for _ in range(2)]
        assert [(page.status, page.header("Content-Type")) for page in pages] == [(202, "text/html; charset=utf-8")] * 2
        assert pages[0].body == pages[1].body
