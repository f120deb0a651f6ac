"""What is counted and measured: one table of all metrics, and the counters of one process. Their text form is exposition.py."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakSet

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"

SUM = "sum"  # the part of a histogram that is no bucket
SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # 0.25 and more is where people notice
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


class Counter:
    """One series of a counter, made once where it is counted often. Raises LookupError for what is not in the table: a fault
    of ours."""

    def __init__(self, name: str, **labels: str) -> None:
        self._key: Key = (name, _values(name, COUNTER, labels), "")

    def step(self, amount: float = 1) -> Increment:
        return self._key, amount


class Histogram:
    """One series of a histogram, likewise."""

    def __init__(self, name: str, **labels: str) -> None:
        values = _values(name, HISTOGRAM, labels)
        self._bounds = METRICS[name].buckets
        self._buckets: list[Key] = [(name, values, text) for text in bounds(METRICS[name])]
        self._sum: Key = (name, values, SUM)

    def step(self, value: float) -> tuple[Increment, Increment]:
        """One value: the lowest bucket whose bound is not below it, and the sum."""
        return (self._buckets[bisect_left(self._bounds, value)], 1), (self._sum, value)


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
        self._start()
        _registries.add(self)

    def _start(self) -> None:
        """Everything that belongs to one process."""
        self._lock = threading.Lock()
        self._pending: dict[Key, float] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.add((Counter(name, **labels).step(amount),))

    def observe(self, name: str, value: float, **labels: str) -> None:
        self.add(Histogram(name, **labels).step(value))

    def add(self, increments: Iterable[Increment]) -> None:
        """Count several things at once."""
        with self._lock:
            pending = self._pending
            for key, amount in increments:
                pending[key] = pending.get(key, 0) + amount

    def take(self) -> dict[Key, float]:
        """What has been counted; whoever takes it adds it to the sums, or gives it back by `add`."""
        with self._lock:
            taken, self._pending = self._pending, {}
        return taken

    @property
    def has_news(self) -> bool:
        """Whether there is something that is worth a write of its own."""
        with self._lock:
            return any(not METRICS[name].minor for name, _, _ in self._pending)


_registries: WeakSet[Metrics] = WeakSet()


def _renew_all() -> None:
    for registry in list(_registries):
        registry._start()


os.register_at_fork(after_in_child=_renew_all)
