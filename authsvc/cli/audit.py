"""`authsvc audit verify`: whether every row of the audit trail is there and as it was written."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from authsvc.cli.opened import opened
from authsvc.config.settings import Settings
from authsvc.flows import verification
from authsvc.handlers.audit import seen

FOUND_BAD = 1


def add_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("verify").add_argument("--json", action="store_true", help="one JSON object")


def run(settings: Settings, arguments: Namespace) -> int:
    """Check all of it, beside a running server or without one. Exit status 1 when something does not fit."""
    with opened(settings) as core:
        verdict = verification.verify(core)
    bad = verdict.first_bad
    if arguments.json:
        print(json.dumps(seen(verdict)))
    elif bad is None:
        print(f"ok: {verdict.rows} rows, sealed through {verdict.sealed_through}")
    else:
        print(f"not ok: row {bad.seq} ({bad.id or 'not there'}): {bad.reason}")
    return FOUND_BAD if bad else 0
