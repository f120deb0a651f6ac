"""Waits after failures: some are free, then each wait is twice the last one, up to the cap, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.config.parse import Limit
from authsvc.primitives.delays import blocked_until, wait_ms

FUZZ = settings(deadline=None)
DEFAULT = Limit(3, 300)
LIMITS = st.builds(Limit, st.integers(1, 9_999_999), st.integers(1, 9_999_999))
NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (6, 8), (10, 128), (11, 256), (12, 300), (13, 300), (1_000_000, 300)],
)
def test_three_tries_are_free_and_then_the_wait_doubles(failures: int, seconds: int) -> None:
    """`3/300s`: three tries come at once, the fourth a second later, and no wait is longer than five minutes."""
    assert wait_ms(failures, DEFAULT) == seconds * 1000


@FUZZ
@given(LIMITS, st.integers(0, 2**62))
def test_a_wait_is_never_longer_than_the_cap_and_never_shorter_than_the_last(limit: Limit, failures: int) -> None:
    """And none at all before the free tries are used up."""
    wait = wait_ms(failures, limit)
    assert 0 <= wait <= limit.seconds * 1000
    assert wait <= wait_ms(failures + 1, limit) <= max(2 * wait, 1000)
    assert (wait == 0) is (failures < limit.burst)


@FUZZ
@given(LIMITS, st.integers(0, 60), st.integers(0, 2**53), st.integers(0, 2**53))
def test_whatever_the_clock_did_nobody_waits_for_longer_than_was_said(limit: Limit, failures: int, seen: int, now: int) -> None:
    """B13: an end that is further ahead than its wait was written before the clock was set back."""
    assert blocked_until(seen, failures, now, limit) - now <= wait_ms(failures, limit)
    assert blocked_until(seen, failures, now, limit) <= seen


def test_a_wait_that_was_begun_is_not_shortened() -> None:
    """Within its length the end stands where it was."""
    assert blocked_until(NOW + 3_000, 5, NOW, DEFAULT) == NOW + 3_000
