"""POST /token/introspect (RFC 7662)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from tests.staff import Caller, admin, holder
from tests.support import EMAIL, START, Client, FakeWorld, actions

INACTIVE = {"active": False}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def service(app: App) -> Caller:
    return holder(app, "tokens:introspect")


def ask(service: Caller, token: str) -> Any:
    answer = service.call("POST", "/token/introspect", {"token": token})
    assert answer.status == 200, answer.body
    return answer.json()


def test_an_access_token_is_told_with_its_claims(app: App, service: Caller) -> None:
    """Active, its caps as `scope`, whose it is and until when."""
    staff = admin(app)
    told = ask(service, staff.token)
    assert told["active"] is True
    assert (told["token_type"], told["scope"], told["sub"], told["sid"]) == ("Bearer", "*", staff.id, staff.session_id)
    assert (told["username"], told["roles"], told["exp"], told["iat"]) == (
        "admin@mail.com",
        ["admin", "user"],
        START // 1000 + 900,
        START // 1000,
    )
    assert {"iss", "aud", "jti", "amr", "acr"} <= told.keys()


def test_a_refresh_token_is_told_as_one(app: App, service: Caller, world: FakeWorld) -> None:
    """Active while it is the newest of its session; the one before is not, nor is any after its time."""
    first = Client(app).register().json()
    told = ask(service, first["refresh_token"])
    assert (told["active"], told["token_type"], told["sub"]) == (True, "refresh_token", first["user"]["id"])
    assert told["exp"] == START // 1000 + 2_592_000
    second = Client(app).refresh(first["refresh_token"])["refresh_token"]
    assert (ask(service, first["refresh_token"]), ask(service, second)["active"]) == (INACTIVE, True)
    world.advance(600)
    late = holder(app, "tokens:introspect")
    assert ask(late, second)["active"] is True
    world.advance(2_592_001)
    assert ask(holder(app, "tokens:introspect"), second) == INACTIVE


@pytest.mark.parametrize("act", ["logout", "disable", "role", "password"])
def test_revocation_is_seen_at_once(app: App, service: Caller, act: str) -> None:
    """What a request with the token would be told, its introspection tells."""
    user = Client(app).register().json()
    access, refresh = user["access_token"], user["refresh_token"]
    assert ask(service, access)["active"] is True
    if act == "logout":
        Client(app).post("/token/revoke", {"token": refresh})
    elif act == "disable":
        users.set_status(app.core, user["user"]["id"], "disabled", CLI)
    elif act == "role":
        users.change_roles(app.core, user["user"]["id"], CLI, grant=["admin"])
    else:
        Client(app).post("/password/change", {"current_password": "violet-harbour-91", "new_password": "copper-lantern-27"}, token=access)
    assert ask(service, access) == INACTIVE
    assert ask(service, refresh) == INACTIVE or act in ("role", "password")


def test_whatever_is_none_is_not_active(app: App, service: Caller, world: FakeWorld) -> None:
    """Exactly `active: false`: nothing tells why."""
    user = Client(app).register().json()
    access, refresh = user["access_token"], user["refresh_token"]
    for wrong in (
        "",
        "x",
        access + "x",
        access[:-1],
        refresh[:-2],
        refresh.replace("rt_", ""),
        "rt_",
        "ak_x",
        "mfa_x",
        "a.b.c",
        "é" * 9,
        "x" * 60_000,
    ):
        assert ask(service, wrong) == INACTIVE, wrong
    world.advance(961)
    assert ask(holder(app, "tokens:introspect"), access) == INACTIVE


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_no_text_breaks_it(service: Caller, text: str) -> None:
    """Any text is an inactive token, or no text at all."""
    answer = service.call("POST", "/token/introspect", {"token": text})
    assert answer.status == 422 or answer.json() == INACTIVE


def test_a_form_is_taken_as_well(service: Caller) -> None:
    """As the RFC writes it, the hint included, and what else OAuth clients send."""
    raw = f"token={service.token}&token_type_hint=refresh_token&client_id=web&client_secret=x".encode()
    assert service.call("POST", "/token/introspect", raw=raw, content_type=FORM)["active"] is True
    assert service.call("POST", "/token/introspect", {}).code == "invalid_request"


@pytest.mark.parametrize("caps", [(), ("users:read",), ("tokens:other",)])
def test_others_may_not_ask(app: App, caps: tuple[str, ...]) -> None:
    """403 for any token, one's own included; 401 for strangers; nothing is recorded."""
    caller = holder(app, *caps)
    before = actions(app)
    answers = [caller.call("POST", "/token/introspect", {"token": token}) for token in (caller.token, "x")]
    assert [answer.code for answer in answers] == ["forbidden"] * 2
    assert Client(app).post("/token/introspect", {"token": caller.token}).code == "unauthenticated"
    assert actions(app) == before
    assert EMAIL not in str(answers[0].body)
