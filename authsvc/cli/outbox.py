"""`authsvc outbox list|retry|drop` and `authsvc worker`: what waits to be delivered, and delivering it."""

from __future__ import annotations

import json
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping

from authsvc.cli.opened import opened
from authsvc.config.settings import Settings
from authsvc.delivery.assembly import deliveries
from authsvc.flows import outbox
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.store.outbox import Message


def run(settings: Settings, arguments: Namespace) -> None:
    """Carry out one of the commands below."""
    with opened(settings) as core:
        COMMANDS[arguments.act](core, arguments)


def work(settings: Settings, *, once: bool) -> int:
    """Deliver until SIGTERM or SIGINT; `once`: what is due now."""
    with opened(settings) as core:
        found = deliveries(settings, core.world, core.keyring, core.store)
        if once:
            while found.run_once():
                pass
            while found.housekeeping.run_once():
                pass
            return 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: found.ask_to_stop())
        core.world.log("authsvc worker: delivering")
        found.run_until_stopped()
        core.world.log("authsvc worker: stopped")
    return 0


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


COMMANDS: Mapping[str, Callable[[Core, Namespace], None]] = {"list": _list, "retry": _retry, "drop": _drop}


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
