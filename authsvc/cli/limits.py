"""`authsvc limits list|clear`: how it stands with the limits, and letting those through again who were stopped by mistake."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.config.limits import LIMITS
from authsvc.events import CLI
from authsvc.flows import limits
from authsvc.flows.core import Core
from authsvc.flows.limits import State
from authsvc.problems import Invalid
from authsvc.rules.limits import IN_MEMORY, key_of_text

STORED = [name for name in LIMITS if name not in IN_MEMORY]


def _of_a_limit(act: ArgumentParser) -> None:
    which = act.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", metavar="NAME", choices=LIMITS, help="a limit, as `limits list` names it")
    which.add_argument("--all", action="store_true", help="every limit")
    of = "only this e-mail address, network, or both, or id; without it, all that the limit counts"
    act.add_argument("--of", metavar="TEXT", help=of)


def _list(core: Core, arguments: Namespace) -> None:
    for state in limits.states(core):
        _show(state, arguments)


def _clear(core: Core, arguments: Namespace) -> None:
    if arguments.all and arguments.of is not None:
        raise Invalid("not_allowed", "--of goes with one limit; --all takes none.")
    if arguments.name in IN_MEMORY:
        raise Invalid("not_allowed", f"{arguments.name} is counted in the memory of each process; only a restart clears it.")
    whose = None if arguments.of is None else key_of_text(LIMITS[arguments.name].keyed_by, arguments.of)
    cleared = limits.clear(core, STORED if arguments.all else [arguments.name], whose, CLI)
    print(json.dumps({"cleared": cleared}) if arguments.json else f"cleared {cleared}")


ACTS: Acts = {
    "list": Act("each limit, how many of its buckets are used, and how many are empty", on_core(_list)),
    "clear": Act("let those through again who have to wait", on_core(_clear), _of_a_limit),
}


def _show(state: State, arguments: Namespace) -> None:
    declared = LIMITS[state.name]
    if arguments.json:
        kind = "delay" if declared.delays else "bucket"
        shown = {"name": state.name, "setting": str(state.limit), "keyed_by": declared.keyed_by, "kind": kind}
        print(json.dumps(shown | {"in_memory": state.used is None, "used": state.used, "empty": state.empty}))
        return
    used, empty = ("have failed", "have to wait") if declared.delays else ("not full", "empty")
    counted = "in the memory of each process" if state.used is None else f"{state.used} {used}, {state.empty} {empty}"
    print(f"{state.name:16} {state.limit!s:12} {declared.keyed_by:28} {counted}")
