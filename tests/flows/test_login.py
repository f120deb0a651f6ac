"""Promises of flows/login.py that HTTP does not show: what happens to an account while its password is being checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI, Cause
from authsvc.flows import login, registration, removal, sessions, users
from authsvc.flows.registration import Wishes
from authsvc.flows.users import NewUser
from authsvc.primitives import emails
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from authsvc.store.users import DISABLED
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows, running

NEW_PASSWORD = "marble-lantern-47"
FROM = Cause(ip="192.0.2.9", user_agent="test", request_id="r1")


def refusal(act: Callable[[], Any]) -> Problem:
    with pytest.raises(Problem) as caught:
        act()
    return caught.value


def open_sessions(app: App, user_id: str) -> int:
    return len(sessions.page(app.core, user_id, before="\x7f", limit=100))


@pytest.fixture
def meanwhile(app: App, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have something happen once, right after the next password was found to be right and before anything is written."""

    def arrange(act: Callable[[], Any]) -> None:
        real = app.core.hasher.verify

        def verify(encoded: str | None, password: str) -> bool:
            monkeypatch.setattr(app.core.hasher, "verify", real)
            right = real(encoded, password)
            act()
            return right

        monkeypatch.setattr(app.core.hasher, "verify", verify)

    return arrange


CHANGES: dict[str, Callable[[App, str], Any]] = {
    "password": lambda app, user_id: login.set_password(app.core, users.find(app.core, user_id).user, NEW_PASSWORD, CLI),
    "disabled": lambda app, user_id: users.set_status(app.core, user_id, DISABLED, CLI),
    "deleted": lambda app, user_id: removal.delete(app.core, user_id, CLI, EVERYTHING),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_sign_in_does_not_outrun_a_change_of_its_account(
    app: App, client: Client, meanwhile: Callable[[Callable[[], Any]], None], change: str
) -> None:
    """The old password opens no session once a new one is set, or the account disabled or deleted, however late that came."""
    user_id = client.register()["user"]["id"]
    meanwhile(lambda: CHANGES[change](app, user_id))

    problem = refusal(lambda: login.by_password(app.core, emails.parse(EMAIL), PASSWORD, FROM))

    assert problem.status in (401, 403)
    assert open_sessions(app, user_id) == 0
    assert "login.succeeded" not in actions(app)


@pytest.mark.parametrize("change", CHANGES)
def test_a_sign_in_that_was_outrun_is_on_record(
    app: App, client: Client, meanwhile: Callable[[Callable[[], Any]], None], change: str
) -> None:
    """A refusal that must leave a trace leaves it (contract section 7.2), this rare one too."""
    user_id = client.register()["user"]["id"]
    meanwhile(lambda: CHANGES[change](app, user_id))

    refusal(lambda: login.by_password(app.core, emails.parse(EMAIL), PASSWORD, FROM))

    assert actions(app).count("login.failed") == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_confirmation_of_identity_does_not_outrun_a_change(
    app: App, client: Client, meanwhile: Callable[[Callable[[], Any]], None], change: str
) -> None:
    """Reauthentication with the old password gives no fresh session once the account has changed."""
    answer = client.register()
    user = users.find(app.core, answer["user"]["id"]).user
    meanwhile(lambda: CHANGES[change](app, user.id))

    problem = refusal(lambda: login.reauthenticate(app.core, user, answer["session_id"], PASSWORD, FROM))

    assert problem.code in ("invalid_credentials", "invalid_token")
    assert open_sessions(app, user.id) == 0
    assert "login.succeeded" not in actions(app)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_password_does_not_outrun_another(
    app: App, client: Client, meanwhile: Callable[[Callable[[], Any]], None], change: str
) -> None:
    """Of two changes from one old password the first counts; the second is refused and overwrites nothing (ATTACKS A14)."""
    answer = client.register()
    user = users.find(app.core, answer["user"]["id"]).user
    meanwhile(lambda: CHANGES[change](app, user.id))

    refusal(lambda: login.change_password(app.core, user, answer["session_id"], PASSWORD, "yellow-anchor-33", FROM))

    assert client.login(EMAIL, "yellow-anchor-33").status in (401, 403)
    assert actions(app).count("password.changed") == (1 if change == "password" else 0)
    if change == "password":
        assert client.login(EMAIL, NEW_PASSWORD).status == 200


def test_a_session_that_ended_meanwhile_is_not_renewed(app: App, client: Client, meanwhile: Callable[[Callable[[], Any]], None]) -> None:
    """A logout during a reauthentication or a change of password wins: the ended session gets no new tokens."""
    answer = client.register()
    user = users.find(app.core, answer["user"]["id"]).user

    def log_out() -> None:
        sessions.revoke(app.core, session_id=answer["session_id"], user_id=user.id, cause=CLI)

    meanwhile(log_out)
    assert refusal(lambda: login.reauthenticate(app.core, user, answer["session_id"], PASSWORD, FROM)).code == "invalid_token"
    assert (
        refusal(lambda: login.change_password(app.core, user, answer["session_id"], PASSWORD, NEW_PASSWORD, FROM)).code == "invalid_token"
    )
    assert client.login(EMAIL, PASSWORD).status == 200, "the password was not changed"
    assert actions(app) == ["user.registered", "session.revoked", "login.succeeded"]


def test_an_address_taken_meanwhile_makes_no_second_account(app: App, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two registrations of one address: whoever writes second is refused by the write itself (ATTACKS A17)."""
    real = app.core.hasher.hash

    def hash_slowly(password: str) -> str:
        monkeypatch.setattr(app.core.hasher, "hash", real)
        client.register()
        return real(password)

    monkeypatch.setattr(app.core.hasher, "hash", hash_slowly)

    problem = refusal(lambda: registration.register(app.core, NewUser(emails.parse(EMAIL)), NEW_PASSWORD, Wishes(), FROM, locale=None))

    assert problem.code == "email_taken"
    assert actions(app) == ["user.registered"]
    assert client.login(EMAIL, PASSWORD).status == 200
    assert client.login(EMAIL, NEW_PASSWORD).status == 401


def test_a_hash_of_old_parameters_is_replaced_at_sign_in(tmp_path: Path, world: FakeWorld) -> None:
    """When the settings ask for another cost, a right password is hashed anew, once, and nothing else of the account changes."""
    with running(tmp_path, world) as app:
        user_id = Client(app).register()["user"]["id"]
        old = users.find(app.core, user_id).user
    with running(tmp_path, world, hash_memory_kib=128) as app:
        client = Client(app)
        assert client.login(EMAIL, "wrong-harbour-91").status == 401
        assert users.find(app.core, user_id).user == old, "a wrong password changes nothing"
        assert client.login().status == 200
        new = users.find(app.core, user_id).user
        assert client.login().status == 200
        assert users.find(app.core, user_id).user == new

    assert old.password_hash is not None
    assert new.password_hash is not None
    assert old.password_hash.startswith("$argon2id$v=19$m=64,")
    assert new.password_hash.startswith("$argon2id$v=19$m=128,")
    assert new._replace(password_hash=old.password_hash) == old, "no new version, no new generation"


def test_reauthenticating_replaces_an_old_hash_too(tmp_path: Path, world: FakeWorld) -> None:
    """Wherever a password was right, its hash is brought up to date."""
    with running(tmp_path, world) as app:
        answer = Client(app).register()
    with running(tmp_path, world, hash_memory_kib=128) as app:
        user = users.find(app.core, answer["user"]["id"]).user
        login.reauthenticate(app.core, user, answer["session_id"], PASSWORD, FROM)
        assert str(users.find(app.core, user.id).user.password_hash).startswith("$argon2id$v=19$m=128,")


@pytest.mark.parametrize(
    ("email", "password", "known", "reason"),
    [
        (EMAIL, "wrong-harbour-91", True, "credentials"),
        ("nobody@example.com", PASSWORD, False, "credentials"),
        ("Nobody@Example.com", "", False, "credentials"),
    ],
)
def test_a_failed_sign_in_is_recorded_with_the_address_that_was_tried(
    app: App, client: Client, email: str, password: str, known: bool, reason: str
) -> None:
    """One event, whether or not the account exists: whom it concerns, what was typed as the name, from where, and why."""
    user_id = client.register()["user"]["id"]

    assert refusal(lambda: login.by_password(app.core, emails.parse(email), password, FROM)).code == "invalid_credentials"

    _, row = event_rows(app)
    assert (row["action"], row["outcome"], row["subject"]) == ("login.failed", "failure", user_id if known else None)
    assert (row["actor_type"], row["actor_id"], row["actor_label"], row["ip"]) == ("anonymous", None, email, "192.0.2.9")
    assert json.loads(row["data"]) == {"reason": reason}
    assert password not in json.dumps(row) or not password


def test_an_account_without_a_password_is_like_none(app: App, client: Client) -> None:
    """No password is right for it, the empty one neither, and the answer is that of an unknown address (ATTACKS A1)."""
    import sqlite3

    client.register()
    connection = sqlite3.connect(app.core.store.path)
    connection.execute("UPDATE users SET password_hash = NULL")
    connection.commit()
    connection.close()

    problems = [
        refusal(lambda text=text: login.by_password(app.core, emails.parse(EMAIL), text, FROM)) for text in ("", PASSWORD, "None", "null")
    ]
    unknown = refusal(lambda: login.by_password(app.core, emails.parse("nobody@example.com"), PASSWORD, FROM))

    assert {(problem.code, problem.status, problem.detail) for problem in problems} == {(unknown.code, unknown.status, unknown.detail)}


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
def test_a_failed_sign_in_costs_one_verification_and_one_write(
    app: App, client: Client, monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    """The same work for a known and an unknown address (ATTACKS A2)."""
    client.register()
    verified: list[bool] = []
    hashed: list[str] = []
    real = app.core.hasher.verify
    monkeypatch.setattr(app.core.hasher, "verify", lambda encoded, password: verified.append(True) or real(encoded, password))
    monkeypatch.setattr(app.core.hasher, "hash", hashed.append)
    before = len(event_rows(app))

    refusal(lambda: login.by_password(app.core, emails.parse(email), "wrong-harbour-91", FROM))

    assert (len(verified), hashed, len(event_rows(app)) - before) == (1, [], 1)


def test_an_administrators_password_ends_all_sessions(app: App, client: Client) -> None:
    """Setting somebody's password leaves no session, no old password and no old access token (ATTACKS A14)."""
    answers = [client.register(), client.login()]
    user = users.find(app.core, answers[0]["user"]["id"]).user

    login.set_password(app.core, user, NEW_PASSWORD, CLI)

    assert open_sessions(app, user.id) == 0
    for answer in answers:
        assert client.get("/user", token=answer["access_token"]).code == "invalid_token"
        assert client.refresh(answer["refresh_token"]).code == "invalid_token"
    assert client.login(EMAIL, PASSWORD).code == "invalid_credentials"
    assert client.login(EMAIL, NEW_PASSWORD).status == 200
    assert actions(app) == ["user.registered", "login.succeeded", "password.changed", "login.failed", "login.succeeded"]


def test_a_generated_password_is_good_enough_for_its_own_rule(tmp_path: Path, world: FakeWorld) -> None:
    """Where weak passwords are refused and long ones asked for, a generated one still passes, and works."""
    with running(tmp_path, world, password_weak="refuse", password_min=20) as app:
        for number in range(20):
            account, password = registration.create(
                app.core, NewUser(emails.parse(f"u{number}@example.com"), name="Marie"), None, CLI, EVERYTHING
            )
            assert password is not None
            assert login.by_password(app.core, emails.parse(account.user.email), password, FROM).user["id"] == account.user.id


def test_creating_with_a_role_twice_grants_it_once(app: App) -> None:
    """A repeated role is one role, in the account and in the event."""
    account, _ = registration.create(app.core, NewUser(emails.parse(EMAIL), roles=("admin", "admin")), PASSWORD, CLI, EVERYTHING)

    assert users.find(app.core, account.user.id).roles == ["admin"]
    assert json.loads(event_rows(app)[0]["data"]) == {"roles": ["admin"]}


def test_a_password_set_for_an_account_that_was_just_deleted_is_refused(app: App, client: Client) -> None:
    """While the new password was being hashed the account went: not found, and nothing is recorded of it."""
    user_id = client.register()["user"]["id"]
    account = users.find(app.core, user_id)
    removal.delete(app.core, user_id, Cause(), EVERYTHING)
    before = actions(app)
    with pytest.raises(Problem) as caught:
        login.set_password(app.core, account.user, "another-harbour-17", Cause())
    assert caught.value.code == "not_found"
    assert actions(app) == before
