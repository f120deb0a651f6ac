"""A gateway that fails, hangs, or is killed half-way: the code arrives as it was first sent, and requests never wait for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.delivery import gateways as sms
from authsvc.store.outbox import Message
from tests.smsgateway import CLOSES_AT_ONCE, CLOSES_IN_STATUS, Asked, fails, hangs, ok, sms_gateway, too_many
from tests.support import Client, FakeWorld, actions, running

NUMBER = "+4915123456789"
SETTINGS = {"sms_countries": "+49", "sms_from": "Acme"}


def text_of(asked: Asked) -> str:
    assert asked.form()["To"] == NUMBER
    return asked.form()["Body"]


def row(app: App) -> Message:
    with app.core.store.read() as tx:
        (only,) = [row for row in tx.outbox.page(after="", limit=100, everything=True) if row.kind == "sms"]
    return only


def test_a_gateway_that_fails_and_hangs_and_then_works_delivers_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """500, silence, then 201: exactly the text of the first try, and its code signs in."""
    monkeypatch.setattr(sms, "TIMEOUT_SECONDS", 0.2)
    with sms_gateway(fails(500), hangs, ok) as gateway, running(tmp_path, FakeWorld(), sms=gateway.twilio, **SETTINGS) as app:
        sent = Client(app).post("/otp/send", {"phone_number": NUMBER})
        outcomes = []
        for _ in range(3):
            assert app.deliveries.run_once() == 1
            outcomes.append(row(app).outcome)
            app.core.world.advance(45)
        assert app.deliveries.run_once() == 0
        texts = [text_of(asked) for asked in gateway.asked]
        code = re.findall(r"#([0-9]{6})$", texts[0])[0]
        entered = Client(app).post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": code})

        assert outcomes == [None, None, "sent"]
        assert (len(texts), len(set(texts))) == (3, 1)
        assert entered.status == 200, entered.body
        assert "delivery.failed" not in actions(app)


def test_many_kinds_of_trouble_are_survived_within_the_life_of_a_code(tmp_path: Path) -> None:
    """Four failures of four kinds, by the real schedule of retries: the fifth try still carries a code that counts."""
    troubles = (too_many(1), CLOSES_AT_ONCE, fails(503), CLOSES_IN_STATUS, ok)
    with sms_gateway(*troubles) as gateway, running(tmp_path, FakeWorld(), sms=gateway.twilio, **SETTINGS) as app:
        sent = Client(app).post("/otp/send", {"phone_number": NUMBER})
        while row(app).outcome is None:
            app.core.world.time = max(app.core.world.now(), row(app).due_at)
            app.deliveries.run_once()
        code = re.findall(r"#([0-9]{6})$", text_of(gateway.asked[-1]))[0]

        assert (row(app).outcome, row(app).attempts, len(gateway.asked)) == ("sent", 5, 5)
        assert Client(app).post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": code}).status == 200


def test_a_gateway_that_never_works_is_not_asked_for_ever(tmp_path: Path) -> None:
    """When the code has run out it is over; nothing is left waiting."""
    with sms_gateway(fails(500)) as gateway, running(tmp_path, FakeWorld(), sms=gateway.twilio, **SETTINGS) as app:
        Client(app).post("/otp/send", {"phone_number": NUMBER})
        for _ in range(100):
            app.deliveries.run_once()
            app.core.world.advance(20)
        assert row(app).done_at is not None
        assert 3 <= len(gateway.asked) <= 8
        assert {text_of(asked) for asked in gateway.asked} == {text_of(gateway.asked[0])}


def test_no_request_waits_for_a_gateway_that_hangs(tmp_path: Path) -> None:
    """F11: while the worker's thread hangs on one SMS, requests are answered and mail goes out."""
    with sms_gateway(hangs) as gateway, running(tmp_path, FakeWorld(), sms=gateway.twilio, delivery="threads", **SETTINGS) as app:
        client = Client(app)
        assert client.post("/otp/send", {"phone_number": NUMBER}).status == 202
        gateway.wait_for(1)
        answers = [
            client.post("/otp/send", {"phone_number": "+4915123456780"}).status,
            client.post("/register", {"email": "a@example.com", "password": "violet-harbour-91"}).status,
            client.post("/otp/send", {"email": "b@example.com"}).status,
            client.get("/healthz").status,
        ]
        assert (answers, len(gateway.asked)) == ([202, 201, 202, 200], 1)
        gateway.released.set()


def test_a_worker_that_died_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between claiming and sending: another one delivers while the code still counts, or it would be lost for good."""
    with sms_gateway() as gateway, running(tmp_path, FakeWorld(), sms=gateway.twilio, **SETTINGS) as app:
        sent = Client(app).post("/otp/send", {"phone_number": NUMBER})
        with monkeypatch.context() as patch:
            patch.setattr(sms.Twilio, "send", killed)
            with pytest.raises(SystemExit):
                app.deliveries.run_once()
        for _ in range(9):
            app.core.world.advance(30)
            app.deliveries.run_once()

        assert [text_of(asked)[-6:].isdigit() for asked in gateway.asked] == [True]
        body = {"challenge_id": sent["challenge_id"], "code": text_of(gateway.asked[0])[-6:]}
        assert Client(app).post("/otp/verify", body).status == 200


def killed(*_: object) -> None:
    """What no handler of the worker catches: its claim stays, as after a kill."""
    raise SystemExit
