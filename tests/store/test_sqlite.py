"""The store on SQLite: its connections, reading beside writing, a file that goes away, and forks."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.events import Cause
from authsvc.problems import Problem
from authsvc.store.tx import Tx
from tests.support import EMAIL, Client, FakeWorld, actions, event_rows, make_app, running, together

PATIENCE_SECONDS = 30
FORKS = 5
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL: an fsync at each commit
    "fullfsync": 1,
    "foreign_keys": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
}


def test_the_writer_fsyncs_each_commit(app: App) -> None:
    """The writing connection is in WAL mode with synchronous=FULL; whatever the library's defaults are."""
    with app.core.store.write() as tx:
        assert {name: pragma(tx, name) for name in PRAGMAS} == PRAGMAS
        assert pragma(tx, "query_only") == 0


def test_every_reader_has_the_same_care_and_cannot_write(app: App) -> None:
    """Reading connections have the same pragmas, and refuse to change anything."""
    with app.core.store.read() as one, app.core.store.read() as other:
        for tx in (one, other):
            assert {name: pragma(tx, name) for name in PRAGMAS} == PRAGMAS
            assert pragma(tx, "query_only") == 1
    with pytest.raises(Problem, match="Unavailable"), app.core.store.read() as tx:
        mark(tx, "by a reader")
    assert event_rows(app) == []


def test_a_reader_sees_what_is_committed_and_nothing_else(app: App) -> None:
    """Each statement sees the latest commit; what another's open write block did is not there yet."""
    with app.core.store.read() as reader:
        with app.core.store.write() as writer:
            mark(writer, "open")
            assert seen(writer) == ["open"]
            assert seen(reader) == []
        assert seen(reader) == ["open"]
        note(app, "later")
        assert seen(reader) == ["open", "later"]


def test_reading_does_not_wait_for_a_writer_nor_a_writer_for_readers(app: App) -> None:
    """A write block that lasts stops no reader, in this or another thread; a read block that lasts stops no commit."""
    found: list[list[str]] = []

    def read() -> None:
        with app.core.store.read() as tx:
            found.append(seen(tx))

    note(app, "before")
    with app.core.store.write() as tx:
        mark(tx, "open")
        thread = threading.Thread(target=read)
        thread.start()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert found == [["before"]]
    with app.core.store.read() as reader:
        assert seen(reader) == ["before", "open"]
        note(app, "beside a reader")
        assert seen(reader) == ["before", "open", "beside a reader"]


def test_there_are_never_more_readers_than_read_at_once(app: App) -> None:
    """A thousand reads one after another, from many threads, use one connection; four at once use four, and give them back."""
    readers: set[int] = set()

    def read() -> None:
        for _ in range(20):
            with app.core.store.read() as tx:
                readers.add(id(tx))

    for _ in range(50):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert len(readers) == 1
    assert len(app.core.store._readers) == 1
    for _ in range(2):
        with ExitStack() as stack:
            at_once = [stack.enter_context(app.core.store.read()) for _ in range(4)]
            assert len({id(tx) for tx in at_once}) == 4
        assert len(app.core.store._readers) == 4


def test_a_reader_whose_block_failed_is_used_again(app: App) -> None:
    """An exception in a read block leaks no connection and leaves no snapshot behind."""
    for _ in range(10):
        with pytest.raises(LookupError), app.core.store.read() as tx:  # noqa: PT012 - the block is what fails
            seen(tx)
            raise LookupError
    assert len(app.core.store._readers) == 1
    note(app, "afterwards")
    with app.core.store.read() as tx:
        assert seen(tx) == ["afterwards"]


def test_a_wrong_statement_is_a_fault_and_not_a_shortage(app: App) -> None:
    """An error of ours comes out as SQLite raised it; it must not be told to callers as a reason to try again."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"), app.core.store.read() as tx:
        tx._connection.execute("SELECT * FROM nowhere")
    with pytest.raises(sqlite3.IntegrityError), app.core.store.write() as tx:
        tx._connection.execute("INSERT INTO secret_keys (kid, added_at) SELECT kid, 0 FROM secret_keys")
    note(app, "afterwards")
    assert [row["subject"] for row in event_rows(app)] == ["afterwards"]


@pytest.mark.parametrize("how", ["removed", "replaced by an empty file", "replaced by an older copy", "folder removed"])
def test_a_file_that_goes_away_is_503_and_nothing_is_written_elsewhere(tmp_path: Path, how: str) -> None:
    """F10: requests on a lost file are `unavailable`, never a false 401 or 409; no empty database appears in its place."""
    folder = tmp_path / "data"
    folder.mkdir()
    path, aside = folder / "authsvc.db", tmp_path / "aside"
    world = LaterWorld()
    with running(folder, world) as app:
        client = Client(app)
        made = client.register().json()
        before = actions(app)
        if how == "folder removed":
            folder.rename(aside)
        else:
            path.rename(aside)
        if how == "replaced by an empty file":
            path.touch()
        elif how == "replaced by an older copy":
            path.write_bytes(aside.read_bytes())
        at_once = client.get("/user", token=made["access_token"])
        assert (at_once.status, at_once.json().get("email")) == (200, EMAIL) or at_once.code == "unavailable"
        world.later += 60
        answers = [
            client.login(),
            client.login(password="wrong-harbour-91"),
            client.refresh(made["refresh_token"]),
            client.get("/user", token=made["access_token"]),
            client.post("/register", {"email": EMAIL}),
            client.post("/token/revoke", {"token": made["refresh_token"]}),
            client.get("/readyz"),
        ]
        assert [(answer.status, answer.code) for answer in answers] == [(503, "unavailable")] * len(answers)
        assert path.exists() == how.startswith("replaced")
        assert client.get("/healthz").status == 200
        if how == "folder removed":
            aside.rename(folder)
        else:
            aside.replace(path)
        assert client.refresh(made["refresh_token"]).status == 200
        assert client.login().status == 200
        assert actions(app) == [*before, "login.succeeded"]


def test_the_file_can_be_read_by_nobody_else(app: App) -> None:
    """Hashes and addresses are nobody else's business: neither the database nor its log is open to others."""
    Client(app).register()
    files = [Path(app.core.store.path + suffix) for suffix in ("", "-wal", "-shm", ".key", ".lock")]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 5


def test_closing_leaves_one_whole_file(tmp_path: Path) -> None:
    """A clean stop puts all into the main file: neither a log nor its index stays, and a copy of the file is everything."""
    with running(tmp_path) as app:
        Client(app).register()
        assert (tmp_path / "authsvc.db-wal").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authsvc.db", "authsvc.db.key", "authsvc.db.lock"]
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        assert connection.execute("SELECT email FROM users").fetchall() == [(EMAIL,)]


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """A host that stops in two ways does no damage; not even to somebody who opened the file meanwhile."""
    first = make_app(tmp_path)
    first.close()
    with running(tmp_path) as second:
        first.close()
        note(second, "still here")
        assert actions(second) == ["user.updated"]


def test_two_apps_in_one_process_share_a_file(tmp_path: Path) -> None:
    """No globals: what one app writes the other reads at once, and the first one's close takes nothing from the second."""
    world = FakeWorld()
    with running(tmp_path, world) as second:
        with running(tmp_path, world) as first:
            made = Client(first).register().json()
            assert Client(second).get("/user", token=made["access_token"])["email"] == EMAIL
            assert Client(second).refresh(made["refresh_token"]).status == 200
        assert Client(second).register("later@example.com").status == 201
        with closing(sqlite3.connect(second.core.store.path)) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used before"])
def test_parent_and_child_of_a_fork_both_write_and_read(app: App, used: bool) -> None:
    """F12: each side sees the other's writes; none of them waits for, or undoes, the other's."""
    if used:
        note(app, "before")
    with child(lambda: [note(app, "child"), seen_by(app)]) as result:
        pass
    assert result[0][1] == ["before"] * used + ["child"]
    note(app, "parent")
    assert seen_by(app) == ["before"] * used + ["child", "parent"]


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used before"])
def test_what_a_child_wrote_outlives_the_parents_close(tmp_path: Path, used: bool) -> None:
    """F12: a parent that ends must not take the log away under its child: what the child commits then is there."""
    app = make_app(tmp_path)
    if used:
        note(app, "before")
    with child(lambda: note(app, "early"), lambda: [note(app, "late"), seen_by(app)]) as result:
        app.close()
    assert result[1][1] == ["before"] * used + ["early", "late"]
    with running(tmp_path) as app:
        assert seen_by(app) == ["before"] * used + ["early", "late"]


def test_a_fork_beside_working_threads_loses_nothing(tmp_path: Path) -> None:
    """F12: whatever other threads read and write meanwhile, what the child was told is committed outlives the parent's close."""
    for number in range(FORKS):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        app = make_app(folder)
        done = threading.Event()

        def work(app: App = app, done: threading.Event = done) -> None:
            while not done.is_set():
                note(app, "parent")
                seen_by(app)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        with child(lambda app=app: note(app, "early"), lambda app=app: note(app, "late")) as result:
            done.set()
            for thread in threads:
                thread.join()
            app.close()
        assert result == [None, None]
        with closing(sqlite3.connect(folder / "authsvc.db")) as connection:
            found = [text for (text,) in connection.execute("SELECT subject FROM events WHERE subject <> 'parent' ORDER BY seq")]
        assert found == ["early", "late"]


def test_many_threads_at_once_may_be_the_first_to_use_a_child(app: App) -> None:
    """F12: a server with threads that is forked gets its first requests together; none of them waits for ever."""
    note(app, "before")

    def all_at_once() -> list[list[str]]:
        sys.setswitchinterval(1e-6)
        gate = threading.Barrier(16)
        found: list[list[str]] = []

        def work() -> None:
            gate.wait()
            found.append(seen_by(app))

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    for _ in range(20):
        with child(all_at_once) as result:
            pass
        assert result == [[["before"]] * 16]


def test_a_childs_close_leaves_the_parent_at_work(app: App) -> None:
    """F12: a child may close its app, or end without; the parent goes on, and a clean stop later is clean."""
    note(app, "before")
    with child(lambda: [note(app, "child"), app.close()]):
        pass
    with child(app.close):
        pass
    note(app, "parent")
    assert seen_by(app) == ["before", "child", "parent"]


def test_a_fork_that_python_is_not_told_of_is_noticed(app: App) -> None:
    """F12: uWSGI forks in C. The child, several threads at once, works on connections of its own, and its close closes them."""
    log = Path(f"{app.core.store.path}-wal")
    acts = (lambda: together(16, lambda number: note(app, f"child {number}")), app.close, log.exists)
    with child(*acts, fork=fork_in_c) as result:
        assert log.exists()
    assert result[2] is False
    note(app, "parent")
    assert sorted(seen_by(app)) == sorted([*(f"child {number}" for number in range(16)), "parent"])


def test_a_fork_that_python_is_not_told_of_while_the_database_is_open_is_refused(app: App) -> None:
    """F12: the child holds none of the locks that SQLite thinks it holds, so it touches nothing and says what to do."""
    note(app, "parent")

    def refused() -> list[str]:
        codes = []
        for act in (lambda: note(app, "child"), lambda: seen_by(app), lambda: note(app, "child")):
            with pytest.raises(Problem) as problem:
                act()
            codes.append(problem.value.code)
        return codes

    with child(refused, app.close, fork=fork_in_c) as result:
        pass
    assert result[0] == ["unavailable"] * 3
    note(app, "parent")
    assert seen_by(app) == ["parent"] * 2


class LaterWorld(FakeWorld):
    """A world whose monotonic clock can be put forward."""

    later = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later


def pragma(tx: Tx, name: str) -> Any:
    return tx._connection.execute(f"PRAGMA {name}").fetchone()[0]


def mark(tx: Tx, text: str) -> None:
    """Write an event that is known by this text."""
    tx.events.record(events.USER_UPDATED, Cause(), subject=text)


def note(app: App, text: str) -> None:
    with app.core.store.write() as tx:
        mark(tx, text)


def seen(tx: Tx) -> list[str]:
    return [text for (text,) in tx._connection.execute("SELECT subject FROM events ORDER BY seq")]


def seen_by(app: App) -> list[str]:
    with app.core.store.read() as tx:
        return seen(tx)


def fork_in_c() -> int:
    """A fork without the interpreter's hooks."""
    return int(ctypes.PyDLL(None).fork())


@contextmanager
def child(*acts: Callable[[], Any], fork: Callable[[], int] = os.fork) -> Iterator[list[Any]]:
    """A forked process that does the first act now and the others after the block; what they returned, or the error."""
    (results, told), (gate, opened) = os.pipe(), os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads, if another test left one
        pid = fork()
    if pid == 0:
        signal.alarm(PATIENCE_SECONDS)  # a child that hangs ends
        try:
            done: list[Any] = [acts[0]()]
            os.write(told, b"\n")
            os.read(gate, 1)
            done += [act() for act in acts[1:]]
            os.write(told, json.dumps(done).encode())
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(told, json.dumps([repr(error)]).encode())
        finally:
            os._exit(0)
    os.close(told)
    os.close(gate)
    with open(results, "rb") as answers:
        first = answers.readline()
        found: list[Any] = []
        yield found
        with suppress(BrokenPipeError):
            os.write(opened, b"\n")
        found += json.loads((answers.read() if first == b"\n" else first) or b'["it hung"]')
    os.close(opened)
    assert os.waitpid(pid, 0)[1] == 0
    assert not [item for item in found if isinstance(item, str)], found
