"""When a delivery that failed is tried again."""

from __future__ import annotations

FIRST_SECONDS = 15
LONGEST_SECONDS = 3_600
JITTER = 0.25  # of the delay, to either side, so that what failed together does not come back together


def delay_ms(attempts: int, chance: int) -> int:
    """Milliseconds after the so-manieth failure: doubling up to an hour. `chance` is a random byte."""
    seconds = min(FIRST_SECONDS << min(attempts - 1, 20), LONGEST_SECONDS)
    return round(seconds * 1000 * (1 - JITTER + 2 * JITTER * chance / 255))
