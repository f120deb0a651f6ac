"""An audit trail to look at: rows written through the one door, seals by the housekeeping, and a hand that tampers with the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from authsvc import events
from authsvc.app import App
from authsvc.events import CLI, Cause, Event
from authsvc.flows import users
from authsvc.flows.verification import Verdict, verify
from authsvc.store.seals import Seal
from tests.support import PASSWORD, Client, FakeWorld

ALICE = Cause("user", "usr_alice", "alice@example.com", "ses_1", "192.0.2.7", "curl/8", "req-1")
AUDITOR = "auditor@example.com"


def record(app: App, count: int = 1, event: Event = events.LOGIN_SUCCEEDED, cause: Cause = ALICE, **more: Any) -> None:
    """So many rows; those of one call differ by their ids and salts only."""
    with app.core.store.write() as tx:
        for _ in range(count):
            tx.events.record(event, cause, **{"subject": "usr_alice", **more})


def sealed(app: App, world: FakeWorld, sizes: Sequence[int], unsealed: int = 0) -> None:
    """A trail with seals over so many rows each, and some rows that wait for theirs."""
    for size in sizes:
        record(app, size)
        world.advance(61)
        keep_house(app)
    if unsealed:
        record(app, unsealed)


def keep_house(app: App) -> int:
    """Everything that is due, until nothing is left; how many rows that were."""
    rows = 0
    while done := app.deliveries.housekeeping.run_once():
        rows += done
    return rows


def auditor(app: App) -> str:
    """The access token of an administrator."""
    client = Client(app)
    user_id = client.register(AUDITOR)["user"]["id"]
    users.change_roles(app.core, user_id, CLI, grant=["admin"])
    token: str = client.login(AUDITOR, PASSWORD)["access_token"]
    return token


def seals(app: App) -> list[Seal]:
    with tampering(app) as connection:
        columns = ", ".join(Seal._fields)
        return [Seal._make(row) for row in connection.execute(f"SELECT {columns} FROM seals ORDER BY through_seq")]


def numbers(app: App) -> list[int]:
    with tampering(app) as connection:
        return [seq for (seq,) in connection.execute("SELECT seq FROM events ORDER BY seq")]


@contextmanager
def tampering(app: App) -> Iterator[sqlite3.Connection]:
    """Somebody with the file and without the key."""
    connection = sqlite3.connect(app.core.store.path)
    connection.execute("PRAGMA synchronous=OFF")
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def tamper(app: App, *statements: str) -> Verdict:
    """Carry out statements on the file; what a check then says."""
    with tampering(app) as connection:
        for statement in statements:
            connection.execute(statement)
    return verify(app.core)


def first_bad(app: App, *statements: str) -> tuple[int, str] | None:
    """The number of the first bad row and the reason."""
    bad = tamper(app, *statements).first_bad
    return (bad.seq, bad.reason) if bad else None


def swap(one: int, other: int) -> tuple[str, str, str]:
    """Statements that make two rows change places."""
    return (
        f"UPDATE events SET seq = -1 WHERE seq = {one}",
        f"UPDATE events SET seq = {one} WHERE seq = {other}",
        f"UPDATE events SET seq = {other} WHERE seq = -1",
    )
