"""The command line: `authsvc serve`, `user`, `config`, `routes`, `version`. Exit status 0, 1 (failed) or 2 (wrong use)."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence

from authsvc.cli import audit, db, keys, mail, outbox, roles, serve, show, sms, users
from authsvc.config import sources
from authsvc.config.settings import Settings
from authsvc.delivery.letters import LETTERS
from authsvc.problems import Invalid, Problem, Refused

FAILED = 1
CHECKS = {"audit": audit.verify, "db": db.stats}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = parser().parse_args(argv)
    try:
        status = _run(arguments)
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
    return status


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

    command = commands.add_parser("serve", help="serve over HTTP until SIGTERM")
    command.add_argument("--listen", metavar="HOST:PORT", help="instead of AUTHSVC_LISTEN")
    command.add_argument("--check", action="store_true", help="start, check and stop")

    command = commands.add_parser("worker", help="deliver what lies in the outbox until SIGTERM")
    command.add_argument("--once", action="store_true", help="deliver what is due, and stop")

    for name, meaning in (("config", "every setting, its value and source"), ("routes", "the route table")):
        command = commands.add_parser(name, help=meaning)
        form = command.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="one JSON object a line")
        form.add_argument("--markdown", action="store_true", help="the table of the README")

    command = commands.add_parser("version", help="the version")
    command.add_argument("--json", action="store_true")

    _add_user_commands(commands.add_parser("user", help="accounts"))
    roles.add_commands(commands.add_parser("role", help="names for sets of caps"))
    keys.add_commands(commands.add_parser("key", help="API keys for services"))
    _add_outbox_commands(commands.add_parser("outbox", help="what waits to be delivered, or was given up"))
    _add_sms_commands(commands.add_parser("sms", help="what was sent, and whether it was used"))
    _add_mail_commands(commands.add_parser("mail", help="letters, and whether they get out"))
    for name, act, meaning in (("audit", "verify", "whether the audit trail is whole"), ("db", "stats", "how large the database is")):
        acts = commands.add_parser(name, help=meaning).add_subparsers(dest="act", required=True, metavar="ACT")
        acts.add_parser(act, help=meaning).add_argument("--json", action="store_true", help="one JSON object")
    return top


def _add_outbox_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    for name in outbox.COMMANDS:
        act = acts.add_parser(name)
        act.add_argument("--json", action="store_true", help="one JSON object a line")
        if name == "list":
            act.add_argument("--all", action="store_true", help="what was delivered in the last days, too")
        else:
            which = act.add_mutually_exclusive_group(required=True)
            which.add_argument("message", nargs="?", metavar="ID")
            which.add_argument("--dead", action="store_true", help="all that were given up")


def _add_sms_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("stats").add_argument("--json", action="store_true", help="one JSON object a line")


def _add_mail_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    act = acts.add_parser("preview", help="a letter with made-up values")
    act.add_argument("name", choices=sorted(LETTERS), metavar="NAME", help=", ".join(LETTERS))
    act.add_argument("--html", action="store_true", help="the HTML half")
    act.add_argument("--locale", metavar="TAG", help="such as de or pt-BR")
    act.add_argument("--json", action="store_true", help="one JSON object")
    act = acts.add_parser("test", help="send the test letter now")
    act.add_argument("address", metavar="ADDRESS")
    act.add_argument("--locale", metavar="TAG")
    act.add_argument("--json", action="store_true", help="one JSON object")


def _add_user_commands(command: ArgumentParser) -> None:
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    for name in users.COMMANDS:
        act = acts.add_parser(name)
        act.add_argument("--json", action="store_true", help="one JSON object (a line for each, in lists)")
        if name == "list":
            act.add_argument("--q", metavar="TEXT", help="the beginning of an address or name, a whole number or id")
        else:
            act.add_argument("account", metavar="EMAIL" if name == "create" else "EMAIL|ID")
        if name == "create":
            act.add_argument("--role", action="append", default=[], metavar="NAME")
            act.add_argument("--name")
            act.add_argument("--if-absent", action="store_true", help="if the account exists, only grant it the roles")
        if name in ("create", "set-password"):
            act.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        if name in ("grant", "ungrant"):
            act.add_argument("name_of_role", metavar="ROLE")


# What needs the settings: it carries out one of its acts.
ROOMS: Mapping[str, Callable[[Settings, Namespace], None]] = {
    "user": users.run,
    "role": roles.run,
    "key": keys.run,
    "outbox": outbox.run,
    "sms": lambda settings, arguments: sms.COMMANDS[arguments.act](settings, arguments),
    "mail": lambda settings, arguments: mail.COMMANDS[arguments.act](settings, arguments),
}


def _run(arguments: Namespace) -> int:
    if arguments.command == "version":
        show.version(as_json=arguments.json)
    elif arguments.command == "routes":
        show.routes(as_json=arguments.json, as_markdown=arguments.markdown)
    elif arguments.command == "config":
        show.config(sources.from_environment(), as_json=arguments.json, as_markdown=arguments.markdown)
    elif arguments.command == "serve":
        return serve.serve(sources.from_environment(), listen=arguments.listen, check=arguments.check)
    elif arguments.command == "worker":
        return outbox.work(sources.from_environment(), once=arguments.once)
    elif arguments.command in CHECKS:
        return CHECKS[arguments.command](sources.from_environment(), arguments)
    else:
        ROOMS[arguments.command](sources.from_environment(), arguments)
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"authsvc: {message}\n")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
