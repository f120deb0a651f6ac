"""F9: kill -9 and power cuts at any moment. What was acknowledged is there afterwards, and nothing is half-done."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.faults.servers import Caller, Load, Server, Session, counter, in_threads, serving
from tests.support import Client, running

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "5"))
CHECKERS = 8
POWER_CUTS = 8

# Whatever was done in one transaction is there wholly or not at all.
HALF_DONE = {
    "an account without its event": "SELECT id FROM users WHERE id NOT IN (SELECT subject FROM events WHERE action = 'user.registered')",
    "an event without its account": "SELECT subject FROM events WHERE action = 'user.registered' AND subject NOT IN (SELECT id FROM users)",
    "a session without its event": """
        SELECT id FROM sessions WHERE id NOT IN
        (SELECT session_id FROM events WHERE action IN ('user.registered', 'login.succeeded') AND session_id IS NOT NULL)""",
    "an ended session without its event": """
        SELECT id FROM sessions WHERE ended_at IS NOT NULL AND id NOT IN
        (SELECT json_extract(data, '$.session_id') FROM events WHERE action = 'session.revoked')""",
    "a revocation without its end": """
        SELECT id FROM sessions WHERE ended_at IS NULL AND id IN
        (SELECT json_extract(data, '$.session_id') FROM events WHERE action = 'session.revoked')""",
}


def test_f9_every_acknowledged_act_outlives_kill_minus_nine(tmp_path: Path) -> None:
    """F9: killed at a random moment under 16 clients, the service comes back with all it acknowledged, round after round."""
    for number in range(ROUNDS):
        with serving(tmp_path) as server, Load([server.port], prefix=f"kill-{number}") as load:
            load.wait_for(random.randrange(1, 400))
            server.kill()
        assert load.surprises == []
        assert_whole(image(tmp_path / "authsvc.db", tmp_path / f"killed-{number}"), load.registered, load.sessions)
        with serving(tmp_path) as server:
            assert len(server.log("the last stop was not clean")) == 1, "it was not looked after"
            in_threads(CHECKERS, lambda part, load=load, server=server: check_over_http(load, server, part))
            assert server.crashes() == []
        with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
            assert_nothing_half_done(connection)


def test_f9_a_power_cut_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """F9: the database and its log as they lie on the disk at a random moment hold every act acknowledged before it."""
    cuts = []
    with serving(tmp_path) as server, Load([server.port], prefix="cut") as load:
        for number in range(POWER_CUTS):
            load.wait_for(random.randrange(1, 150))
            with server.halted():
                cuts.append((image(server.database, tmp_path / f"cut-{number}"), *load.known()))
    assert load.surprises == []
    for database, registered, sessions in cuts:
        assert_whole(database, registered, sessions)


def test_f9_a_log_torn_at_any_byte_leaves_whole_transactions_only(tmp_path: Path) -> None:
    """F9: of a log whose end did not reach the disk, SQLite keeps whole commits: the file is sound, nothing is half-done."""
    with serving(tmp_path) as server, Load([server.port], prefix="torn") as load:
        load.wait_for(300)
        with server.halted():
            database = image(server.database, tmp_path / "whole")
    log = Path(f"{database}-wal")
    assert log.stat().st_size > 0
    for number in range(POWER_CUTS):
        torn = image(database, tmp_path / f"torn-{number}")
        os.truncate(f"{torn}-wal", random.randrange(log.stat().st_size))
        assert_whole(torn, [], [])


def test_f9_the_service_starts_on_what_a_power_cut_left(tmp_path: Path) -> None:
    """F9: after a power cut the service checks the database by itself and lets every acknowledged account in."""
    with serving(tmp_path) as server, Load([server.port], prefix="start") as load:
        load.wait_for(100)
        with server.halted():
            registered, _ = load.known()
            database = image(server.database, tmp_path / "after")
    shutil.copy(f"{server.database}.key", f"{database}.key")
    limits = {"limit_login": 0, "limit_login_account": 0, "limit_login_network": 0}
    with running(database.parent, **limits) as app:
        assert "store: the last stop was not clean; checking the database" in app.core.world.lines
        assert {Client(app).login(email).status for email in registered} == {200}


def check_over_http(load: Load, server: Server, part: int) -> None:
    """What the callers were told is so, for every CHECKERS-th of them."""
    caller = server.caller()
    for email in load.registered[part::CHECKERS]:
        answer = caller.login(email)
        assert answer is not None
        assert answer.status == 200, (email, answer)
    for email in load.unanswered[part::CHECKERS]:
        answer = caller.register(email)
        assert answer is not None
        assert answer.status in (201, 409), (email, answer)
    for session in load.sessions[part::CHECKERS]:
        check_session(session, caller)


def check_session(session: Session, caller: Caller) -> None:
    """An acknowledged logout stays; any other session goes on from its last acknowledged token, with one successor."""
    first, again = caller.refresh(session.token), caller.refresh(session.token)
    assert first is not None
    assert again is not None
    if session.logout == "acknowledged":
        assert (first.status, first.code) == (401, "invalid_token"), session
        return
    if session.logout == "asked" and first.status == 401:
        assert again.status == 401, "it came back to life"
        return
    assert (first.status, again.status) == (200, 200), (session, first.body)
    assert first.body["session_id"] == session.id
    assert counter(first.body["refresh_token"]) == session.counter + 1
    assert again.body["refresh_token"] == first.body["refresh_token"], "the family forked"


def image(database: Path, folder: Path) -> Path:
    """A copy of the database and its log, as bytes."""
    folder.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{database}{suffix}", f"{folder / database.name}{suffix}")
    return folder / database.name


def assert_whole(database: Path, registered: list[str], sessions: list[Session]) -> None:
    """SQLite finds no fault, nothing is half-done, and every acknowledged act is there."""
    with closing(sqlite3.connect(database)) as connection:
        assert_nothing_half_done(connection)
        emails = {email for (email,) in connection.execute("SELECT email FROM users")}
        rows = {row[0]: row[1:] for row in connection.execute("SELECT id, counter, ended_at FROM sessions")}
    assert set(registered) - emails == set()
    for session in sessions:
        found, ended_at = rows[session.id]
        assert found == session.counter or (found == session.counter + 1 and session.rotation_unanswered), session
        assert session.logout != "acknowledged" or ended_at is not None, session
        assert session.logout != "none" or ended_at is None, session


def assert_nothing_half_done(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert {what: connection.execute(query).fetchall() for what, query in HALF_DONE.items()} == {what: [] for what in HALF_DONE}
