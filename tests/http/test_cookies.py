"""Cookies: the names that browsers protect, the attributes of each, and a reader that any header survives."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http.cookies import cookies, find

_all = cookies(secure=True, domain="example.com", mount="/auth")
EVERY = [_all.access, _all.refresh, _all.magic, _all.device]

FUZZ = settings(deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("secure", "domain", "expected"),
    [
        (False, "", "authsvc_access=t; Max-Age=9; Path=/; HttpOnly; SameSite=Lax"),
        (True, "", "__Host-authsvc_access=t; Max-Age=9; Path=/; HttpOnly; SameSite=Lax; Secure"),
        (True, "example.com", "__Secure-authsvc_access=t; Max-Age=9; Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure"),
    ],
)
def test_the_access_cookie_is_named_by_what_the_browser_shall_enforce(secure: bool, domain: str, expected: str) -> None:
    """`__Host-` on https without a domain, `__Secure-` with one, neither on http; always HttpOnly and Lax."""
    assert cookies(secure=secure, domain=domain, mount="").access.set("t", 9) == ("Set-Cookie", expected)


@pytest.mark.parametrize(
    ("secure", "mount", "expected"),
    [
        (False, "", "authsvc_refresh=t; Max-Age=9; Path=/token; HttpOnly; SameSite=Strict"),
        (True, "", "__Secure-authsvc_refresh=t; Max-Age=9; Path=/token; HttpOnly; SameSite=Strict; Secure"),
        (True, "/a/b", "__Secure-authsvc_refresh=t; Max-Age=9; Path=/a/b/token; HttpOnly; SameSite=Strict; Secure"),
    ],
)
def test_the_refresh_cookie_goes_to_the_token_endpoints_only(secure: bool, mount: str, expected: str) -> None:
    """Its path is the mount's /token, it is Strict and HttpOnly, and never has a Domain."""
    assert cookies(secure=secure, domain="", mount=mount).refresh.set("t", 9) == ("Set-Cookie", expected)


@pytest.mark.parametrize("cookie", EVERY)
def test_clearing_names_the_same_cookie(cookie: object) -> None:
    """A browser removes a cookie only if name, path and domain are those it was set with."""
    kept, cleared = (SimpleCookie(header) for _, header in (cookie.set("t", 9), cookie.clear()))  # type: ignore[attr-defined]
    ((name, was),), ((same_name, now),) = kept.items(), cleared.items()
    assert (name, was["path"], was["domain"], was["secure"]) == (same_name, now["path"], now["domain"], now["secure"])
    assert (now.value, now["max-age"]) == ("", "0")


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("", []),
        ("n", []),
        ("n=1", ["1"]),
        ("n=", [""]),
        (" n=1 ", ["1"]),
        ("a=b;n=1", ["1"]),
        ("a=b; n=1; c=d", ["1"]),
        ("n=1; n=2", ["1", "2"]),
        ("n=1;n=1", ["1", "1"]),
        ("n=a=b", ["a=b"]),
        ("N=1", []),
        ("xn=1; n.x=2; __Host-n=3", []),
        ("a=n=1", []),
        ("a=b,n=1", []),
        ('a="x; n=1"', ['1"']),
        (";;;=;n=1;=", ["1"]),
    ],
)
def test_a_cookie_is_found_by_its_exact_name(header: str, values: list[str]) -> None:
    """Names are compared whole and in their case; every occurrence is seen, so that two can be told from one."""
    assert values == find(header, "n")


@FUZZ
@given(st.text(alphabet=st.characters(max_codepoint=255)) | st.text(alphabet="n=; \t,\"'\\", max_size=40))
def test_any_header_gives_pieces_of_itself(header: str) -> None:
    """Whatever the header, every value found stands in it after the name, and none spans a semicolon."""
    for value in find(header, "n"):
        assert f"n={value}" in header
        assert ";" not in value


@FUZZ
@given(st.lists(st.text(alphabet="abcXYZ019._-", min_size=1), min_size=1, max_size=5))
def test_every_value_that_we_set_is_read_back(values: list[str]) -> None:
    """Setting and reading agree, also when a name is there several times."""
    cookie = cookies(secure=False, domain="", mount="").access
    header = "; ".join(cookie.set(value, 9)[1].partition(";")[0] for value in values)
    assert values == find(header, cookie.name)
