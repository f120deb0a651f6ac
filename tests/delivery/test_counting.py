"""What a process has counted reaches the store by itself: in every process, whoever delivers, and after a fork."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic

import pytest

from authsvc.app import App
from authsvc.world import World
from tests.faults.servers import PATIENCE_SECONDS
from tests.support import Client, running

HEALTH = ("http_requests_total", ("GET", "/healthz", "200"), "")


def stored(app: App) -> float:
    with app.core.store.read() as tx:
        return tx.counts.every().get(HEALTH, 0)


def arrives(app: App, number: float) -> bool:
    deadline = monotonic() + PATIENCE_SECONDS
    while stored(app) < number and monotonic() < deadline:
        app.core.world.pause(0.01)
    return stored(app) == number


def threads() -> list[str]:
    return sorted({thread.name.removeprefix("delivery ") for thread in threading.enumerate() if thread.name.startswith("delivery ")})


@pytest.mark.parametrize("delivery", ["threads", "off"])
def test_counts_reach_the_store_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: str) -> None:
    """Every few seconds, also in a process that leaves deliveries and housekeeping to others; the thread ends with the app."""
    monkeypatch.setattr("authsvc.delivery.counting.SECONDS", 0.02)
    with running(tmp_path, World(), delivery=delivery) as app:
        for number in (1, 2, 3):
            Client(app).get("/healthz")
            assert arrives(app, number)
        assert threads() == (["counting"] if delivery == "off" else ["counting", "housekeeping", "mail", "sms", "webhooks"])
    assert threads() == []


def test_nothing_is_written_before_its_time(tmp_path: Path) -> None:
    """Work that other threads are woken for does not make this one write; the close does, in the end."""
    with running(tmp_path, World()) as app:
        for _ in range(50):
            Client(app).get("/healthz")
            app.core.world.wake()
        assert stored(app) == 0
    with running(tmp_path, World()) as app:
        assert stored(app) == 50


def test_a_store_that_is_away_is_no_word_in_the_log(app: App) -> None:
    """Requests tell of it; what was counted waits. A fault of ours is told, and is not the end of counting."""
    counting = app.deliveries._counting
    Client(app).get("/healthz")
    lines = list(app.core.world.lines)
    app.core.store._writer._check = gone
    counting.run_once()
    assert app.core.world.lines == lines
    app.core.store._writer._check = broken
    counting.run_once()
    assert "ZeroDivisionError" in app.core.world.lines[-1]
    app.core.store._writer._check = lambda: None
    counting.run_once()
    assert stored(app) == 1


def gone() -> None:
    from authsvc.problems import unavailable

    raise unavailable("store: it is away")


def broken() -> None:
    raise ZeroDivisionError
