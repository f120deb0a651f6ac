"""Starts a service on a fresh database and lets schemathesis loose on it, once for each kind of caller."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from authsvc.config.limits import LIMITS

CALLERS = ("anonymous", "user", "admin")
QUICK = ("--phases", "examples,coverage,stateful", "--max-examples", "3", "--generation-deterministic")
THOROUGH = ("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "50")
# Each of them would sign the caller out, and leave nothing to look at.
LEFT_OUT = "sign_out|sign_out_by_cookie"


def main() -> int:
    arguments = sys.argv[1:]
    quick = "--quick" in arguments
    given = [argument for argument in arguments if argument != "--quick"]
    with ThreadPoolExecutor() as pool:  # each has a service of its own
        told = list(pool.map(lambda caller: fuzzed(caller, [*(QUICK if quick else THOROUGH), *given]), CALLERS))
    for caller, (_, lines) in zip(CALLERS, told, strict=True):
        print(f"== as {caller}", *lines, sep="\n")
    failed = [caller for caller, (is_sound, _) in zip(CALLERS, told, strict=True) if not is_sound]
    print(f"== failed as: {', '.join(failed)}" if failed else "== nothing found")
    return 1 if failed else 0


def fuzzed(caller: str, arguments: list[str]) -> tuple[bool, list[str]]:
    """One run: whether nothing was found, and what there is to say."""
    with tempfile.TemporaryDirectory() as folder:
        with service(Path(folder)) as (url, environ):
            is_sound, found = fuzz(Path(folder), url, environ | {"FUZZ_AS": caller}, arguments)
        faults, depth = told((Path(folder) / "log").read_text("utf-8", "replace"))
        return is_sound and not faults, [found, *depth, *faults]


def fuzz(folder: Path, url: str, environ: dict[str, str], arguments: list[str]) -> tuple[bool, str]:
    """What schemathesis says."""
    here = Path(__file__).parent
    command = [str(Path(sys.executable).parent / "st"), "--config-file", str(here / "schemathesis.toml"), "run", f"{url}/openapi.json"]
    command += ["--exclude-operation-id-regex", f"^({LEFT_OUT})$"]
    command += ["--continue-on-failure", "--warnings", "off", *arguments]
    variables = environ | {"SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": str(here), "FUZZ_URL": url, "COLUMNS": "140"}
    run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    shown = run.stdout + run.stderr
    return run.returncode == 0, shown if run.returncode else re.sub(r"\A.*(?=^=+ SUMMARY)", "", shown, flags=re.DOTALL | re.MULTILINE)


@contextmanager
def service(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A workbench without limits, whose hashes cost little and whose mail goes nowhere; and what its command line needs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environ = {
        "PATH": os.environ["PATH"],
        "AUTHSVC_DATABASE": str(folder / "authsvc.db"),
        "AUTHSVC_LISTEN": f"127.0.0.1:{port}",
        "AUTHSVC_PUBLIC_URL": url,
        "AUTHSVC_APP_ORIGINS": "https://app.example.com",
        "AUTHSVC_DELIVERY": "off",
        "AUTHSVC_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "AUTHSVC_SMS": "console:",
        "AUTHSVC_SMS_COUNTRIES": "+1",
        "AUTHSVC_HASH_MEMORY_KIB": "64",
        "AUTHSVC_HASH_TIME": "1",
        "AUTHSVC_OAUTH_GITHUB_CLIENT_ID": "example",
        "AUTHSVC_OAUTH_GITHUB_CLIENT_SECRET": "example",
        **{f"AUTHSVC_LIMIT_{name.upper()}": "0" for name in LIMITS},
    }
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "authsvc", "serve"], env=environ, stderr=log, stdout=log)
    try:
        wait_for(port, process)
        yield url, environ
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def told(log: str) -> tuple[list[str], list[str]]:
    """What the service itself calls a fault; and how deep it went, by the access log."""
    seen = re.findall(r"^\S+Z (\d)\d\d (\w+ /\S*)", log, re.MULTILINE)
    classes = Counter(f"{digit}xx" for digit, _ in seen)
    done = {route for digit, route in seen if digit in "23"}
    idle = ", ".join(sorted({route for _, route in seen} - done)) or "none"
    answers = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
    faults = [f"in the log: {fault}" for fault in dict.fromkeys(re.findall(r"internal error\n(?:.+\n)+", log))]
    return faults, [f"answers: {answers}", f"operations that never did anything: {idle}"]


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit("the service did not start")


if __name__ == "__main__":
    sys.exit(main())
