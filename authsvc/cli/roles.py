"""`authsvc role list|put|delete`: roles, through the same flow, rules and audit as the API."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.events import CLI
from authsvc.flows import roles
from authsvc.flows.core import Core
from authsvc.handlers import fields
from authsvc.rules.access import EVERYTHING


def _of_a_name(act: ArgumentParser) -> None:
    act.add_argument("name", metavar="NAME")


def _of_a_role(act: ArgumentParser) -> None:
    _of_a_name(act)
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


ACTS: Acts = {
    "list": Act("every role with its caps", on_core(_list)),
    "put": Act("make a role, or give it other caps", on_core(_put), _of_a_role),
    "delete": Act("delete a role, and take it from all who have it", on_core(_delete), _of_a_name),
}


def _show(role: roles.Shown, arguments: Namespace) -> None:
    if arguments.json:
        print(json.dumps({"name": role.name, "description": role.description, "caps": list(role.caps), "built_in": role.built_in}))
    else:
        print(f"{role.name:24}  {','.join(role.caps) or '-'}  {role.description}".rstrip())
