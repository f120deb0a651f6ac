"""The writer: group commit, what an exception undoes, and who is told when a commit fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.events import Cause
from authsvc.primitives.metrics import Metrics
from authsvc.problems import Problem
from authsvc.store import writer as writers
from authsvc.store.tx import Tx
from authsvc.store.writer import Writer
from authsvc.world import World
from tests.support import FakeWorld, actions, event_rows, make_app, running

PATIENCE_SECONDS = 20


def test_a_lone_caller_commits_at_once(app: App) -> None:
    """Without others there is nobody to wait for: one write block, one commit."""
    with statements(app) as seen:
        note(app, "first")
        note(app, "second")
    assert seen.count("COMMIT") == 2
    assert marks(app) == ["first", "second"]


def test_callers_who_wait_share_one_commit(app: App) -> None:
    """However many wait for their turn together, one commit, with its fsync, makes all of their writes durable."""
    with statements(app) as seen:
        results = batch(app, [lambda tx, name=name: mark(tx, name) for name in "abcdefgh"])
    assert results == [None] * 8
    assert seen.count("COMMIT") == 1
    assert sorted(marks(app)) == list("abcdefgh")


def test_a_batch_ends_at_its_size_although_others_wait(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A steady stream of callers cannot put the first one's commit off for ever."""
    monkeypatch.setattr(writers, "MAX_BATCH", 3)
    with statements(app) as seen:
        results = batch(app, [lambda tx, name=name: mark(tx, name) for name in "abcdefgh"])
    assert results == [None] * 8
    assert seen.count("COMMIT") == 3
    assert sorted(marks(app)) == list("abcdefgh")


def test_nobody_returns_before_the_commit(app: App) -> None:
    """A caller whose block has ended still waits while the shared transaction is open; then another process sees the row."""
    returned: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def first() -> None:
        note(app, "first")
        returned.append("first")
        assert "first" in marks(app)

    def last() -> None:
        with app.core.store.write() as tx:
            inside.set()
            assert go_on.wait(PATIENCE_SECONDS)
            mark(tx, "last")
        returned.append("last")
        assert "last" in marks(app)

    with holding_the_turn(app) as holder:
        threads = [started(first)]
        until_waiting(app, 1)
        threads.append(started(last))
        until_waiting(app, 2)
        holder.set()
        assert inside.wait(PATIENCE_SECONDS)
        assert returned == []
        assert marks(app) == []
        go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(returned) == ["first", "last"]


@pytest.mark.parametrize("failing", ["first", "middle", "last", "every other", "all"])
def test_an_exception_undoes_only_its_caller(app: App, failing: str) -> None:
    """Whoever raises gets their own exception, and nothing of theirs is there; all others' writes are."""
    count = 8
    bad = {"first": {0}, "middle": {4}, "last": {7}, "every other": {1, 3, 5, 7}, "all": set(range(8))}[failing]

    def work(number: int) -> Callable[[Tx], None]:
        def act(tx: Tx) -> None:
            mark(tx, f"{number}")
            if number in bad:
                raise LookupError(number)
            mark(tx, f"{number} again")

        return act

    results = batch(app, [work(number) for number in range(count)])
    assert [type(result) for result in results] == [LookupError if number in bad else type(None) for number in range(count)]
    assert [result.args for result in results if result] == [(number,) for number in sorted(bad)]
    good = [number for number in range(count) if number not in bad]
    assert sorted(marks(app)) == sorted(text for number in good for text in (f"{number}", f"{number} again"))
    note(app, "afterwards")
    assert marks(app)[-1] == "afterwards"


def test_a_failed_commit_is_told_to_all_of_its_batch(app: App) -> None:
    """When the commit itself fails nobody is told of success, nothing of the batch is there, and the next one works."""

    def orphan(tx: Tx) -> None:
        tx._connection.execute("PRAGMA defer_foreign_keys=ON")
        tx._connection.execute("INSERT INTO user_roles (user_id, role, granted_at) VALUES ('usr_nobody', 'admin', 0)")

    results = batch(app, [lambda tx: mark(tx, "before"), orphan, lambda tx: mark(tx, "after")])
    assert [type(result) for result in results] == [RuntimeError] * 3
    assert marks(app) == []
    with closing(neighbour(app)) as connection:
        assert connection.execute("SELECT * FROM user_roles").fetchall() == []
    note(app, "afterwards")
    assert marks(app) == ["afterwards"]


def test_a_file_taken_away_before_the_commit_is_told_to_all_of_its_batch(app: App) -> None:
    """What would be committed into a removed file is told as unavailable, by a Problem of each caller's own."""
    path = Path(app.core.store.path)

    def take_away(tx: Tx) -> None:
        mark(tx, "thief")
        path.rename(path.with_name("elsewhere"))

    results = batch(app, [lambda tx: mark(tx, "before"), lambda tx: mark(tx, "also before"), take_away])
    path.with_name("elsewhere").rename(path)
    assert [isinstance(result, Problem) and result.code for result in results] == ["unavailable"] * 3
    assert len({id(result) for result in results}) == 3
    assert marks(app) == []
    note(app, "afterwards")
    assert marks(app) == ["afterwards"]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_transaction_that_sqlite_drops_is_told_to_all_of_it(app: App, place: int) -> None:
    """On a full disk SQLite may drop the whole transaction: everybody in it hears `unavailable`, and nothing is there."""
    note(app, "long before")
    order: list[str] = []

    def act(name: str) -> Callable[[Tx], None]:
        def write(tx: Tx) -> None:
            order.append(name)
            (fill if name == "filler" else mark)(tx, name)

        return write

    names = [*"abc"[:place], "filler", *"abc"[place:]]
    with no_room(app):
        results = dict(zip(names, batch(app, [act(name) for name in names]), strict=True))
    dropped = order[: order.index("filler") + 1]
    assert {name: isinstance(result, Problem) and result.code for name, result in results.items() if name in dropped} == dict.fromkeys(
        dropped, "unavailable"
    )
    assert [results[name] for name in order[len(dropped) :]] == [None] * (4 - len(dropped)), "the next transaction is its own"
    assert marks(app) == ["long before", *order[len(dropped) :]]
    note(app, "afterwards")
    assert marks(app)[-1] == "afterwards"


def test_a_write_block_inside_a_write_block_is_an_error(app: App) -> None:
    """It would wait for itself for ever; instead it is refused at once, and what was done around it is undone."""

    def nest() -> None:
        with app.core.store.write() as tx:
            mark(tx, "outer")
            note(app, "inner")

    error = in_time(nest)
    assert isinstance(error, RuntimeError)
    assert "inside a write block" in str(error)
    assert marks(app) == []
    note(app, "afterwards")
    assert marks(app) == ["afterwards"]


def test_hashing_inside_a_write_block_is_refused(app: App) -> None:
    """Tests find whoever hashes while holding the writer; outside of a block, or in another thread, it is allowed."""
    with pytest.raises(AssertionError, match="inside a write block"), app.core.store.write() as tx:  # noqa: PT012 - the block is what fails
        mark(tx, "before")
        app.core.hasher.hash("violet-harbour-91")
    assert marks(app) == []
    hashes: list[str] = []
    with app.core.store.write():
        started(lambda: hashes.append(app.core.hasher.hash("violet-harbour-91"))).join()
    assert len(hashes) == 1
    assert app.core.hasher.verify(hashes[0], "violet-harbour-91")


def test_another_process_that_holds_the_file_is_waited_for(tmp_path: Path) -> None:
    """A neighbour's short transaction delays us; no caller sees it."""
    world = PausingWorld()
    with running(tmp_path, world) as app, closing(neighbour(app)) as other:
        other.execute("BEGIN IMMEDIATE")
        world.at_pause = {5: lambda: other.execute("COMMIT")}
        note(app, "patient")
        assert marks(app) == ["patient"]
    assert world.pauses == 5


def test_another_process_that_never_lets_go_makes_us_busy(tmp_path: Path) -> None:
    """After ten seconds of a neighbour's transaction the caller is told `busy`, with a time to come back, and nothing is done."""
    world = PausingWorld()
    with running(tmp_path, world) as app, closing(neighbour(app)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Problem) as caught:
            note(app, "patient")
        assert (caught.value.code, caught.value.retry_after) == ("busy", 1)
        other.execute("ROLLBACK")
        assert marks(app) == []
        note(app, "afterwards")
        assert marks(app) == ["afterwards"]
    assert writers.LOCK_SECONDS <= world.seconds <= writers.LOCK_SECONDS + 1


def test_a_batch_whose_committer_died_is_committed_by_those_who_wait(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """If whoever was to commit was interrupted on the way, the others do it: nobody waits for ever."""
    monkeypatch.setattr(writers, "ABANDONED_SECONDS", 0.01)
    writer = app.core.store._writer
    with statements(app) as seen:
        writer._waiting += 1
        assert in_time(lambda: note(app, "left alone")) is None
        writer._waiting -= 1
    assert seen.count("COMMIT") == 1
    assert marks(app) == ["left alone"]


@pytest.mark.parametrize("broken", [("COMMIT",), ("COMMIT", "ROLLBACK")])
def test_a_commit_that_the_disk_refuses_is_unavailable(tmp_path: Path, broken: tuple[str, ...]) -> None:
    """An I/O error at the commit is `unavailable`; a connection that cannot even roll back is closed and replaced."""
    with running(tmp_path) as app:
        path = app.core.store.path
    made: list[Breaking] = []

    def connect() -> sqlite3.Connection:
        made.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0, factory=Breaking))
        return made[-1]

    writer = Writer(connect, lambda: None, FakeWorld(), Metrics())
    with writer.turn() as connection:
        connection.execute("INSERT INTO readiness (only_row, checked_at) VALUES (1, 1)")
    made[-1].broken = broken
    with pytest.raises(Problem) as caught, writer.turn() as connection:
        connection.execute("UPDATE readiness SET checked_at = 2")
    assert caught.value.code == "unavailable"
    made[-1].broken = ()
    with writer.turn() as connection:
        assert connection.execute("SELECT checked_at FROM readiness").fetchall() == [(1,)]
        connection.execute("UPDATE readiness SET checked_at = 3")
    assert len(made) == len(broken)
    writer.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT checked_at FROM readiness").fetchall() == [(3,)]


def test_many_threads_lose_nothing_and_share_commits(tmp_path: Path) -> None:
    """What 16 threads write in 20 blocks each is all there, each thread's in its order."""
    app = make_app(tmp_path)
    gate = threading.Barrier(16)

    def work(number: int) -> None:
        gate.wait()
        for turn in range(20):
            note(app, f"{number:02} {turn:02}")

    threads = [started(work, number) for number in range(16)]
    for thread in threads:
        thread.join()
    found = marks(app)
    app.close()
    assert sorted(found) == [f"{number:02} {turn:02}" for number in range(16) for turn in range(20)]
    for number in range(16):
        assert [text for text in found if text.startswith(f"{number:02}")] == [f"{number:02} {turn:02}" for turn in range(20)]
    assert not Path(f"{app.core.store.path}-wal").exists()


class PausingWorld(FakeWorld):
    """A world whose pauses take no time but count, and in which something may happen during one."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.pauses = 0
        self.at_pause: dict[int, Callable[[], Any]] = {}

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.pauses += 1
        self.at_pause.get(self.pauses, lambda: None)()


class Breaking(sqlite3.Connection):
    """A connection to a disk that refuses some statements."""

    broken: tuple[str, ...] = ()

    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        if sql in self.broken:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return super().execute(sql, *more)


def mark(tx: Tx, text: str) -> None:
    """Write an event that is known by this text."""
    tx.events.record(events.USER_UPDATED, Cause(), subject=text)


def note(app: App, text: str) -> None:
    with app.core.store.write() as tx:
        mark(tx, text)


def marks(app: App) -> list[str]:
    """The texts that another process finds there, in the order of their writing."""
    assert set(actions(app)) <= {"user.updated"}
    return [row["subject"] for row in event_rows(app)]


def neighbour(app: App) -> sqlite3.Connection:
    """A connection as another process would have it."""
    return sqlite3.connect(app.core.store.path, isolation_level=None, check_same_thread=False, timeout=0)


def fill(tx: Tx, text: str) -> None:
    """Write more than there is room for."""
    mark(tx, text)
    for number in range(100):
        mark(tx, f"{number}" * 1_000)


@contextmanager
def no_room(app: App) -> Iterator[None]:
    """A few pages are left for the writer."""
    connection = app.core.store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 5}").fetchall()
    try:
        yield
    finally:
        connection.execute("PRAGMA max_page_count=1073741823").fetchall()


@contextmanager
def statements(app: App) -> Iterator[list[str]]:
    """What SQLite is told on the writing connection."""
    with app.core.store.write():
        pass
    seen: list[str] = []
    connection = app.core.store._writer._connection
    connection.set_trace_callback(seen.append)
    try:
        yield seen
    finally:
        connection.set_trace_callback(None)


@contextmanager
def holding_the_turn(app: App) -> Iterator[threading.Event]:
    """The turn is taken, without a transaction, until the event is set; so that others gather before it."""
    free = threading.Event()
    taken = threading.Event()
    writer = app.core.store._writer

    def hold() -> None:
        with writer._turn:
            taken.set()
            assert free.wait(PATIENCE_SECONDS)

    thread = started(hold)
    assert taken.wait(PATIENCE_SECONDS)
    try:
        yield free
    finally:
        free.set()
        thread.join()


def batch(app: App, acts: list[Callable[[Tx], None]]) -> list[BaseException | None]:
    """Run the acts as callers of one transaction, as good as in this order; what each raised."""
    results: list[BaseException | None] = [None] * len(acts)

    def work(number: int) -> None:
        try:
            with app.core.store.write() as tx:
                acts[number](tx)
        except BaseException as error:  # noqa: BLE001 - it is what the test asks for
            results[number] = error

    with holding_the_turn(app) as holder:
        threads = []
        for number in range(len(acts)):
            threads.append(started(work, number))
            until_waiting(app, number + 1)
        holder.set()
    for thread in threads:
        thread.join()
    return results


def until_waiting(app: App, count: int) -> None:
    """Let other threads run until so many callers stand before the turn."""
    world = World()
    deadline = world.monotonic() + PATIENCE_SECONDS
    while app.core.store._writer._waiting < count:
        assert world.monotonic() < deadline
        world.pause(0)


def in_time(act: Callable[[], Any]) -> BaseException | None:
    """What the act raised; a failed test, and not one that hangs, if it waits for ever."""
    results: list[BaseException | None] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it is what the test asks for
            results.append(error)
        else:
            results.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert results, "it waits for ever"
    return results[0]


def started(act: Callable[..., Any], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=act, args=arguments)
    thread.start()
    return thread
