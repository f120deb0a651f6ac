"""Real `authsvc serve` processes for the fault tests, and clients that note what was acknowledged to them."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import authsvc
from authsvc.config.limits import LIMITS

ROOT = Path(authsvc.__file__).parent.parent
PASSWORD = "violet-harbour-91"
CHEAP = {"hash_memory_kib": 64, "hash_time": 1}  # only for testing!
PATIENCE_SECONDS = 60
PORT_TRIES = 10
FULL_DISK_BYTES = 1_024
TRACEBACK_LINES = 60  # about as many as there may be, and a little more
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Server:
    """One server process. Its log is read as it comes, so that it never waits for us."""

    def __init__(self, folder: Path, port: int, settings: dict[str, Any], *, file_bytes: int | None = None) -> None:
        self.port = port
        self.database = folder / "authsvc.db"
        self.lines: list[str] = []
        self._logged = threading.Condition()
        self._ended = False
        self._deaf = False
        self._callers: list[Caller] = []
        command = [sys.executable, "-W", "error", "-m", "authsvc", "serve"]
        if file_bytes is not None:  # by way of a process of its own, since a fork with threads may do little before its exec
            command = [sys.executable, "-c", LIMITED, str(file_bytes), *command]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder, port, settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_up(self) -> bool:
        """Wait until it listens; False if it ended instead."""
        return self.wait_for_line("authsvc listens on")

    def wait_for_line(self, text: str) -> bool:
        """Wait until the log has a line with this; False if it ended without."""
        with self._logged:
            assert self._logged.wait_for(lambda: self._ended or self.log(text), PATIENCE_SECONDS), self.lines
        return bool(self.log(text))

    def log(self, text: str) -> list[str]:
        """The lines of the log that have this in them."""
        return [line for line in self.lines if text in line]

    def crashes(self) -> list[str]:
        """Each traceback of the log, with what follows it; objects that were left unclosed at the exit apart."""
        before = ["", *self.lines]
        found = [number for number, line in enumerate(self.lines) if line.startswith("Traceback") and "ignored" not in before[number]]
        return ["\n".join(self.lines[number : number + TRACEBACK_LINES]) for number in found]

    def caller(self) -> Caller:
        self._callers.append(Caller(self.port))
        return self._callers[-1]

    def stop(self) -> int:
        """SIGTERM, once our callers have gone; the exit status."""
        self._close_callers()
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """No file of the process may grow, or be written past its first bytes."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (FULL_DISK_BYTES, hard))
        try:
            yield
        finally:
            if self.process.poll() is None:
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def stop_listening_to_its_log(self) -> None:
        """Close the other end of its standard error, as a log collector that died."""
        self._deaf = True
        assert self.caller().call("GET", "/healthz") is not None
        self._reader.join()

    def kill(self) -> None:
        """SIGKILL, at once."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        status = self.process.wait(PATIENCE_SECONDS)
        self._reader.join()
        self._close_callers()
        return status

    @contextmanager
    def halted(self) -> Iterator[None]:
        """The process stands still: what lies on the disk is what a power cut at this moment would leave."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _close_callers(self) -> None:
        for caller in self._callers:
            caller.close()

    def _read_log(self) -> None:
        with self.process.stderr as log:  # type: ignore[union-attr]
            for line in log:
                with self._logged:
                    self.lines.append(line.rstrip("\n"))
                    self._logged.notify_all()
                if self._deaf:
                    break
        with self._logged:
            self._ended = True
            self._logged.notify_all()


def environment(folder: Path, port: int, settings: dict[str, Any]) -> dict[str, str]:
    """The variables of a server: on this port, without limits, with cheap hashes unless told otherwise."""
    values = {
        "database": folder / "authsvc.db",
        "listen": f"127.0.0.1:{port}",
        "public_url": f"http://127.0.0.1:{port}",
        "refresh_grace_seconds": 300,  # a slow machine must not turn a repetition into a reuse
        **{f"limit_{name}": 0 for name in LIMITS},
        **CHEAP,
        **settings,
    }
    own = {f"AUTHSVC_{name.upper()}": str(value) for name, value in values.items() if value is not None}
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
    return {**foreign, **own, "PYTHONPATH": str(ROOT)}


def python(folder: Path, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """A Python with these arguments, beside the servers of a folder and with their settings."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder, free_port(), settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def command(folder: Path, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """`authsvc …` in a process of its own."""
    return python(folder, "-m", "authsvc", *arguments, **settings)


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Server]:
    """A server that listens; killed at the end if it still runs."""
    server = start(folder, **settings)
    try:
        yield server
    finally:
        server.kill()


def start(folder: Path, **settings: Any) -> Server:
    """The same, for those who stop or kill it themselves."""
    for _ in range(PORT_TRIES):
        server = Server(folder, free_port(), settings)
        if server.is_up():
            return server
        server.wait()
        if not server.log("cannot listen"):
            break
    raise AssertionError(server.lines)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class Caller:
    """A client with one kept-alive connection. A request that got no whole answer yields None.

    `cut` says that the last one was sent on a standing connection; otherwise nobody took it.
    """

    def __init__(self, port: int) -> None:
        self.cut = False
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Reply | None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, path, content, headers)
            answer = self._connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read() or b"{}"))
        except (OSError, http.client.HTTPException) as error:
            self.cut = not isinstance(error, ConnectionRefusedError)
            self._connection.close()
            return None

    def register(self, email: str, **more: Any) -> Reply | None:
        return self.call("POST", "/register", {"email": email, "password": PASSWORD, **more})

    def login(self, email: str, password: str = PASSWORD) -> Reply | None:
        return self.call("POST", "/login", {"email": email, "password": password, "options": {"setCookie": False}})

    def refresh(self, token: str) -> Reply | None:
        return self.call("POST", "/token/refresh", {"refresh_token": token})

    def logout(self, token: str) -> Reply | None:
        return self.call("POST", "/token/revoke", {"refresh_token": token})

    def close(self) -> None:
        self._connection.close()


@dataclass
class Session:
    """What a client knows of one session: the last acknowledged token, and what it asked without getting an answer."""

    id: str
    email: str
    token: str
    rotation_unanswered: bool = False
    logout: str = "none"  # none, asked, acknowledged

    @property
    def counter(self) -> int:
        return counter(self.token)


@dataclass
class Load:
    """Clients in threads that register, sign in, refresh and log out, until told to stop or left without an answer."""

    ports: Sequence[int]
    clients: int = 16
    prefix: str = "load"
    sessions: list[Session] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    cut: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.acts = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_for(self, acts: int) -> None:
        """Wait until so many acts more were acknowledged."""
        goal = self.acts + acts
        self._wait(lambda: self.acts >= goal)

    def wait_for_status(self, status: int, count: int) -> None:
        """Wait until so many answers had this status."""
        self._wait(lambda: self.statuses[status] >= count)

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_SECONDS), (self.statuses, self.surprises[:5])

    def known(self) -> tuple[list[str], list[Session]]:
        """Copies of what was acknowledged by now."""
        with self._changed:
            return list(self.registered), [replace(session) for session in self.sessions]

    def stop(self) -> None:
        """Let every client finish its request."""
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        callers = [Caller(port) for port in self.ports]
        chance = random.Random(f"{self.prefix} {number}")
        own: list[Session] = []
        made = 0
        while not self._stopping:
            act = chance.choices((self._register, self._login, self._refresh, self._logout), (4, 1, 4, 1))[0] if own else self._register
            made += 1
            caller = chance.choice(callers)
            if not act(caller, own, f"{self.prefix}-{number}-{made}@example.com", chance):
                with self._changed:
                    self.cut += caller.cut
                break
        for caller in callers:
            caller.close()

    def _register(self, caller: Caller, own: list[Session], email: str, _chance: random.Random) -> bool:
        answer = caller.register(email)
        if not self._noted(answer, 201):
            self.unanswered += [email] if answer is None else []
            return answer is not None
        self.registered.append(email)
        self._opened(answer, email, own)
        return True

    def _login(self, caller: Caller, own: list[Session], _email: str, chance: random.Random) -> bool:
        email = chance.choice(own).email
        answer = caller.login(email)
        if self._noted(answer, 200):
            self._opened(answer, email, own)
        return answer is not None

    def _refresh(self, caller: Caller, own: list[Session], _email: str, chance: random.Random) -> bool:
        session = chance.choice(own)
        session.rotation_unanswered = True
        answer = caller.refresh(session.token)
        if not self._noted(answer, 200):
            return answer is not None
        token = answer.body["refresh_token"]
        if counter(token) != session.counter + 1 or answer.body["session_id"] != session.id:
            self.surprises.append(f"{session.token} was followed by {token}")
        with self._changed:
            session.token, session.rotation_unanswered = token, False
        return True

    def _logout(self, caller: Caller, own: list[Session], _email: str, chance: random.Random) -> bool:
        session = own.pop(chance.randrange(len(own)))
        session.logout = "asked"
        answer = caller.logout(session.token)
        if self._noted(answer, 200):
            session.logout = "acknowledged"
        return answer is not None

    def _opened(self, answer: Reply, email: str, own: list[Session]) -> None:
        session = Session(answer.body["session_id"], email, answer.body["refresh_token"])
        own.append(session)
        self.sessions.append(session)

    def _noted(self, answer: Reply | None, expected: int) -> bool:
        """Count the answer; whether it is the expected one."""
        with self._changed:
            if answer is None:
                return False
            self.statuses[answer.status] += 1
            if answer.status != expected:
                self.surprises.append(f"{answer.status} {answer.code}")
                self._changed.notify_all()
                return False
            self.acts += 1
            self._changed.notify_all()
            return True


def counter(token: str) -> int:
    """Which of its session's refresh tokens this is."""
    match = re.fullmatch(r"rt_[a-z0-9]+\.(\d+)\.[\w-]+", token)
    assert match is not None, token
    return int(match[1])


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What work(0) … work(count - 1) return, all called at once; the first failure is raised."""
    results: list[Any] = [None] * count
    failures: list[BaseException] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            gate.wait()
            results[number] = work(number)
        except BaseException as failure:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
