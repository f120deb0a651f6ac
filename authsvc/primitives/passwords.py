"""Password hashing: Argon2id (RFC 9106) within a memory budget, and the checking of hashes that other systems made, within the
same. Which passwords are too weak is rules/strength.py."""

from __future__ import annotations

import base64
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakSet

from authsvc.primitives import foreign_hashes
from authsvc.primitives.foreign_hashes import Foreign
from authsvc.primitives.metrics import Metrics
from authsvc.problems import Invalid, busy, unavailable
from authsvc.world import World

T = TypeVar("T")

MAX_BYTES = 1_024
SALT_BYTES = 16
HASH_BYTES = 32
QUEUE_LENGTH = 16  # hashes that may wait for a slot; a seventeenth is told to come back
QUEUE_SECONDS = 3.0


def normalise(password: str) -> str:
    """The one spelling that is hashed: NFC, so that every keyboard gives the same bytes. Raises Invalid."""
    if len(password) > MAX_BYTES:
        raise Invalid("too_long", f"At most {MAX_BYTES} bytes.")
    if "\0" in password:
        raise Invalid("invalid", "A password may not contain NUL.")
    normal = unicodedata.normalize("NFC", password)
    try:
        size = len(normal.encode())
    except UnicodeEncodeError:
        raise Invalid("invalid", "This is not valid Unicode.") from None
    if size > MAX_BYTES:
        raise Invalid("too_long", f"At most {MAX_BYTES} bytes.")
    return normal


@dataclass(frozen=True, slots=True)
class Cost:
    """Argon2id parameters. Memory in KiB."""

    memory_kib: int
    time: int
    parallelism: int


class Hasher:
    """Hashes and checks passwords, never holding more memory than the budget allows.

    As many hashes run at once as fit the budget and the machine has processors, on threads of their own: the memory of
    a hash stays with the thread that made it, so it matters how many threads ever make one. A few more may wait a short
    while; anyone beyond that gets `busy` at once, so that a flood of logins cannot take the threads from other requests.
    """

    def __init__(self, world: World, cost: Cost, *, budget_mib: int, metrics: Metrics | None = None) -> None:
        self._world = world
        self._metrics = metrics or Metrics()
        self._cost = cost
        self._budget_kib = budget_mib * 1024
        self.slots = max(1, min(budget_mib * 1024 // cost.memory_kib, os.cpu_count() or 1))
        self.admitted = self.slots + QUEUE_LENGTH
        self._start()
        _hashers.add(self)
        self._decoy = self._encode(world.random_bytes(SALT_BYTES), world.random_bytes(HASH_BYTES))

    def _start(self) -> None:
        """Everything that belongs to one process: what a parent's threads hold at a fork, its child must not wait for."""
        self._admitted = threading.Semaphore(self.admitted)
        self._running = threading.Semaphore(self.slots)
        self._threads: ThreadPoolExecutor | None = None
        self._counting = threading.Lock()
        self._inside = self._hashing = 0
        self._starting = threading.Lock()
        self._gathering = threading.Lock()  # of two that each want several slots, one at a time takes them

    def hash(self, password: str) -> str:
        """The PHC string of a normalised password."""
        from argon2.low_level import Type, hash_secret

        cost = self._cost
        encoded: bytes = self._run(
            lambda: hash_secret(
                password.encode(),
                self._world.random_bytes(SALT_BYTES),
                time_cost=cost.time,
                memory_cost=cost.memory_kib,
                parallelism=cost.parallelism,
                hash_len=HASH_BYTES,
                type=Type.ID,
            )
        )
        return encoded.decode("ascii")

    def verify(self, encoded: str | None, password: str) -> bool:
        """Whether this password made this hash. Without a hash it costs the same and is never true.

        A wrong password for another system's hash costs a check of ours as well, as a right one costs a hash: however
        cheap theirs is, it is never the quicker answer.
        """
        if encoded is not None and self.is_stale(encoded):
            right = self._verify_foreign(encoded, password)
            if not right:
                self.verify(None, password)
            return right
        from argon2.exceptions import VerifyMismatchError
        from argon2.low_level import Type, verify_secret

        try:
            ours: bool = self._run(lambda: verify_secret((encoded or self._decoy).encode(), password.encode(), Type.ID))
        except VerifyMismatchError:
            return False
        return ours and encoded is not None

    def is_stale(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return not encoded.startswith(self._parameters())

    @property
    def load(self) -> tuple[int, int]:
        """How many hashes are running, and how many wait."""
        with self._counting:
            return self._hashing, self._inside - self._hashing

    def admit(self, encoded: str) -> str:
        """A hash from elsewhere as it is kept, if it can be checked within the budget; raises Invalid."""
        found = foreign_hashes.recognise(encoded)
        if found.beyond:
            raise Invalid("not_allowed", f"This hash has {found.beyond}; it is not taken. {foreign_hashes.ADVICE}")
        if found.memory_kib > self._budget_kib:
            raise Invalid(
                "not_allowed",
                f"To check this hash takes {-(-found.memory_kib // 1024)} MiB, more than AUTHSVC_HASH_BUDGET_MIB allows. Raise it for as "
                "long as such hashes are there.",
            )
        return found.text

    def _verify_foreign(self, encoded: str, password: str) -> bool:
        """By another system's parameters, or our own of another time. What was let in stays in when the budget is lowered: it then
        takes all slots."""
        try:
            found = foreign_hashes.recognise(encoded)
        except Invalid as fault:  # an extra is gone
            raise unavailable(f"a password hash cannot be checked: {fault.detail}") from None
        return self._run(lambda: found.matches(password.encode()), slots=self._slots_for(found))

    def _slots_for(self, found: Foreign) -> int:
        """A hash that takes the memory of several takes their slots."""
        return min(self.slots, -(-found.memory_kib // self._cost.memory_kib))

    def close(self) -> None:
        """End the threads. They start again when needed."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()

    def _parameters(self) -> str:
        cost = self._cost
        return f"$argon2id$v=19$m={cost.memory_kib},t={cost.time},p={cost.parallelism}$"

    def _encode(self, salt: bytes, digest: bytes) -> str:
        return self._parameters() + "$".join(base64.b64encode(raw).rstrip(b"=").decode() for raw in (salt, digest))

    def _run(self, work: Callable[[], T], slots: int = 1) -> T:
        """Do it on one of our threads, or say busy."""
        self._world.slow("password hashing")
        if not self._admitted.acquire(blocking=False):
            self._metrics.count("hashes_refused_total", reason="queue_full")
            raise busy("the queue for password hashing is full")
        self._note(inside=1)
        try:
            with self._taken(slots):
                self._note(running=1)
                try:
                    return self._pool().submit(work).result()
                finally:
                    self._note(running=-1)
        finally:
            self._note(inside=-1)
            self._admitted.release()

    @contextmanager
    def _taken(self, slots: int) -> Iterator[None]:
        """So many slots, or busy. Who wants several gathers them alone: two with half of them each would wait for ever."""
        with ExitStack() as held:
            if slots > 1:
                self._take(self._gathering, held)
            for _ in range(slots):
                self._take(self._running, held)
            yield

    def _take(self, lock: threading.Lock | threading.Semaphore, held: ExitStack) -> None:
        if not lock.acquire(timeout=QUEUE_SECONDS):
            self._metrics.count("hashes_refused_total", reason="waited_too_long")
            raise busy("waited too long for password hashing")
        held.callback(lock.release)

    def _note(self, *, inside: int = 0, running: int = 0) -> None:
        with self._counting:
            self._inside += inside
            self._hashing += running

    def _pool(self) -> ThreadPoolExecutor:
        """The threads of this process, started when first needed."""
        with self._starting:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.slots, thread_name_prefix="hasher")
            return self._threads


_hashers: WeakSet[Hasher] = WeakSet()


def _renew_all() -> None:
    for hasher in list(_hashers):
        hasher._start()


os.register_at_fork(after_in_child=_renew_all)
