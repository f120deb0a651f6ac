"""The command line in this process and as processes of its own, on a database in the test's folder."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import authsvc
from authsvc.__main__ import main
from authsvc.app import App
from tests.support import CHEAP, running

ROOT = Path(authsvc.__file__).parent.parent
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """The one object that it printed."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    def objects(self) -> list[Any]:
        """The objects of a list, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """Runs commands: `cli("user", "list")` in this process, `cli.process(…)` in one of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.environ = {"AUTHSVC_DATABASE": str(folder / "authsvc.db")}
        self.environ |= {"AUTHSVC_" + name.upper(): str(value) for name, value in CHEAP.items()}

    def __call__(self, *arguments: str, stdin: str = "", **settings: str) -> Ran:
        assert arguments[:1] != ("serve",) or {"--check", "--help"} & set(arguments), "would not come back if it started"
        with self._monkeypatch.context() as patch:
            for variable in [name for name in os.environ if name.startswith("AUTHSVC_")]:
                patch.delenv(variable)
            for variable, value in (self.environ | settings).items():
                patch.setenv(variable, value)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            self._capsys.readouterr()
            try:
                status = main(arguments)
            except SystemExit as ended:
                status = int(ended.code or 0)
        return Ran(status, *self._capsys.readouterr())

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """What a command prints with --json, expecting success."""
        ran = self(*arguments, "--json", stdin=stdin)
        assert (ran.status, ran.err) == (0, "")
        return ran.json()

    def process(self, *arguments: str, stdin: bytes = b"", **settings: str) -> Ran:
        """The same as `python -m authsvc …`."""
        ran = subprocess.run(
            self._command(*arguments),
            cwd=self.folder,
            env=self._environment(settings),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())

    @contextmanager
    def serving(self, **settings: str) -> Iterator[Served]:
        """A server process beside us, stopped at the end."""
        port = free_port()
        process = subprocess.Popen(
            self._command("serve", "--listen", f"127.0.0.1:{port}"),
            cwd=self.folder,
            env=self._environment(settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            assert "listens on" in first, first + process.stderr.read()
            yield Served(process, port)
        finally:
            process.terminate()
            _, log = process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == 0, log
            assert "Traceback" not in log

    @contextmanager
    def app(self) -> Iterator[App]:
        """An app on the same database, to look at what the commands did."""
        with running(self.folder) as app:
            yield app

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "authsvc", *arguments]

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        importable = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": importable, **self.environ, **settings}


@dataclass(frozen=True)
class Served:
    """A server process and how to talk to it."""

    process: subprocess.Popen[str]
    port: int

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """One request on a connection of its own: the status and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path, monkeypatch, capsys)
