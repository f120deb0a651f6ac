"""The secret keys: from the settings, or from the file beside the database, which is made, watched and changed here."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from authsvc.config import parse
from authsvc.config.settings import Settings
from authsvc.primitives.keyring import Key, Keyring, Ring
from authsvc.problems import Refused
from authsvc.store.ownership import hand_over
from authsvc.world import WARNING, World

SECRET_BYTES = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# The first line of a file with several keys. Without it the whole content is one key, as it was before there could be more.
MARK = "# authsvc: secret keys, one a line, the newest first"

Version = tuple[int, ...]


def keyring(settings: Settings, database: str, world: World, *, may_make: bool) -> Keyring:
    """The keys of this service, newest first. Raises Refused when there is none and none may be made."""
    if settings.secret_key:
        return Keyring(_as_bytes([settings.secret_key, *settings.secret_key_previous]))
    file = KeyFile(database, settings, world)
    if not file.path.exists() and not may_make:
        raise Refused(f"the database was made with a secret key, and {file.path} is gone. Restore it from your backup")
    if not file.path.exists():
        _make(file.path, settings, world)
    version = file.version()
    return Keyring(_as_bytes([*file.secrets(), *settings.secret_key_previous]), version, file.newer)


class KeyFile:
    """The file `<database>.key`: one key, or a marked list."""

    def __init__(self, database: str, settings: Settings, world: World) -> None:
        self.path = Path(database + ".key")
        self._name = str(self.path)  # looked at by each request
        self._settings = settings
        self._world = world
        self._told: object = self  # of which version it was told that it cannot be used; none yet

    def version(self) -> Version | None:
        """Another one whenever the file was changed or replaced; None when it is not there."""
        try:
            status = os.stat(self._name)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def secrets(self) -> list[str]:
        """What the file holds, newest first. Raises Refused."""
        try:
            self._check_mode()
            found = _parsed(self.path.read_text("ascii"))
        except (OSError, ValueError) as error:
            raise Refused(f"cannot use the key file {self.path}: {error}") from None
        if not found:
            raise Refused(f"the key file {self.path} is empty; restore it from your backup")
        return found

    def newer(self, version: object) -> Ring | None:
        """The keys, if the file is not of this version any more. While it is gone or damaged, those at hand go on."""
        now = self.version()
        if now == version:
            return None
        try:
            return Ring(_as_bytes([*self.secrets(), *self._settings.secret_key_previous]), now)
        except Refused as refused:
            if self._told != now:
                self._world.log(f"warning: {refused}; going on with the keys that were read before", WARNING)
            self._told = now
            return None

    def add(self) -> Key:
        """Put a new key first; the older ones stay below it. Raises Refused.

        In two steps: once it is on the disk as one that only checks, it becomes the one that makes things. So no power cut
        takes away a key that something was already made with.
        """
        key = _new_secret(self._world)
        with self._changing():
            before = self.secrets()
            if any(len(secret.splitlines()) > 1 or secret.startswith("#") for secret in before):
                raise Refused(
                    f"the key in {self.path} has a line break or begins with #, so it cannot stand in a list: give it as the "
                    "first of AUTHSVC_SECRET_KEY_PREVIOUS, and a new one (openssl rand -hex 32) as AUTHSVC_SECRET_KEY"
                )
            self._replace([*before, key])
            self._replace([key, *before])
        return Key(key.encode())

    def remove(self, kid: str) -> None:
        """Take one out; never the first. Raises Refused."""
        with self._changing():
            first, *older = self.secrets()
            self._replace([first, *(secret for secret in older if Key(secret.encode()).kid != kid)])

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone with the file: of two that change it at once the second sees what the first has written. The lock is on the
        folder, which stays while the file in it is replaced; a killed process lets go of it."""
        folder = os.path.dirname(os.path.realpath(self.path))
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"cannot use the folder {folder}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _replace(self, secrets: Sequence[str]) -> None:
        """Write all anew beside the file, then put it in its place: whole and on the disk, or not at all."""
        target = os.path.realpath(self.path)
        partial = target + ".new"
        try:
            owner = os.stat(target)
            _write_whole(partial, "\n".join([MARK, *secrets, ""]), owner.st_uid, owner.st_gid)
            os.replace(partial, target)
            sync_folder(os.path.dirname(target))
        except OSError as error:
            with suppress(OSError):
                os.unlink(partial)
            raise Refused(f"cannot write the key file {target}: {error.strerror}; what it holds now: authsvc keyring list") from None

    def _check_mode(self) -> None:
        mode = stat.S_IMODE(self.path.stat().st_mode)
        if not mode & OTHERS:
            return
        advice = f"the key file {self.path} can be read by others (mode {mode:04o}); run: chmod 600 {self.path}"
        if not self._settings.workbench:
            raise Refused(advice)
        self._world.log(f"warning: {advice}", WARNING)


def _parsed(content: str) -> list[str]:
    if not content.startswith(MARK):
        return [secret] if (secret := parse.secret(content)) else []
    return [secret for line in content.splitlines() if not line.startswith("#") and (secret := parse.secret(line))]


def _new_secret(world: World) -> str:
    """32 random bytes as text, whose id does not look like an option on a command line."""
    while True:
        secret = world.random_bytes(SECRET_BYTES).hex()
        if not Key(secret.encode()).kid.startswith("-"):
            return secret


def _as_bytes(secrets: Sequence[str]) -> list[bytes]:
    return [text.encode() for text in secrets]


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
            file.write(_new_secret(world) + "\n")
            file.flush()
            hand_over(file.fileno(), str(path))
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)


def _write_whole(path: str, content: str, user: int, group: int) -> None:
    """A file for its owner's eyes only, on the disk. What a killed process left there is overwritten."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    with open(path, "w", encoding="ascii", opener=opener) as file:
        os.fchmod(file.fileno(), 0o600)
        status = os.fstat(file.fileno())
        if (status.st_uid, status.st_gid) != (user, group):
            os.fchown(file.fileno(), user, group)  # the service must be able to read what root has written for it
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
