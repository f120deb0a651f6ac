"""The one who empties the outbox: claims what is due, has it delivered, notes how it ended. `run_once` is the unit."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

from authsvc import events
from authsvc.delivery.attempts import attempt
from authsvc.events import SYSTEM
from authsvc.problems import Problem
from authsvc.rules.retries import delay_ms
from authsvc.store.outbox import DEAD, Message
from authsvc.store.sqlite import Store
from authsvc.world import ERROR, WARNING, World

_PERSONAL = re.compile(r"\S*@\S*|\+?[0-9]{6,}")

POLL_SECONDS = 5.0  # other processes add messages without waking us
SWEPT_PER_RUN = 50


class Ended(NamedTuple):
    """How a message ended: an outcome of store/outbox.py, or None when it is to be tried again."""

    message: Message
    outcome: str | None
    error: str | None = None


class Courier(Protocol):
    """Delivers messages of one kind. What it raises puts off whatever it has not told of."""

    @property
    def kind(self) -> str: ...

    @property
    def batch(self) -> int:
        """Messages claimed at once."""

    @property
    def lease_ms(self) -> int:
        """Longer than a batch takes."""

    def deliver(self, batch: Sequence[Message]) -> Iterator[Ended]: ...


class Worker:
    """Delivers one kind of message. Several workers, in several processes, never have the same one at a time."""

    def __init__(self, store: Store, world: World, courier: Courier) -> None:
        self._store = store
        self._world = world
        self._courier = courier
        self._stopping = False
        self.kind = courier.kind

    def run_once(self) -> int:
        """Deliver one batch; how many messages were in it."""
        with self._store.read() as tx:  # no write lock, no fsync, where nothing waits
            due = tx.outbox.next_due(self._courier.kind)
        if due is None or due > self._world.now() or self._world.is_ending:
            return 0
        with self._store.write() as tx:
            tx.outbox.sweep(SWEPT_PER_RUN)
            batch = tx.outbox.claim(self._courier.kind, self._courier.batch, self._courier.lease_ms)
        left = {message.id: message for message in batch}
        try:
            for ended in self._courier.deliver(batch):
                self._note(ended)
                del left[ended.message.id]
                if self._is_over:
                    break
        except Exception as error:  # noqa: BLE001 - a fault of ours delays these messages and no others
            self._world.log(f"delivery: {traceback.format_exc()}", ERROR)
            for message in left.values():
                self._note(Ended(message, None, f"internal error: {type(error).__name__}"))
        else:
            self._give_back(left.values())
        return len(batch)

    def run(self) -> None:
        """Deliver until stopped, resting when nothing is due."""
        seen = 0
        while not self._is_over:
            handled = attempt(self._world, "delivery", self.run_once)
            if not handled and not self._is_over:
                seen = self._world.wait_for_work(seen, self._rest_seconds())
        if not self._stopping:
            self._world.log(f"delivery: {self.kind}: the main thread has ended: what is due waits for another process", WARNING)

    def stop(self) -> None:
        """Let the running batch end, then stop."""
        self._stopping = True
        self._world.wake()

    @property
    def _is_over(self) -> bool:
        """Mail and SMS take a thread that watches the time: where none can be had, what is due is left to others."""
        return self._stopping or self._world.is_ending

    def _give_back(self, messages: Collection[Message]) -> None:
        """What a stop left undone is due at once, for whoever comes next."""
        if messages:
            with self._store.write() as tx:
                for message in messages:
                    tx.outbox.put_off(message, message.due_at, message.last_error)

    def _note(self, ended: Ended) -> None:
        message, outcome = ended.message, ended.outcome
        now = self._world.now()
        if outcome is None and now >= message.expires_at:
            outcome = DEAD
        with self._store.write() as tx:
            if outcome is None:
                due = now + delay_ms(message.attempts, self._world.random_bytes(1)[0])
                noted = tx.outbox.put_off(message, min(due, message.expires_at), ended.error)
            else:
                noted = tx.outbox.end(message, outcome, ended.error)
            if noted:
                tx.count("deliveries_total", kind=message.kind, outcome=outcome or "put_off")
            if noted and outcome == DEAD:
                data = {"delivery_id": message.id, "kind": message.kind, "error": _impersonal(ended.error or "")}
                tx.events.record(events.DELIVERY_FAILED, SYSTEM, subject=message.user_id, outcome="failure", data=data)
        if ended.error:
            self._world.log(f"delivery: {message.id} ({message.kind}): {outcome or 'put off'}: {ended.error}", WARNING)

    def _rest_seconds(self) -> float:
        try:
            with self._store.read() as tx:
                due = tx.outbox.next_due(self._courier.kind)
        except Problem:
            return POLL_SECONDS
        return POLL_SECONDS if due is None else min(POLL_SECONDS, max(0.05, (due - self._world.now()) / 1000))


def _impersonal(error: str) -> str:
    """What a server says, for the trail: without the address or number that it says it of. The log has it all."""
    return _PERSONAL.sub("…", error)
