"""What the tests of delivery share: letters put into the outbox, and what became of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from authsvc.app import App
from authsvc.delivery.mail import MailCourier
from authsvc.delivery.smtp import SmtpSender
from authsvc.delivery.worker import Worker
from authsvc.flows import letters
from authsvc.store.outbox import Message
from tests.letterbox import rows
from tests.mailserver import Received
from tests.support import FakeWorld

FROM = "no-reply@example.com"
BUNDLED = Path(__file__).parents[2] / "authsvc" / "delivery" / "letters"


def put(app: App, *recipients: str, letter: str = "welcome") -> list[str]:
    """One letter for each, without an account or a link behind it; the ids. In a FakeWorld they are due in this order."""
    with app.core.store.write() as tx:
        for to in recipients:
            letters.add(tx, letter, to, None, locale=None)
            if isinstance(app.core.world, FakeWorld):
                app.core.world.advance(0.001)
    return [row["id"] for row in rows(app, "SELECT id FROM outbox ORDER BY rowid DESC LIMIT ?", len(recipients))][::-1]


def crowd(count: int) -> list[str]:
    return [f"user-{number:03}@example.org" for number in range(count)]


def message(app: App, message_id: str) -> Message:
    """The row as it is now."""
    with app.core.store.read() as tx:
        found = tx.outbox.get(message_id)
    assert found is not None, message_id
    return found


def ends(app: App) -> dict[str, str | None]:
    """The outcome by recipient; None for what waits."""
    return {json.loads(row["payload"])["to"]: row["outcome"] for row in rows(app, "SELECT payload, outcome FROM outbox")}


def errors(app: App) -> list[str]:
    """What the outbox says went wrong, oldest message first."""
    return [row["last_error"] for row in rows(app, "SELECT last_error FROM outbox WHERE last_error IS NOT NULL ORDER BY rowid")]


def failures(app: App) -> list[dict[str, Any]]:
    """The data of the events `delivery.failed`."""
    return [json.loads(row["data"]) for row in rows(app, "SELECT data FROM events WHERE action = 'delivery.failed'")]


def recipients(received: list[Received]) -> Counter[str]:
    """How often each address was written to."""
    return Counter(to for one in received for to in one.recipients)


def impatient(app: App, **patience: float) -> Worker:
    """A worker of this app whose sender waits less long for the server."""
    core = app.core
    sender = SmtpSender(core.settings.mail, core.world, helo="example.com", **patience)
    return Worker(core.store, core.world, MailCourier(core.settings, core.world, core.keyring, core.store, sender))
