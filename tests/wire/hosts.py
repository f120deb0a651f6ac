"""Every WSGI host that the suite of the wire runs under. Commands and programs are those that the README gives."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import Answer
from tests.wire.servers import HOST, ROOT, SERVE, Server, serving

README = (ROOT / "README.md").read_text("utf-8")
PRINTED = "127.0.0.1:8000"
MOUNT = "/auth"
BELOW = {"AUTHSVC_PUBLIC_URL": f"http://{HOST}:{{port}}{MOUNT}"}
SITE = """
from django.http import HttpResponse
from django.urls import path

SECRET_KEY = "only for testing"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = __name__
urlpatterns = [path("shop", lambda request: HttpResponse("the shop"))]
"""
SHOP = '\n@app.get("/shop")\ndef shop():\n    return "the shop"\n'


def printed(name: str) -> str:
    """The block of the README between these markers."""
    (block,) = re.findall(rf"^<!-- {name} -->\n```\w+\n(.*?)^```\n<!-- /{name} -->$", README, re.DOTALL | re.MULTILINE)
    return block


def command(name: str, *more: str) -> tuple[str, ...]:
    """The README's command line for a host, with its port to be filled in; `more` goes before the application."""
    (line,) = [line for line in printed("hosts").splitlines() if line.startswith(f"{name} ")]
    words = [word.replace(PRINTED, "{host}:{port}").replace("8000", "{port}") for word in shlex.split(line)]
    return (*words[:-1], *more, words[-1])


def gunicorn(app: str) -> tuple[str, ...]:
    """gunicorn, serving this."""
    return (*command("gunicorn")[:-1], app)


@dataclass(frozen=True)
class Host:
    """How a host is started: a command of ours, or one whose program stands beside the interpreter. `files` lie in the
    folder that it starts in; `chunked`: whether it gives chunked bodies to the app; `site`: what else it serves."""

    command: tuple[str, ...]
    prefix: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    chunked: bool = True
    site: str | None = None


UWSGI = ("--virtualenv", sys.prefix)
TIMER = Host((*command("uwsgi")[:-1], "deliver:app", *UWSGI), files={"deliver.py": printed("timer").replace("@timer(5", "@timer(1")})
WHERE = {"DJANGO_SETTINGS_MODULE": "shop"}
HOSTS = {
    "serve": Host(SERVE),
    "serve under a path": Host(SERVE, MOUNT, BELOW),
    "gunicorn": Host(command("gunicorn")),
    "gunicorn, preloaded": Host(command("gunicorn", "--preload")),
    "gunicorn under a path": Host(command("gunicorn"), MOUNT, BELOW | {"SCRIPT_NAME": MOUNT}),
    "granian": Host(command("granian")),
    "granian under a path": Host(command("granian", "--url-path-prefix", MOUNT), MOUNT, BELOW),
    "uwsgi": Host((*command("uwsgi"), *UWSGI), chunked=False),
    "cheroot": Host(("serving.py",), files={"serving.py": printed("cheroot")}),
    "flask": Host(gunicorn("shop:app"), MOUNT, BELOW, {"shop.py": printed("flask") + SHOP}, site="/shop"),
    "django": Host(gunicorn("wsgi"), MOUNT, BELOW | WHERE, {"wsgi.py": printed("django"), "shop.py": SITE}, site="/shop"),
}


def skip_unless_here(host: Host) -> None:
    """uWSGI needs a compiler to be installed: where there was none, its tests are skipped, but not where CI promised it."""
    if host.command[0] != "uwsgi" or shutil.which(program("uwsgi")):
        return
    if os.environ.get("CI_HAS_UWSGI") == "1":
        pytest.fail("uWSGI is not installed", pytrace=False)
    pytest.skip("uWSGI is not installed: pip install '.[compiled]' needs a C compiler and Python's headers")


def program(name: str) -> str:
    """A program beside the interpreter that runs the tests."""
    return str(Path(sys.executable).with_name(name))


@contextmanager
def hosted(host: Host, folder: Path, **settings: str) -> Iterator[Server]:
    """The service under this host, with these settings."""
    skip_unless_here(host)
    for name, text in host.files.items():
        (folder / name).write_text(text, "utf-8")
    first = host.command[0]
    words = host.command if first.startswith("-") or first.endswith(".py") else (program(first), *host.command[1:])
    with serving(folder, words, prefix=host.prefix, **host.environment | settings) as server:
        server.host = host
        yield server


def links(page: Answer) -> list[str]:
    """Where a page points to: its links, forms and files."""
    return re.findall(r'(?:href|action|src)="([^"]*)"', page.body.decode())
