"""What is counted and measured: one table of all metrics, and the counters of one process. Their text form is exposition.py."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakSet

N = TypeVar("N")

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"

SUM = "sum"  # the part of a histogram that is no bucket
SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # 0.25 and more is where people notice
MOST_NOTES = 1_000  # of one tally
BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # up to store/writer.py's MAX_BATCH


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table. `buckets`: upper bounds of a histogram. `minor`: it changes by being written down, and so is
    written down together with others only."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    minor: bool = False


# Counters and histograms are sums over all processes since the database was made; gauges are read when somebody asks.
# Labels have few values: a route's pattern, never a path; no id, no address.
METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("http_requests_total", COUNTER, ("method", "route", "status"), "Answered requests; route is the pattern, or none."),
        Metric("http_request_duration_seconds", HISTOGRAM, ("route",), "Time from a request to its answer, or to the end of a stream.", SECONDS),
        Metric("events_total", COUNTER, ("event", "outcome"), "What happened to accounts: the names of the audit trail, and session.refreshed."),
        Metric("limit_charges_total", COUNTER, ("limit", "outcome"), "Charges to rate limits: allowed or refused."),
        Metric("deliveries_total", COUNTER, ("kind", "outcome"), "Tries to deliver mail, sms and webhooks; put_off ones are tried again."),
        Metric("hashes_refused_total", COUNTER, ("reason",), "Password hashes that were answered with busy."),
        Metric("store_commits_total", COUNTER, ("outcome",), "Commits of the database: done or failed.", minor=True),
        Metric("store_commit_transactions", HISTOGRAM, (), "Transactions that shared one commit.", BATCHES, minor=True),
        Metric("housekeeping_batches_total", COUNTER, ("chore", "outcome"), "Batches of housekeeping that found work (done), or failed."),
        Metric("housekeeping_rows_total", COUNTER, ("chore",), "Rows that housekeeping sealed, forgot or erased."),
        Metric("outbox_messages", GAUGE, ("kind",), "Messages that wait to be delivered; counted up to 10,000."),
        Metric("outbox_overdue_seconds", GAUGE, ("kind",), "For how long the first message in the outbox has been due."),
        Metric("webhooks", GAUGE, ("state",), "Webhooks by how they do: well, failing or disabled."),
        Metric("webhook_backlog_events", GAUGE, (), "Events that wait for an enabled webhook; counted up to 1,000 for each."),
        Metric("hashes", GAUGE, ("state",), "Password hashes in the process that answers: running or waiting."),
        Metric("store_file_bytes", GAUGE, (), "Size of the database file."),
        Metric("store_free_bytes", GAUGE, (), "Room in the database file for new rows."),
        Metric("store_wal_bytes", GAUGE, (), "Size of the write-ahead log."),
        Metric("store_disk_free_bytes", GAUGE, (), "Room on the disk that the database lies on."),
        Metric("process_start_time_seconds", GAUGE, (), "When the process that answers was started, in seconds since the epoch."),
        Metric("build_info", GAUGE, ("version",), "1; the label says which release answers."),
    )
}  # fmt: skip

Key = tuple[str, tuple[str, ...], str]  # name, values of the labels, and the part: a bucket's upper bound, SUM, or nothing
Increment = tuple[Key, float]


def increment(name: str, amount: float, labels: Mapping[str, str]) -> Increment:
    """One step of a counter. Raises LookupError for what is not in the table: a fault of ours."""
    return (name, _values(name, COUNTER, labels), ""), amount


def bounds(metric: Metric) -> list[str]:
    """The upper bounds of a histogram's buckets as they are written."""
    return [*(f"{value:g}" for value in metric.buckets), "+Inf"]


def _values(name: str, kind: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    metric = METRICS[name]
    if metric.kind != kind or len(labels) != len(metric.labels):
        raise LookupError(f"{name} is a {metric.kind} with the labels {metric.labels}")
    return tuple([labels[label] for label in metric.labels])


class Metrics:
    """What this process has counted and not yet added to the store's sums. Safe for threads and for a fork: what a parent
    has counted is the parent's to tell."""

    def __init__(self) -> None:
        self._tallies: list[Tally[Any]] = []
        self.renew()
        _registries.add(self)

    def renew(self) -> None:
        """At the start, and in a child after a fork."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._pending: dict[Key, float] = {}
        for tally in self._tallies:
            tally.clear()

    def arrive(self) -> None:
        """Before the first count in a process: it may be the child of a fork that Python was not told of."""
        if self._pid != os.getpid():
            self.renew()

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """One step of a counter. Raises LookupError as `increment` does."""
        self.add((increment(name, amount, labels),))

    def observe(self, name: str, *seen: float, **labels: str) -> None:
        """Values of a histogram: each is in the lowest bucket whose bound is not below it, and in the sum."""
        values, metric = _values(name, HISTOGRAM, labels), METRICS[name]
        buckets = Counter(bisect_left(metric.buckets, value) for value in seen)
        written = bounds(metric)
        self.add([*(((name, values, written[place]), number) for place, number in buckets.items()), ((name, values, SUM), sum(seen))])

    def add(self, increments: Iterable[Increment]) -> None:
        """Count several things at once."""
        with self._lock:
            for key, amount in increments:
                self._pending[key] = self._pending.get(key, 0) + amount

    def tally(self, count: Callable[[list[N]], None]) -> Tally[N]:
        """For what happens so often that it is counted many at a time."""
        made = Tally(count)
        self._tallies.append(made)
        return made

    def take(self) -> dict[Key, float]:
        """What has been counted; whoever takes it adds it to the sums, or gives it back by `add`."""
        self._count_notes()
        with self._lock:
            taken, self._pending = self._pending, {}
        return taken

    @property
    def has_news(self) -> bool:
        """Whether there is something that is worth a write of its own."""
        self._count_notes()
        with self._lock:
            return any(not METRICS[name].minor for name, _, _ in self._pending)

    def _count_notes(self) -> None:
        for tally in self._tallies:
            tally.count_notes()


class Tally(Generic[N]):
    """Notes that cost next to nothing to take. They are counted when somebody asks, or once there are many."""

    def __init__(self, count: Callable[[list[N]], None]) -> None:
        self._count = count
        self._notes: deque[N] = deque()

    def note(self, note: N) -> None:
        self._notes.append(note)
        if len(self._notes) >= MOST_NOTES:
            self.count_notes()

    def count_notes(self) -> None:
        """Each note once, however many threads do it at a time."""
        notes: list[N] = []
        with suppress(IndexError):
            while True:
                notes.append(self._notes.popleft())
        if notes:
            self._count(notes)

    def clear(self) -> None:
        self._notes.clear()


_registries: WeakSet[Metrics] = WeakSet()


def _renew_all() -> None:
    for registry in list(_registries):
        registry.renew()


os.register_at_fork(after_in_child=_renew_all)
