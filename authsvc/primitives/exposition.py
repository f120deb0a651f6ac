"""Metrics as Prometheus reads them: the text format 0.0.4. What there is to show is told by its caller."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from authsvc.primitives.metrics import HISTOGRAM, METRICS, SUM, Key, Metric, bounds

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus 3 fails a scrape over anything it cannot parse
PREFIX = "authsvc_"

Series = dict[tuple[str, ...], dict[str, float]]  # by the values of the labels, then by part


def render(samples: Mapping[Key, float]) -> str:
    """All metrics of the table, each with its samples beside it. What the table does not know (any more) is left out."""
    found: dict[str, Series] = {name: {} for name in METRICS}
    for (name, values, part), value in samples.items():
        metric = METRICS.get(name)
        if metric is not None and len(values) == len(metric.labels):
            found[name].setdefault(values, {})[part] = value
    return "".join(f"{line}\n" for metric in METRICS.values() for line in _lines(metric, found[metric.name]))


def _lines(metric: Metric, series: Series) -> Iterator[str]:
    name = PREFIX + metric.name
    yield f"# HELP {name} {_escaped(metric.help)}"
    yield f"# TYPE {name} {metric.kind}"
    if not metric.labels and metric.kind != "gauge":
        series = series or {(): {}}  # what was never counted is 0, so that its first step is one
    for values in sorted(series):
        labels = list(zip(metric.labels, values, strict=True))
        if metric.kind == HISTOGRAM:
            yield from _histogram(metric, name, labels, series[values])
        else:
            yield _sample(name, labels, series[values].get("", 0))


def _histogram(metric: Metric, name: str, labels: list[tuple[str, str]], parts: Mapping[str, float]) -> Iterator[str]:
    """Cumulative buckets, the sum and the count. A bound of another release counts for the next higher one of this."""
    counts = [0.0] * (len(metric.buckets) + 1)
    for part, count in parts.items():
        if part != SUM:
            counts[bisect_left(metric.buckets, float(part))] += count
    totals = list(accumulate(counts))
    for upper, total in zip(bounds(metric), totals, strict=True):
        yield _sample(f"{name}_bucket", [*labels, ("le", upper)], total)
    yield _sample(f"{name}_sum", labels, parts.get(SUM, 0))
    yield _sample(f"{name}_count", labels, totals[-1])


def _sample(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    shown = ",".join(f'{label}="{_quoted(text)}"' for label, text in labels)
    return f"{name}{{{shown}}} {_number(value)}" if shown else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
