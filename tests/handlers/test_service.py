"""/healthz, /readyz and /problems/:code."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.problems import KINDS
from tests.support import Client, actions

WELL = {"process": "ok", "store": "ok", "key": "ok"}


@pytest.mark.parametrize(("path", "more"), [("/healthz", {}), ("/readyz", {"checks": WELL})])
def test_a_healthy_service_says_so(client: Client, app: App, path: str, more: dict[str, Any]) -> None:
    """200 `{"status": "ok"}` without credentials, uncached, and nothing on record; /readyz says what it has looked at."""
    answer = client.get(path)
    assert (answer.status, answer.json(), answer.header("Cache-Control")) == (200, {"status": "ok", **more}, "no-store")
    assert actions(app) == []
    assert (head := client.call("HEAD", path)).status == 200
    assert head.body == b""


def not_ready(app: App) -> dict[str, str]:
    """The checks of an answer that says no more than they do, while /healthz goes on; what is wrong is in the log alone."""
    client = Client(app)
    answer = client.get("/readyz")
    assert (answer.status, answer.code, answer.header("Retry-After")) == (503, "unavailable", "5")
    assert set(answer.json()) == {"type", "title", "status", "detail", "code", "request_id", "retry_after", "checks"}
    assert app.core.store.path not in answer.body.decode()
    assert "sqlite" not in answer.body.decode().lower()
    assert [line for line in app.core.world.lines[-2:] if line.startswith(f"{answer['request_id']}: unavailable: ")]
    assert client.call("HEAD", "/readyz").status == 503
    assert client.get("/healthz").json() == {"status": "ok"}
    found: dict[str, str] = answer["checks"]
    return found


def test_a_database_that_may_not_be_written_is_told(app: App) -> None:
    """`store_unwritable`; when it may again, all is well."""
    assert Client(app).get("/readyz").status == 200
    connection = app.core.store._writer._connection
    connection.execute("PRAGMA query_only=ON").fetchall()
    assert not_ready(app) == WELL | {"store": "store_unwritable", "key": "not_checked"}
    connection.execute("PRAGMA query_only=OFF").fetchall()
    assert Client(app).get("/readyz")["checks"] == WELL


def test_a_database_that_may_not_grow_is_told(app: App) -> None:
    """`store_full`: before requests find out, since the row that is written needs a page."""
    with app.core.store.write() as tx:
        tx._connection.execute("CREATE TABLE filler (text TEXT)")
        tx._connection.execute("DROP TABLE readiness")
        tx._connection.execute("CREATE TABLE readiness (only_row INTEGER PRIMARY KEY, checked_at TEXT NOT NULL, filler TEXT)")
        tx._connection.execute("INSERT INTO readiness VALUES (1, 0, NULL)")
        tx._connection.execute("CREATE TRIGGER grow AFTER UPDATE ON readiness BEGIN INSERT INTO filler VALUES (zeroblob(100000)); END")
    app.core.store._writer._connection.execute("PRAGMA max_page_count=1").fetchall()
    assert not_ready(app) == WELL | {"store": "store_full", "key": "not_checked"}
    app.core.store._writer._connection.execute("PRAGMA max_page_count=1073741823").fetchall()
    assert Client(app).get("/readyz")["checks"] == WELL


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("loss", ["removed", "replaced"])
def test_a_database_that_is_gone_is_told(app: App, loss: str, used: bool) -> None:
    """`store_missing`, also where another file stands in its place, opened or not; back in place, all is well."""
    assert not used or Client(app).get("/readyz").status == 200
    path = Path(app.core.store.path)
    path.rename(path.with_suffix(".aside"))
    if loss == "replaced":
        path.write_bytes(b"")
    assert not_ready(app) == WELL | {"store": "store_missing", "key": "not_checked"}
    assert path.exists() is (loss == "replaced"), "nothing makes a new one in its place"
    path.with_suffix(".aside").rename(path)
    assert Client(app).get("/readyz")["checks"] == WELL


def test_a_database_that_cannot_be_opened_is_not_told_as_missing(app: App) -> None:
    """`store_unwritable`: the process is out of descriptors, and the file is there."""
    app.core.store.rest()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        with suppress(OSError):
            while True:
                held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        assert not_ready(app) == WELL | {"store": "store_unwritable", "key": "not_checked"}
    assert Client(app).get("/readyz")["checks"] == WELL


def test_a_damaged_database_is_told(app: App) -> None:
    """`store_damaged`: its pages cannot be read."""
    app.core.store._writer._check, check = damaged, app.core.store._writer._check
    assert not_ready(app) == WELL | {"store": "store_damaged", "key": "not_checked"}
    app.core.store._writer._check = check


def damaged() -> None:
    error = sqlite3.DatabaseError("database disk image is malformed: /var/lib/secret.db")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise error


def test_a_database_of_another_key_is_told(app: App) -> None:
    """`key_unknown`: what is made here could not be checked by anybody who opens this database."""
    with app.core.store.write() as tx:
        tx._connection.execute("DELETE FROM secret_keys")
    assert not_ready(app) == WELL | {"key": "key_unknown"}


def test_a_service_that_stops_says_so_and_answers_still(app: App) -> None:
    """`stopping`: whoever spreads the load goes elsewhere; who has come is served."""
    app.begin_stop()
    assert not_ready(app) == WELL | {"process": "stopping"}
    assert Client(app).register().status == 201


def test_a_database_that_others_hold_is_busy(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 `busy` as every write would be, and the word for it."""
    monkeypatch.setattr("authsvc.store.writer.LOCK_SECONDS", 0.0)
    with closing(sqlite3.connect(app.core.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = Client(app).get("/readyz")
        other.execute("ROLLBACK")
    assert (answer.status, answer.code, answer["checks"]["store"]) == (503, "busy", "store_busy")
    assert Client(app).get("/readyz")["checks"] == WELL


def test_health_is_not_limited(client: Client) -> None:
    """A supervisor that asks often must not be told to wait: that would be taken for death."""
    assert {client.get("/healthz").status for _ in range(700)} == {200}
    assert client.get("/healthz").header("RateLimit") is None


@pytest.mark.parametrize("code", KINDS)
def test_every_code_has_its_page(client: Client, code: str) -> None:
    """The `type` of a problem leads to what it means."""
    answer = client.get(f"/problems/{code}")
    kind = KINDS[code]
    assert answer.status == 200
    assert answer.json() == {"code": code, "status": kind.status, "title": kind.title, "detail": kind.meaning}


@pytest.mark.parametrize("code", ["nope", "NOT_FOUND", "not_found%00", "%2e%2e", "__class__", "not_found.json"])
def test_an_unknown_code_is_not_found(client: Client, code: str) -> None:
    """Only the codes of the list have pages."""
    answer = client.get(f"/problems/{code}")
    assert (answer.status, answer.code) == (404, "not_found")


def test_the_type_of_a_problem_is_the_address_of_its_page(client: Client) -> None:
    """`type` is the public URL, `/problems/` and the code, and that path answers."""
    problem = client.get("/nowhere").json()
    assert problem["type"] == "http://127.0.0.1:8000/problems/not_found"
    page = client.get(problem["type"].removeprefix("http://127.0.0.1:8000"))
    assert (page.status, json.loads(page.body)["code"]) == (200, problem["code"])
