"""Promises of the guards: what goes along, what is refused, and what nobody can slip in."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from authsvc.consumer import AsgiGuard, InvalidToken, Verifier, WsgiGuard
from authsvc.consumer.middleware import CLAIMS, token_of
from authsvc.flows import keyring
from tests.consumer.loops import apart
from tests.support import Client, FakeWorld, running


@pytest.fixture
def given(tmp_path: Path, world: FakeWorld) -> Any:
    with running(tmp_path, world) as app:
        token = str(Client(app).register()["access_token"])
        yield token, Verifier("http://127.0.0.1:8000", keys=keyring.shared(app.core), world=world)


def by_wsgi(verifier: Verifier, environ: dict[str, Any], **options: Any) -> tuple[int, Any]:
    """The status, and what the application found."""
    found: list[Any] = []

    def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.append(environ.get(CLAIMS))
        start_response("200 OK", [])
        return [b""]

    statuses: list[int] = []
    setup_testing_defaults(environ)
    list(WsgiGuard(inner, verifier, **options)(environ, lambda status, _headers: statuses.append(int(status[:3]))))
    return statuses[0], found[0] if found else "not called"


def by_asgi(verifier: Verifier, environ: dict[str, Any], **options: Any) -> tuple[int, Any]:
    """The same through ASGI."""
    found: list[Any] = []
    sent: list[Any] = []

    async def inner(scope: Any, _receive: Any, send: Any) -> None:
        found.append(scope.get(CLAIMS))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.removeprefix("HTTP_").lower().encode(), value.encode()) for name, value in environ.items() if name.startswith("HTTP_")]
    scope = {"type": "http", "headers": headers} | {name: value for name, value in environ.items() if name == CLAIMS}
    apart(AsgiGuard(inner, verifier, **options)(scope, None, send))
    return sent[0]["status"], found[0] if found else "not called"


@pytest.mark.parametrize("ask", [by_wsgi, by_asgi])
def test_who_has_a_good_token_comes_in_with_its_claims(given: Any, ask: Any) -> None:
    """By the header, or by the cookie where one is named; the header counts where there are both."""
    token, verifier = given
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    for environ, options in (
        (bearer, {}),
        ({"HTTP_AUTHORIZATION": f"bearer  {token}"}, {}),
        ({"HTTP_COOKIE": f"a=b; authsvc_access={token}"}, {"cookie": "authsvc_access"}),
        (bearer | {"HTTP_COOKIE": "authsvc_access=broken"}, {"cookie": "authsvc_access"}),
    ):
        status, claims = ask(verifier, dict(environ), **options)
        assert (status, claims.subject[:4]) == (200, "usr_")


@pytest.mark.parametrize("ask", [by_wsgi, by_asgi])
def test_nobody_else_does(given: Any, ask: Any) -> None:
    """Without a token, with a bad one, with two, by another scheme; `optional` forgives only the first."""
    token, verifier = given
    assert ask(verifier, {}) == (401, "not called")
    assert ask(verifier, {}, optional=True) == (200, None)
    assert ask(verifier, {"HTTP_COOKIE": f"authsvc_access={token}"}) == (401, "not called"), "cookies count only where one is named"
    for value in (f"Bearer {token}x", "Bearer", "Bearer ", f"Basic {token}", token, f"Bearer {token}, Bearer {token}", "Bearer a b"):
        assert ask(verifier, {"HTTP_AUTHORIZATION": value}, optional=True) == (401, "not called"), value
    twice = {"HTTP_COOKIE": f"authsvc_access={token}; authsvc_access={token}"}
    assert ask(verifier, twice, cookie="authsvc_access", optional=True) == (401, "not called")


@pytest.mark.parametrize("ask", [by_wsgi, by_asgi])
def test_claims_come_from_the_guard_alone(given: Any, ask: Any) -> None:
    """What stood there before is gone."""
    _, verifier = given
    assert ask(verifier, {CLAIMS: {"sub": "usr_admin"}}, optional=True) == (200, None)


def test_a_guard_for_http_lets_no_websocket_past(given: Any) -> None:
    """It would not be guarded."""

    async def inner(*_: Any) -> None:
        pytest.fail("called")

    with pytest.raises(RuntimeError, match="http only"):
        apart(AsgiGuard(inner, given[1])({"type": "websocket", "headers": []}, None, None))


def test_the_token_is_taken_from_one_place() -> None:
    """Or from none."""
    assert token_of(None, None, "c") is None
    assert token_of(None, "c=t", "c") == "t"
    assert token_of("Bearer t", "c=u", "c") == "t"
    with pytest.raises(InvalidToken):
        token_of("", None, None)
