"""Promises of `authsvc config`, `routes`, `problems`, `events`, `commands` and `version`: what the service is, as text, JSON lines or Markdown."""

from __future__ import annotations

import json

import pytest

import authsvc
from authsvc.__main__ import COMMANDS
from authsvc.config import oauth
from authsvc.config.settings import declared
from authsvc.events import EVENTS
from authsvc.problems import KINDS
from authsvc.routes import ROUTES
from tests.cli.conftest import Cli

KEY = "0123456789abcdef0123456789abcdef"


def rows(markdown: str) -> list[list[str]]:
    """The cells of a Markdown table, its head and ruler checked and left out."""
    head, ruler, *rest = [[cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")] for line in markdown.splitlines()]
    assert set(ruler) == {"---"}
    assert {len(row) for row in (head, ruler, *rest)} == {len(head)}
    return rest


def test_config_shows_every_setting_its_value_and_its_source(cli: Cli) -> None:
    """As text: name, value, source, and below it the meaning."""
    ran = cli("config", AUTHSVC_THREADS="3")

    assert (ran.status, ran.err) == (0, "")
    assert [line.split(" = ")[0] for line in ran.out.splitlines()[::2]] == [known.variable for known in declared().values()]
    assert "AUTHSVC_THREADS = 3  [environment]" in ran.out.splitlines()
    assert "AUTHSVC_LOG = text  [default]" in ran.out.splitlines()
    assert "AUTHSVC_APP_ORIGINS = (empty)  [default]" in ran.out.splitlines()


def test_config_as_json_is_an_object_a_line(cli: Cli) -> None:
    """NDJSON with name, value, source, default and meaning of each setting."""
    (cli.folder / "file.toml").write_text('log = "json"\n')
    ran = cli("config", "--json", AUTHSVC_THREADS="3", AUTHSVC_CONFIG=str(cli.folder / "file.toml"))
    found = {row["name"]: row for row in ran.objects()}

    assert (ran.status, ran.err) == (0, "")
    assert list(found) == [known.variable for known in declared().values()]
    assert {tuple(row) for row in found.values()} == {("name", "value", "source", "default", "doc")}
    assert (found["AUTHSVC_THREADS"]["value"], found["AUTHSVC_THREADS"]["source"], found["AUTHSVC_THREADS"]["default"]) == (
        "3",
        "environment",
        "8",
    )
    assert (found["AUTHSVC_LOG"]["value"], found["AUTHSVC_LOG"]["source"]) == ("json", str(cli.folder / "file.toml"))


def test_config_as_markdown_is_the_table_of_defaults(cli: Cli) -> None:
    """Name, default and meaning of each setting, whatever is set: the table for the README does not depend on who makes it."""
    ran = cli("config", "--markdown", AUTHSVC_THREADS="3", AUTHSVC_SECRET_KEY=KEY)

    assert (ran.status, ran.err) == (0, "")
    expected = [[f"`{known.variable}`", f"`{known.default}`" if known.default else "empty"] for known in declared().values()]
    expected += [[f"`{part['name']}`", f"`{part['default']}`" if part["default"] else "empty"] for part in oauth.documented()]
    assert [row[:2] for row in rows(ran.out)] == expected
    cli.environ.clear()
    assert cli("config", "--markdown").out == ran.out


@pytest.mark.parametrize("form", [[], ["--json"], ["--markdown"]])
def test_config_masks_secrets(cli: Cli, form: list[str]) -> None:
    """A secret is shown to be set, never shown (ATTACKS F8)."""
    (cli.folder / "key").write_text(KEY + "\n")
    ran = cli(
        "config",
        *form,
        AUTHSVC_SECRET_KEY_FILE=str(cli.folder / "key"),
        AUTHSVC_SECRET_KEY_PREVIOUS=KEY[::-1],
        AUTHSVC_MAIL="smtps://mailer:hunter2%21@mail.example.com",
        AUTHSVC_SMS="twilio://ACmailer:hunter2@sms.example.com",
        AUTHSVC_SMS_FROM="authsvc",
        AUTHSVC_SMS_HEADERS='{"X-Key": "hunter2"}',
    )

    assert ran.status == 0
    assert not any(secret in ran.out + ran.err for secret in (KEY, KEY[::-1], "mailer", "hunter2", "mail.example.com", "sms.example.com"))
    assert form == ["--markdown"] or ran.out.count("••••") + ran.out.count("\\u2022\\u2022\\u2022\\u2022") == 5
    assert form == ["--markdown"] or "AUTHSVC_SECRET_KEY_FILE" in ran.out, "where it comes from is no secret"


def test_config_does_not_touch_the_database(cli: Cli) -> None:
    """Looking at settings makes no file."""
    assert cli("config").status == 0
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["config"], ["config", "--json"], ["serve", "--check"], ["user", "list"], ["user", "create", "a@example.com"]]
)
def test_faults_in_the_settings_are_told_at_once_on_standard_error(cli: Cli, command: list[str]) -> None:
    """Every command that reads settings stops at a fault: status 1, all faults on standard error, nothing done."""
    ran = cli(*command, AUTHSVC_THREADS="many", AUTHSVC_TREADS="3", AUTHSVC_SECRET_KEY="hunter2")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("authsvc: the settings are not usable:\n")
    for name in ("AUTHSVC_THREADS: ", "AUTHSVC_TREADS: ", "AUTHSVC_SECRET_KEY: "):
        assert f"\n  - {name}" in ran.err
    assert "hunter2" not in ran.err
    assert list(cli.folder.iterdir()) == []


def test_routes_lists_every_route(cli: Cli) -> None:
    """Method, path, who may call and the limits, in the order of the table, in all three forms."""
    text, lines, markdown = cli("routes"), cli("routes", "--json"), cli("routes", "--markdown")

    assert {(ran.status, ran.err) for ran in (text, lines, markdown)} == {(0, "")}
    assert [line.split()[:2] for line in text.out.splitlines()] == [[route.method, route.path] for route in ROUTES]
    assert lines.objects() == [
        {"method": route.method, "path": route.path, "who": route.who.name, "limits": ", ".join(route.limits)} for route in ROUTES
    ]
    assert rows(markdown.out) == [[f"`{route.method} {route.path}`", route.who.name, ", ".join(route.limits)] for route in ROUTES]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("problems", list(KINDS)),
        ("events", [event.name for event in EVENTS if event.name != "session.refreshed"]),
        ("commands", [f"authsvc {name} {act}".rstrip() for name, one in COMMANDS.items() for act in one.acts or [""]]),
    ],
)
def test_a_table_lists_every_row_with_what_it_means(cli: Cli, command: str, names: list[str]) -> None:
    """In the order of its table, in all three forms; the name comes first and the meaning last, and none is left out."""
    text, lines, markdown = cli(command), cli(command, "--json"), cli(command, "--markdown")

    assert {(ran.status, ran.err) for ran in (text, lines, markdown)} == {(0, "")}
    assert [next(iter(row.values())) for row in lines.objects()] == names
    assert [row[0] for row in rows(markdown.out)] == [f"`{name}`" for name in names]
    assert all(row[-1] for row in rows(markdown.out))
    assert all(list(row.values())[-1] in text.out for row in lines.objects())
    assert all(name in text.out for name in names)


def test_help_says_what_every_act_is_for(cli: Cli) -> None:
    """`authsvc user -h` names each act with its meaning, and the act tells the same."""
    for name, command in COMMANDS.items():
        told = " ".join(cli(name, "--help").out.split())
        for act, one in command.acts.items():
            assert f"{act} {one.help}" in told
            assert one.help in " ".join(cli(name, act, "--help").out.split())


def test_version_says_which_release_it_is(cli: Cli) -> None:
    """One line, or one object; no settings are needed for it, and none stands in its way."""
    assert cli("version").out == f"{authsvc.__version__}\n"
    assert cli("version", "--json").json() == {"version": authsvc.__version__}
    assert cli("version", AUTHSVC_NONSENSE="1").status == cli("routes", AUTHSVC_NONSENSE="1").status == 0


@pytest.mark.parametrize("command", [["--help"], ["user", "--help"], ["user", "create", "--help"], ["serve", "--help"]])
def test_help_is_printed_on_request(cli: Cli, command: list[str]) -> None:
    """Asked for, it is no error: standard output, status 0."""
    ran = cli(*command)

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("usage: authsvc")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["nonsense"],
        ["user"],
        ["user", "nonsense"],
        ["user", "create"],
        ["user", "create", "a@example.com", "b@example.com"],
        ["user", "create", "a@example.com", "--role"],
        ["user", "create", "a@example.com", "--nonsense"],
        ["user", "show"],
        ["user", "list", "a@example.com"],
        ["user", "grant", "a@example.com"],
        ["user", "disable", "a@example.com", "--password-stdin"],
        ["config", "--json", "--markdown"],
        ["config", "threads"],
        ["routes", "--xml"],
        ["version", "--markdown"],
        ["serve", "--check", "--listen"],
        ["serve", "--check", "--port", "80"],
    ],
)
def test_wrong_use_is_status_2(cli: Cli, command: list[str]) -> None:
    """What is no command is told on standard error with the usage, and nothing is done."""
    ran = cli(*command)

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("usage: authsvc")
    assert list(cli.folder.iterdir()) == []


def test_the_module_is_the_command(cli: Cli) -> None:
    """`python -m authsvc` in a process of its own gives the same output and the same statuses."""
    assert cli.process("version").out == f"{authsvc.__version__}\n"
    assert cli.process("routes", "--json").out == cli("routes", "--json").out
    assert cli.process("nonsense").status == 2
    failed = cli.process("config", AUTHSVC_TREADS="3")
    assert (failed.status, failed.out) == (1, "")
    assert failed.err == "authsvc: the settings are not usable:\n  - AUTHSVC_TREADS: no such setting; did you mean AUTHSVC_THREADS?\n"


def test_json_is_ascii_safe(cli: Cli) -> None:
    """What is printed as JSON can be read wherever it goes, whatever the terminal's encoding is."""
    ran = cli.process("config", "--json", AUTHSVC_ISSUER="urn:ü", PYTHONIOENCODING="ascii")

    assert ran.status == 0
    assert {"urn:ü"} == {json.loads(line)["value"] for line in ran.out.splitlines() if "ISSUER" in line}
