"""Running a coroutine where another event loop may be running already, as that of a browser's driver."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def apart(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it gives, in a thread and a loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
