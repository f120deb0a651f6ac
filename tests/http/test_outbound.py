"""Promises of http/outbound.py: a call ends by its deadline, takes no more than it may, and reaches whom it names and nobody else."""

from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from authsvc.http.outbound import Answered, Call, Unreachable, call
from tests.support import FakeWorld

NAME = "api.vendor.example"
PATIENCE_SECONDS = 30.0
SHORT_SECONDS = 0.3
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Behaviour = Callable[["Peer", socket.socket], None]


def says(raw: bytes) -> Behaviour:
    """All at once, and then it hangs up."""
    return lambda _, channel: channel.sendall(raw)


ANSWERS = says(OK)


def trickles(head: bytes, piece: bytes = b"x") -> Behaviour:
    """This, and then a piece every now and then, until nobody takes it or the test ends."""

    def trickle(peer: Peer, channel: socket.socket) -> None:
        channel.sendall(head)
        while not peer.released.wait(0.02):
            channel.sendall(piece)

    return trickle


def pours(head: bytes, piece: bytes) -> Behaviour:
    """The same as fast as it goes."""

    def pour(peer: Peer, channel: socket.socket) -> None:
        channel.sendall(head)
        while not peer.released.is_set():
            channel.sendall(piece)
            peer.poured += len(piece)

    return pour


def silent(peer: Peer, channel: socket.socket) -> None:
    """Takes the request and says nothing until the client hangs up."""
    while not peer.released.is_set():
        if select.select([channel], [], [], 0.02)[0] and not channel.recv(1):
            return


@dataclass
class Peer:
    """A server on 127.0.0.1: takes a request as it comes, and then behaves. With a certificate it speaks TLS; `mute`: it
    takes connections and never begins with TLS."""

    behaviour: Behaviour
    certificate: Path | None = None
    mute: bool = False
    asked: list[bytes] = field(default_factory=list)
    connections: int = 0
    poured: int = 0
    names: list[str | None] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="peer")
        self._accepting.start()

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://{NAME}{path}"

    def head(self) -> list[str]:
        """Request line and headers of the one request."""
        (asked,) = self.asked
        return asked.partition(b"\r\n\r\n")[0].decode().split("\r\n")

    def is_left_alone(self) -> bool:
        """Whether each of its connections ends while the test goes on: the client has hung up."""
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS / 3)
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self.released.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._accepting, *self._threads):
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self.released.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), name="peer's connection")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        with connection, suppress(OSError):
            if self.mute:
                silent(self, connection)
                return
            with self._secured(connection) as channel:
                asked = _request(channel)
                if asked:
                    self.asked.append(asked)
                    self.behaviour(self, channel)

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self.certificate is None:
            return connection
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        context.sni_callback = lambda _, name, __: self.names.append(name)
        return context.wrap_socket(connection, server_side=True)


def _request(channel: socket.socket) -> bytes:
    """A whole request, by its Content-Length."""
    found = b""
    while b"\r\n\r\n" not in found:
        piece = channel.recv(65_536)
        if not piece:
            return b""
        found += piece
    head, _, body = found.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += channel.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def peer(behaviour: Behaviour = ANSWERS, **more: object) -> Iterator[Peer]:
    running = Peer(behaviour, **more)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        running.stop()


class Net(FakeWorld):
    """A world whose names lead where a test says; TLS trusts the test's own certificate only."""

    def __init__(self, target: Peer, *addresses: str, trusted: Path | None = None) -> None:
        super().__init__()
        self.target = target
        self.addresses = list(addresses or ["127.0.0.1"])
        self.trusted = trusted
        self.resolved: list[tuple[str, int]] = []
        self.tried: list[tuple[str, int]] = []
        self.secured: list[str] = []
        self.acts: list[str] = []
        self.ticks = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ticks

    def slow(self, act: str) -> None:
        self.acts.append(act)

    def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append((host, port))
        return self.addresses

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.tried.append((address, port))
        if address == "192.0.2.1":  # RFC 5737: nobody there, and nobody says so
            self.ticks += seconds
            raise TimeoutError("timed out")
        if address == "192.0.2.2":
            raise ConnectionRefusedError("refused")
        return socket.create_connection((address, self.target.port), seconds)

    def secure(self, connected: socket.socket, host: str) -> socket.socket:
        self.secured.append(host)
        context = ssl.create_default_context(cafile=self.trusted) if self.trusted else ssl.create_default_context()
        return context.wrap_socket(connected, server_hostname=host)


@cache
def _pem(*names: str) -> bytes:
    """A key and a certificate for these names, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = dt.datetime.now(dt.UTC)
    alternatives = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "vendor.pem"
    path.write_bytes(_pem(NAME))
    return path


def test_a_name_that_is_not_resolved_in_time_is_given_up() -> None:
    """The system's resolver knows no deadline of ours: whoever calls goes on without it."""
    asked, answered = threading.Event(), threading.Event()

    class Slow(Net):
        def resolve(self, host: str, port: int) -> list[str]:
            asked.set()
            assert answered.wait(20)
            return super().resolve(host, port)

    with peer(says(b"HTTP/1.1 204 \r\n\r\n")) as target:
        with pytest.raises(Unreachable, match="the name was not resolved in time, too late"):
            call(Slow(target), Call("GET", target.url("/"), seconds=0.1))
        answered.set()

    assert asked.is_set()
    assert target.connections == 0


def test_what_the_resolver_says_is_told_whatever_it_is() -> None:
    """No address, or a name that is none."""

    class Lost(Net):
        def resolve(self, host: str, port: int) -> list[str]:
            raise UnicodeError("label too long")

    with peer(says(b"")) as target, pytest.raises(Unreachable, match="UnicodeError: label too long"):
        call(Lost(target), Call("GET", target.url("/")))


def test_a_call_brings_what_was_answered() -> None:
    """Status, headers by their lower-case names and body; over one connection, told beforehand to the world."""
    raw = b"HTTP/1.1 404 Away\r\nContent-Length: 5\r\nX-Thing: a\r\nContent-Type: text/plain\r\n\r\nhello"
    with peer(says(raw)) as target:
        net = Net(target)
        answered = call(net, Call("GET", target.url("/a/b?c=d&e=%20"), {"X-Mine": "1"}))

    assert answered == Answered(404, {"content-length": "5", "x-thing": "a", "content-type": "text/plain"}, b"hello")
    assert not answered.ok
    assert target.head()[0] == "GET /a/b?c=d&e=%20 HTTP/1.1"
    assert sorted(line.lower() for line in target.head()[1:]) == [
        "accept-encoding: identity",
        "connection: close",
        f"host: {NAME}",
        "x-mine: 1",
    ]
    assert (net.resolved, net.tried, net.secured, len(net.acts)) == ([(NAME, 80)], [("127.0.0.1", 80)], [], 1)
    assert target.connections == 1


def test_a_body_is_sent_whole() -> None:
    """With its length, as it is."""
    body = bytes(range(256)) * 1_000
    with peer() as target:
        assert call(Net(target), Call("POST", target.url(), body=body)).ok
    assert f"content-length: {len(body)}" in [line.lower() for line in target.head()]
    assert target.asked[0].partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://x.example", "/"),
        ("http://x.example?a=b", "/?a=b"),
        ("http://x.example/a%2Fb/../c", "/a%2Fb/../c"),
        ("http://x.example//a", "//a"),
    ],
)
def test_a_path_is_asked_for_as_it_is_written(url: str, path: str) -> None:
    """Nothing of it is put right."""
    with peer() as target:
        call(Net(target), Call("GET", url))
    assert target.head()[0] == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize(
    ("netloc", "host", "port"),
    [(f"{NAME}:8443", NAME, 8443), ("[::1]:81", "::1", 81), ("UPPER.example", "upper.example", 80), (f"me:secret@{NAME}", NAME, 80)],
)
def test_host_is_as_it_is_written_and_never_has_credentials(netloc: str, host: str, port: int) -> None:
    """RFC 9110 section 7.2: host and port, without what stands before an @."""
    with peer() as target:
        net = Net(target)
        call(net, Call("GET", f"http://{netloc}/"))
    assert f"Host: {netloc.rpartition('@')[2]}" in target.head()
    assert net.resolved == [(host, port)]
    assert b"secret" not in target.asked[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_followed_nowhere(status: int) -> None:
    """Whoever is called does not choose whom we call."""
    raw = f"HTTP/1.1 {status} Elsewhere\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n".encode()
    with peer(says(raw)) as target:
        net = Net(target)
        answered = call(net, Call("POST", target.url(), body=b"secret"))
    assert (answered.status, answered.ok, answered.headers["location"]) == (status, False, "http://evil.example/")
    assert (target.connections, len(net.resolved)) == (1, 1)


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.9:1")
    with peer() as target:
        net = Net(target)
        assert call(net, Call("GET", target.url())).ok
    assert net.resolved == [(NAME, 80)]


def test_nothing_is_unpacked() -> None:
    """A bomb stays as small as it came."""
    bomb = gzip.compress(bytes(10_000_000))
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with peer(says(raw + bomb)) as target:
        assert call(Net(target), Call("GET", target.url())).body == bomb
    assert "Accept-Encoding: identity" in target.head()


FORMS = {
    "length": lambda body: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
    "chunks": lambda body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n",
    "until the end": lambda body: b"HTTP/1.1 200 OK\r\n\r\n" + body,
    "HTTP/1.0": lambda body: b"HTTP/1.0 200 OK\r\n\r\n" + body,
}
FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@FORM
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in part"])
def test_a_body_of_the_most_bytes_is_taken(form: Callable[[bytes], bytes], *, whole: bool) -> None:
    """The bound itself is within bounds."""
    body = b"x" * 1_000
    with peer(says(form(body))) as target:
        assert call(Net(target), Call("GET", target.url(), most_bytes=1_000, whole=whole)).body == body


@FORM
def test_a_longer_body_is_no_answer(form: Callable[[bytes], bytes]) -> None:
    """By one byte."""
    with peer(says(form(b"x" * 1_001))) as target, pytest.raises(Unreachable, match="more than 1000 bytes"):
        call(Net(target), Call("GET", target.url(), most_bytes=1_000))


@FORM
def test_in_part_a_longer_body_is_cut(form: Callable[[bytes], bytes]) -> None:
    """Where only the status counts."""
    with peer(says(form(b"x" * 5_000))) as target:
        answered = call(Net(target), Call("GET", target.url(), most_bytes=1_000, whole=False))
    assert answered.ok
    assert answered.body == b"x" * 1_000


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"])
def test_an_endless_body_is_not_taken(head: bytes) -> None:
    """What is read is bounded, not only what is kept: the peer cannot get rid of more than the buffers hold."""
    with peer(pours(head, b"x" * 65_536)) as target:
        with pytest.raises(Unreachable):
            call(Net(target), Call("GET", target.url(), most_bytes=1_000))
        assert target.is_left_alone()
    assert target.poured < 64_000_000


def test_endless_chunks_are_not_taken() -> None:
    """Of one byte each, too."""
    with peer(pours(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1_000)) as target:
        with pytest.raises(Unreachable, match="more than 1000 bytes"):
            call(Net(target), Call("GET", target.url(), most_bytes=1_000))
        assert target.is_left_alone()


CUT_OFF = {
    "nothing": b"",
    "in the status line": b"HTTP/1.1 20",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc",
    "before the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "a chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "status no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "status too high": b"HTTP/1.1 99999 OK\r\n\r\n",
    "a hundred headers more": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % index for index in range(101)) + b"\r\n",
    "a header of 70 kilobytes": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "a status line of 70 kilobytes": b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("raw", CUT_OFF.values(), ids=CUT_OFF)
def test_what_is_cut_off_or_no_http_is_no_answer(raw: bytes) -> None:
    """One kind of failure, whatever the peer does, and nothing but a line about it."""
    with peer(says(raw)) as target, pytest.raises(Unreachable) as raised:
        call(Net(target), Call("GET", target.url()))
    assert len(str(raised.value)) <= 320
    assert "too late" not in str(raised.value)


@pytest.mark.parametrize(
    "raw",
    [b"HTTP/1.1 \x1b[31mFORGED\x07\r\n", b"EVIL a\x0b\x0c\x1cb\r\n", b"HTTP/1.1 2\x00\x85x0 OK\r\n\r\n", b"\x1b]0;title\x07\n"],
)
def test_what_is_told_of_it_is_one_printable_line(raw: bytes) -> None:
    """It stands in the log: what a peer says neither begins a line of its own there nor steers a terminal."""
    with peer(says(raw)) as target, pytest.raises(Unreachable) as raised:
        call(Net(target), Call("GET", target.url()))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["in the body", "in a chunk", "before the last chunk"])
def test_in_part_a_cut_off_body_leaves_the_status(name: str) -> None:
    """Where only the status counts, what has come of the body is enough."""
    with peer(says(CUT_OFF[name])) as target:
        answered = call(Net(target), Call("GET", target.url(), whole=False))
    assert answered.ok
    assert answered.body == b"abc"


SLOW: dict[str, Behaviour] = {
    "silence": silent,
    "status line": trickles(b"HTTP/1.1 200 "),
    "headers": trickles(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "one header": trickles(b"HTTP/1.1 200 OK\r\nX: "),
    "body with a length": trickles(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
    "body without": trickles(b"HTTP/1.1 200 OK\r\n\r\n"),
    "chunks": trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "one chunk": trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"),
    "trailers": trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"X: y\r\n"),
    "100 Continue": trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "100 Continue, fast": pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("behaviour", SLOW.values(), ids=SLOW)
def test_the_deadline_bounds_all_of_it(behaviour: Behaviour, certificate: Path, *, secure: bool) -> None:
    """D8: from the connection to the last byte, also where each single read is quick; then the peer is hung up on, and what
    had come by then is no answer. The peer goes on until it is hung up on, so that a call without a deadline never ends."""
    with peer(behaviour, certificate=certificate if secure else None) as target:
        rescue = threading.Timer(PATIENCE_SECONDS / 6, target.released.set)
        rescue.start()
        try:
            with pytest.raises(Unreachable, match="too late"):
                call(Net(target, trusted=certificate), Call("GET", target.url(scheme="https" if secure else "http"), seconds=SHORT_SECONDS))
            assert not target.released.is_set(), "it came back only when the peer gave up"
            assert target.is_left_alone()
        finally:
            rescue.cancel()


def test_the_deadline_bounds_the_tls_handshake(certificate: Path) -> None:
    """D8: a peer that takes the connection and never begins."""
    with peer(mute=True) as target:
        rescue = threading.Timer(PATIENCE_SECONDS / 6, target.released.set)
        rescue.start()
        try:
            with pytest.raises(Unreachable, match="too late"):
                call(Net(target, trusted=certificate), Call("GET", target.url(scheme="https"), seconds=SHORT_SECONDS))
            assert not target.released.is_set()
            assert target.is_left_alone()
        finally:
            rescue.cancel()


def test_the_deadline_bounds_what_is_sent() -> None:
    """D8: a peer that takes the connection and reads nothing of a long body."""
    with peer(mute=True) as target:
        rescue = threading.Timer(PATIENCE_SECONDS / 6, target.released.set)
        target.behaviour = silent
        rescue.start()
        try:
            with pytest.raises(Unreachable):
                call(Net(target), Call("POST", target.url(), body=bytes(64_000_000), seconds=SHORT_SECONDS))
            assert not target.released.is_set()
        finally:
            rescue.cancel()


def test_in_part_a_late_body_leaves_the_status() -> None:
    """Where only the status counts and came in time."""
    with peer(trickles(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n")) as target:
        answered = call(Net(target), Call("GET", target.url(), seconds=SHORT_SECONDS, whole=False))
    assert answered.status == 202


ENDS = {
    "well": says(OK),
    "cut off": says(CUT_OFF["in the body"]),
    "no HTTP": says(b"x"),
    "too long": says(FORMS["length"](b"x" * 9_000)),
    "in a header": says(b"HTTP/1.1 200 OK\r\n" * 200),
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("behaviour", ENDS.values(), ids=ENDS)
def test_nothing_stays_open(behaviour: Behaviour, certificate: Path, *, secure: bool) -> None:
    """However the call ended: a failure whose frames are kept alive, as by a log, keeps no descriptor and no thread."""
    opened: list[socket.socket] = []

    class Noting(Net):
        def connect(self, address: str, port: int, seconds: float) -> socket.socket:
            opened.append(super().connect(address, port, seconds))
            return opened[-1]

        def secure(self, connected: socket.socket, host: str) -> socket.socket:
            opened.append(super().secure(connected, host))
            return opened[-1]

    with peer(behaviour, certificate=certificate if secure else None) as target:
        kept: Unreachable | None = None
        try:
            call(Noting(target, trusted=certificate), Call("GET", target.url(scheme="https" if secure else "http"), most_bytes=1_000))
        except Unreachable as error:
            kept = error
        left = [one.fileno() for one in opened]
        cutters = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer) and not thread.finished.is_set()]
        for one in opened:
            one.close()
        del kept
    assert left == [-1] * (2 if secure else 1)
    assert cutters == []


def test_tls_reaches_who_proves_the_name(certificate: Path) -> None:
    """By a certificate that the world trusts; the name is in SNI and in Host."""
    with peer(certificate=certificate) as target:
        net = Net(target, trusted=certificate)
        assert call(net, Call("GET", target.url("/x", "https"))).body == b"ok"
    assert (net.resolved, net.tried, net.secured) == ([(NAME, 443)], [("127.0.0.1", 443)], [NAME])
    assert target.names == [NAME]
    assert f"Host: {NAME}" in target.head()


def test_tls_with_another_name_is_refused(certificate: Path) -> None:
    """Before anything of the request is sent."""
    with peer(certificate=certificate) as target, pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        call(Net(target, trusted=certificate), Call("POST", "https://other.vendor.example/", body=b"secret"))
    assert target.asked == []


def test_tls_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    """A certificate of one's own making, by the world as it is outside of tests."""
    with peer(certificate=certificate) as target, pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        call(Net(target), Call("GET", target.url(scheme="https")))
    assert target.asked == []


def test_https_is_never_spoken_in_the_clear(certificate: Path) -> None:
    """A peer without TLS gets nothing of the request."""
    with peer(says(b"HTTP/1.1 200 OK\r\n\r\n")) as target, pytest.raises(Unreachable):
        call(Net(target, trusted=certificate), Call("GET", target.url("/secret", "https"), seconds=SHORT_SECONDS))
    assert not [asked for asked in target.asked if b"secret" in asked]


def test_a_pinned_address_is_called_under_the_name(certificate: Path) -> None:
    """Without asking what the name resolves to; the certificate must still be the name's."""
    with peer(certificate=certificate) as target:
        net = Net(target, "192.0.2.2", trusted=certificate)
        assert call(net, Call("GET", target.url(scheme="https")), address="127.0.0.1").ok
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            call(net, Call("GET", "https://other.vendor.example/"), address="127.0.0.1")
    assert net.resolved == []
    assert net.tried == [("127.0.0.1", 443)] * 2
    assert net.secured == [NAME, "other.vendor.example"]
    assert f"Host: {NAME}" in target.head()


def test_a_name_without_an_address_is_unreachable() -> None:
    """Neither an empty list nor the resolver's own error is anything else."""
    with peer() as target:
        net = Net(target)
        net.addresses = []
        with pytest.raises(Unreachable, match="no address"):
            call(net, Call("GET", target.url()))

        def fail(host: str, port: int) -> list[str]:
            raise socket.gaierror(-2, "Name or service not known")

        net.resolve = fail  # type: ignore[method-assign]
        with pytest.raises(Unreachable, match="not known"):
            call(net, Call("GET", target.url()))
    assert (target.connections, net.tried) == (0, [])


@pytest.mark.parametrize("dead", ["192.0.2.1", "192.0.2.2"], ids=["silent", "refusing"])
def test_a_dead_address_leaves_time_for_the_next(dead: str) -> None:
    """A name with a dead address, as where IPv6 is announced and does not work, is reached by the other one, within the
    same deadline."""
    with peer() as target:
        net = Net(target, dead, "127.0.0.1")
        assert call(net, Call("GET", target.url())).ok
    assert net.tried == [(dead, 80), ("127.0.0.1", 80)]


def test_when_all_addresses_are_dead_it_says_of_what() -> None:
    """The last one's error, and nothing is tried twice."""
    with peer() as target:
        net = Net(target, "192.0.2.2", "192.0.2.2")
        with pytest.raises(Unreachable, match="refused"):
            call(net, Call("GET", target.url()))
    assert len(net.tried) == 2


def test_no_connection_is_begun_after_the_deadline() -> None:
    """Where asking for the name has used up the time."""
    with peer() as target:
        net = Net(target)

        def slowly(host: str, port: int) -> list[str]:
            net.ticks += 20
            return ["127.0.0.1"]

        net.resolve = slowly  # type: ignore[method-assign]
        with pytest.raises(Unreachable, match="too late"):
            call(net, Call("GET", target.url()))
    assert net.tried == []


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://x.example/\r\nX-Injected: 1", {}),
        ("http://x.example/a b", {}),
        ("http://x.example/ä", {}),
        ("http://x.example/", {"X-Mine": "a\r\nX-Injected: 1"}),
        ("http://x.example/", {"X-Mine\r\nX-Injected": "1"}),
        ("http://x.example:99999/", {}),
        ("http://" + "a" * 300 + ".example/", {}),
    ],
    ids=range(7),
)
def test_what_no_request_can_hold_is_not_sent(url: str, headers: dict[str, str]) -> None:
    """Nothing is put in by way of a URL or a header."""
    with peer() as target, suppress(Unreachable):
        call(Net(target), Call("GET", url, headers))
    assert not [asked for asked in target.asked if b"\r\nX-Injected: 1" in asked]
    assert not [asked for asked in target.asked if b"GET /a b " in asked]


def test_the_world_outside_of_tests_trusts_no_made_up_certificate(certificate: Path) -> None:
    """World.secure itself: name and chain are checked, and old TLS is not spoken."""
    from authsvc import world as worlds

    context = worlds._trusting()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    with peer(certificate=certificate) as target:
        world = worlds.World()
        connected = world.connect("127.0.0.1", target.port, 5)
        with connected, pytest.raises(ssl.SSLCertVerificationError):
            world.secure(connected, NAME)
    assert target.asked == []


def test_real_names_resolve_to_literal_addresses() -> None:
    """World.resolve: each once, best first; a literal is its own."""
    from authsvc.world import World

    assert World().resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert World().resolve("::1", 443) == ["::1"]
    found = World().resolve("localhost", 80)
    assert found
    assert len(set(found)) == len(found)
    assert all(ipaddress.ip_address(address).is_loopback for address in found)
