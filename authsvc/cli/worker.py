"""`authsvc worker`: delivering what lies in the outbox, and keeping house, in a process of its own."""

from __future__ import annotations

import signal
from argparse import ArgumentParser, Namespace

from authsvc.cli.opened import opened
from authsvc.config.settings import Settings
from authsvc.delivery.assembly import deliveries


def add_commands(command: ArgumentParser) -> None:
    command.add_argument("--once", action="store_true", help="deliver what is due, and stop")


def run(settings: Settings, arguments: Namespace) -> None:
    """Deliver until SIGTERM or SIGINT; `--once`: what is due now."""
    with opened(settings) as core:
        found = deliveries(settings, core.world, core.keyring, core.store)
        if arguments.once:
            while found.run_once():
                pass
            while found.housekeeping.run_once():
                pass
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: found.ask_to_stop())
        core.world.log("authsvc worker: delivering")
        found.run_until_stopped()
        core.world.log("authsvc worker: stopped")
