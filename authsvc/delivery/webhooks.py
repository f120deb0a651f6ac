"""Sending events to webhooks: each in its own order and at its own pace, at least once, whatever the others do.

The events themselves are the queue; a webhook stands at a place in it. So an event costs its request nothing more,
however many webhooks there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from authsvc import events
from authsvc.config.settings import Settings
from authsvc.delivery.attempts import attempt
from authsvc.delivery.posting import Poster, Tried, body_again, body_of
from authsvc.events import SYSTEM
from authsvc.primitives import ids
from authsvc.primitives.keyring import Keyring
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
ROWS_PER_READ = 100
ROWS_PER_NOTE = 5_000  # events that it does not want, after which its place is noted
REST_SECONDS = 1.0
GONE = 410
MOST_ADMINS = 20

Row = Mapping[str, Any]


class Step(NamedTuple):
    """What is sent next, and to which webhook. `seq`: its place among the events, None for what is sent out of turn; no
    body: the event was forgotten meanwhile."""

    webhook: Webhook
    event_id: str
    event_type: str
    body: bytes
    seq: int | None = None


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
        return sum(self._turn_of(webhook) for webhook in self._due() if not self._is_over)

    def run(self) -> None:
        """Deliver until stopped, looking for new events every second."""
        seen = 0
        while not self._is_over:
            tried = attempt(self._world, "webhooks", self.run_once)
            if not tried and not self._is_over:
                seen = self._world.wait_for_work(seen, REST_SECONDS)

    def stop(self) -> None:
        """Let the running delivery end, then stop."""
        self._stopping = True
        self._world.wake()

    @property
    def _is_over(self) -> bool:
        return self._stopping or self._world.is_ending  # each try takes a thread

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
            if self._is_in_turn(webhook) and max(webhook.next_seq, self._looked.get(webhook.id, 0) + 1) <= last
        }
        due = [webhook for webhook in free if webhook.id in wanting or webhook.id in behind]
        return sorted(due, key=lambda webhook: (webhook.failing_since is not None, webhook.last_success_at or 0))

    def _is_in_turn(self, webhook: Webhook) -> bool:
        """Whether its next event may be tried. A time that no schedule gives is of a clock that was set back."""
        wait = webhook.due_at - self._world.now()
        return bool(webhook.enabled) and not 0 < wait <= rules.LONGEST_MS

    def _turn_of(self, webhook: Webhook) -> int:
        """Its turn; a fault of ours, or of its row, keeps no other from theirs."""
        return attempt(self._world, f"webhooks: {webhook.id}", lambda: self._turn(webhook))

    def _turn(self, webhook: Webhook) -> int:
        """What somebody wants tried, then the next events in their order, up to the first that fails."""
        if not self._has_work(webhook):
            return 0
        with self._store.write() as tx:
            claimed = self._claim(tx, webhook)
        if claimed is None:
            return 0
        tried, until = 0, self._world.now() + TURN_MS
        try:
            while tried < EVENTS_PER_TURN and not self._is_over and self._world.now() < until:
                step = self._step(claimed)
                if step is None:
                    break
                tried += 1
                if not self._take(step):
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
        if not self._is_in_turn(webhook):
            return False
        if self._next(webhook) is not None:
            return True
        looked = self._looked.get(webhook.id, 0)
        if looked - webhook.next_seq >= ROWS_PER_NOTE:
            self._note_place(webhook, looked + 1)
        return False

    def _step(self, claimed: Webhook) -> Step | None:
        """What is to be sent now, to the webhook as it is now: it may have been changed since the turn began."""
        with self._store.read() as tx:
            webhook = tx.webhooks.get(claimed.id)
            if webhook is None or webhook.lease_id != claimed.lease_id:
                return None
            wanted = tx.deliveries.wanted(webhook.id, 1)
            number = tx.trail.number_of(wanted[0].event_id) if wanted else None
            rows = tx.trail.between(number - 1, number, 1) if number else []
        if wanted:
            return Step(webhook, wanted[0].event_id, wanted[0].event_type, body_again(wanted[0], rows))
        row = self._next(webhook) if self._is_in_turn(webhook) else None
        return Step(webhook, row["id"], row["action"], body_of(row), row["seq"]) if row else None

    def _next(self, webhook: Webhook) -> Row | None:
        """The next event that it wants, from where it stands."""
        above = max(webhook.next_seq - 1, self._looked.get(webhook.id, 0))
        while True:
            with self._store.read() as tx:
                rows = tx.trail.between(above, LAST, ROWS_PER_READ)
                present = tx.webhooks.get(webhook.id)  # read last: what happens after a wider wish is judged by that one
            if present is None:
                return None
            patterns = json.loads(present.events)
            for row in rows:
                if row["seq"] >= present.next_seq and rules.matches(patterns, row["action"]) and row["action"] in rules.NAMES:
                    return row
                above = self._looked[webhook.id] = row["seq"]
            if len(rows) < ROWS_PER_READ:
                return None

    def _take(self, step: Step) -> bool:
        """One try, and a note of how it ended; whether the turn goes on."""
        tried = self._poster.post(step.webhook, step.event_id, step.body) if step.body else Tried(None, "the event was forgotten", None, 0)
        now = self._world.now()
        with self._store.write() as tx:
            webhook = tx.webhooks.get(step.webhook.id)
            if webhook is None or webhook.lease_id != step.webhook.lease_id:
                return False
            self._note(tx, step, tried)
            if step.seq is None:
                return True
            if tried.error is None:
                return tx.webhooks.succeeded(webhook, now) and tx.webhooks.advance(webhook, step.seq + 1)
            moved = webhook.url != step.webhook.url
            if not moved:  # else it is no fault of where it goes now
                self._failed(tx, webhook, tried, now)
        return moved

    def _failed(self, tx: Tx, webhook: Webhook, tried: Tried, now: int) -> None:
        delay = rules.delay_ms(webhook.failures + 1, self._world.random_bytes(1)[0], tried.retry_after)
        failed = tx.webhooks.failed(webhook, now, now + delay)
        if failed is not None and (tried.status == GONE or now - (failed.failing_since or now) >= rules.PATIENCE_MS):
            self._disable(tx, failed, "gone" if tried.status == GONE else "failing", tried)

    def _note_place(self, webhook: Webhook, next_seq: int) -> None:
        with self._store.write() as tx:
            claimed = self._claim(tx, webhook)
            if claimed is not None:
                tx.webhooks.advance(claimed, next_seq)
                tx.webhooks.release(claimed)

    def _claim(self, tx: Tx, webhook: Webhook) -> Webhook | None:
        """Keep others from it. What was forgotten before it was served is told: it takes what comes for all that there was."""
        claimed = tx.webhooks.claim(webhook.id)
        if claimed is not None and claimed.enabled and (forgotten := tx.trail.forgotten(claimed.next_seq)):
            tx.webhooks.advance(claimed, claimed.next_seq + forgotten)
            data = {"url": urlsplit(webhook.url).netloc, "fields": [], "forgotten": forgotten}
            tx.events.record(events.WEBHOOK_UPDATED, SYSTEM, subject=webhook.id, data=data)
        return claimed

    def _note(self, tx: Tx, step: Step, tried: Tried) -> None:
        now = self._world.now()
        delivered_at = now if tried.error is None else None
        made = ids.new(ids.DELIVERY, self._world)
        ended = (tried.status, tried.error, tried.duration_ms)
        tx.count("deliveries_total", kind="webhook", outcome="put_off" if tried.error else "sent")
        tx.deliveries.note(Delivery(made, step.webhook.id, step.event_id, step.event_type, now, 1, now, None, delivered_at, *ended))

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
                tx.outbox.add_letter("webhook_disabled", admin.email, admin.locale, facts, ref=None, user_id=admin.id)
