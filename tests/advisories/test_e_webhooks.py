"""E6 to E9 on webhooks: requests that are forged to reach what is private, hostile receivers, forged events, and storms."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from authsvc import events
from authsvc.app import App
from authsvc.delivery.webhooks import EVENTS_PER_TURN, WebhookWorker
from authsvc.events import SYSTEM
from tests.hooks import (
    Handler,
    Receiver,
    bomb_of_headers,
    closes,
    endless,
    goes_on_and_on,
    hangs,
    huge,
    one_long_line,
    receiving,
    says,
    trickles,
)
from tests.letterbox import counts
from tests.mailserver import AnswerFor, mail_server
from tests.staff import Caller, admin, holder
from tests.support import Client, FakeWorld, event_rows, running

LOOPBACK = "127.0.0.0/8"


class Names(FakeWorld):
    """A world in which each name has the addresses that a test gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.time = time.time_ns() // 1_000_000
        self.names: dict[str, list[str]] = {}
        self.called: list[str] = []
        self.asked: list[str] = []
        self.trusted: Path | None = None

    def secure(self, connected: Any, host: str) -> Any:
        return ssl.create_default_context(cafile=self.trusted).wrap_socket(connected, server_hostname=host)

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host in self.names:
            return self.names[host]
        return super().resolve(host, port)

    def connect(self, address: str, port: int, seconds: float) -> Any:
        self.called.append(address)
        return super().connect(address, port, seconds)


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def app(tmp_path: Path, names: Names) -> Iterator[App]:
    with running(tmp_path, names) as app:
        yield app


def subscribe(boss: Caller, url: str) -> Any:
    return boss.call("POST", "/webhooks", {"url": url, "events": ["user.registered"]})


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["8.8.8.8", "127.0.0.1"], []],
)
def test_e6_a_name_that_leads_to_what_is_private_is_refused_when_the_webhook_is_made_or_changed(
    app: App, names: Names, addresses: list[str]
) -> None:
    """422, if only one of its addresses is not public; and nobody is called."""
    boss = admin(app)
    names.names = {"inside.example": addresses, "public.example": ["93.184.216.34"]}
    before = len(event_rows(app))
    assert subscribe(boss, "https://inside.example/").status == 422
    assert len(event_rows(app)) == before
    made = subscribe(boss, "https://public.example/").json()
    assert boss.call("PUT", f"/webhooks/{made['id']}", {"url": "https://inside.example/"}).status == 422
    assert boss.get(f"/webhooks/{made['id']}")["url"] == "https://public.example/"
    assert names.called == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/", "https://localhost/", "https://[::1]/", "http://public.example/", "https://10.0.0.1/"]
)
def test_e6_private_addresses_and_plain_http_are_refused(app: App, names: Names, url: str) -> None:
    """Where no network is listed."""
    names.names = {"public.example": ["93.184.216.34"]}
    answer = subscribe(admin(app), url)
    assert (answer.status, answer["errors"][0]["field"]) == (422, "url")


def test_e7_a_name_that_moves_to_a_private_address_is_not_called(app: App, names: Names) -> None:
    """DNS rebinding: looked at again at every try, and the address that was looked at is the one that is called."""
    boss = admin(app)
    names.names = {"moves.example": ["93.184.216.34"]}
    made = subscribe(boss, "https://moves.example/").json()
    names.names = {"moves.example": ["127.0.0.1"]}
    Client(app).register("a@mail.com")
    assert app.deliveries.run_once() == 1
    assert names.called == []
    (delivery,) = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
    assert (delivery["status"], delivery["status_code"]) == ("failed", None)
    assert "not public" in delivery["error"]


@pytest.mark.parametrize("behaviour", [says(302, Location="http://127.0.0.1:1/"), says(204 + 100), closes, bomb_of_headers, one_long_line])
def test_e7_a_hostile_answer_is_a_failure_and_no_more(tmp_path: Path, names: Names, behaviour: Any) -> None:
    """Redirects lead nowhere, broken answers are none, and thousands of headers are not read."""
    with receiving(behaviour) as receiver, running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        made = subscribe(boss, receiver.url()).json()
        Client(app).register("a@mail.com")
        assert app.deliveries.run_once() == 1
        assert len(receiver.got) == 1
        assert boss.get(f"/webhooks/{made['id']}")["status"] == "failing"
        assert [line for line in names.lines if "Traceback" in line] == []


@pytest.mark.parametrize("behaviour", [endless, hangs, huge, trickles, goes_on_and_on])
def test_e7_an_answer_without_an_end_is_cut_off(tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch, behaviour: Any) -> None:
    """By size or by time; the next event is not kept waiting for ever."""
    monkeypatch.setattr("authsvc.delivery.posting.SECONDS", 0.5)
    with receiving(behaviour) as receiver, running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        subscribe(boss, receiver.url())
        Client(app).register("a@mail.com")
        assert app.deliveries.run_once() == 1
        receiver.released.set()
        assert app.deliveries.run_once() == 0
        assert [line for line in names.lines if "Traceback" in line] == []


def test_e7_tls_to_a_wrong_name_is_refused(tmp_path: Path, names: Names, receiver: Receiver) -> None:
    """A peer that does not prove its name gets nothing."""
    names.names = {"named.example": ["127.0.0.1"]}
    with running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        made = subscribe(boss, f"https://named.example:{receiver.port}/").json()
        Client(app).register("a@mail.com")
        app.deliveries.run_once()
        assert receiver.got == []
        (delivery,) = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
        assert delivery["status"] == "failed"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_e8_a_forged_or_replayed_event_does_not_verify(tmp_path: Path, names: Names, receiver: Receiver) -> None:
    """Another webhook's secret, another id, another time, another body; and the same event an hour later."""
    with running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        mine, other = subscribe(boss, receiver.url("/mine")).json(), subscribe(boss, receiver.url("/other")).json()
        Client(app).register("a@mail.com")
        app.deliveries.run_once()
        got = next(got for got in receiver.got if got.path == "/mine")
        verifier = Verifier(mine["secret"])
        verifier.verify(got.body, got.headers)
        hour_ago = str(int(got.headers["webhook-timestamp"]) - 3_600)
        forgeries = [
            (got.body, got.headers | {"webhook-id": "evt_other"}),
            (got.body, got.headers | {"webhook-timestamp": hour_ago}),
            (got.body.replace(b"success", b"failure"), got.headers),
            (got.body, got.headers | {"webhook-signature": "v1,AAAA"}),
        ]
        for body, headers in forgeries:
            with pytest.raises(WebhookVerificationError):
                verifier.verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Verifier(other["secret"]).verify(got.body, got.headers)


def test_a_webhooks_secret_is_shown_once_and_lies_nowhere(tmp_path: Path, names: Names, receiver: Receiver) -> None:
    """Not in the lists, not in the database's bytes, not in the log; the URL's path is in no event."""
    with running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        made = subscribe(boss, receiver.url("/secret-of-the-receiver")).json()
        for path in ("/webhooks", f"/webhooks/{made['id']}"):
            assert made["secret"] not in boss.get(path).body.decode()
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.name.startswith("authsvc.db") and file.suffix != ".key")
        assert made["secret"].removeprefix("whsec_").encode() not in stored
        assert "secret-of-the-receiver" not in str(event_rows(app)) + "".join(names.lines)


@pytest.mark.parametrize("cap", ["webhooks:read", "users:*", "events:read"])
def test_e1_webhooks_and_events_are_for_holders_of_their_caps(app: App, cap: str) -> None:
    """Any id, there or not, is the same 403."""
    boss = admin(app)
    app.core.world.names = {"public.example": ["93.184.216.34"]}  # type: ignore[attr-defined]
    made = subscribe(boss, "https://public.example/").json()
    staff = holder(app, cap)
    for webhook_id in (made["id"], "whk_" + "0" * 26):
        for method, path in (
            ("GET", ""),
            ("PUT", ""),
            ("DELETE", ""),
            ("POST", "/rotate-secret"),
            ("POST", "/test"),
            ("GET", "/deliveries"),
        ):
            assert staff.call(method, f"/webhooks/{webhook_id}{path}").code == "forbidden", path
    assert (staff.get("/events").status == 200) is (cap == "events:read")
    assert boss.get("/webhooks")["items"] != []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["192.168.0.1", "93.184.216.34"],
        ["93.184.216.34", "10.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["::127.0.0.1"],
        ["2002:7f00:1::"],
        ["64:ff9b::7f00:1"],
        ["64:ff9b:1::7f00:1"],
        ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
        ["fe80::1%lo"],
        ["fd00:ec2::254"],
        ["0.0.0.0"],
        ["::"],
        ["224.0.0.1"],
        ["100.100.100.200"],
        ["no address"],
        [""],
        [],
    ],
    ids="/".join,
)
def test_e6_each_send_looks_at_every_address_anew(app: App, names: Names, addresses: list[str]) -> None:
    """Public when it was made, private at a test, at the next event and at its next try: nobody is ever called."""
    boss = admin(app)
    names.names = {"moves.example": ["93.184.216.34"]}
    made = subscribe(boss, "https://moves.example/").json()
    names.names = {"moves.example": addresses}
    assert boss.call("POST", f"/webhooks/{made['id']}/test").status == 202
    Client(app).register("a@mail.com")
    assert app.deliveries.run_once() == 2
    assert names.called == []
    assert {item["status"] for item in boss.get(f"/webhooks/{made['id']}/deliveries")["items"]} == {"failed"}
    names.names = {"moves.example": ["127.0.0.1"]}
    names.advance(6)
    app.deliveries.run_once()
    assert names.called == []


def test_e7_a_name_that_changes_between_look_and_call_is_called_where_it_was_looked_at(
    tmp_path: Path, names: Names, receiver: Receiver
) -> None:
    """One question to the resolver for each try: whatever it would say to a second one is not heard."""
    with running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        names.names = {"flips.example": ["127.0.0.1"]}
        subscribe(boss, f"http://flips.example:{receiver.port}/")
        Client(app).register("a@mail.com")
        names.asked.clear()
        answers = [["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]]
        names.resolve = lambda host, port: (names.asked.append(host), answers.pop(0))[1]  # type: ignore[method-assign, func-returns-value]
        assert app.deliveries.run_once() == 1
        assert (names.asked, names.called) == (["flips.example"], ["127.0.0.1"])
        (got,) = receiver.got
        assert got.headers["host"] == f"flips.example:{receiver.port}"


@pytest.mark.parametrize(("host", "served"), [("localhost", True), ("named.example", False)])
def test_e7_tls_proves_the_name_of_the_url(tmp_path: Path, names: Names, host: str, served: bool) -> None:
    """By a certificate of an authority that is trusted: for its name the event is given, for another nothing is said."""
    with receiving(tls=tmp_path) as receiver, running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        names.trusted = tmp_path / "ca.pem"
        names.names = {"named.example": ["127.0.0.1"], "localhost": ["127.0.0.1"]}
        boss = admin(app)
        made = subscribe(boss, f"https://{host}:{receiver.port}/").json()
        Client(app).register("a@mail.com")
        app.deliveries.run_once()
        assert names.called == ["127.0.0.1"]
        assert receiver.types() == ["user.registered"] * served
        (delivery,) = boss.get(f"/webhooks/{made['id']}/deliveries")["items"]
        assert (delivery["status"] == "delivered") is served
        assert served or "CERTIFICATE_VERIFY_FAILED" in delivery["error"]


def test_e7_a_redirect_to_what_is_private_is_not_even_looked_up(tmp_path: Path, names: Names, receiver: Receiver) -> None:
    """30x is a failure like another; the name that it names is unknown to the resolver."""
    receiver.behaviour = says(307, Location="http://metadata.example/latest")
    with running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        subscribe(admin(app), receiver.url())
        Client(app).register("a@mail.com")
        app.deliveries.run_once()
    assert "metadata.example" not in names.asked
    assert names.called == ["127.0.0.1"]
    assert len(receiver.got) == 1


def test_e7_an_answer_is_read_to_a_bound_and_told_to_nobody(tmp_path: Path, names: Names) -> None:
    """What a receiver says is in no list and no log: a webhook is no way to read what lies behind a URL."""

    def tells(handler: Handler) -> None:
        handler.say(500, {"Server": "inner-1.2"}, b"root:x:0:0:inner")

    with receiving(tells) as receiver, running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        made = subscribe(boss, receiver.url()).json()
        Client(app).register("a@mail.com")
        app.deliveries.run_once()
        seen = boss.get(f"/webhooks/{made['id']}/deliveries").body.decode() + boss.get("/webhooks").body.decode()
        assert "inner" not in seen + "".join(names.lines) + str(event_rows(app))


def test_e8_a_try_is_signed_for_its_own_time(tmp_path: Path, names: Names, receiver: Receiver) -> None:
    """The same id and bytes under a new time each try: an old one that comes back is refused for its age, a new one is not."""
    receiver.behaviour = says(500)
    names.time -= 400_000
    with running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        made = subscribe(admin(app), receiver.url()).json()
        Client(app).register("a@mail.com")
        app.deliveries.run_once()
        names.advance(400)
        app.deliveries.run_once()
    old, new = receiver.got
    assert (old.id, old.body) == (new.id, new.body)
    Verifier(made["secret"]).verify(new.body, new.headers)
    for headers in (old.headers, new.headers | {"webhook-timestamp": old.headers["webhook-timestamp"]}):
        with pytest.raises(WebhookVerificationError):
            Verifier(made["secret"]).verify(old.body, headers)


def test_e9_ten_thousand_events_and_a_dead_endpoint_delay_nobody(tmp_path: Path, names: Names, receiver: Receiver) -> None:
    """The dead one is tried once, and of all that it waits for there is one row; the others get theirs in the same round, in
    bounded turns; it loses nothing."""
    receiver.paths["/dead"] = says(503)
    with running(tmp_path, names, webhook_networks=LOOPBACK) as app:
        boss = admin(app)
        dead = boss.call("POST", "/webhooks", {"url": receiver.url("/dead"), "events": ["login.*"]}).json()
        boss.call("POST", "/webhooks", {"url": receiver.url("/busy"), "events": ["login.*"]})
        boss.call("POST", "/webhooks", {"url": receiver.url("/rare"), "events": ["user.updated"]})
        with app.core.store.write() as tx:
            for _ in range(10_000):
                tx.events.record(events.LOGIN_FAILED, SYSTEM, outcome="failure")
            tx.events.record(events.USER_UPDATED, SYSTEM)
        worker = WebhookWorker(app.core.settings, app.core.world, app.core.keyring, app.core.store)
        assert worker.run_once() == 1 + EVENTS_PER_TURN + 1
        assert receiver.types("/rare") == ["user.updated"]
        assert receiver.types("/dead") == ["login.failed"]
        assert worker.run_once() == EVENTS_PER_TURN
        busy = [got.id for got in receiver.got if got.path == "/busy"]
        assert busy == [row["id"] for row in event_rows(app) if row["action"] == "login.failed"][: 2 * EVENTS_PER_TURN]
        assert counts(app, "deliveries", "outbox") == [1 + 2 * EVENTS_PER_TURN + 1, 0]
        assert len(boss.get(f"/webhooks/{dead['id']}/deliveries")["items"]) == 1
        receiver.paths["/dead"] = says(200)
        names.advance(6)
        worker.run_once()
        assert [got.id for got in receiver.got if got.path == "/dead"][1:] == busy[:EVENTS_PER_TURN]


def test_what_a_mail_server_says_of_an_address_is_in_no_event(tmp_path: Path, names: Names, receiver: Receiver) -> None:
    """A refusal names the address that it refuses: of that neither webhooks nor the feed tell, nor the trail for ever."""
    unknown = "550 5.1.1 <nobody.here@mail.com>: unknown, +4915123456789 neither"
    refuses = AnswerFor({"nobody.here@mail.com": unknown})
    with (
        mail_server(tmp_path, tls="none", behaviour=refuses) as server,
        running(tmp_path, names, webhook_networks=LOOPBACK, mail=server.url()) as app,
    ):
        boss = admin(app)
        assert boss.call("POST", "/webhooks", {"url": receiver.url(), "events": ["*"]}).status == 201
        Client(app).register("nobody.here@mail.com")
        Client(app).post("/password/forgot", {"email": "nobody.here@mail.com"})
        for _ in range(3):
            app.deliveries.run_once()
        assert "delivery.failed" in receiver.types()
        told = "".join(got.body.decode() for got in receiver.got) + boss.get("/events").body.decode()
        told += "".join(row["data"] for row in event_rows(app))
        assert "550" in told
        for personal in ("nobody.here", "mail.com", "15123456789"):
            assert personal not in told, personal
