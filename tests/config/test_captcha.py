"""Promises of config/captcha.py: when and by whom a CAPTCHA is asked for is parsed at the start, and contradictions stop it."""

from __future__ import annotations

import pytest

from authsvc.config import sources
from authsvc.config.captcha import DEFAULT_ON, TEST_SECRETS, Demand, demands, score, site_key
from authsvc.problems import Refused

PRODUCTION = {"public_url": "https://auth.example.com", "mail": "console:"}
WHOLE = {"captcha": "turnstile", "captcha_secret": "s", "captcha_site_key": "k"}


def refusal(**values: str) -> str:
    with pytest.raises(Refused) as raised:
        sources.from_dict(values)
    return str(raised.value)


def test_by_default_signing_up_asks_always_and_the_rest_at_risk() -> None:
    """But only once a CAPTCHA is chosen: by default there is none."""
    settings = sources.from_dict({})
    assert settings.captcha == "off"
    assert ",".join(map(str, settings.captcha_on)) == DEFAULT_ON == "register:always,login:risk,forgot:risk,magic:risk,otp:risk"
    assert demands(" login:off , otp:always") == (Demand("login", "off"), Demand("otp", "always"))
    assert demands("") == ()


@pytest.mark.parametrize(
    "text", ["login", "login:", ":risk", "login:sometimes", "logout:risk", "login:risk,login:off", "login=risk", "LOGIN:risk"]
)
def test_a_demand_that_nobody_knows_stops_the_start(text: str) -> None:
    """With the words that would be right."""
    with pytest.raises(ValueError, match="use ACTION:WHEN"):
        demands(text)


@pytest.mark.parametrize("text", ["a b", 'a"', "a&b", "a/b", "é", "x" * 201, "a\nb"])
def test_a_site_key_cannot_break_out_of_an_address(text: str) -> None:
    """It stands in pages."""
    with pytest.raises(ValueError, match="site key"):
        site_key(text)


def test_a_score_is_a_number_from_0_to_1() -> None:
    """As it is written everywhere."""
    assert [score(text) for text in ("0", "0.5", "0.75", "1", "1.0", " 0.3 ")] == [0.0, 0.5, 0.75, 1.0, 1.0, 0.3]
    for text in ("", "-0.1", "1.1", "2", "nan", "inf", "1e-1", ".5", "0,5", "٠.٥"):
        with pytest.raises(ValueError, match="from 0 to 1"):
            score(text)


@pytest.mark.parametrize("vendor", ["turnstile", "hcaptcha", "recaptcha", "recaptcha_v3"])
def test_a_vendor_needs_its_secret_and_its_site_key(vendor: str) -> None:
    """Both are asked for at once; with both it starts."""
    told = refusal(captcha=vendor)
    assert "AUTHSVC_CAPTCHA_SECRET" in told
    assert "AUTHSVC_CAPTCHA_SITE_KEY" in told
    assert vendor in told
    assert sources.from_dict({**WHOLE, "captcha": vendor}).captcha == vendor


def test_the_built_in_one_needs_nothing() -> None:
    """It is derived from the secret key; in production too."""
    assert sources.from_dict({**PRODUCTION, "captcha": "altcha"}).captcha == "altcha"
    assert "AUTHSVC_CAPTCHA" in refusal(captcha="friendly")


@pytest.mark.parametrize("secret", sorted(TEST_SECRETS))
def test_a_secret_that_everybody_knows_is_refused_in_production(secret: str) -> None:
    """On a workbench it is what tests need."""
    assert sources.from_dict({**WHOLE, "captcha_secret": secret}).captcha_secret == secret
    told = refusal(**PRODUCTION, **{**WHOLE, "captcha_secret": secret})
    assert "AUTHSVC_CAPTCHA_SECRET: this is a secret for tests" in told
    assert secret not in told


def test_the_secret_is_shown_to_nobody() -> None:
    """Neither by `authsvc config` nor by printing the settings."""
    settings = sources.from_dict({**WHOLE, "captcha_secret": "hunter2-of-the-vendor"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(sources.show(settings))


@pytest.mark.parametrize("url", ["http://example.com/verify", "ftp://example.com", "example.com", "https://user@example.com/"])
def test_tokens_are_checked_over_https(url: str) -> None:
    """Or on this machine; the secret goes there."""
    assert "AUTHSVC_CAPTCHA_VERIFY_URL" in refusal(**WHOLE, captcha_verify_url=url)
    assert sources.from_dict({**WHOLE, "captcha_verify_url": "http://127.0.0.1:9/x"}).captcha_verify_url == "http://127.0.0.1:9/x"
