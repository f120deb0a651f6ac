"""Who is asking: a page only for who prefers HTML, an act by GET only for who says so, and no header breaks anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http import negotiation
from authsvc.http.negotiation import language, only_looks, wants_json_only, wants_page

FUZZ = settings(deadline=None)
LATIN1 = st.text(alphabet=st.characters(max_codepoint=255), max_size=80)
NEAR = st.lists(
    st.sampled_from(["text/html", "application/json", "*/*", "en", "de-AT", ",", ";", "q=", "0", "1", ".5", "9" * 400, " ", "=", "*"]),
    max_size=12,
).map("".join)


def environ(method: str = "GET", **headers: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": method} | {f"HTTP_{name}": value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("application/json, */*", False),
        ("application/xhtml+xml", False),
        ("text/html", True),
        ("TEXT/HTML", True),
        (" text/html ", True),
        ("text/html;q=0.1", True),
        ("text/html;level=1", True),
        ("text/html; q=0.5; level=1", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", True),
        ("*/*;q=0.8, text/html", True),
        ("text/html, application/json", True),
        ("application/json, text/html", True),
        ("application/json;q=0.5, text/html;q=0.5", True),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0.9, application/json", False),
        ("application/json;q=0, text/html;q=0.001", True),
        ("text/html;q=0", False),
        ("text/html;q=0.000", False),
        ("text/html;q=1.001", False),
        ("text/html;q=2", False),
        ("text/html;q=-1", False),
        ("text/html;q=nan", False),
        ("text/html;q=inf", False),
        ("text/html;q=1e0", False),
        ("text/html;q=", False),
        ("text/html;q=0.1234", False),
        ("text/html;q=٠.٥", False),
        ("text/htmlx", False),
        ("xtext/html", False),
        ("text/html/x", False),
        ("image/png;x=text/html", False),
        ('"text/html"', False),
        ("*/*" + "," * 1_100 + "text/html", False),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_a_page_is_for_who_names_html_and_likes_it_no_less(accept: str | None, is_page: bool) -> None:
    """HTML by name, with a quality that is one, not less than JSON's (RFC 9110 section 12.5.1); `*/*` is no browser's."""
    assert wants_page(environ() if accept is None else environ(ACCEPT=accept)) is is_page


@pytest.mark.parametrize("accept", ["application/json", " application/json ", "APPLICATION/JSON"])
def test_json_and_nothing_else_is_said_plainly(accept: str) -> None:
    """Exactly this header is what makes a GET of a link act."""
    assert wants_json_only(environ(ACCEPT=accept))
    assert not wants_page(environ(ACCEPT=accept))


@pytest.mark.parametrize(
    "accept",
    [
        *(None, "", "*/*", "application/*", "application/json, */*", "application/json,text/html", "text/html", "application/jsonp"),
        *("application/json;q=1", "application/json; charset=utf-8", "application/problem+json", "application/json,", ",application/json"),
        *("application/json, application/json", "text/json", "json", "application/ json"),
    ],
)
def test_anything_else_is_not_json_only(accept: str | None) -> None:
    """A browser's header, a scanner's, a library's default or a nearly right one only look."""
    assert not wants_json_only(environ() if accept is None else environ(ACCEPT=accept))


@pytest.mark.parametrize(
    ("method", "headers", "looks"),
    [
        ("GET", {}, False),
        ("POST", {}, False),
        ("HEAD", {}, True),
        ("HEAD", {"ACCEPT": "application/json"}, True),
        ("GET", {"SEC_PURPOSE": "prefetch"}, True),
        ("GET", {"SEC_PURPOSE": "Prefetch;Prerender"}, True),
        ("GET", {"SEC_PURPOSE": "prefetch;anonymous-client-ip"}, True),
        ("GET", {"PURPOSE": "prefetch"}, True),
        ("GET", {"PURPOSE": "Preview"}, True),
        ("GET", {"X_MOZ": "prefetch"}, True),
        ("GET", {"SEC_PURPOSE": "", "PURPOSE": "navigate", "X_MOZ": "x"}, False),
        ("GET", {"USER_AGENT": "prefetch", "ACCEPT": "preview"}, False),
    ],
)
def test_who_loads_ahead_of_a_click_only_looks(method: str, headers: dict[str, str], looks: bool) -> None:
    """HEAD, and each header by which browsers say that nobody clicked yet."""
    assert only_looks(environ(method, **headers)) is looks


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("de", "de"),
        ("de-AT", "de-AT"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR"),
        ("en;q=0.5, de;q=0.9, fr;q=0.1", "de"),
        ("de, en", "de"),
        (" de ; q=0.5 ", "de"),
        ("zh-Hant-TW", "zh-Hant-TW"),
        ("*", None),
        ("*, en;q=0.5", None),
        ("de;q=0", None),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=x, en;q=0.1", "en"),
        ("d", None),
        ("deutsch", None),
        ("de_AT", None),
        ("de-", None),
        ("../etc", None),
        ("de/../../x", None),
        ("de\0", None),
        ("dé", None),
        ("١٢", None),
        ("de-" + "-".join(["abcdefgh"] * 4), None),
        ("de-" + "x" * 9, None),
        ("x" * 1_024 + ",de", None),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_the_language_is_the_best_liked_tag(header: str | None, expected: str | None) -> None:
    """One tag that is a tag, short enough to be stored; it becomes part of a file's path, so nothing else passes."""
    assert language(environ() if header is None else environ(ACCEPT_LANGUAGE=header)) == expected


@FUZZ
@given(LATIN1 | NEAR, LATIN1 | NEAR)
def test_any_header_is_heard_or_ignored(accept: str, languages: str) -> None:
    """Whatever is sent, each question has an answer; a page and JSON alone are never wanted at once."""
    found = environ(ACCEPT=accept, ACCEPT_LANGUAGE=languages)

    assert wants_page(found) in (True, False)
    assert not (wants_page(found) and wants_json_only(found))
    assert not wants_page(found) or "text/html" in accept.lower()
    tag = language(found)
    assert tag is None or (tag in languages and tag.isascii() and tag.replace("-", "").isalnum() and len(tag) <= negotiation.MAX_LANGUAGE)
