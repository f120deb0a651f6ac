"""Erasing what is personal in the trail of a deleted account, a bounded number of rows at a time."""

from __future__ import annotations

from typing import Any

from authsvc import events
from authsvc.app import App
from authsvc.events import Cause
from authsvc.primitives import ids
from authsvc.store import erasures
from authsvc.store.erasures import AT_ONCE, LINGER_MS
from authsvc.store.events import personal_mac, row_mac
from tests.letterbox import rows
from tests.support import FakeWorld, event_rows

GONE, OTHER = "usr_gone", "usr_other"


def record(app: App, count: int, *, actor: str, subject: str) -> None:
    with app.core.store.write() as tx:
        for _ in range(count):
            cause = Cause("user", actor, f"{actor}@mail.com", ip="192.0.2.1", user_agent="Curl/9")
            tx.events.record(events.USER_UPDATED, cause, subject=subject)


def begin(app: App) -> None:
    with app.core.store.write() as tx:
        erasures.begin(tx, GONE, app.core.world.now())


def run(app: App, most: int = 500) -> int:
    with app.core.store.write() as tx:
        return erasures.run(tx, app.core.world.now(), most)


def personal(app: App) -> list[Any]:
    return [(row["actor_id"], row["subject"]) for row in event_rows(app) if row["ip"] or row["actor_label"] or row["personal_salt"]]


def test_a_short_trail_is_erased_at_once(app: App) -> None:
    """Rows about the account and rows of what it did; others stay, and the rows still verify."""
    record(app, 3, actor=GONE, subject=GONE)
    record(app, 2, actor=OTHER, subject=GONE)
    record(app, 2, actor=GONE, subject=OTHER)
    record(app, 1, actor=OTHER, subject=OTHER)
    begin(app)
    assert personal(app) == [(OTHER, OTHER)]
    key = app.core.keyring.current
    for row in event_rows(app):
        assert row["mac"] == row_mac(key, row)
        assert (row["personal_mac"] == personal_mac(key, row)) is (row["subject"] == row["actor_id"] == OTHER)


def test_a_long_trail_is_worked_off_in_batches(app: App) -> None:
    """Each run erases at most what it was told, goes on where the last one stopped, and says how much it did."""
    record(app, AT_ONCE + 300, actor=OTHER, subject=GONE)
    record(app, 400, actor=GONE, subject=OTHER)
    begin(app)
    assert len(personal(app)) == 700
    assert [run(app, 250) for _ in range(4)] == [250, 250, 200, 0]
    assert personal(app) == []


def test_two_accounts_share_one_run(app: App) -> None:
    """What the first leaves of a batch is the next one's."""
    record(app, AT_ONCE + 10, actor="usr_third", subject=GONE)
    begin(app)
    with app.core.store.write() as tx:
        tx.events.record(events.USER_UPDATED, Cause("user", OTHER, "x"), subject=OTHER)
        tx.erasures.add(erasures.Erasure(OTHER, 0, 0, 0, 0))
    assert run(app) == 12  # a row of what somebody did to themselves is met twice
    assert personal(app) == []


def test_what_was_under_way_is_erased_by_the_last_look(app: App, world: FakeWorld) -> None:
    """A request that began before the deletion may be recorded after it; an hour later that is erased too, and the to-do
    goes."""
    begin(app)
    record(app, 1, actor=GONE, subject=GONE)
    assert (run(app), len(personal(app))) == (0, 1)
    world.advance(LINGER_MS / 1000)
    assert (run(app), personal(app)) == (2, [])
    assert rows(app, "SELECT * FROM erasures") == []
    assert run(app) == 0


def test_erasing_is_by_index(app: App) -> None:
    """Neither the trail nor the to-do table is scanned."""
    from authsvc.store.events import _ERASE, _NEXT

    queries = [*_ERASE.values(), *_NEXT.values(), "SELECT * FROM erasures WHERE due_at <= :now ORDER BY due_at LIMIT :most"]
    values = {"user_id": GONE, "after": 0, "last": 1, "most": 1, "now": 0}
    with app.core.store.read() as tx:
        plans = [row[3] for query in queries for row in tx._connection.execute("EXPLAIN QUERY PLAN " + query, values)]
    assert not [step for step in plans if "SCAN" in step or "TEMP" in step]


def test_ids_of_a_moment_sort_with_its_time(world: FakeWorld) -> None:
    """The lowest id of a millisecond is above all of the one before, and not above any of its own."""
    before = ids.new(ids.USER, world)
    world.advance(0.001)
    first = ids.first_at(ids.USER, world.now())
    assert before < first <= ids.new(ids.USER, world)
    assert ids.is_id(first, ids.USER)
    assert ids.first_at(ids.USER, -5) == "usr_" + "0" * 26
