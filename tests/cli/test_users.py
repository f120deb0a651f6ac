"""Promises of `authsvc user …`: accounts from the command line, by the same flows, rules and audit as the API."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from typing import Any

import pytest

from authsvc.__main__ import parser
from authsvc.cli.users import ACTS
from tests.cli.conftest import Cli
from tests.support import EMAIL, PASSWORD, Client, actions, event_rows

KEY = "0123456789abcdef0123456789abcdef"
MISSING = "usr_0123456789abcdefghjkmnpqrs"
GENERATED = re.compile(r"[0-9a-hjkmnp-tv-z]{5}(-[0-9a-hjkmnp-tv-z]{5}){3}")
USER = {
    "id",
    "email",
    "email_verified",
    "phone_number",
    "phone_number_verified",
    "name",
    "picture",
    "locale",
    "status",
    "roles",
    "caps",
    "mfa_enabled",
    "has_password",
    "metadata",
    "app_metadata",
    "created_at",
    "updated_at",
    "last_login_at",
}


def recorded(cli: Cli) -> list[str]:
    with cli.app() as app:
        return actions(app)


def emails(cli: Cli) -> list[str]:
    return [user["email"] for user in cli("user", "list", "--json").objects()]


def create(cli: Cli, email: str = EMAIL, *more: str) -> Any:
    return cli.json("user", "create", email, "--password-stdin", *more, stdin=PASSWORD + "\n")


def test_an_account_can_be_made_before_the_first_start(cli: Cli) -> None:
    """`user create` makes the database if there is none, prints the password once, and the service then knows the account."""
    ran = cli("user", "create", EMAIL)

    assert (ran.status, ran.err) == (0, "")
    shown = dict(line.split(": ", 1) for line in ran.out.splitlines())
    assert (shown["email"], shown["status"], shown["roles"]) == (EMAIL, "active", "user")
    assert GENERATED.fullmatch(shown["password"])
    with cli.app() as app:
        answer = Client(app).login(EMAIL, shown["password"])
        assert (answer.status, answer["user"]["id"]) == (200, shown["id"])
        assert Client(app).login(EMAIL, shown["password"] + "x").status == 401


def test_a_generated_password_is_printed_once(cli: Cli) -> None:
    """No other command shows it again."""
    password = cli.json("user", "create", EMAIL)["password"]

    for command in (["show", EMAIL], ["list"], ["create", EMAIL, "--if-absent"], ["disable", EMAIL]):
        ran = cli("user", *command)
        assert ran.status == 0
        assert password not in ran.out + ran.err
        assert "password:" not in ran.out


def test_an_account_as_json_is_the_user_of_the_contract(cli: Cli) -> None:
    """--json prints one object with the members of the API's User, and the password once."""
    made = cli.json("user", "create", EMAIL, "--name", "Marie Curie", "--role", "admin")
    shown = cli.json("user", "show", EMAIL)

    assert set(shown) == USER
    assert made == shown | {"password": made["password"]}
    assert (made["name"], made["roles"], made["caps"], made["has_password"]) == ("Marie Curie", ["admin", "user"], ["*"], True)


def test_the_first_admin_can_be_asked_for_again_and_again(cli: Cli) -> None:
    """`--role admin --if-absent` is safe to repeat at every deployment: one account, one event, the same answer."""
    first = cli.json("user", "create", EMAIL, "--role", "admin", "--if-absent")
    again = [cli.json("user", "create", EMAIL, "--role", "admin", "--if-absent") for _ in range(3)]

    assert again == [{name: value for name, value in first.items() if name != "password"}] * 3
    assert first["roles"] == ["admin", "user"]
    assert recorded(cli) == ["user.created"]
    assert emails(cli) == [EMAIL]


def test_if_absent_only_grants_the_roles_to_an_account_that_is_there(cli: Cli) -> None:
    """A known account gets the role; its password, name and spelling stay."""
    create(cli, EMAIL, "--name", "Marie")
    ran = cli(
        "user",
        "create",
        EMAIL.upper(),
        "--role",
        "admin",
        "--if-absent",
        "--name",
        "Eve",
        "--password-stdin",
        "--json",
        stdin="other-harbour-91\n",
    )

    assert (ran.status, ran.json()["roles"], ran.json()["name"], ran.json()["email"]) == (0, ["admin", "user"], "Marie", EMAIL)
    assert recorded(cli) == ["user.created", "role.changed"]
    with cli.app() as app:
        assert Client(app).login().status == 200
        assert Client(app).login(EMAIL, "other-harbour-91").status == 401


def test_an_address_that_is_taken_is_refused(cli: Cli) -> None:
    """Without --if-absent a second account for an address fails, says why, and changes nothing."""
    create(cli)

    ran = cli("user", "create", EMAIL.title(), "--role", "admin")

    assert (ran.status, ran.out) == (1, "")
    assert "already registered" in ran.err
    assert recorded(cli) == ["user.created"]
    assert cli.json("user", "show", EMAIL)["roles"] == ["user"]


@pytest.mark.parametrize("email", ["", "nonsense", "a@b", "a b@example.com", "a@example.com\nb", "adm\u0131n@example.com"])
def test_what_is_no_address_is_refused(cli: Cli, email: str) -> None:
    """The same addresses are refused as over HTTP (ATTACKS A9)."""
    ran = cli("user", "create", email)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("authsvc: ")
    assert emails(cli) == []


@pytest.mark.parametrize(
    "name",
    ["", "  ", "two\nlines", "head\r\nSet-Cookie: a=b", "nul\0", "bell\x07", "\u202egnp.exe", "x" * 201],
    ids=lambda name: ascii(name)[:20],
)
def test_what_is_no_name_over_http_is_none_here(cli: Cli, name: str) -> None:
    """Line breaks, control characters and names that are too long are refused here too (ATTACKS A10)."""
    ran = cli("user", "create", EMAIL, "--name", name)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("authsvc: ")
    assert emails(cli) == []


def test_an_unknown_role_is_refused(cli: Cli) -> None:
    """A misspelt role makes no account and is granted to nobody."""
    create(cli)
    for command in (
        ["create", "b@example.com", "--role", "amdin"],
        ["grant", EMAIL, "amdin"],
        ["create", EMAIL, "--if-absent", "--role", "amdin"],
    ):
        ran = cli("user", *command)
        assert (ran.status, ran.out) == (1, "")
        assert "amdin" in ran.err

    assert emails(cli) == [EMAIL]
    assert recorded(cli) == ["user.created"]


def test_the_role_that_everybody_has_is_never_granted(cli: Cli) -> None:
    """`user` is everybody's: naming it changes nothing, now or later, and leaves no event."""
    made = create(cli, EMAIL, "--role", "user")
    for act in ("grant", "ungrant"):
        assert cli.json("user", act, EMAIL, "user") == made

    assert made["roles"] == ["user"]
    assert recorded(cli) == ["user.created"]


@pytest.mark.parametrize(
    ("stdin", "password"),
    [
        (f"{PASSWORD}\n", PASSWORD),
        (f"{PASSWORD}\r\n", PASSWORD),
        (PASSWORD, PASSWORD),
        (f"{PASSWORD}\nsecond line\n", PASSWORD),
        (f" {PASSWORD} \n", f" {PASSWORD} "),
        ("cafe\u0301-harbour-91\n", "café-harbour-91"),
    ],
)
def test_a_password_comes_on_standard_input(cli: Cli, stdin: str, password: str) -> None:
    """One line, blanks kept, in the spelling that HTTP would hash; it is not printed."""
    ran = cli("user", "create", EMAIL, "--password-stdin", stdin=stdin)

    assert ran.status == 0
    assert "harbour" not in ran.out + ran.err
    with cli.app() as app:
        assert Client(app).login(EMAIL, password).status == 200


@pytest.mark.parametrize(
    "stdin",
    ["", "\n", "\r\n", "short\n", "a\0bcdefgh\n", "x" * 1_025 + "\n", "\udcff\udcfeabcdefgh\n"],
    ids=lambda stdin: ascii(stdin)[:20],
)
def test_a_password_that_cannot_be_is_refused(cli: Cli, stdin: str) -> None:
    """None at all, too short, too long, with a NUL or not Unicode: no account, and the password is not repeated."""
    for command in (["create", "b@example.com"], ["set-password", EMAIL]):
        if command[0] == "set-password":
            create(cli)
        ran = cli("user", *command, "--password-stdin", stdin=stdin)
        assert (ran.status, ran.out) == (1, "")
        assert re.fullmatch(r"authsvc: [A-Z].*\.\n", ran.err), "a sentence for the one who typed it"
        assert stdin.strip() not in ran.err or ("standard input" in ran.err and not stdin.strip())

    assert emails(cli) == [EMAIL]
    assert recorded(cli) == ["user.created"]


def test_weak_passwords_are_refused_in_production(cli: Cli) -> None:
    """The rule is the same as over HTTP: let in on a workbench, refused elsewhere."""
    production = {"AUTHSVC_PUBLIC_URL": "https://auth.example.com", "AUTHSVC_SECRET_KEY": KEY, "AUTHSVC_MAIL": "console:"}

    ran = cli("user", "create", EMAIL, "--password-stdin", stdin="password123\n", **production)
    assert (ran.status, ran.out) == (1, "")
    assert "most common" in ran.err

    ran = cli("user", "create", EMAIL, "--password-stdin", stdin="password123\n", AUTHSVC_SECRET_KEY=KEY)
    assert ran.status == 0


def test_production_without_a_key_says_how_to_make_one(cli: Cli) -> None:
    """A first `user create` in production needs the key as a start does, and leaves nothing half made."""
    production = {"AUTHSVC_PUBLIC_URL": "https://auth.example.com", "AUTHSVC_MAIL": "console:"}
    ran = cli("user", "create", EMAIL, **production)

    assert (ran.status, ran.out) == (1, "")
    assert "AUTHSVC_SECRET_KEY" in ran.err
    assert "openssl rand -hex 32" in ran.err
    assert not (cli.folder / "authsvc.db.key").exists()
    assert cli("user", "create", EMAIL, **production, AUTHSVC_SECRET_KEY=KEY).status == 0


def test_a_list_has_every_account_in_the_order_of_their_making(cli: Cli) -> None:
    """One line for each, nothing for none; --json gives one whole object a line."""
    assert cli("user", "list").out == cli("user", "list", "--json").out == ""

    made = [create(cli, f"{name}@example.com") for name in ("zoe", "adam", "mia")]
    text = cli("user", "list")

    assert cli("user", "list", "--json").objects() == made
    assert [line.split()[0] for line in text.out.splitlines()] == [user["id"] for user in made]
    assert all(user["email"] in line for user, line in zip(made, text.out.splitlines(), strict=True))


@pytest.mark.parametrize("command", ["show", "disable", "enable", "grant", "ungrant", "set-password", "delete"])
def test_an_account_is_named_by_id_or_address(cli: Cli, command: str) -> None:
    """Every command that takes an account finds it by its id, its address and any harmless spelling of it."""
    create(cli, "admin@example.com", "--role", "admin")
    more = ["admin"] if "grant" in command else []
    for spell in ("{id}", EMAIL, EMAIL.upper(), f" {EMAIL} "):
        user = create(cli)
        assert cli("user", command, spell.format(**user), *more).status == 0
        if command != "delete":
            assert cli("user", "delete", user["id"]).status == 0
    assert emails(cli) == ["admin@example.com"]


@pytest.mark.parametrize("command", ["show", "disable", "enable", "grant", "ungrant", "set-password", "delete"])
@pytest.mark.parametrize("account", [MISSING, "nobody@example.com"])
def test_an_account_that_is_not_there_is_told_so(cli: Cli, command: str, account: str) -> None:
    """Status 1, nothing on standard output, and the message names what was looked for."""
    create(cli)
    ran = cli("user", command, account, *(["admin"] if "grant" in command else []))

    assert (ran.status, ran.out) == (1, "")
    assert account in ran.err
    assert recorded(cli) == ["user.created"]


def test_disabling_ends_sessions_and_enabling_lets_in_again(cli: Cli) -> None:
    """A disabled account's tokens are refused at once and it cannot sign in; enabled, it signs in anew (ATTACKS E3)."""
    create(cli)
    with cli.app() as app:
        client = Client(app)
        before = client.login()
        assert cli.json("user", "disable", EMAIL)["status"] == "disabled"
        assert client.get("/user", token=before["access_token"]).code == "invalid_token"
        assert client.refresh(before["refresh_token"]).code == "invalid_token"
        assert client.login().code == "account_disabled"

        assert cli.json("user", "enable", EMAIL)["status"] == "active"
        assert client.get("/user", token=before["access_token"]).code == "invalid_token"
        assert client.refresh(before["refresh_token"]).code == "invalid_token"
        assert client.login().status == 200


def test_deleting_removes_the_account_and_all_that_hung_on_it(cli: Cli) -> None:
    """Gone with its sessions and roles; somebody else who takes the address inherits nothing (ATTACKS A18)."""
    create(cli, "other@example.com", "--role", "admin")
    user = create(cli, EMAIL, "--role", "admin")
    with cli.app() as app:
        client = Client(app)
        before = client.login()
        assert cli.json("user", "delete", EMAIL) == {"deleted": user["id"]}
        assert client.get("/user", token=before["access_token"]).code == "invalid_token"
        assert client.refresh(before["refresh_token"]).code == "invalid_token"
        assert client.login().code == "invalid_credentials"

        again = create(cli)
        assert again["id"] != user["id"]
        assert again["roles"] == ["user"]
        assert client.get("/user", token=before["access_token"]).code == "invalid_token"
    assert cli("user", "delete", "other@example.com").status == 1, "now the last admin"


def test_a_role_counts_at_once(cli: Cli) -> None:
    """Granting and ungranting start a new generation: an access token that says otherwise is refused (ATTACKS A14)."""
    create(cli, "other@example.com", "--role", "admin")
    create(cli)
    with cli.app() as app:
        client = Client(app)
        before = client.login()
        assert cli.json("user", "grant", EMAIL, "admin")["roles"] == ["admin", "user"]
        assert client.get("/user", token=before["access_token"]).code == "invalid_token"

        between = client.refresh(before["refresh_token"])
        assert between["user"]["caps"] == ["*"]
        assert cli.json("user", "ungrant", EMAIL, "admin")["caps"] == []
        assert client.get("/user", token=between["access_token"]).code == "invalid_token"
        assert client.refresh(between["refresh_token"])["user"]["roles"] == ["user"]


@pytest.mark.parametrize("given", [True, False])
def test_setting_a_password_replaces_the_old_one_and_ends_sessions(cli: Cli, given: bool) -> None:
    """Generated and printed once, or given on standard input and not printed; the old one and all sessions are over."""
    create(cli)
    with cli.app() as app:
        client = Client(app)
        before = client.login()
        if given:
            ran = cli("user", "set-password", EMAIL, "--password-stdin", "--json", stdin="other-harbour-91\n")
            assert "password" not in ran.json()
            new = "other-harbour-91"
        else:
            new = cli.json("user", "set-password", EMAIL)["password"]
            assert GENERATED.fullmatch(new)

        assert client.login().code == "invalid_credentials"
        assert client.get("/user", token=before["access_token"]).code == "invalid_token"
        assert client.refresh(before["refresh_token"]).code == "invalid_token"
        assert client.login(EMAIL, new).status == 200


@pytest.mark.parametrize("command", [["ungrant", EMAIL, "admin"], ["disable", EMAIL], ["delete", EMAIL]])
def test_the_last_admin_stays(cli: Cli, command: list[str]) -> None:
    """The last active admin cannot be taken away; a disabled one does not count; with another one it can."""
    create(cli, EMAIL, "--role", "admin")
    create(cli, "other@example.com", "--role", "admin")
    assert cli("user", "disable", "other@example.com").status == 0
    before = recorded(cli)

    ran = cli("user", *command)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "authsvc: This is the last admin.\n"
    assert (cli.json("user", "show", EMAIL)["roles"], cli.json("user", "show", EMAIL)["status"]) == (["admin", "user"], "active")
    assert recorded(cli) == before

    assert cli("user", "enable", "other@example.com").status == 0
    assert cli("user", *command).status == 0


def test_every_act_is_recorded_as_the_command_lines(cli: Cli) -> None:
    """One event for each act, with the actor `cli`, the account as its subject and no personal data of a caller."""
    create(cli, "admin@example.com", "--role", "admin")
    user = create(cli)
    for command in (
        ["grant", EMAIL, "admin"],
        ["ungrant", EMAIL, "admin"],
        ["disable", EMAIL],
        ["enable", EMAIL],
        ["set-password", EMAIL],
        ["delete", EMAIL],
    ):
        assert cli("user", *command).status == 0
    for command in (["list"], ["show", user["id"]], ["show", "admin@example.com"]):
        cli("user", *command)

    with cli.app() as app:
        rows = [row for row in event_rows(app) if row["subject"] == user["id"]]
        others = [row["action"] for row in event_rows(app) if row["subject"] != user["id"]]
    assert [(row["action"], json.loads(row["data"])) for row in rows] == [
        ("user.created", {"roles": []}),
        ("role.changed", {"before": [], "after": ["admin"]}),
        ("role.changed", {"before": ["admin"], "after": []}),
        ("user.disabled", {"fields": ["status"]}),
        ("user.updated", {"fields": ["status"]}),
        ("password.changed", {}),
        ("user.deleted", {}),
    ]
    assert others == ["user.created"]
    nobody = {(None, None, None, None, None, None)}  # the account is deleted: labels are erased, ids stay
    assert {(row["actor_type"], row["outcome"]) for row in rows} == {("cli", "success")}
    assert {
        tuple(row[name] for name in ("actor_id", "actor_label", "session_id", "ip", "user_agent", "request_id")) for row in rows
    } == nobody


def test_what_changes_nothing_leaves_no_event(cli: Cli) -> None:
    """A second disable, enable, grant or ungrant succeeds and is not recorded, so that scripts may repeat themselves."""
    create(cli, "admin@example.com", "--role", "admin")
    create(cli)
    for command in (
        ["enable", EMAIL],
        ["ungrant", EMAIL, "admin"],
        ["disable", EMAIL],
        ["disable", EMAIL],
        ["grant", EMAIL, "admin"],
        ["grant", EMAIL, "admin"],
    ):
        assert cli("user", *command).status == 0

    assert recorded(cli) == ["user.created", "user.created", "user.disabled", "role.changed"]


def test_no_command_takes_a_password_as_an_argument(cli: Cli) -> None:
    """Secrets never stand in arguments, where `ps` and the shell's history show them (ATTACKS F8)."""
    for command in (
        ["create", EMAIL, "--password", PASSWORD],
        ["create", EMAIL, f"--password={PASSWORD}"],
        ["create", EMAIL, f"--password-stdin={PASSWORD}"],
    ):
        ran = cli("user", *command, stdin=PASSWORD + "\n")
        assert (ran.status, ran.out) == (2, "")
    assert cli("user", "set-password", EMAIL, PASSWORD).status == 2
    assert not (cli.folder / "authsvc.db").exists()

    options = [action for command in commands(parser()) for action in command._actions]
    telling = [action for action in options if re.search("pass|secret|token|key", " ".join([action.dest, *action.option_strings]))]
    telling = [action for action in telling if action.metavar != "ID"]  # of an API key: no secret
    assert {(action.dest, action.nargs) for action in telling} == {
        ("password_stdin", 0),
        ("with_secrets", 0),
    }  # words alone, which tell nothing


def commands(top: ArgumentParser) -> Iterator[ArgumentParser]:
    """A parser and those of all its commands."""
    yield top
    for action in top._actions:
        if isinstance(action, _SubParsersAction):
            for below in action.choices.values():
                yield from commands(below)


def test_the_commands_are_those_of_the_contract() -> None:
    """Section 8, what this release has of it."""
    accounts = ["create", "list", "show", "disable", "enable", "delete", "set-password"]
    assert list(ACTS) == [*accounts, "reset-factors", "grant", "ungrant"]


@pytest.mark.parametrize("way", ["folder", "foreign"])
def test_a_database_that_cannot_be_used_is_told_in_a_sentence(cli: Cli, way: str) -> None:
    """No traceback: what is wrong and what to do about it, with status 1."""
    cli.environ["AUTHSVC_DATABASE"] = str(cli.folder / "missing" / "authsvc.db")
    if way == "foreign":
        cli.environ["AUTHSVC_DATABASE"] = str(cli.folder / "notes.txt")
        (cli.folder / "notes.txt").write_text("Dear diary, " * 400)
    ran = cli("user", "list")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("authsvc: cannot ")
    assert cli.environ["AUTHSVC_DATABASE"] in ran.err


def test_it_works_beside_a_running_server(cli: Cli) -> None:
    """On the same file at the same time: an account made here signs in there, and disabling it counts there at once."""
    with cli.serving() as server:
        made = cli.process("user", "create", EMAIL, "--role", "admin", "--password-stdin", "--json", stdin=PASSWORD.encode() + b"\n")
        assert (made.status, made.err) == (0, "")
        status, tokens = server.call("POST", "/login", {"email": EMAIL, "password": PASSWORD})
        assert (status, tokens["user"]["id"]) == (200, made.json()["id"])
        assert server.call("GET", "/user", token=tokens["access_token"])[0] == 200

        assert cli("user", "create", "other@example.com", "--role", "admin").status == 0
        assert cli("user", "disable", EMAIL).status == 0
        assert server.call("GET", "/user", token=tokens["access_token"])[1]["code"] == "invalid_token"
        assert server.call("POST", "/token/refresh", {"refresh_token": tokens["refresh_token"]})[1]["code"] == "invalid_token"
        assert server.call("POST", "/login", {"email": EMAIL, "password": PASSWORD})[1]["code"] == "account_disabled"

        assert cli("user", "enable", EMAIL).status == 0
        assert server.call("POST", "/login", {"email": EMAIL, "password": PASSWORD})[0] == 200
