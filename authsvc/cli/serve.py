"""`authsvc serve`: the app under waitress."""

from __future__ import annotations

from dataclasses import replace

from authsvc.app import App
from authsvc.config import parse
from authsvc.config.settings import Settings
from authsvc.problems import Refused


def serve(settings: Settings, *, listen: str | None, check: bool) -> int:
    """Serve until SIGTERM or SIGINT. `check`: start, and stop at once."""
    from authsvc.cli.server import Server

    if listen:
        try:
            settings = replace(settings, listen=parse.listen(listen))
        except ValueError as error:
            raise Refused(f"--listen: {error}") from None
    app = App(settings)
    try:
        if check:
            print("ok: the settings and the database are usable")
            return 0
        app.deliveries.run_here()  # what a process before us left does not wait for a request
        Server(app, settings).run()
    finally:
        app.close()
    return 0
