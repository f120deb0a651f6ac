"""Calls to other services: bounded in time and size as a whole, no redirect followed, no proxy, nothing unpacked."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import authsvc
from authsvc.config.parse import DEFAULT_PORTS
from authsvc.http import tracing
from authsvc.world import World

SECONDS = 10.0
AGENT = {"User-Agent": f"authsvc/{authsvc.__version__}"}  # for peers that want to know who is calling
MAX_ANSWER_BYTES = 65_536
_CHUNK = 8_192


class Unreachable(Exception):
    """No answer, or none that can be used. The message is for the log and for administrators."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `seconds` bounds all of it, from the connection to the last byte of the answer.

    `whole`: an answer that is cut off or longer than `most_bytes` is none; otherwise its status counts, and of its body
    what has come.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = SECONDS
    most_bytes: int = MAX_ANSWER_BYTES
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status <= 299


def call(world: World, wanted: Call, *, address: str | None = None) -> Answered:
    """The answer, whatever its status; raises Unreachable. With `address` that one is called, whatever the name resolves to."""
    world.slow(f"a call to {urlsplit(wanted.url).hostname}")
    deadline = world.monotonic() + wanted.seconds
    try:
        return _exchange(world, wanted, address, deadline)
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = ", too late" if world.monotonic() >= deadline else ""
        raise Unreachable(f"{type(error).__name__}: {ascii(str(error))[1:-1]}"[:300] + late) from error


def resolved(world: World, host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name, best first; raises OSError, as well when it takes too long. The system's resolver knows no
    deadline, so it is asked on a thread of its own, which then ends when it will."""
    found: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def look() -> None:
        try:
            found.put(world.resolve(host, port))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's to know
            found.put(error)

    try:
        threading.Thread(target=look, name=f"resolve {host}", daemon=True).start()
        answer = found.get(timeout=seconds)
    except Empty:
        raise TimeoutError("the name was not resolved in time") from None
    except RuntimeError as error:  # a limit of processes, or an interpreter that ends
        raise OSError(f"the name was not resolved: {error}") from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _exchange(world: World, wanted: Call, address: str | None, deadline: float) -> Answered:
    parts = urlsplit(wanted.url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    connected = _connected(world, [address] if address else resolved(world, host, port, _left(world, deadline)), port, deadline)
    with ExitStack() as closing:
        closing.callback(connected.close)
        connected.settimeout(_left(world, deadline))  # OpenSSL's handshake as a whole
        channel = world.secure(connected, host) if parts.scheme == "https" else connected
        closing.callback(channel.close)  # TLS takes the descriptor over
        connection = http.client.HTTPConnection(host, port)
        connection.sock = _Timed(world, channel, deadline)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Host": parts.netloc.rpartition("@")[2],
            "Accept-Encoding": "identity",
            "Connection": "close",
            **tracing.headers(world),
            **wanted.headers,
        }
        connection.request(wanted.method, path, wanted.body or None, headers)
        answer = connection.getresponse()
        body = _read(answer, wanted)
        return Answered(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


class _Timed(io.RawIOBase):
    """A connection as http.client wants it, whose every read and write ends by the deadline. A socket's own timeout begins
    anew with each byte: a peer that trickles would hold us for ever."""

    def __init__(self, world: World, channel: socket.socket, deadline: float) -> None:
        self._world = world
        self._channel = channel
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._channel.settimeout(_left(self._world, self._deadline))
        return self._channel.recv_into(buffer)

    def sendall(self, data: Any) -> None:
        rest = memoryview(data)
        while rest:
            self._channel.settimeout(_left(self._world, self._deadline))
            rest = rest[self._channel.send(rest) :]

    def close(self) -> None:
        """Who has opened the channel closes it."""


def _left(world: World, deadline: float) -> float:
    left = deadline - world.monotonic()
    if left <= 0:
        raise TimeoutError("no time left")
    return left


def _connected(world: World, addresses: list[str], port: int, deadline: float) -> socket.socket:
    """A connection to the first of the addresses that takes one; each has its share of the time that is left."""
    failed: OSError = OSError("the name has no address")
    for index, address in enumerate(addresses):
        left = _left(world, deadline)
        try:
            return world.connect(address, port, left / (len(addresses) - index))
        except OSError as error:
            failed = error
    raise failed


def _read(answer: http.client.HTTPResponse, wanted: Call) -> bytes:
    body = b""
    try:
        while len(body) <= wanted.most_bytes and (chunk := answer.read1(_CHUNK)):
            body += chunk
        if wanted.whole and answer.length:
            raise http.client.IncompleteRead(body, answer.length)
    except (OSError, http.client.HTTPException):
        if wanted.whole:
            raise
    if wanted.whole and len(body) > wanted.most_bytes:
        raise ValueError(f"the answer has more than {wanted.most_bytes} bytes")
    return body[: wanted.most_bytes]
