"""Token buckets: never more than the burst and what came back, an honest Retry-After, and a clock that steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.config.parse import Limit
from authsvc.primitives import buckets
from authsvc.primitives.buckets import Charge, MemoryBuckets, allowed, interval_ms, refused, take

START = 1_800_000_000_000
DAY = 86_400_000
LIMITS = st.builds(Limit, st.integers(1, 1_000), st.integers(1, 86_400))
PAUSES = st.lists(st.one_of(st.just(0), st.integers(0, 2_000), st.integers(0, 2 * DAY)), max_size=60)
STEPS = st.lists(st.one_of(st.just(0), st.integers(0, 5_000), st.integers(-DAY, DAY)), max_size=60)


@settings(deadline=None)
@given(LIMITS, PAUSES)
def test_no_window_has_more_than_the_burst_and_what_came_back(limit: Limit, pauses: list[int]) -> None:
    """However requests are spread, between any two of them pass at most the burst and the refill of that time."""
    passed = [now for now, charge in run(limit, times(pauses)) if charge.allowed]
    for first, begin in enumerate(passed):
        for last in range(first, len(passed)):
            came_back = (passed[last] - begin) * limit.burst / (limit.seconds * 1000)
            assert last - first + 1 <= limit.burst + came_back


@settings(deadline=None)
@given(LIMITS)
def test_a_rested_bucket_gives_its_whole_burst_at_once(limit: Limit) -> None:
    """The whole burst passes in one instant, and not one more; `remaining` counts down to nothing."""
    charges = [charge for _, charge in run(limit, [START] * (limit.burst + 1))]
    assert [charge.allowed for charge in charges] == [True] * limit.burst + [False]
    assert [charge.remaining for charge in charges] == [*range(limit.burst - 1, -1, -1), 0]
    assert {charge.retry_after for charge in charges[:-1]} <= {0}


@settings(deadline=None)
@given(LIMITS)
def test_after_its_time_a_bucket_is_as_good_as_new(limit: Limit) -> None:
    """`burst/seconds` means that the burst has come back after so many seconds, whatever was left."""
    window = interval_ms(limit) * limit.burst
    assert abs(window - limit.seconds * 1000) <= limit.burst, "but for the rounding of one token's interval to whole ms"
    charges = run(limit, [START] * (limit.burst + 3) + [START + window] * (limit.burst + 1))
    assert [charge.allowed for _, charge in charges[limit.burst + 3 :]] == [True] * limit.burst + [False]


@settings(deadline=None)
@given(LIMITS, PAUSES)
def test_whoever_waits_as_told_is_let_in(limit: Limit, pauses: list[int]) -> None:
    """Retry-After is honest: after that many seconds, with nobody else asking, there is a token; a second earlier there is none."""
    full_at = 0
    for now in times(pauses):
        taken = take(full_at, now, limit)
        if taken is not None:
            full_at = taken
            continue
        wait = refused(full_at, now, limit).retry_after
        assert wait >= 1
        assert take(full_at, now + wait * 1000, limit) is not None
        assert wait == 1 or take(full_at, now + (wait - 1) * 1000, limit) is None


@settings(deadline=None)
@given(LIMITS, PAUSES)
def test_what_is_told_of_a_bucket_is_so(limit: Limit, pauses: list[int]) -> None:
    """`remaining` more pass at once and not one more; after `reset` seconds nothing of the past counts."""
    full_at = 0
    for now in times(pauses):
        taken = take(full_at, now, limit)
        if taken is None:
            continue
        full_at = taken
        charge = allowed(full_at, now, limit)
        after = full_at
        for _ in range(charge.remaining):
            more = take(after, now, limit)
            assert more is not None
            after = more
        assert take(after, now, limit) is None
        assert full_at <= now + charge.reset * 1000 < full_at + 1000


@settings(deadline=None)
@given(LIMITS, STEPS)
def test_a_clock_that_steps_gives_nobody_more_than_a_burst_at_once(limit: Limit, steps: list[int]) -> None:
    """B13: whatever the clock does, no instant has more than the burst."""
    passed = [now for now, charge in run(limit, times(steps)) if charge.allowed]
    run_length = longest = 0
    for place, now in enumerate(passed):
        run_length = run_length + 1 if place and passed[place - 1] == now else 1
        longest = max(longest, run_length)
    assert longest <= limit.burst


@settings(deadline=None)
@given(LIMITS, st.integers(1, 400 * DAY), st.integers(1, 1_000))
def test_a_clock_set_back_locks_nobody_out_for_longer_than_told(limit: Limit, back: int, used: int) -> None:
    """B13: a bucket of the time before the step counts as empty and no more: after Retry-After there is a token."""
    memory = MemoryBuckets()
    for _ in range(min(used, limit.burst)):
        memory.charge("login", "key", limit, START)
    now = START - back
    for _ in range(limit.burst + 2):
        charge = memory.charge("login", "key", limit, now)
        if not charge.allowed:
            break
    assert not charge.allowed
    assert memory.charge("login", "key", limit, now + charge.retry_after * 1000).allowed


@pytest.mark.parametrize(
    ("limit", "interval"), [(Limit(10, 300), 30_000), (Limit(1, 1), 1_000), (Limit(600, 60), 100), (Limit(1_000, 1), 1)]
)
def test_tokens_come_back_evenly(limit: Limit, interval: int) -> None:
    """One token every seconds/burst; the next one not a millisecond earlier."""
    assert interval_ms(limit) == interval
    charges = run(limit, [START] * limit.burst + [START + interval - 1, START + interval, START + interval])
    assert [charge.allowed for _, charge in charges[limit.burst :]] == [False, True, False]


@pytest.mark.parametrize("limit", [Limit(7, 60), Limit(700, 1), Limit(999, 1), Limit(9_999_999, 1), Limit(3, 1)])
def test_a_rate_that_is_no_whole_number_of_milliseconds_is_never_exceeded(limit: Limit) -> None:
    """Rounding is to the safe side: over ten windows no more passes than the burst and ten refills."""
    window = limit.seconds * 1000
    step = max(1, window // limit.burst // 3)
    passed = sum(charge.allowed for _, charge in run(limit, range(START, START + min(10 * window, 30_000), step)))
    assert passed <= limit.burst + min(10 * window, 30_000) * limit.burst / window


def test_buckets_of_other_names_and_keys_are_apart() -> None:
    """Nobody pays for another, nor for another limit."""
    memory = MemoryBuckets()
    limit = Limit(1, 60)
    for name, key in (("read", "a"), ("read", "b"), ("refresh", "a"), ("read", "")):
        assert [memory.charge(name, key, limit, START).allowed for _ in range(2)] == [True, False]


def test_a_refusal_takes_nothing() -> None:
    """Asking while empty does not put the next token off."""
    memory = MemoryBuckets()
    limit = Limit(1, 10)
    assert memory.charge("read", "a", limit, START).allowed
    assert [memory.charge("read", "a", limit, START + 100 * number).allowed for number in range(1, 100)] == [False] * 99
    assert memory.charge("read", "a", limit, START + 10_000).allowed


def test_the_memory_of_buckets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys there are, only so many are kept, and the latest are among them."""
    monkeypatch.setattr(buckets, "MEMORY_KEYS", 10)
    memory = MemoryBuckets()
    limit = Limit(1, 60)
    for number in range(1_000):
        assert memory.charge("read", f"{number}", limit, START).allowed
        assert len(memory._full_at) <= 10
    assert not memory.charge("read", "999", limit, START).allowed


def run(limit: Limit, moments: Sequence[int] | range) -> list[tuple[int, Charge]]:
    """What one bucket answers at these times."""
    memory = MemoryBuckets()
    return [(now, memory.charge("read", "key", limit, now)) for now in moments]


def times(steps: list[int]) -> list[int]:
    now = START
    found = []
    for step in steps:
        now += step
        found.append(now)
    return found
