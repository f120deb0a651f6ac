"""The vendors' hosts for tests: one HTTP server in a thread that answers for every name, and a world that leads there."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from authsvc.config import sources
from authsvc.http.slots import Slots
from authsvc.providers import assembly
from authsvc.providers.provider import Attempt, Provider
from tests.support import FakeWorld

CLIENT_ID = "our-client-id"
SECRET = "s3cret/of+our client%"
CODE = "4/the-code&that=came back"
PATIENCE_SECONDS = 30.0
ATTEMPT = Attempt(
    redirect_uri="https://auth.example.com/oauth/vendor/callback",
    state="the-state-of-this-attempt",
    nonce="the-nonce-of-this-attempt",
    verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
)
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # of this verifier: RFC 7636 appendix B


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    host: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def target(self) -> str:
        """`GET https://host/path`, without the query."""
        return f"{self.method} https://{self.host}{self.path}"

    @property
    def whole(self) -> str:
        """The request line and the headers, as a proxy would log them."""
        return f"{self.target}?{self.query} {self.headers}"

    def header(self, name: str) -> str | None:
        """A header, or None; one that is there twice fails the test."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, found
        return found[0] if found else None

    def form(self) -> dict[str, str]:
        assert self.header("Content-Type") == "application/x-www-form-urlencoded"
        return pairs(self.body.decode("ascii"))

    def parameters(self) -> dict[str, str]:
        return pairs(self.query)


def pairs(text: str) -> dict[str, str]:
    """The members of a form or a query; one that is there twice fails the test."""
    found = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    assert len(dict(found)) == len(found), found
    return dict(found)


@dataclass(frozen=True)
class Said:
    """An answer: a JSON value, or bytes as they are; `raw` is all of it, from the status line on."""

    value: Any = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None

    @property
    def body(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else json.dumps(self.value).encode()


Behaviour = Said | Callable[[Asked], Said]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.headers.get("Host", ""), path, query, list(self.headers.items()), body)
        said = self.server.vendors.answer(asked)
        self.close_connection = True
        if said.raw is not None:
            self.wfile.write(said.raw)
            return
        self.send_response(said.status)
        for name, value in [("Content-Type", "application/json"), ("Content-Length", str(len(said.body))), *said.headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.body)


class Server(ThreadingHTTPServer):
    """Whose threads are joined at the end."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64
    vendors: Vendors

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that hung up is part of the tests
            super().handle_error(request, client_address)


@dataclass
class Vendors:
    """All vendors. What is not among the `answers` is 404, as JSON, and on record as everything."""

    answers: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        behaviour = self.answers.get(asked.target, Said({"error": "not_found"}, 404))
        return behaviour if isinstance(behaviour, Said) else behaviour(asked)

    @property
    def targets(self) -> list[str]:
        """What was asked for, in turn."""
        return [asked.target for asked in self.asked]

    def only(self, target: str) -> Asked:
        """The one request to this place."""
        (found,) = [asked for asked in self.asked if asked.target == target]
        return found


@contextmanager
def vendors_running() -> Iterator[Vendors]:
    server = Server(("127.0.0.1", 0), Handler)
    server.vendors = Vendors(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="vendors")
    thread.start()
    try:
        yield server.vendors
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_SECONDS)


class Net(FakeWorld):
    """A world in which every name leads to the vendors' server, and TLS is taken for granted but noted."""

    def __init__(self, vendors: Vendors) -> None:
        super().__init__()
        self.vendors = vendors
        self.ticks = 0.0
        self.resolved: list[tuple[str, int]] = []
        self.secured: list[str] = []
        self.slept: list[str] = []

    def monotonic(self) -> float:
        """Real, and as much more as a test has let pass."""
        return super().monotonic() + self.ticks

    def slow(self, act: str) -> None:
        self.slept.append(act)

    def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append((host, port))
        return ["127.0.0.1"]

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        return socket.create_connection((address, self.vendors.port), min(seconds, PATIENCE_SECONDS))

    def secure(self, connected: socket.socket, host: str) -> socket.socket:
        self.secured.append(host)
        return connected


def declare(name: str, **parts: str) -> dict[str, str]:
    """The settings of a provider by the parts of their names, with our id and secret."""
    given = {"client_id": CLIENT_ID, "client_secret": SECRET, **parts}
    return {f"oauth_{name}_{part}": value for part, value in given.items() if value}


def assembled(world: FakeWorld, name: str, **parts: str) -> Provider:
    """The provider as the service would have it."""
    return assembly.providers(sources.from_dict(declare(name, **parts)), world, Slots(threads=8)).get(name)
