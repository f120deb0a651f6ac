"""The service's parts for as long as a command runs. A server may be running beside it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
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


def carrying_out(commands: Mapping[str, Callable[[Core, Namespace], None]]) -> Callable[[Settings, Namespace], None]:
    """What carries out the named one of these acts."""

    def run(settings: Settings, arguments: Namespace) -> None:
        with opened(settings) as core:
            commands[arguments.act](core, arguments)

    return run
