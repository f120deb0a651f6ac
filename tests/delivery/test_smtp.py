"""Mail to real servers over TCP: TLS or nothing, what is final and what is tried again, deadlines, one connection for a batch."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authsvc.app import App
from authsvc.delivery.mail import MailCourier
from authsvc.flows import outbox
from tests.delivery import FROM, crowd, ends, errors, failures, impatient, message, put, recipients
from tests.letterbox import link, rows, use
from tests.mailserver import Answer, AnswerFor, DropInData, MailServer, Slow, Trickle, mail_server
from tests.support import EMAIL, Client, FakeWorld, actions, running

USER, PASSWORD = "us@er", "hunter2:/@?#%"
LOGIN = {"user": USER, "password": PASSWORD}
LATER = 20  # seconds, after which what failed once is due
PATIENCE = 400  # turns of a peer that never ends

BATCH = MailCourier.batch


@contextmanager
def mailing(folder: Path, server: MailServer, world: FakeWorld | None = None, **params: Any) -> Iterator[App]:
    """An app that mails to this server; parameters of its URL."""
    with running(folder, world, mail=server.url(**params), mail_from=FROM) as app:
        yield app


class Peer:
    """A server of a few lines: what it says is the test's business, what it hears is kept."""

    def __init__(self, act: Callable[[Peer, socket.socket], None]) -> None:
        self.heard = b""
        self.connections = 0
        self.outlasted = False  # whether it had to end by itself
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def hear(self, connection: socket.socket) -> bytes:
        """The next line."""
        line = b""
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                raise ConnectionResetError
            line += byte
        self.heard += line
        return line

    def drone(self, connection: socket.socket, line: bytes) -> None:
        """Say the same again and again, until the other side hangs up."""
        connection.settimeout(0.05)
        for _ in range(PATIENCE):
            connection.sendall(line)
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return
        self.outlasted = True

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with closing(connection), suppress(OSError):
                    self._act(self, connection)


def talking(*extensions: str, **replies: str) -> Callable[[Peer, socket.socket], None]:
    """A server that offers these extensions, and answers 250, or what is given for a command."""

    def act(peer: Peer, connection: socket.socket) -> None:
        connection.sendall(f"{replies.get('greeting', '220 peer ESMTP')}\r\n".encode())
        while True:
            command = peer.hear(connection).split()[0].decode().lower()
            if command == "ehlo":
                lines = ["peer", *extensions]
                told = "".join(f"250{'-' if line != lines[-1] else ' '}{line}\r\n" for line in lines)
                connection.sendall(told.encode())
            else:
                connection.sendall(f"{replies.get(command, '221 bye' if command == 'quit' else '250 ok')}\r\n".encode())

    return act


@contextmanager
def mailing_to(folder: Path, peer: Peer, login: str = "", options: str = "", world: FakeWorld | None = None) -> Iterator[App]:
    with running(folder, world, mail=f"smtp://{login}localhost:{peer.port}{options}", mail_from=FROM) as app:
        yield app


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
@pytest.mark.parametrize("login", [{}, LOGIN], ids=["open", "auth"])
def test_mail_arrives_in_each_mode(tmp_path: Path, tls: str, login: dict[str, str]) -> None:
    """STARTTLS, SMTPS and none, with and without user and password: the mail is there, for whom it is, and counts as sent."""
    with mail_server(tmp_path, tls=tls, **login) as server, mailing(tmp_path, server) as app:
        (message_id,) = put(app, EMAIL)
        assert app.deliveries.run_once() == 1
        (got,) = server.wait_for(1)
        assert (got.sender, got.recipients) == (FROM, [EMAIL])
        assert got.message["Message-ID"] == f"<{message_id}@example.com>"
        assert got.message.get_body(("html",)) is not None
        done = message(app, message_id)
        assert (done.outcome, done.attempts, done.last_error, done.lease_id) == ("sent", 1, None, None)
        assert app.deliveries.run_once() == 0
    assert server.connections == 1


def test_a_link_that_went_through_a_server_works(tmp_path: Path) -> None:
    """Nothing on the way (quoted-printable, dots, line lengths) changes a link."""
    with mail_server(tmp_path) as server, mailing(tmp_path, server) as app:
        Client(app).register(options={"verifyEmail": True})
        app.deliveries.run_once()
        (got,) = server.wait_for(1)
        text = got.message.get_body(("plain",)).get_content()
        path = next(line for line in text.splitlines() if "/email/verify/" in line).removeprefix("http://127.0.0.1:8000")
        assert path in got.message.get_body(("html",)).get_content()
        assert use(app, path).status == 200


@pytest.mark.parametrize("login", ["", "us%40er:hunter2@"])
@pytest.mark.parametrize(
    "act",
    [talking(), talking("AUTH PLAIN LOGIN"), talking("AUTH PLAIN", ehlo="500"), talking("STARTTLS", "AUTH PLAIN", starttls="454 not now")],
    ids=["plain", "auth offered", "no EHLO", "refused"],
)
def test_a_server_without_starttls_gets_neither_mail_nor_password(
    tmp_path: Path, login: str, act: Callable[[Peer, socket.socket], None]
) -> None:
    """RFC 8314 section 3.1: whoever takes STARTTLS out of the offer learns no address, no mail and no password."""
    with Peer(act) as peer, mailing_to(tmp_path, peer, login) as app:
        (message_id,) = put(app, EMAIL)
        app.deliveries.run_once()
        waiting = message(app, message_id)
    assert {line.split()[0].upper() for line in peer.heard.splitlines()} <= {b"EHLO", b"HELO", b"STARTTLS", b"QUIT"}
    assert [word for word in (b"AUTH", b"hunter2", EMAIL.encode(), b"MAIL") if word in peer.heard] == []
    assert peer.heard.split()[:2] == [b"ehlo", b"example.com"]
    assert (waiting.outcome, waiting.attempts, peer.connections) == (None, 1, 1)
    assert waiting.last_error


def test_a_server_without_tls_gets_mail_only_where_the_setting_says_none(tmp_path: Path) -> None:
    """`?tls=none` is the one way to send in the clear."""
    with mail_server(tmp_path, tls="none") as server, mailing(tmp_path, server, tls=None) as app:
        put(app, EMAIL)
        app.deliveries.run_once()
        assert (server.messages, ends(app)) == ([], {EMAIL: None})
    with Peer(talking("STARTTLS")) as peer, mailing_to(tmp_path, peer, options="?tls=none") as app:
        put(app, EMAIL)
        app.deliveries.run_once()
        assert b"MAIL" in peer.heard.upper()
    assert b"STARTTLS" not in peer.heard.upper()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_server_that_nobody_vouches_for_gets_nothing(tmp_path: Path, tls: str) -> None:
    """A certificate of an unknown authority: no mail, no password, and the mail waits."""
    with mail_server(tmp_path, tls=tls, **LOGIN) as server, mailing(tmp_path, server, ca=None) as app:
        put(app, EMAIL)
        app.deliveries.run_once()
        assert (server.messages, ends(app)) == ([], {EMAIL: None})
        assert "certificate" in errors(app)[0].lower()
        assert PASSWORD not in str(rows(app, "SELECT * FROM outbox")) + str(app.core.world.lines)


DAY = dt.timedelta(days=1)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(("host", "ends_in"), [("mail.elsewhere.example", DAY), ("localhost", -DAY)], ids=["another host", "expired"])
def test_a_certificate_of_another_host_or_time_is_no_proof(tmp_path: Path, tls: str, host: str, ends_in: dt.timedelta) -> None:
    """Even one that a trusted authority gave: the name and the dates are checked, nothing is sent, and the mail waits."""
    with mail_server(tmp_path, tls=tls) as server:
        certify(server, host, ends_in)
        with mailing(tmp_path, server) as app:
            put(app, EMAIL)
            app.deliveries.run_once()
            assert (server.messages, ends(app)) == ([], {EMAIL: None})
            assert "certificate" in errors(app)[0].lower()


def certify(server: MailServer, host: str, ends_in: dt.timedelta) -> None:
    """Give the server a certificate for this host, and trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - 3 * DAY, now + ends_in)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    own = server.folder / "own-key.pem"
    own.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    server.ca.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    server.context.load_cert_chain(server.ca, own)


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_a_wrong_password_is_never_final_and_never_told(tmp_path: Path, tls: str) -> None:
    """The operator mends the setting, and all mail goes out; the password is in no error, log or row meanwhile."""
    world = FakeWorld()
    with mail_server(tmp_path, tls=tls, **LOGIN) as server:
        server.password = "another"
        url = server.url(password="x")
        server.password = PASSWORD
        assert "another" in url
        with running(tmp_path, world, mail=url.partition("&password")[0].partition("?password")[0], mail_from=FROM) as app:
            put(app, *crowd(3))
            assert app.deliveries.run_once() == 3
            assert server.messages == []
            assert ends(app) == dict.fromkeys(crowd(3))
            assert server.connections == 1
            assert {error.split()[0] for error in errors(app)} == {"535"}
            told = str(rows(app, "SELECT * FROM outbox") + rows(app, "SELECT * FROM events")) + str(world.lines)
            assert [word for word in ("another", PASSWORD) if word in told] == []
            assert failures(app) == []
        world.advance(LATER)
        with mailing(tmp_path, server, world) as app:
            assert app.deliveries.run_once() == 3
            assert set(ends(app).values()) == {"sent"}


def test_a_server_that_wants_no_password_does_not_get_it_in_the_clear(tmp_path: Path) -> None:
    """Credentials that the server does not ask for put mail off; they are not sent to find out."""
    with mail_server(tmp_path) as server:
        url = server.url().replace("smtp://", "smtp://us%40er:hunter2@")
        with running(tmp_path, mail=url, mail_from=FROM) as app:
            put(app, EMAIL)
            app.deliveries.run_once()
            assert (ends(app), server.messages) == ({EMAIL: None}, [])
            assert "hunter2" not in str(errors(app))


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["451 4.3.0 try again later", "452 4.2.2 full", "530 5.7.0 Authentication required"])
def test_what_a_server_puts_off_is_put_off_and_then_delivered_once(tmp_path: Path, world: FakeWorld, at: str, reply: str) -> None:
    """4yz, and what speaks of the session: tried again when it is due, not before, and no event says that it failed."""
    with mail_server(tmp_path, behaviour=Answer([reply], at)) as server, mailing(tmp_path, server, world) as app:
        (message_id,) = put(app, EMAIL)
        app.deliveries.run_once()
        waiting = message(app, message_id)
        assert (waiting.outcome, waiting.attempts, waiting.last_error) == (None, 1, reply)
        assert world.now() < waiting.due_at <= world.now() + LATER * 1000
        assert app.deliveries.run_once() == 0
        world.advance(LATER)
        assert app.deliveries.run_once() == 1
        assert (message(app, message_id).outcome, message(app, message_id).attempts) == ("sent", 2)
        world.advance(LATER)
        assert app.deliveries.run_once() == 0
        assert len(server.wait_for(1)) == 1
        assert actions(app) == []


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "554 5.7.1 refused: spam", "552 5.2.2 over quota"])
def test_what_a_server_refuses_for_good_is_dead_at_once(tmp_path: Path, world: FakeWorld, at: str, reply: str) -> None:
    """5yz: given up with the server's words in the outbox and one event, and not sent again."""
    with mail_server(tmp_path, behaviour=Answer([reply], at)) as server, mailing(tmp_path, server, world) as app:
        Client(app).register(options={"sendEmail": True})
        (row,) = rows(app, "SELECT id FROM outbox")
        app.deliveries.run_once()
        dead = message(app, row["id"])
        assert (dead.outcome, dead.attempts, dead.last_error, dead.done_at) == ("dead", 1, reply, world.now())
        assert failures(app) == [{"delivery_id": row["id"], "kind": "mail", "error": reply}]
        (event,) = rows(app, "SELECT outcome, subject FROM events WHERE action = 'delivery.failed'")
        assert (event["outcome"], event["subject"]) == ("failure", dead.user_id)
        world.advance(86_400)
        assert app.deliveries.run_once() == 0
        assert server.messages == []


def test_a_refusal_is_one_short_line(tmp_path: Path) -> None:
    """A server may say what it likes at any length; the outbox keeps one line of it."""
    said = "550-" + "x" * 400 + "\r\n550-second\r\n550 third"
    with mail_server(tmp_path, behaviour=Answer([said])) as server, mailing(tmp_path, server) as app:
        put(app, EMAIL)
        app.deliveries.run_once()
        (error,) = errors(app)
    assert error.startswith("550 xxx")
    assert len(error) <= 300
    assert error.isprintable()


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_closes_after_421_delays_only_the_mail_it_said_it_to(tmp_path: Path, world: FakeWorld, at: str) -> None:
    """421 ends the connection (RFC 5321 section 3.8): the mail waits, and the rest of the batch gets a new one."""
    behaviour = Answer(["421 4.3.2 closing"], at)
    with mail_server(tmp_path, behaviour=behaviour) as server, mailing(tmp_path, server, world) as app:
        put(app, *crowd(5))
        assert app.deliveries.run_once() == 5
        assert ends(app) == dict.fromkeys(crowd(5), "sent") | {crowd(1)[0]: None}
        assert errors(app) == ["421 4.3.2 closing"]
        assert server.connections == 2
        world.advance(LATER)
        app.deliveries.run_once()
        assert recipients(server.wait_for(5)) == dict.fromkeys(crowd(5), 1)


def test_a_connection_lost_in_data_sends_the_same_mail_again(tmp_path: Path, world: FakeWorld) -> None:
    """Whether the server has it is unknown: it is sent again later, with the same Message-ID and Date; the rest goes on at once."""
    drop = DropInData(times=1)
    with mail_server(tmp_path, behaviour=drop) as server, mailing(tmp_path, server, world) as app:
        ids = put(app, *crowd(4))
        assert app.deliveries.run_once() == 4
        assert server.dropped == 1
        assert ends(app) == dict.fromkeys(crowd(4), "sent") | {crowd(1)[0]: None}
        assert server.connections == 2
        world.advance(LATER)
        assert app.deliveries.run_once() == 1
        received = server.wait_for(4)
        assert recipients(received) == dict.fromkeys(crowd(4), 1)
        assert sorted(one.message["Message-ID"] for one in received) == sorted(f"<{one}@example.com>" for one in ids)
        assert len({one.message["Date"] for one in received}) == 1


def test_an_answer_too_late_sends_the_same_mail_again(tmp_path: Path, world: FakeWorld) -> None:
    """At least once: the server took the mail, we did not hear so; the second one can be known by its Message-ID."""
    with mail_server(tmp_path, behaviour=Trickle(60)) as server, mailing(tmp_path, server, world) as app:
        put(app, EMAIL)
        impatient(app, timeout=0.3, batch=30).run_once()
        assert ends(app) == {EMAIL: None}
        world.advance(LATER)
        server.behaviour = Slow(0)
        assert app.deliveries.run_once() == 1
        first, second = server.wait_for(2)
        assert first.message["Message-ID"] == second.message["Message-ID"]
        assert ends(app) == {EMAIL: "sent"}


def test_a_slow_server_is_not_waited_for_longer_than_a_reply_may_take(tmp_path: Path) -> None:
    """Nothing heard for the timeout: the mail is put off, and the thread is free."""
    with mail_server(tmp_path, behaviour=Slow(15)) as server, mailing(tmp_path, server) as app:
        put(app, EMAIL)
        assert impatient(app, timeout=0.3, batch=600).run_once() == 1
        assert (ends(app), server.messages) == ({EMAIL: None}, [])
        assert errors(app)


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_a_server_that_trickles_its_answer_is_cut_off(tmp_path: Path, tls: str) -> None:
    """A byte now and then resets every timeout of a reply, but not the deadline of the connection."""
    with mail_server(tmp_path, tls=tls, behaviour=Trickle(1)) as server, mailing(tmp_path, server) as app:
        put(app, EMAIL)
        assert impatient(app, timeout=20, batch=0.4).run_once() == 1
        assert ends(app) == {EMAIL: None}
        assert errors(app)


@pytest.mark.parametrize("when", ["greeting", "EHLO", "QUIT"])
def test_a_peer_that_never_ends_its_answer_is_cut_off(tmp_path: Path, when: str) -> None:
    """The deadline holds from the first byte to the last: a reply without end at the greeting or the goodbye holds no thread."""

    def act(peer: Peer, connection: socket.socket) -> None:
        if when != "greeting":
            connection.sendall(b"220 peer\r\n")
            while not peer.hear(connection).upper().startswith(when.encode()):
                connection.sendall(b"354 go on\r\n" if peer.heard.upper().endswith(b"DATA\r\n") else b"250 ok\r\n")
                if peer.heard.upper().endswith(b"DATA\r\n"):
                    while peer.hear(connection) != b".\r\n":
                        pass
                    connection.sendall(b"250 taken\r\n")
        peer.drone(connection, b"250-wait\r\n" if when != "greeting" else b"220-wait\r\n")

    with Peer(act) as peer, mailing_to(tmp_path, peer, options="?tls=none") as app:
        put(app, EMAIL)
        impatient(app, timeout=5, batch=0.4).run_once()
        assert ends(app) == {EMAIL: "sent" if when == "QUIT" else None}
    assert peer.connections == 1
    assert not peer.outlasted, "it was waited for as long as it liked"


def test_a_batch_goes_over_one_connection(tmp_path: Path) -> None:
    """Many mails, one handshake; and each batch claims no more than it may."""
    with mail_server(tmp_path, **LOGIN) as server, mailing(tmp_path, server) as app:
        put(app, *crowd(2 * BATCH + 3))
        assert [app.deliveries.run_once() for _ in range(4)] == [BATCH, BATCH, 3, 0]
        assert recipients(server.wait_for(2 * BATCH + 3)) == dict.fromkeys(crowd(2 * BATCH + 3), 1)
        assert server.connections == 3
        assert set(ends(app).values()) == {"sent"}


@pytest.mark.parametrize(("reply", "outcome"), [("550 5.1.1 unknown", "dead"), ("450 4.2.1 busy", None)])
@pytest.mark.parametrize("at", ["RCPT", "MAIL"])
def test_a_bad_recipient_delays_no_other(tmp_path: Path, reply: str, outcome: str | None, at: str) -> None:
    """Whatever becomes of one mail, all others of its batch go out at once, over the same connection."""
    bad = crowd(6)[2]
    behaviour = AnswerFor({bad: reply}) if at == "RCPT" else Answer([reply], "MAIL")
    with mail_server(tmp_path, behaviour=behaviour) as server, mailing(tmp_path, server) as app:
        put(app, *crowd(6))
        app.deliveries.run_once()
        bad = bad if at == "RCPT" else crowd(1)[0]
        assert ends(app) == dict.fromkeys(crowd(6), "sent") | {bad: outcome}
        assert recipients(server.wait_for(5)) == dict.fromkeys(set(crowd(6)) - {bad}, 1)
        assert server.connections == 1


@pytest.mark.parametrize("greeting", ["554 5.3.2 no service", "421 4.3.2 too many", None], ids=["554", "421", "hangs up"])
def test_an_unreachable_server_is_asked_once_for_a_batch(tmp_path: Path, greeting: str | None) -> None:
    """Nobody to talk to is no fault of a mail: all are put off after one connection, none is given up."""
    act = talking(greeting=greeting) if greeting else lambda *_: None
    with Peer(act) as peer, mailing_to(tmp_path, peer, options="?tls=none") as app:
        put(app, *crowd(BATCH))
        assert app.deliveries.run_once() == BATCH
        assert ends(app) == dict.fromkeys(crowd(BATCH))
        assert len(errors(app)) == BATCH
        assert app.deliveries.run_once() == 0
    assert peer.connections == 1
    assert b"MAIL" not in peer.heard.upper()


def test_a_dead_server_costs_nothing_but_time(tmp_path: Path, world: FakeWorld) -> None:
    """While it is down everything waits; once it is back, on the same port, every mail arrives once."""
    with mail_server(tmp_path) as server:
        pass
    with mailing(tmp_path, server, world) as app:
        ids = put(app, *crowd(30))
        while app.deliveries.run_once():
            pass
        assert ends(app) == dict.fromkeys(crowd(30))
        assert {message(app, one).attempts for one in ids} == {1}
        assert failures(app) == []
        with mail_server(tmp_path, port=server.port) as back:
            world.advance(LATER)
            while app.deliveries.run_once():
                pass
            assert recipients(back.wait_for(30)) == dict.fromkeys(crowd(30), 1)
        assert set(ends(app).values()) == {"sent"}


def test_an_address_outside_ascii_needs_smtputf8(tmp_path: Path) -> None:
    """RFC 6531 section 3.2: a server without the extension cannot take it, ever: dead, and the rest of the batch goes out."""
    with mail_server(tmp_path, utf8=False) as server, mailing(tmp_path, server) as app:
        put(app, "jörg@example.com", "jane@bücher.example", EMAIL)
        app.deliveries.run_once()
        assert ends(app) == {"jörg@example.com": "dead", "jane@bücher.example": "sent", EMAIL: "sent"}
        assert "SMTPUTF8" in failures(app)[0]["error"]
        assert recipients(server.wait_for(2)) == {"jane@xn--bcher-kva.example": 1, EMAIL: 1}
        assert server.connections == 1


def test_an_address_outside_ascii_is_written_to_with_smtputf8(tmp_path: Path) -> None:
    """With the extension the local part goes as it is, and ASCII addresses after it as ever."""
    with mail_server(tmp_path) as server, mailing(tmp_path, server) as app:
        put(app, "jörg@bücher.example", EMAIL)
        app.deliveries.run_once()
        first, second = server.wait_for(2)
        assert (first.recipients, second.recipients) == (["jörg@xn--bcher-kva.example"], [EMAIL])
        assert "To: jörg@xn--bcher-kva.example".encode() in first.raw
        assert second.raw.isascii()
        assert set(ends(app).values()) == {"sent"}


def test_a_revived_mail_is_the_same_mail(tmp_path: Path, world: FakeWorld) -> None:
    """What an operator sends again after a refusal has the id that it had."""
    with mail_server(tmp_path, behaviour=Answer(["550 no"])) as server, mailing(tmp_path, server, world) as app:
        Client(app).register(options={"verifyEmail": True})
        app.deliveries.run_once()
        (row,) = rows(app, "SELECT id, outcome FROM outbox")
        assert row["outcome"] == "dead"
        outbox.retry(app.core, row["id"])
        app.deliveries.run_once()
        (got,) = server.wait_for(1)
        assert got.message["Message-ID"] == f"<{row['id']}@example.com>"
    with running(tmp_path, world) as app:
        with app.core.store.write() as tx:
            assert tx.outbox.revive(row["id"], seconds=60)
        assert use(app, link(app)).status == 200
