"""Ways to get rid of a mail: into a folder or onto the log. A server's is smtp.py."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import Protocol

from authsvc.world import World

BATCH_SECONDS = 120.0  # for all that is done on one connection; a server may otherwise trickle for ever


class Temporary(Exception):
    """It did not work now; it may later."""


class Broken(Temporary):
    """Nor can the connection be used for anything else."""


class Unreachable(Temporary):
    """Nobody can be reached, for whatever mail."""


class Permanent(Exception):
    """It will not work, however often it is tried."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail with whom it is from and for. The addresses are in the form that servers take (ASCII domain)."""

    id: str
    sender: str
    recipient: str
    message: EmailMessage

    def to_bytes(self) -> bytes:
        """The whole mail (RFC 5322); UTF-8 in its headers only where an address cannot do without (RFC 6531)."""
        return self.message.as_bytes(policy=SMTP if self.recipient.isascii() else SMTPUTF8)


class Connection(Protocol):
    """An open way out."""

    def send(self, envelope: Envelope) -> None:
        """Hand over one mail. Returning means that it is the other side's to keep. Raises Permanent, Temporary or Broken."""


class Sender(Protocol):
    """A way out that can be opened for several mails at once."""

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Raises Unreachable when there is no getting through."""


class FolderSender:
    """One `.eml` a mail, written whole, synced and then renamed into place."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unreachable(str(error)) from error
        yield self

    def send(self, envelope: Envelope) -> None:
        put_whole(self._folder / f"{envelope.id}.eml", envelope.to_bytes())


def put_whole(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all: synced, then renamed into place. Raises Temporary."""
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise Temporary(str(error)) from error


class ConsoleSender:
    """The plain text onto the log: for a workbench."""

    def __init__(self, world: World) -> None:
        self._world = world

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        yield self

    def send(self, envelope: Envelope) -> None:
        message = envelope.message
        body = message.get_body(("plain",))
        text = body.get_content() if body is not None else ""
        self._world.log(f"--- mail to {message['To']}: {message['Subject']}\n{text.rstrip()}\n---")
