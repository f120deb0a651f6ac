"""The README's session runs as printed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRINTED = "127.0.0.1:8000"


def test_the_session_of_the_readme_runs_as_printed(tmp_path: Path) -> None:
    """Each command, in order, against a real server, gives what stands below it; `…` stands for anything."""
    steps = session()
    assert len(steps) >= 7
    with server(tmp_path) as address:
        for command, printed in steps:
            run = subprocess.run(
                ["bash", "-c", command.replace(PRINTED, address)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
            )
            pattern = ".*".join(re.escape(part) for part in printed.replace(PRINTED, address).split("…"))
            assert re.fullmatch(pattern, run.stdout.strip(), re.DOTALL), (command, run.stdout)


def session() -> list[tuple[str, str]]:
    """The commands of the console block with what is printed below each."""
    text = (ROOT / "README.md").read_text("utf-8")
    block = text.split("<!-- session -->")[1].split("<!-- /session -->")[0]
    lines = [line for line in block.splitlines() if line and not line.startswith("```")]
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    ends = [*starts[1:], len(lines)]
    return [(lines[start].removeprefix("$ "), "\n".join(lines[start + 1 : end])) for start, end in zip(starts, ends, strict=True)]


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """`authsvc serve` with nothing set but where to listen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    variables = {"PATH": os.environ["PATH"], "AUTHSVC_LISTEN": address, "AUTHSVC_PUBLIC_URL": f"http://{address}", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "authsvc", "serve"], cwd=folder, env=variables, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.02)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log
