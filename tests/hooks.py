"""A real HTTP receiver of webhooks for tests: over TCP on 127.0.0.1, in a thread, and as ill-behaved as a test wants it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.mailserver import certificate

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


def meanwhile(act: Callable[[], object], then: Behaviour) -> Behaviour:
    """Something happens while the sender waits for the answer."""

    def behave(handler: Handler) -> None:
        act()
        then(handler)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after another; the last for all that follow."""
    left = list(behaviours)

    def behave(handler: Handler) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        now(handler)

    return behave


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


def huge(handler: Handler) -> None:
    """200, and the promise of a body that no disk could hold, as fast as it is taken."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while not handler.receiver.released.is_set():
        handler.wfile.write(b"x" * 65_536)


def trickles(handler: Handler) -> None:
    """A byte of a header every now and then, so that no single read ever waits long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.receiver.released.wait(0.02):
        handler.wfile.write(b"x")


def goes_on_and_on(handler: Handler) -> None:
    """Interim answers without an end."""
    while not handler.receiver.released.is_set():
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def one_long_line(handler: Handler) -> None:
    """A header longer than anybody reads."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n")
    handler.close_connection = True


def bomb_of_headers(handler: Handler) -> None:
    """More headers than anybody needs."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(5_000)) + b"\r\n")
    handler.close_connection = True


@contextmanager
def receiving(behaviour: Behaviour | None = None, *, port: int = 0, tls: Path | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own, or once more on that of an earlier one. `tls`: the folder for a certificate, ca.pem,
    that is for localhost alone."""
    receiver = Receiver()
    if behaviour is not None:
        receiver.behaviour = behaviour
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (Handler,), {"receiver": receiver}))
    server.daemon_threads = True
    receiver.port = server.server_port
    if tls is not None:
        server.socket = _speaking_tls(tls).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _speaking_tls(folder: Path) -> ssl.SSLContext:
    for name, content in zip(("ca.pem", "key.pem"), certificate(), strict=True):
        (folder / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
