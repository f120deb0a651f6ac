"""The README as somebody at a terminal has it: its blocks of commands, what runs them, and a service to run them against."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PRINTED = "127.0.0.1:8000"
RUN = re.compile(r"^<!-- run ([a-z-]+) -->\n```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE_SECONDS = 20


def blocks() -> dict[str, list[str]]:
    """The commands of each block that says who runs it, comments and continued lines put right."""
    return {
        name: [line for line in re.sub(r"\\\n\s*", "", re.sub(r"\s+# .*", "", text)).splitlines() if line]
        for name, text in RUN.findall(README)
    }


@dataclass
class Terminal:
    """A shell in a folder of its own, in which `authsvc` is ours. `instead` is what stands for the values of the README."""

    folder: Path
    variables: dict[str, str]
    instead: dict[str, str] = field(default_factory=dict)

    def meant(self, command: str) -> str:
        for printed, real in self.instead.items():
            command = command.replace(printed, real)
        return command

    def try_(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        shell = ["bash", "-euo", "pipefail", "-c", self.meant(command)]
        return subprocess.run(
            shell, cwd=self.folder, env=self.variables, input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )

    def run(self, command: str, stdin: str = "") -> str:
        """What it prints. It must not fail."""
        ran = self.try_(command, stdin)
        assert ran.returncode == 0, (command, ran.stderr)
        return ran.stdout.strip()

    def ask(self, command: str) -> Any:
        """What it prints, as JSON; no refusal."""
        answer = json.loads(self.run(command))
        assert "code" not in answer, (command, answer)
        return answer


def terminal(folder: Path, **settings: str) -> Terminal:
    """A workbench's; nothing of ours is in its environment but these settings."""
    variables = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **settings}
    return Terminal(folder, variables)


@contextmanager
def serving(at: Terminal, command: str = "exec authsvc serve") -> Iterator[str]:
    """The address of what the command serves; it is stopped cleanly at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = at.instead[PRINTED] = f"127.0.0.1:{port}"
    at.variables["AUTHSVC_LISTEN"] = address
    at.variables.setdefault("AUTHSVC_PUBLIC_URL", f"http://{address}")
    process = subprocess.Popen(
        ["bash", "-euc", at.meant(command)], cwd=at.folder, env=at.variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()[1]
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, log


def post(address: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a service answers, tokens and problems alike."""
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as refused:
        found = json.load(refused)
    return found
