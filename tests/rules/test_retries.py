"""The delays of deliveries that failed: they grow, are spread, and have an upper bound."""

from __future__ import annotations

import pytest

from authsvc.rules.retries import FIRST_SECONDS, JITTER, LONGEST_SECONDS, delay_ms


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 15), (2, 30), (3, 60), (4, 120), (8, 1_920), (9, 3_600), (10, 3_600)])
def test_the_delay_doubles_up_to_an_hour(attempts: int, seconds: int) -> None:
    """15 seconds after the first failure, then twice as long each time, and never more than an hour, less or plus a quarter."""
    assert delay_ms(attempts, 0) == seconds * 750
    assert delay_ms(attempts, 255) == seconds * 1_250
    assert abs(delay_ms(attempts, 127) - seconds * 1_000) <= seconds * 2


@pytest.mark.parametrize("attempts", [1, 5, 9, 1_000, 10**9])
def test_every_chance_gives_another_delay_within_the_bounds(attempts: int) -> None:
    """What failed together does not come back together, and no number of failures makes the delay overflow."""
    delays = [delay_ms(attempts, chance) for chance in range(256)]
    assert delays == sorted(set(delays))
    assert delays[0] >= FIRST_SECONDS * 1000 * (1 - JITTER)
    assert delays[-1] <= LONGEST_SECONDS * 1000 * (1 + JITTER)
