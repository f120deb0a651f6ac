"""What nobody asks for and has to be done: seals, and forgetting what is over. One thread a process; several do no harm."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from authsvc.config.settings import Settings
from authsvc.delivery import sealing
from authsvc.primitives.keyring import Keyring
from authsvc.problems import Problem
from authsvc.store import erasures
from authsvc.store.expiry import EXPIRIES, Expiry
from authsvc.store.sqlite import Store
from authsvc.world import ERROR, WARNING, World

ROWS_PER_BATCH = 500  # of one write block, so that requests get their turn
BATCHES_PER_RUN = 20
REST_SECONDS = 5.0
SEAL_SECONDS = 5
SWEEP_SECONDS = 60
TELL_SECONDS = 3_600


@dataclass(slots=True)
class Chore:
    """Something that is done every so often; `act` does a batch of it and says how many rows that were."""

    name: str
    seconds: int
    act: Callable[[], int]
    done_at: int | None = field(default=None)

    def is_due(self, now: int) -> bool:
        """A clock that was set back makes everything due."""
        return self.done_at is None or not 0 <= now - self.done_at < self.seconds * 1000


class Housekeeping:
    """All chores of a service. To add one that only deletes by a time, add a line to store/expiry.py."""

    kind = "housekeeping"

    def __init__(self, settings: Settings, world: World, keyring: Keyring, store: Store) -> None:
        self._settings = settings
        self._world = world
        self._keyring = keyring
        self._store = store
        self._stopping = False
        self._told = 0
        self.chores = [
            Chore("seal", SEAL_SECONDS, self._seal),
            Chore("prune", SWEEP_SECONDS, self._prune),
            *(Chore(expiry.name, SWEEP_SECONDS, lambda expiry=expiry: self._forget(expiry)) for expiry in EXPIRIES),  # type: ignore[misc]
            Chore("erase", SWEEP_SECONDS, self._erase),
            Chore("tell", TELL_SECONDS, self._tell, done_at=world.now()),
        ]

    def run_once(self) -> int:
        """Do what is due, some batches of each; how many rows that were."""
        return sum(self._do(chore) for chore in self.chores if not self._stopping and chore.is_due(self._world.now()))

    def run(self) -> None:
        """Do what is due until stopped."""
        seen = 0
        while not self._stopping:
            self.run_once()
            if not self._stopping and not any(chore.is_due(self._world.now()) for chore in self.chores):
                seen = self._world.wait_for_work(seen, REST_SECONDS)

    def stop(self) -> None:
        """Let the running batch end, then stop."""
        self._stopping = True
        self._world.wake()

    def _do(self, chore: Chore) -> int:
        """Up to so many batches. One that has more to do stays due; one that fails is tried again when its time comes."""
        rows = 0
        try:
            for _ in range(BATCHES_PER_RUN):
                done = chore.act()
                rows += done
                if done:
                    self._store.metrics.count("housekeeping_batches_total", chore=chore.name, outcome="done")
                    self._store.metrics.count("housekeeping_rows_total", done, chore=chore.name)
                if not done:
                    chore.done_at = self._world.now()
                if not done or self._stopping:
                    break
        except Problem as problem:  # the store is busy or away
            self._failed(chore, f"{problem.code}: {problem.reason}", WARNING)
        except Exception:  # noqa: BLE001 - a fault in one chore keeps nobody from the others
            self._failed(chore, traceback.format_exc(), ERROR)
        return rows

    def _failed(self, chore: Chore, why: str, level: str) -> None:
        chore.done_at = self._world.now()
        self._store.metrics.count("housekeeping_batches_total", chore=chore.name, outcome="failed")
        self._world.log(f"housekeeping: {chore.name}: {why}", level)

    def _seal(self) -> int:
        made = sealing.seal(self._store, self._keyring, self._world.now())
        return made.row_count if made else 0

    def _prune(self) -> int:
        return sealing.prune(self._store, self._keyring, self._settings, self._world.now())

    def _forget(self, expiry: Expiry) -> int:
        now = self._world.now()
        with self._store.read() as tx:  # no write lock, no fsync, where there is nothing
            if not tx.expired.any(expiry, now):
                return 0
        with self._store.write() as tx:
            return tx.expired.forget(expiry, now, ROWS_PER_BATCH)

    def _erase(self) -> int:
        """Take what is personal of deleted accounts out of the trail."""
        now = self._world.now()
        with self._store.read() as tx:
            if not tx.erasures.due(now, 1):
                return 0
        with self._store.write() as tx:
            return erasures.run(tx, now, ROWS_PER_BATCH)

    def _tell(self) -> int:
        """Put the newest seal into the log: whoever cuts off the end of the trail, seals and all, does not reach that."""
        with self._store.read() as tx:
            seal = tx.seals.newest()
        if seal and seal.through_seq != self._told:
            self._told = seal.through_seq
            self._world.log(f"audit sealed through {seal.through_seq}: {seal.digest}")
        return 0
