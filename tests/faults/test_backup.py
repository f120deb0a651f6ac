"""F9: a backup under load is whole; a restore is refused while anybody uses the database, and a kill leaves old or new."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from authsvc.store.migrations import migrations
from tests.faults.servers import Load, command, python, serving
from tests.support import Client, running

OLD, NEW = "old@example.com", "new@example.com"

# Dies at the n-th of the calls that change what lies on the disk.
KILLED = """
import os, signal, sys
count, last = 0, int(sys.argv[1])

def deadly(name):
    real = getattr(os, name)
    def call(*arguments, **more):
        global count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)
    setattr(os, name, call)

for name in ("fsync", "link", "rename", "replace", "unlink"):
    deadly(name)
from authsvc.__main__ import main
sys.exit(main(["restore", sys.argv[2], "--force"]))
"""


def test_f9_a_backup_under_load_holds_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    """F9: made while clients register and refresh, it is whole, has every account that was acknowledged when it began, and no
    client gets an error."""
    with serving(tmp_path) as server:
        with Load([server.port], clients=4) as load:
            load.wait_for(30)
            known, _ = load.known()
            ran = command(tmp_path, "backup", "b")
            load.wait_for(10)
        assert (ran.returncode, load.surprises) == (0, [])
        assert server.stop() == 0
    with closing(sqlite3.connect(tmp_path / "b")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        there = {email for (email,) in connection.execute("SELECT email FROM users")}
    assert set(known) <= there
    assert len(there) < len(load.registered)


def test_f9_nothing_is_restored_beneath_a_running_server(tmp_path: Path) -> None:
    """F9: a server that runs keeps its database, whether it belongs to us or the file is open in another program."""
    with serving(tmp_path) as server:
        assert server.caller().register(OLD).status == 201
        assert command(tmp_path, "backup", "b").returncode == 0
        ran = command(tmp_path, "restore", "b", "--force")
        assert (ran.returncode, "stop every process" in ran.stderr) == (1, True)
        assert server.caller().login(OLD).status == 200
        assert server.stop() == 0
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        connection.execute("SELECT count(*) FROM users").fetchall()
        ran = command(tmp_path, "restore", "b", "--force")
        assert (ran.returncode, "another program" in ran.stderr) == (1, True)
    assert command(tmp_path, "restore", "b", "--force").returncode == 0


@pytest.mark.parametrize("unclean", [False, True])
def test_f9_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(tmp_path: Path, unclean: bool) -> None:
    """F9: at each step; also where the old one was left by a crash, with changes in its log. The next try is whole."""
    origin = tmp_path / "origin"
    origin.mkdir()
    with running(origin) as app:
        Client(app).register(NEW)
        assert command(origin, "backup", str(tmp_path / "b")).returncode == 0
        with app.core.store.write() as tx:
            tx._connection.execute("UPDATE users SET email = ?, email_key = ?", (OLD, OLD))
        if unclean:  # what a power cut would leave: the change is in the log alone
            shutil.copytree(origin, tmp_path / "cut")
    start = tmp_path / "cut" if unclean else origin
    found: list[str] = []
    for step in range(1, 40):
        folder = tmp_path / f"step-{step}"
        shutil.copytree(start, folder, ignore=shutil.ignore_patterns("*-shm"))
        done = python(folder, "-c", KILLED, str(step), str(tmp_path / "b"))
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        found.append(only_account(folder))
        if done.returncode == 0:
            break
        if unclean:
            assert command(folder, "restore", str(tmp_path / "b"), "--force").returncode == 0
            assert only_account(folder) == NEW
    assert done.returncode == 0
    assert found == sorted(found, reverse=True), "old until a step, new from then on"
    assert {OLD, NEW} == set(found)


def only_account(folder: Path) -> str:
    """Who is there for the service that starts next."""
    with running(folder) as app, app.core.store.read() as tx:
        (user,) = tx.users.page(after="", limit=9)
        assert tx._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert tx._connection.execute("SELECT max(number) FROM migrations").fetchone() == (migrations()[-1].number,)
    return user.email
