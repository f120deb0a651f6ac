"""Promises of delivery/sms.py and gateways.py: texts that phones read, requests that gateways take, and answers that are believed no further."""

from __future__ import annotations

import base64
import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.delivery import gateways as sms
from authsvc.delivery.letters import LETTERS, SMS_WORDS, Letters
from authsvc.delivery.senders import Permanent, Temporary
from authsvc.problems import Refused
from authsvc.store.outbox import Message
from tests.smsgateway import (
    CLOSES_AT_ONCE,
    CLOSES_IN_BODY,
    CLOSES_IN_STATUS,
    INVALID_NUMBER,
    MESSAGES,
    SID,
    TOKEN,
    UNAUTHENTICATED,
    Behaviour,
    SmsGateway,
    echoes,
    endless,
    fails,
    hangs,
    ok,
    redirects,
    refuses,
    sms_gateway,
    too_many,
    trickles,
)
from tests.support import Client, FakeWorld, actions, event_rows, running

NUMBER = "+4915123456789"
FROM = "+4915550001111"
BASIC = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
EXTENDED = "^{}\\[~]|€"
HOSTILE = 'A"}\\ & to=x{from}{to} <b>%00+é\u2028'


@contextmanager
def service(folder: Path, gateway: SmsGateway | None, **settings: Any) -> Iterator[App]:
    usual = {
        "sms": gateway.twilio if gateway else "console:",
        "sms_countries": "+49",
        "sms_from": FROM,
        "public_url": "https://auth.example.com",
        "secret_key": "0123456789abcdef0123456789abcdef",
    }
    with running(folder, FakeWorld(), **usual | settings) as app:
        yield app


def ask(app: App, number: str = NUMBER, **more: Any) -> Any:
    answer = Client(app).post("/otp/send", {"phone_number": number, **more})
    assert answer.status == 202, answer.body
    return answer.json()


def rows(app: App) -> list[Message]:
    with app.core.store.read() as tx:
        return [row for row in tx.outbox.page(after="", limit=100, everything=True) if row.kind == "sms"]


def row(app: App) -> Message:
    (only,) = rows(app)
    return only


def kept(app: App) -> str:
    """All that is left of a delivery: the row, the log and the events."""
    return f"{rows(app)} {app.core.world.lines} {[event['data'] for event in event_rows(app)]}"


def code_in(text: str) -> str:
    found = re.search(r"#([0-9]{6})$", text)
    assert found, text
    return found[1]


def septets(text: str) -> int:
    """The length in GSM 03.38; an assertion where it has no letter for something."""
    assert set(text) <= set(BASIC + EXTENDED), set(text) - set(BASIC + EXTENDED)
    return sum(2 if char in EXTENDED else 1 for char in text)


@pytest.mark.parametrize("locale", ["en", "de", "de-AT", "fr", None])
@pytest.mark.parametrize("name", ["authsvc", "Müller & Söhne GmbH", "X" * 40])
def test_a_text_is_one_part_and_read_by_browsers(locale: str | None, name: str) -> None:
    """GSM-7, at most 160 septets, the code first, and as its last line exactly `@host #code` (WebOTP)."""
    text = Letters("").render_text("sms", locale, SMS_WORDS | {"service": name, "code": "012345", "host": "auth.example.com"})
    *words, last = text.split("\n")

    assert septets(text) <= 160
    assert last == "@auth.example.com #012345"
    assert words[0].startswith("012345 ")
    assert name in words[0]
    assert words[-1] == ""
    assert "http" not in text
    assert ("Ihr Code" in text) is (locale or "").startswith("de")


def test_the_text_names_the_public_host(tmp_path: Path) -> None:
    """Without scheme, port or path, whatever the request says of itself."""
    with service(tmp_path, None, public_url="https://auth.example.com:8443/login-here") as app:
        Client(app).post("/otp/send", {"phone_number": NUMBER}, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        app.deliveries.run_once()
        (line,) = [line for line in app.core.world.lines if line.startswith("--- SMS")]

    first, *_, last, end = line.split("\n")
    assert (first, end) == (f"--- SMS to {NUMBER}", "---")
    assert re.fullmatch(r"@auth\.example\.com #[0-9]{6}", last)
    assert "5 minutes" in line


@pytest.mark.parametrize(
    ("asked", "words"), [("de", "Ihr Code"), ("en", "your code"), ("de-AT,en;q=0.5", "Ihr Code"), ("fr", "your code"), ("", "your code")]
)
def test_the_text_is_in_the_askers_language(tmp_path: Path, asked: str, words: str) -> None:
    """As far as there are texts in it."""
    with service(tmp_path, None) as app:
        Client(app).post("/otp/send", {"phone_number": NUMBER}, headers={"Accept-Language": asked})
        app.deliveries.run_once()
        assert [words in line for line in app.core.world.lines if line.startswith("--- SMS")] == [True]


def test_an_own_text_takes_the_place_of_ours(tmp_path: Path) -> None:
    """File by file and language by language; other languages keep the bundled one."""
    own = tmp_path / "own"
    (own / "de").mkdir(parents=True)
    (own / "de" / "sms.txt").write_text("Nur $code für $service ($minutes min)\n\n@$host #$code\n", "utf-8")
    letters = Letters(str(own))

    assert letters.render_text("sms", "de-CH", SMS_WORDS) == "Nur 123456 für authsvc (5 min)\n\n@auth.example.com #123456"
    assert letters.render_text("sms", "en", SMS_WORDS) == Letters("").render_text("sms", "en", SMS_WORDS)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"$code $link", "$link"),
        (b"$code $", "sms.txt"),
        (b"\xff\xfe$code", "sms.txt"),
        (b"${code", "sms.txt"),
        (b"$code $address", "$address"),
    ],
    ids=range(5),
)
def test_a_fault_in_an_own_text_stops_the_start(tmp_path: Path, content: bytes, named: str) -> None:
    """It is found by the operator, not by who waits for a code."""
    own = tmp_path / "own"
    (own / "de").mkdir(parents=True)
    (own / "de" / "sms.txt").write_bytes(content)

    with pytest.raises(Refused, match=r"AUTHSVC_LETTERS") as refused, service(tmp_path, None, letters=str(own)):
        pass
    assert named in str(refused.value)
    assert "sms" not in LETTERS


@pytest.mark.parametrize("content", [b"", b"hello from $service\n"])
def test_an_own_text_without_the_code_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """An SMS that does not carry its code is a fault of the text."""
    own = tmp_path / "own"
    (own / "de").mkdir(parents=True)
    (own / "de" / "sms.txt").write_bytes(content)

    with pytest.raises(Refused, match=r"AUTHSVC_LETTERS"), service(tmp_path, None, letters=str(own)):
        pass


def test_twilio_is_asked_as_documented(tmp_path: Path) -> None:
    """POST to the Messages resource with Basic auth and a form of To, From and Body; nothing else goes there."""
    with sms_gateway() as gateway, service(tmp_path, gateway) as app:
        ask(app)
        app.deliveries.run_once()
        sent = row(app)
    (asked,) = gateway.asked

    assert (asked.method, asked.path) == ("POST", MESSAGES)
    assert asked.header("Authorization") == "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    assert asked.header("Content-Type") == "application/x-www-form-urlencoded"
    assert asked.header("Host") == f"127.0.0.1:{gateway.port}"
    assert set(asked.form()) == {"To", "From", "Body"}
    assert (asked.form()["To"], asked.form()["From"]) == (NUMBER, FROM)
    assert asked.form()["Body"].endswith(f"@auth.example.com #{code_in(asked.form()['Body'])}")
    assert (sent.outcome, sent.attempts, sent.last_error) == ("sent", 1, None)


@pytest.mark.parametrize(
    ("sender", "field"),
    [
        ("MG0123456789abcdef0123456789abcdef", "MessagingServiceSid"),
        ("+14155550100", "From"),
        ("Acme", "From"),
        ("MGM Resorts", "From"),
        ("12345", "From"),
    ],
)
def test_a_messaging_service_is_named_as_one(sender: str, field: str) -> None:
    """Only its SID is; a number, a short code or a name, whatever it begins with, is `From`."""
    with sms_gateway() as gateway:
        target = f"http://127.0.0.1:{gateway.port}{MESSAGES}"
        sms.Twilio(target, SID, TOKEN, FakeWorld()).send(sms.Text("dlv_1", sender, NUMBER, "x", 0))
    assert gateway.asked[0].form() == {"To": NUMBER, field: sender, "Body": "x"}


@pytest.mark.parametrize(
    "template",
    ['{"to": "{to}", "n": [{"from": "{from}", "text": "{text}"}]}', "recipient={to}&text={text}&from={from}&fixed=1"],
    ids=["json", "form"],
)
def test_a_gateway_gets_hostile_text_as_text(tmp_path: Path, template: str) -> None:
    """Quotes, braces, separators and placeholders within values arrive as they are, and change nothing of the body."""
    with sms_gateway() as gateway, service(tmp_path, gateway, sms=gateway.url("/v1/send?route=otp"), sms_body=template) as app:
        sms.sms_sender(app.core.settings, app.core.world).send(sms.Text("dlv_1", HOSTILE[::-1], NUMBER, HOSTILE, 0))
    (asked,) = gateway.asked

    assert asked.path == "/v1/send?route=otp"
    if template.startswith("{"):
        assert asked.json() == {"to": NUMBER, "n": [{"from": HOSTILE[::-1], "text": HOSTILE}]}
        assert asked.header("Content-Type") == "application/json"
    else:
        assert asked.form() == {"recipient": NUMBER, "text": HOSTILE, "from": HOSTILE[::-1], "fixed": "1"}
        assert asked.header("Content-Type") == "application/x-www-form-urlencoded"
        assert asked.body.isascii()


def test_a_gateway_gets_the_headers_of_the_settings(tmp_path: Path) -> None:
    """Beside ours; credentials in the URL become Basic auth and are not in the path."""
    headers = json.dumps({"X-Route": "otp", "X-Tenant": "a b"})
    with sms_gateway() as gateway, service(tmp_path, gateway, sms=gateway.url(user="me:p%40ss"), sms_headers=headers) as app:
        ask(app)
        app.deliveries.run_once()
        assert row(app).outcome == "sent"
    (asked,) = gateway.asked

    assert (asked.header("X-Route"), asked.header("X-Tenant")) == ("otp", "a b")
    assert asked.header("Authorization") == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert (asked.path, set(asked.json())) == ("/send", {"to", "from", "text"})


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
def test_an_own_header_takes_the_place_of_ours(tmp_path: Path, name: str) -> None:
    """Names of headers have no case: none is there twice."""
    headers = json.dumps({name: "application/vnd.example+json"})
    with sms_gateway() as gateway, service(tmp_path, gateway, sms=gateway.url(), sms_headers=headers) as app:
        ask(app)
        app.deliveries.run_once()
    assert gateway.asked[0].header_list("Content-Type") == ["application/vnd.example+json"]


@pytest.mark.parametrize(
    "behaviour",
    [
        fails(500),
        fails(502),
        fails(503),
        fails(504),
        fails(408),
        fails(425),
        too_many(1),
        CLOSES_AT_ONCE,
        CLOSES_IN_STATUS,
        CLOSES_IN_BODY,
    ],
    ids=["500", "502", "503", "504", "408", "425", "429", "at once", "in status", "in body"],
)
def test_what_may_pass_is_tried_again(tmp_path: Path, behaviour: Behaviour) -> None:
    """The same code goes out a little later, and nobody is told that it failed."""
    with sms_gateway(behaviour, ok) as gateway, service(tmp_path, gateway) as app:
        ask(app)
        assert app.deliveries.run_once() == 1
        waiting = row(app)
        assert app.deliveries.run_once() == 0
        app.core.world.advance(60)
        assert app.deliveries.run_once() == 1
        sent, seen = row(app), actions(app)
    first, second = gateway.asked

    assert (waiting.outcome, waiting.lease_id, bool(waiting.last_error)) == (None, None, True)
    assert waiting.due_at > waiting.created_at
    assert (sent.outcome, sent.attempts) == ("sent", 2)
    assert first.form() == second.form()
    assert "delivery.failed" not in seen


@pytest.mark.parametrize(
    "behaviour",
    [INVALID_NUMBER, UNAUTHENTICATED, refuses(403, 20003, "Forbidden"), fails(404), fails(405), fails(413), fails(422)],
    ids=["400", "401", "403", "404", "405", "413", "422"],
)
def test_a_refusal_is_final(tmp_path: Path, behaviour: Behaviour) -> None:
    """It is given up at the first answer and recorded once, with what the gateway said; nothing is sent again."""
    with sms_gateway(behaviour) as gateway, service(tmp_path, gateway) as app:
        ask(app)
        app.deliveries.run_once()
        app.core.world.advance(120)
        app.deliveries.run_once()
        given_up, failed = row(app), [event for event in event_rows(app) if event["action"] == "delivery.failed"]

    assert len(gateway.asked) == 1
    assert (given_up.outcome, given_up.attempts) == ("dead", 1)
    assert [(event["outcome"], json.loads(event["data"])["delivery_id"]) for event in failed] == [("failure", given_up.id)]
    assert re.match(r"4\d\d ", given_up.last_error or "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(tmp_path: Path, status: int) -> None:
    """Neither the code nor the token goes where an answer points."""
    with sms_gateway() as elsewhere, sms_gateway(redirects(elsewhere.url("/take"), status)) as gateway, service(tmp_path, gateway) as app:
        ask(app)
        app.deliveries.run_once()
        assert row(app).outcome == "dead"
        assert (len(gateway.asked), elsewhere.asked) == (1, [])


def test_a_gateway_that_hangs_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its timeout; the message is tried again."""
    monkeypatch.setattr(sms, "TIMEOUT_SECONDS", 0.2)
    with sms_gateway(hangs, ok) as gateway, service(tmp_path, gateway) as app:
        ask(app)
        app.deliveries.run_once()
        assert (row(app).outcome, row(app).lease_id, bool(row(app).last_error)) == (None, None, True)
        app.core.world.advance(60)
        app.deliveries.run_once()
        assert row(app).outcome == "sent"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
        b"HTTP/1.1 500 Broken\r\nContent-Length: 40\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
    ],
    ids=["body", "body of an error", "header"],
)
def test_a_gateway_that_trickles_is_cut_off(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """F11: the timeout is for the whole exchange: a byte now and then does not hold the worker beyond its lease."""
    monkeypatch.setattr(sms, "TIMEOUT_SECONDS", 0.3)
    with sms_gateway(trickles(head, 40, 0.05)) as gateway:
        twilio = sms.Twilio(f"http://127.0.0.1:{gateway.port}{MESSAGES}", SID, TOKEN, FakeWorld())
        with suppress(Temporary):
            twilio.send(sms.Text("dlv_1", FROM, NUMBER, "x", 0))
        seen = gateway.poured
    assert seen < 40


def test_an_endless_answer_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A bounded part of it is; the SMS was taken."""
    with sms_gateway(endless) as gateway, service(tmp_path, gateway) as app:
        ask(app)
        app.deliveries.run_once()
        assert row(app).outcome == "sent"
    assert gateway.poured < 100_000_000


def test_nobody_there_is_tried_again(tmp_path: Path) -> None:
    """A refused connection is put off."""
    with sms_gateway() as gateway:
        pass
    with service(tmp_path, gateway) as app:
        ask(app)
        app.deliveries.run_once()
        assert (row(app).outcome, "ConnectionRefusedError" in str(row(app).last_error)) == (None, True)


@pytest.mark.parametrize("behaviour", [UNAUTHENTICATED, fails(500), CLOSES_IN_STATUS, INVALID_NUMBER, redirects("http://127.0.0.1:1/")])
def test_the_token_is_told_nobody(tmp_path: Path, behaviour: Behaviour) -> None:
    """Not in the outbox, the log or the events, in no spelling."""
    with sms_gateway(behaviour) as gateway, service(tmp_path, gateway) as app:
        ask(app)
        app.deliveries.run_once()
        told = kept(app)
    encoded = (gateway.asked[0].header("Authorization") or "").removeprefix("Basic ")

    assert [secret for secret in (TOKEN, encoded) if secret in told] == []


@pytest.mark.parametrize("of_headers", [False, True], ids=["body", "headers"])
@pytest.mark.parametrize("status", [400, 500])
def test_an_answer_that_repeats_the_request_is_not_kept(tmp_path: Path, status: int, of_headers: bool) -> None:
    """A gateway that echoes puts neither the code (which still counts), the number nor a credential into errors, log or events."""
    headers = json.dumps({"A-Key": "k3y-of-the-gateway"})
    body = "to={to}&text={text}&from={from}"
    with (
        sms_gateway(echoes(status, of_headers=of_headers)) as gateway,
        service(tmp_path, gateway, sms=gateway.url(user="me:p4ssword"), sms_headers=headers, sms_body=body) as app,
    ):
        ask(app)
        app.deliveries.run_once()
        error, events = str(row(app).last_error), str([event["data"] for event in event_rows(app)])
        log = [line for line in app.core.world.lines if line.startswith("delivery:")]
        code = code_in(gateway.asked[0].form()["text"])

    told = f"{error} {events} {log}"
    encoded = (gateway.asked[0].header("Authorization") or "").removeprefix("Basic ")
    assert error.startswith(str(status))
    assert [secret for secret in (code, encoded, "k3y-of-the-gateway") if secret in told] == []
    assert NUMBER.removeprefix("+") not in events


def test_a_used_code_is_not_sent(tmp_path: Path) -> None:
    """Nobody needs it any more: nothing goes out, nothing failed."""
    with sms_gateway(fails(500), ok) as gateway, service(tmp_path, gateway) as app:
        sent = ask(app)
        app.deliveries.run_once()
        code = code_in(gateway.asked[0].form()["Body"])
        assert Client(app).post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": code}).status == 200
        app.core.world.advance(60)
        app.deliveries.run_once()
        assert (row(app).outcome, len(gateway.asked), "delivery.failed" in actions(app)) == ("needless", 1, False)


def test_a_code_that_ran_out_is_not_sent(tmp_path: Path) -> None:
    """What waited for five minutes is of no use."""
    with sms_gateway() as gateway, service(tmp_path, gateway) as app:
        ask(app)
        app.core.world.advance(300)
        app.deliveries.run_once()
        assert (row(app).outcome, gateway.asked) == ("needless", [])


def test_who_is_not_to_get_an_account_gets_no_sms(tmp_path: Path) -> None:
    """The answer and the row are alike, and nothing goes out to a stranger's number."""
    with sms_gateway() as gateway, service(tmp_path, gateway) as app:
        ask(app, options={"createUser": False})
        app.deliveries.run_once()
        assert (row(app).outcome, gateway.asked) == ("needless", [])


def test_sms_that_was_switched_off_is_given_up(tmp_path: Path) -> None:
    """What still lies in the outbox does not wait for ever."""
    with service(tmp_path, None) as app:
        ask(app)
    with service(tmp_path, None, sms="off") as app:
        app.deliveries.run_once()
        assert (row(app).outcome, actions(app).count("delivery.failed")) == ("dead", 1)


def test_a_folder_gets_one_file_an_sms(tmp_path: Path) -> None:
    """Whole, readable by its owner only, with exactly to, from, body and at."""
    with service(tmp_path, None, sms=f"file:{tmp_path / 'out'}") as app:
        ask(app)
        ask(app, "+4915123456780")
        app.deliveries.run_once()
        sent = rows(app)
    files = sorted((tmp_path / "out").iterdir())

    assert [file.name for file in files] == [f"{message.id}.json" for message in sent]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    for file, message in zip(files, sent, strict=True):
        content = json.loads(file.read_text("utf-8"))
        assert set(content) == {"to", "from", "body", "at"}
        assert (content["to"], content["from"], content["at"]) == (message.target, FROM, message.created_at)
        assert code_in(content["body"])


def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """A file in its place is put right by the operator; no half-written file is left."""
    (tmp_path / "out").write_text("in the way")
    with service(tmp_path, None, sms=f"file:{tmp_path / 'out'}") as app:
        ask(app)
        app.deliveries.run_once()
        assert row(app).outcome is None
        (tmp_path / "out").unlink()
        app.core.world.advance(60)
        app.deliveries.run_once()
        assert row(app).outcome == "sent"
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_one_bad_number_holds_up_nobody(tmp_path: Path) -> None:
    """Of a batch each message ends by itself."""
    with sms_gateway(ok, INVALID_NUMBER, fails(500), ok) as gateway, service(tmp_path, gateway) as app:
        for last in range(4):
            ask(app, f"+491512345678{last}")
        assert app.deliveries.run_once() == 4
        assert [message.outcome for message in rows(app)] == ["sent", "dead", None, "sent"]


def test_a_sender_that_is_off_refuses() -> None:
    """It says so, and is not asked again."""
    with pytest.raises(Permanent, match="off"):
        sms.Nowhere().send(sms.Text("dlv_1", FROM, NUMBER, "x", 0))
