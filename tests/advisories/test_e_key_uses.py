"""ATTACKS on what the use of an API key does: waits for the disk (F3, F10), and promises that outlive it (E2)."""

from __future__ import annotations

import re

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import keys, roles
from authsvc.problems import unavailable
from authsvc.rules.access import EVERYTHING
from authsvc.store.sqlite import Store
from tests.letterbox import mails
from tests.staff import Caller
from tests.support import PASSWORD, START, Client, FakeWorld


def service(app: App, *caps: str, expires_at: int | None = None) -> Caller:
    """A fresh API key with these caps."""
    key, text = keys.create(app.core, keys.NewKey("billing", caps, expires_at), CLI, EVERYTHING)
    return Caller(Client(app), key.id, "", text)


def test_f3_a_request_with_a_key_is_not_run_where_nothing_may_wait(app: App) -> None:
    """Its use may be written down, so the loop of the server hands it on to a thread."""
    assert app.is_quick("GET", "/user")
    assert app.is_quick("GET", "/user", "Bearer eyJ")
    for header in ("Bearer ak_x", "bearer  ak_x", " Bearer ak_x"):
        assert not app.is_quick("GET", "/user", header)


def test_f10_a_key_can_read_while_nothing_can_be_written(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """That its use cannot be noted is no reason to refuse a read."""
    caller = service(app, "users:read")

    def full(self: Store) -> None:
        raise unavailable("disk full")

    monkeypatch.setattr(Store, "write", full)
    assert caller.get("/users").status == 200
    assert caller.get("/user").status == 200


def test_e2_an_invite_of_a_key_that_has_run_out_promises_nothing(app: App, world: FakeWorld) -> None:
    """A key's promise lasts no longer than the key."""
    roles.put(app.core, "editor", None, ["posts:read"], CLI, EVERYTHING)
    host = service(app, "users:write", "posts:read", expires_at=START + 60_000)
    assert host.call("POST", "/invites", {"email": "eve@mail.com", "roles": ["editor"]}).status == 201
    token = re.findall(r"/register\?invite=(\S+)", mails(app, "eve@mail.com")[-1])[-1]
    world.advance(60)
    body = {"email": "eve@mail.com", "password": PASSWORD, "invite": token}
    assert Client(app).post("/register", body).code == "link_invalid"
