"""The README's commands, run as printed; what stands for a value of one's own (`…`, a name, a path) is put in its place."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from tests.house.terminal import PRINTED, README, ROOT, Terminal, blocks, post, serving, terminal
from tests.support import PASSWORD

ADMIN = "you@example.com"
BLOCKS = blocks()
# Blocks that no test here runs: what .ci/run does on a bare machine, and what needs Docker.
ELSEWHERE = {"serve": ".ci/run", "install": ".ci/run", "container": ""}


@pytest.fixture
def at(tmp_path: Path) -> Terminal:
    return terminal(tmp_path)


@pytest.fixture
def served(at: Terminal) -> Iterator[Terminal]:
    """The terminal beside a running workbench, with an administrator whose token is $TOKEN."""
    with serving(at) as address:
        at.run(f"authsvc user create {ADMIN} --role admin --password-stdin", PASSWORD)
        at.variables["TOKEN"] = post(address, "/login", {"email": ADMIN, "password": PASSWORD})["access_token"]
        yield at


def test_every_command_of_the_readme_is_run_somewhere() -> None:
    """Each block of commands says by its marker what runs it, and that is there."""
    unmarked = re.sub(r"<!-- (run [a-z-]+|hosts) -->\n```sh\n", "", README)
    tests = Path(__file__).read_text("utf-8")

    assert "```sh" not in unmarked
    assert len(BLOCKS) == README.count("<!-- run ")
    for name in BLOCKS:
        where = (ROOT / ELSEWHERE[name]).read_text("utf-8") if ELSEWHERE.get(name) else tests
        named = f'BLOCKS["{name}"]' if where == tests else f"run {name}"
        assert ELSEWHERE.get(name) == "" or named in where, name


def test_the_session_runs_as_printed(at: Terminal) -> None:
    """Each command, in order, against a real server, gives what stands below it; `…` stands for anything."""
    steps = session()
    assert len(steps) >= 7
    with serving(at) as address:
        for command, printed in steps:
            pattern = ".*".join(re.escape(part) for part in printed.replace(PRINTED, address).split("…"))
            shown = at.run(command)
            assert re.fullmatch(pattern, shown, re.DOTALL), (command, shown)


def session() -> list[tuple[str, str]]:
    """The commands of the console block with what is printed below each."""
    block = README.split("<!-- session -->")[1].split("<!-- /session -->")[0]
    lines = [line for line in block.splitlines() if line and not line.startswith("```")]
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    ends = [*starts[1:], len(lines)]
    return [(lines[start].removeprefix("$ "), "\n".join(lines[start + 1 : end])) for start, end in zip(starts, ends, strict=True)]


def test_an_authenticator_is_set_up_and_asked_for(served: Terminal) -> None:
    token, setup, confirm, sign_in = BLOCKS["authenticator"]
    assert token == "TOKEN=…"
    made = served.ask(setup)
    codes = pyotp.TOTP(made["secret"])
    now = dt.datetime.now(dt.UTC)
    served.instead |= {"fac_…": made["factor_id"], "123456": codes.at(now)}
    assert len(served.ask(confirm)["recovery_codes"]) == 10

    waiting = post(served.instead[PRINTED], "/login", {"email": ADMIN, "password": PASSWORD})
    served.instead |= {"mfa_…": waiting["mfa_token"], "654321": codes.at(now + dt.timedelta(seconds=30))}
    assert served.ask(sign_in)["user"]["email"] == ADMIN


def test_a_service_signs_in_its_end_users(served: Terminal) -> None:
    made, called = BLOCKS["end-users"]
    served.instead |= {"10.0.0.0/8": "127.0.0.0/8"}
    key = re.search(r"^key: (ak_\S+)$", served.run(made), re.MULTILINE)
    assert key
    post(served.instead[PRINTED], "/register", {"email": "ann@example.com", "password": PASSWORD})
    served.instead |= {"ak_…": key[1], '"password": "…"': f'"password": "{PASSWORD}"'}

    assert served.ask(called)["user"]["email"] == "ann@example.com"
    row = json.loads(
        served.run('curl -s "http://127.0.0.1:8000/audit/logs?action=login.succeeded&limit=1" -H "Authorization: Bearer $TOKEN"')
    )
    assert row["items"][0]["ip"] == "203.0.113.7"


def test_an_administrator_makes_finds_disables_and_deletes_accounts(served: Terminal) -> None:
    names, make, find, disable, delete = BLOCKS["administration"]
    made = served.ask(f"{names}\n{make}")
    served.instead["usr_…"] = made["id"]

    assert [user["id"] for user in served.ask(f"{names}\n{find}")["items"]] == [made["id"]]
    assert served.ask(f"{names}\n{disable}")["status"] == "disabled"
    assert served.run(f"{names}\n{delete}") == ""
    assert served.ask(f"{names}\n{find}")["items"] == []


def test_roles_and_keys_are_made_and_used(served: Terminal) -> None:
    role, make, use = BLOCKS["keys"]
    served.instead |= {"10.0.0.0/8": "127.0.0.0/8"}
    assert "tickets:*" in served.run(role)
    key = re.search(r"^key: (ak_\S+)$", served.run(make), re.MULTILINE)
    assert key
    served.instead["ak_…"] = key[1]

    assert [user["email"] for user in served.ask(use)["items"]] == [ADMIN]


def test_the_audit_trail_is_searched_and_read_out(served: Terminal) -> None:
    search, read_out = BLOCKS["audit"]
    post(served.instead[PRINTED], "/login", {"email": ADMIN, "password": "wrong"})

    assert [row["action"] for row in served.ask(search)["items"]] == ["login.failed"]
    served.run(read_out)
    rows = [json.loads(line) for line in (served.folder / "audit.ndjson").read_text("utf-8").splitlines()]
    assert [row["action"] for row in rows] == ["user.created", "login.succeeded", "login.failed"]


def test_providers_are_set_up_by_their_settings(at: Terminal) -> None:
    (command,) = BLOCKS["providers"]
    (at.folder / "google").write_text("secret\n")
    at.instead |= {"/run/secrets/google": str(at.folder / "google"), "scripts/serve": "authsvc serve", "…": "x"}

    with serving(at, command) as address:
        offered = at.ask(f"curl -s http://{address}/oauth")["providers"]
    assert [(one["name"], one["title"]) for one in offered] == [("corp", "your company account"), ("google", "Google")]


def test_production_starts_as_the_readme_has_it(at: Terminal) -> None:
    """With what is asked for there, all of it: what is missing stops it."""
    lines = BLOCKS["production"]
    assert [line.split()[0] for line in lines] == ["export", "export", "export", "(umask", "authsvc", "authsvc", "authsvc"]
    at.instead["/var/lib/authsvc"] = str(at.folder)
    settings, check, make, serve = "\n".join(lines[:4]), *lines[4:]
    at.run(settings)

    told = at.try_("\n".join([*lines[:3], check]))
    assert re.search(r"^ok +key ", told.stdout, re.MULTILINE), "the mail server of the example is nowhere, and its check fails"
    assert "fail  mail" in told.stdout
    shown = at.run("\n".join([*lines[:3], make]))
    assert "password: " in shown
    at.variables["AUTHSVC_PUBLIC_URL"] = "https://auth.example.com"
    with serving(at, "\n".join([*lines[:3], f"exec {serve}"])) as address:
        password = re.search(r"^password: (\S+)$", shown, re.MULTILINE)
        assert password
        assert post(address, "/login", {"email": ADMIN, "password": password[1]})["user"]["roles"] == ["admin", "user"]


def test_commands_run_with_the_settings_of_the_systemd_unit(at: Terminal) -> None:
    command = "\n".join(BLOCKS["systemd"])
    (at.folder / "env").write_text("AUTHSVC_PUBLIC_URL=https://auth.example.com\nAUTHSVC_MAIL=console:\nAUTHSVC_MAIL_FROM=a@example.com\n")
    (at.folder / "key").write_text("0123456789abcdef0123456789abcdef\n")
    at.instead |= {"/etc/authsvc": str(at.folder), "/var/lib/authsvc": str(at.folder), "/opt/authsvc/bin/authsvc": "authsvc"}

    assert f"email: {ADMIN}" in at.run(command)


def test_keys_are_listed_rotated_and_kept_while_they_are_needed(served: Terminal) -> None:
    every, rotate, retire = BLOCKS["keyring"]
    (old,) = re.findall(r"^secret +(\S+)", served.run(every), re.MULTILINE)
    new = served.run(rotate).split()[-1]
    served.instead["KID"] = f"-- {old}"

    assert new in served.run(every)
    refused = served.try_(retire)
    assert refused.returncode == 1
    assert "need" in refused.stderr


def test_prometheus_gets_a_key(served: Terminal) -> None:
    (command,) = BLOCKS["metrics"]
    key = re.search(r"^key: (ak_\S+)$", served.run(command), re.MULTILINE)
    assert key

    assert "authsvc_build_info" in served.run(f"curl -sf http://{served.instead[PRINTED]}/metrics -H 'Authorization: Bearer {key[1]}'")


def test_what_was_backed_up_is_restored(at: Terminal) -> None:
    """Beside a running server, and, once it is stopped and its database lost, back again."""
    backup, restore = BLOCKS["backup"]
    at.instead |= {"/backups": str(at.folder), "$(date +%F)": "2026-11-25"}
    with serving(at):
        at.run(f"authsvc user create {ADMIN} --role admin")
        at.run(backup)
    for file in at.folder.glob("authsvc.db*"):
        if file.suffix != ".key":
            file.unlink()

    at.run(restore)
    assert ADMIN in at.run("authsvc user list")
