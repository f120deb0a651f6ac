"""Factors of an account: set up, confirmed, listed, removed; what the owner is told of it, and what must have one may do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from authsvc.flows.users import NewUser
from authsvc.primitives.emails import parse
from authsvc.routes import ROUTES, Route
from tests import phone
from tests.phone import (
    NUMBER,
    OTHER,
    OTHER_NUMBER,
    claims,
    enrol_email,
    enrol_sms,
    enrol_totp,
    first_step,
    refused,
    second_step,
    set_up_totp,
)
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows, running, together

ADMIN_EMAIL = "admin@mail.com"


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, name="My Shop", **phone.SMS, **phone.FREE) as app:
        yield app


@pytest.fixture
def apps(tmp_path: Path, world: FakeWorld) -> Iterator[Any]:
    """Makes apps with settings, and closes them."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(tmp_path, world, **phone.SMS, **phone.FREE, **settings))


@pytest.fixture
def token(client: Client) -> str:
    return str(client.register()["access_token"])


def make_admin(app: App, email: str = ADMIN_EMAIL) -> str:
    """The id of a new administrator."""
    with app.core.store.write() as tx:
        user = users.insert(tx, app.core, NewUser(parse(email), roles=["admin"]), None)
        tx.users.change(user.id, app.core.world.now(), email_verified_at=app.core.world.now(), password_hash=_hash_of(tx, EMAIL))
    return user.id


def _hash_of(tx: Any, email: str) -> str | None:
    found = tx.users.by_email(email)
    return found.password_hash if found else None


def factors(client: Client, token: str) -> list[dict[str, Any]]:
    return list(client.get("/mfa", token=token)["factors"])


def test_setup_gives_what_an_authenticator_needs(client: Client, token: str) -> None:
    """The secret, the URI and a picture of it say the same; pyotp reads it; nothing counts yet."""
    made = client.post("/mfa/setup", {"type": "totp", "label": "Work phone"}, token=token)
    assert made.json().keys() == {"factor_id", "type", "label", "secret", "otpauth_uri", "qr_svg"}
    assert (made.status, made["type"], made["label"], made["factor_id"][:4]) == (201, "totp", "Work phone", "fac_")
    parts = urlsplit(made["otpauth_uri"])
    assert (parts.scheme, parts.netloc, unquote(parts.path)) == ("otpauth", "totp", f"/My Shop:{EMAIL}")
    assert parse_qs(parts.query) == {"secret": [made["secret"]], "issuer": ["My Shop"]}
    read = pyotp.parse_uri(made["otpauth_uri"])
    assert (read.secret, read.issuer, read.name) == (made["secret"], "My Shop", EMAIL)
    assert made["qr_svg"].startswith("<svg")
    assert "script" not in made["qr_svg"]
    assert client.get("/mfa", token=token).json() == {"factors": [], "recovery_codes_left": 0}
    assert client.get("/user", token=token)["mfa_enabled"] is False
    assert client.login().status == 200


def test_first_code_makes_it_count(app: App, client: Client, token: str) -> None:
    """It counts at once, brings ten recovery codes, strengthens this session only, and is told to the owner."""
    elsewhere = client.login()
    made = set_up_totp(client, token)
    confirmed = client.post("/mfa/verify", {"factor_id": made.factor_id, "code": made.code()}, token=token)
    assert confirmed.status == 200
    assert confirmed.json().keys() == {"factor", "recovery_codes"}
    assert confirmed["factor"].keys() == {"id", "type", "label", "channel", "created_at", "last_used_at"}
    assert len(set(confirmed["recovery_codes"])) == 10
    assert client.get("/user", token=token)["mfa_enabled"] is True
    assert client.get("/mfa", token=token).json() == {"factors": [confirmed["factor"]], "recovery_codes_left": 10}
    assert [row["subject"] for row in event_rows(app) if row["action"] == "factor.added"] == [client.get("/user", token=token)["id"]]
    refreshed = client.refresh(elsewhere["refresh_token"])
    assert refreshed.status == 401 or claims(refreshed)["acr"] == "aal1"
    letters = phone.mails(app, EMAIL, "A second factor was added")
    assert ["Authenticator (TOTP)" in letter for letter in letters] == [True]
    first_step(client)


def test_session_that_confirms_gets_stronger(client: Client) -> None:
    """Its tokens say so from the next refresh on."""
    inside = client.register()
    enrol_totp(client, inside["access_token"])
    said = claims(client.refresh(inside["refresh_token"]))
    assert (said["acr"], said["amr"]) == ("aal2", ["pwd", "otp", "mfa"])


@pytest.mark.parametrize("path", ["/mfa/verify", "/authenticator/verify"])
@pytest.mark.parametrize("named", [True, False])
def test_both_verify_paths_confirm(client: Client, token: str, path: str, named: bool) -> None:
    """`factor_id` may be left out where only one waits."""
    made = client.post("/authenticator/setup", {"label": "Phone"}, token=token)
    assert (made.status, made["type"], made["label"]) == (201, "totp", "Phone")
    code = pyotp.TOTP(made["secret"]).at(client.app.core.world.now() // 1000)
    body = {"code": code, "factor_id": made["factor_id"]} if named else {"code": code}
    assert client.post(path, body, token=token)["factor"]["id"] == made["factor_id"]


def test_authenticator_verify_confirms_no_other_kind(app: App, client: Client, token: str) -> None:
    """It is for authenticators."""
    made = client.post("/mfa/setup", {"type": "sms", "phone_number": NUMBER}, token=token)
    body = {"factor_id": made["factor_id"], "code": phone.sms_code(app)}
    refused(client.post("/authenticator/verify", body, token=token), 404, "not_found")
    assert factors(client, token) == []


@pytest.mark.parametrize(("steps", "words"), [(5, "150 seconds ahead"), (-4, "120 seconds behind"), (10, "300 seconds ahead")])
def test_drift_is_named_at_enrolment(client: Client, world: FakeWorld, token: str, steps: int, words: str) -> None:
    """A code that is right but for the clock is refused with the offset, and the factor does not count."""
    made = set_up_totp(client, token)
    answer = client.post("/mfa/verify", {"factor_id": made.factor_id, "code": made.code(steps)}, token=token)
    refused(answer, 422, "code_invalid")
    assert words in answer["detail"]
    assert factors(client, token) == []


@pytest.mark.parametrize("steps", [11, -11])
def test_code_from_too_far_off_is_only_wrong(client: Client, world: FakeWorld, token: str, steps: int) -> None:
    """Beyond ten steps nothing is said of clocks."""
    made = set_up_totp(client, token)
    answer = client.post("/mfa/verify", {"factor_id": made.factor_id, "code": made.code(steps)}, token=token)
    refused(answer, 422, "code_invalid")
    assert "clock" not in answer["detail"]


def test_unconfirmed_factor_runs_out_and_never_counts(client: Client, world: FakeWorld) -> None:
    """After fifteen minutes its first code comes too late."""
    inside = client.register()
    made = set_up_totp(client, inside["access_token"])
    world.advance(901)
    late = client.post("/mfa/verify", {"factor_id": made.factor_id, "code": made.code()}, token=inside["access_token"])
    refused(late, 404, "not_found")
    assert client.login().status == 200


def test_new_setup_takes_the_place_of_one_that_waits(client: Client, token: str) -> None:
    """Of two QR codes on the screen only the last one counts."""
    old, new = set_up_totp(client, token), set_up_totp(client, token)
    refused(client.post("/mfa/verify", {"factor_id": old.factor_id, "code": old.code()}, token=token), 404, "not_found")
    refused(client.post("/mfa/verify", {"code": old.code()}, token=token), 422, "code_invalid")
    assert client.post("/mfa/verify", {"code": new.code()}, token=token)["factor"]["id"] == new.factor_id


def test_factor_is_confirmed_once_by_twenty_at_once(app: App, client: Client, token: str) -> None:
    """One of twenty threads gets the recovery codes, one event is recorded, one letter goes out."""
    made = set_up_totp(client, token)
    body = {"factor_id": made.factor_id, "code": made.code()}
    answers = together(20, lambda _: client.post("/mfa/verify", body, token=token))
    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.code for answer in answers if answer.status != 200} == {"not_found"}
    assert actions(app).count("factor.added") == 1
    assert len(phone.mails(app, EMAIL, "A second factor was added")) == 1


def test_recovery_codes_come_with_the_first_factor_only(client: Client, world: FakeWorld, token: str) -> None:
    """The second factor leaves them as they are."""
    first = enrol_totp(client, token)
    second = enrol_totp(client, token, label="Tablet")
    assert second.recovery_codes == []
    assert second_step(client, first_step(client), first.recovery_codes[0]).status == 200


def test_sms_factor_proves_the_number(app: App, client: Client, token: str) -> None:
    """The code that came back makes it the account's own, with an event."""
    made = client.post("/mfa/setup", {"type": "sms", "phone_number": "+49 (151) 1234-5678"}, token=token)
    assert made.json().keys() == {"factor_id", "type", "label", "target", "challenge_id", "channel", "expires_in"}
    assert (made.status, made["channel"], made["target"], made["expires_in"], NUMBER in made["label"]) == (201, "sms", NUMBER, 300, False)
    assert client.get("/user", token=token)["phone_number"] is None
    code = phone.sms_code(app)
    assert phone.texts(app)[-1].endswith(f"@127.0.0.1 #{code}\n---")
    assert client.post("/mfa/verify", {"factor_id": made["factor_id"], "code": code}, token=token)["factor"]["channel"] == "sms"
    user = client.get("/user", token=token)
    assert (user["phone_number"], user["phone_number_verified"], user["mfa_enabled"]) == (NUMBER, True, True)
    assert actions(app).count("phone.verified") == 1


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_otp_send_and_verify_add_a_factor(app: App, client: Client, token: str, channel: str) -> None:
    """Signed in, `channel` sends the first code of a new factor, which `challenge_id` and `code` confirm."""
    phone.prove_address(client, token)
    body = {"channel": "sms", "phone_number": NUMBER} if channel == "sms" else {"channel": "email"}
    sent = client.post("/otp/send", body, token=token)
    assert (sent.status, sent["channel"]) == (202, channel)
    code = phone.sms_code(app) if channel == "sms" else phone.mail_code(app)
    refused(client.post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": code}), 401, "unauthenticated")
    answer = client.post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": code}, token=token)
    assert (answer.status, answer["factor"]["type"], len(answer["recovery_codes"])) == (200, channel, 10)


def test_email_factor_needs_a_proved_address(app: App, client: Client, token: str) -> None:
    """A mailbox that nobody has proved is no factor."""
    refused(client.post("/mfa/setup", {"type": "email"}, token=token), 403, "email_not_verified")
    assert phone.messages(app) == []


@pytest.mark.parametrize(
    "number",
    ["+819012345678", "015112345678", "+49", "+4915112345678901", "+49151x", "+0123456789", "\u0664\u0669151", "+4915112345678\n+1"],
)
def test_sms_goes_nowhere_else(app: App, client: Client, token: str, number: str) -> None:
    """Only to listed countries, and only to numbers."""
    answer = client.post("/mfa/setup", {"type": "sms", "phone_number": number}, token=token)
    refused(answer, 422, "invalid_request")
    assert [fault["field"] for fault in answer["errors"]] == ["phone_number"]
    assert phone.messages(app) == []
    assert phone.rows(app, "SELECT count(*) FROM factors") == [(0,)]


def test_number_of_another_account_is_refused_after_its_code(app: App, client: Client, token: str) -> None:
    """A proved number belongs to one account; nothing of the second enrolment is left but the wait."""
    enrol_sms(client, token)
    other = client.register(OTHER)["access_token"]
    client.app.core.world.advance(60)
    made = client.post("/mfa/setup", {"type": "sms", "phone_number": NUMBER}, token=other)
    code = phone.sms_code(app)
    refused(client.post("/mfa/verify", {"factor_id": made["factor_id"], "code": code}, token=other), 409, "conflict")
    assert factors(client, other) == []
    assert client.get("/user", token=other)["phone_number"] is None
    assert client.get("/user", token=token)["phone_number_verified"] is True
    assert actions(app).count("factor.added") == 1


def test_register_with_send_sms_begins_a_factor(app: App, client: Client) -> None:
    """`sendSms` sends a code to the number; it proves the number when it comes back, and not before."""
    made = client.register(phone_number=NUMBER, options={"sendSms": True})
    assert (made["user"]["phone_number"], made["user"]["phone_number_verified"], made["user"]["mfa_enabled"]) == (NUMBER, False, False)
    assert len(phone.texts(app)) == 1
    body = {"challenge_id": made["challenge_id"], "code": phone.sms_code(app)}
    assert client.post("/otp/verify", body, token=made["access_token"]).status == 200
    assert client.get("/user", token=made["access_token"])["phone_number_verified"] is True


def test_register_with_send_sms_needs_a_number(app: App, client: Client) -> None:
    """Without one, or with one that SMS may not go to, there is no account."""
    for more in ({}, {"phone_number": "+819012345678"}):
        answer = client.post("/register", {"email": EMAIL, "password": PASSWORD, "options": {"sendSms": True}, **more})
        refused(answer, 422, "invalid_request")
        assert answer["errors"][0]["field"] == "phone_number"
    assert phone.rows(app, "SELECT count(*) FROM users") == [(0,)]


def test_own_phone_number_is_set_unproved(app: App, client: Client, token: str) -> None:
    """A number by PUT is only claimed; another one is claimed anew; null takes it away; the same one stays proved."""
    enrol_sms(client, token)
    path = f"/user/{client.get('/user', token=token)['id']}"
    same = client.put(path, {"phone_number": "+49 151 12345678"}, token=token)
    assert (same["phone_number"], same["phone_number_verified"]) == (NUMBER, True)
    changed = client.put(path, {"phone_number": OTHER_NUMBER}, token=token)
    assert (changed["phone_number"], changed["phone_number_verified"]) == (OTHER_NUMBER, False)
    gone = client.put(path, {"phone_number": None}, token=token)
    assert (gone["phone_number"], gone["phone_number_verified"]) == (None, False)
    refused(client.put(path, {"phone_number": "12"}, token=token), 422, "invalid_request")
    refused(client.put(path, {"phone_number_verified": True}, token=token), 403, "forbidden")
    assert "phone.verified" in actions(app)


def test_own_phone_number_needs_a_fresh_sign_in(client: Client, world: FakeWorld, token: str) -> None:
    """It is where codes go to, so an old session may not change it; a name it may."""
    path = f"/user/{client.get('/user', token=token)['id']}"
    world.advance(901)
    refused(client.put(path, {"phone_number": NUMBER}, token=token), 401, "reauthentication_required")
    assert client.put(path, {"name": "Ann"}, token=token).status == 200


def test_remove_one(app: App, client: Client, world: FakeWorld, token: str) -> None:
    """That one is not asked for any more, the others are; the owner is told."""
    gone, kept = enrol_totp(client, token), enrol_totp(client, token, label="Tablet")
    answer = client.post("/mfa/remove", {"factor_id": gone.factor_id}, token=token)
    assert (answer.status, answer.json()) == (200, {"status": "removed"})
    assert [factor["id"] for factor in factors(client, token)] == [kept.factor_id]
    assert client.get("/mfa", token=token)["recovery_codes_left"] == 10
    refused(second_step(client, first_step(client), gone.next()), 422, "code_invalid")
    assert second_step(client, first_step(client), kept.code()).status == 200
    assert len(phone.mails(app, EMAIL, "A second factor of your account")) == 1
    assert actions(app).count("factor.removed") == 1
    refused(client.post("/mfa/remove", {"factor_id": gone.factor_id}, token=token), 404, "not_found")
    assert actions(app).count("factor.removed") == 1


def test_remove_all_takes_the_recovery_codes(app: App, client: Client, token: str) -> None:
    """With the last factor they go; they do not come back with the next one."""
    enrol_totp(client, token)
    enrol_sms(client, token)
    old = client.post("/mfa/recovery-codes", {}, token=token)["recovery_codes"]
    assert client.post("/mfa/remove", {"all": True}, token=token).status == 200
    assert client.get("/mfa", token=token).json() == {"factors": [], "recovery_codes_left": 0}
    assert client.get("/user", token=token)["mfa_enabled"] is False
    assert actions(app).count("factor.removed") == 2
    letters = phone.mails(app, EMAIL, "A second factor of your account")
    assert ["Authenticator (TOTP)" in letter and "SMS" in letter for letter in letters] == [True]
    client.app.core.world.advance(30)
    enrol_totp(client, token)
    refused(second_step(client, first_step(client), old[0]), 422, "code_invalid")


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_remove_by_channel(client: Client, token: str, channel: str) -> None:
    """Only the factors of that channel go."""
    ids = {"sms": enrol_sms(client, token), "email": enrol_email(client, token)}
    totp = enrol_totp(client, token)
    assert client.post("/otp/remove", {"channel": channel}, token=token).json() == {"status": "removed"}
    left = {factor["id"] for factor in factors(client, token)}
    assert left == {totp.factor_id, *ids.values()} - {ids[channel]}
    refused(client.post("/otp/remove", {"channel": channel}, token=token), 404, "not_found")


def test_removed_sms_factor_keeps_the_open_code_from_counting(app: App, client: Client, token: str) -> None:
    """A code that is on its way when its factor goes completes nothing."""
    enrol_sms(client, token)
    enrol_totp(client, token)
    app.core.world.advance(60)
    mfa_token = first_step(client)
    client.post("/otp/send", {"mfa_token": mfa_token})
    code = phone.sms_code(app)
    client.post("/otp/remove", {"channel": "sms"}, token=token)
    refused(second_step(client, mfa_token, code), 422, "code_invalid")


@pytest.mark.parametrize("body", [{}, {"all": False}, {"factor_id": "fac_x", "all": True}])
def test_remove_wants_one_or_all(client: Client, token: str, body: dict[str, Any]) -> None:
    """What is meant has to be said, and once."""
    enrol_totp(client, token)
    refused(client.post("/mfa/remove", body, token=token), 422, "invalid_request")
    assert len(factors(client, token)) == 1


def test_ten_factors_are_the_most(client: Client, token: str) -> None:
    """An account does not grow without end."""
    for _ in range(10):
        enrol_totp(client, token)
    refused(client.post("/mfa/setup", {"type": "totp"}, token=token), 409, "conflict")


def test_letters_hold_nothing_that_a_stranger_wrote(app: App, client: Client, token: str) -> None:
    """The label is the user's own text: no letter repeats it."""
    made = enrol_totp(client, token, label="click http://evil.example")
    client.post("/mfa/remove", {"factor_id": made.factor_id}, token=token)
    assert len(phone.mails(app)) == 2
    assert "evil" not in "".join(phone.mails(app))


def test_no_secret_lies_in_the_database(app: App, client: Client, token: str) -> None:
    """Neither the shared secret nor a recovery code nor a sent code is in any row."""
    made = enrol_totp(client, token)
    enrol_sms(client, token)
    code = phone.sms_code(app)
    connection = sqlite3.connect(app.core.store.path)
    dump = "\n".join(connection.iterdump())
    connection.close()
    for secret in (made.secret, *made.recovery_codes, *(c.replace("-", "") for c in made.recovery_codes), f"'{code}'"):
        assert secret not in dump


def test_administrator_resets_factors(app: App, client: Client) -> None:
    """All go, with their sessions and codes; it is on record as the administrator's act, and the owner is told."""
    inside = client.register()
    made = enrol_totp(client, inside["access_token"])
    waiting = first_step(client)
    admin_id = make_admin(app)
    admin = client.login(ADMIN_EMAIL)["access_token"]
    answer = client.delete(f"/user/{inside['user']['id']}/factors", token=admin)
    assert (answer.status, answer.json()) == (200, {"removed": 1})
    refused(client.get("/user", token=inside["access_token"]), 401, "invalid_token")
    assert client.refresh(inside["refresh_token"]).status == 401
    assert second_step(client, waiting, made.next()).status in (401, 404)
    again = client.login()
    assert (again.status, again["user"]["mfa_enabled"]) == (200, False)
    row = next(row for row in event_rows(app) if row["action"] == "factor.removed")
    assert (row["actor_type"], row["actor_id"], row["subject"]) == ("user", admin_id, inside["user"]["id"])
    assert len(phone.mails(app, EMAIL, "A second factor of your account")) == 1
    assert client.delete(f"/user/{inside['user']['id']}/factors", token=admin).json() == {"removed": 0}
    assert client.get("/user", token=again["access_token"]).status == 200


def test_only_administrators_reset_factors(client: Client) -> None:
    """Not oneself, not a stranger; and nobody without the cap learns which ids exist."""
    inside = client.register()
    enrol_totp(client, inside["access_token"])
    other = client.register(OTHER)["access_token"]
    path = f"/user/{inside['user']['id']}/factors"
    answers = [client.delete(path, token=token) for token in (inside["access_token"], other)]
    answers.append(client.delete("/user/usr_01aaaaaaaaaaaaaaaaaaaaaaaa/factors", token=other))
    assert {(answer.status, answer.code) for answer in answers} == {(403, "forbidden")}
    refused(client.delete(path), 401, "unauthenticated")
    assert len(factors(client, inside["access_token"])) == 1


BODIES: dict[str, dict[str, Any]] = {
    "POST /reauthenticate": {"password": PASSWORD},
    "POST /oauth/link": {"provider": "x"},
    "POST /webhooks": {"url": "https://hooks.example", "events": ["*"]},
    "POST /password/change": {"current_password": PASSWORD, "new_password": "copper-lantern-27"},
    "POST /mfa/setup": {"type": "totp"},
    "POST /mfa/remove": {"all": True},
    "POST /otp/remove": {"channel": "sms"},
    "PUT /user/:user_id": {"name": "Ann"},
    "POST /user": {"email": "third@mail.com", "name": "Ann"},
    "POST /invites": {"email": "third@mail.com"},
    "POST /token/introspect": {"token": "x"},
    "POST /mfa/verify": {"code": "000000"},
    "POST /authenticator/verify": {"code": "000000"},
    "POST /otp/send": {"channel": "sms", "phone_number": NUMBER},
    "POST /otp/verify": {"email": EMAIL, "code": "000000"},
    "POST /email/verify": {},
    "POST /register": {"email": "third@mail.com", "password": PASSWORD},
    "POST /login": {"email": EMAIL, "password": PASSWORD},
    "POST /login/magic": {"email": EMAIL},
    "POST /password/forgot": {"email": EMAIL},
    "POST /password/reset/:token": {"password": PASSWORD},
}
"""A body that each route takes, for those that want more than none: authority is looked at after the form."""


@pytest.mark.parametrize("mode", ["required", "admins"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_without_its_factor_a_session_may_only_enrol(apps: Any, route: Route, mode: str) -> None:
    """Every route that wants a signed-in caller refuses one whose second factor is missing, but for those that help to get it."""
    app = apps(mfa=mode)
    client = Client(app)
    client.register()
    admin_id = make_admin(app)
    token = client.login(ADMIN_EMAIL)["access_token"]
    path = route.path.replace(":user_id", admin_id).replace(":session_id", "ses_x").replace(":token", "x").replace(":name", "x")
    given = BODIES.get(f"{route.method} {route.path}", {})
    answer = client.call(route.method, path.replace(":code", "internal"), given if route.method != "GET" else None, token=token)
    if route.who.enrols or not route.who.signed_in:
        assert b'"code":"mfa_enrolment_required"' not in answer.body or answer.status == 200  # the API's description names all codes
    else:
        refused(answer, 403, "mfa_enrolment_required")
    assert phone.rows(app, "SELECT count(*) FROM users WHERE name IS NOT NULL") == [(0,)]


ENROL_ROUTES = {"GET /account", "GET /mfa", "GET /user", "POST /mfa/setup", "POST /authenticator/setup", "POST /reauthenticate"}


def test_routes_that_help_to_enrol_are_these() -> None:
    """A new exception is a decision, not an accident."""
    assert {f"{route.method} {route.path}" for route in ROUTES if route.who.enrols} == ENROL_ROUTES


def test_tokens_without_the_factor_have_no_caps(apps: Any) -> None:
    """Other services that trust the token must not let such a session act as an administrator."""
    app = apps(mfa="admins")
    client = Client(app)
    client.register()
    make_admin(app)
    inside = client.login(ADMIN_EMAIL)
    assert (claims(inside)["caps"], inside["user"]["caps"], claims(inside)["acr"]) == ([], [], "aal1")
    assert client.get("/user", token=inside["access_token"])["caps"] == []
    assert claims(client.refresh(inside["refresh_token"]))["caps"] == []


def test_second_factor_gives_everything_back(apps: Any) -> None:
    """After enrolling, and at every sign-in from then on, the caps are there and the routes open."""
    app = apps(mfa="required")
    client = Client(app)
    client.register()
    admin_id = make_admin(app)
    inside = client.login(ADMIN_EMAIL)
    made = enrol_totp(client, inside["access_token"])
    refreshed = client.refresh(inside["refresh_token"])
    entered = second_step(client, first_step(client, ADMIN_EMAIL), made.next())
    for answer in (refreshed, entered):
        assert (claims(answer)["caps"], claims(answer)["acr"]) == (["*"], "aal2")
        assert client.get(f"/user/{admin_id}", token=answer["access_token"]).status == 200
        assert client.get("/sessions", token=answer["access_token"]).status == 200


def test_admins_asks_only_administrators(apps: Any) -> None:
    """Everybody else goes on as before; a role that is granted brings the duty with it."""
    app = apps(mfa="admins")
    client = Client(app)
    inside = client.register()
    assert client.get("/sessions", token=inside["access_token"]).status == 200
    users.change_roles(app.core, inside["user"]["id"], CLI, grant=["admin"])
    token = client.login()["access_token"]
    refused(client.get("/sessions", token=token), 403, "mfa_enrolment_required")


@pytest.mark.parametrize("given", ["one", "all", "channel"])
def test_last_factor_cannot_be_removed_where_one_is_needed(apps: Any, given: str) -> None:
    """Nothing is removed and nobody is told; of two, one may go."""
    app = apps(mfa="required")
    client = Client(app)
    token = client.register()["access_token"]
    sms = enrol_sms(client, token)
    path, body = {
        "one": ("/mfa/remove", {"factor_id": sms}),
        "all": ("/mfa/remove", {"all": True}),
        "channel": ("/otp/remove", {"channel": "sms"}),
    }[given]
    refused(client.post(path, body, token=token), 409, "conflict")
    assert [factor["id"] for factor in factors(client, token)] == [sms]
    assert "factor.removed" not in actions(app)
    enrol_totp(client, token)
    second = client.post(path, body, token=token)
    assert second.status == (409 if given == "all" else 200)
    assert len(factors(client, token)) == (2 if given == "all" else 1)


def test_last_two_factors_are_not_removed_at_once(apps: Any) -> None:
    """Of two removals at the same moment, one finds that it would take the last."""
    app = apps(mfa="required")
    client = Client(app)
    token = client.register()["access_token"]
    made = [enrol_totp(client, token), enrol_totp(client, token)]
    answers = together(2, lambda index: client.post("/mfa/remove", {"factor_id": made[index].factor_id}, token=token))
    assert sorted(answer.status for answer in answers) == [200, 409]
    assert len(factors(client, token)) == 1


def test_mailbox_twice_does_not_satisfy_the_duty(apps: Any) -> None:
    """Where a second factor is needed, a magic link and a code to the same mailbox may still only enrol, however often shown."""
    app = apps(mfa="required")
    client = Client(app)
    factor_id = enrol_email(client, client.register()["access_token"])

    def code() -> str:
        app.core.world.advance(60)
        client.post("/otp/send", {"mfa_token": first_step(client)})
        return phone.mail_code(app)

    client.post("/otp/send", {"email": EMAIL})
    asked = client.post("/otp/verify", {"email": EMAIL, "code": phone.mail_code(app)})
    inside = second_step(client, asked["mfa_token"], code())
    assert claims(inside)["acr"] == "aal1"
    refused(client.get("/sessions", token=inside["access_token"]), 403, "mfa_enrolment_required")
    again = client.post("/reauthenticate", {"factor_id": factor_id, "code": code()}, token=inside["access_token"])
    refused(client.get("/sessions", token=again["access_token"]), 403, "mfa_enrolment_required")
