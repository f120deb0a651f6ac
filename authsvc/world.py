"""The clock, chance, the network, pauses, the end and the log: the only room that touches them. Tests put their own in its place."""

from __future__ import annotations

import atexit
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ssl import SSLContext


INFO = "info"
WARNING = "warning"  # something was refused or put off for a reason that whoever runs this may want to know
ERROR = "error"  # a fault of ours


class Trace(NamedTuple):
    """A trace that other services follow too."""

    id: str
    flags: int


class Errand(Protocol):
    """The request that a thread works for: its ids are in every line of the log meanwhile."""

    id: str
    trace: Trace | None


class Mine(threading.local):
    """What each thread has for itself: the request that it works for. So nobody has to hand the request's ids down to whoever
    logs, or calls another service."""

    errand: Errand | None = None


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but for tabs and line breaks

# What becomes of an entry: its level, message, event or None, fields, and what the thread works for.
LogForm = Callable[["World", str, str, str | None, Mapping[str, Any]], str]


def as_text(world: World, level: str, message: str, event: str | None, fields: Mapping[str, Any]) -> str:  # noqa: ARG001 - a LogForm
    """For people: the message, behind the id of the request that it belongs to. What others have said may be in it, and
    nothing that a terminal would obey."""
    if not message.isprintable():
        message = _CONTROLS.sub("?", message)
    if event is not None or (errand := world.mine.errand) is None:
        return message
    return f"{errand.id}: {message}"


class World:
    """What the process takes from outside itself."""

    def __init__(self) -> None:
        self.log_form: LogForm = as_text  # app.py sets the one that is wanted
        self.mine = Mine()
        self.renew()

    def now(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May step backwards when the host's clock is set."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean something."""
        return time.monotonic()

    def random_bytes(self, count: int) -> bytes:
        """Bytes from the operating system's generator."""
        return os.urandom(count)

    def pause(self, seconds: float) -> None:
        """Let other threads and processes run for a while."""
        time.sleep(seconds)

    def wake(self) -> None:
        """Let all who wait for work look at once."""
        work = self._work
        with work:
            self._wakes += 1
            work.notify_all()

    def wait_for_work(self, seen: int, seconds: float) -> int:
        """Wait until there was a call to `wake` after the `seen` ones, or so long; how many there were by now."""
        work = self._work  # there may be another one by the time that we wait
        with work:
            work.wait_for(lambda: self._wakes != seen, seconds)
            return self._wakes

    def renew(self) -> None:
        """In a child, after a fork: what other threads of the parent held is not ours to wait for."""
        self._work = threading.Condition()
        self._wakes = 0

    @property
    def is_ending(self) -> bool:
        """Whether no thread can be started any more. From Python 3.12 on that is so once the main thread has ended, however long
        others go on, and `at_exit` is heard only after them."""
        return sys.version_info >= (3, 12) and not threading.main_thread().is_alive()

    def at_exit(self, act: Callable[[], object]) -> Callable[[], None]:
        """Have something done when this process ends in order; the answer takes that back."""
        atexit.register(act)
        multiprocessing = sys.modules.get("multiprocessing.util")  # whose children end without atexit
        finalizer = multiprocessing.Finalize(None, act, exitpriority=0) if multiprocessing else None

        def take_back() -> None:
            atexit.unregister(act)
            if finalizer is not None:
                finalizer.cancel()

        return take_back

    def slow(self, act: str) -> None:
        """Called before anything slow (hashing, network), so that tests can refuse it inside a write block."""

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a name, best first. Raises OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        """A TCP connection to a literal address; each later read or write waits so long at most. Raises OSError."""
        return socket.create_connection((address, port), seconds)

    def secure(self, connected: socket.socket, host: str) -> socket.socket:
        """TLS over a connection, to a peer that proves this name by the machine's trusted certificates. Raises OSError."""
        return _trusting().wrap_socket(connected, server_hostname=host)

    def log(self, message: str, level: str = INFO, *, event: str | None = None, **fields: Any) -> None:
        """One entry of the log, in the form that is wanted. An event says all by its fields; its message is for people."""
        self.write(self.log_form(self, level, message, event, fields))

    def write(self, line: str) -> None:
        """One line to standard error, whole even when several threads write at once."""
        with suppress(OSError, ValueError, AttributeError):  # nobody listens: no reason to fail a request
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


@cache
def _trusting() -> SSLContext:
    """Made once: reading the certificates takes a while."""
    import ssl

    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Debian's Python leaves it to the library
    return context
