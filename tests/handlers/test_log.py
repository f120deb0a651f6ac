"""The log: one line for people or one JSON object for programs, each with the ids of its request, none with a secret."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from tests.staff import admin
from tests.support import START, Client, FakeWorld, running

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"X-Request-Id": "r-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def lines(app: App) -> list[dict[str, Any]]:
    return [json.loads(line) for line in app.core.world.lines]


@pytest.fixture
def make(tmp_path: Path, world: FakeWorld) -> Any:
    return lambda **more: running(tmp_path, world, **more)


def test_a_request_is_one_object(make: Callable[..., Any]) -> None:
    """When, which, how it ended, how long it took, from where and by whom; the trace where there is one."""
    with make(log="json") as app:
        client = Client(app)
        made = client.register()
        client.get("/user?include=factors", token=made["access_token"], headers=HEADERS)
        line = lines(app)[-1]
    assert 0 <= line.pop("ms") < 10_000
    assert line == {
        "ts": "2027-01-15T08:00:00.000Z",
        "level": "info",
        "event": "request",
        "request_id": "r-1",
        "trace_id": TRACE,
        "status": 200,
        "method": "GET",
        "route": "/user",
        "ip": "192.0.2.1",
        "caller": made["user"]["id"],
    }
    assert START == 1_800_000_000_000


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_terminal_obeys_no_line(make: Callable[..., Any], form: str) -> None:
    """Whatever a mail server or another peer has said: letters, tabs and line breaks only."""
    with make(log=form) as app:
        app.core.world.log("refused: 550 \x1b[2K\x1b[1Gé\r\x9b5n\x00\tdone\nnext")
        line = app.core.world.lines[-1]
    assert form == "json" or line == "refused: 550 ?[2K?[1Gé??5n?\tdone\nnext"
    assert not set(line) & set(map(chr, [*range(9), 11, 13, 27, 127, *range(128, 160)]))


def test_a_key_is_named_by_its_id(make: Callable[..., Any]) -> None:
    """Never by itself."""
    with make(log="json") as app:
        key = admin(app).call("POST", "/keys", {"name": "svc", "caps": ["users:read"]}).json()
        Client(app).get("/users", token=key["key"])
        assert lines(app)[-1]["caller"] == key["id"]
        assert key["key"] not in "".join(app.core.world.lines)


@pytest.mark.parametrize("header", ["nonsense", f"00-{TRACE}-b7ad6b7169203331-01,x", f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_a_trace_that_is_none_is_not_told(make: Callable[..., Any], header: str) -> None:
    """What a stranger sends as a trace gets into no line, and into no answer."""
    with make(log="json") as app:
        answer = Client(app).get("/healthz", headers={"traceparent": header})
        assert "trace_id" not in lines(app)[-1]
    assert [name for name, _ in answer.headers if "trace" in name.lower()] == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_goes_wrong_on_the_way_has_the_ids_of_its_request(make: Callable[..., Any], form: str) -> None:
    """A refusal with a reason is a warning, a fault of ours an error; the next request's lines have its own ids."""
    with make(log=form) as app:
        client = Client(app)
        made = client.register()
        writer = app.core.store._writer
        writer._check, check = broken, writer._check
        assert client.post("/token/refresh", {"refresh_token": made["refresh_token"]}, headers=HEADERS).status == 500
        writer._check = check
        app.core.store._identity = None
        assert client.call("GET", "/readyz", headers=HEADERS).status == 503
        found = app.core.world.lines[-4:]
    if form == "text":
        assert found[0].startswith("r-1: internal error\nTraceback")
        assert found[2].startswith("r-1: unavailable: store: ")
        assert [len(line.split(" ")) for line in (found[1], found[3])] == [8, 8]
    else:
        told = [json.loads(line) for line in found]
        assert [(line["level"], line["request_id"], line["trace_id"]) for line in told] == [
            ("error", "r-1", TRACE),
            ("info", "r-1", TRACE),
            ("warning", "r-1", TRACE),
            ("info", "r-1", TRACE),
        ]
        assert told[0]["message"].startswith("internal error\nTraceback")
        assert [line.get("status") for line in told] == [None, 500, None, 503]


def broken() -> None:
    raise ZeroDivisionError


def test_what_no_request_asked_for_has_no_ids(make: Callable[..., Any]) -> None:
    """Mail on the console, seals, deliveries: a message, and nothing of the last request."""
    with make(log="json") as app:
        Client(app).register(options={"sendEmail": True})
        app.deliveries.run_once()
        mail = lines(app)[-1]
    assert list(mail) == ["ts", "level", "message"]
    assert mail["message"].startswith("--- mail to example@mail.com: ")
    assert "\n" in mail["message"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_line_of_a_stream_comes_when_it_ends(make: Callable[..., Any], form: str) -> None:
    """With the ids of its own request, whatever its thread did since."""
    with make(log=form) as app:
        boss = admin(app)
        environ = {"HTTP_ACCEPT": "application/x-ndjson", "HTTP_X_REQUEST_ID": "r-stream", "HTTP_AUTHORIZATION": f"Bearer {boss.token}"}
        begun: Any = app(get("/audit/logs", environ), lambda *_: None)
        before = len(app.core.world.lines)
        Client(app).get("/healthz")
        b"".join(begun)
        begun.close()
        _, line = app.core.world.lines[before:]
        assert line.endswith(" r-stream") if form == "text" else json.loads(line)["request_id"] == "r-stream"
        assert app.core.world.mine.errand is None


def get(path: str, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
        **more,
    }


@pytest.mark.parametrize("hostile", ['"}\n{"level":"info"', "\u2028", "\x1b[31m", "\x00", "ü", "\ud800"])
def test_a_message_is_one_line_whatever_it_says(make: Callable[..., Any], hostile: str) -> None:
    """Line ends, controls, other line ends of Unicode, lone surrogates: escaped, and the same again when it is read."""
    with make(log="json") as app:
        app.core.world.log(f"said {hostile}", place=hostile)
        (line,) = app.core.world.lines
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == f"said {hostile}"
    assert json.loads(line)["place"] == hostile
