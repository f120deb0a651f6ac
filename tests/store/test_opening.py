"""Opening: is the database there, ours, whole, of our key? Every refusal says what to do, and spoils nothing."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.config import sources
from authsvc.config.settings import Settings
from authsvc.problems import Refused
from tests.support import CHEAP, EMAIL, Client, FakeWorld, make_app, running

SECRET = "3f9c1b7e5a2d4c6b8f0e1d3c5b7a9f2e4d6c8b0a1f3e5d7c9b2a4f6e8d0c1b3a"
OTHER = "b3a1c0d8e6f4a2b9c7d5e3f1a0b8c6d4e2f9a7b5c3d1e0f8b6c4d2a5e7b1c9f3"
PRODUCTION = {"public_url": "https://auth.example.com", "mail": "console:"}
CHECKING = "store: the last stop was not clean; checking the database"
PAGE_BYTES = 4_096
NOBODY = 65_534


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """The folder of a service with one account, cleanly stopped."""
    with running(tmp_path) as app:
        Client(app).register()
    return tmp_path


def test_a_first_start_makes_what_it_needs_and_no_more(tmp_path: Path) -> None:
    """A database, a key and a mark, all for the owner's eyes only."""
    with running(tmp_path):
        pass
    files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert files == {"authsvc.db": 0o600, "authsvc.db.key": 0o600, "authsvc.db.lock": 0o600}


@pytest.mark.parametrize("how", ["removed", "emptied", "folder of logs left"])
def test_a_lost_database_is_never_taken_for_a_first_start(used: Path, how: str) -> None:
    """F10: an empty service would tell everybody that their account does not exist. It does not start, and makes nothing."""
    path = used / "authsvc.db"
    kept = path.read_bytes()
    if how == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
    if how == "folder of logs left":
        (used / "authsvc.db-wal").touch()
    refusal = refused(used)
    assert "gone or empty. Restore it" in refusal
    assert f"remove {path}.lock" in refusal
    assert path.exists() == (how == "emptied")
    path.write_bytes(kept)
    with running(used) as app:
        assert Client(app).login().status == 200


def test_who_removes_the_mark_begins_anew(used: Path) -> None:
    """The refusal's own advice works: without the mark and the key it is a first start."""
    for name in ("authsvc.db", "authsvc.db.lock", "authsvc.db.key"):
        (used / name).unlink()
    with running(used) as app:
        assert Client(app).login().code == "invalid_credentials"
        assert Client(app).register().status == 201


def test_a_lost_key_is_refused_and_comes_back(used: Path) -> None:
    """Without its key the database is not used and no other key is made; restored, all goes on."""
    key = used / "authsvc.db.key"
    secret = key.read_text()
    key.unlink()
    assert "is gone. Restore it" in refused(used)
    assert not key.exists()
    key.write_text(secret)
    key.chmod(0o600)
    with running(used) as app:
        assert Client(app).login().status == 200


def test_another_key_is_refused(used: Path) -> None:
    """A key that the database was not made with is an accident: every token and link would silently be worthless."""
    before = kids(used)
    assert "not the one that this database was made with" in refused(used, secret_key=OTHER)
    (used / "authsvc.db.key").write_text(OTHER)
    assert "AUTHSVC_SECRET_KEY_PREVIOUS" in refused(used)
    assert kids(used) == before


def test_a_new_key_beside_the_old_one_is_accepted(tmp_path: Path) -> None:
    """With the old key among the previous ones sessions go on, and what is made now is made with the new one."""
    with running(tmp_path, secret_key=SECRET) as app:
        made = Client(app).register().json()
    with running(tmp_path, secret_key=OTHER, secret_key_previous=SECRET) as app:
        assert Client(app).get("/user", token=made["access_token"])["email"] == EMAIL
        assert Client(app).refresh(made["refresh_token"]).status == 200
        later = Client(app).login()
    assert len(kids(tmp_path)) == 2
    with running(tmp_path, secret_key=OTHER) as app:
        assert Client(app).refresh(later["refresh_token"]).status == 200
        assert Client(app).refresh(made["refresh_token"]).code == "invalid_token"


def test_a_key_once_used_may_come_back(tmp_path: Path) -> None:
    """Going back to the older key is no mistake: rows here were made with it."""
    for secret, previous in ((SECRET, ""), (OTHER, SECRET), (SECRET, "")):
        with running(tmp_path, secret_key=secret, secret_key_previous=previous):
            pass
    assert len(kids(tmp_path)) == 2


def test_production_without_a_key_is_refused_and_starts_once_it_has_one(tmp_path: Path) -> None:
    """F8: the refusal says how to make a key; it leaves nothing that keeps the next start from working."""
    refusal = refused(tmp_path, **PRODUCTION)
    assert f"openssl rand -hex 32 > {tmp_path / 'authsvc.db.key'}" in refusal
    assert not (tmp_path / "authsvc.db.key").exists()
    (tmp_path / "authsvc.db.key").write_text(SECRET)
    (tmp_path / "authsvc.db.key").chmod(0o600)
    with running(tmp_path, **PRODUCTION) as app:
        assert Client(app).register().status == 201


def test_a_workbench_database_moves_to_production_with_its_key(used: Path) -> None:
    """A key that is there already, with the right mode, is as good as a given one; an open one is refused."""
    with running(used, **PRODUCTION) as app:
        assert Client(app).login().status == 200
    (used / "authsvc.db.key").chmod(0o644)
    assert "chmod 600" in refused(used, **PRODUCTION)


def test_first_starts_at_once_agree_on_one_key_and_one_schema(tmp_path: Path) -> None:
    """However many open an empty folder at once, one makes everything and the others use it."""
    gate = threading.Barrier(8)
    apps: list[App] = []

    def begin() -> None:
        gate.wait()
        apps.append(make_app(tmp_path))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len({app.core.keyring.current.kid for app in apps}) == 1
        made = Client(apps[0]).register().json()
        assert [Client(app).get("/user", token=made["access_token"]).status for app in apps] == [200] * 8
    finally:
        for app in apps:
            app.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authsvc.db", "authsvc.db.key", "authsvc.db.lock"]


def test_an_unclean_stop_is_noticed_and_checked_once(tmp_path: Path) -> None:
    """After a crash the next start checks the file and says so; the one after that has no reason to."""
    with running(tmp_path / made("live", tmp_path)) as app:
        Client(app).register()
        crashed = crash(app, tmp_path / "crashed")
    world = FakeWorld()
    with running(crashed, world) as app:
        assert world.lines == [CHECKING]
        assert Client(app).login().status == 200
    world = FakeWorld()
    with running(crashed, world):
        assert CHECKING not in world.lines


def test_a_clean_stop_is_not_checked(used: Path) -> None:
    """Nothing to do at a start when nothing happened, however large the database is."""
    world = FakeWorld()
    with running(used, world):
        assert world.lines == []


def test_a_second_process_beside_a_running_one_does_not_check(tmp_path: Path) -> None:
    """A log beside the file means no crash when somebody is at work on it."""
    with running(tmp_path) as first:
        Client(first).register()
        assert (tmp_path / "authsvc.db-wal").stat().st_size > 0
        world = FakeWorld()
        with running(tmp_path, world) as second:
            assert world.lines == []
            assert Client(second).login().status == 200


@pytest.mark.parametrize("damaged", ["users", "events", "sessions", "sqlite_autoindex_users_2", "events_by_subject"])
def test_a_damaged_page_is_found_after_an_unclean_stop(tmp_path: Path, damaged: str) -> None:
    """F10: what a broken disk did to the file is told at the start, with what to do, and not served."""
    with running(tmp_path / made("live", tmp_path)) as app:
        Client(app).register()
        checkpoint(app)
        Client(app).get("/readyz")
        crashed = crash(app, tmp_path / "crashed")
    damage(crashed / "authsvc.db", damaged)
    world = FakeWorld()
    with pytest.raises(Refused, match=r"(?s)damaged|malformed") as caught, running(crashed, world):
        pass
    assert "estore it from a backup" in str(caught.value)
    assert world.lines == [CHECKING]


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look at " * 200, b"\x00" * 8_192, b"SQLite format 3\x00" + b"\xff" * 8_176]
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """F10: garbage in the database's place is not written over."""
    (tmp_path / "authsvc.db").write_bytes(content)
    refusal = refused(tmp_path)
    assert str(tmp_path / "authsvc.db") in refusal
    assert "restore it from a backup" in refusal
    assert (tmp_path / "authsvc.db").read_bytes() == content


def test_a_database_cut_short_is_refused(used: Path) -> None:
    """F10: a file that lost its second half is damaged, whether or not the last stop was clean."""
    path = used / "authsvc.db"
    os.truncate(path, path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)
    assert "damaged" in refused(used)


@pytest.mark.parametrize("place", ["missing/authsvc.db", "file/authsvc.db", "folder"])
def test_a_path_that_cannot_be_a_database_is_refused_in_plain_words(tmp_path: Path, place: str) -> None:
    """A missing folder, a file as folder, a folder as file: the path is named, nothing is made."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(Refused) as caught:
        App(settings(tmp_path / place), FakeWorld())
    assert str(tmp_path / place) in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert "the folder must exist and be writable" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "folder", "folder.lock"}


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    """F10: on a read-only file system the start says what must be writable; made writable, it works."""
    with unprivileged() as folder:
        folder.chmod(0o555)
        assert "the folder must exist and be writable" in refused(folder)
        assert list(folder.iterdir()) == []
        folder.chmod(0o755)
        with running(folder) as app:
            assert Client(app).register().status == 201
        folder.chmod(0o555)
        assert "writable" in refused(folder)


def test_a_database_that_cannot_be_written_is_refused() -> None:
    """F10: a read-only file is told at the start, and not at the first registration; what is in it stays."""
    with unprivileged() as folder:
        with running(folder) as app:
            Client(app).register()
        (folder / "authsvc.db").chmod(0o400)
        assert "must be writable" in refused(folder)
        (folder / "authsvc.db").chmod(0o600)
        with running(folder) as app:
            assert Client(app).login().status == 200


def test_a_refused_start_lets_go_of_everything(used: Path) -> None:
    """Neither the lock nor a file stays open: the next start is alone with the database, and leaks do not add up."""
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        refused(used, secret_key=OTHER)
    assert len(os.listdir("/dev/fd")) == before
    crashed = used / "authsvc.db-wal"
    crashed.write_bytes(b"")
    world = FakeWorld()
    with running(used, world) as app:
        assert Client(app).login().status == 200


def test_the_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that changes its folder after the start goes on with the same file."""
    monkeypatch.chdir(tmp_path)
    app = App(settings(Path("authsvc.db")), FakeWorld())
    try:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert Client(app).register().status == 201
    finally:
        app.close()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def refused(folder: Path, **more: str) -> str:
    """The words with which the start is refused."""
    with pytest.raises(Refused) as caught, running(folder, **more):
        pass
    return str(caught.value)


def settings(path: Path) -> Settings:
    return sources.from_dict({"database": str(path), **CHEAP})


def made(name: str, folder: Path) -> str:
    (folder / name).mkdir()
    return name


def crash(app: App, folder: Path) -> Path:
    """A folder as a crash at this moment would leave it."""
    folder.mkdir()
    path = Path(app.core.store.path)
    for suffix in ("", "-wal", ".key", ".lock"):
        shutil.copy(f"{path}{suffix}", folder / f"{path.name}{suffix}")
    return folder


def checkpoint(app: App) -> None:
    """Move everything from the log into the main file."""
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def damage(database: Path, name: str) -> None:
    """Overwrite the first page of a table or index; the file is looked up in a copy, so as to leave the log alone."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(database, folder)
        with closing(sqlite3.connect(Path(folder) / database.name)) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


def kids(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "authsvc.db")) as connection:
        return [kid for (kid,) in connection.execute("SELECT kid FROM secret_keys ORDER BY kid")]


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder of a user whom file modes bind: ourselves, or nobody if we are root, who may write everywhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder) as app:  # loads what is loaded late: nobody may not be allowed to read our libraries
            Client(app).register()
        for file in folder.iterdir():
            file.unlink()
        root = os.geteuid() == 0
        if root:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)
