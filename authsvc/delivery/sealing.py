"""Sealing the audit trail, and forgetting what is too old or too much of it: from its beginning, in whole seals."""

from __future__ import annotations

from authsvc.config.settings import Settings
from authsvc.primitives.keyring import Keyring
from authsvc.store import seals
from authsvc.store.seals import MOST_ROWS, Prunable, Seal
from authsvc.store.sqlite import Store
from authsvc.store.trail import LAST

WAIT_MS = 60_000  # how long a row waits for its seal, where it does not get full before
SEALS_AT_ONCE = 100
AWAITED_DAYS = 7  # that rows wait for a webhook; one that fails is disabled after three
DAY_MS = 86_400_000
MIB = 1_048_576


def seal(store: Store, keyring: Keyring, now: int) -> Seal | None:
    """Seal the oldest rows that are not sealed yet, if it is time. Computed outside the write block: committed rows stay."""
    with store.read() as tx:
        previous = tx.seals.newest()
        found = tx.trail.between(previous.through_seq if previous else 0, LAST, MOST_ROWS)
    rows = [seals.sealable(row) for row in found]
    if not rows or (len(rows) < MOST_ROWS and 0 <= now - rows[0].at < WAIT_MS):
        return None
    made = seals.make(keyring.current, previous, rows, now)
    with store.write() as tx:
        return made if tx.seals.add(made) else None


def prune(store: Store, keyring: Keyring, settings: Settings, now: int) -> int:
    """Forget some of the oldest rows, if it is time; how many there were."""
    with store.read() as tx:
        oldest = tx.seals.prunable(SEALS_AT_ONCE)
        first, last = tx.trail.first() or 0, tx.trail.last() or 0
        room = settings.audit_max_mib * MIB / tx.trail.row_bytes() if oldest else 0
        awaited = tx.webhooks.earliest()
    patience = now - AWAITED_DAYS * DAY_MS
    oldest = [candidate for candidate in oldest if awaited is None or candidate.through_seq < awaited or candidate.at < patience]
    edge = _edge(oldest, now - settings.audit_days * DAY_MS, last - first + 1 - room)
    if edge is None:
        return 0
    mark = seals.edge_mark(keyring.current, edge.through_seq, edge.digest)
    with store.write() as tx:
        return tx.seals.prune(edge.through_seq, mark)


def _edge(oldest: list[Prunable], before: int, too_many: float) -> Prunable | None:
    """The last seal whose rows are to go now."""
    edge, rows = None, 0
    for candidate in oldest:
        old = candidate.at < before or rows < too_many
        if not old or (edge and rows + candidate.row_count > MOST_ROWS):
            break
        edge, rows = candidate, rows + candidate.row_count
    return edge
