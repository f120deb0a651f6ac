"""F10: a disk that is full or read-only, a damaged page, a log nobody reads. 503 or a working service, never a wrong answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from tests.faults.servers import FULL_DISK_BYTES, Load, Server, free_port, serving
from tests.faults.test_kill import assert_nothing_half_done, assert_whole
from tests.support import EMAIL, PASSWORD, Client, actions, make_app, running

UNAVAILABLE = (503, "unavailable")
PAGE_BYTES = 4_096
NO_LIMITS = {f"limit_{name}": 0 for name in LIMITS}


def test_f10_a_full_disk_is_503_and_never_a_wrong_answer(tmp_path: Path) -> None:
    """F10: while nothing can be written every act is 503 `unavailable`, reading goes on, and with space all goes on."""
    with serving(tmp_path) as server:
        caller = server.caller()
        made = caller.register(EMAIL).body
        with server.full_disk():
            answers = {
                "register": caller.register("late@example.com"),
                "login": caller.login(EMAIL),
                "wrong password": caller.login(EMAIL, "wrong-harbour-91"),
                "unknown address": caller.login("nobody@example.com"),
                "refresh": caller.refresh(made["refresh_token"]),
                "logout": caller.logout(made["refresh_token"]),
                "ready": caller.call("GET", "/readyz"),
            }
            assert {act: (answer.status, answer.code) for act, answer in answers.items()} == dict.fromkeys(answers, UNAVAILABLE)
            assert {answer.headers["retry-after"] for answer in answers.values()} == {"5"}
            assert answers["ready"].body["checks"]["store"] in ("store_full", "store_unwritable")  # as the file system tells it
            assert str(tmp_path) not in str(answers["ready"].body)
            assert caller.call("GET", "/healthz").status == 200
            assert caller.call("GET", "/user", token=made["access_token"]).body["email"] == EMAIL
        assert caller.refresh(made["refresh_token"]).status == 200, "the refused refresh spent the token"
        assert caller.login(EMAIL).status == 200
        assert caller.login(EMAIL, "wrong-harbour-91").status == 401
        assert caller.register("late@example.com").status == 201, "the refused registration left an account"
        assert caller.call("GET", "/readyz").status == 200
        assert server.stop() == 0
    with closing(sqlite3.connect(server.database)) as connection:
        assert_nothing_half_done(connection)
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)


def test_f10_a_disk_that_fills_up_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """F10: 16 clients get 503 while the disk is full and go on when it is not; all that was acknowledged is there."""
    with serving(tmp_path) as server:
        with Load([server.port], prefix="full") as load:
            for round_ in (1, 2, 3):
                load.wait_for(50)
                with server.full_disk():
                    load.wait_for_status(503, 100 * round_)
            load.wait_for(100)
        assert server.stop() == 0
    assert set(load.surprises) == {"503 unavailable"}
    assert set(load.statuses) == {200, 201, 503}
    assert load.cut == 0
    assert server.crashes() == []
    assert_whole(server.database, load.registered, load.sessions)


def test_f10_killed_on_a_full_disk_the_service_comes_back_whole(tmp_path: Path) -> None:
    """F10 with F9: a half-written log of a full disk is not taken for commits."""
    with serving(tmp_path) as server, Load([server.port], prefix="full") as load:
        load.wait_for(100)
        with server.full_disk():
            load.wait_for_status(503, 50)
            server.kill()
    with serving(tmp_path) as server:
        assert {server.caller().login(email).status for email in load.registered[:5]} == {200}
        assert server.stop() == 0
    assert_whole(server.database, load.registered, [])


def test_f10_a_stop_on_a_full_disk_is_a_clean_end(tmp_path: Path) -> None:
    """F10: when there is no room to tidy up, the stop leaves the log for the next start and does not fail."""
    with serving(tmp_path) as server:
        assert server.caller().register(EMAIL).status == 201
        with server.full_disk():
            status = server.stop()
        assert server.crashes() == []
        assert status == 0, server.lines
    with serving(tmp_path) as server:
        assert server.caller().login(EMAIL).status == 200


def test_f10_a_start_on_a_full_disk_is_refused_with_the_reason(tmp_path: Path) -> None:
    """F10: a first start without room says what is wrong in one line, and the next start with room works."""
    server = start_on_full_disk(tmp_path)
    assert server.wait() == 1
    assert server.crashes() == []
    assert len(server.log("authsvc: cannot ")) == 1, server.lines
    with serving(tmp_path) as server:
        assert server.caller().register(EMAIL).status == 201


@pytest.fixture
def signed_in(tmp_path: Path) -> Iterator[tuple[App, Client, dict[str, str]]]:
    with running(tmp_path, **NO_LIMITS) as app:
        client = Client(app)
        yield app, client, client.register().json()


def test_f10_a_database_that_may_not_grow_is_503(signed_in: tuple[App, Client, dict[str, str]]) -> None:
    """F10: SQLITE_FULL is 503 `unavailable`, undoes the whole request, and passes with the shortage."""
    app, client, made = signed_in
    bulky = {"password": PASSWORD, "metadata": {"filler": "x" * 3_500}}
    with refusing(app, "max_page_count=1"):
        answers = [client.post("/register", {"email": f"{number}@example.com", **bulky}) for number in range(10)]
        assert {answer.status for answer in answers} == {201, 503}
        assert {answer.code for answer in answers if answer.status != 201} == {"unavailable"}
        assert actions(app) == ["user.registered"] * (1 + sum(answer.status == 201 for answer in answers))
        assert client.get("/user", token=made["access_token"]).status == 200
    assert {client.register(f"{number}@example.com").status for number, answer in enumerate(answers) if answer.status == 503} == {201}
    assert client.refresh(made["refresh_token"]).status == 200


def test_f10_a_database_that_turned_read_only_is_503(signed_in: tuple[App, Client, dict[str, str]]) -> None:
    """F10: SQLITE_READONLY is 503 `unavailable` in every act that writes, leaves no trace, and passes."""
    app, client, made = signed_in
    with refusing(app, "query_only=ON"):
        answers = [
            client.post("/register", {"email": "late@example.com", "password": PASSWORD}),
            client.login(),
            client.login(password="wrong-harbour-91"),
            client.refresh(made["refresh_token"]),
            client.post("/token/revoke", {"token": made["refresh_token"]}),
            client.put(f"/user/{made['user']['id']}", {"name": "Late"}, token=made["access_token"]),
            client.get("/readyz"),
        ]
        assert [(answer.status, answer.code) for answer in answers] == [UNAVAILABLE] * len(answers)
        assert client.get("/user", token=made["access_token"])["name"] is None
    assert actions(app) == ["user.registered"]
    assert client.register("late@example.com").status == 201
    assert client.refresh(made["refresh_token"]).status == 200
    assert client.login().status == 200


@pytest.mark.parametrize("damaged", ["users", "sqlite_autoindex_users_2", "sessions", "sqlite_autoindex_sessions_1"])
def test_f10_a_damaged_page_is_503_and_never_a_false_401(tmp_path: Path, damaged: str) -> None:
    """F10: an account whose page cannot be read is not an unknown account, and its session not an ended one."""
    with running(tmp_path) as app:
        made = Client(app).register().json()
    damage(tmp_path / "authsvc.db", damaged)
    app = make_app(tmp_path)
    try:
        client = Client(app)
        answers = [client.login(), client.refresh(made["refresh_token"]), client.get("/user", token=made["access_token"])]
        refused = {(answer.status, answer.code) for answer in answers if answer.status != 200}
    finally:
        app.close()
    assert refused == {UNAVAILABLE}


def test_a_log_that_nobody_reads_does_not_stop_the_service(tmp_path: Path) -> None:
    """When standard error is gone (a dead log collector), requests are still answered rightly, and the stop is clean."""
    with serving(tmp_path) as server:
        server.stop_listening_to_its_log()
        caller = server.caller()
        made = caller.register(EMAIL)
        assert made.status == 201
        assert caller.login(EMAIL).status == 200
        assert caller.login(EMAIL, "wrong-harbour-91").status == 401
        assert caller.refresh(made.body["refresh_token"]).status == 200
        with server.full_disk():
            assert caller.login(EMAIL).status == 503
        assert server.stop() == 0


@contextmanager
def refusing(app: App, pragma: str) -> Iterator[None]:
    """The writing connection is under this pragma: it may take no new page, or change none."""
    connection = app.core.store._writer._connection
    connection.execute(f"PRAGMA {pragma}").fetchall()
    try:
        yield
    finally:
        connection.execute("PRAGMA max_page_count=1073741823").fetchall()
        connection.execute("PRAGMA query_only=OFF").fetchall()


def damage(database: Path, name: str) -> None:
    """Overwrite the first page of a table or index."""
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


def start_on_full_disk(folder: Path) -> Server:
    """A server whose process may not write any file past its first bytes from the beginning on."""
    return Server(folder, free_port(), {}, file_bytes=FULL_DISK_BYTES)
