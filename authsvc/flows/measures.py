"""What /metrics shows: the sums of all that was counted, and what is measured when somebody asks. By index only, never a whole table."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import authsvc
from authsvc.flows.core import Core
from authsvc.flows.sizes import bytes_of_log
from authsvc.primitives.exposition import render
from authsvc.primitives.metrics import METRICS, Key
from authsvc.rules import webhooks as rules
from authsvc.store.tx import Tx

OUTBOX_KINDS = ("mail", "sms")
MOST_MESSAGES = 10_000
MOST_EVENTS = 1_000  # of one webhook


def exposition(core: Core) -> str:
    """All metrics as text. What this process has counted is added to the sums first: shown on top of them, a counter would
    fall when the next one to be asked is another process. On a store that cannot be written to the sums are what they were."""
    core.settle()
    with core.store.read() as tx:
        stored = tx.counts.every() | _outbox(tx, core.world.now()) | _webhooks(tx) | _sizes(tx, core.store.path)
    return render(stored | _process(core))


def gauge(name: str, value: float, *labels: str) -> dict[Key, float]:
    """One measured value. Raises LookupError for a metric that is not in the table."""
    if len(METRICS[name].labels) != len(labels):
        raise LookupError(name)
    return {(name, labels, ""): value}


def _outbox(tx: Tx, now: int) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for kind in OUTBOX_KINDS:
        due = tx.outbox.next_due(kind)
        found |= gauge("outbox_messages", tx.outbox.waiting(kind, MOST_MESSAGES), kind)
        found |= gauge("outbox_overdue_seconds", 0 if due is None else max(0, now - due) / 1000, kind)
    return found


def _webhooks(tx: Tx) -> dict[Key, float]:
    states = dict.fromkeys(("well", "failing", "disabled"), 0)
    backlog = 0
    for webhook in tx.webhooks.every():
        states["disabled" if not webhook.enabled else "failing" if webhook.failing_since is not None else "well"] += 1
        if webhook.enabled:
            backlog += tx.trail.count_of(rules.wanted(json.loads(webhook.events)), webhook.next_seq, MOST_EVENTS)
    found = gauge("webhook_backlog_events", backlog)
    for state, number in states.items():
        found |= gauge("webhooks", number, state)
    return found


def _sizes(tx: Tx, path: str) -> dict[Key, float]:
    page_bytes, pages, free = tx.stats.pages()
    found = gauge("store_file_bytes", page_bytes * pages) | gauge("store_free_bytes", page_bytes * free)
    found |= gauge("store_wal_bytes", bytes_of_log(path))
    with suppress(OSError):
        disk = os.statvfs(path)
        found |= gauge("store_disk_free_bytes", disk.f_bavail * disk.f_frsize)
    return found


def _process(core: Core) -> dict[Key, float]:
    running, waiting = core.hasher.load
    return (
        gauge("hashes", running, "running")
        | gauge("hashes", waiting, "waiting")
        | gauge("process_start_time_seconds", core.arrive() / 1000)
        | gauge("build_info", 1, authsvc.__version__)
    )
