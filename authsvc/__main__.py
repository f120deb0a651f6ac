"""The command line: the table of all commands. Exit status 0, 1 (failed) or 2 (wrong use)."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from authsvc.cli import audit, backup, check, db, keyring, keys, limits, mail, moving, outbox, roles, serve, show, sms, users, worker
from authsvc.cli.acts import Acts, add_acts, carry_out
from authsvc.config import sources
from authsvc.config.settings import Settings
from authsvc.problems import Invalid, Problem, Refused

FAILED = 1


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it is for, the options it takes, what carries it out and may return an exit status, and its acts."""

    help: str
    add_options: Callable[[ArgumentParser], object]
    run: Callable[[Namespace], int | None]
    acts: Acts = field(default_factory=dict)


def _with_settings(run: Callable[[Settings, Namespace], int | None]) -> Callable[[Namespace], int | None]:
    return lambda arguments: run(sources.from_environment(), arguments)


def _group(help_: str, acts: Acts) -> Command:
    return Command(help_, partial(add_acts, acts=acts), _with_settings(partial(carry_out, acts)), acts)


COMMANDS: Mapping[str, Command] = {
    "serve": Command("serve over HTTP until SIGTERM", serve.add_commands, _with_settings(serve.run)),
    "worker": Command("deliver what lies in the outbox until SIGTERM", worker.add_commands, _with_settings(worker.run)),
    "config": Command("every setting, its value and source", show.add_forms, _with_settings(show.config)),
    "check": Command("whether all that the service needs is there and well", check.add_options, check.run),
    "routes": Command("the route table", show.add_forms, show.routes),
    "problems": Command("every code of a refusal and what it means", show.add_forms, show.problems),
    "events": Command("every event that is recorded, and told to webhooks", show.add_forms, show.events),
    "metrics": Command("every metric of /metrics and what it means", show.add_forms, show.metrics),
    "commands": Command("this list, with all acts", show.add_forms, lambda arguments: show.commands(arguments, told())),
    "version": Command("the version", lambda command: command.add_argument("--json", action="store_true"), show.version),
    "user": _group("accounts", users.ACTS),
    "role": _group("names for sets of caps", roles.ACTS),
    "key": _group("API keys for services", keys.ACTS),
    "keyring": _group("secret keys and signing keys", keyring.ACTS),
    "limits": _group("what is limited, and who has to wait", limits.ACTS),
    "outbox": _group("what waits to be delivered, or was given up", outbox.ACTS),
    "sms": _group("what was sent, and whether it was used", sms.ACTS),
    "mail": _group("letters, and whether they get out", mail.ACTS),
    "audit": _group("whether the audit trail is whole", audit.ACTS),
    "backup": Command("a copy of the database into a file, also while servers run", backup.add_backup, _with_settings(backup.back_up)),
    "restore": Command("put a backup in the place of the database", backup.add_restore, _with_settings(backup.put_back)),
    "export": Command("accounts and roles into a file, for another service", moving.add_export, _with_settings(moving.write_out)),
    "import": Command("accounts and roles from a file, of authsvc or of another system", moving.add_import, _with_settings(moving.read_in)),
    "db": _group("how large the database is", db.ACTS),
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
    except OSError as error:
        if error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}")
        _discard(1)  # nobody takes our output
        return _fail(f"cannot write the output: {error.strerror or error}")
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


def told() -> dict[str, str]:
    """Every command, and every act of those that have some, with what it is for."""
    return {
        f"{name} {act}".rstrip(): meaning
        for name, command in COMMANDS.items()
        for act, meaning in ({act: one.help for act, one in command.acts.items()} or {"": command.help}).items()
    }


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
