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


class Cell:
    """One number. Whoever counts often keeps it, and adds to it by `Metrics.step` or under the registry's lock."""

    __slots__ = ("key", "value")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.value = 0.0


class Histogram:
    """The cells of one histogram's series."""

    __slots__ = ("_bounds", "_buckets", "sum")

    def __init__(self, bounds: tuple[float, ...], buckets: list[Cell], total: Cell) -> None:
        self._bounds = bounds
        self._buckets = buckets
        self.sum = total

    def bucket(self, value: float) -> Cell:
        """The lowest one whose bound is not below the value."""
        return self._buckets[bisect_left(self._bounds, value)]


class Metrics:
    """What this process has counted and not yet added to the store's sums. Safe for threads and for a fork: what a parent
    has counted is the parent's to tell."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._cells: dict[Key, Cell] = {}
        _registries.add(self)

    def renew(self) -> None:
        """In a child, after a fork. Whoever keeps a cell goes on with it."""
        self.lock = threading.Lock()
        for cell in self._cells.values():
            cell.value = 0

    def counter(self, name: str, **labels: str) -> Cell:
        """The cell of one series. Raises LookupError as `increment` does."""
        return self._cell(increment(name, 0, labels)[0])

    def histogram(self, name: str, **labels: str) -> Histogram:
        values, metric = _values(name, HISTOGRAM, labels), METRICS[name]
        buckets = [self._cell((name, values, bound)) for bound in bounds(metric)]
        return Histogram(metric.buckets, buckets, self._cell((name, values, SUM)))

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.step(self.counter(name, **labels), amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        histogram = self.histogram(name, **labels)
        with self.lock:
            histogram.bucket(value).value += 1
            histogram.sum.value += value

    def step(self, cell: Cell, amount: float = 1) -> None:
        with self.lock:
            cell.value += amount

    def add(self, increments: Iterable[Increment]) -> None:
        """Count several things at once."""
        for key, amount in increments:
            self.step(self._cell(key), amount)

    def take(self) -> dict[Key, float]:
        """What has been counted; whoever takes it adds it to the sums, or gives it back by `add`."""
        with self.lock:
            taken = {key: cell.value for key, cell in self._cells.items() if cell.value}
            for cell in self._cells.values():
                cell.value = 0
        return taken

    @property
    def has_news(self) -> bool:
        """Whether there is something that is worth a write of its own."""
        with self.lock:
            return any(cell.value and not METRICS[cell.key[0]].minor for cell in self._cells.values())

    def _cell(self, key: Key) -> Cell:
        cell = self._cells.get(key)
        if cell is None:
            with self.lock:
                cell = self._cells.setdefault(key, Cell(key))
        return cell


_registries: WeakSet[Metrics] = WeakSet()


def _renew_all() -> None:
    for registry in list(_registries):
        registry.renew()


os.register_at_fork(after_in_child=_renew_all)
