"""F11: mail servers that are dead for long, kills and stops in the middle of delivery. No request notices, and no mail is lost."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import threading
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authsvc.flows import outbox
from authsvc.world import World
from tests.delivery import FROM, crowd, recipients
from tests.faults.servers import PATIENCE_SECONDS, Server, in_threads, serving
from tests.mailserver import Connection, MailServer, Received, Slow, mail_server
from tests.support import FakeWorld, running

USERS = 200
CLIENTS = 10
LEASE_SECONDS = 300
NEAR_MS = 3_000  # what is due so soon may be claimed at any moment


@dataclass
class Late(Slow):
    """Says when a mail is under way."""

    begun: threading.Event = field(default_factory=threading.Event)

    async def reply(self, connection: Connection, command: str, address: str) -> str | None:
        if command == "DATA":
            self.begun.set()
        return await super().reply(connection, command, address)


def nowhere(folder: Path) -> MailServer:
    """A mail server that is down; its port is known."""
    with mail_server(folder) as server:
        return server


def settings(server: MailServer, **more: Any) -> dict[str, Any]:
    return {"mail": server.url(), "mail_from": FROM, "public_url": "http://127.0.0.1:8000", **more}


def sign_up(server: Server, count: int = USERS) -> list[int]:
    """So many registrations from several clients at once, each with a welcome mail; the statuses."""

    def client(part: int) -> list[int]:
        caller = server.caller()
        answers = [caller.register(to, options={"sendEmail": True}) for to in crowd(count)[part::CLIENTS]]
        return [answer.status if answer else 0 for answer in answers]

    return [status for statuses in in_threads(CLIENTS, client) for status in statuses]


def outcomes(folder: Path) -> Counter[str | None]:
    with closing(sqlite3.connect(folder / "authsvc.db")) as connection:
        return Counter(outcome for (outcome,) in connection.execute("SELECT outcome FROM outbox"))


def retry_all(folder: Path) -> None:
    """`outbox retry` for everything that would otherwise rest for a while."""
    with running(folder, World()) as app:
        soon = app.core.world.now() + NEAR_MS
        for message in outbox.every(app.core, everything=False):
            if message.lease_until is None and message.due_at > soon:
                outbox.retry(app.core, message.id)


def ids_by_recipient(received: list[Received]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in received:
        found.setdefault(one.recipients[0], set()).add(one.message["Message-ID"])
    return found


def test_f11_a_sign_up_of_200_without_a_mail_server_loses_no_mail(tmp_path: Path) -> None:
    """Every register answers 201; once the mail server is back on its port, every mail arrives exactly once."""
    down = nowhere(tmp_path)
    with serving(tmp_path, **settings(down)) as server:
        assert Counter(sign_up(server)) == {201: USERS}
        assert outcomes(tmp_path) == {None: USERS}
        with mail_server(tmp_path, port=down.port) as back:
            retry_all(tmp_path)
            assert recipients(back.wait_for(USERS, PATIENCE_SECONDS)) == dict.fromkeys(crowd(USERS), 1)
            assert server.stop() == 0
            assert len(back.messages) == USERS
        assert server.crashes() == []
    assert outcomes(tmp_path) == {"sent": USERS}


def test_f11_a_killed_service_sends_every_mail_at_least_once_and_duplicates_can_be_told(tmp_path: Path) -> None:
    """kill -9 during delivery: what was under way goes out again when its lease is over, under the same Message-ID."""
    down = nowhere(tmp_path)
    with serving(tmp_path, **settings(down)) as server:
        assert Counter(sign_up(server)) == {201: USERS}
        with mail_server(tmp_path, port=down.port, behaviour=Slow(0.01)) as back:
            retry_all(tmp_path)
            back.wait_for(30, PATIENCE_SECONDS)
            server.kill()
            assert outcomes(tmp_path)[None] > 0, "it was killed too late"
            world = FakeWorld()
            world.time = World().now() + LEASE_SECONDS * 1000
            with running(tmp_path, world, **settings(down)) as app:
                while app.deliveries.run_once():
                    pass
            received = back.wait_for(USERS, PATIENCE_SECONDS)
    found = ids_by_recipient(received)
    assert set(found) == set(crowd(USERS))
    assert {len(ids) for ids in found.values()} == {1}
    assert len(set().union(*found.values())) == USERS
    assert len(received) <= USERS + 1, "only what was in the air at the kill is sent again"
    assert outcomes(tmp_path) == {"sent": USERS}


def test_f11_a_stop_during_delivery_is_clean_and_loses_nothing(tmp_path: Path) -> None:
    """SIGTERM between two mails: exit status 0, what was sent is noted, and the next start sends the rest, each once."""
    with mail_server(tmp_path, behaviour=Slow(0.02)) as mails:
        with serving(tmp_path, **settings(mails, delivery="off")) as server:
            assert Counter(sign_up(server, 100)) == {201: 100}
        with serving(tmp_path, **settings(mails)) as server:
            mails.wait_for(5, PATIENCE_SECONDS)
            assert server.stop() == 0
            assert server.crashes() == []
        sent = len(mails.messages)
        assert 5 <= sent < 100
        assert outcomes(tmp_path) == {"sent": sent, None: 100 - sent}
        with serving(tmp_path, **settings(mails)) as server:
            assert recipients(mails.wait_for(100, PATIENCE_SECONDS)) == dict.fromkeys(crowd(100), 1)
            assert server.stop() == 0
        assert len(mails.messages) == 100
    assert outcomes(tmp_path) == {"sent": 100}


def test_f11_signals_upon_signals_cut_no_delivery_off(tmp_path: Path) -> None:
    """Whoever is impatient changes nothing: what is under way is finished and noted, and the database closed."""
    late = Late(1.0)
    with mail_server(tmp_path, behaviour=late) as mails, serving(tmp_path, **settings(mails)) as server:
        assert Counter(sign_up(server, 1)) == {201: 1}
        assert late.begun.wait(PATIENCE_SECONDS)
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(0.02)
        assert (server.wait(), server.crashes()) == (0, []), server.lines
    assert outcomes(tmp_path) == {"sent": 1}
    assert not Path(f"{tmp_path / 'authsvc.db'}-wal").exists()


def test_f11_a_server_that_starts_delivers_what_the_last_one_left(tmp_path: Path) -> None:
    """Mail that waited over a restart does not wait for the first request."""
    with mail_server(tmp_path) as mails:
        with serving(tmp_path, **settings(mails, delivery="off")) as server:
            assert Counter(sign_up(server, 20)) == {201: 20}
            assert server.stop() == 0
        assert mails.connections == 0
        with serving(tmp_path, **settings(mails)) as server:
            assert recipients(mails.wait_for(20, PATIENCE_SECONDS)) == dict.fromkeys(crowd(20), 1)
            assert server.stop() == 0
