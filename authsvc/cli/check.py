"""`authsvc check`: whether everything that the service needs is there and well, and what to do where it is not."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from authsvc.cli import check_here, check_there
from authsvc.cli.findings import FAIL, Finding, show, worst
from authsvc.cli.opened import opened
from authsvc.config import sources
from authsvc.config.settings import Settings
from authsvc.problems import Problem, Refused
from authsvc.store import keyfile
from authsvc.store.inspection import Inspection, inspect
from authsvc.world import World

FOUND_BAD = 1
INSIDE = (check_here.needs, check_here.outbox, check_here.webhooks, check_here.audit)


def add_options(command: ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: Namespace) -> int:
    """Look at everything, beside a running server or before the first start. Exit status 1 when something fails; nothing is
    changed, and nothing sent."""
    found = _everything()
    show(found, as_json=arguments.json)
    return FOUND_BAD if worst(found) == FAIL else 0


def _everything() -> list[Finding]:
    try:
        settings = sources.from_environment()
    except Refused as refused:
        return [Finding("settings", FAIL, str(refused), "correct them; nothing else was looked at")]
    world = World()
    found = [*check_here.settings(settings), *check_here.proxies(settings)]
    try:
        inspection = inspect(settings.database)
    except Refused as refused:
        found.append(Finding("database", FAIL, str(refused), "restore it, or set AUTHSVC_DATABASE to another path"))
    else:
        needed = [*check_here.database(settings, inspection), *check_here.key(settings, inspection)]
        found += [*needed, *check_here.clock(inspection, world.now())]
        if inspection is not None and worst(needed) != FAIL and inspection.schema >= inspection.newest:
            found += _inside(settings, inspection)
    return found + check_there.all_at_once(settings, world)


def _inside(settings: Settings, inspection: Inspection) -> list[Finding]:
    """What only an opened database tells. It is opened where that changes nothing: a key that it does not know would be noted."""
    try:
        if keyfile.keyring(settings, inspection.path, check_here.Quiet(), may_make=False).current.kid not in inspection.kids:
            return []
        with opened(settings, check_here.Quiet()) as core:
            return [finding for check in INSIDE for finding in check(core)]
    except (Refused, Problem) as error:
        return [Finding("database", FAIL, getattr(error, "reason", None) or str(error))]
