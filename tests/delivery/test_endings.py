"""How an app ends: once or twice, cut short, late requests, in children of any kind, and while others still work for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.http.outbound import resolved
from authsvc.world import World
from tests.delivery import FROM, crowd, ends, message, put, recipients
from tests.delivery.test_threads import NEVER, leases
from tests.faults.servers import PATIENCE_SECONDS, python
from tests.hooks import receiving
from tests.letterbox import UNLIMITED
from tests.mailserver import Slow, mail_server
from tests.staff import admin
from tests.store.test_sqlite import child
from tests.support import Client, FakeWorld, make_app, running


class EndingWorld(FakeWorld):
    """A world that ends when it is told to."""

    is_ending = False

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Callable[[], object]] = []

    def at_exit(self, act: Callable[[], object]) -> Callable[[], None]:
        self.acts.append(act)

        def take_back() -> None:
            if act in self.acts:
                self.acts.remove(act)

        return take_back

    def end(self) -> None:
        for act in list(self.acts):
            act()


def left(folder: Path) -> list[str]:
    """What lies beside a database that is in use, or was not closed."""
    return [path.name for path in folder.glob("authsvc.db-*")]


def used(folder: Path, world: FakeWorld) -> App:
    """An app with the file open."""
    app = make_app(folder, world)
    Client(app).register()
    assert left(folder)
    return app


def test_a_second_close_closes_what_a_late_request_has_opened(tmp_path: Path) -> None:
    """It is answered, it is counted, and no log of the database stays."""
    app = used(tmp_path, EndingWorld())
    app.close()
    assert left(tmp_path) == []
    assert Client(app).get("/readyz").status == 200
    app.close()
    assert left(tmp_path) == []
    assert not app.core.store._writer.is_open


def test_a_close_within_a_close_waits_for_nobody(tmp_path: Path) -> None:
    """A second signal, whose handler closes too, comes while the first close holds the writer."""
    app = used(tmp_path, EndingWorld())
    app.close()
    with app.core.store._writer._turn:
        app.close()
    assert left(tmp_path) == []


def test_a_close_that_is_cut_short_closes_the_database_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while deliveries end: the file is closed, and the end of the process does the rest."""
    world = EndingWorld()
    app = used(tmp_path, world)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(app.deliveries, "stop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            app.close()
    assert left(tmp_path) == []
    assert len(world.acts) == 1
    world.end()
    assert world.acts == []
    assert app.deliveries._ended


def test_a_late_request_has_the_app_closed_again_at_the_end(tmp_path: Path) -> None:
    """Nobody closes it a second time, and nothing is left all the same."""
    world = EndingWorld()
    app = used(tmp_path, world)
    app.close()
    assert world.acts == []
    assert Client(app).get("/readyz").status == 200
    assert left(tmp_path)
    world.end()
    assert left(tmp_path) == world.acts == []


@pytest.mark.parametrize("act", ["request", "tick"])
def test_a_child_that_has_forgotten_the_end_is_told_of_it_again_once(tmp_path: Path, act: str) -> None:
    """multiprocessing clears what its parent wanted done at the end; the first use in a child wants it again."""
    world = EndingWorld()
    with running(tmp_path, world) as app:
        use = app.tick if act == "tick" else lambda: Client(app).get("/readyz").status
        with child(lambda: [world.acts.clear(), use(), use(), len(world.acts), world.end(), left(tmp_path)]) as result:
            pass
        assert result[0][3:] == [1, None, []]
        assert len(world.acts) == 1


LATE = """
import threading
from authsvc import create_app
from tests.delivery import crowd
from tests.delivery.test_endings import finished
from tests.support import Client

app = create_app()
for to in crowd(5):
    Client(app).register(to)

def go_on(main):
    main.join()
    for to in crowd(5):
        assert Client(app).post("/login/magic", {"email": to}).status == 202
    while not finished(app):
        app.core.world.pause(0.01)

threading.Thread(target=go_on, args=(threading.main_thread(),)).start()
"""


def finished(app: App) -> bool:
    """Whether all mail has been tried, or nobody is there to do it."""
    with app.core.store.read() as tx:
        rows = tx._connection.execute("SELECT attempts FROM outbox").fetchall()
    return all(attempts for (attempts,) in rows) or "delivery mail" not in {thread.name for thread in threading.enumerate()}


def test_mail_that_is_due_when_the_main_thread_has_ended_is_sent_or_left_to_others(tmp_path: Path) -> None:
    """From Python 3.12 on nobody can start a thread then, and a mail takes one: none fails of it, none is put off."""
    with mail_server(tmp_path) as server:
        settings = {"mail": server.url(), "mail_from": FROM, **UNLIMITED}
        run = python(tmp_path, "-c", LATE, **settings)
        assert (run.returncode, "Traceback" in run.stderr, "put off" in run.stderr) == (0, False, False), run.stderr
        assert leases(tmp_path) == 0
        assert left(tmp_path) == []
        with running(tmp_path, delivery="off", mail=server.url(), mail_from=FROM) as app:
            app.core.world.time = World().now()  # what is due, is due by the clock of the process
            app.tick()
            assert Counter(ends(app).values()) == {"sent": 5}
        assert recipients(server.messages) == dict.fromkeys(crowd(5), 1)


def test_where_no_thread_can_be_had_a_round_leaves_all_that_is_due_alone(tmp_path: Path) -> None:
    """Neither mail nor an event is claimed, sent or put off; who comes next has them at once."""
    world = EndingWorld()
    with receiving() as receiver, running(tmp_path, world, webhook_networks="127.0.0.0/8") as app:
        hook = {"url": receiver.url("/hook"), "events": ["user.registered"]}
        assert admin(app).call("POST", "/webhooks", hook).status == 201
        Client(app).register("new@example.org", options={"sendEmail": True})
        world.is_ending = True
        rounds = (app.deliveries.run_once, *(worker.run for worker in app.deliveries.workers))
        assert {act() for act in rounds} == {0, None}, "the threads of a worker end, too"
        assert (receiver.got, set(ends(app).values())) == ([], {None})
        world.is_ending = False
        app.deliveries.run_once()
        assert len(receiver.got) == 1
        assert set(ends(app).values()) == {"sent"}
    assert "delivery: mail: the main thread has ended: what is due waits for another process" in world.lines


def test_what_finds_no_thread_is_tried_again_without_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of processes: the mail is put off as if its server could not be reached."""
    world = FakeWorld()

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with mail_server(tmp_path) as server, running(tmp_path, world, mail=server.url(), mail_from=FROM) as app:
        (message_id,) = put(app, *crowd(1))
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refused)
            app.tick()
            with pytest.raises(OSError, match="can't start new thread"):
                resolved(world, "localhost", 25, 1.0)
        assert "Traceback" not in "\n".join(world.lines)
        assert message(app, message_id).last_error == "RuntimeError: can't start new thread"
        world.advance(60)
        app.tick()
        assert ends(app) == {crowd(1)[0]: "sent"}
    assert server.connections == 1


TICKING = """
import threading
from authsvc import create_app
from tests.support import Client

app = create_app()
for number in range(20):
    Client(app).register(f"user-{number:03}@example.org", options={"sendEmail": True})

def tick():
    while True:
        app.tick()

threading.Thread(target=tick, daemon=True).start()
while True:
    with app.core.store.read() as tx:
        if tx._connection.execute("SELECT count(*) FROM outbox WHERE lease_until > 0").fetchone()[0]:
            break
    app.core.world.pause(0.001)
"""


def test_the_end_of_a_process_waits_for_a_tick_on_another_thread(tmp_path: Path) -> None:
    """A host's timer is in the middle of a batch: the mail under way is noted, the others are free at once, no log is left."""
    with mail_server(tmp_path, behaviour=Slow(0.05)) as server:
        settings = {"mail": server.url(), "mail_from": FROM, "delivery": "off", **UNLIMITED}
        run = python(tmp_path, "-c", TICKING, **settings)
        assert (run.returncode, "Traceback" in run.stderr) == (0, False), run.stderr
        assert leases(tmp_path) == 0
        assert left(tmp_path) == []
        with running(tmp_path, delivery="off", mail=server.url(), mail_from=FROM) as app:
            assert Counter(ends(app).values())[None] > 0, "it ended in the middle"
            while app.tick():
                pass
        assert recipients(server.messages) == dict.fromkeys(crowd(20), 1)


def test_a_tick_that_stops_the_app_is_not_waited_for_by_itself(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal comes while its thread ticks: the round ends there, and so does the stop."""
    monkeypatch.setattr("authsvc.delivery.threads.STOP_SECONDS", NEVER)
    monkeypatch.setattr(app.deliveries.workers[0], "run_once", lambda: app.close() or 0)
    monkeypatch.setattr(app.deliveries.workers[1], "run_once", lambda: pytest.fail("its turn came after the end"))
    assert app.tick() == 0


def test_a_tick_that_hangs_does_not_hang_the_stop(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its deadline the stop goes on without it; a closed app ticks no more."""
    monkeypatch.setattr("authsvc.delivery.threads.STOP_SECONDS", 0.05)
    entered, let_go = threading.Event(), threading.Event()
    monkeypatch.setattr(app.deliveries.workers[0], "run_once", lambda: entered.set() or let_go.wait(PATIENCE_SECONDS) or 0)
    ticking = threading.Thread(target=app.tick)
    ticking.start()
    assert entered.wait(PATIENCE_SECONDS)
    app.close()
    assert ticking.is_alive(), "the stop waited for it"
    let_go.set()
    ticking.join()
    put(app, *crowd(3))
    assert app.tick() == 0
    assert set(ends(app).values()) == {None}
    app.close()
