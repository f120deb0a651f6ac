"""`authsvc export FILE` and `authsvc import FILE`: accounts and roles as lines of JSON, from authsvc or any other system."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from authsvc.cli.files import STREAM, placed, taken
from authsvc.cli.opened import opened
from authsvc.cli.reading import Reading, Report
from authsvc.cli.records import VERSION
from authsvc.config.settings import Settings
from authsvc.events import CLI
from authsvc.flows import moving_in, moving_out
from authsvc.flows.core import Core
from authsvc.primitives.times import timestamp
from authsvc.problems import Problem

LINES_PER_BATCH = 200  # of one transaction, so that requests get their turn
FAILED = 1


def add_export(command: ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="- is standard output")
    command.add_argument("--force", action="store_true", help="replace FILE if it exists")
    command.add_argument("--with-secrets", action="store_true", help="the secrets of authenticator apps too, so that they go on working")
    command.add_argument("--json", action="store_true", help="one JSON object; with - on standard error")


def add_import(command: ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="- is standard input")
    command.add_argument("--dry-run", action="store_true", help="tell all that is wrong; write nothing")
    command.add_argument("--json", action="store_true", help="one JSON object")


def write_out(settings: Settings, arguments: Namespace) -> None:
    """All accounts with their password hashes, and all roles; also beside a running server."""
    counts: Counter[str] = Counter()
    with opened(settings) as core, placed(arguments.file, settings.database, replace=arguments.force) as partial:
        with partial.open("w", encoding="ascii") as file:
            head = {"authsvc": "export", "version": VERSION, "exported_at": timestamp(core.world.now())}
            file.write(json.dumps(head | {"service": str(settings.public_url)}) + "\n")
            for record in moving_out.records(core, secrets=arguments.with_secrets):
                counts[record["type"]] += 1
                file.write(json.dumps(record) + "\n")
            told = {"roles": counts["role"], "users": counts["user"]}
            file.write(json.dumps({"type": "end", **told}) + "\n")
        moving_out.note(core, counts["user"], CLI, secrets=arguments.with_secrets)
    where = sys.stderr if arguments.file == STREAM else sys.stdout
    said = (
        json.dumps({"file": arguments.file, **told})
        if arguments.json
        else f"{arguments.file}: {told['roles']} roles, {told['users']} accounts"
    )
    print(said, file=where)
    if not arguments.json:
        print("It holds password hashes: keep it as you would keep passwords, and delete it when it was read in.", file=where)


def read_in(settings: Settings, arguments: Namespace) -> int:
    """Look at every line first: with a fault in any, nothing is written. Then write in batches; a second run does the rest."""
    with opened(settings) as core, _seekable(arguments.file, settings) as file:
        reading = Reading(core, file)
        report = Report(dry_run=arguments.dry_run, quiet=arguments.json)
        reading.judge(report)
        if not report.faults and not arguments.dry_run:
            report.begin()
            _write(core, reading, report)
    report.tell()
    return FAILED if report.faults or report.conflicts else 0


def _write(core: Core, reading: Reading, report: Report) -> None:
    try:
        for batch in reading.batches(LINES_PER_BATCH):
            written = moving_in.write(core, batch, CLI)
            report.add(written)
    except Problem as problem:  # a full disk, say
        detail = f"stopped after {report.made} were made, each whole; the same command goes on from there: {problem.reason or problem}"
        raise Problem(problem.code, reason=detail) from None


@contextmanager
def _seekable(name: str, settings: Settings) -> Iterator[BinaryIO]:
    """The file; what comes through a pipe is kept beside the database, under no name, since it is read twice."""
    with taken(name) as source:
        if source.seekable():
            yield source
            return
        with tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(settings.database))) as kept:
            shutil.copyfileobj(source, kept)
            yield kept
