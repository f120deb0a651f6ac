"""A service of the system with an API key, against a real authsvc: it provisions, listens, is down, and misses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from tests.faults.servers import ROOT, Caller, Server, environment, serving, start
from tests.hooks import hangs, in_turn, meanwhile, receiving, says

SETTINGS: dict[str, Any] = {"webhook_networks": "127.0.0.0/8", "delivery": "threads"}


def key_for(folder: Path, *caps: str) -> str:
    """Made on the command line, beside the running server or before it."""
    command = [sys.executable, "-m", "authsvc", "key", "create", "provisioner", "--json"]
    for cap in caps:
        command += ["--cap", cap]
    ran = subprocess.run(command, cwd=ROOT, env=environment(folder, 0, SETTINGS), capture_output=True, text=True, check=True)
    key: str = json.loads(ran.stdout)["key"]
    return key


def called(caller: Caller, method: str, path: str, body: Any, key: str, status: int) -> Any:
    answer = caller.call(method, path, body, key)
    assert answer is not None
    assert answer.status == status, answer.body
    return answer.body


@pytest.fixture
def key(tmp_path: Path) -> str:
    return key_for(tmp_path, "users:*", "webhooks:write", "events:read")


def test_a_service_provisions_listens_and_catches_up(tmp_path: Path, key: str) -> None:
    """Users by POST /user; each told by a webhook that the library verifies; what happened while the service was away is
    there by GET /events, and comes by the webhook too once it is back."""
    with serving(tmp_path, **SETTINGS) as server, receiving() as receiver:
        caller = server.caller()
        made = called(caller, "POST", "/webhooks", {"url": receiver.url("/in"), "events": ["user.created"]}, key, 201)
        first = [called(caller, "POST", "/user", {"email": f"u{number}@example.com"}, key, 201)["id"] for number in range(3)]
        events = [Verifier(made["secret"]).verify(got.body, got.headers) for got in receiver.wait_for(3)]
        assert [event["data"]["subject"] for event in events] == first
        assert called(caller, "GET", f"/user/{first[0]}", None, key, 200)["email"] == "u0@example.com"
        last = events[-1]["data"]["id"]

        receiver.behaviour = says(503)  # it is down
        missed = [called(caller, "POST", "/user", {"email": f"m{number}@example.com"}, key, 201)["id"] for number in range(2)]
        receiver.wait_for(4)
        page = called(caller, "GET", f"/events?types=user.created&after={last}", None, key, 200)
        assert [item["data"]["subject"] for item in page["items"]] == missed
        receiver.behaviour = says(204)  # and back
        came = [json.loads(got.body)["data"]["subject"] for got in receiver.wait_for(6)]
        assert came == [*first, missed[0], *missed]
        assert server.crashes() == []


def test_f12_a_server_that_is_killed_in_a_delivery_sends_it_again(tmp_path: Path, key: str) -> None:
    """kill -9 while a receiver holds the connection: once the lease is over, the next server sends the same event under the
    same id, and those after it; nothing is lost."""
    with receiving() as receiver:
        server: Server = start(tmp_path, **SETTINGS)
        caller = server.caller()
        called(caller, "POST", "/webhooks", {"url": receiver.url(), "events": ["user.created"]}, key, 201)
        receiver.behaviour = hangs
        ids = [called(caller, "POST", "/user", {"email": f"u{number}@example.com"}, key, 201)["id"] for number in range(3)]
        held = receiver.wait_for(1)[0]
        server.kill()
        receiver.behaviour = says(200)
        receiver.released.set()
        _let_the_lease_run_out(tmp_path)
        with serving(tmp_path, **SETTINGS) as again:
            got = receiver.wait_for(4)
            assert again.crashes() == []
        assert got[1].id == held.id
        assert [json.loads(one.body)["data"]["subject"] for one in got[1:]] == ids


def test_a_server_that_stops_in_a_delivery_leaves_the_next_one_nothing_to_wait_for(tmp_path: Path, key: str) -> None:
    """SIGTERM while a receiver takes its time: the delivery ends, is not sent again, and the next server goes on at once, with no lease to wait for."""
    with receiving() as receiver:
        server: Server = start(tmp_path, **SETTINGS)
        caller = server.caller()
        called(caller, "POST", "/webhooks", {"url": receiver.url(), "events": ["user.created"]}, key, 201)
        receiver.behaviour = in_turn(meanwhile(lambda: receiver.released.wait(30), says(200)), says(200))
        ids = [called(caller, "POST", "/user", {"email": f"u{number}@example.com"}, key, 201)["id"] for number in range(3)]
        receiver.wait_for(1)
        caller.close()
        server.process.terminate()
        assert server.wait_for_line("authsvc stops")
        receiver.released.set()
        assert server.wait() == 0
        assert server.crashes() == []
        with serving(tmp_path, **SETTINGS) as again:
            ids.append(called(again.caller(), "POST", "/user", {"email": "later@example.com"}, key, 201)["id"])
            receiver.wait_for(4)
            assert again.crashes() == []
        assert [json.loads(one.body)["data"]["subject"] for one in receiver.got] == ids


def test_two_servers_on_one_database_send_each_event_once(tmp_path: Path, key: str) -> None:
    """Both live, both with four threads: each webhook gets each event once, in the order of the trail, whoever served it."""
    with serving(tmp_path, **SETTINGS) as one, serving(tmp_path, **SETTINGS) as two, receiving() as receiver:
        callers = [one.caller(), two.caller()]
        for number in range(4):
            called(callers[0], "POST", "/webhooks", {"url": receiver.url(f"/{number}"), "events": ["user.created"]}, key, 201)
        for number in range(24):
            called(callers[number % 2], "POST", "/user", {"email": f"u{number}@example.com"}, key, 201)
        receiver.wait_for(4 * 24)
        ids = [item["id"] for item in called(callers[1], "GET", "/events?types=user.created&limit=200", None, key, 200)["items"]]
        assert len(ids) == 24
        for number in range(4):
            assert [got.id for got in receiver.got if got.path == f"/{number}"] == ids
        assert one.crashes() == two.crashes() == []


def _let_the_lease_run_out(folder: Path) -> None:
    """As if a minute had passed."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(folder / "authsvc.db")) as connection, connection:
        assert connection.execute("UPDATE webhooks SET lease_until = 1 WHERE lease_until > 0").rowcount == 1
