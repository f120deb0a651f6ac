"""Origins: which sites may call from a browser, decided by exact comparison and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http.origins import Origins
from authsvc.problems import Problem

OWN = "https://auth.example.com"
APP = "https://app.example.com"
ORIGINS = Origins(OWN, (APP, "http://localhost:3000"))
FOREIGN = [
    "null",
    "",
    "*",
    "https://evil.com",
    "https://evil-app.example.com",
    "https://app.example.com.evil.com",
    "https://app.example.com:444",
    "https://app.example.com:443",
    "http://app.example.com",
    "https://APP.example.com",
    "https://app.example.com/",
    " https://app.example.com",
    "https://app.example.com, https://evil.com",
    "https://app.example.com https://app.example.com",
    "https://example.com",
    "https://xapp.example.com",
    "https://app.example.com.",
    "http://localhost:3001",
    "http://127.0.0.1:3000",
]


def refused(environ: dict[str, Any]) -> bool:
    """Whether a request with this environ is refused as forged."""
    try:
        ORIGINS.refuse_foreign(environ)
    except Problem as problem:
        return (problem.code, problem.status) == ("csrf_failed", 403)
    return False


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_is_refused_and_gets_no_cors_headers(origin: str) -> None:
    """Neither a look-alike, another port or scheme, `null`, nor a list of origins is one that we serve."""
    environ = {"HTTP_ORIGIN": origin, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
    assert refused(environ)
    assert ORIGINS.headers(environ) == []
    assert ORIGINS.preflight(environ, "POST") == []


@pytest.mark.parametrize("origin", [OWN, APP, "http://localhost:3000"])
def test_our_own_origin_and_the_listed_apps_pass(origin: str) -> None:
    """An exact match passes, whatever Sec-Fetch-Site says."""
    assert not refused({"HTTP_ORIGIN": origin, "HTTP_SEC_FETCH_SITE": "cross-site"})


def test_our_own_origin_needs_no_cors() -> None:
    """CORS headers are for other origins; our own gets none unless it is listed."""
    assert ORIGINS.headers({"HTTP_ORIGIN": OWN}) == []


def test_a_listed_app_gets_its_own_origin_back() -> None:
    """The answer names exactly the asking origin with credentials, and never a wildcard."""
    headers = dict(ORIGINS.headers({"HTTP_ORIGIN": APP}))
    assert (headers["Access-Control-Allow-Origin"], headers["Access-Control-Allow-Credentials"]) == (APP, "true")
    assert {"X-Request-Id", "ETag", "Retry-After"} <= set(headers["Access-Control-Expose-Headers"].split(", "))
    assert "*" not in "".join(headers.values())


def test_a_preflight_is_answered_with_the_methods_of_the_path() -> None:
    """Methods and headers are told to a listed app that asks before a request, and only then."""
    asked = {"HTTP_ORIGIN": APP, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    headers = dict(ORIGINS.preflight(asked, "GET, PUT"))
    assert headers["Access-Control-Allow-Methods"] == "GET, PUT"
    assert {"Authorization", "Content-Type", "If-Match"} <= set(headers["Access-Control-Allow-Headers"].split(", "))
    assert ORIGINS.preflight({"HTTP_ORIGIN": APP}, "GET, PUT") == []


@pytest.mark.parametrize(
    ("site", "forged"),
    [
        ("cross-site", True),
        ("same-site", True),
        (" Cross-Site ", True),
        ("same-origin", False),
        ("none", False),
        ("", False),
        (None, False),
    ],
)
def test_without_an_origin_fetch_metadata_decides(site: str | None, forged: bool) -> None:
    """A browser that sends no Origin tells by Sec-Fetch-Site; what sends neither header is no browser and passes."""
    assert forged is refused({} if site is None else {"HTTP_SEC_FETCH_SITE": site})


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet=st.characters(max_codepoint=255)) | st.text(alphabet="htps:/ap.exmlco", max_size=30))
def test_any_other_origin_is_foreign(origin: str) -> None:
    """Whatever the header holds, only an exact match is served."""
    known = origin in {OWN, APP, "http://localhost:3000"}
    assert refused({"HTTP_ORIGIN": origin}) is not known
