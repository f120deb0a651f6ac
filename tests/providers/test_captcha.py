"""CAPTCHA vendors over a real connection: what each answer means, what is sent, and that nothing else lets anybody in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from authsvc.config import sources
from authsvc.http.slots import Slots
from authsvc.primitives.captcha import Wrong
from authsvc.problems import Problem
from authsvc.providers import captcha
from authsvc.providers.captcha import Down, Inquiry, inquiry
from authsvc.providers.captcha_vendors import VENDORS
from tests.captchas import SECRET, SITE_KEY, TOKEN, good, refused, says, vendor
from tests.smsgateway import (
    CLOSES_AT_ONCE,
    CLOSES_IN_BODY,
    CLOSES_IN_STATUS,
    Behaviour,
    SmsGateway,
    closes,
    endless,
    hangs,
    redirects,
    sms_gateway,
)
from tests.support import FakeWorld

NAMES = sorted(VENDORS)
# Of each vendor's own documentation.
OURS = {
    "turnstile": {"missing-input-secret", "invalid-input-secret", "bad-request"},
    "recaptcha": {"missing-input-secret", "invalid-input-secret", "bad-request"},
    "recaptcha_v3": {"missing-input-secret", "invalid-input-secret", "bad-request"},
    "hcaptcha": {
        "missing-input-secret",
        "invalid-input-secret",
        "sitekey-secret-mismatch",
        "bad-request",
        "missing-remoteip",
        "invalid-remoteip",
        "not-using-dummy-passcode",
        "not-using-dummy-secret",
    },
}
THEIRS = {
    "turnstile": {"missing-input-response", "invalid-input-response", "timeout-or-duplicate"},
    "recaptcha": {"missing-input-response", "invalid-input-response", "timeout-or-duplicate", "browser-error"},
    "recaptcha_v3": {"missing-input-response", "invalid-input-response", "timeout-or-duplicate", "browser-error"},
    "hcaptcha": {
        "missing-input-response",
        "invalid-input-response",
        "expired-input-response",
        "already-seen-response",
        "invalid-or-already-seen-response",
    },
}


@pytest.fixture
def server() -> Iterator[SmsGateway]:
    with sms_gateway() as server:
        yield server


def asking(server: SmsGateway, name: str, *behaviours: Behaviour, **more: str) -> Inquiry:
    server.behaviours = list(behaviours or [good()])
    found = inquiry(sources.from_dict(vendor(name, server.url("/verify"), **more)), FakeWorld(), Slots(threads=8))
    assert found is not None
    return found


def wrong(asked: Inquiry, token: str = TOKEN, action: str = "register") -> str:
    with pytest.raises(Wrong) as raised:
        asked.ask(token, action)
    return str(raised.value)


def down(asked: Inquiry) -> Down:
    with pytest.raises(Down) as raised:
        asked.ask(TOKEN, "register")
    assert TOKEN not in str(raised.value)
    assert SECRET not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("name", NAMES)
def test_a_good_token_passes_and_what_is_sent_is_what_the_vendor_wants(server: SmsGateway, name: str) -> None:
    """A form with secret and token, to hCaptcha the site key too; nobody's address."""
    asking(server, name).ask(TOKEN, "register")
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/verify")
    assert asked.header("Content-Type") == "application/x-www-form-urlencoded"
    assert asked.form() == {"secret": SECRET, "response": TOKEN} | ({"sitekey": SITE_KEY} if name == "hcaptcha" else {})


@pytest.mark.parametrize("name", NAMES)
def test_every_code_of_the_vendor_is_sorted(server: SmsGateway, name: str) -> None:
    """What we do wrong, or the vendor, is nobody's failure and told loudly; everything else is the token's fault."""
    assert VENDORS[name].our_fault == OURS[name]
    for code in sorted(OURS[name]):
        fault = down(asking(server, name, refused(code)))
        assert "IT REFUSES US" in str(fault)
        assert code in str(fault)
        assert fault.provoked is (code == "bad-request")
        assert down(asking(server, name, refused("invalid-input-response", code))).provoked is (code == "bad-request")
    for code in sorted(THEIRS[name] | {"a-code-of-tomorrow"}):
        assert wrong(asking(server, name, refused(code))) == "refused"
    assert wrong(asking(server, name, refused())) == "refused"
    assert wrong(asking(server, name, says(success=False))) == "refused"
    if name == "turnstile":
        assert not down(asking(server, name, refused("internal-error"))).provoked


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("host", ["evil.example", "", None, 1, ["127.0.0.1"], "127.0.0.1.evil.example", "app.example.com."])
def test_a_token_of_another_site_is_refused(server: SmsGateway, name: str, host: Any) -> None:
    """Success is not enough: it may be another's site key, or a page that somebody else made."""
    assert wrong(asking(server, name, good(hostname=host), app_origins="https://app.example.com")) == "hostname"


@pytest.mark.parametrize("name", NAMES)
def test_a_token_of_an_app_passes(server: SmsGateway, name: str) -> None:
    """The hosts of AUTHSVC_APP_ORIGINS are ours, whatever their port."""
    asking(server, name, good(hostname="app.example.com"), app_origins="https://app.example.com:8443").ask(TOKEN, "register")


@pytest.mark.parametrize("name", ["turnstile", "recaptcha_v3"])
@pytest.mark.parametrize("action", ["login", "", None, "Register", ["register"]])
def test_a_token_of_another_action_is_refused(server: SmsGateway, name: str, action: Any) -> None:
    """Where the vendor tells it."""
    assert wrong(asking(server, name, good(action=action))) == "action"


@pytest.mark.parametrize("name", ["hcaptcha", "recaptcha"])
def test_where_the_vendor_tells_no_action_none_is_asked_for(server: SmsGateway, name: str) -> None:
    """A checkbox knows nothing of it."""
    asking(server, name, says(success=True, hostname="127.0.0.1")).ask(TOKEN, "login")


@pytest.mark.parametrize("score", [0.1, 0.49, 0, -1, 1.1, 10**400, None, "0.9", True, [0.9]])
def test_a_low_score_is_refused(server: SmsGateway, score: Any) -> None:
    """reCAPTCHA v3 says success for anybody; a score that is none is low."""
    assert wrong(asking(server, "recaptcha_v3", good(score=score))) == "score"


def test_the_least_score_is_set(server: SmsGateway) -> None:
    """Half by default; a score that is met passes."""
    asking(server, "recaptcha_v3", good(score=0.5)).ask(TOKEN, "register")
    asking(server, "recaptcha_v3", good(score=1)).ask(TOKEN, "register")
    asking(server, "recaptcha_v3", good(score=0.1), captcha_score="0.1").ask(TOKEN, "register")
    assert wrong(asking(server, "recaptcha_v3", good(score=0.69), captcha_score="0.7")) == "score"


BROKEN: dict[str, Behaviour] = {
    "500": says(500, success=True),
    "500 and no": says(500, success=False, **{"error-codes": ["invalid-input-response"]}),
    "503": lambda handler, _: handler.say_text(503, "away"),
    "html": lambda handler, _: handler.say_text(200, "<html>success: true</html>"),
    "a list": lambda handler, _: handler.say(200, [True]),
    "true": lambda handler, _: handler.say(200, body=True),
    "no success": says(hostname="127.0.0.1"),
    "success 1": good(success=1),
    "success as text": good(success="true"),
    "deep": lambda handler, _: handler.say_text(200, "[" * 50_000),
    "closes at once": CLOSES_AT_ONCE,
    "closes in the status": CLOSES_IN_STATUS,
    "closes in the body": CLOSES_IN_BODY,
    "no HTTP": closes(b"hello\r\n\r\n"),
    "endless": endless,
    "redirect": redirects("http://127.0.0.1:1/verify"),
    "huge": lambda handler, _: handler.say(200, {"success": True, "hostname": "127.0.0.1", "action": "register", "x": "y" * 70_000}),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_answer_is_no_answer(server: SmsGateway, name: str, how: str) -> None:
    """Whatever is not the documented answer counts as a vendor that is down; nobody is blamed, and nobody passes."""
    assert not down(asking(server, name, BROKEN[how])).provoked
    assert len(server.asked) == 1


@pytest.mark.parametrize("behaviour", [says(400, success=True), says(403, x=1), lambda handler, _: handler.say_text(413, "too large")])
def test_a_refusal_by_its_status_may_be_the_senders_doing(server: SmsGateway, behaviour: Behaviour) -> None:
    """So it never opens the door, whatever the setting says of a vendor that is down."""
    assert down(asking(server, "turnstile", behaviour)).provoked


def test_a_refusal_with_status_400_still_tells_why(server: SmsGateway) -> None:
    """Some answer so for a bad token."""
    assert wrong(asking(server, "turnstile", says(400, **{"success": False, "error-codes": ["invalid-input-response"]}))) == "refused"
    assert "invalid-input-secret" in str(
        down(asking(server, "turnstile", says(400, **{"success": False, "error-codes": ["invalid-input-secret"]})))
    )


def test_a_vendor_that_says_nothing_is_given_up(server: SmsGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five seconds; here sooner."""
    assert captcha.SECONDS == 5.0
    monkeypatch.setattr(captcha, "SECONDS", 0.2)
    assert "too late" in str(down(asking(server, "hcaptcha", hangs)))


def test_a_vendor_that_is_not_there_is_down(server: SmsGateway) -> None:
    """Nobody listens."""
    gone = asking(server, "turnstile")
    server.stop()
    assert "refused" in str(down(gone)).lower()


@pytest.mark.parametrize("token", ["a b", "a\nb", "é", "a\0", "x" * 8_193, "\ud800"])
def test_what_can_be_no_token_is_asked_of_nobody(server: SmsGateway, token: str) -> None:
    """It could only make the vendor complain about us."""
    for name in NAMES:
        assert wrong(asking(server, name), token) == "malformed"
    assert wrong(asking(server, "turnstile"), "x" * 2_049) == "malformed"
    assert server.asked == []


@pytest.mark.parametrize("codes", [[None], "invalid-input-response", [TOKEN], [["x"]], {"a": 1}, [SECRET + "\n"]])
def test_strange_codes_are_not_repeated(server: SmsGateway, codes: Any) -> None:
    """The log shows words that look like codes, and nothing that may be a token."""
    assert wrong(asking(server, "turnstile", says(**{"success": False, "error-codes": codes}))) == "refused"
    behaviour = says(**{"success": None, "error-codes": codes})
    assert "without an error code" in str(down(asking(server, "turnstile", behaviour)))


def test_keys_for_tests_pass_on_a_workbench(server: SmsGateway) -> None:
    """Their answers tell of no host or action of ours; no production starts with them."""
    dummy = says(success=True, hostname="example.com", action="test", **{"error-codes": []})
    asking(server, "turnstile", dummy, captcha_secret="1x0000000000000000000000000000000AA").ask("XXXX.DUMMY.TOKEN.XXXX", "register")
    assert wrong(asking(server, "turnstile", dummy)) == "hostname"


def test_half_of_the_threads_wait_for_vendors_and_providers_together(server: SmsGateway) -> None:
    """A place that an OAuth provider holds is taken; then the answer is to come again, not that the vendor is down."""
    slots = Slots(threads=2)
    server.behaviours = [good()]
    found = inquiry(sources.from_dict(vendor("turnstile", server.url())), FakeWorld(), slots)
    assert found is not None
    with slots.taken("OAuth providers"), pytest.raises(Problem) as raised:
        found.ask(TOKEN, "register")
    assert raised.value.code == "busy"
    found.ask(TOKEN, "register")
    assert len(server.asked) == 1


def test_without_a_vendor_nobody_is_asked() -> None:
    """Off, and built in."""
    assert inquiry(sources.from_dict({}), FakeWorld(), Slots(threads=8)) is None
    assert inquiry(sources.from_dict({"captcha": "altcha"}), FakeWorld(), Slots(threads=8)) is None
