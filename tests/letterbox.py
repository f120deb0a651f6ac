"""Reading what was mailed: letters of the outbox, and the links and codes of mails that were delivered."""

from __future__ import annotations

import email
import json
import re
import sqlite3
from email.policy import default
from pathlib import Path
from typing import Any

from authsvc.app import App
from tests.support import EMAIL, PASSWORD, Client, FakeWorld

NEW = "renamed@mail.com"
NEW_PASSWORD = "copper-lantern-27"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
JSON_ONLY = {"Accept": "application/json"}
FORM = "application/x-www-form-urlencoded"
NO_MAIL_LIMITS = {f"limit_{name}": "0" for name in ("mail_address", "mail_network", "link", "reset_token", "code_account")}
UNLIMITED = NO_MAIL_LIMITS | {
    f"limit_{name}": "0" for name in ("login", "login_account", "login_network", "login_all", "login_delay", "register", "register_all")
}

_LINK = re.compile(r"http://127\.0\.0\.1:8000(/(?:login/magic|password/reset|email/verify|email/undo)/\S+)")
_CODE = re.compile(r"^ {4}([0-9]{6})$", re.MULTILINE)


def rows(app: App, query: str, *values: Any) -> list[dict[str, Any]]:
    """What lies in the database, read with a connection of our own."""
    connection = sqlite3.connect(app.core.store.path)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(query, values)]
    finally:
        connection.close()


def counts(app: App, *tables: str) -> list[int]:
    """How many rows each of these tables has."""
    return [rows(app, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables]


def letters(app: App) -> list[tuple[str, str]]:
    """The name and the recipient of every letter in the outbox, oldest first."""
    payloads = [json.loads(row["payload"]) for row in rows(app, "SELECT payload FROM outbox ORDER BY rowid")]
    return [(payload["letter"], payload["to"]) for payload in payloads]


def mails(app: App, to: str = EMAIL) -> list[str]:
    """Deliver what is due; the texts of all mails to this address, oldest first."""
    with app.core.store.write() as tx:  # letters of one millisecond have no order: give them that of their writing
        tx._connection.execute("UPDATE outbox SET due_at = due_at - 1000 + rowid WHERE done_at IS NULL AND due_at = created_at")
    while app.deliveries.run_once():
        pass
    world = app.core.world
    assert isinstance(world, FakeWorld)
    return [line for line in world.lines if line.startswith(f"--- mail to {to}: ")]


def link(app: App, to: str = EMAIL) -> str:
    """The path of the link in the newest mail to this address that has one."""
    found = [match[1] for mail in mails(app, to) if (match := _LINK.search(mail))]
    assert found, f"no link was mailed to {to}"
    return found[-1]


def code(app: App, to: str = EMAIL) -> str:
    """The code in the newest mail to this address that has one."""
    found = [match[1] for mail in mails(app, to) if (match := _CODE.search(mail))]
    assert found, f"no code was mailed to {to}"
    return found[-1]


def files(folder: Path) -> list[Any]:
    """The mails in a folder, oldest first."""
    return [email.message_from_bytes(file.read_bytes(), policy=default) for file in sorted(folder.glob("*.eml"))]


def magic_link(app: App, to: str = EMAIL, **body: Any) -> str:
    assert Client(app).post("/login/magic", {"email": to, **body}).status == 202
    return link(app, to)


def reset_link(app: App, to: str = EMAIL) -> str:
    assert Client(app).post("/password/forgot", {"email": to}).status == 202
    return link(app, to)


def verify_link(app: App, to: str = EMAIL) -> str:
    assert Client(app).post("/email/verify", {"email": to}).status == 202
    return link(app, to)


def ask_change(app: App, to: str = NEW, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Sign in and ask for another address."""
    signed_in = Client(app).login(email, password)
    answer = Client(app).put(f"/user/{signed_in['user']['id']}", {"email": to}, token=signed_in["access_token"])
    assert answer.status == 200, answer.body


def change_link(app: App, to: str = NEW, email: str = EMAIL, password: str = PASSWORD) -> str:
    ask_change(app, to, email, password)
    return link(app, to)


def undo_link(app: App, to: str = NEW, email: str = EMAIL, password: str = PASSWORD) -> str:
    """Change the address; the link by which the old one takes it back."""
    assert Client(app).post(change_link(app, to, email, password)).status == 200
    return link(app, email)


def confirm(app: App, to: str = EMAIL) -> None:
    """Let this address be confirmed by its link."""
    assert Client(app).post(verify_link(app, to)).status == 200


# How to come by a fresh link of each kind for the account of EMAIL, which has PASSWORD.
ASK = {"magic": magic_link, "reset": reset_link, "verify": verify_link, "change": change_link, "undo": undo_link}


def body_for(path: str) -> dict[str, str] | None:
    """What a POST to this link needs."""
    return {"password": NEW_PASSWORD} if path.startswith("/password/reset/") else None


def use(app: App, path: str, ip: str = "192.0.2.1", **more: Any) -> Any:
    """POST to a link."""
    return Client(app, ip=ip).post(path, body_for(path), **more)


def state(app: App) -> list[Any]:
    """All that a link could change."""
    tables = ("users", "sessions", "challenges", "outbox", "events")
    return [rows(app, f"SELECT * FROM {table} ORDER BY id") for table in tables]
