"""`authsvc audit verify`, `db stats` and the housekeeping of `worker --once`; and reading out the trail through a real server."""

from __future__ import annotations

import http.client
import json

from authsvc.world import World
from tests.auditing import record, seals, tamper
from tests.cli.conftest import PATIENCE_SECONDS, Cli
from tests.support import PASSWORD, FakeWorld, running


def test_a_whole_trail_is_ok(cli: Cli) -> None:
    """Exit status 0, in words and as an object."""
    with running(cli.folder) as app:
        record(app, 5)
    ran = cli("audit", "verify")
    assert (ran.status, ran.out, ran.err) == (0, "ok: 5 rows, sealed through 0\n", "")
    assert cli.json("audit", "verify") == {
        "ok": True, "rows": 5, "sealed_through": 0, "first_bad": None, "complete": True, "next_seq": None,
    }  # fmt: skip


def test_a_finding_is_exit_status_1(cli: Cli) -> None:
    """The first bad row is named, by number and id, with the reason."""
    with running(cli.folder) as app:
        record(app, 5)
        bad = tamper(app, "UPDATE events SET subject = 'x' WHERE seq > 2").first_bad
    assert bad is not None
    ran = cli("audit", "verify")
    assert (ran.status, ran.out) == (1, f"not ok: row 3 ({bad.id}): edited\n")
    ran = cli("audit", "verify", "--json")
    assert (ran.status, ran.json()["first_bad"]) == (1, {"seq": 3, "id": bad.id, "reason": "edited"})


def test_a_worker_that_runs_once_keeps_house(cli: Cli) -> None:
    """Where no thread does it, rows are sealed by whoever calls `worker --once`."""
    world = FakeWorld()
    world.time = World().now() - 120_000
    with running(cli.folder, world) as app:
        record(app, 5)
    assert cli("worker", "--once").status == 0
    with running(cli.folder) as app:
        assert [seal.through_seq for seal in seals(app)] == [5]


def test_sizes_are_told(cli: Cli) -> None:
    """The file, its log, and each table with its rows and the oldest of them."""
    with running(cli.folder) as app:
        record(app, 5)
    told = cli.json("db", "stats")
    assert told["path"] == str(cli.folder / "authsvc.db")
    assert told["file_bytes"] == (cli.folder / "authsvc.db").stat().st_size > told["free_bytes"]
    tables = {table["name"]: (table["rows"], table["oldest_at"]) for table in told["tables"]}
    assert tables["events"] == (5, "2027-01-15T08:00:00.000Z")
    assert tables["users"] == (0, None)
    text = cli("db", "stats").out
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("events")] == [["events", "5"]]


def test_a_server_reads_the_trail_out_in_chunks(cli: Cli) -> None:
    """Chunked, since nobody knows its length, so that a client can tell a whole one; a HEAD is empty."""
    created = cli("user", "create", "auditor@example.com", "--role", "admin", "--password-stdin", stdin=PASSWORD)
    assert created.status == 0
    with running(cli.folder) as app:
        record(app, 3000)
    with cli.serving() as served:
        _, login = served.call("POST", "/login", {"email": "auditor@example.com", "password": PASSWORD})
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)
        headers = {"Authorization": f"Bearer {login['access_token']}", "Accept": "application/x-ndjson"}
        for method, lines in (("HEAD", 0), ("GET", 3002), ("GET", 3002)):
            connection.request(method, "/audit/logs", headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200
            assert method == "HEAD" or (answer.getheader("Transfer-Encoding"), answer.getheader("Content-Length")) == ("chunked", None)
            found = [json.loads(line) for line in answer.read().splitlines()]
            assert len(found) == lines
        connection.close()
