"""What tests stand on: a world whose clock is turned by hand, and a client that calls the app through WSGI."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, TypeVar
from wsgiref.validate import validator

from authsvc.app import App
from authsvc.config import sources
from authsvc.world import World
from tests.openapi import conformity

T = TypeVar("T")

EMAIL = "example@mail.com"
PASSWORD = "violet-harbour-91"
START = 1_800_000_000_000  # ms; a fixed day, so that nothing depends on today
CHEAP = {"hash_memory_kib": 64, "hash_time": 1}  # only for testing!


class FakeWorld(World):
    """A world in which time passes only when told to, and slow things are refused inside a write block."""

    def __init__(self) -> None:
        super().__init__()
        self.time = START
        self.lines: list[str] = []
        self.app: App | None = None
        self._lock = threading.Lock()

    def now(self) -> int:
        return self.time

    def advance(self, seconds: float) -> None:
        """Let time pass (or, with a negative number, set the clock back)."""
        self.time += round(seconds * 1000)

    def slow(self, act: str) -> None:
        assert self.app is None or not self.app.core.store.held, f"{act} inside a write block"

    def write(self, line: str) -> None:
        with self._lock:
            self.lines.append(line)


def make_app(folder: Path, world: World | None = None, **settings: Any) -> App:
    """An app on a database in this folder, with cheap hashes; settings by their lower-case names. /metrics is guarded as the
    route table has it, not open as on a workbench, so that tests over all routes see it so."""
    values = {"database": str(folder / "authsvc.db"), "mail": "console:", "delivery": "off", "metrics": "key", **CHEAP, **settings}
    app = App(sources.from_dict(values), world or FakeWorld())
    if isinstance(app.core.world, FakeWorld):
        app.core.world.app = app
    return app


@contextmanager
def running(folder: Path, world: World | None = None, **settings: Any) -> Iterator[App]:
    """The same, closed at the end."""
    app = make_app(folder, world, **settings)
    try:
        yield app
    finally:
        app.close()


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, member: str) -> Any:
        return self.json()[member]

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem."""
        return str(self.json()["code"])

    def header(self, name: str) -> str | None:
        """A header, or None; one that is there twice fails the test."""
        found = self.header_list(name)
        assert len(found) < 2, found
        return found[0] if found else None

    def header_list(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Client:
    """Calls an app in process, every call checked by wsgiref.validate. Keeps cookies if told to."""

    app: Any
    ip: str = "192.0.2.1"
    keep_cookies: bool = False
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **more: Any) -> Answer:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("POST", path, body, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.call("DELETE", path, **more)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        content_type: str = "application/json",
        environ: dict[str, Any] | None = None,
    ) -> Answer:
        """One request. `body` is sent as JSON, `raw` as it is; `token` becomes the bearer."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        env: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.ip,
            "CONTENT_TYPE": content_type if content else "",
            "CONTENT_LENGTH": str(len(content)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(content),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if self.keep_cookies and self.cookies:
            env["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if token is not None:
            env["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        for name, value in (headers or {}).items():
            env["HTTP_" + name.upper().replace("-", "_")] = value
        env.update(environ or {})
        return self._run(env)

    def register(self, email: str = EMAIL, password: str | None = PASSWORD, **more: Any) -> Answer:
        """Register, expecting success."""
        body = {"email": email, **more} | ({} if password is None else {"password": password})
        answer = self.post("/register", body)
        assert answer.status == 201, answer.body
        return answer

    def login(self, email: str = EMAIL, password: str = PASSWORD, **more: Any) -> Answer:
        return self.post("/login", {"email": email, "password": password, **more})

    def refresh(self, token: str) -> Answer:
        return self.post("/token/refresh", {"refresh_token": token})

    def _run(self, env: dict[str, Any]) -> Answer:
        seen: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            seen[:] = [status, headers]
            return lambda _: None

        result = validator(self.app)(env, start_response)
        try:
            content = b"".join(result)
        finally:
            result.close()
        status, headers = seen
        if self.keep_cookies:
            self._store(headers)
        conformity.check(self.app, env, int(status[:3]), headers, content)
        return Answer(int(status[:3]), headers, content)

    def _store(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if name.lower() == "set-cookie":
                for morsel in SimpleCookie(value).values():
                    if morsel["max-age"] == "0":
                        self.cookies.pop(morsel.key, None)
                    else:
                        self.cookies[morsel.key] = morsel.value


def together(count: int, act: Callable[[int], T]) -> list[T]:
    """The results of one act in so many threads, all let go at once."""
    gate = threading.Barrier(count)

    def run(index: int) -> T:
        gate.wait(60)
        return act(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def event_rows(app: App) -> list[dict[str, Any]]:
    """The audit rows, oldest first, read with a connection of our own."""
    import sqlite3

    connection = sqlite3.connect(app.core.store.path)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute("SELECT * FROM events ORDER BY seq")]
    finally:
        connection.close()


def actions(app: App) -> list[str]:
    """The names of the recorded events, oldest first."""
    return [row["action"] for row in event_rows(app)]
