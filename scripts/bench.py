"""Measures what HOUSE promises of speed: our server, a hello-world app under the same waitress, raw Argon2id, raw commits.

Machines differ, so every line is a ratio of two things measured in this run, in turns, medians taken.
"""

from __future__ import annotations

import math
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

from authsvc.primitives.keyring import Purpose
from authsvc.primitives.passwords import Cost, Hasher
from authsvc.world import World
from bench_tools import (
    CLIENTS,
    CORES,
    PASSWORD,
    QUICK,
    ROUNDS,
    app,
    authsvc_server,
    drive,
    environ,
    hello_server,
    http,
    ignore,
    loop,
    median,
    message,
    probing,
    rank_test,
    rate,
    register,
    rss_mib,
    timed,
)

Row = tuple[str, str, str, bool | None]


def main() -> int:
    rows: list[Row] = []
    for section in (cold_start, one_request, commits, over_http, logins, same_time):
        for row in section():
            rows.append(row)
            print("·", *row[:2], file=sys.stderr)
    print("\n| What | Measured | To hold | |\n| --- | --- | --- | --- |")
    for what, measured, bound, held in rows:
        print(f"| {what} | {measured} | {bound} | {'' if held is None else 'held' if held else 'NOT HELD'} |")
    return 0


def cold_start() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        code = "import sys; from authsvc import create_app; create_app({'database': sys.argv[1]}).close()"
        command = [sys.executable, "-c", code, f"{folder}/a.db"]
        subprocess.run(command, check=True)
        bare = median(lambda: timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
        ready = median(lambda: timed(lambda: subprocess.run(command, check=True))) - bare
        yield ("import authsvc and app ready", f"{ready:.2f} s", "<= 0.3 s", ready <= 0.3)
    with authsvc_server() as (port, process):
        http(port, "GET", "/healthz")
        resident = rss_mib(process.pid)
        yield ("idle resident memory", f"{resident:.0f} MiB", "<= 40 MiB", resident <= 40)


def one_request() -> Iterator[Row]:
    import jwt

    with app() as service:
        token = register(service, "a@example.com")["access_token"]
        key, url = service.core.keyring.current.sub(Purpose.ACCESS), service.core.settings.issuer
        request = environ("GET", "/user", token=token)
        ratios, ours, theirs = [], [], []
        for _ in range(5):
            ours.append(loop(lambda: b"".join(service(request, ignore))))
            theirs.append(loop(lambda: jwt.decode(token, key, ["HS256"], audience=url, issuer=url)))
            ratios.append(ours[-1] / theirs[-1])
    ratio = statistics.median(ratios)
    shown = f"{ratio:.2f} ({statistics.median(ours) * 1e6:.0f} µs to {statistics.median(theirs) * 1e6:.0f} µs)"
    yield ("GET /user in process, to one jwt.decode", shown, "<= 1.2", ratio <= 1.2)


def commits() -> Iterator[Row]:
    """One-row commits: bare SQLite one after another, and our store with 16 threads."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(f"{folder}/raw.db", isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE t (n)"):
            connection.execute(statement)
        raw = rate(lambda: connection.execute("INSERT INTO t VALUES (1)"), threads=1)
        connection.close()
    ticks = count()
    with app() as service:

        def touch() -> None:
            with service.core.store.write() as tx:
                tx.readiness.touch(next(ticks))  # another value each time: SQLite does not write what is there already

        alone, together = rate(touch, threads=1), rate(touch, threads=CLIENTS)
    yield ("one-row commits, one thread, to bare SQLite", f"{alone / raw:.2f} ({alone:.0f}/s to {raw:.0f}/s)", "", None)
    yield (f"one-row commits, {CLIENTS} threads (group commit), to bare SQLite", f"{together / raw:.2f} ({together:.0f}/s)", "", None)


def over_http() -> Iterator[Row]:
    with hello_server() as hello_port, authsvc_server() as (port, _):
        made = [http(port, "POST", "/register", {"email": f"u{n}@example.com", "password": PASSWORD}) for n in range(CLIENTS)]
        reads = [message("GET", "/user", token=one["access_token"]) for one in made]
        tokens = [one["refresh_token"] for one in made]
        hello, user, refresh = [], [], []
        for _ in range(ROUNDS):
            hello.append(drive(hello_port, lambda _n, _a: message("GET", "/"), CLIENTS)[0])
            user.append(drive(port, lambda n, _a: reads[n], CLIENTS)[0])

            def rotate(number: int, answer: bytes | None) -> bytes:
                if answer:
                    start = answer.index(b'"refresh_token":"') + 17
                    tokens[number] = answer[start : answer.index(b'"', start)].decode()
                return message("GET", "/token/refresh", token=tokens[number])

            refresh.append(drive(port, rotate, CLIENTS)[0])
    base = statistics.median(hello)
    yield ("hello world under waitress", f"{base:.0f}/s", "", None)
    for what, rates, bound in (("GET /user", user, 0.7), (f"GET /token/refresh, {CLIENTS} clients, durable", refresh, 0.5)):
        ratio = statistics.median(mine / theirs for mine, theirs in zip(rates, hello, strict=True))
        yield (f"{what}, to hello world", f"{ratio:.2f} ({statistics.median(rates):.0f}/s)", f">= {bound}", ratio >= bound)


def logins() -> Iterator[Row]:
    """Logins at the default cost beside a slow stream of other requests, to hashing alone on all processors."""
    hasher = Hasher(World(), Cost(19_456, 2, 1), budget_mib=1_024)
    encoded = hasher.hash(PASSWORD)
    ratios, slowest, rates = [], [], []
    with authsvc_server(cheap=False) as (port, _):
        made = http(port, "POST", "/register", {"email": "a@example.com", "password": PASSWORD})
        login = message("POST", "/login", {"email": "a@example.com", "password": PASSWORD, "options": {"setCookie": False}})
        for _ in range(ROUNDS):
            raw = rate(lambda: hasher.verify(encoded, PASSWORD), threads=CORES)
            stop, waits = threading.Event(), []
            probe = threading.Thread(target=probing, args=(port, message("GET", "/user", token=made["access_token"]), stop, waits))
            probe.start()
            served, refused = drive(port, lambda _n, _a: login, 8)
            stop.set()
            probe.join()
            assert not refused, "a login was refused"
            rates.append(served)
            ratios.append(served / raw)
            slowest.append(sorted(waits)[int(len(waits) * 0.99)])
    ratio, wait = statistics.median(ratios), statistics.median(slowest) * 1000
    yield ("POST /login, to raw Argon2id on all processors", f"{ratio:.2f} ({statistics.median(rates):.0f}/s)", ">= 0.95", ratio >= 0.95)
    yield ("p99 of GET /user meanwhile", f"{wait:.0f} ms", "< 50 ms", wait < 50)


def same_time() -> Iterator[Row]:
    """Known against unknown address, 400 interleaved calls each: a rank test must not tell them apart (ATTACKS A2)."""
    wrong = {"password": "wrong-" + PASSWORD}
    yield look_alike("POST /login", "/login", wrong)
    yield look_alike("POST /password/forgot", "/password/forgot", {})
    yield look_alike("POST /login/magic", "/login/magic", {})
    yield look_alike("POST /login/magic, createUser false", "/login/magic", {"options": {"createUser": False}})
    yield look_alike("POST /register under hide", "/register", {"password": PASSWORD}, enumeration="hide")


def look_alike(name: str, path: str, more: dict[str, Any], **settings: str) -> Row:
    known, unknown = [], []
    with app(cheap=False, **settings) as service:
        register(service, "known@example.com")
        for number in range(20 if QUICK else 200):
            for email, times in (("known@example.com", known), (f"no{number:03}@example.com", unknown)):
                request = environ("POST", path, {"email": email, **more})
                times.append(timed(lambda request=request: b"".join(service(request, ignore))))
    z = rank_test(known, unknown)
    p = math.erfc(abs(z) / math.sqrt(2))
    return (f"{name}, known to unknown address (rank test)", f"z = {z:+.2f}, p = {p:.2f}", "p > 0.01", p > 0.01)


if __name__ == "__main__":
    sys.exit(main())
