"""SIGTERM: a stop that loses nothing, cuts nobody off, and leaves a clean file."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.servers import PASSWORD, PATIENCE_SECONDS, Load, Server, serving

CROWD = 64


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_answers_every_request_that_it_took(tmp_path: Path, number: signal.Signals) -> None:
    """No request on a standing connection is left unanswered, nothing is done without an answer, and the status is 0."""
    with serving(tmp_path) as server, Load([server.port], prefix="stop") as load:
        load.wait_for(200)
        server.process.send_signal(number)
        status = server.wait()
    assert status == 0, server.lines
    assert load.surprises == []
    assert load.cut == 0
    assert server.crashes() == []
    assert [line for line in server.lines if "ancel" in line or "still running" in line] == []
    with closing(sqlite3.connect(server.database)) as connection:
        emails = [email for (email,) in connection.execute("SELECT email FROM users ORDER BY email")]
        rows = {row[0]: (row[1], row[2] is not None) for row in connection.execute("SELECT id, counter, ended_at FROM sessions")}
    assert emails == sorted(load.registered)
    assert rows == {session.id: (session.counter, session.logout == "acknowledged") for session in load.sessions}


def test_clients_that_never_pause_do_not_keep_a_stopping_server_busy(tmp_path: Path) -> None:
    """After the stop each connection gets its answer and is told to close: 64 busy clients end with it."""
    with serving(tmp_path) as server, Load([server.port], prefix="busy", clients=CROWD) as load:
        load.wait_for(4 * CROWD)
        assert server.stop() == 0
    after = server.lines[server.lines.index("authsvc stops: finishing running requests") :]
    assert len([line for line in after if " POST " in line]) <= 2 * CROWD
    assert load.cut == 0


def test_a_stop_under_load_leaves_no_log_behind(tmp_path: Path) -> None:
    """After a clean stop everything is in the main file, and the next start has nothing to check."""
    with serving(tmp_path) as server, Load([server.port], prefix="clean") as load:
        load.wait_for(200)
        assert Path(f"{server.database}-wal").stat().st_size > 0
        assert server.stop() == 0
    assert not Path(f"{server.database}-wal").exists()
    assert not Path(f"{server.database}-shm").exists()
    with serving(tmp_path) as server:
        assert server.log("checking the database") == []
        assert server.stop() == 0


def test_a_request_half_received_at_the_stop_is_answered(tmp_path: Path) -> None:
    """A body that is still on its way when the stop comes is awaited, and its request answered."""
    with serving(tmp_path) as server, closing(socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)) as connection:
        body = json.dumps({"email": "late@example.com", "password": PASSWORD}).encode()
        head = f"POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body[:5])
        wait_until_taken(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_for_line("authsvc stops")
        connection.sendall(body[5:])
        answer = connection.makefile("rb").readline()
        assert answer.split()[1:2] == [b"201"], answer
        assert server.wait() == 0
    with closing(sqlite3.connect(server.database)) as database:
        assert database.execute("SELECT email FROM users").fetchall() == [("late@example.com",)]


def test_idle_connections_do_not_hold_up_a_stop(tmp_path: Path) -> None:
    """Connections kept alive with nothing asked on them are closed, and the stop does not wait for them."""
    with serving(tmp_path) as server:
        callers = [server.caller() for _ in range(20)]
        assert [caller.call("GET", "/healthz").status for caller in callers] == [200] * 20
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert [line for line in server.lines if "ResourceWarning" in line] == [], "left unclosed"


def test_a_second_signal_during_the_stop_changes_nothing(tmp_path: Path) -> None:
    """An impatient second SIGTERM neither cuts requests off nor spoils the exit status."""
    with serving(tmp_path) as server, Load([server.port], prefix="twice") as load:
        load.wait_for(100)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_for_line("authsvc stops")
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0, server.lines
    with closing(sqlite3.connect(server.database)) as connection:
        emails = [email for (email,) in connection.execute("SELECT email FROM users ORDER BY email")]
    assert emails == sorted(load.registered)
    assert not Path(f"{server.database}-wal").exists()


def wait_until_taken(server: Server) -> None:
    """Wait until the server has read whatever was sent before: it answers another connection's later request."""
    caller = server.caller()
    for _ in range(3):
        assert caller.call("GET", "/healthz").status == 200
