"""Files that a command writes or reads: whole or not there at all, for their owner's eyes only, `-` for the standard streams."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from authsvc.problems import Refused
from authsvc.store.backups import OWN
from authsvc.store.keyfile import sync_folder

STREAM = "-"


@contextmanager
def placed(file: str, database: str, *, replace: bool) -> Iterator[Path]:
    """An empty file to fill. Once that is done it is synced and takes its place; a failure leaves what was there before.

    For `-` it lies beside the database and goes to standard output once it is whole.
    """
    target = _refuse_taken(file, database, replace=replace)
    folder = target.parent
    try:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f"{target.name}.", suffix=".part")  # made with mode 0600
    except OSError as error:
        raise Refused(f"cannot write into the folder {folder}: {error.strerror}") from None
    partial = Path(name)
    os.close(descriptor)
    try:
        yield partial
        if file == STREAM:
            with partial.open("rb") as whole:
                shutil.copyfileobj(whole, sys.stdout.buffer)
        else:
            _place(partial, target, replace=replace)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


@contextmanager
def taken(file: str) -> Iterator[BinaryIO]:
    """A file to read. A backup that has a log beside it is a database in use, and only half of it."""
    if file == STREAM:
        yield sys.stdin.buffer
        return
    if any(os.path.exists(file + log) and os.path.getsize(file + log) for log in ("-wal", "-journal")):
        raise Refused(f"{file} has a log beside it, so it is a live database and not whole by itself; make a backup of it")
    try:
        opened = open(file, "rb")  # noqa: SIM115 - what goes wrong later is somebody else's
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}") from None
    with opened:
        yield opened


def _refuse_taken(file: str, database: str, *, replace: bool) -> Path:
    whole = Path(database).resolve()
    if file == STREAM:
        if sys.stdout.isatty():
            raise Refused("this is no output for a terminal; name a file, or send it on: authsvc … - > FILE")
        return whole.with_name(whole.name + ".stream")
    if os.path.islink(file):  # whoever has put it there would choose what is replaced
        raise Refused(f"{file} is a symbolic link; name the file itself")
    target = Path(file).resolve()
    if target.parent == whole.parent and OWN.fullmatch(target.name.removeprefix(whole.name)):
        raise Refused(f"{file} belongs to the database itself")
    if target.exists() and not target.is_file():
        raise Refused(f"{file} is no file")
    if target.exists() and not replace:
        raise Refused(f"{file} exists; --force replaces it")
    return target


def _place(partial: Path, target: Path, *, replace: bool) -> None:
    try:
        with partial.open("rb") as whole:
            os.fsync(whole.fileno())
        if replace:
            partial.replace(target)
        else:
            os.link(partial, target)  # unlike a rename it never takes the place of what came meanwhile
        sync_folder(str(target.parent))
    except FileExistsError:
        raise Refused(f"{target} exists; --force replaces it") from None
    except OSError as error:
        raise Refused(f"cannot write {target}: {error.strerror}") from None
