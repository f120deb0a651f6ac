"""`authsvc outbox list|retry|drop`: what waits to be delivered, or was given up."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.flows import outbox
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.store.outbox import Message


def _of_a_list(act: ArgumentParser) -> None:
    act.add_argument("--all", action="store_true", help="what was delivered in the last days, too")


def _of_messages(act: ArgumentParser) -> None:
    which = act.add_mutually_exclusive_group(required=True)
    which.add_argument("message", nargs="?", metavar="ID")
    which.add_argument("--dead", action="store_true", help="all that were given up")


def _list(core: Core, arguments: Namespace) -> None:
    for message in outbox.every(core, everything=arguments.all):
        _show(message, arguments)


def _retry(core: Core, arguments: Namespace) -> None:
    for message_id in _chosen(core, arguments):
        outbox.retry(core, message_id)
        _tell("retried", message_id, arguments)


def _drop(core: Core, arguments: Namespace) -> None:
    for message_id in _chosen(core, arguments):
        outbox.drop(core, message_id)
        _tell("dropped", message_id, arguments)


ACTS: Acts = {
    "list": Act("what waits, or was given up, and why", on_core(_list), _of_a_list),
    "retry": Act("deliver a message at once", on_core(_retry), _of_messages),
    "drop": Act("give a message up", on_core(_drop), _of_messages),
}


def _chosen(core: Core, arguments: Namespace) -> Iterator[str]:
    """The named message, or with --dead all that were given up."""
    if not arguments.dead:
        return iter([arguments.message])
    return iter([message.id for message in outbox.every(core, everything=False) if message.done_at is not None])


def _show(message: Message, arguments: Namespace) -> None:
    payload = json.loads(message.payload)
    row = {
        "id": message.id,
        "kind": message.kind,
        "letter": payload.get("letter"),
        "to": payload.get("to"),
        "state": message.outcome or "waiting",
        "created_at": timestamp(message.created_at),
        "due_at": None if message.done_at else timestamp(message.due_at),
        "attempts": message.attempts,
        "last_error": message.last_error,
    }
    if arguments.json:
        print(json.dumps(row))
    else:
        told = f"  {row['last_error']}" if row["last_error"] else ""
        print(f"{row['id']}  {row['state']:8}  {row['attempts']:2} tries  {row['letter'] or row['kind']:18}  {row['to']}{told}")


def _tell(what: str, message_id: str, arguments: Namespace) -> None:
    print(json.dumps({what: message_id}) if arguments.json else f"{what} {message_id}")
