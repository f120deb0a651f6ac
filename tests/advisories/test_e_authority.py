"""ATTACKS section E, what is built of it: somebody else's ids; and F8, secret keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.config import sources
from authsvc.problems import Refused
from authsvc.routes import ROUTES, Route
from tests.support import Client, FakeWorld, actions, make_app

BODIES: dict[str, Any] = {"PUT /user/:user_id": {"name": "Mallory"}}
UNKNOWN = {"user_id": "usr_00000000000000000000000000", "session_id": "ses_00000000000000000000000000"}
OWNED = [route for route in ROUTES if ":user_id" in route.path or ":session_id" in route.path]
OPEN_TO_SELF = [route for route in OWNED if route.who.own or not route.who.cap]
PRODUCTION = {"public_url": "https://auth.example.com", "mail": "console:"}


@pytest.mark.parametrize("route", OPEN_TO_SELF, ids=lambda route: f"{route.method} {route.path}")
def test_e1_anothers_id_is_no_different_from_none(client: Client, app: App, route: Route) -> None:
    """To a user, an id that is another's and one that nobody has are the same 404; nothing is changed or recorded."""
    alice = client.register("alice@example.com").json()
    mallory = client.register("mallory@example.com")["access_token"]
    hers = {"user_id": alice["user"]["id"], "session_id": alice["session_id"]}
    before = actions(app)
    refusals = [_call(client, route, ids, mallory) for ids in (hers, UNKNOWN)]
    assert refusals[0] == refusals[1]
    assert refusals[0]["code"] == "not_found"
    assert actions(app) == before
    assert client.get("/user", token=alice["access_token"]).json() == alice["user"]


@pytest.mark.parametrize("route", [route for route in OWNED if route not in OPEN_TO_SELF], ids=lambda route: f"{route.method} {route.path}")
def test_e1_what_needs_a_cap_is_forbidden_for_every_id(client: Client, app: App, route: Route) -> None:
    """To a user without the cap, their own id, another's and one that nobody has are the same 403."""
    alice = client.register("alice@example.com").json()
    mallory = client.register("mallory@example.com").json()
    before = actions(app)
    ids = [{"user_id": user["user"]["id"], "session_id": user["session_id"]} for user in (alice, mallory)]
    refusals = [_call(client, route, known, mallory["access_token"]) for known in (*ids, UNKNOWN)]
    assert refusals[0] == refusals[1] == refusals[2]
    assert refusals[0]["code"] == "forbidden"
    assert actions(app) == before


@pytest.mark.parametrize("route", OWNED, ids=lambda route: f"{route.method} {route.path}")
def test_e1_a_stranger_is_asked_who_they_are_first(client: Client, app: App, route: Route) -> None:
    """Without credentials every such path is 401, whether or not the id exists."""
    alice = client.register("alice@example.com").json()
    hers = {"user_id": alice["user"]["id"], "session_id": alice["session_id"]}
    before = actions(app)
    refusals = [_call(client, route, ids, None) for ids in (hers, UNKNOWN)]
    assert refusals[0] == refusals[1]
    assert refusals[0]["code"] == "unauthenticated"
    assert actions(app) == before


def _call(client: Client, route: Route, ids: dict[str, str], token: str | None) -> dict[str, Any]:
    path = route.path
    for name, value in ids.items():
        path = path.replace(f":{name}", value)
    answer = client.call(route.method, path, BODIES.get(f"{route.method} {route.path}"), token=token)
    return {name: value for name, value in answer.json().items() if name != "request_id"}


@pytest.mark.parametrize("key", ["x", "0" * 64, "abcdefg" * 8, "hunter2", "changeme" * 3])
def test_f8_a_short_or_monotonous_secret_key_stops_the_start(key: str) -> None:
    """A key that could be guessed is refused, wherever it is given, and not repeated in the refusal."""
    for name in ("secret_key", "secret_key_previous"):
        with pytest.raises(Refused) as caught:
            sources.from_dict({name: key, **PRODUCTION})
        assert "at least 32 random bytes" in str(caught.value)
        assert len(key) == 1 or key not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620])
def test_f8_a_key_file_that_others_can_open_stops_the_start(tmp_path: Path, mode: int) -> None:
    """In production the key file is its owner's alone; the refusal says which command mends it."""
    file = tmp_path / "authsvc.db.key"
    file.write_text("0123456789abcdef" * 4)
    file.chmod(mode)
    with pytest.raises(Refused, match="chmod 600"):
        make_app(tmp_path, FakeWorld(), **PRODUCTION)
    file.chmod(0o600)
    make_app(tmp_path, FakeWorld(), **PRODUCTION).close()
