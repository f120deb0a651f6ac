"""What scripts/deploy says of nginx and Caddy holds: sign-in over TLS, whose address counts, a mount, sizes, and what is written down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from tests.deploy.proxies import NAME, PROXIES, Proxied, proxied, proxying
from tests.hooks import receiving
from tests.letterbox import BROWSER
from tests.support import PASSWORD, Answer
from tests.wire.hosts import links
from tests.wire.servers import free_port

ORIGIN = {"Origin": f"https://{NAME}"}


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Each proxy in turn."""
    with proxied(request.param, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=PROXIES)
def mounted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """The same with the service under /auth."""
    with proxied(request.param, tmp_path_factory.mktemp("mounted"), mounted=True) as proxy:
        yield proxy


def register(proxy: Proxied, email: str, **more: str) -> Answer:
    answer = proxy.send("POST", "/register", json.dumps({"email": email, "password": PASSWORD}).encode(), **more)
    assert answer.status == 201, answer.body
    return answer


def cookies_of(answer: Answer) -> SimpleCookie:
    found: SimpleCookie = SimpleCookie()
    for line in answer.header_list("Set-Cookie"):
        found.load(line)
    return found


def check_session(proxy: Proxied, email: str) -> None:
    """Sign in by cookies that only https may carry, renew them, and read the trail as a stream."""
    register(proxy, email)
    login = proxy.send("POST", "/login", json.dumps({"email": email, "password": PASSWORD}).encode())
    cookies = cookies_of(login)
    assert {"__Host-authsvc_access", "__Secure-authsvc_refresh"} <= cookies.keys()
    assert all(cookie["secure"] for cookie in cookies.values())
    assert cookies["__Secure-authsvc_refresh"]["path"] == f"{proxy.prefix}/token"
    refresh = {"Cookie": f"__Secure-authsvc_refresh={cookies['__Secure-authsvc_refresh'].value}"}
    assert proxy.send("GET", "/token/refresh", headers=refresh | ORIGIN).status == 200
    access = {"Authorization": f"Bearer {login['access_token']}", "Accept": "application/x-ndjson"}
    trail = proxy.send("GET", "/audit/logs?subject=me", headers=access)
    assert [json.loads(line)["action"] for line in trail.body.splitlines()] == ["user.registered", "login.succeeded"]
    assert login.header("Strict-Transport-Security") == "max-age=31536000"


def test_a_session_runs_over_tls(proxy: Proxied) -> None:
    """By the configuration as it is."""
    check_session(proxy, "session@mail.com")


def test_a_session_runs_below_a_path(mounted: Proxied) -> None:
    """By the line that the configuration names for it; pages and what they point to are there, too."""
    check_session(mounted, "mounted@mail.com")
    page = mounted.send("GET", "/login", headers=BROWSER)
    found = [link for link in links(page) if not link.startswith("data:")]
    assert {f"{mounted.prefix}/login", f"{mounted.prefix}/register"} <= set(found)
    assert [link for link in found if not link.startswith(f"{mounted.prefix}/")] == []


def test_the_clients_address_is_the_one_that_the_proxy_saw(proxy: Proxied) -> None:
    """What a client says of itself in X-Forwarded-For, Forwarded or X-Real-IP counts for nothing."""
    claims = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    token = register(proxy, "address@mail.com", source="127.0.0.7", headers=claims)["access_token"]
    seen = proxy.send("GET", "/audit/logs?subject=me", headers={"Authorization": f"Bearer {token}"})["items"]
    assert [item["ip"] for item in seen] == ["127.0.0.7"]
    assert "203.0.113.9" not in proxy.service.lines()


@pytest.mark.parametrize("name", PROXIES)
def test_a_header_that_a_host_would_take_for_the_proxys_own_does_not_come_through(name: str, tmp_path: Path) -> None:
    """WSGI spells `X_Forwarded_For` like `X-Forwarded-For`, and not every host keeps them apart."""
    with receiving() as upstream, proxying(name, tmp_path, upstream.port) as port:
        claims = {"X_Forwarded_For": "203.0.113.9", "X-Forwarded_For": "203.0.113.9", "x_forwarded-for": "203.0.113.9"}
        assert Proxied(port, tmp_path).send("POST", "/login", b"{}", claims, source="127.0.0.7").status == 200
        (got,) = upstream.got
    assert got.headers["x-forwarded-for"] == "127.0.0.7"
    assert [name for name in got.headers if "_" in name] == []


def test_the_host_header_makes_no_link(proxy: Proxied) -> None:
    """C4: who names another host in a header gets no link to it."""
    answer = proxy.send("GET", "/nowhere", headers={"X-Forwarded-Host": "evil.example", "Accept": "application/json"})
    assert answer["type"] == f"https://{NAME}/problems/not_found"


@pytest.mark.parametrize("size", [65_537, 99_999, 140_000])
def test_a_body_of_64_kib_passes_and_a_larger_one_is_413(proxy: Proxied, size: int) -> None:
    """Whoever refuses it, the client is told why, and what is allowed is refused by nobody on the way."""
    assert proxy.send("POST", "/login", b'{"email": "x"' + b" " * (65_536 - 14) + b"}").status == 422
    assert proxy.send("POST", "/login", b" " * size).status == 413


def test_no_token_of_a_link_is_written_down(proxy: Proxied) -> None:
    """Neither for what is answered, nor for what is refused, nor where there is nobody to answer."""
    path = "/login/magic/secret-token"
    asked = {"Accept": "application/json", "Referer": f"https://{NAME}{path}", "Cookie": "a=secret-cookie"}
    assert proxy.send("GET", f"{path}?a=secret-query", headers=asked).status == 410
    assert proxy.send("POST", "/password/reset/secret-token", b" " * 70_000).status == 413
    assert "secret" not in proxy.written()
    assert "secret" not in proxy.service.lines()


@pytest.mark.parametrize("name", PROXIES)
def test_a_service_that_is_away_is_502_and_no_token_is_written_down(name: str, tmp_path: Path) -> None:
    """What a proxy complains about has no path in it."""
    with proxying(name, tmp_path, free_port()) as port:
        proxy = Proxied(port, tmp_path)
        asked = {"Accept": "application/json", "Cookie": "a=secret-cookie", "Referer": f"https://{NAME}/login/magic/secret-token"}
        assert proxy.send("GET", "/login/magic/secret-token?b=secret-query", headers=asked).status == 502
    assert "secret" not in proxy.written()


def test_a_flood_is_refused_by_nginx(tmp_path: Path) -> None:
    """Forty at once pass, and what is more gets 429 without reaching the service."""
    with proxied("nginx", tmp_path) as proxy:
        statuses = Counter(proxy.send("GET", "/healthz").status for _ in range(200))
        assert set(statuses) == {200, 429}
        assert statuses[200] >= 40
        assert proxy.service.lines().count("GET /healthz") == statuses[200]
