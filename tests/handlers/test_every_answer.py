"""What holds for every route alike: methods, headers, ids, and the form of a refusal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.routes import ROUTES, Route
from tests.support import Answer, Client, running

PATHS = sorted({route.path for route in ROUTES})
METHODS = {path: {route.method for route in ROUTES if route.path == path} for path in PATHS}
ALL_METHODS = ["DELETE", "GET", "PATCH", "POST", "PUT"]
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Vary": "Origin",
}
PAGE_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
PAGE_SECURITY = SECURITY | {"Content-Security-Policy": PAGE_POLICY, "Vary": "Accept, Origin"}
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
FILE_SECURITY = SECURITY | {"Cache-Control": "public, max-age=3600", "Content-Security-Policy": FILE_POLICY}
PUBLIC_SECURITY = {name: value for name, value in SECURITY.items() if name != "Vary"} | {
    "Cache-Control": "public, max-age=300",
    "Access-Control-Allow-Origin": "*",
}
PUBLISHED = {"/openapi.json", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"}
HTML = "text/html; charset=utf-8"
PROBLEM = "application/problem+json"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ALWAYS_PAGES = {"/register", "/login", "/password/forgot", "/docs"}  # by GET; /account is one, too, for whoever is signed in
APP_ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One app for all: what is asked here leaves nothing that another test could see."""
    with running(tmp_path_factory.mktemp("every"), **dict.fromkeys((f"limit_{name}" for name in LIMITS), "0")) as app:
        yield app


@pytest.fixture
def token(client: Client) -> str:
    """The access token of a fresh account."""
    token: str = client.register(f"{os.urandom(8).hex()}@mail.com")["access_token"]
    return token


def concrete(path: str) -> str:
    """A path that the pattern matches."""
    return re.sub(r":\w+", "not_found", path)


def check_form(answer: Answer, security: dict[str, str] = SECURITY, *, published: bool = False) -> None:
    """Every promise about headers and the members of a problem. `published`: what is granted there is for everybody."""
    if published and answer.status == 200:
        security = PUBLIC_SECURITY
    for name, value in security.items():
        assert answer.header(name) == value, name
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", str(answer.header("X-Request-Id")))
    if security is PAGE_SECURITY:
        assert answer.header("Content-Type") == HTML
        assert answer.body.startswith(b"<!doctype html>")
    elif answer.status >= 400 and answer.body:
        problem = answer.json()
        assert answer.header("Content-Type") == PROBLEM
        assert {"type", "title", "status", "detail", "code", "request_id"} <= problem.keys()
        assert (problem["status"], problem["request_id"]) == (answer.status, answer.header("X-Request-Id"))
    if answer.status == 401:
        assert str(answer.header("WWW-Authenticate")).startswith("Bearer ")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_answer_has_its_headers(client: Client, token: str, route: Route) -> None:
    """With and without credentials, with a good or a broken body, from any route: data, or a page where it is one."""
    path = concrete(route.path)
    pages = [route.method == "GET" and (route.path in ALWAYS_PAGES or (route.path == "/account" and known)) for known in (False, True)]
    for page, answer in (
        (pages[0], client.call(route.method, path)),
        (pages[1], client.call(route.method, path, {}, token=token)),
        (pages[1], client.call(route.method, path, raw=b"{", token=token)),
        (pages[0], client.call(route.method, path, raw=b"{}", content_type="text/plain")),
        (False, client.call(route.method, path + "/")),
        (pages[0], client.call(route.method, path, token="x")),
    ):
        check_form(answer, PAGE_SECURITY if page else SECURITY, published=path in PUBLISHED)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_browser_gets_pages_from_routes_that_have_them(client: Client, token: str, route: Route) -> None:
    """Where HTML is preferred, a route with a page answers with a page or sends the browser on, refusals included; any other
    answers as if nothing had been said of HTML."""
    path = concrete(route.path)
    origin = {"Origin": "http://127.0.0.1:8000"}
    for answer in (
        client.call(route.method, path, headers=BROWSER),
        client.call(route.method, path, headers=BROWSER, token=token),
        client.call(route.method, path, headers=BROWSER | origin, raw=b"x=1&x=2", content_type="application/x-www-form-urlencoded"),
        client.call(route.method, path, headers=BROWSER, token="x"),
    ):
        assert answer.status < 500
        if answer.status == 303:
            assert route.page is not None
            assert str(answer.header("Location")).startswith("/")
            assert answer.body == b""
            check_form(answer)
        elif route.page is None:
            assert answer.header("Content-Type") != HTML
            check_form(answer, published=path in PUBLISHED)
        else:
            check_form(answer, PAGE_SECURITY)


def test_a_browser_that_is_lost_gets_a_page(client: Client) -> None:
    """An unknown path and a wrong method are pages where HTML is preferred, with what their status promises (RFC 9110 section
    15.5.6), and problems otherwise."""
    for method, path, status, allow in (("GET", "/nowhere", 404, None), ("DELETE", "/login", 405, "GET, HEAD, OPTIONS, POST")):
        page = client.call(method, path, headers=BROWSER)
        check_form(page, PAGE_SECURITY)
        assert (page.status, page.header("Allow")) == (status, allow)
        check_form(client.call(method, path, headers={"Accept": "*/*"}))


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/html;q=0.9", "text/html;q=0", "image/*"])
@pytest.mark.parametrize("path", sorted(ALWAYS_PAGES))
def test_what_is_only_a_page_is_one_for_everybody(client: Client, path: str, accept: str | None) -> None:
    """A form has no other form: whatever is accepted, it is HTML, and what is refused is a problem unless HTML was preferred."""
    headers = {} if accept is None else {"Accept": accept}
    check_form(client.get(path, headers=headers), PAGE_SECURITY)
    refused = client.get(path + "?redirect_to=https://evil.example", headers=headers)
    assert refused.status == (200 if path in ("/password/forgot", "/docs") else 422)
    check_form(refused, PAGE_SECURITY if refused.status == 200 else SECURITY)
    assert b"evil.example" not in refused.body


@pytest.mark.parametrize(("accept", "is_page"), [(None, False), ("*/*", False), ("application/json", False), ("text/html", True)])
def test_the_account_is_a_page_for_whoever_is_signed_in(client: Client, token: str, accept: str | None, is_page: bool) -> None:
    """With a token it is always HTML; without one a program is told 401, and a browser is sent to renew its session."""
    headers = {} if accept is None else {"Accept": accept}
    check_form(client.get("/account", headers=headers, token=token), PAGE_SECURITY)
    stranger = client.get("/account", headers=headers)
    check_form(stranger)
    assert (stranger.status, stranger.header("Location")) == ((303, "/token/refresh") if is_page else (401, None))
    assert is_page or stranger.code == "unauthenticated"


def test_a_static_file_may_be_kept(client: Client, token: str) -> None:
    """The style sheet is the same for everybody, sets no cookie, and a cache may hold it; a name that is none is a problem."""
    for answer in (client.get("/assets/style.css"), client.get("/assets/style.css", token=token, headers=BROWSER)):
        check_form(answer, FILE_SECURITY)
        assert (answer.status, answer.header("Content-Type")) == (200, "text/css; charset=utf-8")
        assert answer.header_list("Set-Cookie") == []
        assert len(answer.body) > 100
    for name in ("login.html", "..", "../html/login.html", "..\\html\\login.html", "", "Style.css", "style.css\0", "site.py"):
        answer = client.get(f"/assets/{name}", environ={"PATH_INFO": f"/assets/{name}"})
        assert (answer.status, answer.code) == (404, "not_found"), name
        check_form(answer)


def test_pages_let_a_browser_go_to_the_listed_apps(tmp_path: Path) -> None:
    """Chromium checks a form's redirects against form-action too, so the apps are in it, and nobody else."""
    with running(tmp_path, app_origins=f"{APP_ORIGIN},http://localhost:3000") as app:
        policy = str(Client(app).get("/login").header("Content-Security-Policy"))
        assert f"; form-action 'self' {APP_ORIGIN} http://localhost:3000; " in policy
        assert policy.replace(f" {APP_ORIGIN} http://localhost:3000", "") == PAGE_POLICY


@pytest.mark.parametrize(("method", "path"), [(method, path) for path in PATHS for method in ALL_METHODS if method not in METHODS[path]])
def test_a_wrong_method_is_405_with_allow(client: Client, method: str, path: str) -> None:
    """Allow lists what the path takes, HEAD with GET and OPTIONS always."""
    answer = client.call(method, concrete(path))
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    expected = METHODS[path] | {"OPTIONS"} | ({"HEAD"} if "GET" in METHODS[path] else set())
    assert answer.header("Allow") == ", ".join(sorted(expected))
    check_form(answer)


@pytest.mark.parametrize("path", PATHS)
def test_options_tells_the_methods(client: Client, path: str) -> None:
    """204 with Allow, no body, and no CORS headers for a stranger."""
    answer = client.call("OPTIONS", concrete(path), headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
    assert (answer.status, answer.body) == (204, b"")
    assert METHODS[path] <= set(str(answer.header("Allow")).split(", "))
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    check_form(answer)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/user/", "//user"])
def test_options_of_nothing_is_not_found(client: Client, path: str) -> None:
    """There is no path whose methods could be told."""
    answer = client.call("OPTIONS", path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("path", [path for path in PATHS if "GET" in METHODS[path]])
@pytest.mark.parametrize("signed_in", [True, False])
def test_head_is_get_without_the_body(client: Client, token: str, path: str, signed_in: bool) -> None:
    """The same status and headers, the length included, and not one byte of body."""
    same = {"X-Request-Id": "r1"}
    shown = token if signed_in else None
    get, head = (client.call(method, concrete(path), token=shown, headers=same) for method in ("GET", "HEAD"))
    without_state = [[pair for pair in answer.headers if pair[0] not in {"RateLimit", "Set-Cookie"}] for answer in (get, head)]
    assert (get.status, without_state[0]) == (head.status, without_state[1])
    assert (len(get.body) > 0 or get.status == 302, head.body) == (True, b"")
    assert head.header("Content-Length") == str(len(get.body))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", ["{}/", "{}//", "/{}", "/.{}", "/x/..{}"])
def test_a_path_is_spelled_one_way(client: Client, path: str, form: str) -> None:
    """A trailing slash, a doubled one and dot segments are 404 for every method."""
    for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS"):
        answer = client.call(method, form.format(concrete(path)))
        assert answer.status == 404, method
        assert not answer.header_list("Allow")


def test_an_upper_case_path_is_another(client: Client) -> None:
    """Paths are compared byte by byte."""
    assert client.get("/USER").status == 404


@pytest.mark.parametrize(
    ("sent", "kept"), [("req-1", True), ("A.b_c-9", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("é", False)]
)
def test_a_callers_request_id_comes_back(client: Client, sent: str, kept: bool) -> None:
    """In the header and in the problem, if it is harmless; another takes its place if not."""
    for path in ("/healthz", "/user", "/nowhere"):
        answer = client.get(path, headers={"X-Request-Id": sent})
        assert (answer.header("X-Request-Id") == sent) is kept
        assert path == "/healthz" or answer["request_id"] == answer.header("X-Request-Id")


def test_request_ids_of_our_own_differ(client: Client) -> None:
    """Each request can be found in the log."""
    assert len({client.get("/healthz").header("X-Request-Id") for _ in range(50)}) == 50


def test_a_listed_app_is_answered_across_origins(tmp_path: Path) -> None:
    """CORS headers stand on successes, refusals and preflights alike, for the listed origin only."""
    with running(tmp_path, app_origins=APP_ORIGIN) as app:
        client = Client(app)
        for method, path in (("GET", "/healthz"), ("GET", "/user"), ("GET", "/nowhere"), ("POST", "/user"), ("OPTIONS", "/user/x")):
            answer = client.call(method, path, headers={"Origin": APP_ORIGIN, "Access-Control-Request-Method": "PUT"})
            assert answer.header("Access-Control-Allow-Origin") == APP_ORIGIN
            assert answer.header("Access-Control-Allow-Credentials") == "true"
            other = client.call(method, path, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"})
            assert not [name for name, _ in other.headers if name.startswith("Access-Control")]
        assert "PUT" in str(
            client.call("OPTIONS", "/user/x", headers={"Origin": APP_ORIGIN, "Access-Control-Request-Method": "PUT"}).header(
                "Access-Control-Allow-Methods"
            )
        )


@pytest.mark.parametrize(
    ("cookie", "status"),
    [("authsvc_access=a; authsvc_access=a", 400), ("authsvc_access=a, authsvc_access=a", 400), ("authsvc_access=a", 401), ("other=a", 401)],
)
def test_a_cookie_sent_twice_is_ambiguous(client: Client, cookie: str, status: int) -> None:
    """One cookie twice, in one header or in two that the host has joined, is 400 `invalid_request`."""
    answer = client.get("/user", headers={"Cookie": cookie})
    assert (answer.status, answer.code == "invalid_request") == (status, status == 400)


def test_a_cookie_is_not_planted_behind_a_comma(client: Client, token: str) -> None:
    """A sibling domain may set a cookie of its own, whose value names ours: that passes by the protected prefix, and is nobody."""
    for header in (f"theme=dark,authsvc_access={token}", f"theme=dark, authsvc_access={token}; other=1"):
        answer = client.get("/user", headers={"Cookie": header})
        assert (answer.status, answer.code) == (401, "unauthenticated")


def test_two_authorization_headers_are_ambiguous(client: Client, token: str) -> None:
    """Hosts join them with a comma; neither counts, however good it is."""
    answer = client.get("/user", headers={"Authorization": f"Bearer {token}, Bearer {token}"})
    assert (answer.status, answer.code) == (400, "invalid_request")
