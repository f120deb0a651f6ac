"""The /mfa and /authenticator endpoints and the second step as callers see them: fields, refusals, headers and limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from tests import phone
from tests.phone import NUMBER, enrol_sms, enrol_totp, first_step, refused, second_step, set_up_totp
from tests.support import EMAIL, Client, FakeWorld, actions, running

PATHS = ["/mfa/setup", "/mfa/verify", "/mfa/remove", "/mfa/recovery-codes", "/authenticator/setup", "/authenticator/verify"]
BODIES: dict[str, dict[str, Any]] = {
    "/mfa/setup": {"type": "totp"},
    "/mfa/verify": {"code": "000000"},
    "/mfa/remove": {"all": True},
    "/mfa/recovery-codes": {},
    "/authenticator/setup": {},
    "/authenticator/verify": {"code": "000000"},
}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **phone.SMS, **phone.FREE) as app:
        yield app


@pytest.fixture
def token(client: Client) -> str:
    return str(client.register()["access_token"])


@pytest.mark.parametrize("path", PATHS)
def test_strangers_are_asked_to_sign_in(client: Client, path: str) -> None:
    """Without credentials nothing is done, and the answer says which kind is wanted."""
    answer = refused(client.post(path, BODIES[path]), 401, "unauthenticated")
    assert (answer.header("WWW-Authenticate") or "").startswith("Bearer")


def test_listing_wants_a_caller(client: Client) -> None:
    """The list is nobody else's."""
    refused(client.get("/mfa"), 401, "unauthenticated")


@pytest.mark.parametrize("path", PATHS)
def test_unknown_fields_are_refused(app: App, client: Client, token: str, path: str) -> None:
    """A field that does not exist is a mistake that is told."""
    answer = refused(client.post(path, {**BODIES[path], "secret": "x"}, token=token), 422, "invalid_request")
    assert [(fault["field"], fault["code"]) for fault in answer["errors"]] == [("secret", "unknown_field")]
    assert phone.rows(app, "SELECT count(*) FROM factors") == [(0,)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_allowed(client: Client, path: str, method: str) -> None:
    """They change something: only by POST."""
    answer = refused(client.call(method, path), 405, "method_not_allowed")
    assert "POST" in (answer.header("Allow") or "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "type"),
        ({"type": None}, "type"),
        ({"type": "recovery"}, "type"),
        ({"type": "TOTP"}, "type"),
        ({"type": ["totp"]}, "type"),
        ({"type": "totp", "phone_number": NUMBER}, "phone_number"),
        ({"type": "email", "phone_number": NUMBER}, "phone_number"),
        ({"type": "sms"}, "phone_number"),
        ({"type": "sms", "phone_number": 49}, "phone_number"),
        ({"type": "totp", "label": ""}, "label"),
        ({"type": "totp", "label": "x" * 201}, "label"),
        ({"type": "totp", "label": "a\r\nb"}, "label"),
        ({"type": "totp", "label": "a\0b"}, "label"),
        ({"type": "totp", "label": 7}, "label"),
    ],
)
def test_setup_names_the_field_that_is_wrong(app: App, client: Client, token: str, body: dict[str, Any], field: str) -> None:
    """Each wrong value is named, and no factor waits."""
    answer = refused(client.post("/mfa/setup", body, token=token), 422, "invalid_request")
    assert [fault["field"] for fault in answer["errors"]] == [field]
    assert phone.rows(app, "SELECT count(*) FROM factors") == [(0,)]
    assert phone.messages(app) == []


@pytest.mark.parametrize("path", ["/mfa/verify", "/authenticator/verify"])
@pytest.mark.parametrize("body", [{}, {"code": None}, {"code": 123456}, {"code": "1" * 41}, {"code": ["123456"]}, {"code": "\ud800"}])
def test_verify_wants_a_code(client: Client, token: str, path: str, body: dict[str, Any]) -> None:
    """A code is a text, and needed."""
    made = set_up_totp(client, token)
    answer = client.post(path, {"factor_id": made.factor_id, **body}, token=token)
    assert answer.status in (400, 422)
    assert client.get("/mfa", token=token)["factors"] == []


@pytest.mark.parametrize(
    "mfa_token", ["", "x", "mfa_", "mfa_x.y", "mfa_" + "a" * 26 + "." + "b" * 43, "mfa_\u0661", "\0", "mfa_../..", "x" * 4000]
)
def test_malformed_mfa_tokens_are_refused(app: App, client: Client, token: str, mfa_token: str) -> None:
    """What is no token of ours is `invalid_token`, whatever it looks like, also from somebody who is signed in."""
    enrol_totp(client, token)
    for path in ("/mfa/verify", "/authenticator/verify", "/otp/verify"):
        for caller in (None, token):
            answer = client.post(path, {"mfa_token": mfa_token, "code": "000000"}, token=caller)
            assert (answer.status, answer.code) in ((401, "invalid_token"), (422, "invalid_request"))
    assert client.post("/otp/send", {"mfa_token": mfa_token}).status in (401, 422)
    assert "otp.failed" not in actions(app)


@pytest.mark.parametrize("position", range(4, 74, 7))
def test_altered_mfa_token_is_refused(client: Client, token: str, position: int) -> None:
    """One other character makes it another token."""
    made = enrol_totp(client, token)
    mfa_token = first_step(client)
    other = "b" if mfa_token[position] != "b" else "c"
    forged = mfa_token[:position] + other + mfa_token[position + 1 :]
    refused(second_step(client, forged, made.next()), 401, "invalid_token")
    assert second_step(client, mfa_token, made.code()).status == 200


def test_mfa_required_has_these_members(client: Client, token: str) -> None:
    """The problem of the contract with `mfa_token` and what may be shown, and nothing of where codes go."""
    made = enrol_totp(client, token, label="My phone")
    sms = enrol_sms(client, token)
    answer = refused(client.login(), 401, "mfa_required")
    assert answer.json().keys() == {"type", "title", "status", "detail", "code", "request_id", "mfa_token", "factors"}
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.header("Cache-Control") == "no-store"
    assert (answer.header("WWW-Authenticate") or "").startswith("Bearer")
    assert {(factor["id"], factor["type"]) for factor in answer["factors"]} == {(made.factor_id, "totp"), (sms, "sms")}
    assert all(factor.keys() == {"id", "type", "label"} for factor in answer["factors"])
    assert "My phone" in {factor["label"] for factor in answer["factors"]}
    assert NUMBER.encode() not in answer.body
    assert made.secret.encode() not in answer.body


def test_token_response_after_the_second_step_is_whole(client: Client, token: str) -> None:
    """It has the members of every other sign-in."""
    made = enrol_totp(client, token)
    answer = second_step(client, first_step(client), made.next())
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token", "session_id", "user"}
    assert answer.header("Cache-Control") == "no-store"
    assert client.get("/user", token=answer["access_token"])["email"] == EMAIL
    assert client.refresh(answer["refresh_token"]).status == 200


def test_listing_shows_the_owners_factors_without_secrets(client: Client, token: str) -> None:
    """Name, kind and times, never a secret or where a code goes."""
    made = enrol_totp(client, token, label="Work")
    listed = client.get("/mfa", token=token)
    assert listed.status == 200
    assert listed.json() == {
        "factors": [
            {
                "id": made.factor_id,
                "type": "totp",
                "label": "Work",
                "channel": None,
                "created_at": "2027-01-15T08:00:00.000Z",
                "last_used_at": "2027-01-15T08:00:00.000Z",
            }
        ],
        "recovery_codes_left": 10,
    }
    client.app.core.world.advance(30)
    inside = second_step(client, first_step(client), made.code())
    assert client.get("/mfa", token=inside["access_token"])["factors"][0]["last_used_at"] == "2027-01-15T08:00:30.000Z"


@pytest.mark.parametrize("body", [{}, {"password": "x", "factor_id": "fac_x", "code": "1"}, {"code": "123456"}, {"factor_id": "fac_x"}])
def test_reauthentication_wants_one_proof(client: Client, token: str, body: dict[str, Any]) -> None:
    """Either the password, or a factor and its code."""
    refused(client.post("/reauthenticate", body, token=token), 422, "invalid_request")


def test_reauthentication_by_a_factor_answers_with_tokens(client: Client, token: str) -> None:
    """The tokens are of the session that asked; cookies are for those that came with them."""
    made = enrol_totp(client, token)
    body = {"factor_id": made.factor_id, "code": made.next()}
    answer = client.post("/reauthenticate", body, token=token)
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token", "session_id", "user"}
    assert not answer.header_list("Set-Cookie")
    browser = Client(client.app, keep_cookies=True)
    second_step(browser, first_step(browser), made.next())
    again = browser.post("/reauthenticate", {"factor_id": made.factor_id, "code": made.next()})
    assert again.status == 200
    assert any(value.startswith("authsvc_access=") for value in again.header_list("Set-Cookie"))


def test_reauthentication_by_recovery_code_spends_it(app: App, client: Client, token: str) -> None:
    """It stands in for the named factor here too, once."""
    made = enrol_totp(client, token)
    body = {"factor_id": made.factor_id, "code": made.recovery_codes[0]}
    assert client.post("/reauthenticate", body, token=token).status == 200
    refused(client.post("/reauthenticate", body, token=token), 422, "code_invalid")
    assert actions(app).count("recovery.used") == 1


@pytest.mark.parametrize("path", ["/mfa/verify", "/authenticator/verify"])
def test_second_step_is_limited_by_network(tmp_path: Path, world: FakeWorld, path: str) -> None:
    """Twenty tries a minute from one network, with the headers that say so; others go on."""
    with running(tmp_path, world, **{**phone.FREE, "limit_link": "20/60s"}) as app:
        client = Client(app)
        statuses = [client.post(path, {"mfa_token": "x", "code": "000000"}).status for _ in range(21)]
        assert statuses == [401] * 20 + [429]
        answer = refused(client.post(path, {"mfa_token": "x", "code": "000000"}), 429, "rate_limited")
        assert '"link"' in (answer.header("RateLimit-Policy") or "")
        assert answer.header("Retry-After") is not None
        assert Client(app, ip="198.51.100.1").post(path, {"mfa_token": "x", "code": "000000"}).status == 401


@pytest.mark.parametrize("path", ["/mfa/setup", "/authenticator/setup"])
def test_setups_are_limited_by_session(tmp_path: Path, world: FakeWorld, path: str) -> None:
    """Thirty changes an hour of one session."""
    with running(tmp_path, world, **{**phone.FREE, "limit_factor": "30/3600s"}) as app:
        client = Client(app)
        token, other = client.register()["access_token"], client.register(phone.OTHER)["access_token"]
        assert [client.post(path, BODIES[path], token=token).status for _ in range(31)] == [201] * 30 + [429]
        assert client.post(path, BODIES[path], token=other).status == 201
        assert phone.rows(app, "SELECT count(*) FROM factors") == [(2,)]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
@pytest.mark.parametrize("path", PATHS)
def test_foreign_sites_change_no_factor(client: Client, path: str, origin: str) -> None:
    """The cookie of a signed-in browser does not work from elsewhere."""
    browser = Client(client.app, keep_cookies=True)
    made = browser.register(options={"setCookie": True})
    enrol_totp(browser, made["access_token"])
    refused(browser.post(path, BODIES[path], headers={"Origin": origin}), 403, "csrf_failed")
    assert len(client.get("/mfa", token=made["access_token"])["factors"]) == 1


def test_qr_is_null_without_the_extra(client: Client, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without segno the URI has to do."""
    import sys

    monkeypatch.setitem(sys.modules, "segno", None)
    made = client.post("/mfa/setup", {"type": "totp"}, token=token)
    assert (made.status, made["qr_svg"]) == (201, None)
    assert made["otpauth_uri"].startswith("otpauth://totp/")


def test_label_is_never_markup_in_the_picture(client: Client, token: str) -> None:
    """The picture holds the URI as squares, not as text."""
    made = client.post("/mfa/setup", {"type": "totp", "label": "<script>alert(1)</script>"}, token=token)
    assert "script" not in made["qr_svg"]
    assert "script" not in made["otpauth_uri"]
