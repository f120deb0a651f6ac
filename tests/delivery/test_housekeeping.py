"""Housekeeping: seals in time, forgets what is over in small batches, and does no harm where several do it."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.delivery import housekeeping, sealing
from authsvc.flows import verification
from authsvc.flows.verification import verify
from authsvc.problems import busy
from authsvc.store import expiry
from authsvc.store.expiry import DAY_MS, EXPIRIES, Expiry
from authsvc.store.migrations import migrations
from authsvc.world import World
from tests.auditing import first_bad, keep_house, numbers, record, sealed, seals, tampering
from tests.support import EMAIL, Client, FakeWorld, make_app, running, together

DAY = DAY_MS // 1000


def test_rows_are_sealed_within_a_minute_or_when_a_thousand_wait(app: App, world: FakeWorld) -> None:
    """A few rows wait for others; a thousand do not wait; a seal never covers more."""
    record(app, 5)
    assert (keep_house(app), seals(app)) == (0, [])
    world.advance(60)
    assert keep_house(app) == 5
    record(app, 2300)
    world.advance(housekeeping.SEAL_SECONDS)
    assert keep_house(app) == 2000
    world.advance(60)
    assert keep_house(app) == 300
    assert [(seal.from_seq, seal.through_seq, seal.row_count) for seal in seals(app)] == [
        (1, 5, 5), (6, 1005, 1000), (1006, 2005, 1000), (2006, 2305, 300),
    ]  # fmt: skip
    assert verify(app.core).first_bad is None


def test_a_clock_that_is_set_back_keeps_no_row_from_its_seal(app: App, world: FakeWorld) -> None:
    """Rows of a future that is not one any more are sealed at once."""
    record(app, 3)
    world.advance(-7200)
    assert keep_house(app) == 3
    assert verify(app.core).first_bad is None


def test_nothing_to_do_is_no_write(app: App, world: FakeWorld) -> None:
    """A sweep reads first: without anything to forget or to seal no transaction is begun, nor an fsync made."""
    record(app, 3)
    world.advance(61)
    keep_house(app)
    with tampering(app) as connection:
        before = connection.execute("PRAGMA data_version").fetchone()
        for _ in range(5):
            world.advance(61)
            assert app.deliveries.housekeeping.run_once() == 0
        assert connection.execute("PRAGMA data_version").fetchone() == before


def test_several_that_seal_at_once_make_one_chain(tmp_path: Path) -> None:
    """Eight housekeepers of two processes' worth of apps, all at once, over and over: every row is sealed once."""
    world = FakeWorld()
    with ExitStack() as stack:
        apps = [stack.enter_context(running(tmp_path, world)) for _ in range(2)]
        for turn in range(6):
            record(apps[0], 7)
            world.advance(61)
            together(8, lambda index: sealing.seal(apps[index % 2].core.store, apps[0].core.keyring, world.now()))
            assert seals(apps[0])[-1].through_seq == 7 * (turn + 1)
        assert [seal.row_count for seal in seals(apps[0])] == [7] * 6
        assert verify(apps[0].core).first_bad is None


def test_sealing_goes_on_beside_writers(app: App, world: FakeWorld) -> None:
    """Rows that are written while others are sealed are in one seal each, in their order."""

    def act(index: int) -> None:
        for _ in range(10):
            if index % 2:
                record(app, 3)
            else:
                sealing.seal(app.core.store, app.core.keyring, world.now() + 61_000)

    together(6, act)
    world.advance(61)
    keep_house(app)
    assert sum(seal.row_count for seal in seals(app)) == len(numbers(app)) == 90
    assert verify(app.core).first_bad is None


def test_an_undone_block_leaves_no_gap(app: App) -> None:
    """A number that was not committed is given again: a gap is always a finding."""
    for _ in range(3):
        record(app)
        undone(app)
    together(8, lambda index: record(app, 2) if index % 2 else undone(app))
    assert numbers(app) == list(range(1, 12))


def undone(app: App) -> None:
    with suppress(LookupError), app.core.store.write() as tx:
        tx.events.record(events.USER_UPDATED, events.SYSTEM)
        raise LookupError


def test_old_rows_are_forgotten_and_the_rest_still_verifies(tmp_path: Path, world: FakeWorld) -> None:
    """By age, in whole seals from the oldest; the seal of the last forgotten row stays as the edge. New rows go on numbering."""
    with running(tmp_path, world, audit_days=10) as app:
        for _ in range(5):
            sealed(app, world, (4,))
            world.advance(3 * DAY)
        keep_house(app)
        assert numbers(app) == list(range(9, 21))
        assert [(seal.through_seq, seal.pruned is not None) for seal in seals(app)][:2] == [(8, True), (12, False)]
        assert (verdict := verify(app.core))
        assert (verdict.rows, verdict.sealed_through, verdict.first_bad) == (12, 20, None)
        world.advance(100 * DAY)
        keep_house(app)
        assert numbers(app) == list(range(17, 21)), "the newest seal's rows stay until there are newer ones"
        sealed(app, world, (2,))
        world.advance(100 * DAY)
        keep_house(app)
        assert numbers(app) == [21, 22]
        assert verify(app.core).first_bad is None


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM events WHERE seq <= 12", (9, "missing")),
        ("DELETE FROM seals WHERE through_seq = 8", (1, "missing")),
        ("DELETE FROM seals WHERE through_seq <= 12", (1, "missing")),
        ("UPDATE seals SET pruned = NULL WHERE through_seq = 8", (1, "missing")),
        ("UPDATE seals SET digest = 'x' WHERE through_seq = 8", (8, "seal_edited")),
        ("UPDATE seals SET through_seq = 7 WHERE through_seq = 8", (7, "seal_edited")),
        ("UPDATE seals SET pruned = (SELECT pruned FROM seals WHERE through_seq = 8) WHERE through_seq = 12", (9, "seal_edited")),
        ("UPDATE events SET seq = 8 WHERE seq = 20", (8, "inserted")),
    ],
)
def test_e4_tampering_at_the_edge_is_found(tmp_path: Path, world: FakeWorld, statement: str, found: tuple[int, str]) -> None:
    """E4: what was pruned by us cannot be made to cover what was cut off by somebody."""
    with running(tmp_path, world, audit_days=10) as app:
        for _ in range(5):
            sealed(app, world, (4,))
            world.advance(3 * DAY)
        keep_house(app)
        assert first_bad(app) is None
        assert first_bad(app, statement) == found


def test_too_many_rows_are_forgotten(tmp_path: Path, world: FakeWorld) -> None:
    """By size: what is about too much for the setting goes, the oldest first, in batches of at most one seal's most rows."""
    with running(tmp_path, world, audit_max_mib=1) as app:
        for _ in range(4):
            record(app, 1000)
            world.advance(5)
            keep_house(app)
        world.advance(61)
        keep_house(app)
        with app.core.store.read() as tx:
            room = 1_048_576 / tx.trail.row_bytes()
        assert room - 1000 <= len(numbers(app)) <= room
        assert verify(app.core).first_bad is None


def test_what_is_forgotten_during_a_check_is_no_finding(tmp_path: Path, world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruning overtakes a check that has just begun: it goes on from the new edge."""
    with running(tmp_path, world, audit_days=10) as app:
        for _ in range(5):
            sealed(app, world, (4,))
            world.advance(3 * DAY)
        beginning, seen = verification._beginning, []

        def slowly(core: Any) -> Any:
            found = beginning(core)
            if not seen:
                keep_house(app)
            seen.append(found)
            return found

        monkeypatch.setattr(verification, "_beginning", slowly)
        assert (verify(app.core).first_bad, len(seen)) == (None, 2)
        assert numbers(app)[0] == 9


def test_erased_personal_data_still_verify(app: App, world: FakeWorld) -> None:
    """In the sealed part and in the rest, before and after pruning."""
    sealed(app, world, (4, 4), unsealed=3)
    with tampering(app) as connection:
        connection.execute("UPDATE events SET personal_salt = NULL, actor_label = NULL, ip = NULL, user_agent = NULL WHERE seq % 2 = 0")
    verdict = verify(app.core)
    assert (verdict.rows, verdict.first_bad) == (11, None)


def test_the_newest_seal_is_told_every_hour(app: App, world: FakeWorld) -> None:
    """Into the log, where somebody with the file cannot take it back; once for each newest seal."""
    sealed(app, world, (3,))
    world.advance(3600)
    keep_house(app)
    world.advance(3600)
    keep_house(app)
    assert [line for line in world.lines if "sealed" in line] == [f"audit sealed through 3: {seals(app)[-1].digest}"]
    sealed(app, world, (2,))
    world.advance(3600)
    keep_house(app)
    assert [line.split(":")[0] for line in world.lines if "sealed" in line][1:] == ["audit sealed through 5"]


# Forgetting, by the table of rules.

DEAD = "INSERT INTO outbox (id, kind, target, payload, created_at, due_at, attempts, done_at, outcome) VALUES (:id, 'm', 't', '{}', 0, 0, 1, :at, :outcome)"
USER_ID = "(SELECT id FROM users)"
INSERTS = {
    "ended sessions": f"INSERT INTO sessions SELECT :id, {USER_ID}, 'k', 0, 0, 0, 0, 1 << 60, :at, 0, '', '', NULL, NULL, NULL",
    "expired sessions": f"INSERT INTO sessions SELECT :id, {USER_ID}, 'k', 0, 0, 0, 0, :at, NULL, 0, '', '', NULL, NULL, NULL",
    "challenges": "INSERT INTO challenges VALUES (:id, 'k', 'p', NULL, 'email', 't', 't', '{}', 0, :at, NULL, 1, 0, 0)",
    "settled messages": DEAD.replace(":outcome", "'sent'"),
    "given-up messages": DEAD.replace(":outcome", "'dead'"),
    "deliveries": "INSERT INTO deliveries (id, webhook_id, event_id, event_type, created_at, attempts) VALUES (:id, 'w', :id, 't', :at, 1)",
    "deliveries that arrived": "INSERT INTO deliveries (id, webhook_id, event_id, event_type, created_at, attempts, delivered_at) VALUES (:id, 'w', :id, 't', :at, 1, 1)",
    "revoked keys": "INSERT INTO api_keys VALUES (:id, 'k', 'n', '[]', '[]', NULL, 0, NULL, :at, NULL)",
    "keys that ran out": "INSERT INTO api_keys VALUES (:id, 'k', 'n', '[]', '[]', NULL, 0, :at, NULL, NULL)",
    "signing keys whose tokens have run out": "INSERT INTO signing_keys VALUES (:id, 'ES256', '{}', '', 'k', 'retired', 0, 0, 0, :at)",
    "failures long past": "INSERT INTO delays VALUES ('d', :id, 1, 0, :at)",
    "used CAPTCHAs": "INSERT INTO captchas VALUES (:id, :at)",
    "full buckets": "INSERT INTO buckets VALUES ('b', :id, :at)",
    "factors that nobody confirmed": f"INSERT INTO factors SELECT :id, 'k', {USER_ID}, 'totp', '', NULL, 'n', :at, NULL, 0, NULL",
    "SMS figures": f"INSERT INTO sms_counts VALUES (:at / {DAY_MS}, :id, 1, 0)",
}


@pytest.mark.parametrize("rule", EXPIRIES, ids=lambda rule: rule.name)
def test_what_is_over_goes_and_nothing_else(app: App, world: FakeWorld, rule: Expiry) -> None:
    """One row of a rule past its time, one just before it: the first goes."""
    Client(app).register()
    limit = world.now() - rule.kept * rule.unit
    step = rule.unit
    with tampering(app) as connection:
        connection.execute("UPDATE sessions SET expires_at = 1 << 60")
        connection.execute("DELETE FROM buckets")
        for name, at in (("old", limit - step), ("older", limit - 5 * step), ("young", limit + step)):
            connection.execute(INSERTS[rule.name], {"id": name, "at": at})
    assert app.deliveries.housekeeping.run_once() == 2
    with tampering(app) as connection:
        column = {"buckets": "key", "delays": "key", "sms_counts": "prefix", "signing_keys": "kid", "captchas": "digest"}.get(
            rule.table, "id"
        )
        left = [row[0] for row in connection.execute(f"SELECT {column} FROM {rule.table}")]
        assert [name for name in left if name in ("old", "older", "young")] == ["young"]


@pytest.mark.parametrize("rule", EXPIRIES, ids=lambda rule: rule.name)
def test_what_is_over_is_found_by_an_index(app: App, rule: Expiry) -> None:
    """Neither the look nor the deletion reads a table that has nothing to forget."""
    with tampering(app) as connection:
        for statement in (
            f"SELECT 1 FROM {rule.table} WHERE {expiry._which(rule)} LIMIT 1",
            f"SELECT {rule.key} FROM {rule.table} WHERE {expiry._which(rule)} ORDER BY {rule.column} LIMIT :most",
        ):
            plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", {"before": 1, "most": 1}))
            assert plan.startswith("SEARCH"), plan
            assert "TEMP B-TREE" not in plan


def test_much_is_forgotten_in_small_batches(app: App, world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many rows a write block and so many blocks a run, so that requests get their turn; the rest is due at once."""
    monkeypatch.setattr(housekeeping, "ROWS_PER_BATCH", 5)
    with tampering(app) as connection:
        connection.executemany("INSERT INTO buckets VALUES ('b', ?, 0)", [(f"{number}",) for number in range(130)])
    runs = [app.deliveries.housekeeping.run_once() for _ in range(3)]
    assert runs == [100, 30, 0]


def test_a_chore_that_fails_keeps_nobody_from_the_others(app: App, world: FakeWorld) -> None:
    """It is logged once, and tried again when its time comes, not before."""
    record(app, 2)
    world.advance(61)

    def failing() -> int:
        raise busy("somebody writes")

    def broken() -> int:
        raise LookupError("broken")

    chores = app.deliveries.housekeeping.chores
    chores[1].act, chores[2].act = failing, broken
    assert app.deliveries.housekeeping.run_once() == 2
    assert app.deliveries.housekeeping.run_once() == 0
    told = [line for line in world.lines if line.startswith("housekeeping")]
    assert len(told) == 2
    assert told[0] == "housekeeping: prune: busy: somebody writes"
    assert "LookupError: broken" in told[1]


def test_it_has_a_thread_beside_the_deliveries(tmp_path: Path) -> None:
    """Where deliveries run in threads, so does it, from the first request on; it ends with the app."""
    app = make_app(tmp_path, World(), delivery="threads")
    try:
        Client(app).get("/healthz")
        assert len(threads()) == 1
        with tampering(app) as connection:
            connection.execute("INSERT INTO buckets VALUES ('b', 'k', 0)")
        app.deliveries.housekeeping.chores[:] = [chore for chore in app.deliveries.housekeeping.chores if chore.name == "full buckets"]
        for chore in app.deliveries.housekeeping.chores:
            chore.done_at = None
        while left(app):
            app.core.world.wake()
    finally:
        app.close()
    assert threads() == []


def left(app: App) -> int:
    with tampering(app) as connection:
        count: int = connection.execute("SELECT count(*) FROM buckets").fetchone()[0]
        return count


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "delivery housekeeping"]


def test_the_migration_is_additive() -> None:
    """The previous release runs beside this one."""
    (ours,) = [migration for migration in migrations() if migration.name == "0006_audit.sql"]
    assert ours.needs == 1
    assert not {"DROP", "ALTER"} & set(ours.sql.split())


def test_a_row_in_the_audit_trail_of_a_deleted_user_stays(app: App, client: Client) -> None:
    """Sessions of the past are forgotten, what they did is not."""
    client.register(EMAIL)
    before = numbers(app)
    with tampering(app) as connection:
        connection.execute("UPDATE sessions SET ended_at = 1")
    assert app.deliveries.housekeeping.run_once() >= 1
    assert numbers(app) == before
