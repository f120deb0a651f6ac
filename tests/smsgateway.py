"""A real HTTP server for tests that takes SMS: over TCP on 127.0.0.1, in a thread, and as ill-behaved as a test wants it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

SID = "AC0123456789abcdef0123456789abcdef"
TOKEN = "s3cret-T0ken-of-the-account"
PATIENCE_SECONDS = 30.0
MESSAGES = f"/2010-04-01/Accounts/{SID}/Messages.json"


@dataclass(frozen=True)
class Asked:
    """A request that came, whatever became of it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header_list(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """A header, or None; one that is there twice fails the test."""
        found = self.header_list(name)
        assert len(found) < 2, found
        return found[0] if found else None

    def form(self) -> dict[str, str]:
        pairs = parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    def json(self) -> Any:
        return json.loads(self.body)


Behaviour = Callable[["Handler", Asked], None]


def ok(handler: Handler, asked: Asked) -> None:
    """201 with a message resource where Twilio's path was asked for, else a gateway's plain 200."""
    if asked.path != MESSAGES:
        handler.say(200, {"accepted": True})
        return
    form = asked.form()
    resource = {"sid": "SM" + "0" * 32, "status": "queued", "error_code": None, "error_message": None, "num_segments": "1"}
    handler.say(201, {**resource, "to": form["To"], "body": form["Body"]})


def fails(status: int = 500) -> Behaviour:
    return lambda handler, _: handler.say(status, {"error": "something broke"})


def too_many(retry_after: int) -> Behaviour:
    body = {"code": 20429, "message": "Too Many Requests", "more_info": "https://www.twilio.com/docs/errors/20429", "status": 429}
    return lambda handler, _: handler.say(429, body, [("Retry-After", str(retry_after))])


def refuses(status: int, code: int, message: str) -> Behaviour:
    """The JSON with which Twilio refuses."""
    body = {"code": code, "message": message, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return lambda handler, _: handler.say(status, body)


INVALID_NUMBER = refuses(400, 21211, "The 'To' number is not a valid phone number.")
UNAUTHENTICATED = refuses(401, 20003, "Authenticate")


def hangs(handler: Handler, _: Asked) -> None:
    """Takes the request and says nothing until the test ends."""
    handler.gateway.released.wait(PATIENCE_SECONDS)


def closes(said: bytes) -> Behaviour:
    """Hangs up after these bytes."""
    return lambda handler, _: handler.say_raw(said)


CLOSES_AT_ONCE = closes(b"")
CLOSES_IN_STATUS = closes(b"HTTP/1.1 20")
CLOSES_IN_BODY = closes(b"HTTP/1.1 503 Away\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")


def redirects(to: str, status: int = 307) -> Behaviour:
    return lambda handler, _: handler.say(status, {}, [("Location", to)])


def endless(handler: Handler, _: Asked) -> None:
    """A body that never ends; it is given up when nobody takes it any more."""
    handler.say_raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    with suppress(OSError):
        while not handler.gateway.released.is_set():
            handler.gateway.poured += handler.connection.send(b"x" * 65_536)


def trickles(head: bytes, count: int, pause: float) -> Behaviour:
    """Says this, and then so many bytes, one at a time."""

    def trickle(handler: Handler, _: Asked) -> None:
        handler.say_raw(head)
        with suppress(OSError):
            for _ in range(count):
                handler.gateway.released.wait(pause)
                handler.connection.sendall(b"x")
                handler.gateway.poured += 1

    return trickle


def echoes(status: int, *, of_headers: bool) -> Behaviour:
    """Gives back what was sent, as debugging gateways do."""
    return lambda handler, asked: handler.say_text(status, str(sorted(asked.headers)) if of_headers else asked.body.decode())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    @property
    def gateway(self) -> SmsGateway:
        return self.server.gateway

    def do_POST(self) -> None:
        self._take()

    def do_GET(self) -> None:
        self._take()

    def say(self, status: int, body: Any, headers: list[tuple[str, str]] | None = None) -> None:
        self._answer(status, json.dumps(body).encode(), "application/json", headers or [])

    def say_text(self, status: int, text: str) -> None:
        self._answer(status, text.encode(), "text/plain", [])

    def say_raw(self, said: bytes) -> None:
        with suppress(OSError):
            self.connection.sendall(said)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def _take(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, list(self.headers.items()), body)
        self.gateway.note(asked)(self, asked)

    def _answer(self, status: int, body: bytes, content_type: str, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Whose threads are joined at the end."""

    daemon_threads = False
    block_on_close = True
    gateway: SmsGateway

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that hung up is part of the tests
            super().handle_error(request, client_address)


@dataclass
class SmsGateway:
    """A gateway that is running. `behaviours` are taken in turn, the last one for ever."""

    behaviours: list[Behaviour] = field(default_factory=lambda: [ok])
    asked: list[Asked] = field(default_factory=list)
    poured: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.gateway = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="sms gateway")
        self._thread.start()

    @property
    def twilio(self) -> str:
        """As AUTHSVC_SMS takes it."""
        return f"twilio://{SID}:{TOKEN}@127.0.0.1:{self.port}"

    def url(self, path: str = "/send", user: str = "") -> str:
        """The same for a gateway."""
        return f"http://{user + '@' if user else ''}127.0.0.1:{self.port}{path}"

    def note(self, asked: Asked) -> Behaviour:
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
            return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]

    def wait_for(self, count: int) -> list[Asked]:
        """All requests, as soon as there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= count, PATIENCE_SECONDS), f"{len(self.asked)} of {count} came"
            return list(self.asked)

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_SECONDS)


@contextmanager
def sms_gateway(*behaviours: Behaviour) -> Iterator[SmsGateway]:
    """A gateway that behaves so, in turn; stopped at the end."""
    gateway = SmsGateway(list(behaviours or [ok]))
    try:
        yield gateway
    finally:
        gateway.stop()
