"""Promises of primitives/breaches.py: little goes out, and the answer is read strictly."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives.breaches import count, hashed

SUFFIX = "1E4C9B93F3F0682250B6CF8331B7EE68FD8"


def test_the_password_named_password() -> None:
    """The example that the API's own documentation is about."""
    assert hashed("password") == ("5BAA6", SUFFIX)


@given(st.text(st.characters(codec="utf-8")))
def test_prefix_and_suffix_are_the_whole_hash(password: str) -> None:
    """Of the UTF-8 bytes, in upper case."""
    asked = hashed(password)
    assert asked.prefix + asked.suffix == hashlib.sha1(password.encode()).hexdigest().upper()
    assert len(asked.prefix) == 5


@pytest.mark.parametrize(
    ("answer", "times"),
    [
        (f"{'0' * 35}:3\r\n{SUFFIX}:52256179", 52_256_179),
        (f"{'0' * 35}:3\r\n{SUFFIX}:0\r\n", 0),
        (f"{'0' * 35}:3\r\n{'F' * 35}:1\r\n", 0),
        (f"{SUFFIX}:0\r\n{SUFFIX}:7\r\n", 7),
    ],
    ids=["seen", "padding", "others", "padding and seen"],
)
def test_an_answer_is_read(answer: str, times: int) -> None:
    """Lines of a suffix and a count; padding counts nothing."""
    assert count(answer.encode(), SUFFIX) == times


@pytest.mark.parametrize("answer", ["", "<html>", f"{SUFFIX}", f"{SUFFIX}:x", f"{SUFFIX.lower()}:1", f"{SUFFIX}:-1", f"{SUFFIX}:1\n{{}}"])
def test_what_is_no_answer_is_none(answer: str) -> None:
    """Not even where a good line is among others."""
    with pytest.raises(ValueError, match="not a list"):
        count(answer.encode(), SUFFIX)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_that(answer: bytes) -> None:
    """Any answer gives a number or that error."""
    try:
        assert count(answer, SUFFIX) >= 0
    except ValueError as error:
        assert str(error) == "not a list of hashes and counts"  # noqa: PT017 - both ends are right
