"""A service calls for its end users: their address counts in place of its own, for the limits, the trail and the notices."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.routes import ROUTES
from tests.staff import admin
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, event_rows, running

USER = "203.0.113.7"
CAP = "end_users:forward"
WRONG = "wrong-password-1"


class Service:
    """A service with an API key that says for whom it calls."""

    def __init__(self, app: App, *caps: str, **more: Any) -> None:
        body = {"name": "web", "caps": list(caps), **more}
        self.key = admin(app).call("POST", "/keys", body)["key"]
        self.client = Client(app, ip="10.0.0.5")

    def call(self, method: str, path: str, body: Any = None, user: str = USER, **more: Any) -> Answer:
        return self.client.call(method, path, body, token=self.key, headers={"End-User-Address": user}, **more)

    def login(self, email: str = EMAIL, password: str = PASSWORD, user: str = USER, **more: Any) -> Answer:
        return self.call("POST", "/login", {"email": email, "password": password}, user=user, **more)


@pytest.fixture
def service(app: App) -> Service:
    return Service(app, CAP)


def test_the_end_user_is_the_client(app: App, service: Service) -> None:
    """Registration and sign-in are on record with the end user's address, sessions have it, and the service's is nowhere."""
    assert service.call("POST", "/register", {"email": EMAIL, "password": PASSWORD}).status == 201
    tokens = service.login(user="2001:DB8::0007")
    assert tokens.status == 200
    assert [(row["action"], row["ip"]) for row in event_rows(app)[-2:]] == [("user.registered", USER), ("login.succeeded", "2001:db8::7")]
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        assert {ip for (ip,) in connection.execute("SELECT ip FROM sessions")} == {"192.0.2.1", USER, "2001:db8::7"}
    assert [line.split()[5] for line in app.core.world.lines if " /login " in line][-1] == "2001:db8::7"  # type: ignore[attr-defined]


def test_end_users_of_one_service_do_not_share_their_limits(tmp_path: Path, world: FakeWorld) -> None:
    """One who floods is stopped; the service's others are not, and neither are those who come without it."""
    with running(tmp_path, world, limit_login_network="3/60s", limit_login_delay="0") as app:
        service = Service(app, CAP)
        Client(app, ip="198.51.100.1").register()
        assert [service.login(password=WRONG).status for _ in range(4)] == [401] * 3 + [429]
        assert Client(app, ip=USER).login().status == 429
        assert service.login(user="203.0.114.1").status == 200
        assert service.client.login().status == 200


def test_a_key_is_no_way_around_everything(tmp_path: Path, world: FakeWorld) -> None:
    """Whatever addresses it makes up, the key's own bucket is charged too, and what it refuses costs its end users nothing."""
    with running(tmp_path, world, limit_admin="3/60s") as app:
        service = Service(app, CAP)
        world.advance(3_600)
        answers = [service.login(f"user{turn}@mail.com", WRONG, user=f"203.0.{turn}.1") for turn in range(4)]
        assert [answer.status for answer in answers] == [401] * 3 + [429]
        assert [answer.status for answer in (service.call("GET", "/user", user="203.0.5.1"), service.client.login(EMAIL, WRONG))] == [
            429,
            401,
        ]
        world.advance(20)
        assert [service.call("GET", "/user").status for _ in range(2)] == [200, 429]


def test_where_a_key_may_be_used_from_goes_by_where_the_service_is(app: App) -> None:
    """The end user's address opens no key's network, and is not taken for the service's own."""
    service = Service(app, CAP, "users:read", networks=["10.0.0.0/8"])
    assert [service.call("GET", path).status for path in ("/users", "/user", "/healthz")] == [200] * 3


def test_a_route_for_keys_is_charged_to_the_key_once(tmp_path: Path, world: FakeWorld) -> None:
    """Where the key is the caller anyway, the header costs nothing more."""
    with running(tmp_path, world, limit_admin="3/60s") as app:
        service = Service(app, CAP, "users:read")
        world.advance(3_600)
        assert [service.call("GET", "/users").status for _ in range(4)] == [200] * 3 + [429]


NOT_THEIRS = [
    ({}, None, 401, "unauthenticated"),
    ({}, "ak_nonsense", 401, "invalid_token"),
    ({"caps": ["users:read"]}, "", 403, "forbidden"),
    ({"caps": ["end_users:read"]}, "", 403, "forbidden"),
    ({"caps": [CAP], "networks": ["10.9.0.0/16"]}, "", 401, "invalid_token"),
    ({"caps": [CAP], "networks": ["203.0.113.0/24"]}, "", 401, "invalid_token"),
]


@pytest.mark.parametrize(("made", "token", "status", "code"), NOT_THEIRS)
@pytest.mark.parametrize("path", ["/login", "/healthz", "/user", "/token/refresh", "/otp/verify"])
def test_from_anybody_else_the_header_is_refused(
    app: App, made: dict[str, Any], token: str | None, status: int, code: str, path: str
) -> None:
    """Without a key that may, or from where that key may not be used, the request is refused; it is never done as if the header
    were not there."""
    Client(app, ip="198.51.100.1").register()
    key = admin(app).call("POST", "/keys", {"name": "web", **made})["key"] if token == "" else token
    before = len(event_rows(app))
    method = "GET" if path in ("/healthz", "/user") else "POST"
    body = {"/login": {"email": EMAIL, "password": PASSWORD}}.get(path, {}) if method == "POST" else None
    answer = Client(app, ip="10.0.0.5").call(method, path, body, token=key, headers={"End-User-Address": USER})
    assert (answer.status, answer.code) == (status, code)
    assert len(event_rows(app)) == before


def test_a_persons_token_may_not_bring_the_header(app: App) -> None:
    """Not even an administrator's, who holds every cap: only a service knows where somebody else is."""
    answer = admin(app).call("GET", "/user", headers={"End-User-Address": USER})
    assert (answer.status, answer.code) == (403, "forbidden")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "nowhere", "203.0.113.7, 203.0.113.8", "203.0.113.7,203.0.113.7", "203.0.113.7:80", "[2001:db8::7]"),
        *("203.0.113.0/24", "fe80::1%eth0", "2130706433", "0x7f000001", "203.0.113.07", "203.0.113", "unknown"),
        *("for=203.0.113.7", "a" * 10_000),
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_what_is_no_address_is_refused(app: App, service: Service, text: str) -> None:
    """400, and nothing is done: two headers, which hosts join with a comma, are no address either."""
    before = len(event_rows(app))
    answer = service.login(user=text)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert len(event_rows(app)) == before


def test_bad_headers_are_a_flood_too(tmp_path: Path, world: FakeWorld) -> None:
    """What is wrong with the header is told only after the limits were charged, to who really sent it."""
    with running(tmp_path, world, limit_login_network="2/60s") as app:
        stranger = Client(app, ip="198.51.100.1")
        statuses = [
            stranger.call("POST", "/login", {"email": EMAIL, "password": WRONG}, headers={"End-User-Address": f"203.0.{turn}.7"}).status
            for turn in range(3)
        ]
        assert statuses == [401, 401, 429]


def test_the_key_refreshes_and_ends_its_users_sessions(service: Service) -> None:
    """At the token endpoints the header holds the service's key, and the token is in the body."""
    tokens = service.call("POST", "/register", {"email": EMAIL, "password": PASSWORD}).json()
    refreshed = service.call("POST", "/token/refresh", {"refresh_token": tokens["refresh_token"]})
    assert refreshed.status == 200
    assert refreshed["session_id"] == tokens["session_id"]
    assert service.call("POST", "/token/revoke", {"token": refreshed["refresh_token"]}).status == 200
    assert service.call("POST", "/token/refresh", {"refresh_token": refreshed["refresh_token"]}).code == "invalid_token"
    assert service.call("POST", "/token/refresh", {}).code == "unauthenticated"


def test_a_cookie_beside_the_key_authenticates_nobody(app: App, service: Service) -> None:
    """A service that passes its users' cookies on lends its key to no foreign site that made a browser send them."""
    browser = Client(app, ip=USER, keep_cookies=True)
    browser.register()
    browser.login()
    service.client.keep_cookies, service.client.cookies = True, dict(browser.cookies)
    assert service.call("GET", "/token/refresh").code == "unauthenticated"
    assert service.call("POST", "/email/verify", {}).status == 422
    assert service.call("DELETE", "/sessions").code == "forbidden"
    assert service.call("POST", "/token/revoke", {}).status == 200
    service.client.keep_cookies = False
    assert browser.get("/user").status == 200


def test_a_forwarding_key_opens_no_other_door(app: App, service: Service) -> None:
    """On every route it is let in where anybody is, refused where an account or another cap is needed, and breaks nothing."""
    for route in ROUTES:
        path = "/".join("x" if part.startswith(":") else part for part in route.path.split("/"))
        answer = service.call(route.method, path, {} if route.method in ("POST", "PUT") else None)
        assert answer.status < 500, (route.method, path)
        if route.who.signed_in and not (route.who.keys and route.who.cap is None):
            assert answer.status in (403, 404), (route.method, path)


def test_a_notice_names_where_the_end_user_is(app: App, service: Service) -> None:
    """A sign-in from a new place is told by the end user's address, and one from the known place is not told."""
    service.call("POST", "/register", {"email": EMAIL, "password": PASSWORD})
    service.login(user="203.0.113.9")
    service.login(user="198.18.0.1")
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        notices = [text for (text,) in connection.execute("SELECT payload FROM outbox") if "new_device" in text]
    assert len(notices) == 1
    assert "198.18.0.1" in notices[0]
