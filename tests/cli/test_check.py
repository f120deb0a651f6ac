"""Promises of `authsvc check`: it sees what is wrong, says what to do, changes and sends nothing, shows no secret and comes to an end."""

from __future__ import annotations

import os
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from authsvc.cli import check_there
from authsvc.config import sources
from authsvc.store.migrations import migrate, migrations
from authsvc.world import World
from tests.auditing import record, tamper
from tests.cli.conftest import Cli, Ran, free_port
from tests.hooks import receiving
from tests.mailserver import certificate, mail_server
from tests.support import EMAIL, Client, FakeWorld, running

KEY = "0123456789abcdef0123456789abcdef"
PRODUCTION = {
    "AUTHSVC_PUBLIC_URL": "https://auth.example.invalid",
    "AUTHSVC_SECRET_KEY": KEY,
    "AUTHSVC_MAIL": "file:mail",
    "AUTHSVC_HASH_MEMORY_KIB": "19456",
    "AUTHSVC_HASH_TIME": "2",
}


def statuses(ran: Ran) -> dict[str, str]:
    """The worst that was found of each."""
    found: dict[str, str] = {}
    for check in ran.json()["checks"]:
        found[check["name"]] = max(found.get(check["name"], "ok"), check["status"], key=["ok", "warn", "fail"].index)
    return found


def advice(ran: Ran, name: str) -> str:
    return " ".join(f"{check['detail']} {check['advice']}" for check in ran.json()["checks"] if check["name"] == name)


def test_a_healthy_service_is_ok(cli: Cli) -> None:
    """Beside a running server everything is ok but the cheap hashes of this test; the text has a line for each."""
    with cli.serving() as served:
        served.call("POST", "/register", {"email": EMAIL, "password": "violet-harbour-91"})
        ran = cli(
            "check", "--json", AUTHSVC_PUBLIC_URL=f"http://127.0.0.1:{served.port}", AUTHSVC_HASH_MEMORY_KIB="19456", AUTHSVC_HASH_TIME="2"
        )
        text = cli("check", AUTHSVC_PUBLIC_URL=f"http://127.0.0.1:{served.port}")
    assert (ran.status, ran.json()["status"]) == (0, "ok"), ran.out
    assert set(statuses(ran)) == {
        "settings", "proxies", "database", "disk", "key", "clock", "outbox", "webhooks", "audit", "mail", "sms", "public_url",
    }  # fmt: skip
    assert "ok    database" in text.out
    assert "is answered by authsvc" in text.out


def test_before_the_first_start_nothing_fails_and_nothing_is_made(cli: Cli) -> None:
    """A missing database is told, not made; one that was there once and is gone fails."""
    ran = cli("check", "--json")
    assert (ran.status, statuses(ran)["database"], os.listdir(cli.folder)) == (0, "warn", [])
    with cli.app():
        pass
    (cli.folder / "authsvc.db").unlink()
    ran = cli("check", "--json")
    assert (ran.status, statuses(ran)["database"]) == (1, "fail")
    assert "authsvc restore" in advice(ran, "database")


def test_faults_of_the_settings_are_told(cli: Cli) -> None:
    """As one failing check; without them nothing else can be looked at."""
    ran = cli("check", "--json", AUTHSVC_NO_SUCH="1")
    assert (ran.status, statuses(ran), "AUTHSVC_NO_SUCH" in advice(ran, "settings")) == (1, {"settings": "fail"}, True)


def test_production_is_judged_by_its_own_rules(cli: Cli) -> None:
    """Mail that nobody gets, limits that are off, nobody trusted behind https, a name that leads nowhere."""
    ran = cli("check", "--json", **PRODUCTION, AUTHSVC_LIMIT_LOGIN="0")
    found = statuses(ran)
    assert (found["settings"], found["proxies"], found["mail"], found["public_url"], ran.status) == ("warn", "warn", "warn", "fail", 1)
    assert "login" in advice(ran, "settings")
    ran = cli("check", "--json", **PRODUCTION, AUTHSVC_TRUSTED_PROXIES="10.0.0.0/8")
    assert (statuses(ran)["settings"], statuses(ran)["proxies"]) == ("ok", "ok")
    ran = cli("check", "--json", **PRODUCTION, AUTHSVC_TRUSTED_PROXIES="0.0.0.0/0")
    assert statuses(ran)["proxies"] == "fail"


@pytest.mark.parametrize("damage", ["page", "foreign", "newer", "text"])
def test_a_database_that_cannot_be_used_fails(cli: Cli, damage: str) -> None:
    """Damaged, another program's, or a newer release's; it is left as it is."""
    with cli.app() as app:
        Client(app).register()
    database = cli.folder / "authsvc.db"
    content = bytearray(database.read_bytes())
    if damage == "page":
        content[8192:20480] = b"\xff" * 12288
        database.write_bytes(content)
    elif damage == "text":
        database.write_bytes(b"no database\n" * 1000)
    else:
        statement = {"foreign": "PRAGMA application_id = 7", "newer": "UPDATE migrations SET needs = 1000"}[damage]
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute(statement)
    before = database.read_bytes()
    ran = cli("check", "--json")
    assert (ran.status, statuses(ran)["database"]) == (1, "fail")
    assert database.read_bytes() == before


def test_an_earlier_schema_is_told_and_left(cli: Cli) -> None:
    """The upgrade is the next start's; check does not do it."""
    with closing(sqlite3.connect(cli.folder / "authsvc.db", isolation_level=None)) as connection:
        migrate(connection, None, FakeWorld(), migrations()[:4])
    ran = cli("check", "--json")
    assert (statuses(ran)["database"], "schema 4" in advice(ran, "database")) == ("warn", True)
    with closing(sqlite3.connect(cli.folder / "authsvc.db")) as connection:
        assert connection.execute("SELECT max(number) FROM migrations").fetchone() == (4,)


def test_a_key_that_does_not_fit_or_that_others_can_read_is_told(cli: Cli) -> None:
    """And so is one that is gone; the key itself is never shown."""
    with cli.app() as app:
        Client(app).register()
    key = cli.folder / "authsvc.db.key"
    assert statuses(cli("check", "--json"))["key"] == "ok"
    key.chmod(0o644)
    ran = cli("check", "--json")
    assert (statuses(ran)["key"], ran.err) == ("warn", "")
    production = {name: value for name, value in PRODUCTION.items() if name != "AUTHSVC_SECRET_KEY"}
    assert statuses(cli("check", "--json", **production))["key"] == "fail"
    ran = cli("check", "--json", AUTHSVC_SECRET_KEY=KEY)
    assert (statuses(ran)["key"], KEY in ran.out) == ("fail", False)
    key.unlink()
    assert statuses(cli("check", "--json"))["key"] == "fail"


def test_a_key_that_is_yet_to_be_noted_is_not_noted_by_looking(cli: Cli) -> None:
    """A new key is the next start's business: a look leaves the database as it is."""
    old, new = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
    cli.environ["AUTHSVC_SECRET_KEY"] = old
    cli("user", "create", "a@example.com")
    cli.environ |= {"AUTHSVC_SECRET_KEY": new, "AUTHSVC_SECRET_KEY_PREVIOUS": old}
    before = (cli.folder / "authsvc.db").read_bytes()
    assert "will be noted at the next start" in cli("check").out
    assert (cli.folder / "authsvc.db").read_bytes() == before


def test_a_folder_that_is_not_there_is_told(cli: Cli) -> None:
    """Before the first start the database need not be there, but its folder must."""
    cli.environ["AUTHSVC_DATABASE"] = str(cli.folder / "missing" / "authsvc.db")
    ran = cli("check")
    assert (ran.status, "the folder" in ran.out, "disk" in ran.out) == (1, True, False)


def test_a_clock_that_was_set_back_fails(cli: Cli) -> None:
    """The newest event lies in the future."""
    world = FakeWorld()
    world.time = World().now() + 3_600_000
    with running(cli.folder, world) as app:
        Client(app).register()
    ran = cli("check", "--json")
    assert (ran.status, statuses(ran)["clock"], "NTP" in advice(ran, "clock")) == (1, "fail", True)


def test_what_is_stuck_given_up_or_tampered_with_is_told(cli: Cli) -> None:
    """Mail that nobody sends, mail that was given up, a webhook that fails or was disabled, an edited row of the trail."""
    with cli.app() as app:
        record(app, 5)
        Client(app).register(options={"sendEmail": True, "verifyEmail": True})
        with app.core.store.write() as tx:
            hook = "'whk_{}', 'k', 1, NULL, NULL, 'https://example.com', '', '[]', {}, {}, 1, 3, 0, {}, NULL, NULL, 0, 1, 1"
            tx._connection.execute(f"INSERT INTO webhooks VALUES ({hook.format(1, 1, 'NULL', 1)})")
            tx._connection.execute(f"INSERT INTO webhooks VALUES ({hook.format(2, 0, repr('gone'), 'NULL')})")
            tx._connection.execute("UPDATE outbox SET done_at = 1, outcome = 'dead' WHERE id = (SELECT max(id) FROM outbox)")
            tx._connection.execute("UPDATE outbox SET due_at = 1 WHERE done_at IS NULL")
        tamper(app, "UPDATE events SET at = 1800000000000")
        with app.core.store.write() as tx:
            tx._connection.execute("UPDATE events SET at = 1, subject = 'x'")
    ran = cli("check", "--json")
    found = statuses(ran)
    assert (found["outbox"], found["webhooks"], found["audit"]) == ("warn", "warn", "fail"), ran.out
    assert "given up" in advice(ran, "outbox")
    assert "worker" in advice(ran, "outbox")
    assert advice(ran, "webhooks").count("whk_") == 2


def test_the_mail_server_is_asked_without_sending(cli: Cli, tmp_path: Path) -> None:
    """A connection, TLS and the password; wrong ones are told, never shown."""
    with mail_server(tmp_path, user="postman", password="swordfish-47") as server:
        ran = cli("check", "--json", AUTHSVC_MAIL=server.url())
        assert (statuses(ran)["mail"], "with TLS and our password" in advice(ran, "mail")) == ("ok", True)
        ran = cli("check", "--json", AUTHSVC_MAIL=server.url().replace("swordfish-47", "haddock-1234"))
        assert (statuses(ran)["mail"], "haddock-1234" in ran.out) == ("fail", False)
        ran = cli("check", "--json", AUTHSVC_MAIL=server.url(ca=None))
        assert statuses(ran)["mail"] == "fail"
        assert server.messages == []
    ran = cli("check", "--json", AUTHSVC_MAIL=f"smtp://postman:swordfish-47@localhost:{free_port()}")
    assert (statuses(ran)["mail"], "swordfish-47" in ran.out) == ("fail", False)


def test_an_sms_gateway_is_connected_to_and_asked_nothing(cli: Cli) -> None:
    """One that is there, one that is not, and one that may send nowhere."""
    with receiving() as gateway:
        url = gateway.url("/send?token=swordfish").replace("http://", "http://name:haddock-1234@")
        ran = cli("check", "--json", AUTHSVC_SMS=url, AUTHSVC_SMS_COUNTRIES="+49")
        assert (statuses(ran)["sms"], gateway.got) == ("ok", [])
        assert statuses(cli("check", "--json", AUTHSVC_SMS=url))["sms"] == "warn"
    ran = cli("check", "--json", AUTHSVC_SMS=url, AUTHSVC_SMS_COUNTRIES="+49")
    assert (statuses(ran)["sms"], "swordfish" in ran.out, "haddock" in ran.out) == ("fail", False, False)


class Trusting(World):
    """A world that trusts one certificate."""

    def __init__(self, trusted: Path | None) -> None:
        super().__init__()
        self.trusted = trusted

    def secure(self, connected: Any, host: str) -> Any:
        return ssl.create_default_context(cafile=self.trusted).wrap_socket(connected, server_hostname=host)


def public(port: int, world: World) -> list[tuple[str, str]]:
    given = sources.from_dict({"public_url": f"https://localhost:{port}", "mail": "console:"})
    return [(finding.status, finding.detail) for finding in check_there.public_url(given, world)]


class Answering(BaseHTTPRequestHandler):
    """Answers as it is told to."""

    said = (200, b'{"status": "ok"}')

    def do_GET(self) -> None:
        status, body = self.said
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody wants to know."""


@contextmanager
def answering(folder: Path) -> Iterator[int]:
    """A server for localhost with a certificate, ca.pem, that ends tomorrow; its port."""
    for name, content in zip(("ca.pem", "key.pem"), certificate(), strict=True):
        (folder / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_certificate_is_looked_at_and_who_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that soon ends, one that nobody trusts; another version and another program behind our name."""
    ours = Trusting(tmp_path / "ca.pem")
    with answering(tmp_path) as port:
        found = public(port, ours)
        assert [status for status, _ in found] == ["warn", "ok"]
        assert "ends in 0 days" in found[0][1]
        for said, status in (
            ((200, b'{"status": "ok", "version": "0.0.9"}'), "warn"),
            ((200, b"<html>"), "fail"),
            ((200, b"[]"), "fail"),
            ((502, b"bad gateway"), "fail"),
        ):
            monkeypatch.setattr(Answering, "said", said)
            assert public(port, ours)[1][0] == status
        monkeypatch.setattr(ours, "now", lambda: World().now() - 30 * 86_400_000)
        assert public(port, ours)[0] == ("ok", "the certificate is good for 30 days")
        assert [status for status, _ in public(port, Trusting(None))] == ["fail"]
    assert [status for status, _ in public(port, ours)] == ["warn"], "a service that is not up is no fault"


def test_a_dead_name_server_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each outside check has its deadline, name resolution included; what is late is told as such."""
    released = threading.Event()

    class Deaf(World):
        def resolve(self, host: str, port: int) -> list[str]:
            released.wait(60)
            return []

    monkeypatch.setattr(check_there, "SECONDS", 0.2)
    given = sources.from_dict({"mail": "console:", "sms": "https://sms.example.com/", "sms_countries": "+1"})
    found = check_there.all_at_once(given, Deaf())
    released.set()
    assert [(finding.name, finding.status) for finding in found] == [("mail", "ok"), ("sms", "fail"), ("public_url", "fail")]
    assert "no answer within" in found[1].detail


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in one, the others are shown."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("oh")

    monkeypatch.setattr(check_there, "CHECKS", {"mail": broken, "sms": check_there.sms})
    found = check_there.all_at_once(sources.from_dict({"mail": "console:"}), World())
    assert [(finding.name, finding.status) for finding in found] == [("mail", "fail"), ("sms", "ok")]
