"""Promises of config/settings.py: each setting is declared once, its default is right, and the public URL decides the rest."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from authsvc.config import sources
from authsvc.config.limits import LIMITS
from authsvc.config.mail import MailTarget
from authsvc.config.parse import Address, Limit
from authsvc.config.settings import Settings, declared
from authsvc.problems import Refused

PRODUCTION = "https://auth.example.com"


def made(**values: Any) -> Settings:
    """Settings of these values; mail goes to the log, as production wants to be told."""
    return sources.from_dict({"mail": "console:"} | values)


def refusal(**values: Any) -> str:
    with pytest.raises(Refused) as caught:
        made(**values)
    return str(caught.value)


def no_mail(**values: Any) -> str:
    """What is refused about settings that do not say where mail goes; nothing if they are good."""
    try:
        sources.from_dict(values)
    except Refused as refused:
        return str(refused)
    return ""


def test_the_defaults_are_those_of_the_contract() -> None:
    """Section 6 of the contract, and the lifetimes beside it."""
    settings = sources.from_dict({})

    assert settings.database == "authsvc.db"
    assert (settings.secret_key, settings.secret_key_previous) == ("", ())
    assert (str(settings.public_url), settings.app_origins) == ("http://127.0.0.1:8000", ())
    assert (settings.listen, settings.threads, settings.trusted_proxies) == (Address("127.0.0.1", 8000), 8, ())
    assert (settings.issuer, settings.audience, settings.claims) == ("http://127.0.0.1:8000", "http://127.0.0.1:8000", ())
    days = 86_400
    assert (settings.access_seconds, settings.refresh_seconds, settings.session_seconds) == (900, 30 * days, 90 * days)
    assert settings.refresh_grace_seconds == 30
    assert (settings.password_min, settings.password_weak) == (8, "auto")
    assert (settings.hash_memory_kib, settings.hash_time, settings.hash_parallelism, settings.hash_budget_mib) == (19_456, 2, 1, 64)
    assert (settings.cookie_domain, settings.allow_http, settings.log) == ("", False, "text")
    assert (settings.name, settings.mail, str(settings.mail_from)) == ("authsvc", MailTarget("console"), "no-reply@[127.0.0.1]")
    assert (settings.letters, settings.pages, settings.delivery) == ("", "", "threads")
    assert (settings.enumeration, settings.email_verification) == ("reveal", "optional")
    assert (settings.hides_accounts, settings.verification_required) == (False, False)


def test_the_default_limits_are_those_of_the_attack_list() -> None:
    """Burst and refill of each named limit, and what it is keyed by."""
    assert {name: (limit, LIMITS[name].keyed_by) for name, limit in made().limits.items()} == {
        "login": (Limit(10, 300), "address+network"),
        "login_account": (Limit(30, 3_600), "account"),
        "login_network": (Limit(100, 300), "network"),
        "login_device": (Limit(10, 300), "device"),
        "login_all": (Limit(3_000, 3_600), "everyone"),
        "login_delay": (Limit(3, 300), "device, or address+network"),
        "login_alarm": (Limit(1, 86_400), "account"),
        "register": (Limit(10, 3_600), "network"),
        "register_all": (Limit(500, 3_600), "everyone"),
        "mail_address": (Limit(5, 3_600), "address"),
        "mail_network": (Limit(30, 3_600), "network"),
        "sms_pace": (Limit(1, 30), "number"),
        "sms_number": (Limit(5, 3_600), "number"),
        "sms_number_day": (Limit(10, 86_400), "number"),
        "sms_network": (Limit(10, 3_600), "network"),
        "sms_prefix": (Limit(100, 3_600), "number range"),
        "sms_day": (Limit(1_000, 86_400), "everyone"),
        "link": (Limit(20, 60), "network"),
        "oauth": (Limit(30, 60), "network"),
        "captcha": (Limit(60, 60), "network"),
        "factor": (Limit(30, 3_600), "session"),
        "reset_token": (Limit(20, 60), "network"),
        "code_account": (Limit(20, 86_400), "account"),
        "refresh": (Limit(60, 60), "session"),
        "read": (Limit(600, 60), "caller"),
        "admin": (Limit(600, 60), "caller"),
    }


def test_every_setting_is_declared_whole() -> None:
    """A lower-case name, a default that its own parser takes, and a meaning in one line."""
    for name, known in declared().items():
        assert name == known.name == name.lower()
        assert known.variable == "AUTHSVC_" + name.upper()
        known.parse(known.default)
        assert known.doc
        assert "\n" not in known.doc
        assert not known.name.endswith("_file"), "would be taken for the file of another"


def test_every_setting_that_holds_a_secret_is_marked_as_one() -> None:
    """What is named a secret, token or credential, and the mail server's URL with its password, is masked wherever it is shown.
    A limit is a number, whatever it counts."""
    telling = {
        name for name in declared() if any(word in name for word in ("secret", "token", "credential")) and not name.startswith("limit_")
    }

    assert telling == {"secret_key", "secret_key_previous", "captcha_secret"}
    assert {name for name, known in declared().items() if known.secret} == telling | {"mail", "sms", "sms_headers"}


def test_settings_do_not_change() -> None:
    """A running service's settings are what it started with."""
    with pytest.raises((FrozenInstanceError, TypeError)):
        made().threads = 9  # type: ignore[misc]


def test_issuer_and_audience_are_the_public_url_unless_they_are_set() -> None:
    """Both follow the public URL in its one spelling, each on its own."""
    settings = made(public_url="HTTPS://Example.com:443/auth/")
    assert (settings.issuer, settings.audience) == ("https://example.com/auth", "https://example.com/auth")

    settings = made(public_url="https://example.com/auth", audience="urn:them")
    assert (settings.issuer, settings.audience) == ("https://example.com/auth", "urn:them")

    settings = made(issuer="urn:us")
    assert (settings.issuer, settings.audience) == ("urn:us", "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("public_url", "workbench", "secure"),
    [
        ("http://127.0.0.1:8000", True, False),
        ("http://localhost:3000", True, False),
        ("http://[::1]", True, False),
        ("http://127.9.9.9/auth", True, False),
        ("https://localhost", False, True),
        ("https://127.0.0.1", False, True),
        ("https://auth.example.com", False, True),
        ("http://auth.example.com", False, False),
        ("http://10.0.0.1:8000", False, False),
        ("http://0.0.0.0:8000", False, False),
        ("http://localhost.example.com", False, False),
    ],
)
def test_the_public_url_alone_decides_between_workbench_and_production(public_url: str, workbench: bool, secure: bool) -> None:
    """A loopback http:// URL is a workbench, all else production; cookies are Secure exactly on https."""
    settings = made(public_url=public_url, allow_http=True, listen="0.0.0.0:80")

    assert (settings.workbench, settings.secure) == (workbench, secure)


@pytest.mark.parametrize("public_url", ["http://auth.example.com", "http://10.0.0.1:8000", "http://0.0.0.0", "http://[::]:8000"])
def test_production_is_https_unless_it_is_said_otherwise(public_url: str) -> None:
    """A plain http:// URL that is not loopback stops the start, unless AUTHSVC_ALLOW_HTTP says that the network is private."""
    assert "AUTHSVC_PUBLIC_URL: use https (or AUTHSVC_ALLOW_HTTP=yes" in refusal(public_url=public_url)
    assert not made(public_url=public_url, allow_http="yes").workbench
    assert made(public_url="http://localhost").workbench, "a workbench needs no permission"


@pytest.mark.parametrize("public_url", [PRODUCTION, "https://127.0.0.1", "https://localhost", "http://10.0.0.1:8000"])
@pytest.mark.parametrize("mail", ["console:", "file:mails", "smtp://mail.example.com"])
def test_production_says_where_mail_goes(public_url: str, mail: str) -> None:
    """Nobody finds out by a lost mail that letters went to the log: anywhere but on a workbench the setting must be given."""
    told = "AUTHSVC_MAIL: say where mail goes, such as smtp://user:password@mail.example.com:587"

    assert told in no_mail(public_url=public_url, allow_http="yes")
    assert made(public_url=public_url, allow_http="yes", mail=mail).mail.scheme == mail.partition(":")[0]


def test_a_workbench_writes_mail_to_its_log() -> None:
    """A newcomer needs no mail server; and a public URL that cannot be read says nothing about mail."""
    assert no_mail() == no_mail(public_url="http://localhost:3000") == ""
    assert "AUTHSVC_MAIL" not in no_mail(public_url="auth.example.com")


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("http://127.0.0.1:8000", "no-reply@[127.0.0.1]"),
        ("http://localhost", "no-reply@localhost"),
        ("https://auth.example.com/a", "no-reply@auth.example.com"),
        ("https://AUTH.Example.com:8443", "no-reply@auth.example.com"),
        ("https://xn--bcher-kva.example", "no-reply@xn--bcher-kva.example"),
    ],
)
def test_mail_is_from_the_public_host_unless_it_is_set(public_url: str, expected: str) -> None:
    """Like issuer and audience; an address literal in brackets (RFC 5321 section 4.1.3)."""
    assert str(made(public_url=public_url).mail_from) == expected
    assert str(made(public_url=public_url, mail_from="").mail_from) == expected
    assert str(made(public_url=public_url, mail_from="Us <us@example.org>").mail_from) == "Us <us@example.org>"


@pytest.mark.parametrize("public_url", ["http://[::1]:8000", "https://[2001:db8::1]"])
def test_mail_from_an_ipv6_host_is_from_its_address_literal(public_url: str) -> None:
    """RFC 5321 section 4.1.3: an IPv6 literal carries its tag, else servers refuse the sender."""
    host = public_url.partition("[")[2].partition("]")[0]

    assert str(made(public_url=public_url).mail_from) == f"no-reply@[IPv6:{host}]"


@pytest.mark.parametrize(
    ("enumeration", "email_verification", "hides", "required"),
    [
        ("reveal", "optional", False, False),
        ("reveal", "required", False, True),
        ("hide", "optional", True, True),
        ("hide", "required", True, True),
    ],
)
def test_hiding_accounts_needs_confirmed_addresses(enumeration: str, email_verification: str, hides: bool, required: bool) -> None:
    """Who could sign in right after registering would know that the address was free."""
    settings = made(enumeration=enumeration, email_verification=email_verification)

    assert (settings.hides_accounts, settings.verification_required) == (hides, required)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x00b", "a\u2028b", "a\x1b[31m", "x" * 61])
def test_the_name_of_the_service_is_one_line(name: str) -> None:
    """It stands in mail headers and on pages: 1 to 60 printable characters."""
    assert "AUTHSVC_NAME: use one line of at most 60 characters" in refusal(name=name)
    assert made(name=" Ärzte & Söhne ").name == "Ärzte & Söhne"
    assert made(name="x" * 60).name == "x" * 60


@pytest.mark.parametrize(
    ("password_weak", "public_url", "is_refused"),
    [
        ("auto", "http://127.0.0.1:8000", False),
        ("auto", PRODUCTION, True),
        ("warn", "http://127.0.0.1:8000", False),
        ("warn", PRODUCTION, False),
        ("refuse", "http://127.0.0.1:8000", True),
        ("refuse", PRODUCTION, True),
    ],
)
def test_weak_passwords_are_let_in_on_a_workbench_only(password_weak: str, public_url: str, is_refused: bool) -> None:
    """`auto` warns on a workbench and refuses elsewhere; the other two say what they do."""
    assert made(password_weak=password_weak, public_url=public_url).weak_passwords_refused is is_refused


@pytest.mark.parametrize(("memory", "budget", "is_refused"), [(1_024, 1, False), (1_025, 1, True), (65_536, 64, False), (65_537, 64, True)])
def test_one_hash_fits_the_budget(memory: int, budget: int, is_refused: bool) -> None:
    """A budget smaller than one hash could never be kept."""
    values = {"hash_memory_kib": memory, "hash_budget_mib": budget}

    if is_refused:
        assert "AUTHSVC_HASH_MEMORY_KIB: one hash needs more than AUTHSVC_HASH_BUDGET_MIB allows" in refusal(**values)
    else:
        assert made(**values).hash_memory_kib == memory


@pytest.mark.parametrize(
    ("memory", "lanes", "is_refused"), [(8, 1, False), (8, 2, True), (16, 2, False), (511, 64, True), (512, 64, False)]
)
def test_each_lane_of_a_hash_has_its_8_kib(memory: int, lanes: int, is_refused: bool) -> None:
    """RFC 9106 section 3.1: at least 8 KiB for each lane; less would fail at the first password, not at the start."""
    values = {"hash_memory_kib": memory, "hash_parallelism": lanes}

    if is_refused:
        assert "AUTHSVC_HASH_MEMORY_KIB: Argon2 needs 8 KiB for each lane" in refusal(**values)
    else:
        assert made(**values).hash_parallelism == lanes


@pytest.mark.parametrize("domain", ["", "auth.example.com", "example.com", "com"])
def test_a_cookie_domain_is_the_host_or_above_it(domain: str) -> None:
    """Browsers keep a cookie for the host itself and for the domains that it lies in."""
    assert made(public_url=PRODUCTION, cookie_domain=domain).cookie_domain == domain


@pytest.mark.parametrize(
    "domain",
    ["example.org", "ple.com", "th.example.com", "a.auth.example.com", ".example.com", "*.example.com", "auth.example.com; Secure"],
)
def test_a_cookie_domain_elsewhere_is_refused(domain: str) -> None:
    """A Domain that the host is not within would make browsers drop the cookie, and everybody would be signed out."""
    assert f"AUTHSVC_COOKIE_DOMAIN: auth.example.com is not within {domain}" in refusal(public_url=PRODUCTION, cookie_domain=domain)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("threads", 1, 256),
        ("access_seconds", 10, 86_400),
        ("refresh_seconds", 60, 31_536_000),
        ("session_seconds", 60, 315_360_000),
        ("refresh_grace_seconds", 0, 300),
        ("password_min", 1, 128),
        ("hash_time", 1, 100),
    ],
)
def test_numbers_have_bounds(name: str, least: int, most: int) -> None:
    """Both bounds can be set; one less and one more are refused by the setting's own name."""
    assert [getattr(made(**{name: value}), name) for value in (least, most)] == [least, most]
    for value in (least - 1, most + 1):
        assert f"AUTHSVC_{name.upper()}: use a whole number from {least} to {most}" in refusal(**{name: value})
