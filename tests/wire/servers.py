"""Real servers for tests: started on a free port, talked to over sockets, stopped and read out at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import authsvc
from tests.support import CHEAP, Answer

ROOT = Path(authsvc.__file__).parents[1]
HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
ANSWER_SECONDS = 20.0  # far beyond any answer, so that only a hang ends here
POLL_SECONDS = 0.02
STARTS = 5  # another process may take the free port before the server does
GUNICORN = (
    "-m",
    "gunicorn",
    "--workers",
    "2",
    "--threads",
    "4",
    "--bind",
    "{host}:{port}",
    "--graceful-timeout",
    "5",
    "authsvc:create_app()",
)
SERVE = ("-m", "authsvc", "serve")


@dataclass
class Server:
    """A running server process."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    prefix: str = ""
    host: Any = None  # of tests/wire/hosts.py

    def connect(self) -> socket.socket:
        """A raw connection."""
        connection = socket.create_connection((HOST, self.port), timeout=ANSWER_SECONDS)
        connection.settimeout(ANSWER_SECONDS)
        return connection

    def talk(self, raw: bytes) -> list[Answer]:
        """Send these bytes and no more; every answer until the server closes."""
        with self.connect() as connection:
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before everything was sent: the answer may still be there
            return answers(received(connection))

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request with a JSON body; the path is below the prefix."""
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        return self.send(method, path, None if body is None else json.dumps(body).encode(), sent | (headers or {}))

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, below: bool = True
    ) -> Answer:
        """One request on a connection of its own."""
        connection = HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, self.prefix + path if below else path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def lines(self) -> str:
        """Everything that was written to standard error and output so far."""
        return self.log.read_text("utf-8", errors="replace")


@contextmanager
def serving(folder: Path, command: Sequence[str] = SERVE, *, prefix: str = "", **environment: str) -> Iterator[Server]:
    """A server on a database in this folder; `{port}` in a setting or argument stands for its port."""
    server = _started(folder, command, prefix, environment)
    try:
        yield server
        assert server.process.poll() is None, server.lines()
    finally:
        _stop(server)
    assert "Traceback" not in server.lines(), server.lines()
    assert server.process.returncode == 0, server.lines()


def answers(raw: bytes) -> list[Answer]:
    """The HTTP answers in these bytes; interim ones (1xx) are left out. Every one must be whole."""
    found = []
    while raw:
        head, separator, raw = raw.partition(b"\r\n\r\n")
        assert separator, head
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", first)
        assert match, first
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        answer = Answer(int(match[1]), headers, b"")
        length = int(answer.header("Content-Length") or 0)
        if answer.status >= 200:
            answer.body, raw = raw[:length], raw[length:]
            assert len(answer.body) == length
            found.append(answer)
    return found


def received(connection: socket.socket) -> bytes:
    """All bytes until the peer closes."""
    found = b""
    while True:
        try:
            piece = connection.recv(65_536)
        except ConnectionResetError:
            return found
        if not piece:
            return found
        found += piece


def one_answer(connection: socket.socket) -> Answer:
    """The next answer on a connection that stays open."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(65_536)
        assert piece, raw
        raw += piece
    head, _, rest = raw.partition(b"\r\n\r\n")
    match = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    missing = int(match[1] if match else 0) - len(rest)
    while missing > 0:
        piece = connection.recv(missing)
        assert piece, raw
        raw += piece
        missing -= len(piece)
    (answer,) = answers(raw)
    return answer


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _started(folder: Path, command: Sequence[str], prefix: str, environment: dict[str, str]) -> Server:
    for _ in range(STARTS):
        port = free_port()
        log = folder / f"log-{port}.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [part.format(host=HOST, port=port) for part in _words(command)],
                cwd=folder,
                env=_environment(folder, port, environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(port, process, log, prefix)
        if _is_ready(server):
            return server
        _stop(server)
        assert re.search("cannot listen|in use", server.lines()), server.lines()
    raise AssertionError("no port stays free")


def _words(command: Sequence[str]) -> Sequence[str]:
    """What is no program by itself is for our interpreter."""
    return command if command[0].startswith("/") else (sys.executable, *command)


def _environment(folder: Path, port: int, more: dict[str, str]) -> dict[str, str]:
    """The least that a process needs, and settings with cheap hashes."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    settings = {
        "AUTHSVC_DATABASE": str(folder / "authsvc.db"),
        "AUTHSVC_LISTEN": f"{HOST}:{port}",
        "AUTHSVC_PUBLIC_URL": f"http://{HOST}:{port}",
        **{f"AUTHSVC_{name.upper()}": str(value) for name, value in CHEAP.items()},
    }
    paths = [str(ROOT), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    given = {name: value.format(port=port) for name, value in more.items()}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", **settings, **given}


def _is_ready(server: Server) -> bool:
    """Wait until the port answers; False when the process ended instead."""
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline:
        if server.process.poll() is not None:
            return False
        try:
            with socket.create_connection((HOST, server.port), timeout=1):
                return True
        except OSError:
            sleep(POLL_SECONDS)
    return False


def _stop(server: Server) -> None:
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise
