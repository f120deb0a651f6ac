"""The audit trail: what a row holds, and that its MAC covers every column."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.events import Cause
from authsvc.primitives.keyring import Purpose
from authsvc.store.events import personal_mac, row_mac
from tests.support import FakeWorld, event_rows, running

CAUSE = Cause("user", "usr_1", "example@mail.com", "ses_1", "192.0.2.1", "curl/8", "req-1")
# The MACs' inputs, written out here so that no change of the code goes unseen: rows of the past must stay verifiable.
PERSONAL = ("personal_salt", "actor_label", "ip", "user_agent")
SEALED = ("id", "at", "action", "outcome", "actor_type", "actor_id", "subject", "session_id", "request_id", "data", "personal_mac", "kid")
COLUMNS = {"seq", "mac", *PERSONAL, *SEALED}


def test_a_row_tells_who_did_what_to_whom_and_from_where(app: App, world: FakeWorld) -> None:
    """Every column is filled from the event, its cause and the world."""
    record(app, events.SESSION_REVOKED, CAUSE, subject="usr_2", outcome="failure", data={"b": 2, "a": "ü"})
    (row,) = event_rows(app)
    assert row.keys() == COLUMNS
    assert {name: row[name] for name in ("at", "action", "outcome", "actor_type", "actor_id", "subject", "session_id", "request_id")} == {
        "at": world.time,
        "action": "session.revoked",
        "outcome": "failure",
        "actor_type": "user",
        "actor_id": "usr_1",
        "subject": "usr_2",
        "session_id": "ses_1",
        "request_id": "req-1",
    }
    assert (row["actor_label"], row["ip"], row["user_agent"]) == ("example@mail.com", "192.0.2.1", "curl/8")
    assert json.loads(row["data"]) == {"a": "ü", "b": 2}
    assert row["id"].startswith("evt_")
    assert row["kid"] == app.core.keyring.current.kid


def test_rows_are_numbered_in_the_order_of_their_writing(app: App, world: FakeWorld) -> None:
    """The order does not depend on the clock, which may be set back."""
    for number in range(5):
        record(app, events.USER_UPDATED, CAUSE, subject=f"{number}")
        world.advance(-3600)
    rows = event_rows(app)
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["subject"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert len({row["id"] for row in rows}) == len({row["personal_salt"] for row in rows}) == 5


def test_the_mac_is_what_the_documentation_says(app: App) -> None:
    """Computed here anew, without the service's code, from the key file and the row alone."""
    record(app, events.LOGIN_SUCCEEDED, CAUSE, subject="usr_1", data={"amr": ["pwd"]})
    record(app, events.LOGIN_FAILED, Cause(), outcome="failure")
    secret = Path(f"{app.core.store.path}.key").read_text().strip().encode()
    for row in event_rows(app):
        assert row["personal_mac"] == mac(secret, "personal data of an audit row", row, PERSONAL)
        assert row["mac"] == mac(secret, "audit row", row, SEALED)
        assert row["mac"] != row["personal_mac"]


def test_the_purposes_of_the_macs_are_their_own() -> None:
    """No other derived value can pass for the MAC of a row."""
    assert (Purpose.AUDIT, Purpose.PERSONAL) == ("audit row", "personal data of an audit row")
    assert len(set(Purpose)) == len(Purpose)


@pytest.mark.parametrize("change", ["other", "empty", "null"])
@pytest.mark.parametrize("column", sorted(COLUMNS - {"seq"}))
def test_a_changed_column_no_longer_fits_its_mac(app: App, column: str, change: str) -> None:
    """E4: whichever column somebody edits in the file, even from NULL to the empty string, the MACs tell."""
    record(app, events.LOGIN_FAILED, CAUSE._replace(session_id=None), data={"reason": "credentials"}, subject="usr_2")
    (row,) = event_rows(app)
    assert is_genuine(app, row)
    edited = dict(row)
    edited[column] = {"other": f"{row[column]}x", "empty": "", "null": None}[change]
    assert edited[column] != row[column] or (column, change) == ("session_id", "null")
    assert is_genuine(app, edited) == (edited == row)


def test_columns_do_not_run_together(app: App) -> None:
    """E4: text moved from one column to its neighbour changes the MAC, although both columns joined are the same."""
    record(app, events.LOGIN_FAILED, Cause("user", "usr_1", "a", None, "b+c"), subject="usr_2+usr_3")
    (row,) = event_rows(app)
    assert is_genuine(app, row)
    assert not is_genuine(app, {**row, "actor_id": "usr_1+usr_2", "subject": "usr_3"})
    assert not is_genuine(app, {**row, "actor_label": "a+b", "ip": "c"})


def test_erasing_personal_data_leaves_the_rest_verifiable(app: App) -> None:
    """The row's MAC covers the digest of the personal columns, not the columns; nothing personal is left elsewhere."""
    record(app, events.LOGIN_SUCCEEDED, CAUSE, subject="usr_1")
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE events SET personal_salt = NULL, actor_label = NULL, ip = NULL, user_agent = NULL")
    (row,) = event_rows(app)
    assert row["mac"] == row_mac(app.core.keyring.current, row)
    assert row["personal_mac"] != personal_mac(app.core.keyring.current, row)
    assert not [value for value in row.values() if value in (CAUSE.label, CAUSE.ip, CAUSE.user_agent)]


def test_the_digest_of_erased_personal_data_cannot_be_guessed(app: App) -> None:
    """Equal personal data have different digests, for the salt goes with the data."""
    record(app, events.LOGIN_SUCCEEDED, CAUSE)
    record(app, events.LOGIN_SUCCEEDED, CAUSE)
    one, other = event_rows(app)
    assert one["personal_mac"] != other["personal_mac"]
    assert len(one["personal_salt"]) >= 22


def test_rows_are_made_under_the_newest_key(tmp_path: Path) -> None:
    """After a change of keys new rows name the new one; old rows still fit the old."""
    old, new = "0123456789abcdef" * 4, "fedcba9876543210" * 4
    with running(tmp_path, secret_key=old) as app:
        record(app, events.USER_UPDATED, CAUSE)
    with running(tmp_path, secret_key=new, secret_key_previous=old) as app:
        record(app, events.USER_UPDATED, CAUSE)
        rows = event_rows(app)
        assert [app.core.keyring.get(row["kid"]) is not None and is_genuine(app, row) for row in rows] == [True] * 3
    assert [row["action"] for row in rows] == ["user.updated", "keys.rotated", "user.updated"]
    assert rows[0]["kid"] != rows[1]["kid"] == rows[2]["kid"]


def test_an_undone_block_leaves_no_event(app: App) -> None:
    """An event lives and dies with the transaction of what it tells of."""
    with pytest.raises(LookupError), app.core.store.write() as tx:  # noqa: PT012 - the block is what fails
        tx.events.record(events.USER_UPDATED, CAUSE)
        raise LookupError
    assert event_rows(app) == []


def record(app: App, event: events.Event, cause: Cause, **more: Any) -> None:
    with app.core.store.write() as tx:
        tx.events.record(event, cause, **more)


def is_genuine(app: App, row: dict[str, Any]) -> bool:
    """What a verifier would say of this row."""
    key = app.core.keyring.get(str(row["kid"]))
    return key is not None and row["mac"] == row_mac(key, row) and row["personal_mac"] == personal_mac(key, row)


def mac(secret: bytes, purpose: str, row: dict[str, Any], columns: tuple[str, ...]) -> str:
    """HMAC-SHA256 under the purpose's sub-key, over each column's length and text; NULL is "-", text starts with "+"."""
    sub = hmac.digest(secret, b"authsvc:" + purpose.encode(), "sha256")
    parts = ["-" if row[name] is None else f"+{row[name]}" for name in columns]
    message = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return base64.urlsafe_b64encode(hmac.digest(sub, message, "sha256")).decode().rstrip("=")
