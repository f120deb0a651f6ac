"""ATTACKS E4 and E5: somebody edits the audit trail in the file, or writes fields that are meant to be something else."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.flows.verification import verify
from authsvc.store.seals import Seal
from authsvc.store.trail import COLUMNS
from tests.auditing import ALICE, auditor, first_bad, keep_house, record, sealed, seals, swap, tamper, tampering
from tests.support import Client, FakeWorld, running

SIZES = (4, 5, 3)  # three seals: rows 1-4, 5-9, 10-12
SEALED, UNSEALED = sum(SIZES), 3
LAST = SEALED + UNSEALED
PERSONAL = {"personal_salt", "actor_label", "ip", "user_agent"}
COPIED = ", ".join(column for column in COLUMNS if column not in ("seq", "id"))
ROWS = pytest.mark.parametrize("seq", [1, 6, 9, SEALED, LAST - 1])
ROWS_SEALED = pytest.mark.parametrize("seq", [1, 6, 9, SEALED])


@pytest.fixture
def trail(app: App, world: FakeWorld) -> App:
    """Three seals and an unsealed end, all genuine."""
    sealed(app, world, SIZES, UNSEALED)
    assert verify(app.core).first_bad is None
    return app


@ROWS
@pytest.mark.parametrize("column", sorted(set(COLUMNS) - {"seq"} - PERSONAL))
def test_e4_an_edited_row_is_named(trail: App, seq: int, column: str) -> None:
    """Whichever column it is, sealed or not: the row is found by its own MAC."""
    reason = "key_unknown" if column == "kid" else "edited"
    assert first_bad(trail, f"UPDATE events SET {column} = {column} || '0' WHERE seq = {seq}") == (seq, reason)


@ROWS
@pytest.mark.parametrize("column", sorted(PERSONAL))
def test_e4_edited_personal_data_are_named(trail: App, seq: int, column: str) -> None:
    """An address put into another's row, and one that was taken out alone, are found; taking out all is erasing."""
    assert first_bad(trail, f"UPDATE events SET {column} = '198.51.100.1' WHERE seq = {seq}") == (seq, "personal_data_edited")
    assert first_bad(trail, f"UPDATE events SET {column} = NULL WHERE seq = {seq}") == (seq, "personal_data_edited")
    assert first_bad(trail, "UPDATE events SET " + ", ".join(f"{name} = NULL" for name in PERSONAL)) is None


@ROWS
def test_e4_a_deleted_row_is_named(trail: App, seq: int) -> None:
    """It is missing at its number, and has no id any more."""
    bad = tamper(trail, f"DELETE FROM events WHERE seq = {seq}").first_bad
    assert bad == (seq, None, "missing")


@ROWS_SEALED
def test_e4_a_deleted_row_is_named_though_the_gap_was_closed(trail: App, seq: int) -> None:
    """The rows behind it are genuine and numbered without a gap, but the first of them is not what was sealed there."""
    closed = f"UPDATE events SET seq = seq - 1000 WHERE seq > {seq}", "UPDATE events SET seq = seq + 999 WHERE seq < 0"
    assert first_bad(trail, f"DELETE FROM events WHERE seq = {seq}", *closed) == (seq, "moved")


@pytest.mark.parametrize("seq", [-7, 0, 1, 6, SEALED, LAST + 1])
def test_e4_an_inserted_row_is_named(trail: App, seq: int) -> None:
    """A copy of a genuine row under another id, put before, between and after: those behind it made place."""
    made_place = f"UPDATE events SET seq = seq - 1000 WHERE seq >= {seq} AND seq > 0", "UPDATE events SET seq = seq + 1001 WHERE seq < -100"
    copy = f"INSERT INTO events (seq, id, {COPIED}) SELECT {seq}, 'evt_x', {COPIED} FROM events WHERE seq = 3 OR seq = -997"
    assert first_bad(trail, *(made_place if seq > 0 else ()), copy) == (seq, "edited" if seq > 0 else "inserted")


def test_e4_a_genuine_row_put_in_anothers_place_is_named(trail: App) -> None:
    """A harmless row, whole with its id and MAC, in the place of one that was to vanish; its own place then stays empty or
    is filled by that one."""
    with tampering(trail) as connection:
        kept = connection.execute("SELECT * FROM events").fetchall()
    assert first_bad(trail, "DELETE FROM events WHERE seq = 6", "UPDATE events SET seq = 6 WHERE seq = 11") == (6, "moved")
    put_back(trail, kept, None)
    assert first_bad(trail, "DELETE FROM events WHERE seq = 11", "UPDATE events SET seq = 11 WHERE seq = 6") == (6, "missing")


@pytest.mark.parametrize(("one", "other"), [(1, 2), (5, 9), (2, 12), (9, 10), (3, LAST)])
def test_e4_rows_that_changed_places_are_named(trail: App, one: int, other: int) -> None:
    """Within a seal, over several, and with a row that is not sealed: the first of the two is named, with the id of the
    row that lies there now."""
    with tampering(trail) as connection:
        (event_id,) = connection.execute(f"SELECT id FROM events WHERE seq = {other}").fetchone()
    assert tamper(trail, *swap(one, other)).first_bad == (one, event_id, "moved")


@pytest.mark.parametrize("column", sorted(set(Seal._fields) - {"through_seq"}))
@pytest.mark.parametrize("seal", range(len(SIZES)))
def test_e4_an_edited_seal_is_named(trail: App, seal: int, column: str) -> None:
    """Whichever column: the rows are as they were, so it is the seal that does not fit, told by its first row."""
    first, through = seals(trail)[seal].from_seq, seals(trail)[seal].through_seq
    bad = first_bad(trail, f"UPDATE seals SET {column} = COALESCE({column}, '') || '1' WHERE through_seq = {through}")
    assert bad is not None
    assert bad[0] == (1 if (column, seal) == ("pruned", 0) else first) or (column, seal, bad) == ("pruned", 0, (4, "key_unknown"))
    assert bad[1] in ("seal_edited", "seal_missing", "key_unknown", "missing")


@pytest.mark.parametrize("change", ["100000000000", "-5", "through_seq + 1", "through_seq - 1"])
def test_e4_a_seal_that_claims_other_rows_is_named(trail: App, change: str) -> None:
    """It is found at its first row, and costs no walk over rows that do not exist."""
    bad = first_bad(trail, f"UPDATE seals SET through_seq = {change} WHERE through_seq = 9")
    assert bad is not None
    assert 5 <= bad[0] <= 10


@pytest.mark.parametrize("seal", [0, 1])
def test_e4_a_removed_seal_is_named(trail: App, seal: int) -> None:
    """Its rows are there and genuine, but the next seal does not follow on the one before."""
    gone = seals(trail)[seal]
    assert first_bad(trail, f"DELETE FROM seals WHERE through_seq = {gone.through_seq}") == (gone.from_seq, "seal_missing")


def test_e4_a_removed_seal_cannot_be_made_up_for(trail: App) -> None:
    """Stretching the next one over its rows needs the key."""
    assert first_bad(trail, "DELETE FROM seals WHERE through_seq = 4", "UPDATE seals SET from_seq = 1 WHERE through_seq = 9") == (
        1,
        "seal_edited",
    )


@pytest.mark.parametrize("seq", [1, 2, 5, 8, SEALED])
def test_e4_a_cut_off_end_is_named(trail: App, seq: int) -> None:
    """Rows below the newest seal cannot be cut off: the first that is missing is named, also when new ones have come."""
    assert first_bad(trail, f"DELETE FROM events WHERE seq >= {seq}") == (seq, "missing")
    record(trail, SEALED + 1)
    assert first_bad(trail) in ((seq, "moved"), (1, "moved"))


@pytest.mark.parametrize("through", [1, 4, 6, 9])
def test_e4_a_cut_off_beginning_does_not_pass_for_a_pruned_one(trail: App, through: int) -> None:
    """Deleting the oldest rows, with or without their seals, or with one that is marked as an edge by somebody else."""
    assert first_bad(trail, f"DELETE FROM events WHERE seq <= {through}") == (1, "missing")
    assert first_bad(trail, f"DELETE FROM seals WHERE through_seq < {through}") == (1, "missing")
    mark = f"{trail.core.keyring.current.kid}.{'A' * 43}"
    assert first_bad(trail, f"UPDATE seals SET pruned = '{mark}' WHERE through_seq = (SELECT min(through_seq) FROM seals)") in (
        (4, "seal_edited"),
        (9, "seal_edited"),
    )


def test_e4_the_first_of_several_is_named(trail: App) -> None:
    """Within one seal an edited row behind a moved one does not hide it."""
    edited = "UPDATE events SET outcome = 'x' WHERE seq = 9", "UPDATE events SET outcome = 'x' WHERE seq = 14"
    assert first_bad(trail, *edited) == (9, "edited")
    assert first_bad(trail, *swap(6, 7)) == (6, "moved")
    assert first_bad(trail, "DELETE FROM events WHERE seq = 2") == (2, "missing")


def test_e4_a_tampered_trail_is_told_by_the_endpoint_and_still_shown(trail: App) -> None:
    """`first_bad` names it; listing and reading out show what lies there, whatever it is, and never fail."""
    token, client = auditor(trail), Client(trail)
    broken = "CAST(x'ff' AS TEXT)"
    tamper(trail, f"UPDATE events SET data = '{{', at = 'never', actor_label = {broken}, session_id = x'00', kid = {broken} WHERE seq = 6")
    told = client.get("/audit/verify", token=token).json()
    assert (told["ok"], told["first_bad"]["seq"], told["first_bad"]["reason"]) == (False, 6, "key_unknown")
    for accept in ("application/json", "application/x-ndjson", "text/csv"):
        answer = client.get("/audit/logs", token=token, headers={"Accept": accept})
        assert answer.status == 200
        assert b"never" in answer.body


def test_e4_what_is_tampered_with_does_not_stop_the_housekeeping(trail: App, world: FakeWorld) -> None:
    """Sealing goes on over whatever lies there, and the finding stays."""
    tamper(
        trail,
        f"UPDATE events SET at = 'x', mac = x'ff00' WHERE seq = {LAST - 1}",
        "UPDATE seals SET latest_at = 'x' WHERE through_seq = 12",
    )
    world.advance(61)
    assert keep_house(trail) >= UNSEALED
    assert seals(trail)[-1].through_seq == LAST
    assert [line for line in world.lines if "Traceback" in line] == []
    assert first_bad(trail) == (10, "seal_edited")


# One random change of a random row or seal.

VALUES = st.one_of(st.none(), st.integers(-5, 2**40), st.text(max_size=8), st.binary(max_size=8), st.just("-"), st.just("+"))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Any, Any]]:
    """A trail, its rows and its seals as they were written."""
    world = FakeWorld()
    with running(tmp_path_factory.mktemp("standing"), world) as app:
        sealed(app, world, SIZES, UNSEALED)
        with tampering(app) as connection:
            yield app, connection.execute("SELECT * FROM events").fetchall(), connection.execute("SELECT * FROM seals").fetchall()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_e4_any_one_edit_of_a_sealed_row_is_found(standing: tuple[App, Any, Any], data: st.DataObject) -> None:
    """Any column, any value, any row below the newest seal: found, and named."""
    app, rows, _ = standing
    seq, column, value = data.draw(st.integers(1, SEALED)), data.draw(st.sampled_from(COLUMNS[1:])), data.draw(VALUES)
    before = content(app, "events")
    try:
        changed(app, f"UPDATE events SET {column} = ? WHERE seq = {seq}", value)
        assume(content(app, "events") != before)
        bad = verify(app.core).first_bad
        assert bad is not None
        assert bad.seq == seq
    finally:
        put_back(app, rows, None)
    assert verify(app.core).first_bad is None


@settings(max_examples=100, deadline=None)
@given(one=st.integers(1, SEALED), other=st.integers(1, LAST), act=st.sampled_from(["delete", "swap", "move", "rotate"]))
def test_e4_any_one_move_of_a_sealed_row_is_found(standing: tuple[App, Any, Any], one: int, other: int, act: str) -> None:
    """Rows deleted, swapped, put in another's place, or shifted through: found, and the first place that changed is named."""
    assume(one != other or act == "delete")
    app, rows, _ = standing
    low, high = min(one, other), max(one, other)
    statements = {
        "delete": (f"DELETE FROM events WHERE seq = {one}",),
        "swap": swap(one, other),
        "move": (f"DELETE FROM events WHERE seq = {low}", f"UPDATE events SET seq = {low} WHERE seq = {high}"),
        "rotate": (
            f"UPDATE events SET seq = -seq WHERE seq BETWEEN {low} AND {high}",
            f"UPDATE events SET seq = {low} WHERE seq = {-high}",
            "UPDATE events SET seq = 1 - seq WHERE seq < 0",
        ),
    }
    try:
        bad = tamper(app, *statements[act]).first_bad
        assert bad is not None
        assert bad.seq == (one if act == "delete" else low)
    finally:
        put_back(app, rows, None)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_e4_any_one_edit_of_a_seal_is_found(standing: tuple[App, Any, Any], data: st.DataObject) -> None:
    """Any column, any value, any seal: found, without a fault of ours."""
    app, rows, kept = standing
    through, column, value = data.draw(st.sampled_from([4, 9, 12])), data.draw(st.sampled_from(Seal._fields)), data.draw(VALUES)
    before = content(app, "seals")
    try:
        changed(app, f"UPDATE seals SET {column} = ? WHERE through_seq = {through}", value)
        assume(content(app, "seals") != before)
        assert verify(app.core).first_bad is not None
    finally:
        put_back(app, rows, kept)


def content(app: App, table: str) -> list[Any]:
    with tampering(app) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def changed(app: App, statement: str, value: Any) -> None:
    """Where the schema lets it through."""
    with tampering(app) as connection:
        try:
            connection.execute(statement, (value,))
        except (sqlite3.IntegrityError, UnicodeEncodeError):
            assume(condition=False)


def put_back(app: App, rows: list[Any], kept: list[Any] | None) -> None:
    with tampering(app) as connection:
        for table, all_of_it in (("events", rows), ("seals", kept)):
            if all_of_it is not None:
                connection.execute(f"DELETE FROM {table}")
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(all_of_it[0]))})", all_of_it)


HOSTILE = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "a\r\nb,c\nd",
    "\x1b[2J\x9b31m",
    "a\u2028b\u2029c\x85d\x0be\x00f",
    'quo"te, comma',
    "\u202egnp.exe",
    "＝1",
    "x" * 50_000,
)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_e5_a_field_stays_in_its_cell_and_a_row_in_its_line(app: App, hostile: str) -> None:
    """Line ends, escapes, formulas, quotes and huge values: one row is one line in both forms, the columns stay apart, no cell
    begins a formula, and NDJSON gives back what was written."""
    token, client = auditor(app), Client(app)
    record(app, cause=ALICE._replace(label=hostile, user_agent=hostile), data={"x": hostile, hostile: 1}, subject="usr_after")
    record(app, subject="usr_last")

    told = client.get("/audit/logs", token=token, headers={"Accept": "application/x-ndjson"}).body.decode()
    objects = [json.loads(line) for line in told.splitlines()]
    assert [item["subject"] for item in objects[-2:]] == ["usr_after", "usr_last"]
    assert (objects[-2]["actor"]["label"], objects[-2]["data"]) == (hostile, {"x": hostile, hostile: 1})

    text = client.get("/audit/logs", token=token, headers={"Accept": "text/csv"}).body.decode()
    lines = text.splitlines()
    cells = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(lines) == len(cells) + 1 == len(objects) + 1
    assert all(line.isprintable() for line in (*lines, *told.splitlines()))
    assert [row["subject"] for row in cells[-2:]] == ["usr_after", "usr_last"]
    assert json.loads(cells[-2]["data"]) == {"x": hostile, hostile: 1}
    assert [cell for row in cells for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))] == []


def test_e5_no_field_of_a_request_reaches_the_log_raw(app: App, world: FakeWorld) -> None:
    """A line of the access log is one line, whatever was asked for."""
    token, client = auditor(app), Client(app)
    before = len(world.lines)
    client.get("/audit/logs?actor=a%0d%0ab&action=%1b%5b2J", token=token)
    assert len(world.lines) == before + 1
    assert world.lines[-1].isprintable()
