"""`authsvc serve`: the app under waitress."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from authsvc.app import App
from authsvc.config import parse
from authsvc.config.settings import Settings
from authsvc.problems import Refused


def add_commands(command: ArgumentParser) -> None:
    command.add_argument("--listen", metavar="HOST:PORT", help="instead of AUTHSVC_LISTEN")
    command.add_argument("--check", action="store_true", help="start, check and stop")


def run(settings: Settings, arguments: Namespace) -> None:
    """Serve until SIGTERM or SIGINT. `--check`: start, and stop at once."""
    from authsvc.cli.server import Server

    if arguments.listen:
        try:
            settings = replace(settings, listen=parse.listen(arguments.listen))
        except ValueError as error:
            raise Refused(f"--listen: {error}") from None
    app = App(settings)
    try:
        if arguments.check:
            print("ok: the settings and the database are usable")
            return
        app.deliveries.run_here()  # what a process before us left does not wait for a request
        Server(app, settings).run()
    finally:
        app.close()
