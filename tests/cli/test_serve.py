"""Promises of `authsvc serve`: it starts, or it says in a sentence why not. Stopping it is tests/faults' business."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess

import pytest

from tests.cli.conftest import PATIENCE_SECONDS, Cli

KEY = "0123456789abcdef0123456789abcdef"


def test_check_starts_checks_and_stops(cli: Cli) -> None:
    """`serve --check` goes through a whole start, says that all is well, and leaves a database and a key that are used later."""
    ran = cli.process("serve", "--check")

    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "ok: the settings and the database are usable\n"
    made = {path.name for path in cli.folder.iterdir()}
    assert {"authsvc.db", "authsvc.db.key"} <= made
    assert not {"authsvc.db-wal", "authsvc.db-shm"} & made, "a clean stop leaves no log behind"
    assert stat.S_IMODE((cli.folder / "authsvc.db.key").stat().st_mode) == 0o600
    key = (cli.folder / "authsvc.db.key").read_text()
    assert cli("serve", "--check").status == 0
    assert (cli.folder / "authsvc.db.key").read_text() == key


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"AUTHSVC_THREADS": "0"}, "AUTHSVC_THREADS: use a whole number from 1 to 256"),
        ({"AUTHSVC_PUBLIC_URL": "https://auth.example.com", "AUTHSVC_MAIL": "console:"}, "there is no secret key"),
        ({"AUTHSVC_PUBLIC_URL": "https://auth.example.com", "AUTHSVC_SECRET_KEY": KEY}, "AUTHSVC_MAIL: say where mail goes"),
        ({"AUTHSVC_PUBLIC_URL": "http://auth.example.com", "AUTHSVC_SECRET_KEY": KEY}, "AUTHSVC_PUBLIC_URL: use https"),
        ({"AUTHSVC_DATABASE": "missing/authsvc.db"}, "the folder must exist"),
    ],
)
def test_what_is_missing_stops_the_start(cli: Cli, settings: dict[str, str], told: str) -> None:
    """Status 1 and the reason on standard error; a check says the same as a start."""
    for ran in (cli("serve", "--check", **settings), cli.process("serve", "--listen", "127.0.0.1:0", **settings)):
        assert (ran.status, ran.out) == (1, "")
        assert told in ran.err
        assert "Traceback" not in ran.err


def test_a_production_start_needs_what_a_check_needs(cli: Cli) -> None:
    """With https, a key and somewhere for mail to go, production is usable."""
    production = {"AUTHSVC_PUBLIC_URL": "https://auth.example.com", "AUTHSVC_SECRET_KEY": KEY, "AUTHSVC_MAIL": "console:"}
    assert cli("serve", "--check", **production).status == 0


def test_a_taken_port_is_told_in_a_sentence(cli: Cli) -> None:
    """Somebody else listens there: status 1, which address and why, no traceback, and a clean database."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for ran in (cli.process("serve", "--listen", address), cli.process("serve", AUTHSVC_LISTEN=address)):
            assert (ran.status, ran.out) == (1, "")
            assert ran.err == f"authsvc: cannot listen on {address}: Address already in use\n"
    assert not (cli.folder / "authsvc.db-wal").exists()


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", ":8000", "127.0.0.1:99999", "127.0.0.1:http"])
def test_an_address_that_is_none_is_refused(cli: Cli, address: str) -> None:
    """--listen takes what AUTHSVC_LISTEN takes."""
    ran = cli("serve", "--check", "--listen", address)

    assert ran.status in (1, 2)
    assert "HOST:PORT" in ran.err
    assert ran.out == ""


@pytest.mark.parametrize("address", ["host.invalid:8000", "192.0.2.1:8000", "a b:8000"])
def test_an_address_that_is_not_ours_is_told_by_its_name(cli: Cli, address: str) -> None:
    """A host that does not resolve, or whose address this machine does not have, is named in the message."""
    ran = cli.process("serve", "--listen", address)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"authsvc: cannot listen on {address}")
    assert ran.err.count("\n") == 1


def test_a_served_request_is_answered_and_logged_without_its_path(cli: Cli) -> None:
    """--listen wins over AUTHSVC_LISTEN; answers come over HTTP; the log has the pattern, never what was asked for (ATTACKS B11)."""
    with cli.serving(AUTHSVC_LISTEN="127.0.0.1:1") as server:
        assert server.call("GET", "/healthz") == (200, {"status": "ok"})
        assert server.call("GET", "/readyz")[0] == 200
        assert server.call("GET", "/user/usr_secretpath?token=hunter2")[0] == 401
        assert server.call("GET", "/nothing/secretpath")[0] == 404
        server.process.terminate()
        _, log = server.process.communicate(timeout=PATIENCE_SECONDS)

    assert "200 GET /healthz" in log
    assert "401 GET /user/:user_id" in log
    assert "404 - -" in log
    assert not any(word in log for word in ("secretpath", "hunter2"))


def test_as_json_every_line_is_one_object(cli: Cli) -> None:
    """From the first line to the last, mail on the console too; requests have their members, and still no path."""
    with cli.serving(AUTHSVC_LOG="json") as server:
        assert server.call("POST", "/register", {"email": "a@example.com", "password": KEY, "options": {"sendEmail": True}})[0] == 201
        assert server.call("GET", "/nothing/secretpath?token=hunter2")[0] == 404
        server.process.terminate()
        _, log = server.process.communicate(timeout=PATIENCE_SECONDS)

    lines = [json.loads(line) for line in log.splitlines()]
    assert all(list(line)[:2] == ["ts", "level"] and ("message" in line) is not ("event" in line) for line in lines)
    assert [(line["status"], line["route"]) for line in lines if line.get("event") == "request"][-2:] == [(201, "/register"), (404, "-")]
    assert [line["message"] for line in lines if "message" in line][-1] == "authsvc stops: finishing running requests"
    assert [line for line in lines if line.get("message", "").startswith("--- mail to a@example.com")]
    assert not any(word in log for word in ("secretpath", "hunter2", KEY))


@pytest.mark.parametrize("sink", ["closed pipe", "full disk"])
def test_output_that_nobody_takes_is_no_traceback(cli: Cli, sink: str) -> None:
    """`authsvc config | head -1` and a full disk end the command with a status, and with a sentence at most."""
    if sink == "closed pipe":
        reader, out = os.pipe()
        os.close(reader)
    else:
        out = os.open("/dev/full", os.O_WRONLY)
    try:
        ran = subprocess.run(
            cli._command("routes"),
            env=cli._environment({}),
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    finally:
        os.close(out)

    assert ran.returncode != 0
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    assert ran.stderr.count("\n") <= 1
