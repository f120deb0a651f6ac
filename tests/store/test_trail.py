"""Reading the trail: every query is served by an index, so that ten million rows cost no more than a thousand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.store.trail import LAST, Filter
from tests.auditing import ALICE, record, sealed, tampering
from tests.support import FakeWorld, running

FILTERS = {
    "all": Filter(),
    "actor": Filter(actor="usr_alice"),
    "subject": Filter(subject="usr_alice"),
    "own": Filter(own="usr_alice", hidden=("delivery.failed",)),
    "action": Filter(actions=("login.succeeded",)),
    "actions": Filter(actions=("login.failed", "login.succeeded")),
    "none": Filter(actions=()),
    "looked through": Filter(outcome="failure", ip="192.0.2.7"),
    "several": Filter(actor="usr_alice", subject="usr_alice", actions=("login.succeeded",), outcome="success", after=1, before=LAST),
}


def statements(app: App, act: Any) -> list[str]:
    """What an act asks the database, as it is executed."""
    seen: list[str] = []
    with app.core.store.read() as tx:
        tx._connection.set_trace_callback(seen.append)
        try:
            act(tx)
        finally:
            tx._connection.set_trace_callback(None)
    return seen


def scans(app: App, asked: list[str]) -> list[str]:
    """The steps of their plans that walk over a whole table, or sort much."""
    with tampering(app) as connection:
        steps = [row[3] for statement in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert steps
    return [
        step
        for step in steps
        if step.startswith(("SCAN events", "SCAN e ", "SCAN e\n", "SCAN seals", "SCAN s ")) or step in ("SCAN e", "SCAN s")
    ]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("name", FILTERS)
def test_every_search_goes_by_an_index(app: App, world: FakeWorld, name: str, newest_first: bool) -> None:
    """No filter, alone or with others, walks over the table from its beginning."""
    sealed(app, world, (3,), unsealed=2)
    found = statements(app, lambda tx: tx.trail.search(FILTERS[name], above=0, below=LAST, limit=50, newest_first=newest_first))
    assert found
    assert scans(app, found) == []


def test_every_look_of_the_housekeeping_and_the_check_goes_by_an_index(app: App, world: FakeWorld) -> None:
    """Spans of time, names of actions, what is to be sealed or forgotten, the estimate of the size."""
    sealed(app, world, (3, 3), unsealed=2)

    def act(tx: Any) -> None:
        tx.trail.span(1, LAST // 2)
        tx.trail.actions("login.")
        tx.trail.between(1, 4, 10)
        tx.trail.row_bytes()
        tx.trail.first(), tx.trail.last(), tx.trail.number_of("evt_x")
        tx.seals.newest(), tx.seals.oldest(), tx.seals.after(1), tx.seals.before(5), tx.seals.prunable(10)

    allowed = {"SCAN events", "SCAN s", "SCAN seals"}  # from one end, with a LIMIT: as in ORDER BY seq LIMIT 1
    asked = statements(app, act)
    assert len(asked) >= 12
    for statement in asked:
        assert scans(app, [statement]) == [] or ("LIMIT" in statement and set(scans(app, [statement])) <= allowed), statement


def test_the_estimate_of_the_size_is_near(tmp_path: Path) -> None:
    """Within a third of what the file has grown by, with users in random order; it reads two hundred rows."""
    with running(tmp_path, FakeWorld()) as app:
        before = size(app)
        chance = random.Random(7)
        users = [f"usr_{chance.randrange(32**26):026d}"[:30] for _ in range(300)]
        for _ in range(10):
            with app.core.store.write() as tx:
                for _ in range(600):
                    user = chance.choice(users)
                    event = chance.choice([events.LOGIN_SUCCEEDED, events.LOGIN_FAILED, events.SESSION_REVOKED])
                    tx.events.record(event, ALICE._replace(actor_id=user, user_agent="x" * chance.randrange(200)), subject=user)
        grown = size(app) - before
        with app.core.store.read() as tx:
            estimate = tx.trail.row_bytes() * 6000
    assert 0.75 < estimate / grown < 1.33


def size(app: App) -> int:
    with tampering(app) as connection:
        (pages,), (page,) = connection.execute("PRAGMA page_count").fetchone(), connection.execute("PRAGMA page_size").fetchone()
        return int(pages * page)


def test_names_of_actions_are_found_by_their_beginning(app: App) -> None:
    """Those that were recorded, whoever recorded them, and none that only sounds alike."""
    for event in (events.LOGIN_FAILED, events.LOGIN_SUCCEEDED, events.SESSION_REVOKED, events.LOGIN_SUCCEEDED):
        record(app, event=event)
    with tampering(app) as connection:
        connection.execute("UPDATE events SET action = 'login.of_another_release' WHERE seq = 4")
        connection.execute("UPDATE events SET action = 'loginx.y' WHERE seq = 3")
    with app.core.store.read() as tx:
        assert tx.trail.actions("login.") == ("login.failed", "login.of_another_release", "login.succeeded")
        assert tx.trail.actions("zzz.") == tx.trail.actions("a.") == ()
