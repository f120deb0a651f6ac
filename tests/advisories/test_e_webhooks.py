"""E6 to E8 on webhooks: requests that are forged to reach what is private, hostile receivers, and forged events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from authsvc.app import App
from tests.hooks import Receiver, bomb_of_headers, closes, endless, hangs, receiving, says
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

    def resolve(self, host: str, port: int) -> list[str]:
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


@pytest.mark.parametrize("behaviour", [says(302, Location="http://127.0.0.1:1/"), closes, bomb_of_headers])
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


@pytest.mark.parametrize("behaviour", [endless, hangs])
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
