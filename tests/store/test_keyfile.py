"""The secret key: given, found beside the database, or made; never lost, replaced or shown by mistake."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.config import sources
from authsvc.primitives.keyring import Key, Keyring
from authsvc.problems import Refused
from authsvc.store import keyfile
from tests.support import FakeWorld

SECRET = "3f9c1b7e5a2d4c6b8f0e1d3c5b7a9f2e4d6c8b0a1f3e5d7c9b2a4f6e8d0c1b3a"
OTHER = "b3a1c0d8e6f4a2b9c7d5e3f1a0b8c6d4e2f9a7b5c3d1e0f8b6c4d2a5e7b1c9f3"
PRODUCTION = {"public_url": "https://auth.example.com", "mail": "console:"}


def test_a_workbench_makes_its_key_once(tmp_path: Path) -> None:
    """The first start writes 32 random bytes as text, for its owner's eyes only; later starts read the same."""
    world = FakeWorld()
    first = keyring(tmp_path, world)
    path = tmp_path / "authsvc.db.key"
    content = path.read_text()
    assert re.fullmatch(r"[0-9a-f]{64}\n", content)
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.current.kid == Key(content.strip().encode()).kid
    assert keyring(tmp_path, world).current.kid == first.current.kid
    assert path.read_text() == content
    assert os.listdir(tmp_path) == ["authsvc.db.key"]
    assert not [line for line in world.lines if content.strip() in line]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_umask_does_not_open_the_key(tmp_path: Path, mask: int) -> None:
    """Whatever files of this user are made with, the key is its owner's."""
    before = os.umask(mask)
    try:
        keyring(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "authsvc.db.key").stat().st_mode & 0o777 == 0o600


def test_each_first_start_makes_another_key(tmp_path: Path) -> None:
    """No key is built in."""
    kids = set()
    for name in "abc":
        (tmp_path / name).mkdir()
        kids.add(keyring(tmp_path / name).current.kid)
    assert len(kids) == 3


def test_a_key_of_the_settings_counts_and_no_file_is_made(tmp_path: Path) -> None:
    """Whoever gives a key keeps it where they want; nothing is written beside the database."""
    keys = keyring(tmp_path, secret_key=SECRET, **PRODUCTION)
    assert keys.current.kid == Key(SECRET.encode()).kid
    assert os.listdir(tmp_path) == []


def test_a_key_of_the_settings_wins_over_the_file(tmp_path: Path) -> None:
    """The file is then neither read nor judged."""
    write(tmp_path, OTHER, 0o644)
    world = FakeWorld()
    keys = keyring(tmp_path, world, secret_key=SECRET)
    assert keys.current.kid == Key(SECRET.encode()).kid
    assert keys.get(Key(OTHER.encode()).kid) is None
    assert world.lines == []


def test_older_keys_check_and_never_make(tmp_path: Path) -> None:
    """The newest makes; the previous ones are known, whether the newest was given or found."""
    write(tmp_path, SECRET)
    keys = keyring(tmp_path, secret_key_previous=OTHER)
    assert keys.current.kid == Key(SECRET.encode()).kid
    assert keys.get(Key(OTHER.encode()).kid) is not None


@pytest.mark.parametrize("content", [SECRET, SECRET + "\n", f"  {SECRET}\r\n", SECRET + "\n\n"])
def test_white_space_around_the_key_means_nothing(tmp_path: Path, content: str) -> None:
    """The key that `openssl rand -hex 32` wrote is the key, with its newline or without."""
    write(tmp_path, content)
    assert keyring(tmp_path, **PRODUCTION).current.kid == Key(SECRET.encode()).kid


@pytest.mark.parametrize(
    "content",
    ["", "\n", "short", "a" * 64, "ab" * 32, SECRET[:31], "ä" * 40, b"\xff" * 64, b"\x00" * 64],
    ids=lambda value: repr(value)[:12],
)
@pytest.mark.parametrize("settings", [{}, PRODUCTION], ids=["workbench", "production"])
def test_a_damaged_key_file_is_refused_and_not_replaced(tmp_path: Path, content: str | bytes, settings: dict[str, str]) -> None:
    """An empty, short, repeated or binary key is no key. The refusal names the file and does not show what is in it."""
    path = write(tmp_path, content)
    before = path.read_bytes()
    with pytest.raises(Refused) as caught:
        keyring(tmp_path, **settings)
    assert str(path) in str(caught.value)
    assert not content or str(content).strip() == "" or str(content) not in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_in_the_place_of_the_key_is_refused(tmp_path: Path) -> None:
    """What a container runtime mounts when the secret does not exist."""
    (tmp_path / "authsvc.db.key").mkdir(mode=0o700)
    with pytest.raises(Refused, match="cannot use the key file"):
        keyring(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o660, 0o606, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_key_that_others_can_use_is_refused_in_production(tmp_path: Path, mode: int) -> None:
    """F8: nothing but the owner's bits may be set; the refusal says how to mend it."""
    path = write(tmp_path, SECRET, mode)
    with pytest.raises(Refused, match=rf"read by others \(mode {mode:04o}\); run: chmod 600 {re.escape(str(path))}"):
        keyring(tmp_path, **PRODUCTION)


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604])
def test_a_key_that_others_can_use_is_warned_of_on_the_workbench(tmp_path: Path, mode: int) -> None:
    """F8: one warning with the same advice, and the work goes on."""
    path = write(tmp_path, SECRET, mode)
    world = FakeWorld()
    assert keyring(tmp_path, world).current.kid == Key(SECRET.encode()).kid
    assert [line for line in world.lines if line.startswith("warning: ") and f"chmod 600 {path}" in line] == world.lines
    assert len(world.lines) == 1


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_of_the_owner_alone_is_used_in_silence(tmp_path: Path, mode: int) -> None:
    """F8: with the right mode there is nothing to say."""
    write(tmp_path, SECRET, mode)
    world = FakeWorld()
    assert keyring(tmp_path, world, **PRODUCTION).current.kid == Key(SECRET.encode()).kid
    assert world.lines == []


def test_production_makes_no_key_by_itself(tmp_path: Path) -> None:
    """A key nobody knows of is a key nobody backs up: the refusal says how to make one, and nothing is written."""
    with pytest.raises(Refused, match="AUTHSVC_SECRET_KEY") as caught:
        keyring(tmp_path, **PRODUCTION)
    assert f"openssl rand -hex 32 > {tmp_path / 'authsvc.db.key'}" in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("settings", [{}, PRODUCTION], ids=["workbench", "production"])
def test_a_lost_key_is_not_replaced(tmp_path: Path, settings: dict[str, str]) -> None:
    """Where the database was made with a key, a new one would make every session and link of it worthless."""
    with pytest.raises(Refused, match=r"authsvc\.db\.key is gone\. Restore it"):
        keyring(tmp_path, may_make=False, **settings)
    assert os.listdir(tmp_path) == []


def test_starts_that_make_a_key_at_once_read_the_same(tmp_path: Path) -> None:
    """One of them wins; nobody reads half a key, and nothing is left lying about."""
    gate = threading.Barrier(16)
    kids: list[str] = []

    def make() -> None:
        gate.wait()
        kids.append(keyring(tmp_path).current.kid)

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kids) == 16
    assert set(kids) == {Key((tmp_path / "authsvc.db.key").read_text().strip().encode()).kid}
    assert os.listdir(tmp_path) == ["authsvc.db.key"]


@pytest.fixture(autouse=True)
def _umask_stays() -> Iterator[None]:
    before = os.umask(0o022)
    os.umask(before)
    yield
    assert os.umask(before) == before


def keyring(folder: Path, world: FakeWorld | None = None, *, may_make: bool = True, **settings: Any) -> Keyring:
    return keyfile.keyring(sources.from_dict(settings), str(folder / "authsvc.db"), world or FakeWorld(), may_make=may_make)


def write(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path = folder / "authsvc.db.key"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path
