"""The router: paths are matched whole and literally, and nothing that merely resembles a path gets in."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http.router import Router
from authsvc.problems import Problem


@dataclass(frozen=True)
class Line:
    """The least that a router needs."""

    method: str
    path: str


ROUTER = Router(
    [
        Line("GET", "/user"),
        Line("POST", "/login"),
        Line("GET", "/user/:user_id"),
        Line("PUT", "/user/:user_id"),
        Line("GET", "/user/me"),
        Line("DELETE", "/user/:user_id/sessions/:session_id"),
    ]
)
SEGMENTS = ["", "", "user", "user", "me", "login", "sessions", "USER", "user ", ".", "..", ":user_id"]


@pytest.mark.parametrize(
    ("method", "path", "found", "params"),
    [
        ("GET", "/user", "/user", {}),
        ("HEAD", "/user", "/user", {}),
        ("POST", "/login", "/login", {}),
        ("GET", "/user/usr_1", "/user/:user_id", {"user_id": "usr_1"}),
        ("PUT", "/user/usr_1", "/user/:user_id", {"user_id": "usr_1"}),
        ("GET", "/user/me", "/user/me", {}),
        ("GET", "/user/:user_id", "/user/:user_id", {"user_id": ":user_id"}),
        ("GET", "/user/ä\x00'", "/user/:user_id", {"user_id": "ä\x00'"}),
        ("GET", "/user/ x\t", "/user/:user_id", {"user_id": " x\t"}),
        ("DELETE", "/user/u/sessions/s", "/user/:user_id/sessions/:session_id", {"user_id": "u", "session_id": "s"}),
    ],
)
def test_a_path_finds_its_route(method: str, path: str, found: str, params: dict[str, str]) -> None:
    """Parameters take exactly one segment as it is; a literal path wins over a pattern; HEAD goes where GET goes."""
    route, given_params = ROUTER.find(method, path)
    assert (route.path, dict(given_params)) == (found, params)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "user",
        "/user/",
        "/user//",
        "//user",
        "/User",
        "/user/usr_1/",
        "/user/usr_1/x",
        "/user//sessions/s",
        "/user/u/sessions/",
        "/./user",
        "/x/../user",
        "/user/../login",
        "/user;x",
        "/user?x",
        "/user ",
        "/user\x00",
        "/user%2Fme/x",
        "http://host/user",
        "*",
    ],
)
def test_what_resembles_a_path_is_not_found(path: str) -> None:
    """A trailing slash, empty or dot segments, another case and a suffix are 404 for every method."""
    for method in ("GET", "POST", "BREW"):
        with pytest.raises(Problem) as caught:
            ROUTER.find(method, path)
        assert caught.value.code == "not_found"
        assert not caught.value.headers
    with pytest.raises(Problem, match="Not found"):
        ROUTER.allowed(path)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/user", "GET, HEAD, OPTIONS"),
        ("GET", "/login", "OPTIONS, POST"),
        ("HEAD", "/login", "OPTIONS, POST"),
        ("DELETE", "/user/usr_1", "GET, HEAD, OPTIONS, PUT"),
        ("get", "/user", "GET, HEAD, OPTIONS"),
        ("", "/user", "GET, HEAD, OPTIONS"),
        ("TRACE", "/user", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allow: str) -> None:
    """405 carries Allow (RFC 9110 section 15.5.6); a path with no GET has no HEAD."""
    with pytest.raises(Problem) as caught:
        ROUTER.find(method, path)
    assert (caught.value.code, caught.value.status, caught.value.headers) == ("method_not_allowed", 405, (("Allow", allow),))
    assert allow == ROUTER.allowed(path)


@settings(deadline=None, max_examples=150)
@given(
    st.text() | st.lists(st.sampled_from(SEGMENTS), max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "X"]),
)
def test_any_path_finds_a_route_of_its_own_form_or_none(path: str, method: str) -> None:
    """Whatever the path, the route found, with its parameters put back in, is that very path."""
    try:
        route, params = ROUTER.find(method, path)
    except Problem as problem:
        code = problem.code
        assert code in {"not_found", "method_not_allowed"}
        return
    segments = [params[part[1:]] if part.startswith(":") else part for part in route.path.split("/")]
    assert path == "/".join(segments)
    assert route.method == ("GET" if method == "HEAD" else method)
