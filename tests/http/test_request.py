"""The request: paths, credentials, cookies and queries are read strictly, and what can be read in two ways in none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http.request import Request, request_id
from authsvc.problems import Problem

LATIN1 = st.text(alphabet=st.characters(max_codepoint=255))
FUZZ = settings(deadline=None, max_examples=150)


def request(**environ: Any) -> Request:
    """A request with these variables."""
    return Request({"REQUEST_METHOD": "GET", "PATH_INFO": "/", **environ}, "r1")


def outcome(act: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the problem that it raises."""
    try:
        return act(*arguments)
    except Problem as problem:
        return problem


def refusal(act: Callable[[], Any]) -> tuple[str, int]:
    """The code and status with which a call refuses."""
    with pytest.raises(Problem) as caught:
        act()
    return caught.value.code, caught.value.status


@pytest.mark.parametrize("given_id", ["a", "A-z_0.9", "x" * 64, "0", "."])
def test_a_harmless_request_id_is_kept(given_id: str) -> None:
    """The caller's own id is used if it matches [A-Za-z0-9._-]{1,64}."""
    assert request_id({"HTTP_X_REQUEST_ID": given_id}, os.urandom) == given_id


@pytest.mark.parametrize("given_id", ["", "x" * 65, "a b", "a\n", "a\r\nX: y", "\x1b[31m", "é", "a,b", "<a>", "a/b", "٣", None])
def test_any_other_request_id_is_replaced(given_id: str | None) -> None:
    """An id that could break a log line or a header never comes back."""
    fresh = request_id({} if given_id is None else {"HTTP_X_REQUEST_ID": given_id}, os.urandom)
    assert fresh != given_id
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", fresh)


def test_fresh_request_ids_differ_within_and_between_processes() -> None:
    """A count tells one process's requests apart, a random part the processes."""
    assert len({request_id({}, os.urandom) for _ in range(200)}) == 200


@pytest.mark.parametrize(
    ("raw", "path"),
    [("/user", "/user"), ("", ""), ("/%41", "/%41"), ("/\xc3\xa9", "/é"), ("/a\x00b", "/a\x00b"), ("/\xf0\x9f\x98\x80", "/😀")],
)
def test_a_path_is_the_utf8_that_was_sent(raw: str, path: str) -> None:
    """WSGI hands bytes over as Latin-1 (PEP 3333); they are read as UTF-8, and nothing is decoded twice."""
    assert path == request(PATH_INFO=raw).path


@FUZZ
@given(LATIN1)
def test_any_path_is_text_or_not_found(raw: str) -> None:
    """A path that is no UTF-8 is no route's; no other exception, no lone surrogate."""
    found = outcome(lambda: request(PATH_INFO=raw).path)
    assert isinstance(found, str) or found.code == "not_found"
    assert isinstance(found, Problem) or found.encode("utf-8") is not None


@pytest.mark.parametrize("encoded", ["/user%2Fme", "/user%2fme", "/%2Fuser", "/problems/not%2Ffound?x=1"])
@pytest.mark.parametrize("variable", ["REQUEST_URI", "RAW_URI"])
def test_an_encoded_slash_is_not_a_slash(encoded: str, variable: str) -> None:
    """Hosts decode %2F before we see the path; where they also hand over the target as sent, such a path is not found."""
    decoded = encoded.partition("?")[0].replace("%2F", "/").replace("%2f", "/")
    assert refusal(lambda: request(PATH_INFO=decoded, **{variable: encoded}).path) == ("not_found", 404)


@pytest.mark.parametrize("cleaned", ["/./user", "/x/../user", "/x/%2E%2e/user", "/x/.%2e/user", "/user/.", "/user/x/..", "/user/%2e"])
def test_what_a_host_cleans_is_no_path_of_ours(cleaned: str) -> None:
    """uWSGI takes dot segments out before we see the path: a proxy that keeps people from /user would not know that this is it."""
    assert refusal(lambda: request(PATH_INFO="/user", REQUEST_URI=cleaned).path) == ("not_found", 404)
    for clean in ("/.well-known/user", "/user.", "/..user", "/user?next=/../x", "/a.b/user", "/..."):
        assert request(PATH_INFO="/user", REQUEST_URI=clean).path == "/user"


def test_an_encoded_slash_in_the_query_is_nobodys_path() -> None:
    """Only the path part of the target is looked at."""
    assert request(PATH_INFO="/user", REQUEST_URI="/user?next=%2Fa", RAW_URI="/user?next=%2Fa").path == "/user"


@pytest.mark.parametrize("value", ["Bearer abc", "bearer abc", "BEARER   abc", " Bearer abc "])
def test_a_bearer_token_is_read(value: str) -> None:
    """The scheme's case and the spaces around do not matter (RFC 9110 section 11.1)."""
    assert request(HTTP_AUTHORIZATION=value).bearer() == "abc"


def test_no_authorization_header_is_no_token() -> None:
    """None, not an error: a cookie may be there."""
    assert request().bearer() is None


@pytest.mark.parametrize(
    ("value", "code", "status"),
    [
        ("", "unauthenticated", 401),
        ("abc", "unauthenticated", 401),
        ("Basic YTpi", "unauthenticated", 401),
        ("Bearerabc", "unauthenticated", 401),
        ("Token abc", "unauthenticated", 401),
        ("Bearer", "invalid_token", 401),
        ("Bearer ", "invalid_token", 401),
        ("Bearer a b", "invalid_token", 401),
        ("Bearer a, Bearer b", "invalid_request", 400),
        ("Bearer a,Bearer b", "invalid_request", 400),
        ("Basic YTpi, Bearer a", "invalid_request", 400),
    ],
)
def test_another_authorization_header_is_refused(value: str, code: str, status: int) -> None:
    """Another scheme is nobody we know, a malformed token is invalid, and two headers (joined by the host) are ambiguous."""
    assert refusal(request(HTTP_AUTHORIZATION=value).bearer) == (code, status)


@FUZZ
@given(LATIN1 | LATIN1.map("Bearer {}".format))
def test_any_authorization_header_is_a_token_or_a_refusal(value: str) -> None:
    """Whatever the header, a token without spaces comes out, or a Problem."""
    found = outcome(request(HTTP_AUTHORIZATION=value).bearer)
    if isinstance(found, Problem):
        assert found.code in {"unauthenticated", "invalid_token", "invalid_request"}
    else:
        assert found
        assert not {" ", ","} & set(found)


@pytest.mark.parametrize("header", [None, "", "other=1", "session", "sessionx=1", "Session=1"])
def test_an_absent_cookie_is_none(header: str | None) -> None:
    """Other cookies are not ours."""
    environ = {} if header is None else {"HTTP_COOKIE": header}
    assert request(**environ).cookie("session") is None


@pytest.mark.parametrize(
    "header",
    ["session=a; session=b", "session=a;session=a", "session=; session=", "x=1; session=a; y=2; session=b", "session=a, session=b"],
)
def test_a_cookie_sent_twice_is_refused(header: str) -> None:
    """A sibling domain may have planted one, so neither counts; hosts join two Cookie headers with a comma."""
    assert refusal(lambda: request(HTTP_COOKIE=header).cookie("session")) == ("invalid_request", 400)


def test_a_comma_in_a_foreign_cookie_plants_nothing() -> None:
    """What stands behind a comma in somebody else's cookie is never taken for ours."""
    assert request(HTTP_COOKIE="theme=a,session=evil").cookie("session") is None


@FUZZ
@given(LATIN1 | st.text(alphabet="session=;, a", max_size=50))
def test_any_cookie_header_is_a_value_or_a_refusal(header: str) -> None:
    """Whatever the header, at most one value comes out, or a 400."""
    found = outcome(request(HTTP_COOKIE=header).cookie, "session")
    if isinstance(found, Problem):
        assert (found.code, found.status) == ("invalid_request", 400)
    else:
        assert found is None or f"session={found}" in header


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=%20+", {"a": "  "}),
        ("a=%C3%A9", {"a": "é"}),
        ("&&a=1&", {"a": "1"}),
        ("a=%zz", {"a": "%zz"}),
    ],
)
def test_a_query_is_read_by_name(raw: str, values: dict[str, str]) -> None:
    """Blank values count, escapes are decoded as UTF-8."""
    assert values == request(QUERY_STRING=raw).query_values()


@pytest.mark.parametrize("raw", ["a=1&a=2", "a=1&%61=1", "a&a", "a=%ff", "a=%ED%A0%80", "&".join(f"f{n}=1" for n in range(101))])
def test_an_ambiguous_or_malformed_query_is_refused(raw: str) -> None:
    """A repeated parameter, an escape that is no UTF-8, or too many parameters are 400."""
    assert refusal(request(QUERY_STRING=raw).query_values) == ("invalid_request", 400)


@FUZZ
@given(LATIN1 | st.text(alphabet="ab=&%C3ED0A8+;", max_size=60))
def test_any_query_is_values_or_a_refusal(raw: str) -> None:
    """Whatever the query, names and values are Unicode text, or it is a 400."""
    found = outcome(request(QUERY_STRING=raw).query_values)
    if isinstance(found, Problem):
        assert (found.code, found.status) == ("invalid_request", 400)
    else:
        assert all(text.encode("utf-8") is not None for pair in found.items() for text in pair)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, None),
        ("", None),
        ("curl/8.5", "curl/8.5"),
        ("a\tb", "a?b"),
        ("a\x1b[31m\x00\x7f", "a?[31m??"),
        ("caf\xe9", "caf?"),
        ("x" * 9_000, "x" * 256),
    ],
)
def test_a_user_agent_is_kept_short_and_printable(sent: str | None, kept: str | None) -> None:
    """Control characters never reach a log or the store."""
    environ = {} if sent is None else {"HTTP_USER_AGENT": sent}
    assert kept == request(**environ).user_agent()


@FUZZ
@given(LATIN1)
def test_any_user_agent_is_printable_ascii(sent: str) -> None:
    """Whatever was sent, what is kept is one short line of printable ASCII, or nothing."""
    kept = request(HTTP_USER_AGENT=sent).user_agent()
    assert kept is None or (kept.isascii() and kept.isprintable() and len(kept) <= 256)


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), f"{FORM}; charset=utf-8", f" {FORM} ;x=y"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_form_says_what_it_means_by_its_query(method: str, content_type: str) -> None:
    """A page's form can only POST: `?_method=PUT` or `DELETE` on its action is the method, and no parameter of the query."""
    sent = request(REQUEST_METHOD="POST", CONTENT_TYPE=content_type, QUERY_STRING=f"_method={method}")

    assert (sent.method, sent.query_values()) == (method, {})


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("_method=DELETE&all=true", {"all": "true"}),
        ("_method=DELETE&all=true&x=%26", {"all": "true", "x": "&"}),
        ("_method=DELETE&", {}),
        ("_method=DELETE&_method=PUT", {"_method": "PUT"}),
    ],
)
def test_the_rest_of_the_query_is_kept(query: str, values: dict[str, str]) -> None:
    """What stands behind it is read as ever; a second `_method` is an ordinary parameter, which no route knows."""
    sent = request(REQUEST_METHOD="POST", CONTENT_TYPE=FORM, QUERY_STRING=query)

    assert (sent.method, sent.query_values()) == ("DELETE", values)


def test_the_rest_of_the_query_is_as_strict_as_ever() -> None:
    """A repeated parameter behind `_method` is ambiguous."""
    sent = request(REQUEST_METHOD="POST", CONTENT_TYPE=FORM, QUERY_STRING="_method=DELETE&a=1&a=2")

    assert refusal(sent.query_values) == ("invalid_request", 400)


@pytest.mark.parametrize(
    "wanted", ["GET", "HEAD", "POST", "PATCH", "OPTIONS", "TRACE", "put", "Delete", "", "PUT ", "%50UT", "PUT;", "BREW"]
)
def test_a_form_can_mean_nothing_but_put_and_delete(wanted: str) -> None:
    """Any other word leaves it a POST: a form never becomes a safe method, which nobody guards against forgery."""
    assert request(REQUEST_METHOD="POST", CONTENT_TYPE=FORM, QUERY_STRING=f"_method={wanted}").method == "POST"


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "", "multipart/form-data; boundary=x", FORM + "x", f"x/y; {FORM}"]
)
def test_what_is_no_form_is_what_its_method_says(content_type: str) -> None:
    """A program that posts JSON can use any method itself, so for it the query changes nothing."""
    assert request(REQUEST_METHOD="POST", CONTENT_TYPE=content_type, QUERY_STRING="_method=DELETE").method == "POST"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post"])
def test_only_a_post_is_overridden(method: str) -> None:
    """A link with such a query is still a GET, whatever content type comes with it."""
    assert request(REQUEST_METHOD=method, CONTENT_TYPE=FORM, QUERY_STRING="_method=DELETE").method == method


@pytest.mark.parametrize(
    "query", ["", "a=1", "a=1&_method=DELETE", "&_method=DELETE", "_METHOD=DELETE", "x_method=DELETE", "%5Fmethod=DELETE"]
)
def test_the_method_stands_first_in_the_query(query: str) -> None:
    """It is looked for where our own pages write it, so that a parameter of somebody else's never changes the method."""
    assert request(REQUEST_METHOD="POST", CONTENT_TYPE=FORM, QUERY_STRING=query).method == "POST"


def test_a_query_of_a_request_that_is_no_form_is_whole() -> None:
    """Where `_method` means nothing it is a parameter like any other, and so it is refused by every route that does not know it."""
    for environ in ({}, {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json"}):
        assert request(QUERY_STRING="_method=PUT&a=1", **environ).query_values() == {"_method": "PUT", "a": "1"}
