"""The key file while a service runs: a change is seen at once, and no crash, race or fault in it takes a key away."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.config import sources
from authsvc.primitives.keyring import Key, Keyring
from authsvc.problems import Refused
from authsvc.store import keyfile
from authsvc.store.keyfile import MARK, KeyFile
from tests.support import FakeWorld, together

SECRET = "3f9c1b7e5a2d4c6b8f0e1d3c5b7a9f2e4d6c8b0a1f3e5d7c9b2a4f6e8d0c1b3a"
OTHER = "b3a1c0d8e6f4a2b9c7d5e3f1a0b8c6d4e2f9a7b5c3d1e0f8b6c4d2a5e7b1c9f3"
PRODUCTION = {"public_url": "https://auth.example.com", "mail": "console:"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "authsvc.db.key"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def opened(path: Path, world: FakeWorld | None = None, **settings: Any) -> tuple[KeyFile, Keyring]:
    values, database = sources.from_dict(settings), str(path).removesuffix(".key")
    world = world or FakeWorld()
    return KeyFile(database, values, world), keyfile.keyring(values, database, world, may_make=False)


def kid(secret: str) -> str:
    return Key(secret.encode()).kid


def kids(keys: Keyring) -> list[str]:
    return [key.kid for key in keys.every()]


def test_a_new_key_comes_first_and_the_older_stay_below(path: Path) -> None:
    """A marked list, one a line, for its owner's eyes only; nothing is left beside it, and a running service uses it at once."""
    file, keys = opened(path)
    first, second = file.add().kid, file.add().kid
    mark, *lines = path.read_text().splitlines()
    assert mark == MARK
    assert [kid(line) for line in lines] == [second, first, kid(SECRET)] == kids(keys)
    assert keys.current.kid == second
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]
    assert kids(opened(path)[1]) == kids(keys)


def test_previous_keys_of_the_settings_stay_behind_those_of_the_file(path: Path) -> None:
    """They are known before a rotation and after it."""
    file, keys = opened(path, secret_key_previous=OTHER)
    new = file.add().kid
    assert kids(keys) == [new, kid(SECRET), kid(OTHER)]
    assert OTHER not in path.read_text()


def test_a_key_is_known_before_it_makes_anything(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writes, each whole: the first adds the new key last. Whoever is killed at any step leaves a file that works."""
    file, keys = opened(path)
    seen: list[list[str]] = []
    replace = os.replace

    def watched(source: str, target: str) -> None:
        seen.append(kids(keys))
        replace(source, target)
        seen.append(kids(keys))

    monkeypatch.setattr(os, "replace", watched)
    new = file.add().kid
    old = kid(SECRET)
    assert seen == [[old], [old, new], [old, new], [new, old]]


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_fault_in_the_middle_takes_no_key_away(path: Path, monkeypatch: pytest.MonkeyPatch, at: str, step: int) -> None:
    """A full disk at any moment: the refusal names the file, the old key makes things as before, and the next try works."""
    file, keys = opened(path)
    name = {"write": "fchmod", "fsync": "fsync", "replace": "replace"}[at]
    genuine, calls = getattr(os, name), []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == (step * 2 - 1 if at == "fsync" else step):
            raise OSError(28, "No space left on device")
        return genuine(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        with pytest.raises(Refused, match=r"cannot write the key file .*No space left"):
            file.add()
    assert kids(keys)[0] == keys.current.kid == kid(SECRET)
    assert os.listdir(path.parent) == [path.name]
    new = file.add().kid
    assert (kids(keys)[0], kid(SECRET) in kids(keys)) == (new, True)
    assert os.listdir(path.parent) == [path.name]


def test_what_a_killed_rotation_left_is_overwritten(path: Path) -> None:
    """A half-written file beside it, open to others, is no obstacle and leaks nothing."""
    beside = Path(f"{path}.new")
    beside.write_text(MARK + "\n" + OTHER[:20])
    beside.chmod(0o666)
    file, keys = opened(path)
    new = file.add().kid
    assert kids(keys) == [new, kid(SECRET)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not beside.exists()


def test_a_link_in_the_place_of_the_partial_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Nobody gets the keys written to where they want."""
    target = tmp_path / "elsewhere"
    target.write_text("")
    Path(f"{path}.new").symlink_to(target)
    with pytest.raises(Refused):
        opened(path)[0].add()
    assert target.read_text() == ""


def test_a_link_to_the_key_stays_a_link(tmp_path: Path) -> None:
    """Whoever keeps the key elsewhere finds the new one there."""
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    (elsewhere / "key").write_text(SECRET)
    (elsewhere / "key").chmod(0o600)
    path = tmp_path / "authsvc.db.key"
    path.symlink_to(elsewhere / "key")
    file, keys = opened(path)
    new = file.add().kid
    assert path.is_symlink()
    assert kid((elsewhere / "key").read_text().splitlines()[1]) == new == keys.current.kid


def test_rotations_at_once_lose_no_key(path: Path) -> None:
    """Each sees what the one before has written."""
    made = together(8, lambda _: opened(path)[0].add().kid)
    found = kids(opened(path)[1])
    assert sorted(found) == sorted([*made, kid(SECRET)])
    assert found[-1] == kid(SECRET)


def test_a_key_can_be_taken_out_but_never_the_first(path: Path) -> None:
    """A running service forgets it at once."""
    file, keys = opened(path)
    new = file.add().kid
    file.remove(kid(SECRET))
    assert kids(keys) == [new]
    assert keys.get(kid(SECRET)) is None
    file.remove(new)
    assert kids(keys) == [new]


@pytest.mark.parametrize("content", ["", "short", MARK + "\n", MARK + "\nshort\n", MARK + f"\n{SECRET}\n{OTHER[:30]}\n", None])
def test_a_damaged_file_changes_nothing_while_we_run(path: Path, content: str | None) -> None:
    """A running service goes on with what it has and warns once; a start is refused; mended, the file counts again."""
    world = FakeWorld()
    file, keys = opened(path, world)
    path.unlink()
    if content is not None:
        path.write_text(content)
        path.chmod(0o600)
    for _ in range(3):
        assert kids(keys) == [kid(SECRET)]
        assert keys.get("unknown0") is None
    warnings = [line for line in world.lines if "going on with the keys that were read before" in line]
    assert len(warnings) == 1
    assert SECRET not in warnings[0]
    with pytest.raises(Refused):
        opened(path)
    with pytest.raises(Refused):
        file.add()
    path.write_text(f"{MARK}\n{OTHER}\n{SECRET}\n")
    path.chmod(0o600)
    assert kids(keys) == [kid(OTHER), kid(SECRET)]


def test_a_file_that_others_may_read_is_not_taken_over_in_production(path: Path) -> None:
    """F8: the service goes on with the keys that nobody could read."""
    world = FakeWorld()
    _, keys = opened(path, world, **PRODUCTION)
    path.write_text(f"{MARK}\n{OTHER}\n{SECRET}\n")
    path.chmod(0o644)
    assert kids(keys) == [kid(SECRET)]
    assert [line for line in world.lines if f"chmod 600 {path}" in line] == world.lines
    path.chmod(0o600)
    assert kids(keys) == [kid(OTHER), kid(SECRET)]


@pytest.mark.parametrize("content", [f"{SECRET}\n{OTHER}", f"{SECRET}\n{OTHER}\n"])
def test_without_the_mark_the_whole_content_is_one_key(path: Path, content: str) -> None:
    """As it was before there could be several, such as a key of 96 bytes that `openssl rand -base64` breaks into lines."""
    path.write_text(content)
    file, keys = opened(path)
    old = kid(content.strip())
    assert kids(keys) == [old]
    with pytest.raises(Refused, match="line break"):
        file.add()
    assert path.read_text() == content


def test_blank_lines_and_remarks_mean_nothing(path: Path) -> None:
    """Whoever edits the list by hand may say what is what."""
    path.write_text(f"{MARK}\n\n# since March\n  {OTHER}  \n\n# before\n{SECRET}\r\n")
    assert kids(opened(path)[1]) == [kid(OTHER), kid(SECRET)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_a_rotation_by_root_leaves_the_file_to_its_owner(path: Path) -> None:
    """Otherwise the service could not read its own key any more."""
    os.chown(path, 12345, 12346)
    opened(path)[0].add()
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (12345, 12346, 0o600)


@pytest.fixture(autouse=True)
def _umask_stays() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)
