"""The command line: the table of all commands. Exit status 0, 1 (failed) or 2 (wrong use)."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from authsvc.cli import audit, backup, check, db, keyring, keys, limits, mail, moving, outbox, roles, serve, show, sms, users, worker
from authsvc.config import sources
from authsvc.config.settings import Settings
from authsvc.problems import Invalid, Problem, Refused

FAILED = 1


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it is for, the options it takes, and what carries it out and may return an exit status."""

    help: str
    add_options: Callable[[ArgumentParser], object]
    run: Callable[[Namespace], int | None]


def _with_settings(run: Callable[[Settings, Namespace], int | None]) -> Callable[[Namespace], int | None]:
    return lambda arguments: run(sources.from_environment(), arguments)


COMMANDS: Mapping[str, Command] = {
    "serve": Command("serve over HTTP until SIGTERM", serve.add_commands, _with_settings(serve.run)),
    "worker": Command("deliver what lies in the outbox until SIGTERM", worker.add_commands, _with_settings(worker.run)),
    "config": Command("every setting, its value and source", show.add_forms, _with_settings(show.config)),
    "check": Command("whether all that the service needs is there and well", check.add_options, check.run),
    "routes": Command("the route table", show.add_forms, show.routes),
    "metrics": Command("every metric of /metrics and what it means", show.add_forms, show.metrics),
    "version": Command("the version", lambda command: command.add_argument("--json", action="store_true"), show.version),
    "user": Command("accounts", users.add_commands, _with_settings(users.run)),
    "role": Command("names for sets of caps", roles.add_commands, _with_settings(roles.run)),
    "key": Command("API keys for services", keys.add_commands, _with_settings(keys.run)),
    "keyring": Command("secret keys and signing keys", keyring.add_commands, _with_settings(keyring.run)),
    "limits": Command("what is limited, and who has to wait", limits.add_commands, _with_settings(limits.run)),
    "outbox": Command("what waits to be delivered, or was given up", outbox.add_commands, _with_settings(outbox.run)),
    "sms": Command("what was sent, and whether it was used", sms.add_commands, _with_settings(sms.run)),
    "mail": Command("letters, and whether they get out", mail.add_commands, _with_settings(mail.run)),
    "audit": Command("whether the audit trail is whole", audit.add_commands, _with_settings(audit.run)),
    "backup": Command("a copy of the database into a file, also while servers run", backup.add_backup, _with_settings(backup.back_up)),
    "restore": Command("put a backup in the place of the database", backup.add_restore, _with_settings(backup.put_back)),
    "export": Command("accounts and roles into a file, for another service", moving.add_export, _with_settings(moving.write_out)),
    "import": Command("accounts and roles from a file, of authsvc or of another system", moving.add_import, _with_settings(moving.read_in)),
    "db": Command("how large the database is", db.add_commands, _with_settings(db.run)),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = parser().parse_args(argv)
    try:
        status = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
        _let_go_of_a_dead_log()
    except Refused as refused:
        return _fail(str(refused))
    except Invalid as invalid:
        return _fail(invalid.detail)
    except Problem as problem:
        return _fail(_told(problem))
    except OSError as error:  # nobody takes our output
        _discard(1)
        return _fail(f"cannot write the output: {error.strerror}")
    return status or 0


def _let_go_of_a_dead_log() -> None:
    """A log line that nobody took waits in its buffer; it is no reason for a service that stopped cleanly to fail."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(2)


def _discard(descriptor: int) -> None:
    """Send what is left to nowhere: the interpreter will try once more to write it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _told(problem: Problem) -> str:
    """A problem as one line for a person at a terminal."""
    if problem.errors:
        return " ".join(fault.detail for fault in problem.errors)
    return problem.reason or str(problem)


def parser() -> ArgumentParser:
    """All commands and their options."""
    top = ArgumentParser("authsvc", description="Authentication for the other services of a system.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_options(commands.add_parser(name, help=command.help))
    return top


def _fail(message: str) -> int:
    sys.stderr.write(f"authsvc: {message}\n")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
