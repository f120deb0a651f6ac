"""Mail to a server: SMTP (RFC 5321) with STARTTLS or implicit TLS, authentication, deadlines, one connection for a batch."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from authsvc.config.mail import MailTarget
from authsvc.delivery.senders import BATCH_SECONDS, Broken, Connection, Envelope, Permanent, Temporary, Unreachable
from authsvc.world import World

TIMEOUT_SECONDS = 20.0  # for one reply


class SmtpSender:
    """One mail server."""

    def __init__(
        self, target: MailTarget, world: World, *, helo: str, timeout: float = TIMEOUT_SECONDS, batch: float = BATCH_SECONDS
    ) -> None:
        self._target = target
        self._world = world
        self._helo = helo
        self._timeout = timeout
        self._batch = batch

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Whatever fails before a mail is handed over is no fault of the mail, and so never final."""
        self._world.slow("SMTP")
        try:
            server = self._server()
            watchdog = threading.Timer(self._batch, server.cut)  # from the first byte to the last
            watchdog.daemon = True
            watchdog.start()
        except (OSError, RuntimeError) as error:  # the file of certificates is gone; no thread can be started
            raise Unreachable(told(error)) from error
        try:
            try:
                self._open(server)
            except (OSError, smtplib.SMTPException, ValueError) as error:
                raise Unreachable(told(error)) from error
            yield _Open(server)
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            watchdog.cancel()
            server.close()

    def _server(self) -> _Smtp:
        """Not connected yet."""
        if self._target.scheme == "smtps":
            return _Smtps(local_hostname=self._helo, timeout=self._timeout, context=self._trust())
        return _Smtp(local_hostname=self._helo, timeout=self._timeout)

    def _open(self, server: _Smtp) -> None:
        target = self._target
        server._host = target.host  # smtplib checks certificates against it, and sets it only where it connects at once
        code, said = server.connect(target.host, target.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        if target.scheme == "smtp" and target.tls == "required":
            server.starttls(context=self._trust())  # raises where it is not offered (RFC 8314 section 3.1)
        if target.user is not None and target.password is not None:
            server.ehlo_or_helo_if_needed()
            server.login(target.user, target.password)

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._target.ca or None)


class _Smtp(smtplib.SMTP):
    """A client that another thread can cut off at any time, in a handshake too."""

    _host: str  # smtplib's own, but unknown to the type stubs
    _line: socket.socket | None = None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._line = connection.dup()
        return connection

    def cut(self) -> None:
        """Whoever waits for a reply gets an error."""
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()
        if self._line is not None:
            self._line.close()


class _Smtps(smtplib.SMTP_SSL, _Smtp):
    """The same, with TLS from the first byte."""


class _Open:
    """A session with the server."""

    def __init__(self, server: smtplib.SMTP) -> None:
        self._server = server

    def send(self, envelope: Envelope) -> None:
        options = () if envelope.recipient.isascii() else ("SMTPUTF8", "BODY=8BITMIME")
        try:
            self._server.ehlo_or_helo_if_needed()
            if options and not self._server.has_extn("smtputf8"):
                raise Permanent("the mail server cannot send to addresses with letters outside ASCII (no SMTPUTF8)")
            self._server.sendmail(envelope.sender, [envelope.recipient], envelope.to_bytes(), mail_options=options)
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = refused.recipients[envelope.recipient]
            raise _refusal(code, text) from refused
        except smtplib.SMTPResponseException as refused:
            raise _refusal(refused.smtp_code, refused.smtp_error) from refused
        except (OSError, smtplib.SMTPException) as error:
            raise Broken(told(error)) from error


def _refusal(code: int, text: bytes | str) -> Permanent | Temporary:
    """5yz is final, all else may pass (RFC 5321 section 4.2.1). 421 and 530 to 535 speak of the session, not of the mail."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    told_so = f"{code} {' '.join(said.split())}"[:300]
    if code == 421:  # and hung up
        return Broken(told_so)
    return Permanent(told_so) if 500 <= code <= 599 and not 530 <= code <= 538 else Temporary(told_so)


def told(error: Exception) -> str:
    """An error as one line that names no secret."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"{error.smtp_code} the mail server did not take user and password"
    if isinstance(error, smtplib.SMTPResponseException):
        return str(_refusal(error.smtp_code, error.smtp_error))
    return f"{type(error).__name__}: {error}"[:300]
