"""`authsvc backup FILE` and `authsvc restore FILE`: the whole database, but never its secret key."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from authsvc.cli.files import STREAM, placed, taken
from authsvc.config.settings import Settings
from authsvc.primitives.times import timestamp
from authsvc.store import backups
from authsvc.store.backups import Content
from authsvc.store.restoring import restore
from authsvc.world import World


def add_backup(command: ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="- is standard output")
    command.add_argument("--force", action="store_true", help="replace FILE if it exists")
    command.add_argument("--json", action="store_true", help="one JSON object; with - on standard error")


def add_restore(command: ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="- is standard input")
    command.add_argument("--force", action="store_true", help="where there is a database, keep it aside and replace it")
    command.add_argument("--keep-sessions", action="store_true", help="for a move of a service that was stopped before the backup")
    command.add_argument("--json", action="store_true", help="one JSON object")


def back_up(settings: Settings, arguments: Namespace) -> None:
    """What is committed now, beside a running server or without one. Needs no secret key and migrates nothing."""
    with placed(arguments.file, settings.database, replace=arguments.force) as partial:
        held = backups.copy(settings.database, str(partial))
        size = partial.stat().st_size
    told = {"file": arguments.file, "bytes": size, **_seen(held)}
    where = sys.stderr if arguments.file == STREAM else sys.stdout
    if arguments.json:
        print(json.dumps(told), file=where)
        return
    print(f"{arguments.file}: {size} bytes, {_described(held)}", file=where)
    if held.kid:
        print(f"Its secret key {held.kid} is not in it: keep a copy of that apart; without it nobody can sign in.", file=where)


def put_back(settings: Settings, arguments: Namespace) -> None:
    """Put a backup in the place of the database, while nothing runs."""
    with taken(arguments.file) as source:
        done = restore(source, settings, World(), replace=arguments.force, keep_sessions=arguments.keep_sessions)
    if arguments.json:
        print(json.dumps({"path": done.path, "kept_aside": done.aside, "sessions_ended": done.sessions_ended, **_seen(done.content)}))
        return
    print(f"restored {done.path}: {_described(done.content)}, {done.sessions_ended} sessions ended")
    if done.aside:
        print(f"The database that was there is now {done.aside}; delete it once all is well.")


def _seen(held: Content) -> dict[str, Any]:
    return {"schema": held.schema, "users": held.users, "newest_event_at": timestamp(held.latest_at), "secret_key": held.kid}


def _described(held: Content) -> str:
    return f"schema {held.schema}, {held.users} accounts, newest event {timestamp(held.latest_at) or 'none'}"
