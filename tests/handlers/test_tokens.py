"""/token/refresh and /token/revoke, by every way that the contract names."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from tests.support import Answer, Client, FakeWorld, actions

FORM = "application/x-www-form-urlencoded"
CLEARED = [
    "authsvc_access=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
    "authsvc_refresh=; Max-Age=0; Path=/token; HttpOnly; SameSite=Strict",
]

Way = Callable[[Client, str, str], Answer]
REFRESH_WAYS: dict[str, Way] = {
    "GET header": lambda client, path, token: client.get(path, token=token),
    "POST header": lambda client, path, token: client.post(path, token=token),
    "POST header, empty object": lambda client, path, token: client.post(path, {}, token=token),
    "POST body": lambda client, path, token: client.post(path, {"refresh_token": token}),
    "POST form": lambda client, path, token: client.call("POST", path, raw=urlencode({"refresh_token": token}).encode(), content_type=FORM),
    "GET cookie": lambda client, path, token: client.get(path, headers={"Cookie": f"authsvc_refresh={token}"}),
    "POST cookie": lambda client, path, token: client.post(path, headers={"Cookie": f"x=1; authsvc_refresh={token}; y=2"}),
}
REVOKE_WAYS: dict[str, Way] = REFRESH_WAYS | {
    "POST token": lambda client, path, token: client.post(path, {"token": token, "token_type_hint": "refresh_token"}),
    "POST RFC 7009 form": lambda client, path, token: client.call(
        "POST", path, raw=urlencode({"token": token, "client_id": "web"}).encode(), content_type=FORM
    ),
    "POST wrong hint": lambda client, path, token: client.call(
        "POST", path, raw=urlencode({"token": token, "token_type_hint": "access_token"}).encode(), content_type=FORM
    ),
}
ACCESS_WAYS = {name: way for name, way in REVOKE_WAYS.items() if "cookie" not in name} | {
    "GET access cookie": lambda client, path, token: client.get(path, headers={"Cookie": f"authsvc_access={token}"}),
}


@pytest.mark.parametrize("way", REFRESH_WAYS)
def test_a_refresh_token_is_taken_every_way(client: Client, way: str) -> None:
    """Header, body, form or cookie, GET or POST: new tokens of the same session, and the new ones work."""
    first = client.register()
    answer = REFRESH_WAYS[way](client, "/token/refresh", first["refresh_token"])
    assert (answer.status, answer.json().keys()) == (200, first.json().keys())
    assert (answer["session_id"], answer["user"]) == (first["session_id"], first["user"])
    assert answer["refresh_token"] != first["refresh_token"]
    assert client.get("/user", token=answer["access_token"]).status == 200
    assert client.refresh(answer["refresh_token"]).status == 200


@pytest.mark.parametrize("way", REFRESH_WAYS)
def test_cookies_are_renewed_for_those_who_came_by_cookie(client: Client, way: str) -> None:
    """Nobody else gets a cookie."""
    answer = REFRESH_WAYS[way](client, "/token/refresh", client.register()["refresh_token"])
    names = [value.partition("=")[0] for value in answer.header_list("Set-Cookie")]
    assert names == (["authsvc_access", "authsvc_refresh", "authsvc_device"] if "cookie" in way else [])


def test_a_header_counts_before_body_and_cookie(client: Client) -> None:
    """Of two credentials the header's is used; the others are left alone."""
    first, second = client.register(), client.login()
    cookie = {"Cookie": f"authsvc_refresh={second['refresh_token']}"}
    answer = client.get("/token/refresh", token=first["refresh_token"], headers=cookie)
    assert (answer["session_id"], answer.header_list("Set-Cookie")) == (first["session_id"], [])
    assert client.get("/token/refresh", token="rt_nonsense", headers=cookie).code == "invalid_token"


def test_refreshing_is_no_event_and_moves_the_session_on(client: Client, app: App, world: FakeWorld) -> None:
    """A session stays alive as long as it is refreshed in time; the audit trail is not filled by it."""
    token = client.register()["refresh_token"]
    for _ in range(2):
        world.advance(29 * 86_400)
        token = client.refresh(token)["refresh_token"]
    assert actions(app) == ["user.registered"]
    world.advance(30 * 86_400)
    assert client.refresh(token).code == "invalid_token"


def test_no_session_outlives_its_absolute_end(client: Client, world: FakeWorld) -> None:
    """90 days after the sign-in it is over, however often it was refreshed; the cookies never promise more."""
    token = client.register()["refresh_token"]
    for _ in range(4):
        world.advance(22 * 86_400)
        token = client.refresh(token)["refresh_token"]
    last = client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={token}"})
    assert f"Max-Age={2 * 86_400};" in last.header_list("Set-Cookie")[1]
    world.advance(2 * 86_400)
    assert client.refresh(last["refresh_token"]).code == "invalid_token"


def test_the_previous_token_yields_the_same_successor_for_a_while(client: Client, world: FakeWorld, app: App) -> None:
    """Within 30 s a repeated refresh gets the very token that the first got; later the session ends, on record."""
    first = client.register()["refresh_token"]
    second = client.refresh(first)["refresh_token"]
    world.advance(30)
    assert client.refresh(first)["refresh_token"] == second
    world.advance(1)
    late = client.refresh(first)
    assert (late.status, late.code) == (401, "invalid_token")
    assert client.refresh(second).status == 401
    assert actions(app) == ["user.registered", "session.reuse_detected"]


def test_roles_are_read_anew(client: Client, app: App) -> None:
    """A refresh after a grant carries the new roles and caps."""
    answer = client.register()
    users.change_roles(app.core, answer["user"]["id"], CLI, grant=["admin"])
    assert client.refresh(answer["refresh_token"])["user"]["caps"] == ["*"]


def test_a_disabled_account_cannot_refresh(client: Client, app: App) -> None:
    """Status is read anew too: disabled is the end of its sessions, also after it is enabled again."""
    answer = client.register()
    for status in ("disabled", "active"):
        users.set_status(app.core, answer["user"]["id"], status, CLI)
        assert client.refresh(answer["refresh_token"]).code == "invalid_token"
        assert client.get("/user", token=answer["access_token"]).code == "invalid_token"


def test_without_a_token_refreshing_asks_for_one(client: Client) -> None:
    """401 `unauthenticated` says what to send; the wrong kind of token is `invalid_token`."""
    for method in ("GET", "POST"):
        answer = client.call(method, "/token/refresh")
        assert (answer.status, answer.code) == (401, "unauthenticated")
        assert "refresh_token" in answer["detail"]
    assert client.refresh(client.register()["access_token"]).code == "invalid_token"


@pytest.mark.parametrize("token", ["", "x", "rt_", "rt_x.0.y", "é", "ak_1", "a.b.c", "rt_" + "0" * 26 + ".0." + "A" * 43])
def test_a_token_that_is_none_of_ours_is_refused(client: Client, token: str) -> None:
    """Any text at all is 401, and does not end anybody's session."""
    mine = client.register()
    answer = client.post("/token/refresh", {"refresh_token": token})
    assert answer.status == 401
    assert answer.code in {"invalid_token", "unauthenticated"}
    assert client.refresh(mine["refresh_token"]).status == 200


@pytest.mark.parametrize("spoil", ["mac", "counter", "session", "longer", "shorter", "case"])
def test_a_refresh_token_of_another_hand_is_refused(client: Client, app: App, spoil: str) -> None:
    """Every part of a token is bound to every other: a changed one is nobody's, and no session ends by it."""
    mine, other = client.register(), client.login()
    session, counter, mac = mine["refresh_token"].removeprefix("rt_").split(".")
    forged = {
        "mac": f"rt_{session}.{counter}.{'A' * 43}",
        "counter": f"rt_{session}.1.{mac}",
        "session": f"rt_{other['session_id'].removeprefix('ses_')}.{counter}.{mac}",
        "longer": f"rt_{session}.{counter}.{mac}A",
        "shorter": f"rt_{session}.{counter}.{mac[:-1]}",
        "case": f"rt_{session}.{counter}.{mac.swapcase()}",
    }[spoil]
    for answer in (client.refresh(forged), client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={forged}"})):
        assert (answer.status, answer.code) == (401, "invalid_token")
    assert client.post("/token/revoke", {"token": forged}).status == 200
    assert [client.refresh(each["refresh_token"]).status for each in (mine, other)] == [200, 200]
    assert actions(app) == ["user.registered", "login.succeeded"]


def test_a_refresh_body_has_one_field(client: Client) -> None:
    """Unknown fields are named, and the token is not spent."""
    token = client.register()["refresh_token"]
    answer = client.post("/token/refresh", {"refresh_token": token, "grant_type": "refresh_token"})
    assert (answer.status, answer["errors"][0]["field"]) == (422, "grant_type")
    successor = client.refresh(token)["refresh_token"]
    assert successor.split(".")[1] == "1"


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("way", [*REVOKE_WAYS, *(ACCESS_WAYS.keys() - REVOKE_WAYS.keys())])
def test_logging_out_ends_the_session_every_way(client: Client, app: App, way: str, kind: str) -> None:
    """Either token by header, body, form or its cookie: 200, both cookies cleared, the session over at once, one event."""
    mine, other = client.register(), client.login()
    if kind == "access_token" and way not in ACCESS_WAYS:
        way = "GET access cookie"
    if kind == "refresh_token" and way not in REVOKE_WAYS:
        way = "GET cookie"
    answer = (REVOKE_WAYS | ACCESS_WAYS)[way](client, "/token/revoke", mine[kind])
    assert (answer.status, answer.json()) == (200, {"status": "revoked"})
    assert answer.header_list("Set-Cookie") == CLEARED
    assert client.get("/user", token=mine["access_token"]).code == "invalid_token"
    assert client.refresh(mine["refresh_token"]).code == "invalid_token"
    assert client.get("/user", token=other["access_token"]).status == 200
    assert actions(app).count("session.revoked") == 1


def test_logging_out_twice_is_the_same(client: Client, app: App) -> None:
    """Idempotent: the same answer, no second event."""
    token = client.register()["refresh_token"]
    answers = [client.get("/token/revoke", token=token) for _ in range(3)]
    assert [(answer.status, answer.json()) for answer in answers] == [(200, {"status": "revoked"})] * 3
    assert actions(app).count("session.revoked") == 1


@pytest.mark.parametrize("token", ["x", "rt_x", "a.b.c", "é", "rt_" + "0" * 26 + ".0." + "A" * 43])
def test_revoking_what_is_no_token_of_ours_is_done_already(client: Client, app: App, token: str) -> None:
    """RFC 7009 section 2.2: an unknown token is 200, and nothing happens."""
    mine = client.register()
    for body in ({"token": token}, {"refresh_token": token}):
        answer = client.post("/token/revoke", body)
        assert (answer.status, answer.json()) == (200, {"status": "revoked"})
    assert client.get("/user", token=mine["access_token"]).status == 200
    assert "session.revoked" not in actions(app)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_logging_out_without_a_session_clears_cookies(client: Client, app: App, method: str) -> None:
    """No credential at all is the state that a logout leaves."""
    answer = client.call(method, "/token/revoke")
    assert (answer.status, answer.header_list("Set-Cookie")) == (200, CLEARED)
    assert actions(app) == []


def test_an_expired_access_token_still_logs_out(client: Client, world: FakeWorld) -> None:
    """Who comes back late and logs out is logged out."""
    mine = client.register()
    world.advance(3_600)
    assert client.get("/user", token=mine["access_token"]).code == "token_expired"
    assert client.get("/token/revoke", token=mine["access_token"]).status == 200
    assert client.refresh(mine["refresh_token"]).code == "invalid_token"


def test_a_spent_refresh_token_still_logs_out(client: Client, app: App) -> None:
    """A client that lost the last answer can end its session; this is no reuse."""
    first = client.register()["refresh_token"]
    second = client.refresh(first)["refresh_token"]
    assert client.get("/token/revoke", token=first).status == 200
    assert client.refresh(second).status == 401
    assert actions(app) == ["user.registered", "session.revoked"]


@pytest.mark.parametrize("path", ["/token/refresh", "/token/revoke"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_foreign_site_can_neither_refresh_nor_log_out(client: Client, app: App, path: str, method: str, headers: dict[str, str]) -> None:
    """By cookie, GET is guarded like POST: `csrf_failed`, nothing spent, nothing ended, no cookie touched."""
    mine = client.register()
    answer = client.call(method, path, headers={"Cookie": f"authsvc_refresh={mine['refresh_token']}", **headers})
    assert (answer.status, answer.code, answer.header_list("Set-Cookie")) == (403, "csrf_failed", [])
    assert client.refresh(mine["refresh_token"])["refresh_token"].split(".")[1] == "1"
    assert actions(app) == ["user.registered"]


def test_a_logout_by_cookies_counts_though_one_of_them_is_stale(client: Client) -> None:
    """A browser whose refresh cookie is worthless and whose access cookie is good is logged out all the same."""
    tokens = client.register().json()
    cookies = f"authsvc_refresh=rt_nothing; authsvc_access={tokens['access_token']}"
    assert client.post("/token/revoke", headers={"Cookie": cookies}).status == 200
    assert client.get("/user", token=tokens["access_token"]).status == 401
    assert client.refresh(tokens["refresh_token"]).status == 401
