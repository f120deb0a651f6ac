"""Migrations: whole or not at all, with a copy put aside first, and never on a file that is not ours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from authsvc.problems import Refused
from authsvc.store import migrations as module
from authsvc.store.migrations import APPLICATION_ID, Migration, migrate, migrations, statements
from authsvc.store.sqlite import connect
from tests.support import EMAIL, START, Client, FakeWorld, running

NEWEST = migrations()[-1].number
LATER = "CREATE TABLE later (id TEXT PRIMARY KEY);\nINSERT INTO later VALUES ('a;b'); -- a comment; with a semicolon\n"
PROCESSES = 4


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of this release with one account."""
    with running(tmp_path) as app:
        Client(app).register()
    return tmp_path / "authsvc.db"


@pytest.fixture
def connection(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(str(database))) as connection:
        yield connection


def test_an_empty_file_gets_the_whole_schema(tmp_path: Path) -> None:
    """The first start makes every table, marks the file as ours, and notes when."""
    path = str(tmp_path / "new.db")
    with closing(connect(path)) as connection:
        migrate(connection, path, FakeWorld(), migrations())
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("SELECT number, applied_at FROM migrations ORDER BY number").fetchall() == [
            (migration.number, START) for migration in migrations()
        ]
        assert {"users", "user_roles", "sessions", "events", "buckets", "outbox", "secret_keys", "readiness"} <= tables(connection)
        assert connection.in_transaction is False
    assert [path.name for path in tmp_path.iterdir() if "bak" in path.name] == [], "there was nothing to put aside"


def test_the_files_are_numbered_without_a_gap_from_one() -> None:
    """Every release's migrations are the same list, with more at its end."""
    assert [migration.number for migration in migrations()] == list(range(1, NEWEST + 1))
    assert all(1 <= migration.needs <= migration.number for migration in migrations())
    assert all(migration.name.startswith(f"{migration.number:04}_") for migration in migrations())


def test_a_start_on_the_newest_schema_writes_nothing(database: Path, connection: sqlite3.Connection) -> None:
    """When nothing changed there is nothing to do: no transaction, no copy."""
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    migrate(connection, str(database), FakeWorld(), migrations())
    connection.set_trace_callback(None)
    assert [statement for statement in seen if not statement.startswith(("PRAGMA", "SELECT"))] == []
    assert beside(database) == []


def test_an_upgrade_applies_what_is_new_and_puts_a_copy_aside(database: Path, connection: sqlite3.Connection) -> None:
    """The copy is the whole old database, can be opened, and has mode 0600."""
    upgrade(database, connection, LATER)
    assert "later" in tables(connection)
    assert connection.execute("SELECT id FROM later").fetchall() == [("a;b",)]
    assert number(connection) == NEWEST + 1
    copy = database.with_name(f"authsvc.db.schema-{NEWEST}.bak")
    assert beside(database) == [copy.name]
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert old.execute("SELECT email FROM users").fetchall() == [(EMAIL,)]
        assert number(old) == NEWEST
        assert "later" not in tables(old)


def test_the_copy_has_what_still_lies_in_the_log(database: Path, connection: sqlite3.Connection) -> None:
    """What was committed but not yet moved into the main file belongs to the copy too."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("UPDATE users SET name = 'in the log'")
        assert Path(f"{database}-wal").stat().st_size > 0
        upgrade(database, connection, LATER)
    with closing(sqlite3.connect(database.with_name(f"authsvc.db.schema-{NEWEST}.bak"))) as old:
        assert old.execute("SELECT name FROM users").fetchall() == [("in the log",)]


def test_the_copy_can_be_put_back_and_used(database: Path, connection: sqlite3.Connection) -> None:
    """Whoever goes back to the old release renames the copy, and finds their accounts."""
    upgrade(database, connection, f"-- needs: {NEWEST + 1}\nDROP TABLE outbox;\n")
    connection.close()
    database.with_name(f"authsvc.db.schema-{NEWEST}.bak").replace(database)
    with running(database.parent) as app:
        assert Client(app).login().status == 200


def test_what_an_earlier_try_left_is_written_over(database: Path, connection: sqlite3.Connection) -> None:
    """A half-made copy of a try that was killed, readable by all, is neither kept nor in the way."""
    partial = database.with_name(f"authsvc.db.schema-{NEWEST}.bak.part")
    partial.write_bytes(b"half")
    partial.chmod(0o644)
    upgrade(database, connection, LATER)
    assert beside(database) == [f"authsvc.db.schema-{NEWEST}.bak"]
    assert database.with_name(f"authsvc.db.schema-{NEWEST}.bak").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE later (id TEXT);\nALTER TABLE users ADD COLUMN later TEXT;\nINSERT INTO nowhere VALUES (1);\n",
        "CREATE TABLE later (id TEXT);\nUPDATE users SET email_key = NULL;\n",
        "CREATE TABLE later (id TEXT);\nDELETE FROM users;\nSELECT no_such_function();\n",
        "CREATE TABLE later (id TEXT);\nthis is not SQL;\n",
        "CREATE TABLE later (id TEXT);\nINSERT INTO later VALUES ('never ends\n",
    ],
)
def test_a_failing_migration_leaves_the_schema_before_it(database: Path, connection: sqlite3.Connection, sql: str) -> None:
    """Whole or not at all: the old schema and every row stay, the copy is there, and this release goes on."""
    before = dump(connection)
    with pytest.raises((sqlite3.Error, ValueError)):
        upgrade(database, connection, sql)
    assert connection.in_transaction is False
    assert dump(connection) == before
    assert number(connection) == NEWEST
    with closing(sqlite3.connect(database.with_name(f"authsvc.db.schema-{NEWEST}.bak"))) as old:
        assert old.execute("SELECT email FROM users").fetchall() == [(EMAIL,)]
    with running(database.parent) as app:
        assert Client(app).login().status == 200


def test_of_several_new_migrations_a_failing_last_one_takes_all_back(database: Path, connection: sqlite3.Connection) -> None:
    """All migrations of an upgrade are one transaction: no database stops half way between two releases."""
    before = dump(connection)
    with pytest.raises(sqlite3.OperationalError):
        upgrade(database, connection, LATER, "CREATE TABLE latest (id TEXT);\nDROP TABLE nowhere;\n")
    assert dump(connection) == before
    upgrade(database, connection, LATER, "CREATE TABLE latest (id TEXT);\n")
    assert number(connection) == NEWEST + 2


def test_a_first_start_that_fails_leaves_an_empty_file(tmp_path: Path) -> None:
    """A new database is made wholly or not at all, too; the next start makes it."""
    path = str(tmp_path / "new.db")
    with closing(connect(path)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, FakeWorld(), (*migrations(), Migration(NEWEST + 1, "later.sql", "DROP TABLE nowhere;\n")))
        assert tables(connection) == set()
        assert connection.execute("PRAGMA application_id").fetchone() == (0,)
        migrate(connection, path, FakeWorld(), migrations())
        assert number(connection) == NEWEST


@pytest.mark.parametrize("ahead", [1, 2, 10])
def test_a_database_that_needs_a_newer_release_is_refused(database: Path, connection: sqlite3.Connection, ahead: int) -> None:
    """F13: the refusal names both schemas and what to do; nothing is written."""
    more = [LATER, *("CREATE TABLE more_%d (id TEXT);\n" % step for step in range(1, ahead))]  # noqa: UP031
    more[-1] = f"-- needs: {NEWEST + ahead}\n" + more[-1]
    upgrade(database, connection, *more)
    before = dump(connection)
    with pytest.raises(Refused, match=f"newer authsvc .*needs schema {NEWEST + ahead}, this release knows {NEWEST}.*install that release"):
        migrate(connection, str(database), FakeWorld(), migrations())
    assert dump(connection) == before
    with pytest.raises(Refused, match="newer authsvc"), running(database.parent):
        pass


def test_an_additive_newer_schema_is_used_as_it_is(database: Path, connection: sqlite3.Connection) -> None:
    """F13: a migration that says it needs no newer release lets this one run, which neither repeats nor undoes it."""
    upgrade(database, connection, f"-- needs: {NEWEST}\n{LATER}")
    before = dump(connection)
    migrate(connection, str(database), FakeWorld(), migrations())
    assert dump(connection) == before
    with running(database.parent) as app:
        assert Client(app).login().status == 200
        assert Client(app).register("later@example.com").status == 201
    assert number(connection) == NEWEST + 1


def test_a_newer_need_outlasts_additive_migrations_after_it(database: Path, connection: sqlite3.Connection) -> None:
    """F13: an additive migration on top of a breaking one does not make the database usable for old releases again."""
    upgrade(database, connection, f"-- needs: {NEWEST + 1}\n{LATER}", "-- needs: 1\nCREATE TABLE additive (id TEXT);\n")
    with pytest.raises(Refused, match=f"needs schema {NEWEST + 1}"):
        migrate(connection, str(database), FakeWorld(), migrations())


@pytest.mark.parametrize("application_id", [0, 1, APPLICATION_ID ^ 1])
def test_the_file_of_another_program_is_refused(tmp_path: Path, application_id: int) -> None:
    """A file with somebody else's tables is not touched, and the refusal says which setting to change."""
    path = tmp_path / "authsvc.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
        other.execute(f"PRAGMA application_id = {application_id}")
        other.commit()
    with pytest.raises(Refused, match="another program; set AUTHSVC_DATABASE"), running(tmp_path):
        pass
    with closing(sqlite3.connect(path)) as other:
        assert tables(other) == {"recipes"}
        assert other.execute("PRAGMA application_id").fetchone() == (application_id,)
    assert not (tmp_path / "authsvc.db.key").exists()


def test_processes_that_migrate_at_once_apply_each_migration_once(database: Path) -> None:
    """F13: of several new releases that start together one migrates and the others wait for it; the copy is whole."""
    context = get_context("spawn")
    gate = context.Barrier(PROCESSES)
    processes = [context.Process(target=upgrade_at, args=(str(database), gate, LATER)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    with closing(sqlite3.connect(database)) as connection:
        assert number(connection) == NEWEST + 1
        assert connection.execute("SELECT id FROM later").fetchall() == [("a;b",)]
    assert beside(database) == [f"authsvc.db.schema-{NEWEST}.bak"]
    with closing(sqlite3.connect(database.with_name(beside(database)[0]))) as old:
        assert number(old) == NEWEST


def test_the_copy_is_made_before_anything_is_changed(
    database: Path, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the copy cannot be made, nothing is migrated."""

    def no_room(path: str, version: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "_put_copy_aside", no_room)
    before = dump(connection)
    with pytest.raises(OSError, match="no space"):
        upgrade(database, connection, LATER)
    assert dump(connection) == before
    assert connection.in_transaction is False


def test_a_script_is_split_at_the_ends_of_its_statements() -> None:
    """Semicolons in texts, comments and triggers end nothing."""
    script = """
-- one; comment
CREATE TABLE a (b TEXT DEFAULT ';');
CREATE TRIGGER t AFTER INSERT ON a BEGIN
  DELETE FROM a WHERE b = 'x;';
  SELECT 1;
END;
/* a; block */ SELECT 2;
-- the end
"""
    found = statements(script)
    assert len(found) == 3
    assert found[1].endswith("END;")
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in found:
            connection.execute(statement)
    with pytest.raises(ValueError, match="does not end"):
        statements("SELECT 1;\nSELECT 2")


def upgrade(database: Path, connection: sqlite3.Connection, *scripts: str) -> None:
    """Migrate as a newer release would, which has these scripts more."""
    newer = [Migration(NEWEST + 1 + place, f"{NEWEST + 1 + place:04}_later.sql", sql) for place, sql in enumerate(scripts)]
    migrate(connection, str(database), FakeWorld(), (*migrations(), *newer))


def upgrade_at(database: str, gate: Any, script: str) -> None:
    gate.wait()
    with closing(connect(database, busy_ms=30_000)) as connection:
        upgrade(Path(database), connection, script)
        assert number(connection) == NEWEST + 1


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")}


def number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT max(number) FROM migrations").fetchone()[0])


def dump(connection: sqlite3.Connection) -> list[str]:
    return list(connection.iterdump())


def beside(database: Path) -> list[str]:
    """The copies that lie beside the database."""
    return sorted(name for name in os.listdir(database.parent) if ".bak" in name)
