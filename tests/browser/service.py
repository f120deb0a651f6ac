"""What the browser talks to: a real service over HTTP in this process, a tiny site of other pages, and the mail that comes."""

from __future__ import annotations

import email
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from socketserver import ThreadingMixIn
from time import monotonic
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.world import World
from tests.support import make_app

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOST = "127.0.0.1"
MAIL_SECONDS = 10.0
POLL_MS = 20
HEAD = '<!doctype html><html lang="en"><head><title>Tiny</title><meta name="viewport" content="width=device-width">{}</head><body>{}</body></html>'


class Threaded(ThreadingMixIn, WSGIServer):
    """Chromium may hold a connection open and say nothing on it: that must not keep the others waiting."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """No log."""

    def log_message(self, *_: Any) -> None:
        pass


class Site:
    """Pages by path, and the environ of every request that came."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, str, list[tuple[str, str]]]] = {}
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    def put(self, path: str, body: str, status: str = "200 OK", **headers: str) -> str:
        """Serve this, and say where."""
        kind = "text/css" if path.endswith(".css") else "text/javascript" if path.endswith(".js") else "text/html; charset=utf-8"
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.pages[path] = (status, body, [("Content-Type", kind), *named])
        return self.url + path

    def put_link(self, path: str, link: str) -> str:
        """Serve a page that leads somewhere, as a web mailer does."""
        return self.put(path, HEAD.format('<link rel="icon" href="data:,">', f'<h1>Elsewhere</h1><a href="{link}">Go</a>'))

    def last(self, path: str) -> dict[str, Any]:
        """The last request for a path."""
        return [request for request in self.requests if request["PATH_INFO"] == path][-1]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.requests.append(environ | {"body": sent.decode()})
        status, body, headers = self.pages.get(environ["PATH_INFO"], ("404 Not Found", "", []))
        start_response(status, list(headers))
        return [body.encode()]


class Clock(World):
    """The real world, whose clock can be turned on; what is logged is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0
        self.lines: list[str] = []

    def now(self) -> int:
        return super().now() + self.ahead

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += round(seconds * 1000)

    def write(self, line: str) -> None:
        self.lines.append(line)


@dataclass(frozen=True)
class Service:
    """A running service: where it is, its clock, and the folder of its mail."""

    app: App
    url: str
    world: Clock
    mail: Path


@dataclass(frozen=True)
class Mail:
    """A mail as its reader sees it."""

    message: EmailMessage

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        return "\n".join(body.get_content().splitlines())

    @property
    def link(self) -> str:
        """The one link that does something."""
        (link,) = re.findall(r"https?://\S+/(?:login/magic|email/verify|email/undo|password/reset)/\S+", self.text)
        return link

    @property
    def code(self) -> str:
        (code,) = re.findall(r"^ +([0-9]{6})$", self.text, re.MULTILINE)
        return code


class Letterbox:
    """The mail of a service, waited for with the driver's own patience."""

    def __init__(self, service: Service, page: Page) -> None:
        self._service = service
        self._page = page

    def mails(self, to: str, subject: str = "") -> list[Mail]:
        """What has come to an address, oldest first."""
        files = sorted(self._service.mail.glob("*.eml"))
        found = [email.message_from_bytes(file.read_bytes(), _class=EmailMessage, policy=default) for file in files]
        return [Mail(one) for one in found if one["To"] == to and subject in one["Subject"]]

    def wait(self, to: str, subject: str, number: int = 1) -> Mail:
        """The n-th mail to an address with these words in its subject."""
        deadline = monotonic() + MAIL_SECONDS
        while monotonic() < deadline:
            found = self.mails(to, subject)
            if len(found) >= number:
                return found[number - 1]
            self._page.wait_for_timeout(POLL_MS)
        raise AssertionError(
            f"no mail {number} to {to} about {subject!r}; there are {[mail.message['Subject'] for mail in self.mails(to)]}"
        )


@contextmanager
def site_running() -> Iterator[Site]:
    """A tiny site on a port of its own."""
    site = Site()
    with make_server(HOST, 0, site, Threaded, Quiet) as server, _looping(server):
        site.url = f"http://{HOST}:{server.server_port}"
        yield site


@contextmanager
def service_running(folder: Path, mount: str = "", *, host: str = HOST, **settings: Any) -> Iterator[Service]:
    """authsvc on a port of its own, without limits, its mail delivered by threads into a folder; below a path, nothing beside it.

    `host`: by which name the browser knows it. To a browser, localhost is another site than 127.0.0.1, whatever the port.
    """
    mail, world = folder / "mail", Clock()
    with make_server(HOST, 0, lambda _environ, _start: [], Threaded, Quiet) as server:
        address = f"{HOST}:{server.server_port}"
        url = f"http://{host}:{server.server_port}{mount}"
        unlimited = dict.fromkeys((f"limit_{name}" for name in LIMITS), "0")
        places = {"public_url": url, "listen": address, "mail": f"file:{mail}", "delivery": "threads"}
        app = make_app(folder, world, **unlimited | places | settings)
        server.set_app(_below(mount, app))
        try:
            with _looping(server):
                yield Service(app, url, world, mail)
        finally:
            app.close()
    assert not [line for line in world.lines if "Traceback" in line], world.lines


def _below(mount: str, app: App) -> Callable[..., Iterable[bytes]]:
    """What a proxy in front lets through."""

    def pass_on(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(mount + "/"):
            return app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"beside the mount"]

    return pass_on


@contextmanager
def _looping(server: WSGIServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
