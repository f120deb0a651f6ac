"""What the server itself says goes into the same log as all else."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from waitress import wasyncore

from authsvc.app import App
from authsvc.cli.server import Server
from authsvc.config import parse
from tests.support import Client, FakeWorld, running


def test_a_server_that_drains_is_not_ready(tmp_path: Path) -> None:
    """On a connection that is still open /readyz says so, from the moment on that no new one is taken."""
    with running(tmp_path) as app:
        server = Server(app, replace(app.core.settings, listen=parse.listen("127.0.0.1:0")))
        assert Client(app).get("/readyz").status == 200
        server._drain()
        assert Client(app).get("/readyz")["checks"]["process"] == "stopping"


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    """An app with a server around it that does not run."""
    logger = logging.getLogger("waitress")
    before = logger.handlers, logger.propagate
    with running(tmp_path, world, log="json") as app:
        made = [Server(app, replace(app.core.settings, listen=parse.listen("127.0.0.1:0"))) for _ in range(2)]
        yield app
        for server in made:
            server._dispatcher.shutdown(timeout=1)
            wasyncore.close_all(server._map, ignore_all=True)
    logger.handlers, logger.propagate = before


def test_a_fault_in_the_server_is_one_entry(app: App, world: FakeWorld) -> None:
    """With its traceback, as an error, once, however often a server was made; chatter is not told."""
    logger = logging.getLogger("waitress")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logger.exception("Exception while serving %s", "/x")
    logger.warning("odd")
    logger.info("chatter")
    told = [json.loads(line) for line in world.lines]
    assert [(line["level"], line["message"].partition("\n")[0]) for line in told] == [
        ("error", "server: Exception while serving /x"),
        ("warning", "server: odd"),
    ]
    assert "ZeroDivisionError" in told[0]["message"]
