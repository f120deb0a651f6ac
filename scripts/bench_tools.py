"""What bench.py measures with: servers in processes of their own, clients that keep them busy, and the arithmetic."""

from __future__ import annotations

import io
import json
import math
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from authsvc.app import App
from authsvc.config import sources
from authsvc.config.limits import LIMITS
from authsvc.world import World

QUICK = "--quick" in sys.argv
SECONDS = 1.5 if QUICK else 4.0
ROUNDS = 1 if QUICK else 3
CLIENTS = 16
CORES = os.cpu_count() or 1
PASSWORD = "violet-harbour-91"
UNLIMITED = {f"limit_{name}": 0 for name in LIMITS}
HELLO = """
import sys, waitress
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
waitress.serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=8, _quiet=True)
"""


# -- servers


@contextmanager
def app(*, cheap: bool = True, **more: str) -> Iterator[App]:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"database": f"{folder}/a.db", **UNLIMITED, **({"hash_memory_kib": 64, "hash_time": 1} if cheap else {}), **more}
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            service = App(sources.from_dict(settings), Quiet(nowhere))
            yield service
            service.close()


class Quiet(World):
    """Logs as ever, but to nowhere."""

    def __init__(self, file: io.TextIOBase | Any) -> None:
        super().__init__()
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()


@contextmanager
def authsvc_server(*, cheap: bool = True) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = {"DATABASE": f"{folder}/a.db", "LISTEN": f"127.0.0.1:{port}", "PUBLIC_URL": f"http://127.0.0.1:{port}"}
        settings |= {name.upper(): str(value) for name, value in UNLIMITED.items()}
        settings |= {"HASH_MEMORY_KIB": "64", "HASH_TIME": "1"} if cheap else {}
        variables = {f"AUTHSVC_{name}": value for name, value in settings.items()}
        with running([sys.executable, "-m", "authsvc", "serve"], port, variables) as process:
            yield port, process


@contextmanager
def hello_server() -> Iterator[int]:
    port = free_port()
    with running([sys.executable, "-c", HELLO, str(port)], port, {}):
        yield port


@contextmanager
def running(command: list[str], port: int, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rss_mib(pid: int) -> float:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return float(shown or "nan") / 1024


# -- clients


def message(method: str, path: str, body: Any = None, token: str | None = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def drive(port: int, next_message: Callable[[int, bytes | None], bytes], clients: int) -> tuple[float, int]:
    """Keep so many connections busy for a while; good answers a second, and the number of others."""
    good = bad = 0
    selector = selectors.DefaultSelector()
    for number in range(clients):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(next_message(number, None))
        selector.register(connection, selectors.EVENT_READ, [number, b""])
    started = time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        for key, _ in selector.select(1):
            key.data[1] += key.fileobj.recv(65_536)
            if whole(key.data[1]):
                ok = key.data[1].startswith(b"HTTP/1.1 200")
                good, bad = good + ok, bad + (not ok)
                key.fileobj.sendall(next_message(key.data[0], key.data[1] if ok else None))
                key.data[1] = b""
    elapsed = time.perf_counter() - started
    for key in list(selector.get_map().values()):  # take the last answers, so that the next round starts clean
        while not whole(key.data[1]):
            key.data[1] += key.fileobj.recv(65_536)
        if key.data[1].startswith(b"HTTP/1.1 200"):
            next_message(key.data[0], key.data[1])
        key.fileobj.close()
    return good / elapsed, bad


def whole(answer: bytes) -> bool:
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    start = answer.index(b"Content-Length: ") + 16
    return len(answer) >= head + 4 + int(answer[start : answer.index(b"\r", start)])


def probing(port: int, request: bytes, stop: threading.Event, waits: list[float]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not stop.wait(0.01):
            started, answer = time.perf_counter(), b""
            connection.sendall(request)
            while not whole(answer):
                answer += connection.recv(65_536)
            waits.append(time.perf_counter() - started)


def http(port: int, method: str, path: str, body: Any = None) -> Any:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(message(method, path, body))
        answer = b""
        while not whole(answer):
            answer += connection.recv(65_536)
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def environ(method: str, path: str, body: Any = None, token: str | None = None) -> dict[str, Any]:
    content = b"" if body is None else json.dumps(body).encode()
    made: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1"}
    made |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(content)), "wsgi.input": io.BytesIO(content)}
    return made | ({"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {})


def register(service: App, email: str) -> Any:
    return json.loads(b"".join(service(environ("POST", "/register", {"email": email, "password": PASSWORD}), ignore)))


def ignore(_status: str, _headers: list[tuple[str, str]]) -> None:
    """A start_response that nobody listens to."""


# -- measures


def timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def median(act: Callable[[], float]) -> float:
    return statistics.median(act() for _ in range(3 if QUICK else 7))


def loop(act: Callable[[], object], times: int = 2_000) -> float:
    """Seconds for one call, over many."""
    return timed(lambda: [act() for _ in range(times)]) / times


def rate(act: Callable[[], object], threads: int) -> float:
    """Calls a second, over all threads."""
    counts = [0] * threads
    end = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        while time.perf_counter() < end:
            act()
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    elapsed = timed(lambda: ([worker.start() for worker in workers], [worker.join() for worker in workers]))
    return sum(counts) / elapsed


def rank_test(one: list[float], other: list[float]) -> float:
    """Mann-Whitney U as a z score: 0 when neither is slower."""
    ranks = {value: rank for rank, value in enumerate(sorted(one + other), 1)}
    u = sum(ranks[value] for value in one) - len(one) * (len(one) + 1) / 2
    mean, deviation = len(one) * len(other) / 2, math.sqrt(len(one) * len(other) * (len(one) + len(other) + 1) / 12)
    return (u - mean) / deviation
