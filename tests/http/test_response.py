"""Answers: a problem always has the members of RFC 9457 and ours, and can be written whatever it tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http.response import STATUS_LINES, answer, nothing, refusal
from authsvc.problems import KINDS, Fault, Problem

BASE = "https://auth.example.com/a"


def members(problem: Problem) -> dict[str, Any]:
    """The members of a refusal, read back from its bytes."""
    found: dict[str, Any] = json.loads(refusal(problem, BASE, "r1").body.decode("utf-8"))
    return found


@pytest.mark.parametrize("code", KINDS)
def test_every_problem_has_the_promised_members(code: str) -> None:
    """type, title, status, detail, code and request_id are there; errors and retry_after only where they apply."""
    kind = KINDS[code]
    response = refusal(Problem(code), BASE, "r1")
    assert (response.status, response.content_type) == (kind.status, "application/problem+json")
    assert members(Problem(code)) == {
        "type": f"{BASE}/problems/{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.meaning,
        "code": code,
        "request_id": "r1",
    }


def test_faults_and_waiting_times_are_told_where_they_apply() -> None:
    """Each entry of `errors` has its field, code and detail; `retry_after` equals the header."""
    response = refusal(Problem("rate_limited", "Wait.", retry_after=7, errors=[Fault("a", "invalid", "No.")]), BASE, "r1")
    told = json.loads(response.body)
    assert told["errors"] == [{"field": "a", "code": "invalid", "detail": "No."}]
    assert (told["retry_after"], told["detail"]) == (7, "Wait.")
    assert ("Retry-After", "7") in response.headers


def test_the_reason_of_a_problem_is_never_shown() -> None:
    """`reason` is for the log: a path or a database message must not reach the caller."""
    response = refusal(Problem("unavailable", reason="disk /srv/secret is full", retry_after=5), BASE, "r1")
    assert b"secret" not in response.body
    assert "secret" not in str(response.headers)


@pytest.mark.parametrize(
    ("code", "challenge"),
    [
        ("unauthenticated", 'Bearer realm="authsvc"'),
        ("invalid_credentials", 'Bearer realm="authsvc"'),
        ("invalid_token", 'Bearer realm="authsvc", error="invalid_token"'),
        ("token_expired", 'Bearer realm="authsvc", error="invalid_token", error_description="expired"'),
        ("reauthentication_required", 'Bearer realm="authsvc", error="insufficient_user_authentication", max_age="900"'),
    ],
)
def test_every_401_carries_a_challenge(code: str, challenge: str) -> None:
    """RFC 6750 section 3: no error code unless a token was shown; RFC 9470 for a step up."""
    assert refusal(Problem(code), BASE, "r1").headers == [("WWW-Authenticate", challenge)]


@pytest.mark.parametrize("code", [code for code, kind in KINDS.items() if kind.status != 401])
def test_only_a_401_carries_a_challenge(code: str) -> None:
    """Other refusals ask nobody to sign in."""
    assert "WWW-Authenticate" not in dict(refusal(Problem(code), BASE, "r1").headers)


def test_a_status_of_its_own_is_told_alike_in_line_and_body() -> None:
    """An ambiguous request is `invalid_request` with 400 in both places."""
    problem = Problem("invalid_request", status=400)
    assert (refusal(problem, BASE, "r1").status, members(problem)["status"]) == (400, 400)


@settings(deadline=None, max_examples=100)
@given(st.text(), st.sampled_from(["", "\ud800", "x\udfff", '"\\\n', "\x00\x1b", "é€😀"]))
def test_a_refusal_can_be_written_whatever_the_field_was_called(text: str, tail: str) -> None:
    """A caller may name a field with a lone surrogate; the refusal is still UTF-8 JSON."""
    name = text + tail
    told = members(Problem("invalid_request", errors=[Fault(name, "unknown_field", "There is no such field.")]))
    assert [fault["code"] for fault in told["errors"]] == ["unknown_field"]
    told["errors"][0]["field"].encode("utf-8", "surrogatepass")


def test_json_is_compact_utf8() -> None:
    """An answer is one line of UTF-8 without spaces to spare."""
    response = answer({"a": [1, "é"], "b": None}, 201, [("X", "y")])
    assert response.body == '{"a":[1,"é"],"b":null}'.encode()
    assert (response.status, response.content_type, response.headers) == (201, "application/json", [("X", "y")])


def test_nothing_is_204_without_a_body_or_a_type() -> None:
    """204 has no content to describe."""
    response = nothing()
    assert (response.status, response.body, response.content_type) == (204, b"", None)


def test_every_status_that_we_use_has_its_line() -> None:
    """No refusal lacks a reason phrase, in any supported Python."""
    for kind in KINDS.values():
        assert STATUS_LINES[kind.status].startswith(f"{kind.status} ")
