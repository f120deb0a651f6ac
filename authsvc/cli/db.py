"""`authsvc db stats`: how large the database is, and what lies in it."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from authsvc.cli.opened import opened
from authsvc.config.settings import Settings
from authsvc.flows.sizes import sizes

MIB = 1_048_576


def add_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("stats").add_argument("--json", action="store_true", help="one JSON object")


def run(settings: Settings, arguments: Namespace) -> int:
    """The file, and a line for each table. Counting the rows of a large one takes a while."""
    with opened(settings) as core:
        found = sizes(core)
    if arguments.json:
        print(json.dumps(found))
        return 0
    print(
        f"{found['path']}: {_mib(found['file_bytes'])}, {_mib(found['free_bytes'])} of it free; write-ahead log {_mib(found['wal_bytes'])}"
    )
    for table in found["tables"]:
        since = f"  since {table['oldest_at']}" if table["oldest_at"] else ""
        print(f"{table['name']:20} {table['rows']:12}{since}")
    return 0


def _mib(count: int) -> str:
    return f"{count / MIB:.1f} MiB"
