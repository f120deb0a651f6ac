"""Promises of `authsvc backup` and `authsvc restore`: whole, private, never over anything unasked, and never the secret key."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from authsvc.store.migrations import migrate, migrations
from tests.cli.conftest import Cli
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, running

OTHER = "other@example.com"
KEY = "0123456789abcdef0123456789abcdef"


def registered(cli: Cli, *emails: str) -> None:
    with cli.app() as app:
        for email in emails:
            Client(app).register(email)


def emails(cli: Cli) -> set[str]:
    return {user["email"] for user in cli("user", "list", "--json").objects()}


def test_a_backup_restores_all_that_was_there(cli: Cli) -> None:
    """What came after it is gone, the database that was there lies aside whole, and the trail tells of it."""
    registered(cli, EMAIL)
    told = cli.json("backup", str(cli.folder / "b"))
    registered(cli, OTHER)
    done = cli.json("restore", str(cli.folder / "b"), "--force")

    assert (told["users"], told["schema"], told["bytes"]) == (1, migrations()[-1].number, (cli.folder / "b").stat().st_size)
    assert {name: done[name] for name in ("users", "schema", "newest_event_at", "secret_key")} == {
        name: told[name] for name in ("users", "schema", "newest_event_at", "secret_key")
    }
    assert emails(cli) == {EMAIL}
    with closing(sqlite3.connect(done["kept_aside"])) as aside:
        assert aside.execute("SELECT email FROM users ORDER BY email").fetchall() == [(EMAIL,), (OTHER,)]
    with cli.app() as app:
        assert Client(app).login(EMAIL, PASSWORD).status == 200
        assert actions(app)[:2] == ["user.registered", "database.restored"]
    assert cli("audit", "verify").status == 0


def test_a_backup_is_for_its_owner_alone_and_opens_nothing(cli: Cli) -> None:
    """Mode 0600; the secret key is not in it, nor what was deleted before."""
    registered(cli, EMAIL)
    with cli.app() as app:
        with app.core.store.write() as tx:
            tx._connection.execute("PRAGMA secure_delete=OFF")  # as SQLite is built in most places
            rows = [(f"r{number}", "words-once-said " * 20) for number in range(200)]
            tx._connection.executemany("INSERT INTO roles VALUES (?, ?, '[]', 1, 1)", rows)
        with app.core.store.write() as tx:
            tx._connection.execute("DELETE FROM roles")
    told = cli("backup", str(cli.folder / "b"))

    backup = cli.folder / "b"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    content, key = backup.read_bytes(), (cli.folder / "authsvc.db.key").read_bytes().strip()
    assert key not in content
    assert key.decode() not in told.out
    assert "secret key" in told.out
    assert b"words-once-said" not in content


def test_nothing_is_replaced_unasked(cli: Cli) -> None:
    """An existing file and an existing database stay as they are without --force; the database's own files even with it."""
    registered(cli, EMAIL)
    backup = cli.folder / "b"
    backup.write_text("precious")
    assert (cli("backup", str(backup)).status, backup.read_text()) == (1, "precious")
    assert cli("backup", str(backup), "--force").status == 0
    registered(cli, OTHER)
    refused = cli("restore", str(backup))
    assert (refused.status, "--force" in refused.err) == (1, True)
    for own in ("", "-wal", "-shm", ".key", ".lock"):
        assert cli("backup", str(cli.folder / f"authsvc.db{own}"), "--force").status == 1
    assert emails(cli) == {EMAIL, OTHER}
    assert list(cli.folder.glob("*.part")) == []


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_only_files_are_replaced(cli: Cli, force: list[str]) -> None:
    """No device or pipe, no file behind a symbolic link, and nothing that authsvc itself keeps beside the database."""
    cli("user", "create", "a@example.com")
    os.mkfifo(cli.folder / "pipe")
    (cli.folder / "elsewhere").write_text("kept")
    (cli.folder / "link").symlink_to(cli.folder / "elsewhere")
    (cli.folder / "dangling").symlink_to(cli.folder / "nowhere")
    kept = [f"authsvc.db{end}" for end in (".schema-3.bak", ".before-20261125", ".restoring", ".key.new", "-wal")]
    told = {"pipe": "is no file", "link": "symbolic link", "dangling": "symbolic link", ".": "is no file"}
    for name, word in {**told, **dict.fromkeys(kept, "belongs to the database")}.items():
        ran = cli("backup", str(cli.folder / name), *force)
        assert (ran.status, word in ran.err) == (1, True), (name, ran.err)
    assert stat.S_ISFIFO((cli.folder / "pipe").stat().st_mode)
    assert ((cli.folder / "elsewhere").read_text(), (cli.folder / "nowhere").exists()) == ("kept", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_in_the_folder_of_a_user_is_that_users(cli: Cli) -> None:
    """By the first command there is, and by a restore: the service runs as that user, and has to open all of it."""
    backup, service = cli.folder / "b", cli.folder / "service"
    service.mkdir()
    os.chown(service, 12345, 12346)
    cli.environ["AUTHSVC_DATABASE"] = str(service / "authsvc.db")
    assert cli("user", "create", EMAIL).status == 0
    owners = {file.name: (file.stat().st_uid, file.stat().st_gid) for file in service.iterdir()}
    assert owners == dict.fromkeys(("authsvc.db", "authsvc.db.key", "authsvc.db.lock"), (12345, 12346))
    assert cli("backup", str(backup)).status == 0
    (service / "authsvc.db").unlink()
    assert cli("restore", str(backup)).status == 0
    assert {(file.stat().st_uid, file.stat().st_gid) for file in service.iterdir()} == {(12345, 12346)}
    assert (service / "authsvc.db").exists()


def test_a_file_that_cannot_be_used_is_named(cli: Cli) -> None:
    """And not taken for the output."""
    cli("user", "create", "a@example.com")
    (cli.folder / "authsvc.db.lock").unlink()
    (cli.folder / "authsvc.db.lock").mkdir()
    ran = cli("backup", str(cli.folder / "b"))
    assert (ran.status, "authsvc.db.lock: Is a directory" in ran.err, "output" in ran.err) == (1, True, False)


def test_a_backup_goes_through_a_pipe(cli: Cli) -> None:
    """`-` is standard output and standard input; the words are on standard error."""
    registered(cli, EMAIL)
    with (cli.folder / "piped").open("wb") as pipe:
        ran = subprocess.run(
            cli._command("backup", "-"), cwd=cli.folder, env=cli._environment({}), stdout=pipe, stderr=subprocess.PIPE, check=True
        )
    assert b"1 accounts" in ran.stderr
    (cli.folder / "authsvc.db").unlink()
    assert cli("user", "list").status == 1, "a lost database is not begun anew"
    assert cli.process("restore", "-", stdin=(cli.folder / "piped").read_bytes()).status == 0
    assert emails(cli) == {EMAIL}


def test_a_restore_ends_what_was_open(cli: Cli) -> None:
    """A session or link that was ended after the backup does not come alive again; --keep-sessions is for a planned move."""
    with cli.app() as app:
        first = Client(app).register(EMAIL)
        Client(app).post("/login/magic", {"email": EMAIL})
    cli("backup", str(cli.folder / "b"))
    with cli.app() as app:
        assert Client(app).post("/token/revoke", {"refresh_token": first["refresh_token"]}).status == 200
    done = cli.json("restore", str(cli.folder / "b"), "--force")
    assert done["sessions_ended"] == 1
    with cli.app() as app:
        assert Client(app).refresh(first["refresh_token"]).status == 401
        with app.core.store.read() as tx:
            assert tx.challenges.of(first["user"]["id"], 9)[0].used_at is not None
    assert cli.json("restore", str(cli.folder / "b"), "--force", "--keep-sessions")["sessions_ended"] == 0
    with cli.app() as app:
        assert Client(app).refresh(first["refresh_token"]).status == 200


def test_a_backup_of_another_key_is_refused_before_anything_is_replaced(cli: Cli) -> None:
    """With a key that does not fit, or none at all, the database stays; the message names the key that is missing."""
    registered(cli, EMAIL)
    kid = cli.json("backup", str(cli.folder / "b"))["secret_key"]
    before = (cli.folder / "authsvc.db").read_bytes()
    refused = cli("restore", str(cli.folder / "b"), "--force", AUTHSVC_SECRET_KEY=KEY)
    assert (refused.status, kid in refused.err) == (1, True)
    (cli.folder / "authsvc.db.key").rename(cli.folder / "away")
    refused = cli("restore", str(cli.folder / "b"), "--force")
    assert (refused.status, kid in refused.err, (cli.folder / "authsvc.db.key").exists()) == (1, True, False)
    assert (cli.folder / "authsvc.db").read_bytes() == before
    (cli.folder / "away").rename(cli.folder / "authsvc.db.key")
    cli("keyring", "rotate", "secret")
    assert cli("restore", str(cli.folder / "b"), "--force").status == 0, "the former key is still there"


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "page", "foreign", "newer", "trigger", "orphan"])
def test_what_is_no_whole_backup_is_refused(cli: Cli, damage: str) -> None:
    """Damaged, cut off, another program's, a newer release's, or changed by hand: the database stays as it was."""
    registered(cli, EMAIL)
    backup = cli.folder / "b"
    cli("backup", str(backup))
    spoil(backup, damage)
    refused = cli("restore", str(backup), "--force")
    assert refused.status == 1
    assert refused.err.startswith("authsvc: ")
    assert "Traceback" not in refused.err
    assert emails(cli) == {EMAIL}
    assert [path.name for path in cli.folder.iterdir() if "before" in path.name or "restoring" in path.name] == []


def spoil(backup: Path, damage: str) -> None:
    content = bytearray(backup.read_bytes())
    if damage in ("text", "empty", "cut"):
        backup.write_bytes({"text": b"no database\n" * 500, "empty": b"", "cut": bytes(content[: len(content) // 2])}[damage])
        return
    if damage == "page":
        content[8192:16384] = b"\xff" * 8192
        backup.write_bytes(content)
        return
    statement = {
        "foreign": "PRAGMA application_id = 7",
        "newer": "UPDATE migrations SET needs = 1000 WHERE number = 1",
        "trigger": "CREATE TRIGGER t AFTER INSERT ON users BEGIN DELETE FROM events; END",
        "orphan": "INSERT INTO user_roles VALUES ('usr_nobody', 'admin', 1)",
    }[damage]
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        connection.execute(statement)


def test_a_live_database_is_not_taken_for_a_backup(cli: Cli) -> None:
    """A file with a log beside it lacks its last changes: it is refused, with the advice to make a backup of it."""
    registered(cli, EMAIL)
    (cli.folder / "copied").write_bytes((cli.folder / "authsvc.db").read_bytes())
    (cli.folder / "copied-wal").write_bytes(b"x")
    refused = cli("restore", str(cli.folder / "copied"), "--force")
    assert (refused.status, "live database" in refused.err) == (1, True)


def test_a_backup_of_an_earlier_schema_is_brought_up_to_date(cli: Cli, tmp_path: Path) -> None:
    """A backup from before an upgrade is restored into this release."""
    old = tmp_path / "old"
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        migrate(connection, str(old), FakeWorld(), migrations()[:3])
    done = cli.json("restore", str(old))
    assert done["schema"] == 3
    with running(cli.folder):
        pass
    assert cli.json("backup", str(tmp_path / "new"))["schema"] == migrations()[-1].number
