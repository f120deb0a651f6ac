"""A real HTTP receiver of webhooks for tests: over TCP on 127.0.0.1, in a thread, and as ill-behaved as a test wants it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Got:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        kind: str = json.loads(self.body)["type"]
        return kind


Behaviour = Callable[["Handler"], None]


def says(status: int, **headers: str) -> Behaviour:
    """Answers so, at once."""
    return lambda handler: handler.say(status, headers)


@dataclass
class Receiver:
    """Where it is, what came, and how it answers: to each path by its own behaviour, else by `behaviour`."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    behaviour: Behaviour = field(default_factory=lambda: says(200))
    paths: dict[str, Behaviour] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def types(self, path: str | None = None) -> list[str]:
        return [got.type for got in self.got if path in (None, got.path)]

    def wait_for(self, count: int) -> list[Got]:
        """So many requests, once they have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, PATIENCE_SECONDS), [got.type for got in self.got]
            return list(self.got)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    receiver: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        receiver = self.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with receiver.arrived:
            receiver.got.append(Got(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            receiver.arrived.notify_all()
        with suppress(OSError):
            receiver.paths.get(self.path, receiver.behaviour)(self)

    def do_GET(self) -> None:
        with self.receiver.arrived:
            self.receiver.got.append(Got("GET " + self.path, {}, b"{}"))
        self.say(200, {})

    def say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def hangs(handler: Handler) -> None:
    """Says nothing until the test is over."""
    handler.receiver.released.wait(PATIENCE_SECONDS)


def closes(handler: Handler) -> None:
    """Hangs up in the middle of a line."""
    handler.wfile.write(b"HTTP/1.1 20")
    handler.close_connection = True


def endless(handler: Handler) -> None:
    """200, and a body that never ends."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.receiver.released.is_set():
        handler.wfile.write(b"x" * 65_536)


def bomb_of_headers(handler: Handler) -> None:
    """More headers than anybody needs."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(5_000)) + b"\r\n")
    handler.close_connection = True


@contextmanager
def receiving(behaviour: Behaviour | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()
    if behaviour is not None:
        receiver.behaviour = behaviour
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"receiver": receiver}))
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
