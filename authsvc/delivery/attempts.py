"""Acts of threads that go on whatever happens: one that fails is told in the log, and tried again by a later turn."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from authsvc.problems import Problem
from authsvc.world import ERROR, WARNING, World


def attempt(world: World, what: str, act: Callable[[], int]) -> int:
    """How much the act did; 0 where it failed."""
    try:
        return act()
    except Problem as problem:  # the store is busy or away; it comes back, or the operator does
        world.log(f"{what}: {problem.code}: {problem.reason}", WARNING)
    except Exception:  # noqa: BLE001 - whatever it was, the next turn may do better
        world.log(f"{what}: {traceback.format_exc()}", ERROR)
    return 0
