"""Counting, and the text that Prometheus reads, checked by the parser of its own client."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from authsvc.primitives.exposition import PREFIX, render
from authsvc.primitives.metrics import COUNTER, GAUGE, HISTOGRAM, METRICS, MOST_NOTES, SUM, Key, Metrics, increment
from tests.support import together

ROUTE = "http_request_duration_seconds"


def read(text: str) -> dict[tuple[Any, ...], float]:
    """Every sample by its name and labels, as the independent parser finds them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def total(metrics: Metrics, name: str) -> float:
    taken = metrics.take()
    metrics.add(taken.items())
    return sum(value for (counted, _, part), value in taken.items() if counted == name and part != SUM)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("nonsense_total", {}),
        ("events_total", {}),
        ("events_total", {"event": "login.failed"}),
        ("events_total", {"event": "login.failed", "outcome": "failure", "user": "usr_1"}),
        ("events_total", {"event": "login.failed", "result": "failure"}),
        ("webhooks", {"state": "well"}),
        (ROUTE, {"route": "/login"}),
    ],
)
def test_what_the_table_does_not_have_cannot_be_counted(name: str, labels: dict[str, str]) -> None:
    """An unknown name, another set of labels, or another kind of metric is a fault of ours, told at once."""
    metrics = Metrics()
    with pytest.raises(LookupError):
        metrics.count(name, **labels)
    assert metrics.take() == {}


def test_a_counter_is_no_histogram() -> None:
    """Only a histogram takes values."""
    with pytest.raises(LookupError):
        Metrics().observe("events_total", 1, event="login.failed", outcome="failure")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_named_as_prometheus_advises(metric: Any) -> None:
    """Counters end in _total, others do not; units are seconds or bytes; labels are plain and never `le`; help is a sentence."""
    assert metric.kind in (COUNTER, GAUGE, HISTOGRAM)
    assert metric.name.endswith("_total") is (metric.kind == COUNTER)
    assert not metric.name.endswith(("_ms", "_milliseconds", "_kib", "_mib", "_count", "_sum", "_bucket"))
    assert all(label.isidentifier() and label == label.lower() and not label.startswith("__") and label != "le" for label in metric.labels)
    assert metric.help.endswith(".")
    assert bool(metric.buckets) is (metric.kind == HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_an_empty_exposition_has_each_metric_once() -> None:
    """HELP and TYPE stand once for each, before its samples; what was never counted and has no labels is 0."""
    text = render({})
    assert text.endswith("\n")
    assert "\r" not in text
    for name, metric in METRICS.items():
        assert text.count(f"# HELP {PREFIX}{name} ") == text.count(f"# TYPE {PREFIX}{name} {metric.kind}\n") == 1
    families = list(text_string_to_metric_families(text))
    assert [family.name for family in families] == [PREFIX + name.removesuffix("_total") for name in METRICS]
    assert read(text)[PREFIX + "store_commit_transactions_count",] == 0


@given(
    st.dictionaries(
        st.tuples(st.text(st.characters(codec="utf-8")), st.sampled_from(["success", "failure"])), st.integers(1, 2**53), max_size=8
    )
)
def test_any_label_value_comes_back_as_it_was(counted: dict[tuple[str, str], int]) -> None:
    """Quotes, backslashes, line ends and whatever else: escaped so that a reader has the same values."""
    text = render({("events_total", values, ""): value for values, value in counted.items()})
    found = {key[1:]: value for key, value in read(text).items() if key[0] == PREFIX + "events_total"}
    assert found == {(("event", event), ("outcome", outcome)): value for (event, outcome), value in counted.items()}


@given(st.lists(st.floats(0, 100), max_size=30))
def test_a_histogram_counts_each_value_at_its_bound_and_above(values: list[float]) -> None:
    """`le` means less or equal: every bucket has the values up to its bound, the last one all, and the sum is theirs."""
    metrics = Metrics()
    for value in values:
        metrics.observe(ROUTE, value, route="/login")
    found = read(render(metrics.take()))
    route = ("route", "/login")
    if not values:
        assert (f"{PREFIX}{ROUTE}_count", route) not in found
        return
    for bound in METRICS[ROUTE].buckets:
        assert found[f"{PREFIX}{ROUTE}_bucket", ("le", f"{bound:g}"), route] == sum(value <= bound for value in values)
    assert found[f"{PREFIX}{ROUTE}_bucket", ("le", "+Inf"), route] == found[f"{PREFIX}{ROUTE}_count", route] == len(values)
    assert found[f"{PREFIX}{ROUTE}_sum", route] == pytest.approx(sum(values))


@pytest.mark.parametrize("bound", METRICS[ROUTE].buckets)
def test_a_value_on_a_bound_is_within_it(bound: float) -> None:
    """And one above it is not."""
    for value, within in ((bound, 1), (bound * 1.001, 0)):
        metrics = Metrics()
        metrics.observe(ROUTE, value, route="/login")
        assert read(render(metrics.take()))[f"{PREFIX}{ROUTE}_bucket", ("le", f"{bound:g}"), ("route", "/login")] == within


def test_a_bound_of_another_release_counts_for_the_next_higher_one() -> None:
    """Sums outlive a change of the bounds: no value is lost, and none seems to have been quicker than it was."""
    stored: dict[Key, float] = {(ROUTE, ("/login",), "0.07"): 3, (ROUTE, ("/login",), "99"): 2, (ROUTE, ("/login",), SUM): 5}
    found = read(render(stored))
    at = {key[1][1]: value for key, value in found.items() if key[0] == f"{PREFIX}{ROUTE}_bucket"}
    assert (at["0.025"], at["0.1"], at["10"], at["+Inf"]) == (0, 3, 3, 5)


def test_what_another_release_counted_is_left_out() -> None:
    """A metric that is no more, and one that has other labels now, are no reason to fail a scrape."""
    text = render({("gone_total", (), ""): 1, ("events_total", ("one",), ""): 1, ("webhooks", ("well",), ""): 2})
    assert "gone" not in text
    assert [key for key in read(text) if key[0] == PREFIX + "events_total"] == []
    assert read(text)[PREFIX + "webhooks", ("state", "well")] == 2


def test_threads_lose_no_count() -> None:
    """16 threads that count while somebody takes again and again: every step is in one of the takings, once."""
    metrics, taken = Metrics(), []

    def count(index: int) -> None:
        for _ in range(500):
            metrics.count("events_total", event="login.failed", outcome="failure")
            if index == 0:
                taken.append(metrics.take())

    together(16, count)
    taken.append(metrics.take())
    assert sum(value for one in taken for value in one.values()) == 16 * 500


def test_what_was_taken_can_be_given_back() -> None:
    """As if it had never been taken, with what was counted meanwhile."""
    metrics = Metrics()
    metrics.count("events_total", 2, event="login.failed", outcome="failure")
    taken = metrics.take()
    assert metrics.take() == {}
    metrics.count("events_total", event="login.failed", outcome="failure")
    metrics.add(taken.items())
    assert metrics.take() == dict([increment("events_total", 3, {"event": "login.failed", "outcome": "failure"})])


def test_writing_down_is_no_news() -> None:
    """The commit by which counts are written is counted too: it alone asks for no other one, or there would be no end."""
    metrics = Metrics()
    metrics.count("store_commits_total", outcome="done")
    metrics.observe("store_commit_transactions", 1)
    assert not metrics.has_news
    metrics.count("events_total", event="login.failed", outcome="failure")
    assert metrics.has_news
    assert len(metrics.take()) == 4


def test_a_fork_does_not_tell_again_what_its_parent_counted() -> None:
    """A child begins at nothing, notes that were not counted yet included; the parent keeps its own."""
    metrics = Metrics()
    tally = metrics.tally(lambda notes: metrics.count("events_total", len(notes), event="login.failed", outcome="failure"))
    tally.note("failure")
    metrics.count("events_total", event="login.failed", outcome="failure")
    metrics._lock.acquire()  # another thread of the parent may be counting just then
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # rather than wait for ever for a thread that did not come along
        status = 1
        try:
            tally.note("failure")
            status = 0 if total(metrics, "events_total") == 1 else 2
        finally:
            os._exit(status)
    metrics._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert total(metrics, "events_total") == 2


def test_notes_are_counted_when_somebody_asks_or_when_there_are_many() -> None:
    """Each once; and however many are taken before anybody asks, they take up no more room than some."""
    metrics = Metrics()
    tally = metrics.tally(lambda notes: metrics.count("events_total", len(notes), event="login.failed", outcome="failure"))
    tally.note("failure")
    assert metrics.has_news
    assert total(metrics, "events_total") == 1
    for _ in range(3 * MOST_NOTES):
        tally.note("failure")
        assert len(tally._notes) < MOST_NOTES
    assert total(metrics, "events_total") == total(metrics, "events_total") == 1 + 3 * MOST_NOTES


def test_threads_count_each_note_once() -> None:
    """Whoever counts them, and whoever takes notes meanwhile."""
    metrics, taken = Metrics(), []
    tally = metrics.tally(lambda notes: metrics.count("events_total", len(notes), event="login.failed", outcome="failure"))

    def act(index: int) -> None:
        for _ in range(MOST_NOTES):
            tally.note("failure")
            if index == 0:
                taken.append(metrics.take())

    together(8, act)
    taken.append(metrics.take())
    assert sum(value for one in taken for value in one.values()) == 8 * MOST_NOTES
