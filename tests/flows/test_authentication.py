"""Promises of flows/authentication.py: a token is worth what the store says now, not what it said when it was made."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import profile, removal, sessions, users
from authsvc.flows.authentication import authenticate
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from authsvc.store.users import DISABLED
from tests.support import Client, FakeWorld, actions


def refusal(app: App, token: str) -> str:
    with pytest.raises(Problem) as caught:
        authenticate(app.core, token)
    return caught.value.code


def forged(app: App, token: str, **changes: Any) -> str:
    """A token under our own key whose claims do not fit together, as a fault of ours might make one."""
    claims = dict(app.core.tokens.verify(token))
    return app.core.tokens.issue({**claims, **changes})


def test_a_token_names_its_caller(app: App, client: Client) -> None:
    """User and session as they are stored, roles and caps as the token says."""
    answer = client.register()

    caller = authenticate(app.core, answer["access_token"])

    assert (caller.user.id, caller.session.id) == (answer["user"]["id"], answer["session_id"])
    assert (caller.roles, caller.caps) == (["user"], [])
    assert authenticate(app.core, answer["access_token"]) == caller


def test_a_token_whose_claims_do_not_fit_together_is_refused(app: App, client: Client) -> None:
    """Another user's session, another generation or a session that never was: no mixture gets in (ATTACKS B7)."""
    mine, theirs = client.register(), client.register("other@example.com")
    token = mine["access_token"]

    assert authenticate(app.core, forged(app, token)).user.id == mine["user"]["id"], "unchanged, it counts"
    for changes in (
        {"sid": theirs["session_id"]},
        {"sub": theirs["user"]["id"]},
        {"gen": 0},
        {"gen": 2},
        {"gen": -1},
        {"sid": "ses_0123456789abcdefghjkmnpqrs"},
        {"sid": ""},
        {"sid": mine["user"]["id"]},
    ):
        assert refusal(app, forged(app, token, **changes)) == "invalid_token"


def test_a_change_counts_at_the_next_request_though_the_token_is_remembered(app: App, client: Client) -> None:
    """Verified a moment ago or not: role changes, disabling, deleting and logout refuse the token at once (ATTACKS A14, E3)."""
    client.register("admin@example.com")
    for act in (
        lambda answer: users.change_roles(app.core, answer["user"]["id"], CLI, grant=["admin"]),
        lambda answer: sessions.revoke(app.core, session_id=answer["session_id"], user_id=answer["user"]["id"], cause=CLI),
        lambda answer: (
            users.change_roles(app.core, answer["user"]["id"], CLI, ungrant=["admin"])
            and users.set_status(app.core, answer["user"]["id"], DISABLED, CLI)
        ),
        lambda answer: removal.delete(app.core, answer["user"]["id"], CLI, EVERYTHING),
    ):
        answer = client.register(f"user{len(actions(app))}@example.com")
        for _ in range(2):
            authenticate(app.core, answer["access_token"])
        act(answer)
        assert refusal(app, answer["access_token"]) == "invalid_token"


def test_an_account_that_is_not_active_has_no_callers(app: App, client: Client) -> None:
    """Whatever disabled it, by a flow or behind our back, without a new generation too."""
    answer = client.register()
    connection = sqlite3.connect(app.core.store.path)
    connection.execute("UPDATE users SET status = 'disabled'")
    connection.commit()
    connection.close()

    assert refusal(app, answer["access_token"]) == "invalid_token"
    assert client.refresh(answer["refresh_token"]).code == "invalid_token"


def test_another_change_of_the_account_does_not_end_tokens(app: App, client: Client) -> None:
    """A new name is no new generation: the caller is as they are now, under the old token."""
    answer = client.register()
    profile.change(app.core, answer["user"]["id"], {"name": "Marie"}, CLI, EVERYTHING, if_match=None)

    assert authenticate(app.core, answer["access_token"]).user.name == "Marie"


def test_an_expired_token_is_told_from_an_invalid_one(app: App, world: FakeWorld, client: Client) -> None:
    """`token_expired` invites to refresh; a session that ended before says `invalid_token` only after a refresh would fail too."""
    answer = client.register()
    world.advance(900 + 60)

    assert refusal(app, answer["access_token"]) == "token_expired"
    assert client.refresh(answer["refresh_token"]).status == 200


def test_authenticating_writes_nothing(app: App, client: Client) -> None:
    """Reading who calls leaves no event and takes no write turn."""
    answer = client.register()
    before = actions(app)
    with app.core.store.write():
        authenticate(app.core, answer["access_token"])

    assert actions(app) == before


def test_readiness_is_a_real_write(app: App, world: FakeWorld) -> None:
    """flows/health.py writes and waits for the disk; each check leaves its time in the one row."""
    from authsvc.flows import health

    for _ in range(2):
        world.advance(1)
        health.touch_store(app.core)

    connection = sqlite3.connect(app.core.store.path)
    rows = connection.execute("SELECT checked_at FROM readiness").fetchall()
    connection.close()
    assert rows == [(world.now(),)]
