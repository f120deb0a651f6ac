"""Promises of flows/sessions.py that HTTP does not show: claims, both ends of a session's life, restored databases, clocks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OctKey

from authsvc.app import App
from authsvc.events import CLI, Cause
from authsvc.flows import sessions, users
from authsvc.primitives import refresh
from authsvc.primitives.keyring import Purpose
from authsvc.problems import Problem
from tests.support import EMAIL, Answer, Client, FakeWorld, actions, event_rows, running

DAY = 86_400
NEW_KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = "fedcba9876543210fedcba9876543210"


def claims_of(app: App, token: str) -> dict[str, Any]:
    """What an independent library reads in an access token."""
    key = OctKey.import_key(app.core.keyring.current.sub(Purpose.ACCESS))
    return dict(joserfc_jwt.decode(token, key, algorithms=["HS256"]).claims)


def change_row(app: App, statement: str, *values: Any) -> None:
    """What an administrator, a backup or a later release does to the file behind our back."""
    connection = sqlite3.connect(app.core.store.path)
    try:
        assert connection.execute(statement, values).rowcount == 1
        connection.commit()
    finally:
        connection.close()


def session_row(app: App, session_id: str) -> dict[str, Any]:
    connection = sqlite3.connect(app.core.store.path)
    connection.row_factory = sqlite3.Row
    try:
        return dict(connection.execute("SELECT * FROM sessions WHERE id = ?", (session_id,)).fetchone())
    finally:
        connection.close()


def refused(app: App, token: str) -> str:
    with pytest.raises(Problem) as caught:
        sessions.rotate(app.core, token, CLI)
    return caught.value.code


@contextmanager
def signed_in(folder: Path, world: FakeWorld, **settings: Any) -> Iterator[tuple[App, Client, Answer]]:
    with running(folder, world, **settings) as app:
        client = Client(app)
        yield app, client, client.register()


def test_configured_claims_come_from_the_users_fields(tmp_path: Path, world: FakeWorld) -> None:
    """`org=app_metadata.org,nick=name` puts these fields into every token, as they are when it is made."""
    with running(tmp_path, world, claims="org=app_metadata.org,nick=name,team=metadata.team.id,https://example.com/l=locale") as app:
        client = Client(app)
        first = client.register(name="Marie", locale="fr", metadata={"team": {"id": 7, "x": 1}})
        change_row(app, "UPDATE users SET app_metadata = ?", json.dumps({"org": {"id": "acme"}, "other": "hidden"}))
        before, after = claims_of(app, first["access_token"]), claims_of(app, client.refresh(first["refresh_token"])["access_token"])

    assert (before["nick"], before["team"], before["https://example.com/l"], before["org"]) == ("Marie", 7, "fr", None)
    assert after["org"] == {"id": "acme"}
    assert "hidden" not in json.dumps(after)
    assert set(after) - {"nick", "team", "org", "https://example.com/l"} == set(sessions_claims())


def sessions_claims() -> list[str]:
    """The claims of the contract."""
    return ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "gen", "auth_time", "amr", "acr", "roles", "caps", "email", "email_verified"]


@pytest.mark.parametrize(
    "metadata", [{}, {"a": {}}, {"a": None}, {"a": {"c": 1}}, {"a": [{"b": 1}]}, {"a": "b"}, {"a": 5}, {"a": True}, {"A": {"b": 1}}]
)
def test_a_claim_whose_field_is_missing_is_null(tmp_path: Path, world: FakeWorld, metadata: dict[str, Any]) -> None:
    """A step that is not there, or leads through something that is no object, gives null and never an error."""
    with running(tmp_path, world, claims="deep=metadata.a.b") as app:
        answer = Client(app).register(metadata=metadata)
        claims = claims_of(app, answer["access_token"])

    assert claims["deep"] is None
    assert "deep" in claims


def test_a_user_cannot_write_our_claims_by_their_metadata(tmp_path: Path, world: FakeWorld) -> None:
    """What a user stores comes out under the configured name only (ATTACKS A11)."""
    with running(tmp_path, world, claims="m=metadata.roles") as app:
        answer = Client(app).register(metadata={"roles": ["admin"], "caps": ["*"], "sub": "usr_other"})
        claims = claims_of(app, answer["access_token"])

    assert (claims["m"], claims["roles"], claims["caps"], claims["sub"]) == (["admin"], ["user"], [], answer["user"]["id"])


def test_a_session_ends_when_it_was_not_refreshed_for_long(tmp_path: Path, world: FakeWorld) -> None:
    """Idle life counts from the last refresh: just within it goes on, at its end it is over, and no event pretends a logout."""
    with signed_in(tmp_path, world, refresh_seconds=1_000, session_seconds=100_000) as (app, client, first):
        answer = first
        for _ in range(5):
            world.advance(999.999)
            answer = client.refresh(answer["refresh_token"])
            assert answer.status == 200
        world.advance(1_000)
        assert client.refresh(answer["refresh_token"]).code == "invalid_token"
        assert client.get("/user", token=answer["access_token"]).status == 401
        assert actions(app) == ["user.registered"]


def test_an_idle_sessions_access_token_ends_with_it(tmp_path: Path, world: FakeWorld) -> None:
    """An access token that outlives the idle life of its session is refused on our own endpoints."""
    with signed_in(tmp_path, world, refresh_seconds=60, access_seconds=900) as (_, client, answer):
        world.advance(59.999)
        assert client.get("/user", token=answer["access_token"]).status == 200
        world.advance(0.001)
        assert client.get("/user", token=answer["access_token"]).code == "invalid_token"


def test_a_session_ends_at_its_time_however_often_it_was_refreshed(tmp_path: Path, world: FakeWorld) -> None:
    """Absolute life counts from the sign-in, and refreshing does not lengthen it."""
    with signed_in(tmp_path, world, refresh_seconds=1_000, session_seconds=3_000) as (_, client, first):
        answer = first
        for _ in range(3):
            world.advance(999)
            answer = client.refresh(answer["refresh_token"])
            assert answer.status == 200
        world.advance(2.999)
        assert client.get("/user", token=answer["access_token"]).status == 200
        world.advance(0.001)
        assert client.get("/user", token=answer["access_token"]).code == "invalid_token"
        assert client.refresh(answer["refresh_token"]).code == "invalid_token"


def test_a_session_that_is_over_is_not_listed(tmp_path: Path, world: FakeWorld) -> None:
    """Ended, idle and expired sessions are none; a refused refresh does not bring one back."""
    with signed_in(tmp_path, world, refresh_seconds=1_000, session_seconds=1_500) as (app, client, idle):
        user_id = idle["user"]["id"]
        world.advance(600)
        kept, ended = client.login(), client.login()
        client.post("/token/revoke", {"token": ended["refresh_token"]})
        world.advance(400)
        assert client.refresh(idle["refresh_token"]).status == 401
        listed = sessions.page(app.core, user_id, before="\x7f", limit=10)
        assert [session.id for session in listed] == [kept["session_id"]]
        world.advance(1_500)
        assert sessions.page(app.core, user_id, before="\x7f", limit=10) == []


def test_pages_of_sessions_are_newest_first_and_whole(app: App, world: FakeWorld, client: Client) -> None:
    """Page by page every live session comes once, whatever the size of a page is."""
    user_id = client.register()["user"]["id"]
    for _ in range(6):
        world.advance(1)
        client.login()
    whole = sessions.page(app.core, user_id, before="\x7f", limit=100)

    for limit in (1, 2, 3, 7, 8):
        found, before = [], "\x7f"
        while page := sessions.page(app.core, user_id, before=before, limit=limit):
            assert len(page) <= limit
            found += page
            before = page[-1].id
        assert found == whole
    assert len(whole) == 7
    assert [session.created_at for session in whole] == sorted((session.created_at for session in whole), reverse=True)


def test_a_restored_backup_refuses_the_newest_token_and_ends_nothing(app: App, world: FakeWorld, client: Client) -> None:
    """A row whose counter lies behind the token knows nothing of it: no access, but the rightful owner is not logged out."""
    first = client.register()
    second = client.refresh(first["refresh_token"])
    backup = session_row(app, first["session_id"])
    world.advance(100)
    third = client.refresh(second["refresh_token"])
    change_row(
        app,
        "UPDATE sessions SET counter = ?, rotated_at = ?, last_seen_at = ?",
        backup["counter"],
        backup["rotated_at"],
        backup["last_seen_at"],
    )

    for _ in range(3):
        assert client.refresh(third["refresh_token"]).code == "invalid_token"
    assert session_row(app, first["session_id"])["ended_at"] is None
    assert actions(app) == ["user.registered"]
    assert client.refresh(second["refresh_token"]).status == 200, "what the backup knows still counts"


def test_a_token_far_ahead_of_its_session_changes_nothing(app: App, client: Client) -> None:
    """Even genuine, a counter that the row never reached is no token that counts, and no proof of a theft."""
    answer = client.register()
    row = session_row(app, answer["session_id"])
    for counter in (1, 2, 9_999_999_999):
        assert refused(app, refresh.mint(app.core.keyring.current, answer["session_id"], counter)) == "invalid_token"

    assert session_row(app, answer["session_id"]) == row
    assert actions(app) == ["user.registered"]
    assert client.refresh(answer["refresh_token"]).status == 200


@pytest.mark.parametrize(("after", "ends"), [(0, False), (30, False), (30.001, True), (10 * DAY, True)])
def test_the_previous_token_gives_the_same_successor_for_the_grace_only(
    app: App, world: FakeWorld, client: Client, after: float, ends: bool
) -> None:
    """Within 30 seconds a repeated token gives the very same refresh token; later it ends the session, once, and is recorded."""
    first = client.register()
    second = client.refresh(first["refresh_token"])
    world.advance(after)
    repeated = client.refresh(first["refresh_token"])

    if ends:
        assert repeated.code == "invalid_token"
        assert client.refresh(first["refresh_token"]).code == client.refresh(second["refresh_token"]).code == "invalid_token"
        assert actions(app) == ["user.registered", "session.reuse_detected"]
        row = event_rows(app)[-1]
        assert (row["outcome"], row["subject"], row["session_id"]) == ("failure", first["user"]["id"], first["session_id"])
    else:
        assert repeated["refresh_token"] == second["refresh_token"]
        assert client.refresh(second["refresh_token"]).status == 200
        assert actions(app) == ["user.registered"]


def test_a_token_older_than_the_previous_one_is_reuse_at_once(app: App, client: Client) -> None:
    """The grace is for the last step only; two steps back somebody has a copy (ATTACKS B5)."""
    first = client.register()
    other = client.login()
    client.refresh(client.refresh(first["refresh_token"])["refresh_token"])

    assert client.refresh(first["refresh_token"]).code == "invalid_token"
    assert session_row(app, first["session_id"])["ended_at"] is not None
    assert client.refresh(other["refresh_token"]).status == 200, "the other sessions stay"


def test_without_grace_a_repeated_token_is_reuse(tmp_path: Path, world: FakeWorld) -> None:
    """`refresh_grace_seconds=0` makes every token good for one use; in the same millisecond it is still the same request."""
    with signed_in(tmp_path, world, refresh_grace_seconds=0) as (app, client, first):
        client.refresh(first["refresh_token"])
        world.advance(0.001)
        assert client.refresh(first["refresh_token"]).status == 401
        assert actions(app) == ["user.registered", "session.reuse_detected"]


def test_a_clock_set_back_ends_no_session(tmp_path: Path, world: FakeWorld) -> None:
    """An hour back, the previous token is refused and nobody is logged out; the current one counts (ATTACKS B13)."""
    with signed_in(tmp_path, world, limit_refresh="0") as (app, client, first):
        second = client.refresh(first["refresh_token"])
        world.advance(-3_600)

        assert client.refresh(first["refresh_token"]).code == "invalid_token"
        assert actions(app) == ["user.registered"]
        assert client.refresh(second["refresh_token"]).status == 200


def test_a_clock_set_back_a_little_still_knows_a_repetition(app: App, world: FakeWorld, client: Client) -> None:
    """Two seconds of correction between a refresh and its repetition are borne."""
    first = client.register()
    second = client.refresh(first["refresh_token"])
    world.advance(-2)

    assert client.refresh(first["refresh_token"])["refresh_token"] == second["refresh_token"]
    world.advance(-0.001)
    assert client.refresh(first["refresh_token"]).status == 401
    assert client.refresh(second["refresh_token"]).status == 200


def test_refreshing_reads_roles_anew_and_keeps_the_proof(app: App, world: FakeWorld, client: Client) -> None:
    """A refreshed token has today's roles and generation, and the auth_time of the sign-in: refreshing proves nothing."""
    first = client.register()
    users.change_roles(app.core, first["user"]["id"], CLI, grant=["admin"])
    world.advance(500)
    before, after = claims_of(app, first["access_token"]), claims_of(app, client.refresh(first["refresh_token"])["access_token"])

    assert (before["roles"], after["roles"], after["caps"]) == (["user"], ["admin", "user"], ["*"])
    assert (after["gen"], after["auth_time"], after["iat"]) == (before["gen"] + 1, before["auth_time"], before["iat"] + 500)
    assert (after["sid"], after["amr"], after["acr"]) == (before["sid"], ["pwd"], "aal1")
    assert after["jti"] != before["jti"]


def test_the_refresh_cookie_never_outlives_its_session(tmp_path: Path, world: FakeWorld) -> None:
    """Its Max-Age is the idle life, or what is left of the absolute one."""
    with running(tmp_path, world, refresh_seconds=1_000, session_seconds=1_500) as app:
        answer = Client(app).register()
        early = sessions.rotate(app.core, answer["refresh_token"], CLI)
        world.advance(900)
        late = sessions.rotate(app.core, early.refresh_token, CLI)

    assert (early.refresh_expires_in, late.refresh_expires_in) == (1_000, 600)


def test_a_session_of_the_previous_key_goes_on(tmp_path: Path, world: FakeWorld) -> None:
    """After a change of the secret key its refresh tokens count while the old key is kept, and are refused when it is gone."""
    with running(tmp_path, world, secret_key=NEW_KEY) as app:
        answer = Client(app).register()
    with running(tmp_path, world, secret_key=OTHER_KEY, secret_key_previous=NEW_KEY) as app:
        client = Client(app)
        assert client.get("/user", token=answer["access_token"]).status == 200
        answer = client.refresh(answer["refresh_token"])
        assert answer.status == 200
        newer = client.login()
        assert refresh.parse(newer["refresh_token"]) != refresh.parse(answer["refresh_token"])
        assert session_row(app, newer["session_id"])["kid"] != session_row(app, answer["session_id"])["kid"]
    with running(tmp_path, world, secret_key=OTHER_KEY) as app:
        client = Client(app)
        assert client.refresh(answer["refresh_token"]).code == "invalid_token"
        assert client.refresh(newer["refresh_token"]).status == 200
        assert client.login().status == 200


def test_nobody_ends_a_session_of_somebody_else(app: App, client: Client) -> None:
    """Ending by id asks whose it is: another's session stays, and there is no event (ATTACKS E1)."""
    mine, theirs = client.register(), client.register("other@example.com")
    recorded = actions(app)

    for session_id in (theirs["session_id"], "ses_0123456789abcdefghjkmnpqrs", "", "%"):
        assert not sessions.revoke(app.core, session_id=session_id, user_id=mine["user"]["id"], cause=CLI)
    assert actions(app) == recorded
    assert client.get("/user", token=theirs["access_token"]).status == 200


def test_ending_a_session_twice_is_one_event(app: App, client: Client) -> None:
    """The first end counts and keeps its time; the second finds nothing."""
    answer = client.register()

    outcomes = [sessions.revoke(app.core, session_id=answer["session_id"], user_id=answer["user"]["id"], cause=CLI) for _ in range(2)]

    assert outcomes == [True, False]
    assert actions(app) == ["user.registered", "session.revoked"]


def test_ending_all_sessions_records_each(app: App, client: Client) -> None:
    """One event for each session that ended, none for the one that stays or had ended before."""
    answer = client.register()
    others = [client.login()["session_id"] for _ in range(3)]
    sessions.revoke(app.core, session_id=others[0], user_id=answer["user"]["id"], cause=CLI)
    user = users.find(app.core, answer["user"]["id"]).user
    recorded = len(event_rows(app))

    sessions.revoke_all(app.core, user, CLI, but=answer["session_id"])

    assert sorted(json.loads(row["data"])["session_id"] for row in event_rows(app)[recorded:]) == sorted(others[1:])
    assert client.get("/user", token=answer["access_token"]).status == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_any_credential_of_a_session_logs_out(app: App, world: FakeWorld, client: Client, kind: str) -> None:
    """Also an access token that has run out and a refresh token that was spent; the event names the owner (RFC 7009)."""
    answer = client.register()
    client.refresh(answer["refresh_token"])
    world.advance(2_000)

    sessions.revoke_by_token(app.core, answer[kind], Cause(ip="192.0.2.9"))

    assert session_row(app, answer["session_id"])["ended_at"] is not None
    row = event_rows(app)[-1]
    assert (row["action"], row["actor_type"], row["actor_id"], row["actor_label"], row["ip"]) == (
        "session.revoked",
        "user",
        answer["user"]["id"],
        EMAIL,
        "192.0.2.9",
    )


@pytest.mark.parametrize("token", ["", "nonsense", "rt_", "a.b.c", "rt_0123456789abcdefghjkmnpqrs.0." + "A" * 43])
def test_what_is_no_credential_of_ours_is_already_logged_out(app: App, client: Client, token: str) -> None:
    """RFC 7009 section 2.2: an invalid token is no error, ends nothing and is not recorded."""
    answer = client.register()

    sessions.revoke_by_token(app.core, token, CLI)

    assert actions(app) == ["user.registered"]
    assert client.get("/user", token=answer["access_token"]).status == 200


def test_a_forged_token_of_a_real_session_logs_nobody_out(app: App, client: Client) -> None:
    """Knowing a session's id is not enough to end it (ATTACKS B7)."""
    answer = client.register()
    body = answer["session_id"].removeprefix("ses_")

    sessions.revoke_by_token(app.core, f"rt_{body}.0.{'A' * 43}", CLI)

    assert session_row(app, answer["session_id"])["ended_at"] is None
    assert actions(app) == ["user.registered"]


def test_each_sign_in_is_a_session_of_its_own(app: App, client: Client) -> None:
    """Nothing of an earlier session is taken over (ATTACKS B8): id, tokens and time are new."""
    answers = [client.register(), client.login(), client.login()]

    for member in ("session_id", "access_token", "refresh_token"):
        assert len({answer[member] for answer in answers}) == 3
    rows = [session_row(app, answer["session_id"]) for answer in answers]
    assert {(row["counter"], row["amr"], row["acr"], row["ended_at"]) for row in rows} == {(0, "pwd", "aal1", None)}
