"""Promises of each preset in providers/presets.py, against whole answers as the vendors document them, over real sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

import authsvc
from authsvc.primitives import emails
from authsvc.problems import Problem, Refused
from authsvc.providers import assembly, calls, profile
from authsvc.providers.presets import OAUTH2, OPENID, PRESETS
from authsvc.providers.profile import Identity
from tests.providers.recorded import (
    APPLE,
    BASIC,
    BITBUCKET,
    CONSUMERS,
    DISCORD,
    FACEBOOK,
    GITHUB,
    GITLAB,
    GOOGLE,
    LINKEDIN,
    MICROSOFT,
    OID,
    SLACK,
    SPOTIFY,
    TID,
    TWITCH,
    VENDORS,
    Recorded,
    X,
)
from tests.providers.tokens import ACCESS_TOKEN, NOW, b64, by_rsa, ec_key, rsa_key
from tests.providers.vendors import ATTEMPT, CHALLENGE, CLIENT_ID, CODE, SECRET, Net, Said, Vendors, assembled, pairs

EVERY = pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
OIDC = {name: one for name, one in VENDORS.items() if one.claims is not None}
EVERY_OIDC = pytest.mark.parametrize("vendor", OIDC.values(), ids=OIDC)
BOMB = b"\x1f\x8b\x08\x00" + bytes(1_000)
NO_ANSWERS: dict[str, Said] = {
    "500 with JSON": Said({"access_token": ACCESS_TOKEN, "id": 1, "sub": "1"}, 500),
    "401": Said({"error": "invalid_token"}, 401),
    "HTML": Said(b"<!doctype html><title>Sign in</title>", headers=(("Content-Type", "text/html"),)),
    "a form": Said(f"access_token={ACCESS_TOKEN}&token_type=bearer".encode()),
    "nothing": Said(b""),
    "null": Said(b"null"),
    "a list": Said([]),
    "a text": Said("ok"),
    "a number": Said(1),
    "an empty object": Said({}),
    "half of an object": Said(b'{"access_token": "'),
    "deep": Said(b"[" * 100_000),
    "a number of 10000 digits": Said(b"9" * 10_000),
    "no UTF-8": Said(b'{"sub": "\xff"}'),
    "a redirect": Said({}, 302, (("Location", "https://evil.example/"),)),
    "a redirect that keeps the method": Said({}, 307, (("Location", "https://evil.example/"),)),
    "packed": Said(BOMB, headers=(("Content-Encoding", "gzip"),)),
    "too long": Said({"filler": "x" * 300_000}),
    "cut off": Said(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": 1}'),
    "no HTTP": Said(raw=b"SSH-2.0-OpenSSH_9.6\r\n"),
    "hung up": Said(raw=b""),
}
PARTS_OF_SUBJECT = {
    "microsoft": ("tid", "oid"),
    "slack": ("https://slack.com/team_id", "https://slack.com/user_id"),
    "bitbucket": ("uuid",),
    "x": ("data__id",),
    **dict.fromkeys(("google", "gitlab", "apple", "linkedin", "twitch"), ("sub",)),
    **dict.fromkeys(("github", "facebook", "discord", "spotify"), ("id",)),
}


def identify(vendor: Recorded, net: Net, /, **parts: str) -> Identity:
    """Who comes back, by these answers."""
    if not net.vendors.answers:
        vendor.answered_by(net.vendors)
    return assembled(net, vendor.name, **parts).identify(CODE, ATTEMPT)


def failing(vendor: Recorded, net: Net, /, **parts: str) -> str:
    """Why nobody comes back; it fails in the one way that is foreseen, and no secret is in the reason."""
    with pytest.raises(Problem) as raised:
        identify(vendor, net, **parts)
    assert raised.value.code == "oauth_exchange_failed"
    reason = str(raised.value.reason)
    assert reason.startswith(f"{vendor.name}: ")
    assert reason.isprintable()
    assert len(reason) < 1_200
    assert not [secret for secret in (SECRET, quote(SECRET), CODE, ATTEMPT.verifier, ACCESS_TOKEN, "eyJ") if secret in reason]
    return reason


def with_subject(vendor: Recorded, part: str, value: Any) -> Recorded:
    """The vendor's answer with this in one part of what names somebody."""
    both = {part: value}
    if vendor.claims is None:
        return vendor.with_userinfo(**both)
    named = vendor.with_claims(**both)
    return named.with_userinfo(**both) if vendor.userinfo else named


def test_every_preset_has_a_recorded_answer() -> None:
    """A new preset is one entry and one recorded-answer test."""
    assert VENDORS.keys() == PRESETS.keys() == PARTS_OF_SUBJECT.keys()


@EVERY
def test_the_recorded_answer_becomes_the_identity(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """Realm, subject, address, whether it is proved, name, picture, language: exactly these, by exactly these calls."""
    assert identify(vendor, net) == vendor.identity
    assert vendors.targets == [vendor.target(place) for place in vendor.places]
    assert net.secured == [asked.host for asked in vendors.asked]
    assert net.resolved == [(asked.host, 443) for asked in vendors.asked]
    assert net.lines == []


@EVERY
def test_without_keys_no_key_is_asked_for(vendor: Recorded, net: Net, vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra `crypto` the direct TLS exchange vouches for the token: the same identity, one call less."""
    monkeypatch.setattr(assembly, "has_crypto", lambda: False)

    assert identify(vendor, net) == vendor.identity
    assert vendors.targets == [vendor.target(place) for place in vendor.places if place != "jwks"]


@EVERY
def test_the_browser_is_sent_with_all_that_binds_the_attempt(vendor: Recorded, net: Net) -> None:
    """RFC 6749 section 4.1.1: state, redirect_uri, S256 where the vendor takes it, nonce where there is an id_token; and no
    secret, and nothing twice."""
    vendor.answered_by(net.vendors)
    url = assembled(net, vendor.name).authorize_url(ATTEMPT)
    parts = urlsplit(url)

    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == vendor.authorize
    assert pairs(parts.query) == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": ATTEMPT.redirect_uri,
        "scope": vendor.scopes,
        "state": ATTEMPT.state,
        **({"nonce": ATTEMPT.nonce} if vendor.claims is not None else {}),
        **({"code_challenge": CHALLENGE, "code_challenge_method": "S256"} if vendor.pkce else {}),
        **({"response_mode": "form_post"} if vendor.form_post else {}),
        **vendor.more,
    }
    assert not parts.fragment
    assert "+" not in parts.query
    assert not [word for word in (SECRET, quote(SECRET, safe=""), ATTEMPT.verifier) if word in url]


@EVERY
def test_the_code_is_exchanged_once_and_with_the_secret(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """RFC 6749 section 4.1.3: the redirect URI of the start, the verifier where a challenge was sent, and the secret in one
    place only: in the body, or (section 2.3.1, both halves encoded) in the header."""
    identify(vendor, net)
    asked = vendors.only(vendor.target("token"))

    assert asked.form() == {
        "grant_type": "authorization_code",
        "code": CODE,
        "redirect_uri": ATTEMPT.redirect_uri,
        **({"code_verifier": ATTEMPT.verifier} if vendor.pkce else {}),
        **({} if vendor.basic else {"client_id": CLIENT_ID, "client_secret": SECRET}),
    }
    assert asked.header("Authorization") == (BASIC if vendor.basic else None)
    assert asked.query == ""


@EVERY
def test_secrets_go_where_they_belong(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """The access token stands in Authorization only (Bitbucket refuses it elsewhere), and neither secret nor code in any
    other call than the exchange; each says who we are (GitHub refuses who does not) and asks for JSON, unpacked."""
    identify(vendor, net)
    for place, asked in zip(vendor.places, vendors.asked, strict=True):
        assert asked.header("User-Agent") == f"authsvc/{authsvc.__version__}"
        assert "json" in str(asked.header("Accept"))
        assert asked.header("Accept-Encoding") == "identity"
        assert asked.header("Cookie") is None
        assert ACCESS_TOKEN not in asked.path + asked.query
        if place in ("userinfo", "emails"):
            assert asked.header("Authorization") == f"Bearer {ACCESS_TOKEN}"
        if place != "token":
            assert asked.body == b""
            assert asked.method == "GET"
            assert not [word for word in (SECRET, quote(SECRET, safe=""), CODE, quote(CODE), ATTEMPT.verifier) if word in asked.whole]
        if place in ("jwks", "discovery"):
            assert asked.header("Authorization") is None


@EVERY
def test_a_public_client_sends_its_id_and_no_secret(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """RFC 6749 section 3.2.1: who has no secret names itself in the body."""
    if vendor is APPLE:
        with pytest.raises(Refused, match="PRIVATE_KEY"):  # it has no such clients
            assembled(net, "apple", client_secret="")
        return
    identify(vendor, net, client_secret="")
    asked = vendors.only(vendor.target("token"))

    assert asked.form()["client_id"] == CLIENT_ID
    assert "client_secret" not in asked.form()
    assert asked.header("Authorization") is None


@EVERY
def test_a_second_sign_in_asks_for_nothing_that_is_known(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """Endpoints and keys are remembered; the token and who it is are not."""
    vendor.answered_by(vendors)
    provider = assembled(net, vendor.name)
    assert provider.identify(CODE, ATTEMPT) == provider.identify(CODE, ATTEMPT) == vendor.identity

    again = [vendor.target(place) for place in vendor.places if place not in ("discovery", "jwks")]
    assert vendors.targets == [vendor.target(place) for place in vendor.places] + again


PLACES = [
    pytest.param(vendor, place, id=f"{name}-{place}")
    for name, vendor in VENDORS.items()
    for place in vendor.places
    if place not in ("emails", "discovery")
]


@pytest.mark.parametrize("said", NO_ANSWERS.values(), ids=NO_ANSWERS)
@pytest.mark.parametrize(("vendor", "place"), PLACES)
def test_an_answer_that_is_none_fails_the_sign_in(vendor: Recorded, place: str, said: Said, net: Net, vendors: Vendors) -> None:
    """D8: whole, within bounds, JSON, and from the one who was asked; else nobody comes back, and nothing else is called."""
    vendor.answered_by(vendors, **{place: said})
    vendors.answers["GET https://evil.example/"] = vendors.answers["POST https://evil.example/"] = Said(vendor.userinfo or vendor.token)

    failing(vendor, net)
    assert "evil.example" not in [asked.host for asked in vendors.asked]
    assert vendors.targets == [vendor.target(one) for one in vendor.places[: vendor.places.index(place) + 1]]


@pytest.mark.parametrize("said", NO_ANSWERS.values(), ids=NO_ANSWERS)
@pytest.mark.parametrize("vendor", [GOOGLE, GITLAB], ids=["google", "gitlab"])
def test_without_its_document_a_provider_is_asked_for_nothing(vendor: Recorded, said: Said, net: Net, vendors: Vendors) -> None:
    """D8: the code stays with us when the endpoints are not known for sure."""
    vendor.answered_by(vendors, discovery=said)
    failing(vendor, net)
    assert vendors.targets == [vendor.target("discovery")]


@EVERY
@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": ...},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 1},
        {"access_token": [ACCESS_TOKEN]},
        {"access_token": "a\r\nX-Injected: 1"},
        {"access_token": "tökén"},
        {"access_token": "a\0b"},
        {"access_token": "x" * 8_193},
        {"token_type": "mac"},
        {"token_type": "DPoP"},
        {"token_type": 1},
        {"token_type": ["Bearer"]},
    ],
    ids=str,
)
def test_a_token_that_cannot_be_carried_is_none(vendor: Recorded, changes: dict[str, Any], net: Net, vendors: Vendors) -> None:
    """RFC 6749 section 5.1: a bearer token of printable characters; nothing is called with another."""
    vendor.with_token(**changes).answered_by(vendors)
    failing(vendor, net)
    assert vendors.targets == [vendor.target(place) for place in vendor.places[: vendor.places.index("token") + 1]]


@EVERY
@pytest.mark.parametrize("spelling", ["bearer", "Bearer", "BEARER", ...])
def test_bearer_is_spelled_in_any_case(vendor: Recorded, spelling: Any, net: Net) -> None:
    """RFC 6749 section 7.1: the type is compared without regard to case; some leave it out."""
    vendor.with_token(token_type=spelling).answered_by(net.vendors)
    assert identify(vendor, net) == vendor.identity


@EVERY
@pytest.mark.parametrize("value", [..., None, "", True, False, 1.5, [], ["1"], {"id": "1"}, "x" * 256, "a\nb", "ä", "\ud800"], ids=ascii)
def test_whoever_is_not_named_is_nobody(vendor: Recorded, value: Any, net: Net) -> None:
    """Each part of the subject is a text or a whole number, and all parts are there: never `None`, never a piece of it."""
    for part in PARTS_OF_SUBJECT[vendor.name]:
        with_subject(vendor, part, value).answered_by(net.vendors)
        failing(vendor, net)


@EVERY
def test_the_subject_is_nothing_that_its_owner_can_change(vendor: Recorded, net: Net) -> None:
    """D7: another name, login and address at the provider, the same subject; another id with all of that, another subject."""
    renamed: dict[str, Any] = dict.fromkeys(("name", "preferred_username", "email"), "mallory@example.net")
    changes = renamed | dict.fromkeys(("login", "username", "nickname", "display_name", "global_name", "node_id", "account_id"), "mallory")
    if vendor is X:
        one = vendor.with_userinfo(data__name="Mallory", data__username="mallory", data__confirmed_email="mallory@example.net")
    else:
        one = vendor.with_claims(**changes) if vendor.claims is not None else vendor.with_userinfo(**changes)
    one.answered_by(net.vendors)
    found = identify(one, net)
    assert (found.realm, found.subject) == (vendor.identity.realm, vendor.identity.subject)

    for part in PARTS_OF_SUBJECT[vendor.name]:
        value = CONSUMERS if part == "tid" else "31337"
        other = with_subject(vendor, part, value)
        other = other.with_claims(iss=f"https://login.microsoftonline.com/{CONSUMERS}/v2.0") if part == "tid" else other
        other.answered_by(net.vendors)
        assert identify(other, net).subject != vendor.identity.subject


FALSE = [False, None, ..., 0, "false", "0", "no", "", "True ", [], {}, ["true"], {"verified": True}, 2, 1.5, "verified"]
FLAGGED = {
    **{name: VENDORS[name].with_claims for name in ("google", "gitlab", "apple", "slack", "twitch")},
    "linkedin": LINKEDIN.with_userinfo,
}


@pytest.mark.parametrize("value", FALSE, ids=ascii)
@pytest.mark.parametrize("name", FLAGGED)
def test_an_openid_address_is_verified_only_where_it_says_so(name: str, value: Any, net: Net) -> None:
    """D6: the flag, true or "true"; nothing that is merely there."""
    vendor = FLAGGED[name](email_verified=value)
    vendor.answered_by(net.vendors)
    found = identify(vendor, net)
    assert (found.email, found.email_verified) == (vendor.identity.email, False)


@pytest.mark.parametrize("value", [True, "true"])
@pytest.mark.parametrize("name", FLAGGED)
def test_both_spellings_of_true_count(name: str, value: Any, net: Net) -> None:
    """Apple and LinkedIn write it as a text."""
    vendor = FLAGGED[name](email_verified=value)
    vendor.answered_by(net.vendors)
    assert identify(vendor, net).email_verified is True


@EVERY
def test_nothing_is_verified_where_the_operator_does_not_trust_it(vendor: Recorded, net: Net) -> None:
    """TRUST_EMAIL=no: the address is taken, and proves nothing."""
    assert identify(vendor, net, trust_email="no") == replace(vendor.identity, email_verified=False)


@EVERY
def test_a_foreign_flag_verifies_nothing(vendor: Recorded, net: Net) -> None:
    """D6: a member that another vendor's flag is called by is only noise in this one's answer."""
    if vendor.name in ("facebook", "spotify", "github", "bitbucket"):
        noise = {"email_verified": True, "verified": True, "xms_edov": True, "confirmed_email": vendor.userinfo.get("email", "")}
        one = replace(vendor.with_userinfo(**noise), emails=changed_addresses(vendor))
    elif vendor is DISCORD:
        one = vendor.with_userinfo(verified=False, email_verified=True, xms_edov=True)
    elif vendor is X:
        one = vendor.with_userinfo(data__confirmed_email=..., data__email="x@example.com", data__verified=True, data__email_verified=True)
    elif vendor is MICROSOFT:
        one = vendor.with_claims(xms_edov=..., email_verified=True, verified=True)
    elif vendor is LINKEDIN:
        one = vendor.with_userinfo(email_verified=False, verified=True, xms_edov=True)
    else:
        one = vendor.with_claims(email_verified=False, verified=True, xms_edov=True)
    one.answered_by(net.vendors)
    assert identify(one, net).email_verified is False


def changed_addresses(vendor: Recorded) -> Any:
    """The list with every flag taken back and another's set."""
    if vendor.emails is None:
        return None
    listed = vendor.emails if isinstance(vendor.emails, list) else vendor.emails["values"]
    flags = {"verified": False, "is_confirmed": False, "email_verified": True}
    entries = [{**entry, **flags} for entry in listed]
    return entries if isinstance(vendor.emails, list) else {**vendor.emails, "values": entries}


@EVERY_OIDC
def test_a_forged_id_token_is_refused(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """D5, through the whole exchange: signed by a key that the provider does not publish."""
    forged = vendor.id_token.rpartition(".")[0]
    signature = by_rsa(rsa_key("other"))(forged.encode())
    vendor.with_token(id_token=forged + "." + b64(signature)).answered_by(vendors)

    assert "id_token" in failing(vendor, net)
    assert vendor.userinfo is None or vendor.target("userinfo") not in vendors.targets


@EVERY_OIDC
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-client"},
        {"azp": "another-client"},
        {"iss": "https://evil.example"},
        {"nonce": "another"},
        {"nonce": ""},
        {"exp": NOW - 3600},
        {"at_hash": "AAAA"},
        {"exp": 10**400},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_id_token_of_something_else_is_refused(vendor: Recorded, changes: dict[str, Any], net: Net) -> None:
    """D5, through the whole exchange, with keys; Slack writes `nonce: ""` where none was sent, and we always send one."""
    vendor.with_claims(**changes).answered_by(net.vendors)
    failing(vendor, net)


@EVERY_OIDC
def test_only_linkedin_may_leave_the_nonce_out(vendor: Recorded, net: Net) -> None:
    """The nonce binds the token to the attempt; the one vendor that does not give it back is named."""
    vendor.with_claims(nonce=...).answered_by(net.vendors)
    if vendor is LINKEDIN:
        assert identify(vendor, net) == vendor.identity
    else:
        assert "nonce" in failing(vendor, net)


@EVERY_OIDC
def test_without_an_id_token_nobody_is_there(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """Userinfo alone, which carries neither audience nor nonce, says nothing."""
    vendor.with_token(id_token=None).answered_by(vendors)
    failing(vendor, net)
    assert vendors.targets[-1] == vendor.target("token")


@pytest.mark.parametrize("vendor", [GOOGLE, GITLAB, SLACK, TWITCH, LINKEDIN], ids=lambda vendor: vendor.name)
def test_userinfo_about_somebody_else_is_refused(vendor: Recorded, net: Net) -> None:
    """D5, OpenID Connect Core section 5.3.2: its `sub` is the id_token's, to the letter."""
    without = vendor.with_claims(email=..., email_verified=...)
    for sub in ("mallory", "", ..., None, [vendor.userinfo["sub"]], vendor.userinfo["sub"] + " "):
        without.with_userinfo(sub=sub, email="victim@example.com", email_verified=True).answered_by(net.vendors)
        assert "sub" in failing(vendor, net)


@pytest.mark.parametrize("vendor", [GOOGLE, GITLAB, SLACK, TWITCH, LINKEDIN], ids=lambda vendor: vendor.name)
def test_userinfo_fills_what_the_id_token_lacks(vendor: Recorded, net: Net) -> None:
    """The address from there; what the id_token says stands."""
    told = {"email": "more@example.com", "email_verified": True, "name": "Other", "preferred_username": "Other"}
    without = vendor.with_claims(email=..., email_verified=..., name="Told", preferred_username="Told").with_userinfo(**told)
    without.answered_by(net.vendors)
    found = identify(without, net)
    assert (found.subject, found.email, found.email_verified) == (vendor.identity.subject, emails.parse("more@example.com"), True)
    assert found.name == "Told"


@EVERY
@pytest.mark.parametrize(
    "address", [..., None, "", "not an address", 1, [], "a@b\r\nBcc: c@d.example", "x" * 250 + "@example.com", "\ud800@x.org"]
)
def test_an_address_that_is_none_is_left_out(vendor: Recorded, address: Any, net: Net) -> None:
    """Users keep it back, and vendors send oddities: somebody without an address, and never one that is half proved."""
    one = vendor
    if vendor is X:
        one = vendor.with_userinfo(data__confirmed_email=address)
    elif vendor.emails is not None:
        listed = [
            {"primary": True, "verified": True, "is_primary": True, "is_confirmed": True} | ({} if address is ... else {"email": address})
        ]
        one = replace(vendor, emails=listed if vendor is GITHUB else {"values": listed})
    else:
        one = vendor.with_userinfo(email=address) if (vendor.userinfo and vendor.claims is None) or vendor is LINKEDIN else one
        one = one.with_claims(email=address) if vendor.claims is not None else one
        one = one.with_userinfo(email=address, sub=vendor.claims["sub"]) if vendor.claims and vendor.userinfo else one
    one.answered_by(net.vendors)
    found = identify(one, net)
    assert (found.email, found.email_verified) == (None, False)
    assert (found.realm, found.subject) == (vendor.identity.realm, vendor.identity.subject)


@EVERY
def test_no_more_than_the_time_of_one_request(vendor: Recorded, net: Net, vendors: Vendors) -> None:
    """D8: ten seconds for all calls of one sign-in together; when the exchange has used them up, nothing else is asked."""

    def late(_: Any) -> Said:
        net.ticks += calls.SECONDS
        answer = vendor.answers[vendor.target("token")]
        assert isinstance(answer, Said)
        return answer

    vendor.answered_by(vendors, token=late)
    failing(vendor, net)
    assert vendors.targets[-1] == vendor.target("token")


def test_a_slow_answer_is_given_up(net: Net, vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    """D8: the thread comes back at the deadline, however slowly the provider goes on."""
    released = threading.Event()
    monkeypatch.setattr(calls, "SECONDS", 0.2)

    def hangs(_: Any) -> Said:
        released.wait(30)
        return Said({})

    GITHUB.answered_by(vendors, token=hangs)
    try:
        assert "too late" in failing(GITHUB, net)
    finally:
        released.set()


ERRORS: dict[str, tuple[Recorded, str, Said, str]] = {
    "github, bad code": (
        GITHUB,
        "token",
        Said(
            {
                "error": "bad_verification_code",
                "error_description": "The code passed is incorrect or expired.",
                "error_uri": "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/",
            }
        ),
        "bad_verification_code",
    ),
    "github, bad secret": (
        GITHUB,
        "token",
        Said({"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret passed are incorrect."}),
        "incorrect_client_credentials",
    ),
    "github, unverified": (GITHUB, "token", Said({"error": "unverified_user_email", "error_description": "…"}), "unverified_user_email"),
    "github, API": (
        GITHUB,
        "userinfo",
        Said({"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"}, 401),
        "Bad credentials",
    ),
    "slack": (SLACK, "token", Said({"ok": False, "error": "invalid_code"}), "invalid_code"),
    "slack, no id": (SLACK, "token", Said({"ok": False, "error": "bad_client_secret"}), "bad_client_secret"),
    "facebook": (
        FACEBOOK,
        "token",
        Said(
            {
                "error": {
                    "message": "This authorization code has been used.",
                    "type": "OAuthException",
                    "code": 100,
                    "error_subcode": 36009,
                    "fbtrace_id": "AYMf-5tJDvQ7ylvPbLgqKh6",
                }
            },
            400,
        ),
        "This authorization code has been used.",
    ),
    "google": (GOOGLE, "token", Said({"error": "invalid_grant", "error_description": "Malformed auth code."}, 400), "Malformed auth code."),
    "microsoft": (
        MICROSOFT,
        "token",
        Said(
            {
                "error": "invalid_grant",
                "error_description": "AADSTS70008: The provided authorization code or refresh token has expired.\r\nTrace ID: 0000",
                "error_codes": [70008],
                "timestamp": "2026-11-24 10:00:00Z",
                "trace_id": "00000000-0000-0000-0000-000000000000",
                "correlation_id": "00000000-0000-0000-0000-000000000000",
            },
            400,
        ),
        "AADSTS70008",
    ),
    "apple": (APPLE, "token", Said({"error": "invalid_client"}, 400), "invalid_client"),
    "linkedin": (
        LINKEDIN,
        "token",
        Said({"error": "invalid_client", "error_description": "Client authentication failed"}, 401),
        "invalid_client",
    ),
    "twitch": (TWITCH, "token", Said({"status": 400, "message": "Invalid authorization code"}, 400), "Invalid authorization code"),
    "discord": (DISCORD, "userinfo", Said({"message": "401: Unauthorized", "code": 0}, 401), "401: Unauthorized"),
    "bitbucket": (
        BITBUCKET,
        "token",
        Said({"error_description": "The specified code is not valid.", "error": "invalid_grant"}, 400),
        "invalid_grant",
    ),
    "x": (
        X,
        "userinfo",
        Said({"title": "Forbidden", "status": 403, "detail": "Forbidden", "type": "about:blank"}, 403),
        "403",
    ),
    "x, with 200": (X, "userinfo", Said({"errors": [{"title": "Not Found Error", "detail": "Could not find user."}]}), "names nobody"),
    "spotify": (
        SPOTIFY,
        "userinfo",
        Said({"error": {"status": 403, "message": "User not registered in the Developer Dashboard"}}, 403),
        "403",
    ),
}


@pytest.mark.parametrize(("vendor", "place", "said", "word"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_told_to_the_log(vendor: Recorded, place: str, said: Said, word: str, net: Net) -> None:
    """Each vendor's own form of it, also with status 200 (GitHub, Slack): one line that says what it said."""
    vendor.answered_by(net.vendors, **{place: said})
    assert word in failing(vendor, net)


def test_what_an_error_says_cannot_forge_the_log() -> None:
    """One line, bounded, of printable ASCII, whatever stands in it."""
    for text in ("a\nb", "a\r\nFORGED", "\x1b[31m", "x" * 100_000, "\u202e", "\ud800", {"a": ["\n"]}, ["\n"] * 1_000, None, 0):
        said = calls.gist({"error": text, "error_description": text, "message": text})
        assert said.isascii()
        assert said.isprintable()
        assert len(said) <= 3 * calls.SHOWN + 2


def test_github_asks_its_api_as_it_wants_to_be_asked(net: Net, vendors: Vendors) -> None:
    """JSON by Accept from the token endpoint, which sends a form without; the API by its media type and version."""
    identify(GITHUB, net)
    assert vendors.only(GITHUB.target("token")).header("Accept") == "application/json"
    for place in ("userinfo", "emails"):
        asked = vendors.only(GITHUB.target(place))
        assert asked.header("Accept") == "application/vnd.github+json"
        assert asked.header("X-GitHub-Api-Version")


@pytest.mark.parametrize(
    ("listed", "email", "proved"),
    {
        "public address only": ([], None, False),
        "primary, not verified": ([{"email": "a@example.com", "primary": True, "verified": False}], "a@example.com", False),
        "primary, flag as text": ([{"email": "a@example.com", "primary": True, "verified": "true"}], "a@example.com", False),
        "primary, flag as number": ([{"email": "a@example.com", "primary": True, "verified": 1}], "a@example.com", False),
        "primary, no flag": ([{"email": "a@example.com", "primary": True}], "a@example.com", False),
        "none primary": (
            [{"email": "a@example.com", "primary": False, "verified": False}, {"email": "b@example.com", "verified": True}],
            "b@example.com",
            True,
        ),
        "none at all verified": ([{"email": "a@example.com", "primary": False, "verified": False}], None, False),
        "odd entries": (
            [None, 1, "a@example.com", [], {"email": "a@example.com", "primary": True, "verified": True}],
            "a@example.com",
            True,
        ),
        "verified, but no address": ([{"email": None, "primary": True, "verified": True}], None, False),
    }.values(),
)
@pytest.mark.parametrize("vendor", [GITHUB, BITBUCKET], ids=["github", "bitbucket"])
def test_of_a_list_the_primary_address_with_its_own_flag(
    vendor: Recorded,
    listed: list[Any],
    email: str | None,
    proved: bool,
    net: Net,
) -> None:
    """D6: a flag counts for the entry it stands in; the profile's public address proves nothing and is not taken."""
    if vendor is BITBUCKET:
        names = {"primary": "is_primary", "verified": "is_confirmed"}
        entries = [{names.get(key, key): v for key, v in one.items()} if isinstance(one, dict) else one for one in listed]
        replace(vendor, emails={"values": entries}).answered_by(net.vendors)
    else:
        replace(vendor, emails=listed).answered_by(net.vendors)
    found = identify(vendor, net)
    assert (found.email, found.email_verified) == (emails.parse(email) if email else None, proved)


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("vendor", [GITHUB, BITBUCKET], ids=["github", "bitbucket"])
def test_a_list_that_is_kept_from_us_is_no_address(vendor: Recorded, status: int, net: Net) -> None:
    """The user dropped the scope, or the app may not see it: somebody without an address, and the log says so."""
    vendor.answered_by(net.vendors, emails=Said({"message": "Resource not accessible by integration"}, status))
    assert identify(vendor, net) == replace(vendor.identity, email=None, email_verified=False)
    assert len(net.lines) == 1
    assert ACCESS_TOKEN not in net.lines[0]


@pytest.mark.parametrize("said", ["500 with JSON", "HTML", "too long", "cut off", "hung up"])
@pytest.mark.parametrize("vendor", [GITHUB, BITBUCKET], ids=["github", "bitbucket"])
def test_a_list_that_fails_for_a_moment_is_not_taken_for_none(vendor: Recorded, said: str, net: Net) -> None:
    """A fault of the vendor's must not make a second account without an address, nor strike the address from the identity:
    the sign-in fails, and can be tried again."""
    vendor.answered_by(net.vendors, emails=NO_ANSWERS[said])
    failing(vendor, net)


@pytest.mark.parametrize(
    ("tenant", "tid", "taken"),
    [
        ("", TID, True),
        ("", CONSUMERS, True),
        ("common", CONSUMERS, True),
        ("organizations", TID, True),
        ("organizations", CONSUMERS, False),
        ("consumers", CONSUMERS, True),
        ("consumers", TID, False),
        (TID, TID, True),
        (TID.upper(), TID, True),
        (TID, CONSUMERS, False),
        (TID, "11111111-2222-3333-4444-555555555555", False),
    ],
)
def test_microsofts_tenant_decides_who_may_come(tenant: str, tid: str, taken: bool, net: Net, vendors: Vendors) -> None:
    """The id_token says which tenant it was, its issuer must be that tenant's, and the setting must allow it; the URLs name
    the setting's."""
    where = f"https://login.microsoftonline.com/{tenant.lower() or 'common'}"
    vendor = replace(MICROSOFT, token_url=f"{where}/oauth2/v2.0/token", jwks_url=f"{where}/discovery/v2.0/keys")
    vendor = vendor.with_claims(tid=tid, iss=f"https://login.microsoftonline.com/{tid}/v2.0")
    vendor.answered_by(vendors)
    provider = assembled(net, "microsoft", tenant=tenant)

    assert provider.authorize_url(ATTEMPT).startswith(f"{where}/oauth2/v2.0/authorize?")
    if taken:
        assert provider.identify(CODE, ATTEMPT).subject == f"{tid}/{OID}"
    else:
        failing(vendor, net, tenant=tenant)
    assert vendors.targets[0] == vendor.target("token")


@pytest.mark.parametrize(
    "changes",
    [
        {"tid": CONSUMERS},
        {"tid": ...},
        {"tid": None},
        {"tid": "common", "iss": "https://login.microsoftonline.com/common/v2.0"},
        {"tid": "{tenantid}", "iss": "https://login.microsoftonline.com/{tenantid}/v2.0"},
        {"tid": TID.upper(), "iss": f"https://login.microsoftonline.com/{TID.upper()}/v2.0"},
        {"tid": f"{TID}/v2.0/x", "iss": f"https://login.microsoftonline.com/{TID}/v2.0/x/v2.0"},
        {"tid": TID + "\n", "iss": f"https://login.microsoftonline.com/{TID}\n/v2.0"},
        {"iss": f"https://sts.windows.net/{TID}/"},
        {"iss": f"https://login.microsoftonline.com/{TID}"},
        {"iss": f"https://login.microsoftonline.com/{TID}/v2.0/"},
        {"iss": f"https://login.microsoftonline.com.evil.example/{TID}/v2.0"},
        {"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"},
        {"iss": ...},
    ],
    ids=str,
)
def test_microsofts_issuer_fits_its_tenant(changes: dict[str, Any], net: Net) -> None:
    """D3: `iss` is the authority, the GUID of `tid` and /v2.0, to the letter."""
    MICROSOFT.with_claims(**changes).answered_by(net.vendors)
    assert "iss" in failing(MICROSOFT, net)


@pytest.mark.parametrize(
    ("changes", "proved"),
    [
        ({"xms_edov": True}, True),
        ({"xms_edov": "true"}, True),
        ({"xms_edov": 1}, True),
        ({"xms_edov": "1"}, True),
        *(({"xms_edov": value}, False) for value in FALSE),
        ({"xms_edov": ..., "verified_primary_email": ["ada@contoso.com"]}, True),
        ({"xms_edov": ..., "verified_primary_email": ["ADA@CONTOSO.com"]}, True),
        ({"xms_edov": ..., "verified_secondary_email": ["x@contoso.com", "ada@contoso.com"]}, True),
        ({"xms_edov": ..., "verified_primary_email": ["mallory@contoso.com"]}, False),
        ({"xms_edov": ..., "verified_primary_email": []}, False),
        ({"xms_edov": ..., "verified_primary_email": [True, None, {"ada@contoso.com": 1}]}, False),
        ({"xms_edov": ..., "email": ..., "verified_primary_email": ["ada@contoso.com"]}, False),
        ({"xms_edov": True, "email": ...}, False),
        ({"xms_edov": ..., "upn": "ada@contoso.com"}, False),
    ],
    ids=ascii,
)
def test_microsofts_address_is_whatever_an_administrator_typed(changes: dict[str, Any], proved: bool, net: Net) -> None:
    """D6: only xms_edov, in its four spellings, or a list of verified addresses that it is in, prove it."""
    MICROSOFT.with_claims(**changes).answered_by(net.vendors)
    found = identify(MICROSOFT, net)
    assert found.email_verified is proved
    assert (found.email is None) == ("email" in changes)


@pytest.mark.parametrize(
    "iss",
    ["https://evil.example", "https://login.microsoftonline.com.evil.example/x/v2.0", "https://accounts.google.com", "", f"x{TID}"],
)
def test_an_issuer_in_the_answer_that_is_not_microsofts_is_refused(iss: str, net: Net) -> None:
    """D3, RFC 9207 section 2.4: where the answer names an issuer at all, it must be one of this provider's."""
    provider = assembled(net, "microsoft")
    assert not provider.is_from_here(iss)
    assert provider.is_from_here(f"https://login.microsoftonline.com/{TID}/v2.0")


@pytest.mark.parametrize("vendor", OIDC.values(), ids=OIDC)
def test_an_answer_may_name_its_issuer_and_no_other(vendor: Recorded, net: Net) -> None:
    """D3, RFC 9207: Google names it without announcing it; nobody announces it, so that an answer without passes."""
    vendor.answered_by(net.vendors)
    provider = assembled(net, vendor.name)
    iss = f"https://login.microsoftonline.com/{TID}/v2.0" if vendor is MICROSOFT else vendor.identity.realm

    assert provider.is_from_here(None)
    assert provider.is_from_here(iss)
    for other in ("https://evil.example", iss + "/", iss.upper(), " " + iss, ""):
        assert not provider.is_from_here(other), other


def test_who_announces_its_issuer_must_name_it(net: Net, vendors: Vendors) -> None:
    """D3, RFC 9207 section 2.4: an answer without `iss` is then another's."""
    replace(GITLAB, discovery={**GITLAB.discovery, "authorization_response_iss_parameter_supported": True}).answered_by(vendors)
    provider = assembled(net, "gitlab")
    assert not provider.is_from_here(None)
    assert provider.is_from_here("https://gitlab.com")


def apple_key(curve: str = "P-256") -> str:
    """As Apple hands it out: PKCS#8 in PEM."""
    return ec_key(curve).private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


@pytest.mark.parametrize("written", [apple_key, lambda: apple_key().replace("\n", "\\n")], ids=["lines", "one line"])
def test_apples_client_secret_is_signed_by_our_key(written: Any, net: Net, vendors: Vendors) -> None:
    """ES256 by the key of that id; from the team, about the client, for Apple, of now and short; anew for each exchange.
    Another library checks it against the public half."""
    APPLE.answered_by(vendors)
    provider = assembled(net, "apple", client_secret="", team_id="DEF123GHIJ", key_id="ABC123DEFG", private_key=written())
    found = []
    for _ in range(2):
        assert provider.identify(CODE, ATTEMPT) == APPLE.identity
        found.append(jwt.decode([one for one in vendors.asked if one.method == "POST"][-1].form()["client_secret"], public_half()))
        net.advance(1)

    assert found[0].header["alg"] == "ES256"
    assert found[0].header["kid"] == "ABC123DEFG"
    assert found[0].claims.keys() == {"iss", "sub", "aud", "iat", "exp"}
    assert {name: found[0].claims[name] for name in ("iss", "sub", "aud")} == {
        "iss": "DEF123GHIJ",
        "sub": CLIENT_ID,
        "aud": "https://appleid.apple.com",
    }
    assert [one.claims["iat"] for one in found] == [NOW, NOW + 1]
    assert NOW < found[0].claims["exp"] <= NOW + 3600


def public_half() -> ECKey:
    return ECKey.import_key(ec_key().public_key())


def test_apples_scope_has_no_plus_sign(net: Net) -> None:
    """Apple takes a + for a plus: spaces are %20."""
    assert "scope=name%20email" in assembled(net, "apple").authorize_url(ATTEMPT)


def test_facebook_is_shown_that_we_have_the_secret(net: Net, vendors: Vendors) -> None:
    """appsecret_proof: HMAC-SHA256 of the access token under the app's secret, beside the fields that are asked for."""
    identify(FACEBOOK, net)
    proof = hmac.new(SECRET.encode(), ACCESS_TOKEN.encode(), hashlib.sha256).hexdigest()
    fields = "id,name,email,picture.type(large)"
    assert vendors.only(FACEBOOK.target("userinfo")).parameters() == {"fields": fields, "appsecret_proof": proof}


def test_x_is_asked_for_the_address(net: Net, vendors: Vendors) -> None:
    """It tells of no field that is not named."""
    identify(X, net)
    assert vendors.only(X.target("userinfo")).parameters() == {"user.fields": "profile_image_url,confirmed_email"}


def test_twitch_is_asked_for_each_claim(net: Net) -> None:
    """It tells of no address otherwise."""
    asked = json.loads(pairs(urlsplit(assembled(net, "twitch").authorize_url(ATTEMPT)).query)["claims"])
    assert {"email", "email_verified"} <= asked["id_token"].keys()


@pytest.mark.parametrize("status", ["inactive", "closed", None, ..., True, "ACTIVE"])
def test_bitbuckets_closed_accounts_do_not_come_in(status: Any, net: Net, vendors: Vendors) -> None:
    """Only `active` is in use; of others the addresses are not even asked for."""
    BITBUCKET.with_userinfo(account_status=status).answered_by(vendors)
    assert "account_status" in failing(BITBUCKET, net)
    assert vendors.targets[-1] == BITBUCKET.target("userinfo")


@pytest.mark.parametrize(
    ("vendor", "changes", "name", "picture"),
    [
        (DISCORD, {"avatar": None}, "Nelly", None),
        (DISCORD, {"avatar": ""}, "Nelly", None),
        (DISCORD, {"avatar": {"x": 1}}, "Nelly", None),
        (DISCORD, {"avatar": "a b"}, "Nelly", None),
        (DISCORD, {"avatar": '"><script>'}, "Nelly", None),
        (DISCORD, {"global_name": None}, "nelly", DISCORD.identity.picture),
        (SPOTIFY, {"images": []}, "Ada", None),
        (SPOTIFY, {"images": None}, "Ada", None),
        (SPOTIFY, {"images": ...}, "Ada", None),
        (SPOTIFY, {"images": [None]}, "Ada", None),
        (SPOTIFY, {"images": [{"url": "javascript:alert(1)"}]}, "Ada", None),
        (SPOTIFY, {"display_name": None}, None, SPOTIFY.identity.picture),
        (GITHUB, {"name": None}, "octocat", GITHUB.identity.picture),
        (GITHUB, {"name": "  "}, "octocat", GITHUB.identity.picture),
        (GITHUB, {"name": "a\nb"}, "octocat", GITHUB.identity.picture),
        (GITHUB, {"name": "x" * 201}, "octocat", GITHUB.identity.picture),
        (GITHUB, {"name": "\ud800"}, "octocat", GITHUB.identity.picture),
        (GITHUB, {"avatar_url": "https://x.example/" + "a" * 3_000}, "monalisa octocat", None),
        (GITHUB, {"avatar_url": "data:image/png;base64,AAAA"}, "monalisa octocat", None),
        (FACEBOOK, {"picture": None}, "Ada Lovelace", None),
        (FACEBOOK, {"picture": {"data": []}}, "Ada Lovelace", None),
        (X, {"data__name": ""}, "XDevelopers", X.identity.picture),
        (BITBUCKET, {"links": {}}, "tutorials account", None),
        (LINKEDIN, {"name": ..., "picture": ...}, "Ada Lovelace", None),
        (LINKEDIN, {"name": ..., "given_name": ..., "picture": ...}, "Lovelace", None),
    ],
    ids=lambda value: value.name if isinstance(value, Recorded) else ascii(value)[:40],
)
def test_what_is_not_sound_is_left_out(vendor: Recorded, changes: dict[str, Any], name: str | None, picture: str | None, net: Net) -> None:
    """A name and a picture are kind to have: what is odd, dangerous or too long is passed over, and the sign-in goes on."""
    vendor.with_userinfo(**changes).answered_by(net.vendors)
    assert identify(vendor, net) == replace(vendor.identity, name=name, picture=picture)


@pytest.mark.parametrize("locale", [{"country": "US", "language": "en"}, "x" * 40, "", 1, "<b>", None])
def test_a_language_that_is_none_is_left_out(locale: Any, net: Net) -> None:
    """LinkedIn sends an object."""
    LINKEDIN.with_userinfo(locale=locale).answered_by(net.vendors)
    assert identify(LINKEDIN, net) == LINKEDIN.identity


def test_what_a_provider_says_of_its_own_sign_in_comes_from_the_id_token_only(net: Net) -> None:
    """`amr` and `acr` of a signed token; the same words in userinfo count for nothing."""
    told = {"amr": ["pwd", "otp", 1, None], "acr": "urn:example:aal2"}
    GOOGLE.with_claims(**told).answered_by(net.vendors)
    assert (found := identify(GOOGLE, net)).amr == ("pwd", "otp")
    assert found.acr == "urn:example:aal2"

    LINKEDIN.with_userinfo(**told).answered_by(net.vendors)
    assert (found := identify(LINKEDIN, net)).amr == ()
    assert found.acr == ""


@pytest.mark.parametrize(("amr", "acr"), [("mfa", 1), ({"mfa": 1}, ["aal2"]), (None, None), ([["mfa"]], {})])
def test_odd_words_about_a_sign_in_are_none(amr: Any, acr: Any, net: Net) -> None:
    """A list of texts and a text, or nothing."""
    GOOGLE.with_claims(amr=amr, acr=acr).answered_by(net.vendors)
    assert identify(GOOGLE, net) == GOOGLE.identity


def test_google_may_leave_the_scheme_out_of_its_name(net: Net) -> None:
    """Both spellings are Google's; the realm stays one, or the account would be lost between them."""
    GOOGLE.with_claims(iss="accounts.google.com").answered_by(net.vendors)
    assert identify(GOOGLE, net) == GOOGLE.identity


def test_the_same_preset_elsewhere_is_another_realm(net: Net) -> None:
    """D7: a subject of a server of one's own is not the public one's, nor are its endpoints and keys."""
    here = "https://git.example.org"
    moved = {
        name: value.replace("https://gitlab.com", here) if isinstance(value, str) else value for name, value in GITLAB.discovery.items()
    }
    vendor = replace(
        GITLAB,
        discovery=moved,
        **{f"{place}_url": getattr(GITLAB, f"{place}_url").replace("https://gitlab.com", here) for place in ("discovery", "token", "jwks")},
    )
    vendor.with_claims(iss=here).answered_by(net.vendors)
    found = identify(vendor, net, issuer=here)
    assert (found.realm, found.subject) == (here, GITLAB.identity.subject)
    assert {asked.host for asked in net.vendors.asked} == {"git.example.org"}

    GITLAB.answered_by(net.vendors)
    vendor.with_claims(iss="https://gitlab.com").answered_by(net.vendors)
    assert "iss" in failing(vendor, net, issuer=here)


def test_github_enterprise_is_another_realm(net: Net, vendors: Vendors) -> None:
    """D7: ids of a GitHub server of one's own are its own."""
    host = "https://github.example.org"
    urls = {
        "authorize_url": f"{host}/login/oauth/authorize",
        "token_url": f"{host}/login/oauth/access_token",
        "userinfo_url": f"{host}/api/v3/user",
    }
    vendor = replace(GITHUB, token_url=urls["token_url"], userinfo_url=urls["userinfo_url"], emails_url=f"{host}/api/v3/user/emails")
    vendor.answered_by(vendors)
    assert identify(vendor, net, **urls) == replace(GITHUB.identity, realm=host)
    assert {asked.host for asked in vendors.asked} == {"github.example.org"}


def test_nothing_of_the_exchange_is_kept(net: Net) -> None:
    """The provider's tokens are used and then forgotten: neither the identity nor the provider has one."""
    GITHUB.answered_by(net.vendors)
    provider = assembled(net, "github")
    found = provider.identify(CODE, ATTEMPT)
    kept = [repr(value) for value in (found, *vars(provider).values())]
    assert not [text for text in kept for secret in (ACCESS_TOKEN, CODE, ATTEMPT.verifier) if secret in text]


def test_all_calls_may_be_slow(net: Net, vendors: Vendors) -> None:
    """Each tells the world beforehand, which refuses it inside a write block."""
    identify(GITHUB, net)
    assert [act.rpartition(" ")[2] for act in net.slept] == [asked.host for asked in vendors.asked]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.emails(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=10,
)
MEMBERS = sorted(
    {
        path[0]
        for preset in (*PRESETS.values(), OPENID, OAUTH2)
        for path in (*preset.subject, *preset.name, preset.email, *preset.verified_by)
    }
    | {"values", "links", "picture", "locale", "avatar", "images", "data", "given_name", "family_name", "verified", "primary"}
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(MEMBERS), JSON) | JSON)
def test_whatever_a_provider_says_is_read_or_left_out(told: Any) -> None:
    """Hostile text is parsed inside the guard: no answer makes an exception, and what is taken is sound."""
    for preset in (*PRESETS.values(), OPENID, OAUTH2):
        subject = profile.subject_of(preset, told)
        assert subject is None or (0 < len(subject) <= 255 and subject.isascii() and subject.isprintable())
        email, proved = profile.email_of(preset, told)
        if preset.addresses:
            email, proved = profile.email_among(preset.addresses, told)
        assert not proved or email is not None
        name = profile.name_of(preset, told)
        assert name is None or (0 < len(name) <= 200 and not set(name) & set("\r\n\0\x1b"))
        picture = profile.picture_of(preset, told)
        assert picture is None or picture.startswith(("https://", "http://"))
        profile.locale_of(told)
    calls.gist(told)
