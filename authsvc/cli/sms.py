"""`authsvc sms stats`: how many codes were sent to which range of numbers, and how many of them were used."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from authsvc.cli.opened import opened
from authsvc.config.settings import Settings
from authsvc.flows import texts
from authsvc.flows.users import timestamp

DAY_MS = 86_400_000


def add_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("stats").add_argument("--json", action="store_true", help="one JSON object a line")


def run(settings: Settings, arguments: Namespace) -> None:
    """A line for each day and range, the newest first. Few used ones are a sign of pumping."""
    with opened(settings) as core:
        for day, prefix, sent, verified in texts.stats(core):
            date = str(timestamp(day * DAY_MS))[:10]
            row = {"day": date, "prefix": prefix, "sent": sent, "verified": verified}
            print(json.dumps(row) if arguments.json else f"{date}  {prefix:10}  {sent:6} sent  {verified:6} used")
