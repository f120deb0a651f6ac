"""Commands that have several acts, such as `authsvc user create`: one table a command says which, what for, and what carries them out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from authsvc.cli.opened import opened
from authsvc.config.settings import Settings
from authsvc.flows.core import Core

Run = Callable[[Settings, Namespace], int | None]


@dataclass(frozen=True, slots=True)
class Act:
    """What it is for, what carries it out and may return an exit status, and the options that it takes beside --json."""

    help: str
    run: Run
    add_options: Callable[[ArgumentParser], object] | None = None
    has_json: bool = True


Acts = Mapping[str, Act]


def on_core(act: Callable[[Core, Namespace], int | None]) -> Run:
    """What needs the service's parts, and has them for as long as it runs. A server may be running beside it."""

    def run(settings: Settings, arguments: Namespace) -> int | None:
        with opened(settings) as core:
            return act(core, arguments)

    return run


def add_acts(command: ArgumentParser, acts: Acts) -> None:
    """A parser for each act."""
    named = command.add_subparsers(dest="act", required=True, metavar="ACT")
    for name, act in acts.items():
        parser = named.add_parser(name, help=act.help, description=act.help)
        if act.has_json:
            parser.add_argument("--json", action="store_true", help="one JSON object (a line for each, in lists)")
        if act.add_options is not None:
            act.add_options(parser)


def carry_out(acts: Acts, settings: Settings, arguments: Namespace) -> int | None:
    """The act that was named."""
    return acts[arguments.act].run(settings, arguments)
