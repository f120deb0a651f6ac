"""Promises of config/sms.py: where SMS goes is parsed wholly at the start, and no secret is in what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.config import sources
from authsvc.config.sms import SmsTarget, parse_body, parse_countries, parse_headers, parse_sms
from authsvc.problems import Refused

SID = "AC0123456789abcdef0123456789abcdef"
SECRET = "hunter2-of-the-gateway"
GOOD_TARGETS = {
    "off": SmsTarget("off"),
    " off ": SmsTarget("off"),
    "console:": SmsTarget("console"),
    "file:sms": SmsTarget("file", folder="sms"),
    "file:///var/sms": SmsTarget("file", folder="/var/sms"),
    f"twilio://{SID}:tok@api.twilio.com": SmsTarget(
        "twilio", f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json", SID, "tok"
    ),
    f"twilio://{SID}:t%40k%3A%2F@api.dublin.ie1.twilio.com": SmsTarget(
        "twilio", f"https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/{SID}/Messages.json", SID, "t@k:/"
    ),
    f"twilio://{SID}:tok@127.0.0.1:8080": SmsTarget("twilio", f"http://127.0.0.1:8080/2010-04-01/Accounts/{SID}/Messages.json", SID, "tok"),
    "https://sms.example.com/v1/send": SmsTarget("gateway", "https://sms.example.com/v1/send"),
    "https://sms.example.com:8443/send?route=otp&x=1": SmsTarget("gateway", "https://sms.example.com:8443/send?route=otp&x=1"),
    "https://me:p%40ss@sms.example.com/": SmsTarget("gateway", "https://sms.example.com/", "me", "p@ss"),
    "http://localhost:9000/send": SmsTarget("gateway", "http://localhost:9000/send"),
    "http://[::1]:9000/send": SmsTarget("gateway", "http://[::1]:9000/send"),
}
BAD_TARGETS = [
    "",
    "on",
    "console:x",
    "file:",
    "file://",
    "file:a\0b",
    "smtp://localhost",
    "twilio:",
    "twilio://api.twilio.com",
    f"twilio://{SID}@api.twilio.com",
    f"twilio://{SID}:@api.twilio.com",
    "twilio://:tok@api.twilio.com",
    "twilio://../x:tok@api.twilio.com",
    "twilio://A%2FC:tok@api.twilio.com",
    f"twilio://{SID}:tok@",
    "https://",
    "https:///send",
    "https://sms.example.com:port/",
    "https://sms.example.com:99999/",
    "https://sms.example.com/#part",
    "https://sms.example.com/a b",
    "https://sms.example.com/a\nb",
    "https://sms.example.com\\@evil.example/",
    "https://[::1/send",
    "http://sms.example.com/send",
    "http://10.0.0.1/send",
    "http://localhost.example.com/send",
]


@pytest.mark.parametrize("text", GOOD_TARGETS, ids=range(len(GOOD_TARGETS)))
def test_a_way_out_is_understood(text: str) -> None:
    """Each documented form, credentials decoded and taken out of the URL that is posted to."""
    assert parse_sms(text) == GOOD_TARGETS[text]


@pytest.mark.parametrize("text", BAD_TARGETS, ids=range(len(BAD_TARGETS)))
def test_what_is_no_way_out_is_refused(text: str) -> None:
    """With what would have been right; plain http leaves this machine in no case."""
    with pytest.raises(ValueError, match="twilio://SID:TOKEN@api"):
        parse_sms(text)


@pytest.mark.parametrize("text", ["https://sms.example.com/\x7f?key=1", "https://sms.example.com/\x01", "https://sms.example.com/ü"])
def test_a_url_that_cannot_be_asked_for_is_refused_at_the_start(text: str) -> None:
    """What no request line can hold would otherwise fail at every SMS, and be told in its error."""
    with pytest.raises(ValueError, match="use"):
        parse_sms(text)


@pytest.mark.parametrize(
    ("text", "countries"),
    [("", ()), ("+1", ("+1",)), ("+1, +49 ,", ("+1", "+49")), ("+49151", ("+49151",)), ("+1234567", ("+1234567",))],
)
def test_countries_are_calling_codes(text: str, countries: tuple[str, ...]) -> None:
    """Separated by commas; none is none."""
    assert parse_countries(text) == countries


@pytest.mark.parametrize("text", ["49", "+", "+0", "+49 +1", "DE", "*", "+12345678", "+4x", "+\u0664\u0669", "+49;+1", "-49"])
def test_what_is_no_calling_code_is_refused(text: str) -> None:
    """A mistyped list must not open a country."""
    with pytest.raises(ValueError, match="calling codes"):
        parse_countries(text)


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("", ()),
        ("  ", ()),
        ("{}", ()),
        ('{"X-Key": "a b"}', (("X-Key", "a b"),)),
        ('{"Authorization": "Bearer t", "X-2": ""}', (("Authorization", "Bearer t"), ("X-2", ""))),
    ],
)
def test_headers_are_a_json_object(text: str, headers: tuple[tuple[str, str], ...]) -> None:
    """Names and texts."""
    assert parse_headers(text) == headers


@pytest.mark.parametrize(
    "text",
    [
        "X-Key: a",
        "[]",
        "null",
        '"x"',
        "{",
        '{"X": 1}',
        '{"X": null}',
        '{"X": ["a"]}',
        '{"": "a"}',
        '{"X Y": "a"}',
        '{"X:": "a"}',
        '{"X\\r\\nY": "a"}',
        '{"X": "a\\r\\nY: b"}',
        '{"X": "a\\u0000"}',
        '{"Ü": "a"}',
    ],
)
def test_what_is_no_header_is_refused(text: str) -> None:
    """No line break gets into a request, by name or value."""
    with pytest.raises(ValueError, match="one JSON object"):
        parse_headers(text)


@pytest.mark.parametrize("value", ["Bearer …", "ключ"])
def test_a_header_that_cannot_be_sent_is_refused_at_the_start(value: str) -> None:
    """Beyond Latin-1 no header can be sent: every SMS would fail."""
    with pytest.raises(ValueError, match="JSON"):
        parse_headers(f'{{"Authorization": "{value}"}}')


@pytest.mark.parametrize(
    "text",
    [
        '{"to": "{to}", "from": "{from}", "text": "{text}"}',
        '{"messages": [{"destinations": ["{to}"], "content": {"body": "{text}"}}]}',
        "to={to}&text={text}",
        "text={text}&from={from}&to={to}&key=1",
    ],
)
def test_a_body_names_what_it_carries(text: str) -> None:
    """JSON, however deep, or a form."""
    assert parse_body(f" {text}\n") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "to={to}",
        "text={text}",
        '{"to": "{to}"}',
        '{"to": {to}, "text": "{text}"}',
        '{"to": "{to}", "text": "{text}"',
        "to={to}&text={text}&code={code}",
        "to={to}&text={text}&x={secret}",
        "to={ to }&text={ text }",
    ],
)
def test_a_body_that_cannot_carry_an_sms_is_refused(text: str) -> None:
    """Without the number or the text, with an unknown placeholder, or as JSON that is none."""
    with pytest.raises(ValueError, match="to"):
        parse_body(text)


def test_a_json_array_is_not_taken_for_a_form() -> None:
    """`[…]` would be posted as a form whose values are percent-encoded inside JSON: it is refused."""
    with pytest.raises(ValueError, match="JSON"):
        parse_body('[{"to": "{to}", "text": "{text}"}]')


@pytest.mark.parametrize(
    "settings",
    [
        {"sms": f"twilio://bad sid:{SECRET}@api.twilio.com"},
        {"sms": f"http://me:{SECRET}@sms.example.com/send"},
        {"sms": f"https://sms.example.com:x/?key={SECRET}"},
        {"sms_headers": f'{{"Authorization": "{SECRET}\\n"}}'},
        {"sms_headers": f"Authorization: {SECRET}"},
    ],
    ids=range(5),
)
def test_a_refusal_does_not_tell_the_secret(tmp_path: Path, settings: dict[str, str]) -> None:
    """The setting is named, its value is not."""
    with pytest.raises(Refused) as refused:
        sources.from_dict({"database": str(tmp_path / "x.db"), **settings})
    assert f"AUTHSVC_{next(iter(settings)).upper()}" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_settings_are_shown_without_their_secrets() -> None:
    """Neither `repr` nor `authsvc config` has the token or a header."""
    settings = sources.from_dict(
        {"sms": f"https://me:{SECRET}@sms.example.com/send?key={SECRET}", "sms_headers": f'{{"Authorization": "{SECRET}"}}'}
    )

    assert SECRET not in repr(settings)
    assert SECRET not in repr(parse_sms(f"https://me:{SECRET}@sms.example.com/"))
    assert SECRET not in str(list(sources.show(settings)))
    assert settings.sms.password == SECRET


def test_twilio_without_a_sender_is_refused_at_start() -> None:
    """It would be found by whoever waits for a code; with one, or with another gateway, there is nothing to say."""
    twilio = {"sms": "twilio://AC1:token@api.twilio.com"}
    with pytest.raises(Refused, match="AUTHSVC_SMS_FROM: Twilio needs a sender"):
        sources.from_dict(twilio)
    assert sources.from_dict(twilio | {"sms_from": "+15005550006"}).sms_from == "+15005550006"
    assert sources.from_dict({"sms": "console:"}).sms_from == ""
