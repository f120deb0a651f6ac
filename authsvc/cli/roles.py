"""`authsvc role list|put|delete`: roles, through the same flow, rules and audit as the API."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping

from authsvc.cli.opened import carrying_out
from authsvc.events import CLI
from authsvc.flows import roles
from authsvc.flows.core import Core
from authsvc.handlers import fields
from authsvc.rules.access import EVERYTHING


def add_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    for name in COMMANDS:
        act = acts.add_parser(name)
        act.add_argument("--json", action="store_true", help="one JSON object (a line for each, in lists)")
        if name != "list":
            act.add_argument("name", metavar="NAME")
        if name == "put":
            act.add_argument("--cap", action="append", default=[], metavar="CAP", help="all that the role has, each by its own --cap")
            act.add_argument("--description", metavar="TEXT")


def _list(core: Core, arguments: Namespace) -> None:
    for role in roles.every(core):
        _show(role, arguments)


def _put(core: Core, arguments: Namespace) -> None:
    name, caps = fields.role(arguments.name), fields.caps(arguments.cap)
    _show(roles.put(core, name, arguments.description, caps, CLI, EVERYTHING)[0], arguments)


def _delete(core: Core, arguments: Namespace) -> None:
    roles.remove(core, arguments.name, CLI, EVERYTHING)
    print(json.dumps({"deleted": arguments.name}) if arguments.json else f"deleted {arguments.name}")


COMMANDS: Mapping[str, Callable[[Core, Namespace], None]] = {"list": _list, "put": _put, "delete": _delete}
run = carrying_out(COMMANDS)


def _show(role: roles.Shown, arguments: Namespace) -> None:
    if arguments.json:
        print(json.dumps({"name": role.name, "description": role.description, "caps": list(role.caps), "built_in": role.built_in}))
    else:
        print(f"{role.name:24}  {','.join(role.caps) or '-'}  {role.description}".rstrip())
