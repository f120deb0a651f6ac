"""Promises of `authsvc export` and `authsvc import`: nothing is lost, doubled or overwritten, and every fault is told by its line."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyotp
import pytest

from authsvc.cli.reading import Reading, Report
from authsvc.events import CLI
from authsvc.flows import roles
from authsvc.rules.access import EVERYTHING
from tests.cli.conftest import Cli
from tests.foreign import MADE_BY
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows, running

HEADER = {"authsvc": "export", "version": 1}
ID = "usr_01h0000000000000000000000a"
GITHUB = {"oauth_github_client_id": "id", "oauth_github_client_secret": "secret"}
FULL = {
    "type": "user",
    "id": ID,
    "email": EMAIL,
    "email_verified": True,
    "phone_number": "+14155550100",
    "phone_number_verified": True,
    "name": "Zoë",
    "picture": "https://example.com/z.png",
    "locale": "pt-BR",
    "status": "active",
    "password_hash": MADE_BY["django pbkdf2_sha256"](PASSWORD),
    "roles": ["editor"],
    "metadata": {"a": [1, "ü"]},
    "app_metadata": {"django_id": 7},
    "created_at": "2020-01-02T03:04:05.678Z",
    "updated_at": "2021-01-02T03:04:05.000Z",
    "last_login_at": "2022-01-02T03:04:05.000Z",
    "identities": [
        {
            "provider": "github",
            "realm": "https://github.com",
            "subject": "42",
            "email": "z@example.com",
            "email_verified": True,
            "created_at": "2020-02-02T03:04:05.000Z",
            "last_used_at": "2021-02-02T03:04:05.000Z",
        }
    ],
    "factors": [
        {"type": "totp", "label": "Phone", "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEE", "created_at": "2020-03-02T03:04:05.000Z"},
        {"type": "sms", "label": "Old phone", "phone_number": "+14155550101", "created_at": "2020-04-02T03:04:05.000Z"},
    ],
}
EDITOR = {"type": "role", "name": "editor", "description": "Writes.", "caps": ["posts:write"]}


def put(folder: Path, *records: Any, head: Any = HEADER) -> str:
    file = folder / "moved.ndjson"
    file.write_text("".join(json.dumps(record) + "\n" for record in (head, *records)))
    return str(file)


def lines(file: str) -> list[Any]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def without_times(records: Iterable[Any]) -> list[Any]:
    return [{name: value for name, value in record.items() if name != "exported_at"} for record in records]


def elsewhere(cli: Cli, name: str = "elsewhere") -> Cli:
    """The command line of another service, with a key of its own."""
    folder = cli.folder / name
    folder.mkdir()
    return Cli(folder, cli._monkeypatch, cli._capsys)


def test_what_is_exported_and_imported_is_exported_alike(cli: Cli) -> None:
    """From one service into an empty one: every line but the date is the same, and people sign in as before."""
    assert cli("import", put(cli.folder, EDITOR, FULL)).status == 0
    cli("user", "create", "plain@example.com")
    first, second = str(cli.folder / "first"), str(cli.folder / "second")
    cli.json("export", first, "--with-secrets")
    other = elsewhere(cli)
    told = other.json("import", first)
    other.json("export", second, "--with-secrets")

    assert (told["written"], told["made"], told["there"], told["conflicts"], told["warnings"]) == (True, 3, 0, 0, [])
    assert without_times(lines(first)) == without_times(lines(second))
    moved = next(line for line in lines(second) if line.get("id") == ID)
    assert moved == FULL
    assert stat.S_IMODE(Path(first).stat().st_mode) == 0o600
    with running(other.folder) as app:
        asked = Client(app).login()
        assert (asked.status, asked.code) == (401, "mfa_required")
    assert (cli.folder / "authsvc.db.key").read_bytes() != (other.folder / "authsvc.db.key").read_bytes()


def test_an_authenticator_app_goes_on_working_and_its_secret_does_not_lie_in_the_database(cli: Cli) -> None:
    """Its codes are asked for and taken; one from before the import is not."""
    secret = FULL["factors"][0]["secret"]
    cli("import", put(cli.folder, EDITOR, FULL))
    assert base64.b32decode(secret + "======") not in (cli.folder / "authsvc.db").read_bytes()
    assert secret.encode() not in (cli.folder / "authsvc.db").read_bytes()
    world = FakeWorld()
    with running(cli.folder, world) as app:
        world.time = event_rows(app)[-1]["at"]
        for seconds, status in ((0, 422), (60, 200)):
            world.advance(seconds)
            asked = Client(app).login()
            code = pyotp.TOTP(secret).at(world.now() // 1000)
            answer = Client(app).post("/mfa/verify", {"mfa_token": asked["mfa_token"], "factor_id": app_of(asked), "code": code})
            assert answer.status == status, answer.body


def app_of(asked: Any) -> str:
    """The id of the authenticator app among the factors that are asked for."""
    return str(next(factor["id"] for factor in asked["factors"] if factor["type"] == "totp"))


def test_without_secrets_none_leaves_and_the_import_says_what_is_left_behind(cli: Cli) -> None:
    """An account without its authenticator app is weaker than it was: that is said, and the rest of it comes."""
    cli("import", put(cli.folder, EDITOR, FULL))
    file = str(cli.folder / "out")
    cli.json("export", file)
    assert "secret" not in Path(file).read_text()
    other = elsewhere(cli)
    ran = other("import", file)
    assert (ran.status, "1 authenticator apps" in ran.err) == (0, True)
    assert other.json("user", "show", EMAIL)["mfa_enabled"] is True
    with running(other.folder) as app:
        assert [factor["type"] for factor in Client(app).login()["factors"]] == ["sms"]


@pytest.mark.parametrize("by", ["django pbkdf2_sha256", "django argon2", "werkzeug scrypt", "passlib pbkdf2 sha256", "bcrypt 2b"])
def test_people_sign_in_with_the_password_they_had_elsewhere(cli: Cli, by: str) -> None:
    """The first right sign-in puts our own hash in the place of the other system's; a wrong one changes nothing."""
    cli("import", put(cli.folder, {"type": "user", "email": EMAIL, "password_hash": MADE_BY[by](PASSWORD)}))
    with running(cli.folder) as app:
        client = Client(app)
        assert client.login(password="wrong-" + PASSWORD).status == 401
        assert kept(app) not in ("", None)
        assert not kept(app).startswith("$argon2id$v=19$m=64,t=1,p=1$")
        assert client.login().status == 200
        assert kept(app).startswith("$argon2id$v=19$m=64,t=1,p=1$")
        assert client.login().status == 200
        assert client.login(password="wrong-" + PASSWORD).status == 401


def kept(app: Any) -> str:
    with app.core.store.read() as tx:
        return str(tx.users.by_email(EMAIL).password_hash)


def test_a_file_read_in_twice_makes_nothing_twice(cli: Cli) -> None:
    """With ids and without, also after the account was changed here and the key was rotated: it is there already, untouched."""
    nameless = {"type": "user", "email": "no-id@example.com", "created_at": "2020-01-01T00:00:00Z"}
    file = put(cli.folder, EDITOR, FULL, nameless)
    assert cli.json("import", file)["made"] == 3
    cli("keyring", "rotate", "secret")
    cli("user", "disable", EMAIL)
    again = cli.json("import", file)
    assert (again["made"], again["there"], again["conflicts"]) == (0, 3, 0)
    assert cli.json("user", "show", EMAIL)["status"] == "disabled"
    assert len(cli("user", "list").out.splitlines()) == 2


def test_who_is_here_is_not_overwritten(cli: Cli) -> None:
    """An address, a verified number or an identity that another account has: the line is named and left out, the others come."""
    cli("import", put(cli.folder, EDITOR, FULL))
    before = cli("user", "show", EMAIL).out
    taken = [
        {"type": "user", "email": EMAIL.upper()},
        {"type": "user", "email": "b@example.com", "phone_number": FULL["phone_number"], "phone_number_verified": True},
        {"type": "user", "email": "c@example.com", "identities": [{"provider": "github", "realm": "https://github.com", "subject": "42"}]},
        {"type": "user", "email": "d@example.com", "phone_number": FULL["phone_number"]},
    ]
    dry = cli("import", put(cli.folder, *taken), "--dry-run", "--json").json()
    told = cli("import", put(cli.folder, *taken), "--json")
    assert told.status == 1
    assert (told.json()["made"], told.json()["conflicts"]) == (dry["made"], dry["conflicts"]) == (1, 3)
    assert [line["line"] for line in told.json()["lines"]] == [2, 3, 4]
    assert [line.partition(":")[0] for line in cli("import", put(cli.folder, *taken)).err.splitlines() if "Not made" in line] == [
        "line 2", "line 3", "line 4",
    ], "each once"  # fmt: skip
    assert cli("user", "show", EMAIL).out == before
    assert {user["email"] for user in cli("user", "list", "--json").objects()} == {EMAIL, "d@example.com"}


FAULTS = [
    ({"type": "user"}, "email"),
    ({"type": "user", "email": "nobody"}, "email"),
    ({"type": "user", "email": "a@example.com", "password": "x"}, "password"),
    ({"type": "user", "email": "a@example.com", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}, "password_hash"),
    ({"type": "user", "email": "a@example.com", "password_hash": "scrypt:4194304:8:1$s$" + "0" * 128}, "password_hash"),
    ({"type": "user", "email": "a@example.com", "roles": ["ghost"]}, "roles"),
    ({"type": "user", "email": "a@example.com", "id": "7"}, "id"),
    ({"type": "user", "email": "a@example.com", "created_at": "2999-01-01T00:00:00Z"}, "created_at"),
    ({"type": "user", "email": "a@example.com", "created_at": "1969-01-01T00:00:00Z"}, "created_at"),
    ({"type": "user", "email": "a@example.com", "created_at": "2020-01-01T00:00:00"}, "created_at"),
    ({"type": "user", "email": "a@example.com", "status": "gone"}, "status"),
    ({"type": "user", "email": "a@example.com", "metadata": {"a": "b" * 5_000}}, "metadata"),
    ({"type": "user", "email": "a@example.com", "identities": [{"provider": "github", "subject": "1"}]}, "identities.realm"),
    ({"type": "user", "email": "a@example.com", "factors": [{"type": "totp", "secret": "ME======"}]}, "factors.secret"),
    ({"type": "user", "email": "a@example.com", "factors": [{"type": "sms"}]}, "factors.phone_number"),
    ({"type": "user", "phone_number": "+14155550100"}, "email"),
    ({"type": "user", "email": "good@example.com"}, "email"),  # as the line before
    ({"type": "role", "name": "admin", "caps": ["*"]}, "name"),
    ({"type": "role", "name": "x", "caps": ["everything"]}, "caps"),
    ({"type": "session"}, "type"),
    ([], ""),
    ("\ud800", ""),
]


def test_every_fault_is_told_by_its_line_and_nothing_is_written(cli: Cli) -> None:
    """All of them in one run, dry or not, without repeating what stands there."""
    good = {"type": "user", "email": "good@example.com"}
    own = [
        {**record, "email": f"{number}@example.com"} if isinstance(record, dict) and record.get("email") == "a@example.com" else record
        for number, (record, _) in enumerate(FAULTS)
    ]
    file = put(cli.folder, good, *own)
    with Path(file).open("ab") as more:
        more.write(
            b'{"type": "user", "email": "a@example.com", "email": "b@example.com"}\n\xff\xfe\n'
            + b"[" * 50_000
            + b"\n"
            + b"x" * 200_000
            + b"\n\n"
        )
        more.write(b'{"type": "user", "email": "cut@exam')
    wanted = [(3 + number, where) for number, (_, where) in enumerate(FAULTS)]
    wanted += [(wanted[-1][0] + number, "") for number in (1, 2, 3, 4, 6)]
    for more in (["--dry-run"], []):
        ran = cli("import", file, "--json", *more)
        assert (ran.status, ran.json()["written"]) == (1, False)
        assert [(line["line"], line["field"]) for line in ran.json()["lines"]] == wanted
        assert "5f4dcc3b" not in ran.out
    ran = cli("import", file)
    assert (ran.status, len([line for line in ran.err.splitlines() if line.startswith("line ")])) == (1, len(wanted))
    assert cli("user", "list").out == ""


def test_a_dry_run_writes_nothing(cli: Cli) -> None:
    """It says what would be made."""
    ran = cli("import", put(cli.folder, EDITOR, FULL), "--dry-run")
    assert (ran.status, ran.out) == (0, "2 would be made, 0 are there already, 0 could not be made; nothing was written\n")
    assert (cli("user", "list").out, "editor" in cli("role", "list").out) == ("", False)


@pytest.mark.parametrize(
    ("head", "word"),
    [({"authsvc": "export", "version": 2}, "newer authsvc"), ({"authsvc": "backup"}, "no export"), ({}, "no export"), ([], "no export")],
)
def test_what_is_no_export_is_refused(cli: Cli, head: Any, word: str) -> None:
    """By its first line; a later form is told as one."""
    ran = cli("import", put(cli.folder, FULL, head=head))
    assert (ran.status, word in ran.err) == (1, True)
    (cli.folder / "empty").write_bytes(b"")
    assert cli("import", str(cli.folder / "empty")).status == 1
    assert cli("import", str(cli.folder / "missing")).status == 1


def test_a_role_of_the_same_name_that_may_something_else_stops_the_import(cli: Cli) -> None:
    """Otherwise accounts would come with more, or less, than they had."""
    cli("role", "put", "editor", "--cap", "*")
    ran = cli("import", put(cli.folder, EDITOR, FULL), "--json")
    assert (ran.status, ran.json()["lines"][0]["line"], ran.json()["written"]) == (1, 2, False)
    cli("role", "put", "editor", "--cap", "posts:write")
    assert cli.json("import", put(cli.folder, EDITOR, FULL))["there"] == 1


def test_an_export_that_was_cut_off_is_noticed(cli: Cli) -> None:
    """By its last line, which counts the others."""
    for name in "abc":
        cli("user", "create", f"{name}@example.com")
    file = cli.folder / "out"
    cli.json("export", str(file))
    whole = file.read_text().splitlines(keepends=True)
    other = elsewhere(cli)
    file.write_text("".join(whole[:-1]))
    ran = other("import", str(file), "--dry-run")
    assert (ran.status, "is it whole?" in ran.err) == (0, True)
    file.write_text("".join(whole[:2] + whole[3:]))
    assert other("import", str(file)).status == 1
    file.write_text("".join([*whole, whole[1]]))
    assert other("import", str(file)).status == 1
    assert other("user", "list").out == ""


def test_what_is_imported_is_on_record_and_the_export_too(cli: Cli) -> None:
    """One event for each account and role, by the command line; the trail stays whole."""
    cli.json("import", put(cli.folder, EDITOR, FULL))
    cli.json("export", str(cli.folder / "out"), "--with-secrets")
    with cli.app() as app:
        assert actions(app) == ["role.created", "user.created", "users.exported"]
        assert [row["actor_type"] for row in event_rows(app)] == ["cli"] * 3
        assert json.loads(event_rows(app)[2]["data"]) == {"secrets": True, "users": 1}
    assert cli("audit", "verify").status == 0


def test_both_go_through_pipes(cli: Cli) -> None:
    """`-` is standard output and standard input, though a file is read twice."""
    cli.json("import", put(cli.folder, EDITOR, FULL))
    ran = cli.process("export", "-", "--with-secrets")
    assert (ran.status, len(ran.out.splitlines()), "1 accounts" in ran.err) == (0, 4, True)
    other = elsewhere(cli)
    assert other.process("import", "-", stdin=ran.out.encode()).status == 0
    assert other.json("user", "show", EMAIL)["id"] == ID
    assert cli("export", str(cli.folder / "authsvc.db"), "--force").status == 1


def test_a_person_without_an_address_or_a_password_comes_too(cli: Cli) -> None:
    """With a verified number alone; and what Django writes for no password is none."""
    people = [
        {"type": "user", "phone_number": "+14155550100", "phone_number_verified": True},
        {"type": "user", "email": "none@example.com", "password_hash": "!abcdefgh"},
    ]
    assert cli.json("import", put(cli.folder, *people))["made"] == 2
    users = {user["email"]: user for user in cli("user", "list", "--json").objects()}
    assert (users[None]["phone_number"], users[None]["phone_number_verified"]) == ("+14155550100", True)
    assert users["none@example.com"]["has_password"] is False


def test_a_person_who_is_known_by_an_identity_alone_comes_and_leaves(cli: Cli) -> None:
    """As those whose provider tells no address; and whoever an export of ours holds, its import takes."""
    people = [
        {"type": "user", "identities": [{"provider": "corp", "realm": "https://corp.example", "subject": subject}]}
        for subject in ("1", "2")
    ]
    assert cli.json("import", put(cli.folder, *people))["made"] == 2
    assert cli.json("import", put(cli.folder, *people))["there"] == 2
    assert cli("import", put(cli.folder, {"type": "user", "id": ID, "name": "Nobody", "phone_number": "+14155550100"})).status == 0
    cli.json("export", str(cli.folder / "out"))
    other = elsewhere(cli)
    assert other.json("import", str(cli.folder / "out"))["made"] == 3
    other.json("export", str(cli.folder / "again"))
    assert without_times(lines(str(cli.folder / "out"))) == without_times(lines(str(cli.folder / "again")))


def test_a_factor_that_could_never_be_shown_is_refused(cli: Cli) -> None:
    """Codes by mail need an address, and there are no more factors than somebody may set up."""
    phone = {"type": "user", "phone_number": "+14155550100", "phone_number_verified": True}
    many = [{"type": "sms", "phone_number": f"+1415555010{number % 10}", "label": str(number)} for number in range(11)]
    for factors, field in (([{"type": "email"}], "factors.type"), (many, "factors")):
        ran = cli("import", put(cli.folder, {**phone, "factors": factors}), "--json")
        assert (ran.status, [line["field"] for line in ran.json()["lines"]]) == (1, [field])


def test_a_role_that_came_while_a_file_was_judged_stops_the_import(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets the caps of a role that the file does not mean."""
    judge = Reading.judge

    def slowly(self: Reading, report: Report) -> None:
        judge(self, report)
        roles.put(self._core, "editor", None, ["*"], CLI, EVERYTHING)

    monkeypatch.setattr(Reading, "judge", slowly)
    ran = cli("import", put(cli.folder, EDITOR, FULL))
    assert (ran.status, "line 2: there is a role editor with other caps" in ran.err) == (1, True)
    assert cli("user", "list").out == ""


def test_somebody_who_was_deleted_and_came_back_can_be_deleted_again(cli: Cli) -> None:
    """At once, too, while the trail still waits for its last look for the first time."""
    for _ in range(2):
        assert cli.json("import", put(cli.folder, EDITOR, FULL))["made"] >= 1
        assert cli("user", "delete", EMAIL).status == 0


def test_a_pipe_may_have_a_name(cli: Cli) -> None:
    """/dev/stdin, or what a shell makes of <(…): it is read twice all the same."""
    cli.json("import", put(cli.folder, EDITOR, FULL))
    exported = cli.process("export", "-", "--with-secrets").out
    assert elsewhere(cli).process("import", "/dev/stdin", stdin=exported.encode()).status == 0


def test_an_identity_signs_in_where_its_provider_is_set_up(cli: Cli) -> None:
    """A realm that is not named is that of the provider in the settings."""
    environ = {"AUTHSVC_" + name.upper(): value for name, value in GITHUB.items()}
    person = {"type": "user", "email": EMAIL, "identities": [{"provider": "github", "subject": "42"}]}
    assert cli("import", put(cli.folder, person), **environ).status == 0
    with cli.app() as app, app.core.store.read() as tx:
        assert tx.identities.find("github", "https://github.com", "42") is not None
