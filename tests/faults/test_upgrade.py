"""F13: upgrades. A migration that is killed leaves the old schema whole; older releases run on, or are refused in clear words."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from authsvc.store.migrations import Migration, migrate, migrations
from authsvc.store.sqlite import connect
from tests.faults.servers import PATIENCE_SECONDS, ROOT, Server, free_port, serving
from tests.support import EMAIL, FakeWorld

NEWEST = migrations()[-1].number
ADDITIVE = "-- needs: 1\nCREATE TABLE later (id TEXT PRIMARY KEY);\nALTER TABLE users ADD COLUMN later TEXT;\n"
BREAKING = f"-- needs: {NEWEST + 1}\nCREATE TABLE later (id TEXT PRIMARY KEY);\n"

# The clock is read when the migration's statements have run and its line in the ledger is being written.
KILLED = """
import os, signal, sys
from authsvc.store.migrations import Migration, migrate, migrations
from authsvc.store.sqlite import connect
from authsvc.world import World

class Dying(World):
    def now(self):
        os.kill(os.getpid(), signal.SIGKILL)

path, sql = sys.argv[1:]
known = migrations()
migrate(connect(path), path, Dying(), (*known, Migration(known[-1].number + 1, "later.sql", sql)))
"""


def test_f13_a_migration_killed_in_the_middle_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """F13: after kill -9 before its commit the database has the old schema, this release runs, and the next try is whole."""
    database = filled(tmp_path)
    run = subprocess.run([sys.executable, "-c", KILLED, str(database), ADDITIVE], cwd=ROOT, check=False, timeout=PATIENCE_SECONDS)
    assert run.returncode == -signal.SIGKILL
    assert schema(database) == (NEWEST, False)
    assert_serves(tmp_path)
    upgrade(database, ADDITIVE)
    assert schema(database) == (NEWEST + 1, True)


def test_f13_the_previous_release_runs_on_an_additive_newer_schema(tmp_path: Path) -> None:
    """F13: a newer release's additive migration lets this one go on with everything, and it takes nothing away."""
    database = filled(tmp_path)
    upgrade(database, ADDITIVE)
    assert_serves(tmp_path)
    assert schema(database) == (NEWEST + 1, True)


def test_f13_the_previous_release_runs_while_the_next_one_migrates(tmp_path: Path) -> None:
    """F13: an additive migration beneath a running server disturbs none of its requests."""
    database = filled(tmp_path)
    with serving(tmp_path) as server:
        caller = server.caller()
        assert caller.login(EMAIL).status == 200
        upgrade(database, ADDITIVE)
        assert caller.login(EMAIL).status == 200
        assert caller.register("later@example.com").status == 201
        assert server.crashes() == []
        assert server.stop() == 0


def test_f13_a_database_that_needs_a_newer_release_is_refused_in_clear_words(tmp_path: Path) -> None:
    """F13: an older release does not touch a schema it cannot run on; it says so in one line, and exits with 1."""
    database = filled(tmp_path)
    upgrade(database, BREAKING)
    before = database.read_bytes()
    server = Server(tmp_path, free_port(), {})
    assert server.wait() == 1
    assert [line.startswith("authsvc: the database was written by a newer authsvc") for line in server.lines] == [True]
    assert database.read_bytes() == before


def filled(folder: Path) -> Path:
    """A database with one account, cleanly stopped."""
    with serving(folder) as server:
        assert server.caller().register(EMAIL).status == 201
        assert server.stop() == 0
    return folder / "authsvc.db"


def upgrade(database: Path, sql: str) -> None:
    with closing(connect(str(database))) as connection:
        migrate(connection, str(database), FakeWorld(), (*migrations(), Migration(NEWEST + 1, "later.sql", sql)))


def schema(database: Path) -> tuple[int, bool]:
    """The number of the schema, and whether the later table is there."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (number,) = connection.execute("SELECT max(number) FROM migrations").fetchone()
        (later,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone()
        return number, bool(later)


def assert_serves(folder: Path) -> None:
    with serving(folder) as server:
        caller = server.caller()
        made = caller.login(EMAIL)
        assert made.status == 200
        assert caller.refresh(made.body["refresh_token"]).status == 200
        assert caller.register(f"{len(server.lines)}@example.com").status == 201
        assert server.crashes() == []
        assert server.stop() == 0
