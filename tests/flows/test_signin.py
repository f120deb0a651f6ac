"""Every way in has one door: whoever has a second factor is asked for it, and what the first step wanted is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from authsvc.store.users import DISABLED
from tests import phone
from tests.phone import NUMBER, OTHER, Authenticator, claims, enrol_email, enrol_sms, enrol_totp, first_step, refused, second_step
from tests.support import EMAIL, PASSWORD, START, Answer, Client, FakeWorld, actions, event_rows, running

NEW_PASSWORD = "copper-lantern-27"
ORIGIN = "https://app.example.com"
JSON = {"Accept": "application/json"}
SESSION_COOKIES = {"authsvc_access", "authsvc_refresh"}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, app_origins=ORIGIN, **phone.SMS, **phone.FREE) as app:
        yield app


@pytest.fixture
def owner(client: Client) -> Authenticator:
    """The authenticator of an account with a proved address."""
    token = client.register()["access_token"]
    phone.prove_address(client, token)
    return enrol_totp(client, token)


def by_password(client: Client) -> Answer:
    return client.login()


def by_get_of_the_link(client: Client) -> Answer:
    client.post("/login/magic", {"email": EMAIL})
    return client.get(f"/login/magic/{phone.mail_link(client.app, '/login/magic')}", headers=JSON)


def by_post_of_the_link(client: Client) -> Answer:
    client.post("/login/magic", {"email": EMAIL})
    return client.post(f"/login/magic/{phone.mail_link(client.app, '/login/magic')}", {})


def by_mailed_code(client: Client) -> Answer:
    asked = client.post("/login/magic", {"email": EMAIL})
    return client.post("/otp/verify", {"challenge_id": asked["challenge_id"], "code": phone.mail_code(client.app)})


def by_passwordless_mail(client: Client) -> Answer:
    client.post("/otp/send", {"email": EMAIL})
    return client.post("/otp/verify", {"email": EMAIL, "code": phone.mail_code(client.app)})


WAYS_IN = [
    (by_password, ["pwd", "otp", "mfa"]),
    (by_get_of_the_link, ["otp", "mfa"]),
    (by_post_of_the_link, ["otp", "mfa"]),
    (by_mailed_code, ["otp", "mfa"]),
    (by_passwordless_mail, ["otp", "mfa"]),
]


def set_cookies(answer: Answer) -> set[str]:
    return {value.partition("=")[0] for value in answer.header_list("Set-Cookie") if "Max-Age=0" not in value}


@pytest.mark.parametrize(("way", "amr"), WAYS_IN, ids=lambda value: getattr(value, "__name__", ""))
def test_every_way_in_asks_for_the_second_step(
    app: App, client: Client, world: FakeWorld, owner: Authenticator, way: Callable[[Client], Answer], amr: list[str]
) -> None:
    """Whoever has a factor gets no session before its code, and then a true account of how it was opened."""
    sessions, succeeded = phone.live_sessions(app), actions(app).count("login.succeeded")
    asked = refused(way(client), 401, "mfa_required")
    assert asked["factors"] == [{"id": owner.factor_id, "type": "totp", "label": "Authenticator app"}]
    assert (
        asked.header(
            "WWW-Authenticate",
        )
        is not None
    )
    assert phone.live_sessions(app) == sessions
    assert actions(app).count("login.succeeded") == succeeded
    assert actions(app).count("login.mfa_required") == 1
    world.advance(45)
    answer = second_step(client, asked["mfa_token"], owner.code())
    assert answer.status == 200
    said = claims(answer)
    assert (said["amr"], said["acr"], said["auth_time"]) == (amr, "aal2", START // 1000 + 45)
    assert answer["user"]["mfa_enabled"] is True
    assert phone.live_sessions(app) == sessions + 1
    assert actions(app).count("login.succeeded") == succeeded + 1


def test_sign_in_without_a_factor_is_one_step(app: App, client: Client) -> None:
    """Nobody is asked for what they do not have; the session says that it was one step."""
    client.register()
    said = claims(client.login())
    assert (said["amr"], said["acr"]) == (["pwd"], "aal1")
    assert "login.mfa_required" not in actions(app)


def test_wrong_password_says_nothing_of_factors(client: Client, owner: Authenticator) -> None:
    """Only who has done the first step learns that there is a second one, and which."""
    answer = refused(client.login(password=phone.WRONG), 401, "invalid_credentials")
    assert not {"mfa_token", "factors"} & answer.json().keys()


def test_reset_signs_nobody_in_and_the_factor_stands(app: App, client: Client, owner: Authenticator) -> None:
    """A new password by mail is a new first step, and nothing more."""
    client.post("/password/forgot", {"email": EMAIL})
    answer = client.post(f"/password/reset/{phone.mail_link(app, '/password/reset')}", {"password": NEW_PASSWORD})
    assert answer.json() == {"status": "password_reset"}
    assert not answer.header_list("Set-Cookie")
    assert phone.live_sessions(app) == 0
    mfa_token = first_step(client, password=NEW_PASSWORD)
    assert second_step(client, mfa_token, owner.next()).status == 200


@pytest.mark.parametrize("wanted", [True, False])
def test_cookies_wish_of_the_first_step_is_honoured_after_the_second(client: Client, owner: Authenticator, wanted: bool) -> None:
    """`setCookie` is said with the password and counts for the whole sign-in."""
    answer = second_step(client, first_step(client, options={"setCookie": wanted}), owner.next())
    assert bool(SESSION_COOKIES & set_cookies(answer)) is wanted


@pytest.mark.parametrize("wanted", [True, False])
def test_cookies_wish_of_a_magic_link_is_honoured_after_the_second_step(
    app: App, client: Client, owner: Authenticator, wanted: bool
) -> None:
    """The same for the one who asks for a link."""
    client.post("/login/magic", {"email": EMAIL, "options": {"setCookie": wanted}})
    asked = client.post(f"/login/magic/{phone.mail_link(app, '/login/magic')}", {})
    answer = second_step(client, asked["mfa_token"], owner.next())
    assert bool(SESSION_COOKIES & set_cookies(answer)) is wanted


def test_redirect_to_of_the_password_is_honoured_after_the_second_step(client: Client, owner: Authenticator) -> None:
    """Where the sign-in was to lead is where it leads."""
    asked = client.post(f"/login?redirect_to={ORIGIN}/inbox", {"email": EMAIL, "password": PASSWORD})
    assert second_step(client, asked["mfa_token"], owner.next())["redirect_to"] == f"{ORIGIN}/inbox"


def test_redirect_to_of_a_magic_link_is_honoured_after_the_second_step(app: App, client: Client, owner: Authenticator) -> None:
    """The same for a link."""
    client.post("/login/magic", {"email": EMAIL, "redirect_to": f"{ORIGIN}/inbox"})
    asked = client.post(f"/login/magic/{phone.mail_link(app, '/login/magic')}", {})
    assert second_step(client, asked["mfa_token"], owner.next())["redirect_to"] == f"{ORIGIN}/inbox"


def test_sms_factor_after_the_password(app: App, client: Client, world: FakeWorld) -> None:
    """A code by SMS is `pwd sms mfa` and two factors."""
    factor_id = enrol_sms(client, client.register()["access_token"])
    world.advance(60)
    mfa_token = first_step(client)
    sent = client.post("/otp/send", {"mfa_token": mfa_token})
    assert (sent.status, sent["channel"], sent["expires_in"]) == (202, "sms", 300)
    answer = second_step(client, mfa_token, phone.sms_code(app), factor_id=factor_id)
    said = claims(answer)
    assert (said["amr"], said["acr"], said["auth_time"]) == (["pwd", "sms", "mfa"], "aal2", START // 1000 + 60)


def test_email_factor_after_the_password_is_two_factors(app: App, client: Client, world: FakeWorld) -> None:
    """A password and a mailbox are two."""
    enrol_email(client, client.register()["access_token"])
    world.advance(60)
    mfa_token = first_step(client)
    assert client.post("/otp/send", {"mfa_token": mfa_token})["channel"] == "email"
    said = claims(second_step(client, mfa_token, phone.mail_code(app)))
    assert (said["amr"], said["acr"]) == (["pwd", "otp", "mfa"], "aal2")


@pytest.mark.parametrize("way", [by_post_of_the_link, by_mailed_code, by_passwordless_mail])
def test_mailbox_twice_is_one_factor(app: App, client: Client, world: FakeWorld, way: Callable[[Client], Answer]) -> None:
    """After a magic link, a code to the same mailbox proves nothing new."""
    enrol_email(client, client.register()["access_token"])
    world.advance(60)
    mfa_token = way(client)["mfa_token"]
    client.post("/otp/send", {"mfa_token": mfa_token})
    said = claims(second_step(client, mfa_token, phone.mail_code(app)))
    assert (said["amr"], said["acr"]) == (["otp"], "aal1")


def test_number_twice_is_one_factor(app: App, client: Client, world: FakeWorld) -> None:
    """After a code by SMS, another one to the same number proves nothing new."""
    enrol_sms(client, client.register()["access_token"])
    world.advance(60)
    client.post("/otp/send", {"phone_number": NUMBER})
    asked = client.post("/otp/verify", {"phone_number": NUMBER, "code": phone.sms_code(app)})
    world.advance(60)
    client.post("/otp/send", {"mfa_token": asked["mfa_token"]})
    said = claims(second_step(client, asked["mfa_token"], phone.sms_code(app)))
    assert (said["amr"], said["acr"]) == (["sms"], "aal1")


def test_enrolling_the_number_that_signed_in_is_one_factor(app: App, client: Client, world: FakeWorld) -> None:
    """Nor does a phone become a second factor of its own sign-in by being enrolled as one."""
    client.post("/otp/send", {"phone_number": NUMBER})
    entered = client.post("/otp/verify", {"phone_number": NUMBER, "code": phone.sms_code(app)})
    world.advance(60)
    enrol_sms(client, entered["access_token"])
    said = claims(client.refresh(entered["refresh_token"]))
    assert (said["amr"], said["acr"]) == (["sms"], "aal1")


def test_disabled_in_between_gets_no_session(app: App, client: Client, owner: Authenticator) -> None:
    """An account that is disabled between the steps does not get past the second one."""
    mfa_token = first_step(client)
    user_id = phone.rows(app, "SELECT id FROM users")[0][0]
    users.set_status(app.core, user_id, DISABLED, CLI)
    refused(second_step(client, mfa_token, owner.next()), 401, "invalid_token")
    assert client.post("/otp/send", {"mfa_token": mfa_token}).status in (401, 404)
    assert phone.live_sessions(app) == 0


def test_password_change_in_between_ends_the_sign_in(app: App, client: Client, owner: Authenticator) -> None:
    """A first step that was done by a password is worth nothing once that password is not."""
    inside = second_step(client, first_step(client), owner.next())
    waiting = first_step(client)
    changed = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=inside["access_token"])
    assert changed.status == 200
    refused(second_step(client, waiting, owner.next()), 401, "invalid_token")
    assert phone.live_sessions(app) == 1


def test_first_step_counts_for_five_minutes(app: App, client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """At its end the sign-in begins anew."""
    in_time, late = first_step(client), first_step(client)
    world.advance(299)
    assert second_step(client, in_time, owner.code()).status == 200
    world.advance(1)
    refused(second_step(client, late, owner.code(1)), 401, "invalid_token")


def test_events_tell_both_steps(app: App, client: Client, owner: Authenticator) -> None:
    """The audit has the asking and the success, with how, and no code or token in any row."""
    mfa_token = first_step(client)
    code = owner.next()
    second_step(client, mfa_token, code)
    found = [row for row in event_rows(app) if row["action"] in ("login.mfa_required", "login.succeeded")][-2:]
    assert [(row["action"], row["outcome"]) for row in found] == [("login.mfa_required", "success"), ("login.succeeded", "success")]
    assert '"mfa"' in found[1]["data"]
    assert mfa_token not in str(event_rows(app))
    assert code not in str([row["data"] for row in event_rows(app)])


def test_two_sign_ins_wait_beside_each_other(client: Client, owner: Authenticator) -> None:
    """A second first step does not end the first: the owner may use two devices."""
    first, second = first_step(client), first_step(client)
    assert second_step(client, first, owner.next()).status == 200
    assert second_step(client, second, owner.next()).status == 200


def test_number_signs_up_without_an_address(app: App, client: Client) -> None:
    """Who proves a number that has no account gets one whose e-mail is null."""
    sent = client.post("/otp/send", {"phone_number": NUMBER})
    assert (sent.status, sent["channel"], sent["expires_in"]) == (202, "sms", 300)
    assert phone.rows(app, "SELECT count(*) FROM users") == [(0,)]
    answer = client.post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": phone.sms_code(app)})
    user = answer["user"]
    assert (user["email"], user["email_verified"], user["phone_number"], user["phone_number_verified"]) == (None, False, NUMBER, True)
    assert (claims(answer)["amr"], claims(answer)["email"]) == (["sms"], None)
    assert [name for name in actions(app) if name in ("user.registered", "phone.verified")] == ["phone.verified", "user.registered"]
    client.app.core.world.advance(60)
    client.post("/otp/send", {"phone_number": NUMBER})
    again = client.post("/otp/verify", {"phone_number": NUMBER, "code": phone.sms_code(app)})
    assert again["user"]["id"] == user["id"]
    assert phone.rows(app, "SELECT count(*) FROM users") == [(1,)]


def test_mail_signs_up(app: App, client: Client) -> None:
    """Who proves an address that has no account gets one, confirmed."""
    client.post("/otp/send", {"email": OTHER})
    answer = client.post("/otp/verify", {"email": OTHER, "code": phone.mail_code(app, OTHER)})
    assert (answer.status, answer["user"]["email"], answer["user"]["email_verified"]) == (200, OTHER, True)
    assert actions(app).count("user.registered") == 1


@pytest.mark.parametrize("target", [{"phone_number": NUMBER}, {"email": OTHER}])
def test_create_user_false_makes_no_account(app: App, client: Client, target: dict[str, str]) -> None:
    """Then nothing is sent to an unknown target, though the answer is the same."""
    answer = client.post("/otp/send", {**target, "options": {"createUser": False}})
    assert answer.status == 202
    assert phone.messages(app) == []
    assert phone.rows(app, "SELECT count(*) FROM users") == [(0,)]


def test_number_that_is_only_claimed_signs_nobody_in(app: App, client: Client) -> None:
    """A number that somebody wrote into their profile is not theirs: who proves it gets an account of their own."""
    claimed = client.register(phone_number=NUMBER)["user"]
    assert (claimed["phone_number"], claimed["phone_number_verified"]) == (NUMBER, False)
    client.post("/otp/send", {"phone_number": NUMBER})
    answer = client.post("/otp/verify", {"phone_number": NUMBER, "code": phone.sms_code(app)})
    assert answer["user"]["id"] != claimed["id"]
    assert answer["user"]["email"] is None


def test_no_factors_after_removal_means_one_step_again(client: Client, owner: Authenticator) -> None:
    """What was removed is not asked for."""
    inside = second_step(client, first_step(client), owner.next())
    assert client.post("/mfa/remove", {"all": True}, token=inside["access_token"]).status == 200
    assert client.login().status == 200
