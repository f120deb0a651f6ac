"""The mail server that tests send to does what it says, with the standard library's client."""

from __future__ import annotations

import functools
import gc
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.mailserver import Answer, AnswerFor, DropInData, MailServer, Slow, Trickle, mail_server

SENDER, ANNA, BO = "auth@example.com", "anna@example.org", "bo@example.org"
MODES = ["starttls", "implicit", "none"]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread outlives its server, and what is left open is found now, not in another test."""
    yield
    gc.collect()
    assert "mail server" not in [thread.name for thread in threading.enumerate()]


@contextmanager
def client(server: MailServer, timeout: float = 10) -> Iterator[smtplib.SMTP]:
    """A connection, under TLS (with checks) if the server has it."""
    trust = ssl.create_default_context(cafile=server.ca)
    connect = functools.partial(smtplib.SMTP_SSL, context=trust) if server.tls == "implicit" else smtplib.SMTP
    smtp = connect("localhost", server.port, timeout=timeout)
    try:
        if server.tls == "starttls":
            smtp.starttls(context=trust)
        yield smtp
    finally:
        smtp.close()


def mail(subject: str = "Hello") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, ANNA, subject
    message.set_content("Grüße\n.\n")
    return message


def send(smtp: smtplib.SMTP, subject: str = "Hello", to: tuple[str, ...] = (ANNA,)) -> dict[str, tuple[int, bytes]]:
    return smtp.send_message(mail(subject), SENDER, to)


def send_once(server: MailServer, subject: str = "Hello") -> None:
    with client(server) as smtp:
        send(smtp, subject)


@pytest.mark.parametrize("tls", MODES)
def test_takes_mail(tmp_path: Path, tls: str) -> None:
    """In each mode a message arrives whole, with its envelope; no login is offered, nor TLS where it makes no sense."""
    with mail_server(tmp_path, tls=tls) as server, client(server) as smtp:
        send(smtp, to=(ANNA, BO))
        (got,) = server.wait_for(1)
        assert not {"auth", "starttls"} & set(smtp.esmtp_features)
    assert (got.sender, got.recipients, got.message["Subject"]) == (SENDER, [ANNA, BO], "Hello")
    assert got.message.get_content() == "Grüße\n.\n"
    assert got.raw == mail().as_bytes(policy=policy.SMTP)
    assert server.connections == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", MODES)
def test_login(tmp_path: Path, tls: str, mechanism: str) -> None:
    """With a user, the right password opens each mode, and without one no sender is taken."""
    with mail_server(tmp_path, tls=tls, user="us@er", password="p:a ss") as server, client(server) as smtp:
        with pytest.raises(smtplib.SMTPSenderRefused, match=r"530, b'5\.7\.0"):
            send(smtp)
        smtp.user, smtp.password = "us@er", "p:a ss"
        assert smtp.auth(mechanism, getattr(smtp, f"auth_{mechanism.lower()}"))[0] == 235
        send(smtp)
        assert len(server.messages) == 1


@pytest.mark.parametrize("tls", MODES)
@pytest.mark.parametrize("login", [("user", "wrong"), ("other", "right"), ("", "")])
def test_wrong_login(tmp_path: Path, tls: str, login: tuple[str, str]) -> None:
    """A wrong user or password gets 535, in each mode."""
    refused = pytest.raises(smtplib.SMTPAuthenticationError, match=r"\(535, ")
    with mail_server(tmp_path, tls=tls, user="user", password="right") as server, client(server) as smtp, refused:
        smtp.login(*login)


def test_starttls_is_required(tmp_path: Path) -> None:
    """Before STARTTLS, which is offered, neither a login nor a sender is taken."""
    with mail_server(tmp_path, user="user", password="right") as server, smtplib.SMTP("localhost", server.port) as smtp:
        smtp.ehlo()
        assert smtp.has_extn("starttls")
        assert not smtp.has_extn("auth")
        assert [smtp.docmd("AUTH", "PLAIN")[0], smtp.mail(SENDER)[0]] == [530, 530]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_certificate(tmp_path: Path, host: str) -> None:
    """The certificate holds for the name and the number, for those who trust it, and for no others."""
    with mail_server(tmp_path, tls="implicit") as server:
        with smtplib.SMTP_SSL(host, server.port, context=ssl.create_default_context(cafile=server.ca)) as smtp:
            assert smtp.noop()[0] == 250
        with pytest.raises(ssl.SSLCertVerificationError):
            smtplib.SMTP_SSL(host, server.port, context=ssl.create_default_context())
        assert server.connections == 2


def test_distrust_after_starttls(tmp_path: Path) -> None:
    """Somebody who does not trust the certificate leaves, and the server goes on."""
    with mail_server(tmp_path) as server, client(server) as other:
        with pytest.raises(ssl.SSLCertVerificationError), smtplib.SMTP("localhost", server.port) as smtp:
            smtp.starttls(context=ssl.create_default_context())
        send(other)


@pytest.mark.parametrize("tls", MODES)
def test_utf8(tmp_path: Path, tls: str) -> None:
    """Addresses and headers may be UTF-8 unless that is switched off."""
    message = mail("Grüße")
    message.replace_header("To", "änna@exämple.org")
    with mail_server(tmp_path, tls=tls) as server, client(server) as smtp:
        smtp.send_message(message)
        (got,) = server.wait_for(1)
    assert (got.recipients, got.message["To"], got.message["Subject"]) == (["änna@exämple.org"], "änna@exämple.org", "Grüße")
    with mail_server(tmp_path, tls=tls, utf8=False) as server, client(server) as smtp, pytest.raises(smtplib.SMTPNotSupportedError):
        smtp.send_message(message)


def test_url(tmp_path: Path) -> None:
    """The URL has what a client needs, percent-encoded; parameters replace, add and leave out."""
    with mail_server(tmp_path, user="us@er", password="p:/ä") as server:
        assert server.url() == f"smtp://us%40er:p%3A%2F%C3%A4@localhost:{server.port}?ca={server.ca}"
        assert server.url(ca=None, timeout=3) == f"smtp://us%40er:p%3A%2F%C3%A4@localhost:{server.port}?timeout=3"
    with mail_server(tmp_path, tls="implicit") as server:
        assert server.url() == f"smtps://localhost:{server.port}?ca={server.ca}"
    with mail_server(tmp_path, tls="none") as server:
        assert [server.url(), server.url(tls=None)] == [f"smtp://localhost:{server.port}?tls=none", f"smtp://localhost:{server.port}"]


def test_wait_for_names_what_came(tmp_path: Path) -> None:
    """Waiting in vain says what did arrive."""
    with mail_server(tmp_path) as server:
        send_once(server)
        with pytest.raises(AssertionError, match=r"2 messages wanted, 1 came: .*'Hello', \['anna@example\.org'\]"):
            server.wait_for(2, seconds=0.05)


@pytest.mark.parametrize("tls", MODES)
def test_stops_and_starts_again(tmp_path: Path, tls: str) -> None:
    """A stopped server has hung up and refuses; another takes its port, though old connections linger."""
    with mail_server(tmp_path, tls=tls) as first, client(first) as smtp:
        send(smtp)
        first.stop()
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.noop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first.port), 10)
    with mail_server(tmp_path, tls=tls, port=first.port) as second:
        send_once(second, "Again")
        assert (second.port, second.messages[0].message["Subject"]) == (first.port, "Again")


@pytest.mark.parametrize("tls", MODES)
def test_stops_while_somebody_says_nothing(tmp_path: Path, tls: str) -> None:
    """Clients that never speak, or stop where a handshake should begin, do not hold a server up."""
    with mail_server(tmp_path, tls=tls) as server, socket.create_connection(("127.0.0.1", server.port), 10) as silent:
        if tls != "implicit":
            assert silent.recv(4) == b"220 "
            silent.sendall(b"EHLO me\r\nSTARTTLS\r\n")
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 5


def test_slow(tmp_path: Path) -> None:
    """A slow server takes its time (so that one can wait for it), and outlasts a client; it stops at once all the same."""
    with mail_server(tmp_path, behaviour=Slow(0.2)) as server, ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        sending = pool.submit(send_once, server)
        assert len(server.wait_for(1)) == 1
        assert time.monotonic() - begun >= 0.2
        sending.result(10)
    with mail_server(tmp_path, behaviour=Slow(60)) as server, client(server, timeout=0.2) as smtp:
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            send(smtp)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 5
        assert server.messages == []


@pytest.mark.parametrize("tls", MODES)
def test_drop_in_data(tmp_path: Path, tls: str) -> None:
    """The first two messages are swallowed, the third is taken."""
    with mail_server(tmp_path, tls=tls, behaviour=DropInData(times=2)) as server:
        for dropped in (1, 2):
            with pytest.raises(smtplib.SMTPServerDisconnected):
                send_once(server, "Lost")
            assert server.dropped == dropped
        send_once(server, "Kept")
        assert [one.message["Subject"] for one in server.wait_for(1)] == ["Kept"]
        assert server.connections == 3


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
def test_answer(tmp_path: Path, at: str) -> None:
    """The replies come in turn at their command, then all is as usual."""
    with mail_server(tmp_path, behaviour=Answer(["451 4.3.0 try later", "550 5.1.1 never"], at=at)) as server, client(server) as smtp:
        for reply in ("451, b'4.3.0 try later'", "550, b'5.1.1 never'"):
            with pytest.raises(smtplib.SMTPException, match=reply):
                send(smtp)
        send(smtp)
        assert len(server.messages) == 1


def test_answer_for(tmp_path: Path) -> None:
    """One address is always refused, and the others get their mail."""
    with mail_server(tmp_path, behaviour=AnswerFor({BO: "550 5.1.1 unknown"})) as server, client(server) as smtp:
        for _ in range(2):
            assert send(smtp, to=(ANNA, BO)) == {BO: (550, b"5.1.1 unknown")}
        assert [one.recipients for one in server.wait_for(2)] == [[ANNA], [ANNA]]
    refusing = AnswerFor({SENDER: "553 5.1.8 not you"}, at="MAIL")
    with mail_server(tmp_path, behaviour=refusing) as server, pytest.raises(smtplib.SMTPSenderRefused, match="553"):
        send_once(server)


def test_trickle(tmp_path: Path) -> None:
    """The answer is slower than the client's timeout, which each byte starts anew; the message has come before it."""
    with mail_server(tmp_path, behaviour=Trickle(0.1)) as server, client(server, timeout=0.9) as smtp:
        begun = time.monotonic()
        assert send(smtp) == {}
        assert time.monotonic() - begun > 1
        assert len(server.messages) == 1
    with mail_server(tmp_path, behaviour=Trickle(60)) as server, client(server, timeout=0.2) as smtp:
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            send(smtp)
        assert len(server.wait_for(1)) == 1
