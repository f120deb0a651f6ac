"""The delivery threads: started by the first request, one set a process, anew after a fork, stopped cleanly."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.delivery.mail import MailCourier
from authsvc.events import SYSTEM
from authsvc.flows import outbox
from authsvc.problems import Problem
from authsvc.world import World
from tests.delivery import FROM, crowd, ends, message, put, recipients
from tests.faults.servers import PATIENCE_SECONDS, ROOT, environment, free_port, python
from tests.letterbox import UNLIMITED
from tests.mailserver import Behaviour, MailServer, mail_server
from tests.support import EMAIL, Client, FakeWorld, running, together
from tests.wire.servers import GUNICORN
from tests.wire.servers import serving as served

WELCOME = {"options": {"sendEmail": True}}
NEVER = 3_600.0


class Held(Behaviour):
    """Keeps each message until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    async def reply(self, connection: Any, command: str, address: str) -> str | None:
        if command == "DATA":
            self.entered.set()
            await asyncio.to_thread(self.let_go.wait, PATIENCE_SECONDS)
        return None


@pytest.fixture
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads look into the outbox only when they are woken."""
    monkeypatch.setattr("authsvc.delivery.worker.POLL_SECONDS", NEVER)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "delivery mail"]


def mailing(folder: Path, server: MailServer, **more: Any) -> Any:
    """A real app with delivery threads; the clock is the machine's."""
    return running(folder, World(), **{"mail": server.url(), "mail_from": FROM, "delivery": "threads", **UNLIMITED, **more})


@pytest.mark.usefixtures("no_polling")
def test_a_write_wakes_the_waiting_thread(tmp_path: Path) -> None:
    """Mail goes out because a request put it into the outbox, not because somebody looks now and then."""
    with mail_server(tmp_path) as server, mailing(tmp_path, server) as app:
        client = Client(app)
        for number, to in enumerate(crowd(5)):
            client.register(to, **WELCOME)
            server.wait_for(number + 1)
        assert recipients(server.messages) == dict.fromkeys(crowd(5), 1)


@pytest.mark.usefixtures("no_polling")
def test_what_is_revived_goes_out_at_once(tmp_path: Path) -> None:
    """`retry` in a process that delivers wakes its thread, too."""
    with mail_server(tmp_path) as server, mailing(tmp_path, server) as app:
        (message_id,) = put(app, EMAIL)
        Client(app).get("/healthz")
        server.wait_for(1)
        while message(app, message_id).done_at is None:
            pass  # it is taken; that this is noted takes a moment
        outbox.retry(app.core, message_id)
        server.wait_for(2)


def test_threads_start_with_the_first_request_once(tmp_path: Path) -> None:
    """Making an app starts nothing; of many first requests at once one starts the one thread, and close ends it."""
    with mail_server(tmp_path) as server:
        with mailing(tmp_path, server) as app:
            put(app, EMAIL)
            assert threads() == []
            together(16, lambda _: Client(app).get("/healthz"))
            assert len(threads()) == [worker.kind for worker in app.deliveries.workers].count("mail") == 1
            server.wait_for(1)
            Client(app).register(**WELCOME)
            server.wait_for(2)
            assert len(threads()) == 1
        assert threads() == []
    assert len(server.messages) == 2


def test_two_apps_in_one_process_have_threads_of_their_own(tmp_path: Path) -> None:
    """The end of one app leaves the other's delivery at work."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with mail_server(tmp_path) as server, mailing(tmp_path / "a", server) as a:
        with mailing(tmp_path / "b", server) as b:
            Client(a).register(crowd(3)[0], **WELCOME)
            Client(b).register(crowd(3)[1], **WELCOME)
            server.wait_for(2)
            assert len(threads()) == 2
        assert len(threads()) == 1
        Client(a).register(crowd(3)[2], **WELCOME)
        server.wait_for(3)
    assert threads() == []


def test_where_delivery_is_off_nothing_starts(tmp_path: Path) -> None:
    """`off`: mail waits for an `authsvc worker`, whatever is asked."""
    with mail_server(tmp_path) as server, mailing(tmp_path, server, delivery="off") as app:
        for to in crowd(3):
            Client(app).register(to, **WELCOME)
        assert threads() == []
        assert ends(app) == dict.fromkeys(crowd(3))
    assert server.connections == 0


def test_a_stop_lets_the_running_mail_end_and_keeps_the_rest(tmp_path: Path) -> None:
    """The mail under way is delivered and noted; the others of its batch are free at once, and arrive once, later."""
    held = Held()
    with mail_server(tmp_path, behaviour=held) as server:
        with mailing(tmp_path, server) as app:
            put(app, *crowd(5))
            Client(app).get("/healthz")
            assert held.entered.wait(PATIENCE_SECONDS)
            app.deliveries.workers[0].stop()
            held.let_go.set()
        assert threads() == []
        assert len(server.messages) == 1
        with mailing(tmp_path, server, delivery="off") as app:
            assert sorted(map(str, ends(app).values())) == ["None"] * 4 + ["sent"]
            assert app.deliveries.run_once() == 4, "they were not held by a lease"
        assert recipients(server.wait_for(5)) == dict.fromkeys(crowd(5), 1)


def test_a_hanging_server_does_not_hang_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its deadline the stop goes on without the thread; the mail is not lost."""
    monkeypatch.setattr("authsvc.delivery.threads.STOP_SECONDS", 0.2)
    held = Held()
    with mail_server(tmp_path, behaviour=held) as server:
        with mailing(tmp_path, server) as app:
            put(app, EMAIL)
            Client(app).get("/healthz")
            assert held.entered.wait(PATIENCE_SECONDS)
            (hanging,) = threads()
        assert hanging.is_alive(), "the stop waited for it"
        held.let_go.set()
        hanging.join(PATIENCE_SECONDS)
        assert not hanging.is_alive()
        app.core.store._close_readers()  # it opened them after the close, to note what became of the mail
        app.core.store._writer.close()
        with running(tmp_path, delivery="off") as app:
            assert set(ends(app)) == {EMAIL}


def test_threads_that_cannot_be_started_are_started_by_a_later_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of processes, reached for a while: every request is answered, the log says it once, and in the end all run, once each."""
    world, allowed = FakeWorld(), [2, 0, 1, NEVER]
    start = threading.Thread.start

    def start_if_allowed(thread: threading.Thread) -> None:
        if not allowed[0]:
            raise RuntimeError("can't start new thread")
        allowed[0] -= 1
        start(thread)

    with running(tmp_path, world, delivery="threads", **UNLIMITED) as app, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_if_allowed)
        for wanted in (2, 2, 3, 8, 8):
            assert Client(app).get("/healthz").status == 200
            ours = [thread.name for thread in threading.enumerate() if thread.name.startswith("delivery ")]
            assert len(ours) == wanted
            allowed[:1] = [] if len(allowed) > 1 else allowed
        told = [line for line in world.lines if "thread" in line]
        assert told == ["delivery: can't start new thread: 2 of 8 threads run; the others are tried again"]
        Client(app).register(**WELCOME)
        while ends(app) != {EMAIL: "sent"}:
            world.pause(0.01)
    assert threads() == []


def test_a_closed_app_starts_no_threads(tmp_path: Path) -> None:
    """A request that comes too late does not bring delivery back."""
    with mail_server(tmp_path) as server, mailing(tmp_path, server) as app:
        app.deliveries.run_here()
        app.deliveries.stop()
        app.deliveries.run_here()
        assert threads() == []


def test_a_tick_is_one_batch_of_each_kind_and_a_round_of_housekeeping(app: App, world: FakeWorld) -> None:
    """For hosts without threads: bounded, in the caller's thread, to be called again while there is more."""
    put(app, *crowd(MailCourier.batch + 3))
    with app.core.store.write() as tx:
        tx.events.record(events.USER_UPDATED, SYSTEM)
    assert app.tick() == MailCourier.batch
    assert Counter(ends(app).values()) == {"sent": MailCourier.batch, None: 3}
    assert app.tick() == 3
    assert app.tick() == 0
    assert len([line for line in world.lines if line.startswith("--- mail to ")]) == MailCourier.batch + 3
    world.advance(120)
    assert app.tick() == 1, "a row is sealed"
    assert threads() == []


def test_what_fails_in_a_tick_keeps_nobody_from_their_turn(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's problem, and a fault of ours, are logged; the mail goes out all the same."""
    sms = app.deliveries.workers[1]

    def fail(error: Exception) -> int:
        raise error

    monkeypatch.setattr(sms, "run_once", lambda: fail(Problem("busy", reason="a neighbour writes")))
    monkeypatch.setattr(app.deliveries.workers[-1], "run_once", lambda: fail(ZeroDivisionError()))
    put(app, EMAIL)
    assert app.tick() == 1
    assert ends(app) == {EMAIL: "sent"}
    told = "\n".join(app.core.world.lines)
    assert "delivery: sms: busy: a neighbour writes" in told
    assert "ZeroDivisionError" in told


def leases(folder: Path) -> int:
    """How much mail is not free for whoever comes next; read beside the log, which is left alone."""
    with closing(sqlite3.connect(f"file:{folder / 'authsvc.db'}?immutable=1", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM outbox WHERE done_at IS NULL AND lease_until > 0").fetchone()[0])


ENDING = """
import multiprocessing, sys
from authsvc import create_app
from tests.support import Client

def work(app=None):
    app = app or create_app()
    for number in range(20):
        Client(app).register(f"user-{number:03}@example.org", options={"sendEmail": True})
    if sys.argv[1] == "fails":
        raise SystemExit(3)

if __name__ == "__main__":
    if "multiprocessing" in sys.argv[1]:
        made = (create_app(),) if sys.argv[1].endswith("of an app") else ()
        child = multiprocessing.get_context("fork").Process(target=work, args=made)
        child.start()
        child.join()
        sys.exit(child.exitcode)
    work()
"""


@pytest.mark.parametrize("how", ["ends", "fails", "a multiprocessing child", "a multiprocessing child of an app"])
def test_an_app_that_nobody_closes_is_closed_when_its_process_ends(tmp_path: Path, how: str) -> None:
    """Hosts end without a word to their apps: no log is left beside the database, no mail held by a lease, none sent twice."""
    with mail_server(tmp_path) as server:
        settings = {"mail": server.url(), "mail_from": FROM, **UNLIMITED}
        run = python(tmp_path, "-c", ENDING, how, **settings)
        assert run.returncode == (3 if how == "fails" else 0), run.stderr
        assert "Traceback" not in run.stderr
        assert leases(tmp_path) == 0
        assert list(tmp_path.glob("authsvc.db-*")) == []
        with mailing(tmp_path, server, delivery="off") as app:
            while app.tick():
                pass
        assert recipients(server.messages) == dict.fromkeys(crowd(20), 1)


FORKING = """
import json, os, sys, threading
from authsvc import create_app
from tests.support import Client

def names():
    return [thread.name for thread in threading.enumerate()].count("delivery mail")

app = create_app()
client = Client(app)
told = {"before": names()}
if sys.argv[1] == "used":
    client.register("before@example.org", options={"sendEmail": True})
    told["used"] = names()
children = []
for number in range(2):
    (results, tell), (gate, opened) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        early = names()
        for mail in range(3):
            client.register(f"child-{number}-{mail}@example.org", options={"sendEmail": True})
        os.write(tell, json.dumps([early, names()]).encode())
        os.read(gate, 1)
        app.close()
        os._exit(names())
    children.append((pid, results, opened))
told["children"] = [json.loads(os.read(results, 1000)) for _, results, _ in children]
print(json.dumps(told), flush=True)
sys.stdin.readline()
statuses = []
for pid, _, opened in children:
    os.write(opened, b"x")
    statuses.append(os.waitpid(pid, 0)[1])
client.register("after@example.org", options={"sendEmail": True})
print(json.dumps(statuses), flush=True)
sys.stdin.readline()
app.close()
print(names(), flush=True)
"""


@pytest.mark.parametrize("parent", ["fresh", "used"])
def test_after_a_fork_each_process_delivers(tmp_path: Path, parent: str) -> None:
    """F12: a child starts threads of its own with its first request, whether or not the parent had some; no mail is lost or doubled."""
    with mail_server(tmp_path) as server:
        settings = {"mail": server.url(), "mail_from": FROM}
        process = subprocess.Popen(
            [sys.executable, "-c", FORKING, parent],
            cwd=ROOT,
            env=environment(tmp_path, free_port(), settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            told = json.loads(process.stdout.readline() or process.stderr.read())
            used = 1 if parent == "used" else 0
            server.wait_for(6 + used)
            process.stdin.write("\n")
            process.stdin.flush()
            statuses = json.loads(process.stdout.readline() or process.stderr.read())
            received = server.wait_for(7 + used)
            out, err = process.communicate("\n", timeout=PATIENCE_SECONDS)
        assert told == {"before": 0, "children": [[0, 1], [0, 1]]} | ({"used": 1} if used else {})
        assert statuses == [0, 0]
        assert (process.returncode, out.strip()) == (0, "0"), err
        wanted = [f"child-{child}-{mail}@example.org" for child in range(2) for mail in range(3)]
        wanted += ["after@example.org"] + ["before@example.org"] * used
        assert recipients(received) == dict.fromkeys(wanted, 1)


def test_preloaded_workers_of_gunicorn_deliver(tmp_path: Path) -> None:
    """The app is made before the fork; the workers that get requests deliver, each mail once."""
    command = (*GUNICORN[:-1], "--preload", GUNICORN[-1])
    with mail_server(tmp_path) as server:
        settings = {"AUTHSVC_MAIL": server.url(), "AUTHSVC_MAIL_FROM": FROM}
        settings |= {f"AUTHSVC_{name.upper()}": value for name, value in UNLIMITED.items()}
        with served(tmp_path, command, **settings) as service:
            for to in crowd(12):
                body = {"email": to, "password": "violet-harbour-91", **WELCOME}
                assert service.call("POST", "/register", body).status == 201
            assert recipients(server.wait_for(12)) == dict.fromkeys(crowd(12), 1)
            deadline, ended = monotonic() + PATIENCE_SECONDS, set[object]()
            while ended != {"sent"} and monotonic() < deadline:  # a mail has come a moment before its end is noted
                with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
                    ended = {outcome for (outcome,) in connection.execute("SELECT outcome FROM outbox")}
    assert ended == {"sent"}
