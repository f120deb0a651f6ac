"""F3: connections that send nothing, or a byte now and then, do not keep others from being answered."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from authsvc.cli.server import Dispatcher
from tests.support import PASSWORD, running
from tests.wire.servers import ANSWER_SECONDS, HOST, Server, one_answer, serving

CONNECTIONS = 200
BODY = b'{"email":"slow@mail.com","password":"violet-harbour-91"}'
PARTS = {
    "nothing": [b""],
    "half a request line": [b"GET /heal"],
    "half a head": [b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n", b"X-C: d\r\n"],
    "half a body": [b"POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 57\r\n\r\n", b"{", b'"'],
    "half a chunk": [b"POST /register HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"f", b"f\r\n{"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with few threads, so that a thread for each connection would show."""
    with serving(tmp_path_factory.mktemp("slow"), AUTHSVC_THREADS="2", AUTHSVC_LIMIT_REGISTER="0", AUTHSVC_LIMIT_READ="0") as running:
        yield running


@pytest.mark.parametrize("form", PARTS)
def test_f3_two_hundred_slow_connections_stop_nobody(server: Server, form: str) -> None:
    """While they hang, a registration, a login and a read are answered as ever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard > CONNECTIONS + 100
    if soft < CONNECTIONS + 100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 100, hard))
    email = f"{form.replace(' ', '-')}@mail.com"
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(CONNECTIONS)]
        for part in PARTS[form]:
            for connection in slow:
                connection.sendall(part)
            assert server.call("GET", "/healthz").status == 200
        registered = server.call("POST", "/register", {"email": email, "password": PASSWORD})
        assert registered.status == 201
        login = server.call("POST", "/login", {"email": email, "password": PASSWORD})
        assert server.call("GET", "/user", token=login.json()["access_token"]).status == 200
    assert server.call("GET", "/healthz").status == 200


def test_f3_a_client_that_never_reads_does_not_hold_the_loop(server: Server) -> None:
    """Quick requests whose answers fill every buffer on their way (some 5 MB) stop nobody else's quick requests."""
    large = server.call("POST", "/register", {"email": "unread@mail.com", "metadata": {"a": "x" * 4_000}})
    token = large.json()["access_token"].encode()
    ask = b"GET /user HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    with socket.socket() as stuck, server.connect() as other:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stuck.settimeout(ANSWER_SECONDS)
        stuck.connect((HOST, server.port))
        for _ in range(1_100):
            stuck.sendall(ask)
            other.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert one_answer(other).status == 200


@pytest.mark.parametrize("target", ["/login", "//login", "///login", "http://a/login", "http://a//login", "/%6cogin", "//%6Cogin?x=/user"])
def test_f3_no_spelling_of_a_slow_path_runs_on_the_loop(tmp_path: Path, target: str) -> None:
    """What reaches the password hash is never taken for a quick request, however its path is spelled: hosts clean paths after this."""
    with running(tmp_path) as app:
        parsed = HTTPRequestParser(Adjustments())
        parsed.received(f"POST {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert parsed.completed
        assert parsed.error is None
        dispatcher = Dispatcher(app.is_quick)
        dispatcher.add_task(SimpleNamespace(requests=[parsed]))
        assert len(dispatcher.queue) == 1
        assert dispatcher.is_busy


def test_f3_a_slow_request_is_answered_when_it_is_whole(server: Server, tmp_path: Path) -> None:
    """Slowness itself is no fault: a request that came byte by byte gets its answer."""
    body = BODY
    raw = b"POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with server.connect() as connection:
        for position in range(len(raw)):
            connection.sendall(raw[position : position + 1])
        answer = one_answer(connection)
    assert (answer.status, answer.json()["user"]["email"]) == (201, "slow@mail.com")
