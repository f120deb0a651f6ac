"""waitress, driven by a loop of our own: quick requests run on it, and a stop first lets running requests finish."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from authsvc.app import App
from authsvc.config.settings import Settings
from authsvc.http.response import refusal
from authsvc.problems import Problem, Refused
from authsvc.world import ERROR, WARNING, World

DRAIN_SECONDS = 10.0
LINGER_SECONDS = 0.25  # of quiet before the end: a client may be sending on a connection that it thinks is open
MAX_HEADER_BYTES = 32_768
MAX_BODY_BYTES = 131_072  # waitress buffers a body before we see it; our own cap is half of this
MAX_AHEAD_BYTES = 524_288  # of a streamed answer that the client has not taken yet; below what waitress would put into a file
CONNECTIONS = 1_000
CODES = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large"}
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress ships no types
    """Hands requests to the pool of threads, but keeps the quick ones: passing one on, from thread to thread and the
    interpreter's lock with it, costs several times what answering it does."""

    def __init__(self, is_quick: Callable[[str, str, str | None], bool]) -> None:
        super().__init__()
        self._is_quick = is_quick
        self._quick: deque[Any] = deque()

    def add_task(self, channel: Any) -> None:
        """Called by the loop when a channel has received a whole request."""
        requests = channel.requests
        if len(requests) == 1 and not requests[0].error and self._is_quick_one(requests[0]):
            self._quick.append(channel)
        else:
            super().add_task(channel)

    def _is_quick_one(self, request: Any) -> bool:
        return self._is_quick(request.command, request.path, request.headers.get("AUTHORIZATION"))

    def run_quick(self) -> None:
        """Answer the quick requests that have come in; on the loop's thread, between two turns."""
        for _ in range(len(self._quick)):
            self._quick.popleft().service()

    @property
    def is_busy(self) -> bool:
        return bool(self._quick or self.queue or self.active_count)


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """waitress's parser, refusing what could be read in two ways."""

    def parse_header(self, header_plus: bytes) -> None:
        lowered = b"\n" + header_plus.lower()
        if b"\ntransfer-encoding" in lowered and b"\ncontent-length" in lowered:  # RFC 9112 section 6.1: smuggling
            raise ParsingError("Content-Length beside Transfer-Encoding")
        super().parse_header(header_plus)
        if not self.first_line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
            raise ParsingError("Use HTTP/1.1 or HTTP/1.0")


class Refusal(ErrorTask):  # type: ignore[misc]
    """What waitress refuses by itself, answered and logged as all else is; the connection ends with it."""

    def execute(self) -> None:
        app, error = self.channel.server.application, self.request.error
        code = "internal" if error.code == HTTPStatus.INTERNAL_SERVER_ERROR else CODES.get(error.code, "invalid_request")
        request_id = app.core.world.random_bytes(12).hex()
        detail = None if code == "body_too_large" else str(error.body)  # waitress's cap is not ours
        response = refusal(Problem(code, detail, status=error.code), str(app.core.settings.public_url), request_id)
        app.core.world.log(f"server: {error.code} {code}: {error.body} ({request_id})", WARNING)
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [("X-Request-Id", request_id), *response.security, ("Content-Type", response.content_type)]
        self.set_close_on_finish()
        self.content_length = len(response.body)
        self.write(response.body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """waitress's channel, with that parser. Once the server stops, each answer says that it was the connection's last."""

    parser_class = Parser
    error_task_class = Refusal

    def service(self) -> None:
        if not self.server.accepting:
            self.requests[0].headers["CONNECTION"] = "close"
        super().service()


class Forwarding(logging.Handler):
    """What waitress logs goes where all else goes, in the same form."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.log(f"server: {self.format(record)}", ERROR if record.levelno >= logging.ERROR else WARNING)


class Server:
    """One listening server."""

    def __init__(self, app: App, settings: Settings) -> None:
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a full queue is answered with busy, not logged
        logging.getLogger("waitress").handlers = [Forwarding(app.core.world)]
        self._world = app.core.world
        self._begin_stop = app.begin_stop
        self._settings = settings
        self._stop = False
        self._map: dict[int, Any] = {}
        self._dispatcher = Dispatcher(app.is_quick)
        # Whoever waits for a password hash holds a thread; these come on top, so that others find one free.
        self._dispatcher.set_thread_count(settings.threads + app.core.hasher.admitted)
        try:
            waitress.create_server(
                app,
                map=self._map,
                _dispatcher=self._dispatcher,
                host=settings.listen.host,
                port=settings.listen.port,
                ident=None,
                clear_untrusted_proxy_headers=False,  # http/proxies.py decides who is trusted
                max_request_header_size=MAX_HEADER_BYTES,
                max_request_body_size=MAX_BODY_BYTES,
                outbuf_high_watermark=MAX_AHEAD_BYTES,
                connection_limit=CONNECTIONS,
                asyncore_use_poll=True,
            )
        except (OSError, ValueError) as error:  # waitress says ValueError for a name that is no address
            why = getattr(error, "strerror", None) or "this machine has no such address"
            raise Refused(f"cannot listen on {settings.listen}: {why}") from None

        # One for each address of the host; a name may have several.
        self._listeners = [part for part in self._map.values() if getattr(part, "accepting", False)]
        for listener in self._listeners:
            listener.channel_class = Channel

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        self._world.log(f"authsvc listens on http://{self._settings.listen} as {self._settings.public_url} (pid {os.getpid()})")
        while not self._stop:
            self._turn(1.0)
        self._drain()

    def _on_signal(self, _number: int, _frame: object) -> None:
        # A second one changes nothing, to the very end of the process. The trigger least of all may be pulled again: its
        # descriptor is another file's by then, and a byte would be written into that.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._stop = True
        self._listeners[0].pull_trigger()  # wakes the loop

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)
        self._dispatcher.run_quick()

    def _drain(self) -> None:
        """Accept nothing new, let what was accepted be answered, then close."""
        self._begin_stop()
        self._world.log("authsvc stops: finishing running requests")
        for listener in self._listeners:
            listener.accepting = False
            listener.del_channel()
            listener.socket.close()
        now = self._world.monotonic()
        deadline, quiet_since = now + DRAIN_SECONDS, now
        while now < deadline and now < quiet_since + LINGER_SECONDS:
            self._turn(0.05)
            now = self._world.monotonic()
            quiet_since = now if self._is_busy() else quiet_since
        self._dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map, ignore_all=True)

    def _is_busy(self) -> bool:
        """Whether a request is queued, running, half received or half answered."""
        channels = [part for part in self._map.values() if hasattr(part, "requests")]
        return self._dispatcher.is_busy or any(c.requests or c.request or c.total_outbufs_len for c in channels)
