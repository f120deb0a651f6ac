"""Bodies: any bytes become one dict or one documented refusal, and nothing hostile costs more than it weighs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http import body
from authsvc.problems import Problem

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)
FUZZ = settings(deadline=None, max_examples=150)


class Counted(io.BytesIO):
    """An input that remembers how much was taken from it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found


def environ(raw: bytes, content_type: str = "application/json", length: str | None = None, **more: Any) -> dict[str, Any]:
    """What a WSGI host would give."""
    declared = str(len(raw)) if length is None else length
    return {"wsgi.input": Counted(raw), "CONTENT_TYPE": content_type, "CONTENT_LENGTH": declared, **more}


def refusal(env: dict[str, Any]) -> Problem:
    """The problem that parsing this body raises."""
    with pytest.raises(Problem) as caught:
        body.parse(env)
    return caught.value


def outcome(act: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the problem that it raises."""
    try:
        return act(*arguments)
    except Problem as problem:
        return problem


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_refusal(raw: bytes) -> None:
    """Whatever the bytes, a JSON body is a dict or `invalid_json`, never another exception."""
    found = outcome(body.parse_json, raw)
    assert type(found) is dict or (found.code, found.status) == ("invalid_json", 400)


@FUZZ
@given(st.text(alphabet='{}[]":,0123456789.eE+-\\udtrfalsn \t\x00\ufeff', max_size=60))
def test_any_text_near_json_is_an_object_or_a_refusal(text: str) -> None:
    """Text made of JSON's own characters gets no other exception either."""
    found = outcome(body.parse_json, b'{"a":' + text.encode() + b"}")
    assert type(found) is dict or found.code == "invalid_json"


@FUZZ
@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_every_strict_object_arrives_unchanged(value: dict[str, Any]) -> None:
    """What a strict encoder wrote is read back as it was."""
    assert value == body.parse_json(json.dumps(value).encode())


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_of_a_form_are_fields_or_a_refusal(raw: bytes) -> None:
    """Whatever the bytes, a form is a dict or a 400, never another exception."""
    found = outcome(body.parse_form, raw)
    assert type(found) is dict or (found.code, found.status) == ("invalid_request", 400)


@FUZZ
@given(st.text(alphabet="ab.=&%C3ED0A80+;", max_size=60))
def test_any_text_near_a_form_is_fields_or_a_refusal(text: str) -> None:
    """Text made of a form's own characters yields objects and text that is not empty, and nothing else."""
    found = outcome(body.parse_form, text.encode())
    if isinstance(found, Problem):
        assert (found.code, found.status) == ("invalid_request", 400)
    else:
        values = [inner for value in found.values() for inner in (value.values() if isinstance(value, dict) else [value])]
        assert all(type(value) is str and value for value in values)


@pytest.mark.parametrize(
    "raw",
    [
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"{}{}",
        b"{}x",
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1,}',
        b'{"a":1}//',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\x00"}',
        b'{"a":"\n"}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":0x10}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[{"b":1,"b":2}]}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_not_strict_json_is_refused(raw: bytes) -> None:
    """No byte order mark, other encoding, second value, repeated key, number that is none, or depth gets in."""
    problem = refusal(environ(raw))
    assert (problem.code, problem.status) == ("invalid_json", 400)
    assert "Traceback" not in problem.detail
    assert len(problem.detail) < 200


@pytest.mark.parametrize(("levels", "accepted"), [(31, True), (32, True), (33, False)])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_ends_at_32_levels(levels: int, accepted: bool, opening: str, closing: str) -> None:
    """The object itself is the first level; the thirty-second is the last, for lists as for objects."""
    inner = levels - 1
    leaf = "1" if opening != "[" else ""
    raw = ('{"a":' + opening * inner + leaf + closing * inner + "}").encode()
    if accepted:
        assert "a" in body.parse(environ(raw))
    else:
        assert refusal(environ(raw)).code == "invalid_json"


def test_the_refusal_of_malformed_json_quotes_nothing_of_it() -> None:
    """The detail names a position, never the content: it could be a password."""
    problem = refusal(environ(b'{"password":"hunter2" oops}'))
    assert "line 1" in problem.detail
    assert "hunter2" not in problem.detail
    assert "oops" not in problem.detail


def test_an_absent_body_is_an_empty_object() -> None:
    """No body, whatever the content type says, stands for no fields."""
    for content_type in ("", "application/json", "text/plain", "application/x-www-form-urlencoded"):
        assert body.parse(environ(b"", content_type)) == {}
        assert body.parse(environ(b"", content_type, length="")) == {}


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", " application/json ;x=y", "APPLICATION/JSON;"],
)
def test_json_is_known_by_its_media_type_alone(content_type: str) -> None:
    """Case and parameters of the content type do not matter (RFC 9110 section 8.3.1)."""
    assert body.parse(environ(b'{"a":1}', content_type)) == {"a": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/json+x",
        "multipart/form-data",
        "application/xml",
        "application/ json",
        "*/*",
    ],
)
def test_other_media_types_are_refused(content_type: str) -> None:
    """A body that is not declared as JSON or a form is 415 and tells what is accepted: no browser sends JSON unasked."""
    problem = refusal(environ(b'{"a":1}', content_type))
    assert (problem.code, problem.status) == ("unsupported_media_type", 415)
    assert ("Accept", "application/json") in problem.headers


@pytest.mark.parametrize("length", ["-1", "+1", "1.0", "1e2", "0x10", " 7", "7 ", "7,7", "1_0", "seven", "٧", "²", "\x007"])
def test_a_content_length_that_is_no_number_is_refused(length: str) -> None:
    """Only ASCII digits are a length; nothing is read otherwise."""
    env = environ(b'{"a":1}', length=length)
    problem = refusal(env)
    assert (problem.code, problem.status) == ("invalid_request", 400)
    assert env["wsgi.input"].taken == 0


@pytest.mark.parametrize("length", ["65537", "99999999999999999999", "1" + "0" * 5_000])
def test_a_declared_length_over_the_cap_is_refused_unread(length: str) -> None:
    """A body that says it is too large is refused before a byte of it is read."""
    env = environ(b"{}", length=length)
    assert refusal(env).code == "body_too_large"
    assert env["wsgi.input"].taken == 0


def test_leading_zeros_do_not_shorten_a_body() -> None:
    """Content-Length is a decimal number (RFC 9110 section 8.6): zeros before it change nothing, and none are the body's end."""
    assert body.parse(environ(b'{"a":1}', length="0" * 20 + "7")) == {"a": 1}


def test_a_body_shorter_than_declared_is_refused() -> None:
    """A connection that broke off is never taken for a whole body, even if what came is valid."""
    problem = refusal(environ(b'{"a":1}', length="8"))
    assert (problem.code, problem.status) == ("invalid_request", 400)


def test_a_body_longer_than_declared_is_read_to_its_declared_end() -> None:
    """What comes after the declared length belongs to somebody else and stays where it is."""
    env = environ(b'{"a":1}GET / HTTP/1.1', length="7")
    assert body.parse(env) == {"a": 1}
    assert env["wsgi.input"].taken == 7


def test_a_body_at_the_cap_is_read_and_one_above_is_not() -> None:
    """64 KiB is the most, to the byte."""
    raw = b'{"a":"' + b"x" * (body.MAX_BYTES - 8) + b'"}'
    assert len(raw) == 65_536
    assert len(body.parse(environ(raw))["a"]) == body.MAX_BYTES - 8
    assert refusal(environ(raw + b" ")).code == "body_too_large"


def test_without_a_length_only_a_terminated_input_is_read() -> None:
    """Where the host does not promise to end the input, reading on could hang for ever, so there is no body."""
    env = environ(b'{"a":1}', length="")
    assert body.parse(env) == {}
    assert env["wsgi.input"].taken == 0
    assert body.parse(environ(b'{"a":1}', length="", **{"wsgi.input_terminated": True})) == {"a": 1}


def test_a_chunked_body_that_the_host_does_not_give_is_refused() -> None:
    """411, and nothing is read: taken for an empty body it would be another request than the one that was sent."""
    env = environ(b'{"a":1}', length="", HTTP_TRANSFER_ENCODING="chunked")
    refused = refusal(env)
    assert (refused.status, refused.code) == (411, "length_required")
    assert env["wsgi.input"].taken == 0
    assert body.parse(environ(b'{"a":1}', length="", HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})) == {"a": 1}


class Broken(Exception):
    """What only some host knows."""


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("bad chunk"), Broken()])
@pytest.mark.parametrize("length", ["7", ""])
def test_a_host_that_fails_to_read_is_a_400(error: Exception, length: str) -> None:
    """A broken chunk, or a client that went away: each host has its own exception, and none of them is a fault of ours."""

    class Failing(Counted):
        def read(self, _size: int | None = -1) -> bytes:
            raise error

    env = environ(b'{"a":1}', length=length, **{"wsgi.input_terminated": True}) | {"wsgi.input": Failing()}
    refused = refusal(env)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert str(error) not in (refused.reason or "") or str(error) == ""


def test_two_ways_to_frame_a_body_are_a_400() -> None:
    """F1: a host that lets both through may have read either."""
    env = environ(b'{"a":1}', HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})
    refused = refusal(env)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert env["wsgi.input"].taken == 0


def test_an_endless_terminated_input_is_read_to_just_past_the_cap() -> None:
    """A chunked body over the cap costs 64 KiB and a byte, however long it goes on."""
    env = environ(b"{" + b" " * 1_000_000, length="", **{"wsgi.input_terminated": True})
    assert refusal(env).code == "body_too_large"
    assert env["wsgi.input"].taken == body.MAX_BYTES + 1


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=", {}),
        (b"a=&b=1&c=", {"b": "1"}),
        (b"a=%20", {"a": " "}),
        (b"a=+%2B+", {"a": " + "}),
        (b"a=%C3%A9", {"a": "é"}),
        (b"options.setCookie=on&email=a%40b.c", {"options": {"setCookie": "on"}, "email": "a@b.c"}),
        (b"options.a=1&options.b=2", {"options": {"a": "1", "b": "2"}}),
        (b"options.a=1&options.b=", {"options": {"a": "1"}}),
        (b"a.b.c=1", {"a": {"b.c": "1"}}),
    ],
)
def test_a_form_becomes_fields(raw: bytes, fields: dict[str, Any]) -> None:
    """Names and values are decoded; one dot makes a member of an object; a field that was left empty is absent."""
    assert fields == body.parse(environ(raw, FORM + "; charset=utf-8"))


@pytest.mark.parametrize(
    "raw",
    [
        b"a",
        b"a=1&b",
        b"a=1&&b=2",
        b"a=1&a=2",
        b"a=&a=2",
        b"a=1&a=",
        b"a=&a=",
        b"o.a=&o.a=1",
        b"o=&o.a=1",
        b"a=1&%61=2",
        b"o.a=1&o.a=2",
        b"o=1&o.a=2",
        b"o.a=1&o=2",
        b"a=%ff",
        b"a=%ED%A0%80",
        b"a=\xc3\xa9",
        b"&".join(b"f%d=1" % number for number in range(101)),
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_a_malformed_or_ambiguous_form_is_refused(raw: bytes) -> None:
    """Repeated fields, fields that are text and object at once, other encodings and too many fields are 400."""
    problem = refusal(environ(raw, FORM))
    assert (problem.code, problem.status) == ("invalid_request", 400)
