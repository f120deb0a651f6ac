"""Callers who hold caps: a full admin, and accounts whose token carries some caps and no others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from tests.support import Answer, Client

ADMIN = "admin@mail.com"
_numbers = count(1)


@dataclass
class Caller:
    """Somebody who is signed in: `as_admin.call("GET", "/users")`."""

    client: Client
    id: str
    session_id: str
    token: str

    def call(self, method: str, path: str, body: object = None, **more: object) -> Answer:
        return self.client.call(method, path, body, token=self.token, **more)  # type: ignore[arg-type]

    def get(self, path: str) -> Answer:
        return self.call("GET", path)


def admin(app: App, email: str = ADMIN) -> Caller:
    """A fresh admin, signed in."""
    user_id = Client(app).register(email)["user"]["id"]
    users.change_roles(app.core, user_id, CLI, grant=["admin"])
    signed_in = Client(app).login(email).json()
    return Caller(Client(app), user_id, signed_in["session_id"], signed_in["access_token"])


def holder(app: App, *caps: str) -> Caller:
    """A fresh account without a role, whose token carries these caps."""
    made = Client(app).register(f"staff{next(_numbers)}@mail.com").json()
    claims = app.core.tokens.verify(made["access_token"])
    return Caller(Client(app), made["user"]["id"], made["session_id"], app.core.tokens.issue({**claims, "caps": list(caps)}))
