"""Waits that grow with the failures in a row: some are free, then each wait is twice the last one, up to a cap."""

from __future__ import annotations

from authsvc.config.parse import Limit

FIRST_MS = 1_000
KEPT_MS = 3_600_000  # so long after the last wait the failures are forgotten


def wait_ms(failures: int, limit: Limit) -> int:
    """How long nothing is tried after so many failures in a row. `limit.burst` tries come without a wait between them, and
    `limit.seconds` is the longest one."""
    if failures < limit.burst:
        return 0
    doublings = min(failures - limit.burst, 40)  # beyond any cap; and no number that the store could not hold
    return min(FIRST_MS << doublings, limit.seconds * 1000)


def blocked_until(seen: int, failures: int, now: int, limit: Limit) -> int:
    """The end of a wait (ms). One further ahead than its length comes from a clock that was set back, or from a setting that
    was lowered: it begins anew, and is no longer than it should be."""
    return min(seen, now + wait_ms(failures, limit))
