"""Promises of moments as text: what RFC 3339 allows is read, whatever its zone, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from authsvc.primitives.times import milliseconds, timestamp

ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=ZONES))
def test_every_moment_is_read_as_the_standard_library_writes_it(at: datetime) -> None:
    """To the millisecond, and as `timestamp` writes it again. In UTC its year has four digits, too."""
    assume(1 < at.year < 9999)
    expected = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    assert milliseconds(at.isoformat()) == expected
    assert expected < 0 or milliseconds(timestamp(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1985-04-12T23:20:50.52Z", 482_196_050_520),  # the examples of RFC 3339 section 5.8
        ("1996-12-19T16:39:57-08:00", 851_042_397_000),
        ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130),
        ("2026-01-31t12:30:00.123456789z", 1_769_862_600_123),
    ],
)
def test_the_examples_of_the_standard_are_read(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:30:00",
        "2026-01-31 12:30:00Z",
        "20260131T123000Z",
        "2026-W05-6T12:30:00Z",
        "2026-01-31T12:30Z",
        "2026-01-31T12:30:00123Z",
        "2026-01-31T12:30:00,5Z",
        "2026-01-31T12:30:00.Z",
        "2026-01-31T12:30:00+0100",
        "2026-01-31T12:30:00+01:00:30",
        "2026-02-30T12:30:00Z",
        "2026-01-31T24:01:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "٢٠٢٦-01-31T12:30:00Z",
        "2026-01-31T12:30:00Z\n",
    ],
)
def test_what_is_no_moment_of_the_standard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        milliseconds(text)
