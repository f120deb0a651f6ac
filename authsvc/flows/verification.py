"""Checking the audit trail: every row, every seal, and that none is missing. The first that does not fit is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from authsvc.flows.core import Core
from authsvc.primitives.keyring import Keyring
from authsvc.store import seals
from authsvc.store.events import is_erased, personal_mac, row_mac
from authsvc.store.seals import MARK_LENGTH, MOST_ROWS, Seal
from authsvc.store.trail import LAST, Row

EDITED = "edited"
PERSONAL_EDITED = "personal_data_edited"
KEY_UNKNOWN = "key_unknown"
MISSING = "missing"
INSERTED = "inserted"
MOVED = "moved"
SEAL_EDITED = "seal_edited"
SEAL_MISSING = "seal_missing"


class Bad(NamedTuple):
    """The first row that does not fit; its event id, where it is still there; and why."""

    seq: int
    id: str | None
    reason: str


class Place(NamedTuple):
    """How far the check has come: the last row, and the digest of the seal that ends there."""

    seq: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check has found. `next_seq`: the row that it has yet to go on from."""

    rows: int
    sealed_through: int
    first_bad: Bad | None = None
    next_seq: int | None = None


def verify(core: Core, *, from_seq: int | None = None, most: int | None = None) -> Verdict:
    """Check all rows; or from the seal that covers a row, and about so many. A read at a time: a writer waits for nothing, and
    what is forgotten meanwhile is no finding."""
    with core.store.read() as tx:
        newest, last = tx.seals.newest(), tx.trail.last() or 0
    sealed = newest.through_seq if newest else 0
    rows, place, bad = 0, *_beginning(core)
    if from_seq is not None and bad is None:
        place = max(place, _place_before(core, from_seq, sealed))
    while bad is None and place.seq < max(last, sealed):
        if most is not None and rows >= most:
            return Verdict(rows, sealed, next_seq=place.seq + 1)
        after, seen, bad = _step(core, place, sealed, last)
        if bad is not None:
            edge, worse = _beginning(core)
            if worse is None and edge.seq > place.seq:  # it was forgotten under our eyes
                after, seen, bad = edge, 0, None
        place, rows = after, rows + seen
    return Verdict(rows, sealed, bad)


def _beginning(core: Core) -> tuple[Place, Bad | None]:
    """The edge before the first row: number 0, or the seal of the last row that we have forgotten."""
    with core.store.read() as tx:
        oldest, first = tx.seals.oldest(), tx.trail.between(-LAST, LAST, 1)
    place = Place()
    if oldest is not None and oldest.pruned is not None:
        key = core.keyring.get(str(oldest.pruned).partition(".")[0])
        if key is None:
            return place, Bad(oldest.through_seq, None, KEY_UNKNOWN)
        if oldest.pruned != seals.edge_mark(key, oldest.through_seq, oldest.digest):
            return place, Bad(oldest.through_seq, None, SEAL_EDITED)
        place = Place(oldest.through_seq, oldest.digest)
    if first and first[0]["seq"] <= place.seq:
        return place, Bad(first[0]["seq"], str(first[0]["id"]), INSERTED)
    return place, None


def _place_before(core: Core, seq: int, sealed: int) -> Place:
    """Where to begin, so that this row is covered."""
    with core.store.read() as tx:
        seal = tx.seals.before(seq)
    if seal is None:
        return Place(0 if sealed else max(0, seq - 1))
    return Place(max(seal.through_seq, seq - 1) if seal.through_seq == sealed else seal.through_seq, seal.digest)


def _step(core: Core, place: Place, sealed: int, last: int) -> tuple[Place, int, Bad | None]:
    """Check the next seal with its rows, or some of the rows that wait for one."""
    if place.seq >= sealed:
        with core.store.read() as tx:
            rows = tx.trail.between(place.seq, last, MOST_ROWS)
        through = min(last, place.seq + MOST_ROWS)
        return place._replace(seq=through), len(rows), _first_bad(core.keyring, rows, place.seq, through)
    with core.store.read() as tx:
        seal = tx.seals.after(place.seq)
        rows = tx.trail.between(place.seq, seal.through_seq, MOST_ROWS + 1) if seal else []
    if seal is None or seal.from_seq > place.seq + 1:
        there = rows and rows[0]["seq"] == place.seq + 1
        return place, 0, Bad(place.seq + 1, str(rows[0]["id"]), SEAL_MISSING) if there else Bad(place.seq + 1, None, MISSING)
    return Place(seal.through_seq, seal.digest), len(rows), _bad_seal(core.keyring, place, seal, rows)


def _bad_seal(keyring: Keyring, place: Place, seal: Seal, rows: Sequence[Row]) -> Bad | None:
    """What does not fit within one seal: the first of its rows that is not what was sealed, or else the seal itself."""
    itself = Bad(place.seq + 1, None, SEAL_EDITED)
    if seal.from_seq != place.seq + 1 or seal.through_seq - place.seq > MOST_ROWS or seal.pruned is not None:
        return _first_bad(keyring, rows[:MOST_ROWS], place.seq, place.seq) or itself
    bad = _first_bad(keyring, rows, place.seq, seal.through_seq)
    key = keyring.get(seal.kid)
    if key is None:
        return bad or itself._replace(reason=KEY_UNKNOWN)
    taken_in = [seals.sealable(row) for row in rows]
    genuine = seals.digest(key, place.digest, seal, taken_in) == seal.digest
    marks = seals.marks(taken_in)
    if genuine and marks == seal.marks:
        return bad
    consistent = len(seal.marks) == (seal.through_seq - place.seq) * MARK_LENGTH
    moved = _first_moved(rows, marks, seal.marks) if consistent and not genuine else None
    found = [each for each in (bad, moved) if each]
    return min(found, key=lambda each: each.seq) if found else itself


def _first_moved(rows: Sequence[Row], marks: str, sealed: str) -> Bad | None:
    """The first row whose MAC is not the one that was sealed in its place."""
    for place, row in enumerate(rows):
        at = slice(place * MARK_LENGTH, (place + 1) * MARK_LENGTH)
        if marks[at] != sealed[at]:
            return Bad(row["seq"], str(row["id"]), MOVED)
    return None


def _first_bad(keyring: Keyring, rows: Sequence[Row], above: int, through: int) -> Bad | None:
    """The first that is missing, or is not as it was written, of all rows after `above`."""
    expected = above + 1
    for row in rows:
        if row["seq"] != expected:
            return Bad(expected, None, MISSING)
        reason = _fault(keyring, row)
        if reason:
            return Bad(row["seq"], str(row["id"]), reason)
        expected += 1
    return Bad(expected, None, MISSING) if expected <= through else None


def _fault(keyring: Keyring, row: Row) -> str | None:
    key = keyring.get(str(row["kid"]))
    if key is None:
        return KEY_UNKNOWN
    if row["mac"] != row_mac(key, row):
        return EDITED
    if not is_erased(row) and row["personal_mac"] != personal_mac(key, row):
        return PERSONAL_EDITED
    return None
