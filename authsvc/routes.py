"""The route table: every method and path, who may call it, what it takes, and which limits it is charged to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authsvc.flows.core import Core
from authsvc.handlers import login, service, sessions, tokens, users
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.http.shapes import EMPTY, Shape
from authsvc.rules.access import ANYONE, SIGNED_IN, SIGNED_IN_LATELY, TOKEN_HOLDER, Who, self_or
from authsvc.rules.limits import IN_MEMORY

Handler = Callable[[Core, Request], Response]
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. `changes` marks a GET that changes state, and so is guarded like a POST; `waits` one that
    waits for the disk without changing anything that a caller could see."""

    method: str
    path: str
    handler: Handler
    who: Who
    limits: tuple[str, ...] = ("read",)
    body: Shape = EMPTY
    query: Shape | None = None
    changes: bool = False
    waits: bool = False

    @property
    def unsafe(self) -> bool:
        return self.changes or self.method in UNSAFE_METHODS

    @property
    def quick(self) -> bool:
        """Whether answering it never waits for the disk to write, or for a password hash."""
        return not self.unsafe and not self.waits and all(limit in IN_MEMORY for limit in self.limits)


PASSWORD_TRY = ("login_network", "login", "login_account")
SIGN_UP = ("register", "register_all")

ROUTES: tuple[Route, ...] = (
    Route("POST", "/register", login.register, ANYONE, SIGN_UP, body=login.REGISTER),
    Route("POST", "/login", login.by_password, ANYONE, PASSWORD_TRY, body=login.LOGIN),
    Route("POST", "/reauthenticate", login.reauthenticate, SIGNED_IN, PASSWORD_TRY, body=login.REAUTHENTICATE),
    Route("POST", "/password/change", login.change_password, SIGNED_IN_LATELY, PASSWORD_TRY, body=login.CHANGE_PASSWORD),
    Route("GET", "/token/refresh", tokens.refresh, TOKEN_HOLDER, ("refresh",), changes=True),
    Route("POST", "/token/refresh", tokens.refresh, TOKEN_HOLDER, ("refresh",), body=tokens.REFRESH),
    Route("GET", "/token/revoke", tokens.revoke, TOKEN_HOLDER, ("refresh",), changes=True),
    Route("POST", "/token/revoke", tokens.revoke, TOKEN_HOLDER, ("refresh",), body=tokens.REVOKE),
    Route("GET", "/user", users.me, SIGNED_IN),
    Route("GET", "/user/:user_id", users.get, self_or("users:read")),
    Route("PUT", "/user/:user_id", users.put, self_or("users:write"), body=users.PROFILE),
    Route("GET", "/sessions", sessions.page, SIGNED_IN, query=sessions.PAGE),
    Route("DELETE", "/sessions", sessions.end_all, SIGNED_IN, query=sessions.END_ALL),
    Route("DELETE", "/sessions/:session_id", sessions.end, SIGNED_IN),
    Route("GET", "/healthz", service.healthz, ANYONE, ()),
    Route("GET", "/readyz", service.readyz, ANYONE, waits=True),
    Route("GET", "/problems/:code", service.problem, ANYONE),
)
