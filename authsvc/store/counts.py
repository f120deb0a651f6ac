"""The sums of all that every process has counted; what one has counted since is primitives/metrics.py."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

from authsvc.primitives.metrics import METRICS, Key

if TYPE_CHECKING:
    from authsvc.store.sqlite import Store

_ADD = """
INSERT INTO counts (name, labels, part, value) VALUES (:name, :labels, :part, :value)
ON CONFLICT (name, labels, part) DO UPDATE SET value = counts.value + excluded.value
"""


class Counts:
    """Table counts."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, counted: Mapping[Key, float]) -> None:
        """Add to the sums, always in one order, so that two who do it at once never wait for each other in a circle."""
        rows = [
            {"name": name, "labels": json.dumps(dict(zip(METRICS[name].labels, values, strict=True))), "part": part, "value": value}
            for (name, values, part), value in sorted(counted.items())
        ]
        self._connection.executemany(_ADD, rows)

    def every(self) -> dict[Key, float]:
        """All sums that this release knows; few, since labels have few values."""
        found: dict[Key, float] = {}
        for name, labels, part, value in self._connection.execute("SELECT name, labels, part, value FROM counts"):
            values = json.loads(labels)
            metric = METRICS.get(name)
            if metric is not None and set(values) == set(metric.labels):
                found[name, tuple(values[label] for label in metric.labels), part] = value
        return found


def settle(store: Store) -> None:
    """Add what this process has counted to the sums, if there is anything. Raises busy or unavailable, and forgets nothing."""
    if not store.metrics.has_news:
        return
    taken = store.metrics.take()
    try:
        with store.write() as tx:
            tx.counts.add(taken)
    except BaseException:
        store.metrics.add(taken.items())
        raise
