"""`authsvc serve`: the app under waitress, with a stop that loses nothing."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

from authsvc.app import App
from authsvc.config import parse
from authsvc.config.settings import Settings
from authsvc.problems import Refused

DRAIN_SECONDS = 10.0
MAX_HEADER_BYTES = 32_768
MAX_BODY_BYTES = 131_072  # waitress buffers a body before we see it; our own cap is half of this
CONNECTIONS = 1_000


def serve(settings: Settings, *, listen: str | None, check: bool) -> int:
    """Serve until SIGTERM or SIGINT. `check`: start, and stop at once."""
    if listen:
        settings = replace(settings, listen=parse.listen(listen))
    app = App(settings)
    try:
        if check:
            print("ok: the settings and the database are usable")
            return 0
        Server(app, settings).run()
    finally:
        app.close()
    return 0


class Server:
    """waitress, driven by a loop of our own so that a stop first lets running requests finish."""

    def __init__(self, app: App, settings: Settings) -> None:
        import waitress

        self._world = app.core.world
        self._settings = settings
        self._stop = False
        self._map: dict[int, Any] = {}
        try:
            self._server: Any = waitress.create_server(
                app,
                map=self._map,
                host=settings.listen.host,
                port=settings.listen.port,
                # Whoever waits for a password hash holds a thread; these come on top, so that others find one free.
                threads=settings.threads + app.core.hasher.admitted,
                ident=None,
                clear_untrusted_proxy_headers=False,  # http/proxies.py decides who is trusted
                max_request_header_size=MAX_HEADER_BYTES,
                max_request_body_size=MAX_BODY_BYTES,
                connection_limit=CONNECTIONS,
                asyncore_use_poll=True,
            )
        except OSError as error:
            raise Refused(f"cannot listen on {settings.listen}: {error.strerror}") from None

    def run(self) -> None:
        """The main loop, and then the end of it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._world.log(f"authsvc listens on http://{self._settings.listen} as {self._settings.public_url} (pid {os.getpid()})")
        while not self._stop:
            self._turn(1.0)
        self._drain()

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop = True
        self._server.pull_trigger()  # wakes the loop

    def _turn(self, seconds: float) -> None:
        from waitress import wasyncore

        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)

    def _drain(self) -> None:
        """Accept nothing new, let what was accepted be answered, then close."""
        self._world.log("authsvc stops: finishing running requests")
        for listener in self._listeners():
            listener.accepting = False
            listener.del_channel()
            listener.socket.close()
        deadline = self._world.monotonic() + DRAIN_SECONDS
        while self._is_busy() and self._world.monotonic() < deadline:
            self._turn(0.05)
        self._server.task_dispatcher.shutdown(timeout=1)

    def _listeners(self) -> list[Any]:
        return [part for part in self._map.values() if getattr(part, "accepting", False)]

    def _is_busy(self) -> bool:
        """Whether a request is queued, running, half sent or half received."""
        dispatcher = self._server.task_dispatcher
        if dispatcher.queue or dispatcher.active_count:
            return True
        channels = [part for part in self._map.values() if hasattr(part, "requests")]
        return any(channel.requests or channel.total_outbufs_len for channel in channels)
