"""Sending events to webhooks: each in its own order and at its own pace, at least once, whatever the others do.

The events themselves are the queue; a webhook stands at a place in it. So an event costs its request nothing more,
however many webhooks there are.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from authsvc import events
from authsvc.config.settings import Settings
from authsvc.delivery.posting import Poster, Tried
from authsvc.events import SYSTEM
from authsvc.http.response import dumps
from authsvc.primitives import ids
from authsvc.primitives.keyring import Keyring
from authsvc.primitives.times import timestamp
from authsvc.problems import Problem
from authsvc.rules import webhooks as rules
from authsvc.rules.access import ADMIN
from authsvc.store.deliveries import Delivery
from authsvc.store.sqlite import Store
from authsvc.store.trail import LAST
from authsvc.store.tx import Tx
from authsvc.store.webhooks import LEASE_MS, Webhook
from authsvc.world import World

TURN_MS = 20_000  # no delivery begins later in a turn; with posting.SECONDS less than a lease
EVENTS_PER_TURN = 20
ROWS_PER_READ = 500
ROWS_PER_NOTE = 5_000  # events that it does not want, after which its place is noted
REST_SECONDS = 1.0
GONE = 410
MOST_ADMINS = 20
LETTER_SECONDS = 86_400

Row = Mapping[str, Any]


class WebhookWorker:
    """Gives each webhook that has something to get a turn. Several of them, in several processes, never serve the same
    one at a time."""

    kind = "webhooks"

    def __init__(self, settings: Settings, world: World, keyring: Keyring, store: Store) -> None:
        self._poster = Poster(settings.webhook_networks, world, keyring)
        self._world = world
        self._store = store
        self._stopping = False
        self._looked: dict[str, int] = {}  # by webhook: events up to here are nothing for it, though its row does not say so

    def run_once(self) -> int:
        """A turn for every webhook that is due; how many deliveries were tried."""
        return sum(self._turn(webhook) for webhook in self._due() if not self._stopping)

    def run(self) -> None:
        """Deliver until stopped, looking for new events every second."""
        seen = 0
        while not self._stopping:
            tried = 0
            try:
                tried = self.run_once()
            except Problem as problem:
                self._world.log(f"webhooks: {problem.code}: {problem.reason}")
            except Exception:  # noqa: BLE001 - whatever it was, the next turn may do better
                self._world.log(f"webhooks: {traceback.format_exc()}")
            if not tried and not self._stopping:
                seen = self._world.wait_for_work(seen, REST_SECONDS)

    def stop(self) -> None:
        """Let the running delivery end, then stop."""
        self._stopping = True
        self._world.wake()

    def _due(self) -> list[Webhook]:
        """Those that nobody serves and that something waits for, the longest unserved first."""
        now = self._world.now()
        with self._store.read() as tx:
            known = tx.webhooks.every()
            if not known:
                return []
            last, wanting = tx.trail.last() or 0, tx.deliveries.wanting()
        free = [webhook for webhook in known if not now < webhook.lease_until < now + 2 * LEASE_MS]
        behind = {
            webhook.id
            for webhook in free
            if webhook.enabled and webhook.due_at <= now and max(webhook.next_seq, self._looked.get(webhook.id, 0) + 1) <= last
        }
        due = [webhook for webhook in free if webhook.id in wanting or webhook.id in behind]
        return sorted(due, key=lambda webhook: webhook.last_success_at or 0)

    def _turn(self, webhook: Webhook) -> int:
        """What somebody wants tried, then the next events in their order, up to the first that fails."""
        if not self._has_work(webhook):
            return 0
        with self._store.write() as tx:
            claimed = tx.webhooks.claim(webhook.id)
        if claimed is None:
            return 0
        tried, until = 0, self._world.now() + TURN_MS
        try:
            for delivery, row in self._wanted(claimed):
                if self._stopping:
                    break
                tried += 1
                self._retry(claimed, delivery, row)
            in_turn = claimed.enabled and claimed.due_at <= self._world.now()
            for row in self._next(claimed) if in_turn else ():
                if self._stopping or tried >= EVENTS_PER_TURN or self._world.now() >= until:
                    break
                tried += 1
                if not self._deliver(claimed, row):
                    break
        finally:
            with self._store.write() as tx:
                tx.webhooks.release(claimed)
        return tried

    def _has_work(self, webhook: Webhook) -> bool:
        """Whether a turn would try anything: nothing is written for a webhook whose events others are."""
        with self._store.read() as tx:
            if tx.deliveries.wanted(webhook.id, 1):
                return True
        if not webhook.enabled or webhook.due_at > self._world.now():
            return False
        for _ in self._next(webhook):
            return True
        looked = self._looked.get(webhook.id, 0)
        if looked - webhook.next_seq >= ROWS_PER_NOTE:
            self._note_place(webhook, looked + 1)
        return False

    def _next(self, webhook: Webhook) -> Iterator[Row]:
        """The events that it wants, from where it stands."""
        above = max(webhook.next_seq - 1, self._looked.get(webhook.id, 0))
        while True:
            with self._store.read() as tx:  # what it wants, as it was when these were the last events
                present = tx.webhooks.get(webhook.id)
                rows = tx.trail.between(above, LAST, ROWS_PER_READ)
            patterns = json.loads(present.events) if present else []
            for row in rows:
                if rules.matches(patterns, row["action"]) and row["action"] in rules.NAMES:
                    yield row
                above = row["seq"]
                self._looked[webhook.id] = above
            if len(rows) < ROWS_PER_READ:
                return

    def _wanted(self, webhook: Webhook) -> list[tuple[Delivery, Row | None]]:
        with self._store.read() as tx:
            wanted = tx.deliveries.wanted(webhook.id, EVENTS_PER_TURN)
            numbers = [tx.trail.number_of(delivery.event_id) for delivery in wanted]
            rows = [tx.trail.between(number - 1, number, 1) if number else [] for number in numbers]
        return [(delivery, found[0] if found else None) for delivery, found in zip(wanted, rows, strict=True)]

    def _retry(self, webhook: Webhook, delivery: Delivery, row: Row | None) -> None:
        """Once, whatever comes of it; the order of the events is not touched."""
        if delivery.event_type == rules.TEST:
            body = dumps({"type": rules.TEST, "timestamp": timestamp(delivery.created_at), "data": {"id": delivery.event_id}})
        elif row is not None:
            body = dumps(rules.payload(row, timestamp(row["at"])))
        else:
            body = ""
        tried = self._poster.post(webhook, delivery.event_id, body.encode()) if body else Tried(None, "the event was forgotten", None, 0)
        with self._store.write() as tx:
            self._note(tx, webhook, delivery.event_id, delivery.event_type, tried)

    def _deliver(self, webhook: Webhook, row: Row) -> bool:
        """The next event in its turn; whether it was delivered, and still is this worker's to deliver."""
        tried = self._poster.post(webhook, row["id"], dumps(rules.payload(row, timestamp(row["at"]))).encode())
        now = self._world.now()
        with self._store.write() as tx:
            self._note(tx, webhook, row["id"], row["action"], tried)
            if tried.error is None:
                return tx.webhooks.succeeded(webhook, now) and tx.webhooks.advance(webhook, row["seq"] + 1)
            delay = rules.delay_ms(webhook.failures + 1, self._world.random_bytes(1)[0], tried.retry_after)
            failed = tx.webhooks.failed(webhook, now, now + delay)
            if failed is not None and (tried.status == GONE or now - (failed.failing_since or now) >= rules.PATIENCE_MS):
                self._disable(tx, failed, "gone" if tried.status == GONE else "failing", tried)
        self._looked[webhook.id] = row["seq"] - 1
        return False

    def _note_place(self, webhook: Webhook, next_seq: int) -> None:
        with self._store.write() as tx:
            claimed = tx.webhooks.claim(webhook.id)
            if claimed is not None:
                tx.webhooks.advance(claimed, next_seq)
                tx.webhooks.release(claimed)

    def _note(self, tx: Tx, webhook: Webhook, event_id: str, event_type: str, tried: Tried) -> None:
        now = self._world.now()
        delivered_at = now if tried.error is None else None
        made = ids.new(ids.DELIVERY, self._world)
        tx.deliveries.note(
            Delivery(made, webhook.id, event_id, event_type, now, 1, now, None, delivered_at, tried.status, tried.error, tried.duration_ms)
        )

    def _disable(self, tx: Tx, webhook: Webhook, reason: str, tried: Tried) -> None:
        """No more is sent, and those who can mend it are told."""
        if not tx.webhooks.disable(webhook, reason):
            return
        origin = urlsplit(webhook.url).netloc
        data = {"webhook_id": webhook.id, "url": origin, "reason": reason}
        tx.events.record(events.WEBHOOK_DISABLED, SYSTEM, subject=webhook.id, outcome="failure", data=data)
        facts = {"when": self._world.now(), "url": origin, "error": tried.error or ""}
        for admin in tx.users.with_role(ADMIN, MOST_ADMINS):
            if admin.email:
                payload = {"letter": "webhook_disabled", "to": admin.email, "locale": admin.locale, "facts": facts}
                tx.outbox.add("mail", admin.email.casefold(), payload, seconds=LETTER_SECONDS, user_id=admin.id)
