"""Keys under load, kills and races: processes rotate both kinds beside running servers, and no token is refused for it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest

from authsvc.primitives.keyring import Key
from tests.faults.servers import Caller, Load, Server, in_threads, python, serving, start
from tests.faults.test_kill import assert_nothing_half_done, assert_whole

ISSUER = {"public_url": "http://127.0.0.1:8000"}  # one service, whichever process answers
ROTATIONS = 4
VERIFIERS = 4
STORE = "authsvc.store."
# Where a rotation is killed: before the n-th call of this.
STEPS = [
    *[("secret", step, count) for step, count in (("os.open", 1), ("os.fsync", 1), ("os.replace", 1), ("os.fsync", 2))],
    *[("secret", step, count) for step, count in (("os.fsync", 3), ("os.replace", 2), ("os.fsync", 4))],
    ("secret", STORE + "signing_keys.SigningKeys.reseal", 1),
    ("secret", STORE + "writer.Writer._commit", 1),
    ("secret", STORE + "secret_keys.SecretKeys.note", 1),
    ("secret", STORE + "events.Events.record", 1),
    ("secret", STORE + "writer.Writer._commit", 2),
    ("signing", STORE + "signing_keys.SigningKeys.retire", 1),
    ("signing", STORE + "signing_keys.SigningKeys.promote", 1),
    ("signing", STORE + "signing_keys.SigningKeys.add", 1),
    ("signing", STORE + "events.Events.record", 1),
    ("signing", STORE + "writer.Writer._commit", 1),
]
# Runs a command in a process that ends so.
KILLED = """
import importlib, os, signal, sys
path, name = sys.argv[1].rsplit(".", 1)
module, _, owner = path.rpartition(".")
place = getattr(importlib.import_module(module), owner) if module else importlib.import_module(path)
count, genuine = int(sys.argv[2]), getattr(place, name)
def counted(*arguments, **more):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return genuine(*arguments, **more)
from authsvc.__main__ import main
setattr(place, name, counted)
sys.exit(main(sys.argv[3:]))
"""


def command(folder: Path, *arguments: str, alg: str, killed_at: tuple[str, int] | None = None) -> subprocess.CompletedProcess[str]:
    """`authsvc …` in a process of its own."""
    program = ["-m", "authsvc"] if killed_at is None else ["-c", KILLED, killed_at[0], str(killed_at[1])]
    return python(folder, "-W", "error", *program, *arguments, jwt_alg=alg, **ISSUER)


def keys(folder: Path, alg: str) -> list[dict[str, Any]]:
    ran = command(folder, "keyring", "list", "--json", alg=alg)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


class Verifiers:
    """Clients that look at their own account over and over, each with tokens old and new, at every server."""

    def __init__(self, ports: list[int], tokens: list[str]) -> None:
        self.statuses: Counter[int] = Counter()
        self._stopping = False
        self._callers = [[Caller(port) for port in ports] for _ in range(VERIFIERS)]
        self._tokens = tokens
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(VERIFIERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        turn = number
        while not self._stopping:
            turn += 1
            for caller in self._callers[number]:
                answer = caller.call("GET", "/user", token=self._tokens[turn % len(self._tokens)])
                self.statuses[answer.status if answer else 0] += 1
        for caller in self._callers[number]:
            caller.close()


@pytest.mark.parametrize("alg", ["HS256", "ES256", "EdDSA"])
def test_rotations_under_load_refuse_nobody(tmp_path: Path, alg: str) -> None:
    """F12: another process rotates both kinds again and again: of all sign-ins, refreshes and verifications none fails."""
    with serving(tmp_path, jwt_alg=alg, **ISSUER) as one, serving(tmp_path, jwt_alg=alg, **ISSUER) as other:
        tokens = [str(one.caller().register("first@example.com").body["access_token"])]
        with Load([one.port, other.port], clients=6, prefix="keys") as load, Verifiers([one.port, other.port], tokens) as verifiers:
            for _ in range(ROTATIONS):
                for kind in ("secret", "signing"):
                    ran = command(tmp_path, "keyring", "rotate", kind, alg=alg)
                    assert ran.returncode == (1 if (alg, kind) == ("HS256", "signing") else 0), ran.stderr
                    tokens.append(str(other.caller().login("first@example.com").body["access_token"]))
                    load.wait_for(40)
        assert [server.crashes() + server.log("warning") for server in (one, other)] == [[], []]  # first, since it tells why
        assert load.surprises == []
        assert set(load.statuses) == {200, 201}
        assert set(verifiers.statuses) == {200}
        assert len({kid_of(token) for token in tokens}) == ROTATIONS + 1
        states = Counter((key["kind"], key["state"]) for key in keys(tmp_path, alg))
        assert states["secret", "previous"] == ROTATIONS
        assert states["signing", "retired"] == (0 if alg == "HS256" else ROTATIONS)
        assert (one.stop(), other.stop()) == (0, 0)
    assert_whole(tmp_path / "authsvc.db", load.registered, load.sessions)


def kid_of(token: str) -> str:
    import jwt

    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.parametrize(("kind", "step", "count"), STEPS, ids=lambda value: str(value).rpartition(".")[2])
def test_f9_a_rotation_killed_at_any_step_leaves_usable_keys(tmp_path: Path, kind: str, step: str, count: int) -> None:
    """F9: the server beside it serves on, whoever was signed in stays so, and the next rotation and the next start work."""
    with serving(tmp_path, jwt_alg="ES256", **ISSUER) as server:
        before = server.caller().register("ann@example.com").body
        ran = command(tmp_path, "keyring", "rotate", kind, alg="ES256", killed_at=(step, count))
        assert (ran.returncode, ran.stdout) == (-9, ""), "it was not killed where it should have been"
        assert server.caller().call("GET", "/user", token=before["access_token"]).status == 200
        between = server.caller().login("ann@example.com").body
        again = command(tmp_path, "keyring", "rotate", kind, alg="ES256")
        assert again.returncode == 0, again.stderr
        after = server.caller().login("ann@example.com").body
        for tokens in (before, between, after):
            assert server.caller().call("GET", "/user", token=tokens["access_token"]).status == 200
        assert server.crashes() + server.log("warning") == []
        assert server.stop() == 0
    with serving(tmp_path, jwt_alg="ES256", **ISSUER) as server:
        for tokens in (before, between, after):
            assert server.caller().call("GET", "/user", token=tokens["access_token"]).status == 200
            assert server.caller().refresh(tokens["refresh_token"]).status == 200
    listed = keys(tmp_path, "ES256")
    assert Counter(key["state"] for key in listed if key["kind"] == "signing") >= Counter(["current", "next"])
    current = next(key for key in listed if (key["kind"], key["state"]) == ("secret", "current"))
    assert {need["what"]: need["rows"] for need in current["needed_by"]}["signing keys"] == len(
        [key for key in listed if key["kind"] == "signing"]
    )
    assert Key((tmp_path / "authsvc.db.key").read_text().split("\n")[1 if kind == "secret" else 0].encode()).kid == current["kid"]
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        assert_nothing_half_done(connection)


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_f12_servers_that_start_at_once_agree_on_one_set_of_keys(tmp_path: Path, alg: str) -> None:
    """F12: of three on an empty folder one makes the secret key and one the pairs; each verifies the others' tokens."""
    servers: list[Server] = in_threads(3, lambda _: start(tmp_path, jwt_alg=alg, **ISSUER))
    try:
        tokens = [server.caller().register(f"u{number}@example.com").body["access_token"] for number, server in enumerate(servers)]
        sets = [server.caller().call("GET", "/.well-known/jwks.json").body for server in servers]
        assert sets[0] == sets[1] == sets[2]
        assert len(sets[0]["keys"]) == 2
        assert len({kid_of(token) for token in tokens}) == 1
        for server in servers:
            assert [server.caller().call("GET", "/user", token=token).status for token in tokens] == [200] * 3
        assert [server.stop() for server in servers] == [0, 0, 0]
    finally:
        for server in servers:
            server.kill()
