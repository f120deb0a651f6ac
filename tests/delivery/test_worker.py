"""The worker: tries again ever later, gives up after a day, shares nothing with another, and outlives a faulty courier."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.delivery.mail import MailCourier
from authsvc.delivery.smtp import SmtpSender
from authsvc.delivery.worker import Ended, Worker
from authsvc.flows import outbox
from authsvc.problems import Problem
from authsvc.rules.retries import delay_ms
from authsvc.store.outbox import DEAD, KEPT_MS, LEASE_MS, NEEDLESS, SENT, Message
from tests.delivery import FROM, crowd, ends, errors, failures, impatient, message, put, recipients
from tests.faults.servers import PATIENCE_SECONDS, ROOT, environment, free_port
from tests.letterbox import counts
from tests.mailserver import mail_server
from tests.support import EMAIL, FakeWorld, actions, running, together

DAY_MS = 86_400_000
BATCH = MailCourier.batch


class Courier:
    """Ends every message as it is told to, and keeps count."""

    kind = "mail"
    batch = BATCH
    lease_ms = LEASE_MS

    def __init__(self, act: Callable[[Message], Ended]) -> None:
        self._act = act
        self.seen: list[str] = []

    def deliver(self, batch: Sequence[Message]) -> Iterator[Ended]:
        for one in batch:
            self.seen.append(one.id)
            yield self._act(one)


def ending(outcome: str | None, error: str | None = None) -> Courier:
    return Courier(lambda one: Ended(one, outcome, error))


def worker(app: App, courier: Courier) -> Worker:
    return Worker(app.core.store, app.core.world, courier)


def test_what_fails_is_tried_ever_later_and_given_up_after_a_day(app: App, world: FakeWorld) -> None:
    """Each delay is the rule's, the last try is at the end of the day, and then there is one event and no more tries."""
    (message_id,) = put(app, EMAIL)
    made_at = message(app, message_id).created_at
    courier = ending(None, "451 later")
    failing = worker(app, courier)
    while message(app, message_id).outcome is None:
        tried_at = world.now()
        assert failing.run_once() == 1
        row = message(app, message_id)
        assert row.attempts == len(courier.seen) < 100
        if row.outcome is None:
            delay = row.due_at - tried_at
            assert delay_ms(row.attempts, 0) <= delay <= delay_ms(row.attempts, 255) or row.due_at == made_at + DAY_MS
            world.advance((delay - 1) / 1000)
            assert failing.run_once() == 0, "it is not due yet"
            assert failures(app) == []
            world.advance(0.001)
    assert world.now() == made_at + DAY_MS
    assert 24 <= len(courier.seen) <= 45
    assert (row.outcome, row.done_at, row.last_error) == ("dead", world.now(), "451 later")
    assert failures(app) == [{"delivery_id": message_id, "kind": "mail", "error": "451 later"}]
    world.advance(DAY_MS / 1000)
    assert failing.run_once() == 0


def test_what_failed_together_does_not_come_back_together(app: App) -> None:
    """The delays of one batch differ."""
    ids = put(app, *crowd(BATCH))
    worker(app, ending(None, "down")).run_once()
    assert len({message(app, one).due_at for one in ids}) > BATCH // 2


def test_a_message_that_its_day_ran_out_on_still_gets_its_try(app: App, world: FakeWorld) -> None:
    """After a long outage nothing is given up untried."""
    (message_id,) = put(app, EMAIL)
    world.advance(3 * DAY_MS / 1000)
    courier = ending(SENT)
    assert worker(app, courier).run_once() == 1
    assert (courier.seen, message(app, message_id).outcome) == ([message_id], "sent")
    assert failures(app) == []


def test_what_was_given_up_is_revived_for_a_day(app: App, world: FakeWorld) -> None:
    """`retry` makes it due at once, and it has a whole day again."""
    (message_id,) = put(app, EMAIL)
    worker(app, ending(DEAD, "550 no")).run_once()
    world.advance(2 * DAY_MS / 1000)
    outbox.retry(app.core, message_id)
    assert worker(app, ending(None, "451 later")).run_once() == 1
    assert (message(app, message_id).outcome, message(app, message_id).attempts) == (None, 1)
    outbox.retry(app.core, message_id)
    assert worker(app, ending(SENT)).run_once() == 1
    assert (message(app, message_id).outcome, message(app, message_id).last_error) == ("sent", None)
    assert len(failures(app)) == 1


def test_what_is_dropped_is_not_delivered(app: App) -> None:
    """Neither what waits nor what was given up; what is unknown is told."""
    waiting, dead = put(app, *crowd(2))
    courier = Courier(lambda one: Ended(one, DEAD, "550 no") if one.id == dead else Ended(one, None, "451"))
    worker(app, courier).run_once()
    for one in (waiting, dead):
        outbox.drop(app.core, one)
        with pytest.raises(Problem, match="no message"):
            outbox.drop(app.core, one)
    assert worker(app, ending(SENT)).run_once() == 0
    assert set(ends(app).values()) == {"dropped"}


def test_what_is_done_is_swept_after_a_week_and_what_is_dead_stays(app: App, world: FakeWorld) -> None:
    """No cron: each batch that is claimed takes some of the old ones along."""
    sent, dead, needless = put(app, *crowd(3))
    outcomes = {sent: SENT, dead: DEAD, needless: NEEDLESS}
    worker(app, Courier(lambda one: Ended(one, outcomes[one.id]))).run_once()
    world.advance(KEPT_MS / 1000 + 1)
    (fresh,) = put(app, EMAIL)
    worker(app, ending(SENT)).run_once()
    assert counts(app, "outbox") == [2]
    assert (message(app, dead).outcome, message(app, fresh).outcome) == ("dead", "sent")


def test_while_one_delivers_no_other_has_the_message(app: App, world: FakeWorld) -> None:
    """A second worker finds nothing as long as the lease lasts."""
    put(app, EMAIL)
    found = []

    def act(one: Message) -> Ended:
        found.append(worker(app, ending(SENT)).run_once())
        world.advance(LEASE_MS / 1000 - 1)
        found.append(worker(app, ending(SENT)).run_once())
        return Ended(one, SENT)

    worker(app, Courier(act)).run_once()
    assert found == [0, 0]
    assert ends(app) == {EMAIL: "sent"}


@pytest.mark.parametrize("late", [(None, "451 late"), (DEAD, "550 late"), (NEEDLESS, None)], ids=["put off", "dead", "needless"])
def test_a_worker_that_lost_its_lease_changes_nothing(app: App, world: FakeWorld, late: tuple[str | None, str | None]) -> None:
    """What another delivered meanwhile stays delivered: no new try, no event."""
    (message_id,) = put(app, EMAIL)
    done = []

    def act(one: Message) -> Ended:
        world.advance(LEASE_MS / 1000)
        assert worker(app, ending(SENT)).run_once() == 1
        done.append(message(app, message_id))
        return Ended(one, *late)

    worker(app, Courier(act)).run_once()
    assert message(app, message_id) == done[0]
    assert done[0].outcome == "sent"
    assert actions(app) == []
    world.advance(DAY_MS / 1000)
    assert worker(app, ending(SENT)).run_once() == 0


def test_a_fault_of_a_courier_delays_only_its_batch(app: App, world: FakeWorld) -> None:
    """What was told before the exception counts, the rest of the batch waits, the next batch is delivered; the log has it all."""
    ids = put(app, *crowd(BATCH + 3))

    def act(one: Message) -> Ended:
        if one.id == ids[2]:
            raise ValueError("hunter2")
        return Ended(one, SENT)

    faulty = worker(app, Courier(act))
    assert [faulty.run_once(), faulty.run_once(), faulty.run_once()] == [BATCH, 3, 0]
    late = crowd(BATCH)[2:]
    assert ends(app) == dict.fromkeys(crowd(BATCH + 3), "sent") | dict.fromkeys(late)
    assert set(errors(app)) == {"internal error: ValueError"}
    assert failures(app) == []
    assert any("Traceback" in line and "ValueError" in line for line in world.lines)
    world.advance(60)
    assert worker(app, ending(SENT)).run_once() == len(late)
    assert set(ends(app).values()) == {"sent"}


def test_a_message_that_never_works_does_not_hold_up_the_others_for_ever(app: App, world: FakeWorld) -> None:
    """One poisoned message among many: within an hour all others are delivered, and it is given up after its day."""
    ids = put(app, *crowd(10))

    def act(one: Message) -> Ended:
        if one.id == ids[0]:
            raise ValueError(one.id)
        return Ended(one, SENT)

    faulty = worker(app, Courier(act))
    for _ in range(360):
        while faulty.run_once():
            pass
        world.advance(10)
    assert ends(app) == dict.fromkeys(crowd(10), "sent") | {crowd(1)[0]: None}
    for _ in range(25):
        world.advance(3_600)
        faulty.run_once()
    assert message(app, ids[0]).outcome == "dead"


def test_nothing_is_delivered_inside_a_write_block(app: App) -> None:
    """A courier may take its time: no other write waits for it."""
    put(app, *crowd(3))
    held = []

    def act(one: Message) -> Ended:
        held.append(app.core.store.held)
        put(app, f"while-{one.id}@example.com")
        return Ended(one, SENT)

    assert worker(app, Courier(act)).run_once() == 3
    assert held == [False] * 3
    assert len(ends(app)) == 6


def test_the_way_out_refuses_to_open_inside_a_write_block(tmp_path: Path) -> None:
    """Whoever would send under the lock finds out in the tests."""
    with mail_server(tmp_path) as server, running(tmp_path, mail=server.url()) as app:
        sender = SmtpSender(app.core.settings.mail, app.core.world, helo="example.com")
        with pytest.raises(AssertionError, match="write block"), app.core.store.write(), sender.connected():
            pass
    assert server.connections == 0


def test_a_stop_lets_the_running_message_end_and_gives_the_rest_back(app: App) -> None:
    """What was not begun is due at once, as if it had never been claimed by us."""
    ids = put(app, *crowd(4))
    stopping: list[Worker] = []

    def act(one: Message) -> Ended:
        if one.id == ids[1]:
            stopping[0].stop()
        return Ended(one, SENT)

    courier = Courier(act)
    stopping.append(worker(app, courier))
    stopping[0].run_once()
    assert courier.seen == ids[:2]
    assert [message(app, one).outcome for one in ids] == ["sent", "sent", None, None]
    assert [message(app, one).lease_id for one in ids] == [None] * 4
    assert worker(app, ending(SENT)).run_once() == 2


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_in_threads_deliver_each_mail_once(tmp_path: Path, workers: int) -> None:
    """However many empty one outbox at the same time, each of 200 mails goes out once."""
    with mail_server(tmp_path) as server, running(tmp_path, mail=server.url(), mail_from=FROM) as app:
        put(app, *crowd(200))

        def empty(_: int) -> int:
            own = impatient(app)
            return sum(iter(own.run_once, 0))

        handled = together(workers, empty)
        assert sum(handled) == 200
        assert recipients(server.wait_for(200)) == dict.fromkeys(crowd(200), 1)
        assert Counter(ends(app).values()) == {"sent": 200}


def test_workers_in_processes_deliver_each_mail_once(tmp_path: Path) -> None:
    """Two `authsvc worker --once` on one database: each of 200 mails goes out once, and nobody finds the file locked."""
    with mail_server(tmp_path) as server:
        with running(tmp_path) as app:
            app.core.world.time = 1_700_000_000_000  # due by the clock of the processes
            put(app, *crowd(200))
        settings = {"mail": server.url(), "mail_from": FROM}
        processes = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "authsvc", "worker", "--once"],
                cwd=ROOT,
                env=environment(tmp_path, free_port(), settings),
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        told = [process.communicate(timeout=PATIENCE_SECONDS)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], told
        assert told == ["", ""]
        assert recipients(server.wait_for(200)) == dict.fromkeys(crowd(200), 1)
        assert len(server.messages) == 200
    with running(tmp_path) as app:
        assert Counter(ends(app).values()) == {"sent": 200}
