"""`authsvc outbox list|retry|drop` and `authsvc worker`, beside a server or alone."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from authsvc.app import App
from authsvc.delivery.worker import Ended, Worker
from authsvc.store.outbox import DEAD, SENT
from authsvc.world import World
from tests.cli.conftest import PATIENCE_SECONDS, Cli
from tests.delivery import FROM, crowd, ends, message, put, recipients
from tests.delivery.test_worker import Courier, ending
from tests.letterbox import code, link
from tests.mailserver import Answer, mail_server
from tests.support import Client, FakeWorld, running

UNKNOWN = "dlv_" + "0" * 26
MEMBERS = {"id", "kind", "letter", "to", "state", "created_at", "due_at", "attempts", "last_error"}
BEFORE_MS = 60_000


@contextmanager
def at_rest(cli: Cli) -> Iterator[App]:
    """An app on the same database, whose clock is a little behind the machine's: what it puts in is due for a process."""
    world = FakeWorld()
    world.time = World().now() - BEFORE_MS
    with running(cli.folder, world) as app:
        yield app


def filled(cli: Cli) -> list[str]:
    """One that was sent, one that was given up, one that was put off and one that waits."""
    with at_rest(cli) as app:
        ids = []
        for to, outcome, error in zip(crowd(3), (SENT, DEAD, None), (None, "550 no such user", "451 later"), strict=True):
            ids += put(app, to)
            Worker(app.core.store, app.core.world, ending(outcome, error)).run_once()
        return ids + put(app, "waits@example.org", letter="test")


def test_the_list_shows_what_waits_or_was_given_up(cli: Cli) -> None:
    """One line each for people: id, state, tries, letter, address and what went wrong; what was delivered is left out."""
    sent, dead, later, waiting = filled(cli)
    ran = cli("outbox", "list")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split()[:2] for line in lines] == [[dead, "dead"], [later, "waiting"], [waiting, "waiting"]]
    assert "user-001@example.org" in lines[0]
    assert lines[0].endswith("550 no such user")
    assert "test" in lines[2]
    assert sent not in ran.out


def test_the_list_as_json_has_one_object_a_line(cli: Cli) -> None:
    """With times as everywhere, and nothing of the payload beyond letter and address."""
    _, dead, later, waiting = filled(cli)
    rows = cli("outbox", "list", "--json").objects()
    assert [row["id"] for row in rows] == [dead, later, waiting]
    assert {frozenset(row) for row in rows} == {frozenset(MEMBERS)}
    assert [(row["state"], row["attempts"], row["last_error"]) for row in rows] == [
        ("dead", 1, "550 no such user"),
        ("waiting", 1, "451 later"),
        ("waiting", 0, None),
    ]
    assert rows[0]["due_at"] is None
    assert rows[1]["due_at"] > rows[1]["created_at"]
    assert all(row["created_at"].endswith("Z") and row["kind"] == "mail" for row in rows)
    assert (rows[2]["letter"], rows[2]["to"]) == ("test", "waits@example.org")


def test_the_whole_list_has_what_was_delivered_too(cli: Cli) -> None:
    """--all: everything that is still kept, in the order of its making."""
    ids = filled(cli)
    assert [row["id"] for row in cli("outbox", "list", "--all", "--json").objects()] == ids
    assert [line.split()[1] for line in cli("outbox", "list", "--all").out.splitlines()] == ["sent", "dead", "waiting", "waiting"]


def test_a_long_list_is_whole(cli: Cli) -> None:
    """More messages than one page of the store: each is there once, in order."""
    with at_rest(cli) as app:
        ids = put(app, *crowd(999), "last@example.org")
    assert [row["id"] for row in cli("outbox", "list", "--json").objects()] == ids


def test_an_empty_outbox_is_an_empty_list(cli: Cli) -> None:
    """Nothing to show is no failure."""
    assert [cli("outbox", "list", *more).out for more in ((), ("--json",), ("--all",))] == ["", "", ""]


@pytest.mark.parametrize(("act", "told", "outcomes"), [("retry", "retried", [None, None]), ("drop", "dropped", ["dropped", "dropped"])])
def test_a_message_is_retried_or_dropped_by_its_id(cli: Cli, act: str, told: str, outcomes: list[str | None]) -> None:
    """The named one and no other, whether it waits or was given up; told in text or as an object."""
    sent, dead, later, waiting = filled(cli)
    ran = cli("outbox", act, dead)
    assert (ran.status, ran.out, ran.err) == (0, f"{told} {dead}\n", "")
    assert cli.json("outbox", act, later) == {told: later}
    with at_rest(cli) as app:
        assert [message(app, one).outcome for one in (dead, later)] == outcomes
        assert [message(app, one).attempts for one in (dead, later)] == ([0, 0] if act == "retry" else [1, 1])
        assert (message(app, sent).outcome, message(app, waiting).outcome) == ("sent", None)


@pytest.mark.parametrize(("act", "told"), [("retry", "retried"), ("drop", "dropped")])
def test_all_that_was_given_up_is_retried_or_dropped_at_once(cli: Cli, act: str, told: str) -> None:
    """--dead: those only; told one a line."""
    sent, _, later, waiting = filled(cli)
    with at_rest(cli) as app:
        put(app, "second@example.org")
        Worker(app.core.store, app.core.world, Courier(lambda one: Ended(one, None if one.id == waiting else DEAD, "554"))).run_once()
    dead = [row["id"] for row in cli("outbox", "list", "--json").objects() if row["state"] == "dead"]
    assert len(dead) == 2
    with at_rest(cli) as app:
        untouched = [message(app, one) for one in (sent, later, waiting)]
    assert cli("outbox", act, "--dead", "--json").objects() == [{told: one} for one in dead]
    with at_rest(cli) as app:
        assert [message(app, one) for one in (sent, later, waiting)] == untouched
        assert {message(app, one).outcome for one in dead} == {None if act == "retry" else "dropped"}
    assert cli("outbox", act, "--dead").out == ""


@pytest.mark.parametrize("act", ["retry", "drop"])
@pytest.mark.parametrize("message_id", [UNKNOWN, "nonsense", "usr_" + "0" * 26, "'; DROP TABLE outbox; --"])
def test_an_unknown_id_is_a_failure(cli: Cli, act: str, message_id: str) -> None:
    """Exit status 1, the id on standard error, nothing on standard output, nothing changed."""
    ids = filled(cli)
    ran = cli("outbox", act, message_id)
    assert (ran.status, ran.out) == (1, "")
    assert message_id in ran.err
    assert ran.err.startswith("authsvc: ")
    assert [row["id"] for row in cli("outbox", "list", "--all", "--json").objects()] == ids


def test_what_was_delivered_cannot_be_dropped(cli: Cli) -> None:
    """Exit status 1; it stays as it was."""
    sent, *_ = filled(cli)
    assert cli("outbox", "drop", sent).status == 1
    with at_rest(cli) as app:
        assert message(app, sent).outcome == "sent"


@pytest.mark.parametrize("arguments", [(), ("retry",), ("drop",), ("retry", UNKNOWN, "--dead"), ("list", UNKNOWN), ("retry", "--all")])
def test_wrong_use_is_told_as_such(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Neither an id nor --dead, both, or what there is not: exit status 2."""
    assert cli("outbox", *arguments).status == 2


def test_a_worker_delivers_what_is_due_once(cli: Cli) -> None:
    """`worker --once`: all that is due goes out, the process ends with 0 and prints nothing; a second one finds nothing."""
    with mail_server(cli.folder) as server:
        mail = {"AUTHSVC_MAIL": server.url(), "AUTHSVC_MAIL_FROM": FROM}
        with at_rest(cli) as app:
            put(app, *crowd(45))
        ran = cli.process("worker", "--once", **mail)
        assert (ran.status, ran.out, ran.err) == (0, "", "")
        assert recipients(server.messages) == dict.fromkeys(crowd(45), 1)
        assert cli.process("worker", "--once", **mail).status == 0
        assert len(server.messages) == 45
    with at_rest(cli) as app:
        assert set(ends(app).values()) == {"sent"}


def test_a_worker_that_fails_to_deliver_ends_well_and_loses_nothing(cli: Cli) -> None:
    """What was put off waits, what was refused is dead, and both are in the list; `retry` and another run deliver them."""
    with mail_server(cli.folder, behaviour=Answer(["550 5.1.1 unknown", "451 4.3.0 later"])) as server:
        mail = {"AUTHSVC_MAIL": server.url(), "AUTHSVC_MAIL_FROM": FROM}
        with at_rest(cli) as app:
            first, second, _ = put(app, *crowd(3))
        ran = cli.process("worker", "--once", **mail)
        assert ran.status == 0
        assert ("550 5.1.1 unknown" in ran.err, "451 4.3.0 later" in ran.err) == (True, True)
        listed = cli("outbox", "list", "--json").objects()
        assert [(row["id"], row["state"], row["last_error"]) for row in listed] == [
            (first, "dead", "550 5.1.1 unknown"),
            (second, "waiting", "451 4.3.0 later"),
        ]
        for one in (first, second):
            assert cli("outbox", "retry", one).status == 0
        assert cli.process("worker", "--once", **mail).status == 0
        assert recipients(server.messages) == dict.fromkeys(crowd(3), 1)
    assert cli("outbox", "list").out == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_on_a_signal(cli: Cli, number: signal.Signals) -> None:
    """It delivers what is there, rests, and ends with 0 when told to."""
    with mail_server(cli.folder) as server:
        with at_rest(cli) as app:
            put(app, *crowd(3))
        process = working(cli, AUTHSVC_MAIL=server.url(), AUTHSVC_MAIL_FROM=FROM)
        server.wait_for(3)
        process.send_signal(number)
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, "Traceback" in log) == (0, False), log
        assert log.splitlines()[-1] == "authsvc worker: stopped"
        assert recipients(server.messages) == dict.fromkeys(crowd(3), 1)
    with at_rest(cli) as app:
        assert set(ends(app).values()) == {"sent"}


def test_a_worker_delivers_for_a_server_that_does_not(cli: Cli) -> None:
    """`delivery=off` at the server: the mail of its requests goes out through the worker process."""
    with mail_server(cli.folder) as server:
        mail = {"AUTHSVC_MAIL": server.url(), "AUTHSVC_MAIL_FROM": FROM, "AUTHSVC_DELIVERY": "off"}
        with cli.serving(**mail) as served:
            body = {"email": "example@mail.com", "password": "violet-harbour-91", "options": {"sendEmail": True}}
            assert served.call("POST", "/register", body)[0] == 201
            assert [row["state"] for row in cli("outbox", "list", "--json").objects()] == ["waiting"]
            process = working(cli, **mail)
            server.wait_for(1)
            process.terminate()
            _, log = process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == 0, log
        assert [row["state"] for row in cli("outbox", "list", "--all", "--json").objects()] == ["sent"]


def working(cli: Cli, **settings: Any) -> subprocess.Popen[str]:
    """An `authsvc worker` that has begun."""
    process = subprocess.Popen(cli._command("worker"), cwd=cli.folder, env=cli._environment(settings), stderr=subprocess.PIPE, text=True)
    first = process.stderr.readline()
    assert first == "authsvc worker: delivering\n", first
    return process


def test_nothing_secret_is_listed(cli: Cli) -> None:
    """A waiting mail with a link and a code: neither is in the list, in any form."""
    with at_rest(cli) as app:
        Client(app).register(options={"verifyEmail": True})
        secrets = [link(app).rpartition(".")[2], code(app)]
    told = cli("outbox", "list", "--all").out + cli("outbox", "list", "--all", "--json").out
    assert json.loads(cli("outbox", "list", "--all", "--json").out)["letter"] == "verify"
    assert [secret for secret in secrets if secret in told] == []
