"""Looking into the outbox and deciding about what lies there."""

from __future__ import annotations

from collections.abc import Iterator

from authsvc.flows.core import Core
from authsvc.problems import Problem
from authsvc.store.outbox import LETTER_SECONDS, Message


def every(core: Core, *, everything: bool) -> Iterator[Message]:
    """What waits or was given up, or all that is still kept; in the order of its making, a page at a time."""
    after = ""
    while True:
        with core.store.read() as tx:
            page = tx.outbox.page(after=after, limit=500, everything=everything)
        yield from page
        if not page:
            return
        after = page[-1].id


def retry(core: Core, message_id: str) -> None:
    """Deliver it anew, from now; raises not_found."""
    with core.store.write() as tx:
        if not tx.outbox.revive(message_id, seconds=LETTER_SECONDS):
            raise Problem("not_found", f"There is no message {message_id} that is not just being delivered.")


def drop(core: Core, message_id: str) -> None:
    """Never deliver it; raises not_found."""
    with core.store.write() as tx:
        if not tx.outbox.drop(message_id):
            raise Problem("not_found", f"There is no message {message_id} that still waits.")
