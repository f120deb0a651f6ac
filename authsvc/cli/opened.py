"""The service's parts for as long as a command runs. A server may be running beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from authsvc.app import assemble
from authsvc.config.settings import Settings
from authsvc.flows.core import Core
from authsvc.world import World


@contextmanager
def opened(settings: Settings, world: World | None = None) -> Iterator[Core]:
    """Raises Refused when something that a start needs is missing or wrong."""
    core = assemble(settings, world or World())
    try:
        yield core
    finally:
        core.close()
