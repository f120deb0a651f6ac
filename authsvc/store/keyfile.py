"""The secret key: from the settings, or from the file beside the database, which a workbench makes for itself."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from authsvc.config import parse
from authsvc.config.settings import Settings
from authsvc.primitives.keyring import Keyring
from authsvc.problems import Refused
from authsvc.world import World

SECRET_BYTES = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keyring(settings: Settings, database: str, world: World, *, may_make: bool) -> Keyring:
    """The keys of this service, newest first. Raises Refused when there is none and none may be made."""
    secret = settings.secret_key or _from_file(Path(database + ".key"), settings, world, may_make=may_make)
    return Keyring([text.encode() for text in (secret, *settings.secret_key_previous)])


def _from_file(path: Path, settings: Settings, world: World, *, may_make: bool) -> str:
    if not path.exists() and not may_make:
        raise Refused(f"the database was made with a secret key, and {path} is gone. Restore it from your backup")
    if not path.exists():
        _make(path, settings, world)
    _check_mode(path, settings, world)
    try:
        secret = parse.secret(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise Refused(f"cannot use the key file {path}: {error}") from None
    if not secret:
        raise Refused(f"the key file {path} is empty; restore it from your backup")
    return secret


def _make(path: Path, settings: Settings, world: World) -> None:
    """Write a new key whole, then link it into place, so that of two first starts one wins and both read the same."""
    if not settings.workbench:
        raise Refused(
            "there is no secret key. Set AUTHSVC_SECRET_KEY (or AUTHSVC_SECRET_KEY_FILE), or make one:\n"
            f"  (umask 077 && openssl rand -hex 32 > {path})\n"
            "Keep a copy of it apart from the database: without it no session, link or second factor works."
        )
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(world.random_bytes(SECRET_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)


def _check_mode(path: Path, settings: Settings, world: World) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & OTHERS:
        return
    advice = f"the key file {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}"
    if not settings.workbench:
        raise Refused(advice)
    world.log(f"warning: {advice}")
