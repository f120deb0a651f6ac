"""F1, F2 and F14 at the socket: what `authsvc serve` makes of bytes that no well-behaved client sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PASSWORD, Answer
from tests.wire.servers import Server, one_answer, serving

HOST_LINE = b"Host: 127.0.0.1\r\n"
JSON_LINE = b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
LOGIN = b'{"email":"nobody@mail.com","password":"wrong-password-1"}'
SMUGGLED = b"GET /problems/conflict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all; its limits are off, since every request comes from here."""
    off = {f"AUTHSVC_LIMIT_{name}": "0" for name in ("LOGIN", "LOGIN_ACCOUNT", "LOGIN_NETWORK", "LOGIN_DELAY", "REGISTER", "READ")}
    with serving(tmp_path_factory.mktemp("bytes"), **off) as running:
        yield running


def post(head: bytes, body: bytes = b"", *, path: bytes = b"/login", version: bytes = b"1.1") -> bytes:
    """The bytes of a POST with these header lines."""
    return b"POST " + path + b" HTTP/" + version + b"\r\n" + HOST_LINE + JSON_LINE + head + b"\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    """The chunked coding of these pieces, with its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def check_still_serving(server: Server) -> None:
    """Whatever was sent before, the next client is answered."""
    assert server.call("GET", "/healthz").status == 200


def smuggled(found: list[Answer]) -> bool:
    """Whether one of these is the answer to the request hidden in a body."""
    return any(b"conflict" in answer.body for answer in found)


def test_f1_a_chunked_body_is_read(server: Server) -> None:
    """Chunks and extensions are decoded before the app sees the body."""
    body = chunked(LOGIN[:7], LOGIN[7:20], LOGIN[20:])
    (answer,) = server.talk(post(b"Transfer-Encoding: chunked\r\n" + CLOSE, body))
    assert (answer.status, answer.code) == (401, "invalid_credentials")
    (answer,) = server.talk(post(b"Transfer-Encoding: chunked\r\n" + CLOSE, b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(LOGIN), LOGIN)))
    assert answer.code == "invalid_credentials"


@pytest.mark.parametrize("size", [65_537, 100_000, 140_000, 2_000_000])
@pytest.mark.parametrize("form", ["declared", "chunked"])
def test_f1_a_body_over_the_cap_is_413(server: Server, size: int, form: str) -> None:
    """Declared or chunked, by host or app, and the server goes on."""
    if form == "declared":
        found = server.talk(post(b"Content-Length: %d\r\n" % size + CLOSE, b" " * size))
    else:
        found = server.talk(post(b"Transfer-Encoding: chunked\r\n" + CLOSE, chunked(*[b" " * 4_096] * (size // 4_096), b" " * 4_096)))
    assert [answer.status for answer in found] == [413]
    check_still_serving(server)


def test_f1_a_huge_declared_length_is_refused_before_the_body(server: Server) -> None:
    """The refusal does not wait for what will never come."""
    with server.connect() as connection:
        connection.sendall(post(b"Content-Length: 99999999999999\r\n"))
        assert one_answer(connection).status == 413
    check_still_serving(server)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: -1\r\n",
        b"Content-Length: +57\r\n",
        b"Content-Length: 0x39\r\n",
        b"Content-Length: 5_7\r\n",
        b"Content-Length: 57 57\r\n",
        b"Content-Length: 57, 57\r\n",
        b"Content-Length: 57\r\nContent-Length: 57\r\n",
        b"Content-Length: 57\r\nContent-Length: 3\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length :57\r\n",
        b"Content-Length\t: 57\r\n",
        b"Content-Length: 5\x0b7\r\n",
    ],
    ids=repr,
)
def test_f1_a_length_that_is_no_number_is_400(server: Server, lines: bytes) -> None:
    """An unclear length ends the connection: nobody can say where the next request begins."""
    found = server.talk(post(lines, LOGIN + SMUGGLED))
    assert [answer.status for answer in found] == [400]


def test_f1_a_body_that_never_comes_gets_no_account(server: Server) -> None:
    """A connection that ends before its declared length is not taken for a whole request."""
    raw = json.dumps({"email": "half@mail.com", "password": PASSWORD}).encode()
    found = server.talk(post(b"Content-Length: %d\r\n" % (len(raw) + 1), raw, path=b"/register"))
    assert [answer.status for answer in found if answer.status < 400] == []
    assert server.call("POST", "/login", {"email": "half@mail.com", "password": PASSWORD}).status == 401


def test_f1_a_length_with_leading_zeros_is_the_same_length(server: Server) -> None:
    """The server that frames the request and the app that reads it agree."""
    (answer,) = server.talk(post(b"Content-Length: %020d\r\n" % len(LOGIN) + CLOSE, LOGIN))
    assert (answer.status, answer.code) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"-39\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"0x39\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"3 9\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"38\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"ffffffffffffffffffff\r\n" + LOGIN,
        b"39\n" + LOGIN + b"\r\n0\r\n\r\n",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_f1_a_broken_chunk_is_a_4xx(server: Server, body: bytes) -> None:
    """A chunk whose size is no hexadecimal number, or not its size, is refused, and what follows is no request."""
    found = server.talk(post(b"Transfer-Encoding: chunked\r\n", body + SMUGGLED))
    assert all(400 <= answer.status < 500 for answer in found)
    assert not smuggled(found)
    check_still_serving(server)


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 92\r\n",
        b"Transfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: identity, chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding:\x0bchunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: \x00chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ],
    ids=repr,
)
def test_f2_two_ways_to_frame_a_body_never_make_two_requests(server: Server, lines: bytes) -> None:
    """Length and coding together end the connection after one answer (RFC 9112 section 6.1): the rest is not a request."""
    found = server.talk(post(lines, b"0\r\n\r\n" + SMUGGLED))
    assert len(found) == 1
    assert 400 <= found[0].status < 500 or found[0].status == 501
    assert not smuggled(found)
    check_still_serving(server)


def test_f2_http_1_0_knows_no_chunks(server: Server) -> None:
    """A coding that the version does not have ends the connection after one answer."""
    found = server.talk(post(b"Transfer-Encoding: chunked\r\n", chunked(LOGIN) + SMUGGLED, version=b"1.0"))
    assert [answer.status >= 400 for answer in found] == [True]
    assert not smuggled(found)


@pytest.mark.parametrize(
    "line",
    [
        b"X-Request-Id: a\x00b\r\n",
        b"X-Request-Id: a\rb\r\n",
        b"X-Request-Id: a\nX-Evil: b\r\n",
        b"X-Request-Id : a\r\n",
        b"X Request-Id: a\r\n",
        b"\x00: a\r\n",
        b": a\r\n",
        b"no colon\r\n",
        b"X-\xe9: a\r\n",
        b" Folded: first line\r\n",
    ],
    ids=repr,
)
def test_f2_a_malformed_header_is_400(server: Server, line: bytes) -> None:
    """NUL, bare CR or LF, spaces around names and lines without a name are refused by the host, and the connection ends."""
    found = server.talk(b"GET /healthz HTTP/1.1\r\n" + line + HOST_LINE + b"\r\n" + SMUGGLED)
    assert [answer.status for answer in found] == [400]
    assert found[0].header("X-Evil") is None


def test_f2_a_folded_line_is_never_a_header_of_its_own(server: Server) -> None:
    """Obsolete folding is refused or read as one value (RFC 9112 section 5.2), so nothing hides behind it."""
    token = server.call("POST", "/register", {"email": "folded@mail.com"}).json()["access_token"].encode()
    for fold in (b" ", b"\t", b"  "):
        found = server.talk(
            b"GET /user HTTP/1.1\r\n" + HOST_LINE + CLOSE + b"X-Nothing: a\r\n" + fold + b"Authorization: Bearer " + token + b"\r\n\r\n"
        )
        assert [answer.status in {400, 401} for answer in found] == [True]
        found = server.talk(b"GET /healthz HTTP/1.1\r\n" + HOST_LINE + CLOSE + b"X-Request-Id: a\r\n" + fold + b"b\r\n\r\n")
        assert len(found) == 1
        assert found[0].header("X-Request-Id") not in {"a", "b", "ab"}


@pytest.mark.parametrize("size", [33_000, 65_536, 1_000_000])
@pytest.mark.parametrize("form", ["one header", "many headers", "path", "unfinished"])
def test_f2_oversized_headers_are_refused(server: Server, form: str, size: int) -> None:
    """More than 32 KiB of head is a 4xx with nothing read beyond."""
    start, more = b"GET /healthz HTTP/1.1\r\n" + HOST_LINE, b"\r\n"
    head = {
        "one header": start + b"X-Big: " + b"x" * size + b"\r\n" + more,
        "many headers": start + b"".join(b"X-%d: y\r\n" % number for number in range(size // 8)) + more,
        "path": b"GET /" + b"x" * size + b" HTTP/1.1\r\n" + HOST_LINE + more,
        "unfinished": start + b"X-Big: " + b"x" * size,
    }[form]
    found = server.talk(head)
    assert all(400 <= answer.status < 500 for answer in found)
    assert len(found) <= 1
    check_still_serving(server)


@pytest.mark.parametrize("size", [9_000, 30_000])
def test_f2_large_headers_within_the_limit_do_no_harm(server: Server, size: int) -> None:
    """A huge cookie, token or user agent is an ordinary refusal."""
    for line in (b"Cookie: authsvc_access=", b"Authorization: Bearer ", b"User-Agent: ", b"If-Match: "):
        (answer,) = server.talk(b"GET /user HTTP/1.1\r\n" + HOST_LINE + CLOSE + line + b"x" * size + b"\r\n\r\n")
        assert answer.status == 401


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /healthz HTTP/1.1", 200),
        (b"GET http://evil.example/healthz HTTP/1.1", 200),
        (b"GET /healthz?x=%2F..%2f HTTP/1.1", 200),
        (b"GET //evil.example/healthz HTTP/1.1", 404),
        (b"GET //healthz HTTP/1.1", 404),
        (b"GET /healthz/ HTTP/1.1", 404),
        (b"GET http://evil.example//healthz HTTP/1.1", 404),
        (b"POST //login HTTP/1.1", 404),
        (b"POST ///login HTTP/1.1", 404),
        (b"POST http://evil.example//login HTTP/1.1", 404),
        (b"POST //%6Cogin?x=/user HTTP/1.1", 404),
        (b"GET /x/../healthz HTTP/1.1", 404),
        (b"GET /%2e%2e/healthz HTTP/1.1", 404),
        (b"GET /problems/../healthz HTTP/1.1", 404),
        (b"GET /problems%2Fconflict HTTP/1.1", 404),
        (b"GET /problems%2fconflict HTTP/1.1", 404),
        (b"GET /%2Fhealthz HTTP/1.1", 404),
        (b"GET /healthz%00 HTTP/1.1", 404),
        (b"GET /healthz%0d%0aX-Evil:%201 HTTP/1.1", 404),
        (b"GET /healthz;x HTTP/1.1", 404),
        (b"GET /%68ealthz/%2e HTTP/1.1", 404),
        (b"GET /%252e%252e/healthz HTTP/1.1", 404),
        (b"GET /%ff HTTP/1.1", 404),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"BREW /healthz HTTP/1.1", 405),
        (b"TRACE /healthz HTTP/1.1", 405),
        (b"POST /healthz HTTP/1.1", 405),
        (b"CONNECT evil.example:443 HTTP/1.1", None),
        (b"get /healthz HTTP/1.1", None),
        (b"GET /\xff HTTP/1.1", None),
        (b"GET \\healthz HTTP/1.1", None),
        (b"GET healthz HTTP/1.1", None),
        (b"GET  /healthz HTTP/1.1", None),
        (b"GET /healthz x HTTP/1.1", None),
        (b"GET\t/healthz\tHTTP/1.1", None),
        (b"GET /healthz\rHTTP/1.1", None),
        (b"GET /healthz HTTP/1.1\rX-Evil: 1", None),
        (b"GET /healthz\nX-Evil: 1 HTTP/1.1", None),
        (b"GET /healthz", None),
        (b"GET /healthz HTTP/9.9", None),
        (b"GET /healthz HTTP/1.1x", None),
        (b"GET /healthz FTP/1.1", None),
        (b"\x16\x03\x01\x02\x00\x01\x00", None),
        (b"SSH-2.0-OpenSSH_9.6", None),
        (b"PRI * HTTP/2.0", None),
    ],
    ids=repr,
)
def test_f2_a_request_line_names_its_own_route_or_none(server: Server, line: bytes, status: int | None) -> None:
    """Each target is read one way; what is no HTTP/1 request line is some 4xx (or 505), and never another route."""
    found = server.talk(line + b"\r\n" + HOST_LINE + CLOSE + b"\r\n")
    assert len(found) == 1
    if status is None:
        assert 400 <= found[0].status < 500 or found[0].status == 505
    else:
        assert found[0].status == status
    assert found[0].header("X-Evil") is None
    assert b"evil" not in found[0].body
    check_still_serving(server)


def test_f2_headers_with_underscores_are_nobody(server: Server) -> None:
    """`X_Request_Id` or `Content_Length` must not pass for the header with dashes."""
    raw = (
        b"GET /healthz HTTP/1.1\r\n" + HOST_LINE + CLOSE + b"X_Request_Id: planted\r\nContent_Length: 5\r\nX-Forwarded_For: 1.1.1.1\r\n\r\n"
    )
    (answer,) = server.talk(raw)
    assert answer.header("X-Request-Id") != "planted"


def test_f2_credentials_sent_twice_are_ambiguous(server: Server) -> None:
    """Two Authorization headers, or one cookie in two Cookie headers, are 400 however good they are."""
    token = server.call("POST", "/register", {"email": "twice@mail.com"}).json()["access_token"].encode()
    for line in (b"Authorization: Bearer " + token, b"Cookie: authsvc_access=" + token):
        raw = b"GET /user HTTP/1.1\r\n" + HOST_LINE + CLOSE + line + b"\r\n"
        assert [answer.status for answer in server.talk(raw + b"\r\n")] == [200]
        twice = server.talk(raw + line + b"\r\n\r\n")
        assert [(answer.status, answer.code) for answer in twice] == [(400, "invalid_request")]


@pytest.mark.parametrize("path", ["/healthz", "/user", "/nowhere"])
def test_f14_http_1_0_without_a_host_is_answered(server: Server, path: str) -> None:
    """The oldest clients get a whole answer with its length, unchunked, and the connection closed."""
    (answer,) = server.talk(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert answer.status == {"/healthz": 200, "/user": 401, "/nowhere": 404}[path]
    assert len(answer.body) == int(str(answer.header("Content-Length"))) > 0
    assert answer.header("Transfer-Encoding") is None


def test_f14_http_1_0_may_keep_its_connection(server: Server) -> None:
    """Asked for, it stays open and is told so."""
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = one_answer(connection)
            assert (answer.status, str(answer.header("Connection")).lower()) == (200, "keep-alive")


def test_f14_no_host_at_all_does_no_harm(server: Server) -> None:
    """HTTP/1.1 without Host is refused or answered as usual, since nothing of ours depends on it."""
    (answer,) = server.talk(b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.status in {400, 404}
    (answer,) = server.talk(b"GET /nowhere HTTP/1.1\r\nHost: evil.example\r\nHost: worse.example\r\nConnection: close\r\n\r\n")
    assert answer.status in {400, 404}
    assert b"example" not in answer.body


EARLY = {
    "404 before the body": (post(b"Content-Length: %d\r\n" % len(LOGIN), LOGIN, path=b"/nowhere"), 404),
    "405 before the body": (post(b"Content-Length: %d\r\n" % len(LOGIN), LOGIN, path=b"/healthz"), 405),
    "415 before the body": (post(b"Content-Length: %d\r\n" % len(LOGIN), LOGIN).replace(JSON_LINE, b"Content-Type: text/plain\r\n"), 415),
    "413 by the app": (post(b"Content-Length: 70000\r\n", b" " * 70_000), 413),
    "400 malformed": (post(b"Content-Length: 1\r\n", b"{"), 400),
    "401 after the body": (post(b"Content-Length: %d\r\n" % len(LOGIN), LOGIN), 401),
    "404 chunked": (post(b"Transfer-Encoding: chunked\r\n", chunked(LOGIN), path=b"/nowhere"), 404),
    "a body on GET": (b"GET /healthz HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 9\r\n\r\nGET / HTT", 200),
    "HEAD": (b"HEAD /healthz HTTP/1.1\r\n" + HOST_LINE + b"\r\n", 200),
    "HEAD of nothing": (b"HEAD /nowhere HTTP/1.1\r\n" + HOST_LINE + b"\r\n", 404),
}


@pytest.mark.parametrize("name", EARLY)
def test_f14_a_kept_connection_is_intact_after_an_early_answer(server: Server, name: str) -> None:
    """The unread body is never taken for the next request, and a body-less answer has none on the wire."""
    raw, status = EARLY[name]
    found = server.talk(raw + SMUGGLED) if "HEAD" not in name else None
    if found is not None:
        assert [answer.status for answer in found] == [status, 200]
        assert smuggled(found)
        return
    with server.connect() as connection:
        connection.sendall(raw)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        connection.sendall(SMUGGLED)
        assert smuggled([one_answer(connection)])


def test_f14_options_and_no_content_leave_the_connection_clear(server: Server) -> None:
    """204 has no length and no body; the next answer begins right behind it, or the connection says that it closes."""
    with server.connect() as connection:
        connection.sendall(b"OPTIONS /user HTTP/1.1\r\n" + HOST_LINE + b"\r\n")
        answer = one_answer(connection)
        assert (answer.status, answer.header("Transfer-Encoding"), answer.header("Content-Length")) == (204, None, None)
        if str(answer.header("Connection")).lower() != "close":
            connection.sendall(SMUGGLED)
            assert smuggled([one_answer(connection)])


def test_f14_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """Five requests sent at once give five answers, each to its own request."""
    ids = [f"r{number}" for number in range(5)]
    raw = b"".join(f"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: {each}\r\n\r\n".encode() for each in ids)
    found = server.talk(raw + SMUGGLED)
    assert [answer.header("X-Request-Id") for answer in found[:5]] == ids
    assert smuggled(found[5:])


def test_f14_expect_continue_is_answered(server: Server) -> None:
    """curl waits for 100 before a large body; it gets it, and then its answer."""
    with server.connect() as connection:
        connection.sendall(post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(LOGIN) + CLOSE))
        interim = b""
        while not interim.endswith(b"\r\n\r\n"):
            interim += connection.recv(1)
        assert interim.startswith(b"HTTP/1.1 100 ")
        connection.sendall(LOGIN)
        assert one_answer(connection).status == 401


def test_f14_a_lone_line_feed_is_no_line_end_that_smuggles(server: Server) -> None:
    """A head written with LF only is never half understood."""
    found = server.talk(b"GET /healthz HTTP/1.1\nHost: a\n\n" + SMUGGLED)
    assert all(answer.status >= 400 for answer in found)
    assert not smuggled(found)
    check_still_serving(server)


def test_the_servers_log_stays_clean(tmp_path: Path) -> None:
    """After broken requests the log holds whole lines of our own only, and no content of the requests."""
    with serving(tmp_path) as server:
        for raw in (b"GET /secret-path HTTP/1.1\r\n\r\n", b"\x00\x00\r\n\r\n", post(b"Content-Length: 9\r\n", b"secret-no")):
            server.talk(raw)
        server.call("GET", "/healthz", headers={"X-Request-Id": "the-last-one"})
        lines = server.lines()
    assert "the-last-one" in lines
    assert "secret" not in lines
    assert all(line.isprintable() for line in lines.splitlines())
