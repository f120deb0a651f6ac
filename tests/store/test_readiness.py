"""The row that shows whether the store can be written."""

from __future__ import annotations

import sqlite3

import pytest

from authsvc.app import App
from authsvc.problems import Problem
from tests.support import START, Client, FakeWorld


def test_touching_writes_one_row_again_and_again(app: App, world: FakeWorld) -> None:
    """Each look writes, so that it proves something; and it leaves one row, however often."""
    for number in range(3):
        assert Client(app).get("/readyz").status == 200
        with app.core.store.read() as tx:
            assert tx._connection.execute("SELECT * FROM readiness").fetchall() == [(1, START + number * 10_000)]
        world.advance(10)


def test_a_store_that_cannot_be_written_is_not_ready(app: App) -> None:
    """The look itself fails: nothing is remembered of better times."""
    assert Client(app).get("/readyz").status == 200
    with app.core.store.read() as tx, pytest.raises(sqlite3.OperationalError):
        type(tx.readiness).touch(tx.readiness, START)
    app.core.store._writer._connection.execute("PRAGMA query_only=ON").fetchall()
    with pytest.raises(Problem, match="Unavailable"), app.core.store.write() as tx:
        tx.readiness.touch(START)
    assert Client(app).get("/readyz").code == "unavailable"
    app.core.store._writer._connection.execute("PRAGMA query_only=OFF").fetchall()
    assert Client(app).get("/readyz").status == 200
