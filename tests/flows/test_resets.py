"""Forgotten passwords in the flow: nothing outruns a reset, and a reset outruns nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI, Cause
from authsvc.flows import challenges, login, removal, resets, users
from authsvc.primitives import emails
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from authsvc.rules.challenges import RESET, SET_PASSWORD
from authsvc.store.challenges import Challenge
from authsvc.store.users import DISABLED
from tests.letterbox import NEW_PASSWORD, UNLIMITED, change_link, confirm, letters, magic_link, reset_link, rows, use
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows, running

FROM = Cause(ip="192.0.2.9", user_agent="curl/8", request_id="r1")


@pytest.fixture
def free(tmp_path: Path, world: FakeWorld) -> Any:
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


@pytest.fixture
def user_id(free: App) -> str:
    answer = Client(free).register()
    confirm(free)
    return str(answer["user"]["id"])


def asked(app: App) -> Challenge:
    return challenges.find(app.core, reset_link(app).rpartition("/")[2], RESET, SET_PASSWORD)


@pytest.mark.parametrize("known", [True, False])
def test_asking_is_on_record(free: App, known: bool) -> None:
    """With the address as it was given, and the account if there is one."""
    subject = Client(free).register()["user"]["id"] if known else None
    resets.ask(free.core, emails.parse("Example@Mail.com"), FROM, locale=None)
    event = event_rows(free)[-1]
    assert (event["action"], event["subject"], event["actor_label"]) == ("password.reset_requested", subject, "Example@Mail.com")
    assert event["actor_id"] is None


def test_a_reset_is_by_the_account_and_from_where_it_was_done(free: App, user_id: str) -> None:
    """One event, one letter; generation and version move on, and nothing is left in the row of the old password."""
    before = users.find(free.core, user_id).user
    assert resets.reset(free.core, asked(free), NEW_PASSWORD, FROM) == []
    after = users.find(free.core, user_id).user
    assert (after.generation, after.version) == (before.generation + 1, before.version + 1)
    assert after.password_hash != before.password_hash
    event = event_rows(free)[-1]
    assert (event["action"], event["actor_id"], event["subject"], event["ip"]) == ("password.reset", user_id, user_id, "192.0.2.9")
    assert letters(free)[-1] == ("password_changed", EMAIL)


MEANWHILE: dict[str, Callable[[App, str], Any]] = {
    "deleted": lambda app, user_id: removal.delete(app.core, user_id, CLI, EVERYTHING),
    "disabled": lambda app, user_id: users.set_status(app.core, user_id, DISABLED, CLI),
    "moved": lambda app, user_id: use(app, change_link(app)),
    "password": lambda app, user_id: login.set_password(app.core, users.find(app.core, user_id).user, "yellow-anchor-33", CLI),
    "reset": lambda app, user_id: Client(app).post(reset_link(app), {"password": "yellow-anchor-33"}),
}


@pytest.mark.parametrize("change", MEANWHILE)
def test_a_reset_does_not_outrun_what_happens_while_it_hashes(
    free: App, user_id: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The account went, was disabled, moved, or got another password meanwhile: link_invalid, and this password is never set."""
    challenge = asked(free)
    real = free.core.hasher.hash

    def hash_slowly(password: str) -> str:
        monkeypatch.setattr(free.core.hasher, "hash", real)
        MEANWHILE[change](free, user_id)
        return real(password)

    monkeypatch.setattr(free.core.hasher, "hash", hash_slowly)
    with pytest.raises(Problem) as caught:
        resets.reset(free.core, challenge, NEW_PASSWORD, FROM)
    assert caught.value.code == "link_invalid"
    assert actions(free).count("password.reset") == (change == "reset")
    assert [Client(free).login(email, NEW_PASSWORD).status for email in (EMAIL, "renamed@mail.com")] == [401, 401]
    if change in ("password", "reset"):
        assert Client(free).login(EMAIL, "yellow-anchor-33").status == 200


def test_a_sign_in_that_was_being_checked_does_not_outlive_the_reset(free: App, user_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old password, looked at before the reset and let in after it, opens no session (ATTACKS A14)."""
    path = reset_link(free)
    real = free.core.hasher.verify

    def verify_slowly(encoded: str | None, password: str) -> bool:
        monkeypatch.setattr(free.core.hasher, "verify", real)
        right = real(encoded, password)
        assert use(free, path).status == 200
        return right

    monkeypatch.setattr(free.core.hasher, "verify", verify_slowly)
    assert Client(free).login(password=PASSWORD).status == 401
    assert rows(free, "SELECT id FROM sessions WHERE ended_at IS NULL") == []


def test_a_magic_link_that_is_used_while_a_reset_hashes_leaves_no_session(free: App, user_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All sessions end with the reset, that one too; and what the squatter had does not come back (A12)."""
    challenge, path = asked(free), magic_link(free)
    real = free.core.hasher.hash

    def hash_slowly(password: str) -> str:
        assert use(free, path).status == 200
        return real(password)

    monkeypatch.setattr(free.core.hasher, "hash", hash_slowly)
    resets.reset(free.core, challenge, NEW_PASSWORD, FROM)
    assert rows(free, "SELECT id FROM sessions WHERE ended_at IS NULL") == []


def test_a_refused_password_is_not_hashed_and_spends_nothing(free: App, user_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules come before the work; so does a link that is over."""
    challenge = asked(free)
    monkeypatch.setattr(free.core.hasher, "hash", lambda _: pytest.fail("hashed"))
    with pytest.raises(Problem) as caught:
        resets.reset(free.core, challenge, "short", FROM)
    assert caught.value.code == "invalid_request"
    users.set_status(free.core, user_id, DISABLED, CLI)
    with pytest.raises(Problem) as caught:
        resets.reset(free.core, challenge, NEW_PASSWORD, FROM)
    assert caught.value.code == "link_invalid"


def test_an_account_without_a_password_gets_its_first(free: App) -> None:
    """Whoever came by magic link may choose one by mail, and keeps nothing open by it."""
    tokens = Client(free).post(magic_link(free))
    assert use(free, reset_link(free)).status == 200
    assert Client(free).login(password=NEW_PASSWORD).status == 200
    assert Client(free).get("/user", token=tokens["access_token"]).status == 401
    assert "account.reclaimed" not in actions(free)
