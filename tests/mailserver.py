"""A real SMTP server for tests: over TCP and TLS on 127.0.0.1, in a thread of its own, and as ill-behaved as a test wants it."""

from __future__ import annotations

import asyncio
import datetime as dt
import email.policy
import functools
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from aiosmtpd.smtp import MISSING, SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True)
class Received:
    """A message that the server took: its envelope, and what came after DATA."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes


class Behaviour:
    """What a server does besides taking mail; this one does nothing. An object keeps count, so it is for one test."""

    async def reply(self, connection: Connection, command: str, address: str) -> str | None:
        """The reply to MAIL, RCPT or DATA (its content having come); None for the usual one."""
        return None


@dataclass
class Slow(Behaviour):
    """Waits before it takes the message and answers DATA."""

    seconds: float

    async def reply(self, connection: Connection, command: str, address: str) -> str | None:
        if command == "DATA":
            await asyncio.sleep(self.seconds)
        return None


@dataclass
class DropInData(Behaviour):
    """Takes DATA's content and hangs up without an answer, so many times."""

    times: int = 1

    async def reply(self, connection: Connection, command: str, address: str) -> str | None:
        if command != "DATA" or self.times < 1:
            return None
        self.times -= 1
        connection.server.dropped += 1
        connection.transport.abort()
        raise asyncio.CancelledError  # ends this connection's task: nothing more is sent


@dataclass
class Answer(Behaviour):
    """Answers one command with these replies in turn, then as usual; the list is used up."""

    replies: list[str]
    at: str = "DATA"

    async def reply(self, connection: Connection, command: str, address: str) -> str | None:
        return self.replies.pop(0) if command == self.at and self.replies else None


@dataclass
class AnswerFor(Behaviour):
    """Always answers MAIL or RCPT with these addresses' replies."""

    replies: dict[str, str]
    at: str = "RCPT"

    async def reply(self, connection: Connection, command: str, address: str) -> str | None:
        return self.replies.get(address) if command == self.at else None


@dataclass
class Trickle(Behaviour):
    """Takes the message, then sends its 250 one byte at a time."""

    seconds_per_byte: float

    async def reply(self, connection: Connection, command: str, address: str) -> str | None:
        if command != "DATA":
            return None
        connection.server.take(connection.envelope)
        for byte in b"250 2.0.0 OK":
            connection._writer.write(bytes([byte]))
            await asyncio.sleep(self.seconds_per_byte)
        return ""  # and the end of the line


@dataclass(kw_only=True)
class MailServer:
    """A server that is running, or has been stopped."""

    folder: Path
    tls: str = "starttls"  # and nothing goes without it; or implicit, or none
    user: str | None = None
    password: str | None = None
    port: int = 0
    behaviour: Behaviour | None = None
    utf8: bool = True
    messages: list[Received] = field(init=False, default_factory=list)
    connections: int = field(init=False, default=0)  # TCP connections accepted, whatever became of them
    dropped: int = field(init=False, default=0)  # messages that DropInData swallowed

    def __post_init__(self) -> None:
        assert self.tls in {"starttls", "implicit", "none"}, self.tls
        self.behaviour = self.behaviour or Behaviour()
        self.ca, key = self.folder / "mail-ca.pem", self.folder / "mail-key.pem"
        for path, content in zip((self.ca, key), certificate(), strict=True):
            path.write_bytes(content)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.ca, key)
        self._arrived = threading.Condition()
        self._stopping = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []  # all there ever were
        listener = socket.create_server(("127.0.0.1", self.port))  # sets SO_REUSEADDR
        self.port = listener.getsockname()[1]
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="mail server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hang up on everybody and free the port; a second time, do nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
            assert not self._thread.is_alive(), "the mail server does not stop"

    def wait_for(self, count: int, seconds: float = 10) -> list[Received]:
        """All messages, as soon as there are so many."""
        with self._arrived:
            enough = self._arrived.wait_for(lambda: len(self.messages) >= count, seconds)
            came = [(one.message["subject"], one.recipients) for one in self.messages]
            assert enough, f"{count} messages wanted, {len(came)} came: {came}"
            return list(self.messages)

    def url(self, **params: Any) -> str:
        """As the setting takes it. Parameters replace those of the same name; None leaves one out."""
        login = "" if self.user is None else f"{quote(self.user, safe='')}:{quote(self.password or '', safe='')}@"
        usual = {"tls": "none"} if self.tls == "none" else {"ca": self.ca}
        query = urlencode({name: value for name, value in (usual | params).items() if value is not None}, quote_via=quote, safe="/")
        return f"{'smtps' if self.tls == 'implicit' else 'smtp'}://{login}localhost:{self.port}" + (f"?{query}" if query else "")

    def take(self, envelope: Envelope) -> None:
        message = email.message_from_bytes(envelope.content.replace(b"\r\n", b"\n"), policy=email.policy.default)
        with self._arrived:
            self.messages.append(Received(envelope.mail_from, envelope.rcpt_tos, message, envelope.content))
            self._arrived.notify_all()

    async def handle_EHLO(self, connection: Connection, session: Session, _: Envelope, name: str, lines: list[str]) -> list[str]:  # noqa: N802
        session.host_name = name
        return [line for line in lines if line.rstrip() != "250-AUTH"]  # aiosmtpd offers AUTH even with no mechanism

    async def handle_MAIL(self, connection: Connection, _: Session, envelope: Envelope, address: str, options: list[str]) -> Any:  # noqa: N802
        return await self.behaviour.reply(connection, "MAIL", address) or MISSING  # which asks for the usual

    async def handle_RCPT(self, connection: Connection, _: Session, envelope: Envelope, address: str, options: list[str]) -> Any:  # noqa: N802
        return await self.behaviour.reply(connection, "RCPT", address) or MISSING

    async def handle_DATA(self, connection: Connection, _: Session, envelope: Envelope) -> Any:  # noqa: N802
        reply = await self.behaviour.reply(connection, "DATA", "")
        if reply is None:
            self.take(envelope)
        return MISSING if reply is None else reply

    def _run(self, listener: socket.socket) -> None:
        with self._runner as runner:  # whose end cancels what is left: slow answers, unfinished handshakes
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        implicit = self.context if self.tls == "implicit" else None
        serving = await self._loop.create_server(lambda: Connection(self), sock=listener, ssl=implicit)
        await self._stopping.wait()
        self._loop.remove_reader(listener)
        await asyncio.sleep(0)  # a turn of the loop for what has just been accepted: asyncio leaks what begins after close()
        serving.close()
        for transport in self._transports:
            transport.abort()


class Connection(SMTP):
    """One client's connection."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        super().__init__(
            server,
            hostname="localhost",
            loop=server._loop,
            enable_SMTPUTF8=server.utf8,
            tls_context=server.context if server.tls == "starttls" else None,
            require_starttls=True,
            auth_require_tls=server.tls == "starttls",  # it knows of no other
            auth_callback=lambda _, *login: [part.decode(errors="replace") for part in login] == [server.user, server.password],
            auth_exclude_mechanism=("LOGIN", "PLAIN") if server.user is None else (),
        )
        server.connections += 1
        self._auth_required = server.user is not None  # as an argument, without auth_require_tls, it would warn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.server._transports.append(transport)
        super().connection_made(transport)


@functools.cache
def certificate() -> tuple[bytes, bytes]:
    """A certificate for localhost that vouches for itself, and its key, as PEM; made once a process."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    builder = builder.add_extension(names, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.KeyUsage(*map(bool, (1, 0, 0, 0, 0, 1, 0, 0, 0))), critical=True)  # signs, also certificates
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@contextmanager
def mail_server(folder: Path, **options: Any) -> Iterator[MailServer]:
    """A server with these options, which are the fields of MailServer; stopped at the end."""
    server = MailServer(folder=folder, **options)
    try:
        yield server
    finally:
        server.stop()
