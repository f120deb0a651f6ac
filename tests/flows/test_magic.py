"""Signing in by mail, in the flow: into which account, and what happens to it meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI, Cause
from authsvc.flows import challenges, magic, removal, sessions, users
from authsvc.primitives import emails, links
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from authsvc.rules.challenges import MAGIC
from authsvc.store.challenges import Challenge
from authsvc.store.users import DISABLED
from tests.letterbox import UNLIMITED, change_link, counts, letters, magic_link, rows, use
from tests.support import EMAIL, Client, FakeWorld, actions, event_rows, running, together

FROM = Cause(ip="192.0.2.9", user_agent="curl/8", request_id="r1")


@pytest.fixture
def free(tmp_path: Path, world: FakeWorld) -> Any:
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


def ask(app: App, email: str = EMAIL, *, create_user: bool = True) -> Challenge:
    return magic.ask(app.core, emails.parse(email), magic.Request("de", None, create_user, set_cookie=True), FROM)


def refusal(app: App, challenge: Challenge) -> str:
    with pytest.raises(Problem) as caught:
        magic.use(app.core, challenge, FROM)
    return caught.value.code


def test_using_it_opens_a_session_from_where_it_was_used(free: App, world: FakeWorld) -> None:
    """The session, the sign-in on record and `last_login_at` are the user's, not of whoever asked."""
    challenge = ask(free)
    world.advance(60)
    there = Cause(ip="203.0.113.5", user_agent="Firefox", request_id="r2")
    tokens = magic.use(free.core, challenge, there)
    assert (tokens.session.ip, tokens.session.user_agent, tokens.session.amr) == ("203.0.113.5", "Firefox", "otp")
    assert tokens.session.auth_time == world.now()
    user = users.find(free.core, tokens.session.user_id).user
    assert (user.email, user.last_login_at, user.email_verified_at, user.locale) == (EMAIL, world.now(), world.now(), "de")
    asked, *used = event_rows(free)
    assert (asked["action"], asked["ip"], asked["actor_label"], asked["subject"]) == ("magic.sent", "192.0.2.9", EMAIL, None)
    assert [row["action"] for row in used] == ["user.registered", "email.verified", "magic.used", "login.succeeded"]
    assert {(row["ip"], row["subject"], row["actor_id"]) for row in used} == {("203.0.113.5", user.id, user.id)}


def test_an_account_made_since_is_the_one(free: App) -> None:
    """Asked for when there was none, used when somebody had registered: it signs in there, as the first proof of the address."""
    challenge = ask(free)
    squatter = Client(free).register(phone_number="+14155550100")
    tokens = magic.use(free.core, challenge, FROM)
    assert tokens.session.user_id == squatter["user"]["id"]
    assert (tokens.user["phone_number"], tokens.user["has_password"]) == (None, False)
    assert Client(free).get("/user", token=squatter["access_token"]).status == 401
    assert actions(free).count("account.reclaimed") == 1


@pytest.mark.parametrize("act", ["deleted", "moved", "replaced"])
def test_an_account_that_is_not_the_one_any_more_is_not_signed_into(free: App, act: str) -> None:
    """It went, its address changed, or another has its address now: link_invalid, and no account is made of it."""
    user_id = Client(free).register()["user"]["id"]
    challenge = ask(free)
    if act == "moved":
        assert use(free, change_link(free)).status == 200
    else:
        removal.delete(free.core, user_id, CLI, EVERYTHING)
    if act == "replaced":
        Client(free).register()
    before = counts(free, "users", "sessions", "events")
    assert refusal(free, challenge) == "link_invalid"
    assert counts(free, "users", "sessions", "events") == before


def test_no_account_is_made_that_was_not_wanted(free: App) -> None:
    """Not even by whoever could derive the link."""
    challenge = ask(free, create_user=False)
    assert refusal(free, challenge) == "link_invalid"
    assert counts(free, "users", "sessions") == [0, 0]
    answer = use(free, f"/login/magic/{links.mint(free.core.keyring.current, challenge.id, 'magic')}")
    assert answer.code == "link_invalid"


def test_a_disabled_account_spends_its_link_and_is_on_record(free: App) -> None:
    """account_disabled once; the link is over, nobody is in, and nothing of the account was dropped."""
    user_id = Client(free).register()["user"]["id"]
    challenge = ask(free)
    users.set_status(free.core, user_id, DISABLED, CLI)
    before = users.find(free.core, user_id).user
    assert refusal(free, challenge) == "account_disabled"
    event = event_rows(free)[-1]
    assert (event["action"], event["outcome"], json.loads(event["data"])) == ("login.failed", "failure", {"reason": "disabled"})
    assert users.find(free.core, user_id).user == before
    assert rows(free, "SELECT id FROM sessions WHERE ended_at IS NULL") == []
    assert refusal(free, challenge) == "link_invalid"


def test_a_first_use_and_a_registration_at_once_make_one_account(free: App) -> None:
    """Whoever is first: one account, which the mailbox has and nobody else (ATTACKS A12)."""
    for round_number in range(5):
        email = f"a{round_number}@mail.com"
        path = magic_link(free, email)

        def act(number: int, path: str = path, email: str = email) -> Any:
            client = Client(free, ip=f"10.0.{number}.1")
            return client.post(path) if number else client.post("/register", {"email": email, "password": "violet-harbour-91"})

        registered, used = together(2, act)
        assert (used.status, registered.status in (201, 409)) == (200, True)
        assert rows(free, "SELECT password_hash FROM users WHERE email = ?", email) == [{"password_hash": None}]
        if registered.status == 201:
            assert Client(free).refresh(registered["refresh_token"]).status == 401


def test_a_fault_after_the_spending_spends_nothing(free: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a sign-in happens, or none of it: with no session opened the link is there for another try."""
    challenge = ask(free)
    real = sessions.open_session

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk")

    monkeypatch.setattr(sessions, "open_session", fail)
    with pytest.raises(OSError, match="disk"):
        magic.use(free.core, challenge, FROM)
    assert counts(free, "users", "sessions") == [0, 0]
    monkeypatch.setattr(sessions, "open_session", real)
    assert magic.use(free.core, challenge, FROM).user["email"] == EMAIL


def test_what_was_asked_is_kept_with_the_challenge(free: App) -> None:
    """And with the letter only who it is for and in which language."""
    challenge = ask(free)
    expected = {"redirect_to": None, "create_user": True, "set_cookie": True, "locale_asked": "de"}
    assert challenges.data_of(challenge) == expected
    assert letters(free) == [("magic", EMAIL)]


def test_a_link_of_one_account_never_signs_into_another(free: App) -> None:
    """Though its address is another's now: link_invalid, and both are as they were."""
    Client(free).register()
    other = users.find(free.core, Client(free).register("other@mail.com")["user"]["id"]).user
    challenge = challenges.make(free.core, MAGIC, emails.parse(EMAIL), other, create_user=True, locale_asked=None)
    with free.core.store.write() as tx:
        tx.challenges.add(challenge)
    before = counts(free, "users", "sessions", "events")
    assert refusal(free, challenge) == "link_invalid"
    assert counts(free, "users", "sessions", "events") == before
