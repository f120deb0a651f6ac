"""Attacks on codes and second factors: C6 to C11 of the attack list, and A12 as far as factors go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.primitives import codes, recovery, totp
from tests import phone
from tests.phone import (
    NUMBER,
    OTHER,
    OTHER_NUMBER,
    Authenticator,
    claims,
    enrol_email,
    enrol_sms,
    enrol_totp,
    first_step,
    other_than,
    refused,
    second_step,
    set_up_totp,
)
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

NEW_EMAIL = "new@mail.com"
NEW_PASSWORD = "copper-lantern-27"
SQUATTED = "victim@mail.com"
DAY = 86_400
A_DAY = int(LIMITS["code_account"].default.partition("/")[0])
JSON = {"Accept": "application/json"}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **phone.SMS, **phone.FREE) as app:
        yield app


@pytest.fixture
def owner(client: Client) -> Authenticator:
    """The authenticator of an account with a proved address."""
    token = client.register()["access_token"]
    phone.prove_address(client, token)
    return enrol_totp(client, token)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every code that was compared with that of an authenticator or of a sending."""
    seen: list[str] = []
    matching_step, is_right = totp.matching_step, codes.is_right

    def of_an_authenticator(given: str, *more: Any) -> int | None:
        seen.append(given)
        return matching_step(given, *more)

    def of_a_sending(given: str, *more: Any) -> bool:
        seen.append(given)
        return is_right(given, *more)

    monkeypatch.setattr(totp, "matching_step", of_an_authenticator)
    monkeypatch.setattr(codes, "is_right", of_a_sending)
    return seen


def network(number: int) -> str:
    """An address in a /24 of its own."""
    return f"10.{number // 256 % 256}.{number % 256}.7"


def mfa_state(app: App) -> list[tuple[Any, ...]]:
    """Everything that makes up who has which factor."""
    return [
        *phone.rows(app, "SELECT id, user_id, confirmed_at FROM factors ORDER BY id"),
        *phone.rows(app, "SELECT user_id, id, used FROM recovery_batches ORDER BY user_id"),
        *phone.rows(app, "SELECT id, mfa_enabled, phone_number FROM users ORDER BY id"),
    ]


def told(answer: Answer) -> tuple[int, dict[str, Any]]:
    return answer.status, {name: value for name, value in answer.json().items() if name != "request_id"}


# C6


def test_c6_sign_in_takes_five_codes_also_in_parallel_at_the_fifth(client: Client, owner: Authenticator, compared: list[str]) -> None:
    """After four wrong codes, one of twenty threads is compared; then the right one is refused too."""
    mfa_token, wrong = first_step(client), owner.wrong()
    for _ in range(4):
        refused(second_step(client, mfa_token, wrong), 422, "code_invalid")
    answers = together(20, lambda _: second_step(client, mfa_token, wrong))
    assert sorted((answer.status, answer.code) for answer in answers) == [(422, "code_invalid")] + [(429, "too_many_attempts")] * 19
    assert len(compared) == 5
    for code in (owner.next(), owner.recovery_codes[0]):
        refused(second_step(client, mfa_token, code), 429, "too_many_attempts")


@pytest.mark.parametrize("target", [{"email": OTHER}, {"phone_number": NUMBER}])
def test_c6_passwordless_challenge_takes_five_codes_also_in_parallel_at_the_fifth(
    app: App, client: Client, compared: list[str], target: dict[str, str]
) -> None:
    """The same where the code is the only step."""
    client.post("/otp/send", target)
    right = phone.mail_code(app, OTHER) if "email" in target else phone.sms_code(app)
    body = {**target, "code": other_than(right)}
    for _ in range(4):
        refused(client.post("/otp/verify", body), 422, "code_invalid")
    answers = together(20, lambda _: client.post("/otp/verify", body))
    assert sorted((answer.status, answer.code) for answer in answers) == [(422, "code_invalid")] + [(429, "too_many_attempts")] * 19
    assert len(compared) == 5
    refused(client.post("/otp/verify", {**target, "code": right}), 429, "too_many_attempts")


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_c6_sent_code_takes_five_tries_over_sign_ins_and_resends(
    app: App, client: Client, world: FakeWorld, compared: list[str], channel: str
) -> None:
    """Twenty parallel sign-ins and a resend in the middle are still one challenge: five comparisons."""
    token = client.register()["access_token"]
    factor_id = enrol_sms(client, token) if channel == "sms" else enrol_email(client, token)
    world.advance(60)
    waiting = [first_step(client) for _ in range(20)]
    sent = client.post("/otp/send", {"mfa_token": waiting[0]})
    for mfa_token in waiting[:2]:
        second_step(client, mfa_token, "12345x", factor_id=factor_id)
    world.advance(31)
    assert client.post("/otp/send", {"mfa_token": waiting[1]})["challenge_id"] == sent["challenge_id"]
    right = phone.sms_code(app) if channel == "sms" else phone.mail_code(app)
    compared.clear()
    together(16, lambda index: second_step(client, waiting[index], other_than(right), factor_id=factor_id))
    assert len(compared) == 3
    assert phone.rows(app, "SELECT attempts FROM challenges WHERE id = ?", sent["challenge_id"]) == [(5,)]
    refused(second_step(client, waiting[19], right, factor_id=factor_id), 422, "code_invalid")


def test_c6_enrolment_is_bounded_by_the_account(app: App, client: Client, compared: list[str]) -> None:
    """The first code of a new factor cannot be guessed more often than any other."""
    token = client.register()["access_token"]
    made = set_up_totp(client, token)
    answers = [client.post("/mfa/verify", {"code": made.wrong()}, token=token).code for _ in range(A_DAY + 5)]
    assert answers == ["code_invalid"] * A_DAY + ["too_many_attempts"] * 5
    assert "factor.added" not in actions(app)


@pytest.mark.parametrize("kind", ["totp", "sms", "email"])
def test_c6_ten_thousand_guesses_are_compared_no_oftener_than_documented(
    app: App, client: Client, world: FakeWorld, compared: list[str], kind: str
) -> None:
    """An attacker with the password, new sign-ins, resends and networks without end gets twenty guesses and twenty a day more."""
    token = client.register()["access_token"]
    factor_id = {"totp": lambda *_: enrol_totp(client, token).factor_id, "sms": enrol_sms, "email": enrol_email}[kind](client, token)
    world.advance(60)
    compared.clear()
    began, answers, guesses = world.now(), [], 3_334
    while len(answers) < guesses:
        attacker = Client(app, ip=network(len(answers)))
        mfa_token = first_step(attacker)
        if kind != "totp":
            attacker.post("/otp/send", {"mfa_token": mfa_token})
        for path, more in (("/mfa/verify", {}), ("/otp/verify", {}), ("/authenticator/verify", {"factor_id": factor_id})) * 2:
            answers.append(attacker.post(path, {"mfa_token": mfa_token, "code": f"{len(answers):05}x", **more}).code)
        world.advance(120)
    days = (world.now() - began) / 1000 / DAY
    assert days > 0.7
    assert set(answers) == {"code_invalid", "too_many_attempts"}
    assert A_DAY <= answers.count("code_invalid") <= A_DAY * (1 + days)
    assert len(compared) <= answers.count("code_invalid")
    assert phone.live_sessions(app) == 1


def test_c6_many_factors_do_not_give_more_guesses(app: App, client: Client, compared: list[str], owner: Authenticator) -> None:
    """A guess is counted once for the account, whichever factor it names, in twenty threads at once."""
    token = second_step(client, first_step(client), owner.next())["access_token"]
    ids = [owner.factor_id, enrol_totp(client, token).factor_id]
    waiting = [first_step(client) for _ in range(40)]
    compared.clear()
    answers = together(40, lambda index: second_step(client, waiting[index], owner.wrong(), factor_id=ids[index % 2]).code)
    assert answers.count("code_invalid") == A_DAY
    assert len(compared) == A_DAY


@pytest.mark.parametrize("target", [{"email": EMAIL}, {"phone_number": NUMBER}])
def test_c6_passwordless_guesses_are_bounded_by_target_and_day(
    app: App, client: Client, world: FakeWorld, compared: list[str], target: dict[str, str]
) -> None:
    """New challenges and networks do not give new guesses at an address or a number."""
    enrol_sms(client, client.register()["access_token"])
    world.advance(60)
    compared.clear()
    began, answers = world.now(), []
    for number in range(150):
        attacker = Client(app, ip=network(number))
        sent = attacker.post("/otp/send", target)
        for body in (target, {"challenge_id": sent["challenge_id"]}) * 3:
            answers.append(attacker.post("/otp/verify", {**body, "code": f"{len(answers):05}x"}).code)
        world.advance(60)
    days = (world.now() - began) / 1000 / DAY
    assert set(answers) == {"code_invalid", "too_many_attempts"}
    assert answers.count("code_invalid") <= A_DAY * (1 + days)
    assert len(compared) <= answers.count("code_invalid")


def test_c6_stranger_does_not_lock_the_owners_second_step(app: App, client: Client, world: FakeWorld) -> None:
    """Wrong codes of people without the password leave the owner's sign-in by every factor as it was."""
    token = client.register()["access_token"]
    app_factor, email, sms = enrol_totp(client, token), enrol_email(client, token), enrol_sms(client, token)
    world.advance(60)
    for number in range(12):
        stranger = Client(app, ip=network(number))
        for target in ({"email": EMAIL}, {"phone_number": NUMBER}):
            stranger.post("/otp/send", target)
            for _ in range(5):
                stranger.post("/otp/verify", {**target, "code": "00000x"})
        verify = stranger.post("/email/verify", {"email": EMAIL})
        stranger.post("/otp/verify", {"challenge_id": verify["challenge_id"], "code": "00000x"})
        stranger.post("/mfa/verify", {"mfa_token": "mfa_x", "code": "00000x", "factor_id": sms})
        world.advance(31)
    assert stranger.post("/otp/verify", {"email": EMAIL, "code": "00000x"}).code == "too_many_attempts"
    assert second_step(client, first_step(client), app_factor.code()).status == 200
    for factor_id, code in ((sms, phone.sms_code), (email, phone.mail_code)):
        mfa_token = first_step(client)
        client.post("/otp/send", {"mfa_token": mfa_token, "factor_id": factor_id})
        assert second_step(client, mfa_token, code(app), factor_id=factor_id).status == 200
    assert second_step(client, first_step(client), app_factor.recovery_codes[0]).status == 200


def test_c6_stranger_does_not_use_up_an_open_second_step(client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """Nobody but who did the first step can spend its tries: the token cannot be guessed, and the id alone is worth nothing."""
    mfa_token = first_step(client)
    challenge_id = "chl_" + mfa_token.removeprefix("mfa_").partition(".")[0]
    stranger = Client(client.app, ip=network(1))
    for _ in range(3):
        refused(
            stranger.post("/mfa/verify", {"mfa_token": mfa_token[:-1] + "A-"[mfa_token[-1] == "A"], "code": "000000"}), 401, "invalid_token"
        )
    assert stranger.post("/otp/verify", {"challenge_id": challenge_id, "code": owner.next()}).status == 422
    assert second_step(client, mfa_token, owner.code()).status == 200


# C7


def test_c7_same_step_twice(app: App, client: Client, owner: Authenticator) -> None:
    """A code that was read over the shoulder is spent."""
    code = owner.next()
    assert second_step(client, first_step(client), code).status == 200
    sessions = phone.live_sessions(app)
    refused(second_step(client, first_step(client), code), 422, "code_invalid")
    assert phone.live_sessions(app) == sessions


def test_c7_first_code_of_an_enrolment_signs_nobody_in(client: Client, owner: Authenticator) -> None:
    """The code that confirmed the factor is spent too."""
    refused(second_step(client, first_step(client), owner.code()), 422, "code_invalid")


@pytest.mark.parametrize(("first", "then"), [(0, -1), (1, 0), (1, -1)])
def test_c7_older_step_after_a_newer(client: Client, world: FakeWorld, owner: Authenticator, first: int, then: int) -> None:
    """The last accepted step must rise, though the window would still let the older one pass."""
    world.advance(300)
    assert second_step(client, first_step(client), owner.code(first)).status == 200
    refused(second_step(client, first_step(client), owner.code(then)), 422, "code_invalid")


def test_c7_clock_set_back_brings_no_spent_step_back(client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """What was spent stays spent when the host's clock is corrected."""
    world.advance(300)
    code = owner.code()
    assert second_step(client, first_step(client), code).status == 200
    world.advance(-30)
    refused(second_step(client, first_step(client), code), 422, "code_invalid")


def test_c7_two_parallel_uses(app: App, client: Client, owner: Authenticator) -> None:
    """Of two sign-ins with one code at the same moment, one gets a session."""
    code, before = owner.next(), phone.live_sessions(app)
    waiting = [first_step(client), first_step(client)]
    answers = together(2, lambda index: second_step(client, waiting[index], code))
    assert sorted(answer.status for answer in answers) == [200, 422]
    assert phone.live_sessions(app) == before + 1


def test_c7_confirming_oneself_spends_the_step_for_signing_in(client: Client, owner: Authenticator) -> None:
    """A code is spent wherever it was shown."""
    inside = second_step(client, first_step(client), owner.next())
    code = owner.next()
    body = {"factor_id": owner.factor_id, "code": code}
    assert client.post("/reauthenticate", body, token=inside["access_token"]).status == 200
    refused(client.post("/reauthenticate", body, token=inside["access_token"]), 422, "code_invalid")
    refused(second_step(client, first_step(client), code), 422, "code_invalid")


# C8


AS_CREDENTIAL: dict[str, Callable[[Client, str], Answer]] = {
    "bearer": lambda client, text: client.get("/user", token=text),
    "bearer for the factors": lambda client, text: client.post("/mfa/setup", {"type": "totp"}, token=text),
    "bearer for the listing": lambda client, text: client.get("/mfa", token=text),
    "cookie": lambda client, text: client.get("/user", headers={"Cookie": f"authsvc_access={text}"}),
    "refresh token": lambda client, text: client.refresh(text),
    "refresh bearer": lambda client, text: client.get("/token/refresh", token=text),
    "refresh cookie": lambda client, text: client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={text}"}),
    "reauthentication": lambda client, text: client.post("/reauthenticate", {"password": PASSWORD}, token=text),
    "enrolment": lambda client, text: client.post("/otp/send", {"channel": "sms", "phone_number": NUMBER}, token=text),
    "magic link by GET": lambda client, text: client.get(f"/login/magic/{text}", headers=JSON),
    "magic link": lambda client, text: client.post(f"/login/magic/{text}", {}),
    "reset link": lambda client, text: client.post(f"/password/reset/{text}", {"password": NEW_PASSWORD}),
    "verification link": lambda client, text: client.post(f"/email/verify/{text}", {}),
    "undo link": lambda client, text: client.post(f"/email/undo/{text}", {}),
}


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("use", AS_CREDENTIAL)
def test_c8_mfa_token_is_no_other_credential(app: App, client: Client, owner: Authenticator, use: str, bare: bool) -> None:
    """What stands for a first step opens nothing, with its prefix or without, and goes on standing for it."""
    mfa_token, before, sessions = first_step(client), mfa_state(app), phone.live_sessions(app)
    answer = AS_CREDENTIAL[use](client, mfa_token.removeprefix("mfa_") if bare else mfa_token)
    assert (answer.status, answer.code) in ((401, "invalid_token"), (410, "link_invalid"))
    assert b"access_token" not in answer.body
    assert (mfa_state(app), phone.live_sessions(app)) == (before, sessions)
    assert second_step(client, mfa_token, owner.next()).status == 200


@pytest.mark.parametrize("prefix", ["", "mfa_"])
@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/login/magic", {"path": "/login/magic", "body": {"email": EMAIL}}),
        ("/password/reset", {"path": "/password/forgot", "body": {"email": EMAIL}}),
    ],
)
def test_c8_link_tokens_are_no_mfa_tokens(
    app: App, client: Client, owner: Authenticator, path: str, ask: dict[str, Any], prefix: str
) -> None:
    """A mailed link does not take the place of the password for the second step."""
    client.post(ask["path"], ask["body"])
    refused(second_step(client, prefix + phone.mail_link(app, path), owner.next()), 401, "invalid_token")
    refused(client.post("/otp/send", {"mfa_token": prefix + phone.mail_link(app, path)}), 401, "invalid_token")


def test_c8_other_credentials_are_no_mfa_tokens(client: Client, owner: Authenticator) -> None:
    """Nor do an access or a refresh token, of this account or another."""
    inside = second_step(client, first_step(client), owner.next())
    other = client.register(OTHER)
    for held in (inside, other):
        for name in ("access_token", "refresh_token", "session_id"):
            for prefix in ("", "mfa_"):
                refused(second_step(client, prefix + held[name], owner.next()), 401, "invalid_token")


def test_c8_first_step_is_spent_by_the_second(app: App, client: Client, owner: Authenticator) -> None:
    """One first step gives one session, though another right code follows."""
    mfa_token = first_step(client)
    assert second_step(client, mfa_token, owner.next()).status == 200
    sessions = phone.live_sessions(app)
    for code in (owner.next(), owner.recovery_codes[0]):
        refused(second_step(client, mfa_token, code), 401, "invalid_token")
    refused(client.post("/otp/send", {"mfa_token": mfa_token}), 401, "invalid_token")
    assert phone.live_sessions(app) == sessions


def test_c8_expired_first_step_counts_for_nothing(client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """Sending and proving are both over after five minutes."""
    mfa_token = first_step(client)
    world.advance(300)
    refused(second_step(client, mfa_token, owner.code()), 401, "invalid_token")
    refused(client.post("/otp/send", {"mfa_token": mfa_token}), 401, "invalid_token")


def test_c8_first_step_leaves_nothing_to_refresh(client: Client, owner: Authenticator) -> None:
    """No cookie and no session comes of the first step alone."""
    browser = Client(client.app, keep_cookies=True)
    first_step(browser)
    assert not {"authsvc_access", "authsvc_refresh"} & browser.cookies.keys()
    for method in ("GET", "POST"):
        answer = browser.call(method, "/token/refresh", {} if method == "POST" else None)
        assert answer.status == 401


@pytest.mark.parametrize("target", [{"email": EMAIL}, {"phone_number": NUMBER}])
@pytest.mark.parametrize("named", [False, True])
def test_c8_passwordless_code_is_only_a_first_step(
    app: App, client: Client, owner: Authenticator, target: dict[str, str], named: bool
) -> None:
    """Whoever has a factor is asked for it after a mailed or texted code too."""
    token = second_step(client, first_step(client), owner.next())["access_token"]
    enrol_sms(client, token)
    app.core.world.advance(60)
    sessions = phone.live_sessions(app)
    sent = client.post("/otp/send", target)
    code = phone.mail_code(app) if "email" in target else phone.sms_code(app)
    body = {"challenge_id": sent["challenge_id"]} if named else target
    refused(client.post("/otp/verify", {**body, "code": code}), 401, "mfa_required")
    assert phone.live_sessions(app) == sessions


def test_c8_reset_takes_no_factor_away(app: App, client: Client, owner: Authenticator) -> None:
    """The mailbox alone opens the account neither at once nor by the new password."""
    before = mfa_state(app)
    waiting = first_step(client)
    client.post("/password/forgot", {"email": EMAIL})
    done = client.post(f"/password/reset/{phone.mail_link(app, '/password/reset')}", {"password": NEW_PASSWORD})
    assert b"access_token" not in done.body
    assert mfa_state(app) == before
    refused(second_step(client, waiting, owner.next()), 401, "invalid_token")
    refused(client.login(password=NEW_PASSWORD), 401, "mfa_required")


def test_c8_registering_again_takes_no_factor_away(app: App, client: Client, owner: Authenticator) -> None:
    """The address is taken, whatever is asked for beside it."""
    before = mfa_state(app)
    for more in (
        {},
        {"password": NEW_PASSWORD},
        {"options": {"sendResetEmail": True}},
        {"phone_number": NUMBER, "options": {"sendSms": True}},
    ):
        refused(client.post("/register", {"email": EMAIL, **more}), 409, "email_taken")
    assert mfa_state(app) == before
    refused(client.login(), 401, "mfa_required")


def changed_address(client: Client, token: str) -> str:
    """Change the address of an account and prove the new one; the token of the link that takes it back."""
    user_id = client.get("/user", token=token)["id"]
    assert client.put(f"/user/{user_id}", {"email": NEW_EMAIL}, token=token).status == 200
    assert client.post(f"/email/verify/{phone.mail_link(client.app, '/email/verify', NEW_EMAIL)}", {}).status == 200
    return phone.mail_link(client.app, "/email/undo")


def chosen_password(client: Client) -> None:
    """Follow the link of the mail that comes with an undone change."""
    token = phone.mail_link(client.app, "/password/reset")
    assert client.post(f"/password/reset/{token}", {"password": NEW_PASSWORD}).status == 200


def test_c8_changing_the_address_and_back_takes_no_factor_away(app: App, client: Client, owner: Authenticator) -> None:
    """Neither a new address nor taking it back signs anybody in without the factor that was there before."""
    token = second_step(client, first_step(client), owner.next())["access_token"]
    undo = changed_address(client, token)
    client.post("/otp/send", {"email": NEW_EMAIL})
    by_mail = client.post("/otp/verify", {"email": NEW_EMAIL, "code": phone.mail_code(app, NEW_EMAIL)})
    waiting = refused(by_mail, 401, "mfa_required")["mfa_token"]
    assert client.post(f"/email/undo/{undo}", {}).json() == {"status": "email_restored"}
    refused(second_step(client, waiting, owner.next()), 401, "invalid_token")
    chosen_password(client)
    assert second_step(client, first_step(client, password=NEW_PASSWORD), owner.next()).status == 200


@pytest.mark.parametrize("begun", ["before", "after"])
def test_c8_factor_of_a_hijacker_goes_with_the_address(app: App, client: Client, world: FakeWorld, begun: str) -> None:
    """What was added since the change goes when the owner takes it back, also if it was set up before and confirmed after."""
    token = client.register()["access_token"]
    phone.prove_address(client, token)
    made = set_up_totp(client, token) if begun == "before" else None
    world.advance(1)
    undo = changed_address(client, token)
    world.advance(1)
    made = made or set_up_totp(client, token)
    confirmed = client.post("/mfa/verify", {"factor_id": made.factor_id, "code": made.code()}, token=token)
    assert confirmed.status == 200
    client.post(f"/email/undo/{undo}", {})
    assert phone.rows(app, "SELECT count(*) FROM recovery_batches") == [(0,)]
    chosen_password(client)
    entered = client.login(password=NEW_PASSWORD)
    assert (entered.status, entered["user"]["mfa_enabled"]) == (200, False)


@pytest.mark.parametrize("act", ["remove", "enrol", "renew"])
def test_c8_session_without_the_factor_does_not_govern_factors(app: App, client: Client, world: FakeWorld, act: str) -> None:
    """A session from before the factor, and the password, are one factor: they neither remove one nor add another."""
    old, inside = client.register(), client.login()
    enrol_totp(client, inside["access_token"])
    before = mfa_state(app)
    again = client.post("/reauthenticate", {"password": PASSWORD}, token=old["access_token"])
    token = again["access_token"] if again.status == 200 else old["access_token"]
    if act == "remove":
        client.post("/mfa/remove", {"all": True}, token=token)
    if act == "renew":
        client.post("/mfa/recovery-codes", {}, token=token)
    if act == "enrol":
        made = client.post("/mfa/setup", {"type": "totp"}, token=token)
        if made.status == 201:
            own = Authenticator(world, made["secret"], made["factor_id"])
            client.post("/mfa/verify", {"factor_id": own.factor_id, "code": own.code()}, token=token)
    assert [row for row in mfa_state(app) if row not in before and row[-1] is not None] == []
    assert [row for row in before if row not in mfa_state(app)] == []


# C9


@pytest.fixture
def stranger(client: Client, owner: Authenticator) -> tuple[Authenticator, str]:
    """Another account with an authenticator of its own, and its access token."""
    token = client.register(OTHER)["access_token"]
    made = enrol_totp(client, token)
    return made, token


def test_c9_my_sign_in_with_your_factor(app: App, client: Client, owner: Authenticator, stranger: tuple[Authenticator, str]) -> None:
    """A foreign factor id is like one that does not exist, also with its right code, at sending and at proving."""
    mine, _ = stranger
    before, sessions = mfa_state(app), phone.live_sessions(app)
    mfa_token = first_step(client, OTHER)
    code = owner.next()
    foreign = refused(second_step(client, mfa_token, code, factor_id=owner.factor_id), 404, "not_found")
    unknown = second_step(client, mfa_token, code, factor_id="fac_" + "0" * 26)
    assert told(foreign) == told(unknown)
    sendings = [client.post("/otp/send", {"mfa_token": mfa_token, "factor_id": name}) for name in (owner.factor_id, "fac_x")]
    assert told(sendings[0]) == told(sendings[1])
    refused(sendings[0], 404, "not_found")
    assert (mfa_state(app), phone.live_sessions(app)) == (before, sessions)
    assert second_step(client, first_step(client), code).status == 200
    assert second_step(client, mfa_token, mine.code())["user"]["email"] == OTHER


def test_c9_your_sign_in_with_my_codes(app: App, client: Client, owner: Authenticator, stranger: tuple[Authenticator, str]) -> None:
    """Neither my code nor my recovery code completes a sign-in of yours, and neither is spent by it."""
    mine, token = stranger
    mfa_token = first_step(client)
    for more in ({}, {"factor_id": mine.factor_id}):
        for code in (mine.next(), mine.recovery_codes[0]):
            answer = client.post("/mfa/verify", {"mfa_token": mfa_token, "code": code, **more}, token=token)
            assert (answer.status, answer.code) in ((422, "code_invalid"), (404, "not_found"))
    assert client.get("/mfa", token=token)["recovery_codes_left"] == 10
    assert second_step(client, first_step(client, OTHER), mine.code())["user"]["email"] == OTHER


def test_c9_confirming_your_waiting_factor(app: App, client: Client, owner: Authenticator, stranger: tuple[Authenticator, str]) -> None:
    """Your waiting factor is confirmed by nobody else, not even with its right code, and goes on waiting."""
    inside = second_step(client, first_step(client), owner.next())["access_token"]
    waiting = set_up_totp(client, inside, label="Tablet")
    before = mfa_state(app)
    bodies = [{"factor_id": name, "code": waiting.code()} for name in (waiting.factor_id, "fac_" + "0" * 26)]
    for path in ("/mfa/verify", "/authenticator/verify"):
        foreign, unknown = (client.post(path, body, token=stranger[1]) for body in bodies)
        refused(foreign, 404, "not_found")
        assert told(foreign) == told(unknown)
    assert mfa_state(app) == before
    assert client.post("/mfa/verify", bodies[0], token=inside).status == 200


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_c9_your_challenge_with_my_session(
    app: App, client: Client, owner: Authenticator, stranger: tuple[Authenticator, str], channel: str
) -> None:
    """The challenge of your new factor is of no use to me, with its right code too, and loses no try by it."""
    inside = second_step(client, first_step(client), owner.next())["access_token"]
    target = {"channel": "sms", "phone_number": NUMBER} if channel == "sms" else {"channel": "email"}
    sent = client.post("/otp/send", target, token=inside)
    code = phone.sms_code(app) if channel == "sms" else phone.mail_code(app)
    before = mfa_state(app)
    body = {"challenge_id": sent["challenge_id"], "code": code}
    refused(client.post("/otp/verify", body, token=stranger[1]), 404, "not_found")
    refused(client.post("/otp/verify", body), 401, "unauthenticated")
    assert mfa_state(app) == before
    assert phone.rows(app, "SELECT attempts, used_at FROM challenges WHERE id = ?", sent["challenge_id"]) == [(0, None)]
    assert client.post("/otp/verify", body, token=inside).status == 200


def test_c9_your_verification_code_with_my_session(app: App, client: Client, stranger: tuple[Authenticator, str]) -> None:
    """The code that proves your address proves it for your account only."""
    yours = client.register(NEW_EMAIL)
    sent = client.post("/email/verify", {}, token=yours["access_token"])
    body = {"challenge_id": sent["challenge_id"], "code": phone.mail_code(app, NEW_EMAIL)}
    refused(client.post("/otp/verify", body, token=stranger[1]), 401, "unauthenticated")
    assert client.get("/user", token=yours["access_token"])["email_verified"] is False


@pytest.mark.parametrize(
    ("path", "more"), [("/mfa/remove", {}), ("/reauthenticate", {"code": "000000"}), ("/mfa/verify", {"code": "000000"})]
)
def test_c9_acts_on_your_factor(
    app: App, client: Client, owner: Authenticator, stranger: tuple[Authenticator, str], path: str, more: dict[str, str]
) -> None:
    """Your factor cannot be told from one that does not exist."""
    before = mfa_state(app)
    answers = [client.post(path, {"factor_id": name, **more}, token=stranger[1]) for name in (owner.factor_id, "fac_" + "0" * 26)]
    refused(answers[0], 404, "not_found")
    assert told(answers[0]) == told(answers[1])
    assert mfa_state(app) == before
    assert "otp.failed" not in actions(app)


def test_c9_sign_in_of_one_with_the_session_of_another(client: Client, owner: Authenticator, stranger: tuple[Authenticator, str]) -> None:
    """With both an `mfa_token` and a session, the token says who is signing in, and nothing of the session is lent to it."""
    _, token = stranger
    answer = client.post("/mfa/verify", {"mfa_token": first_step(client), "code": owner.next()}, token=token)
    assert (answer.status, answer["user"]["email"], claims(answer)["amr"]) == (200, EMAIL, ["pwd", "otp", "mfa"])
    assert [factor["id"] for factor in client.get("/mfa", token=token)["factors"]] == [stranger[0].factor_id]


def test_c9_my_number_on_your_account(app: App, client: Client) -> None:
    """A number that another account proved cannot be made the way into one's own."""
    token = client.register()["access_token"]
    enrol_sms(client, token)
    other = client.register(OTHER)
    client.put(f"/user/{other['user']['id']}", {"phone_number": NUMBER}, token=other["access_token"])
    app.core.world.advance(60)
    client.post("/otp/send", {"phone_number": NUMBER})
    answer = client.post("/otp/verify", {"phone_number": NUMBER, "code": phone.sms_code(app)})
    refused(answer, 401, "mfa_required")
    assert phone.rows(app, "SELECT count(*) FROM users") == [(2,)]


# C10


SENSITIVE: list[tuple[str, dict[str, Any]]] = [
    ("/mfa/setup", {"type": "totp"}),
    ("/mfa/setup", {"type": "sms", "phone_number": OTHER_NUMBER}),
    ("/mfa/setup", {"type": "email"}),
    ("/authenticator/setup", {}),
    ("/otp/send", {"channel": "sms", "phone_number": OTHER_NUMBER}),
    ("/otp/send", {"channel": "email"}),
    ("/mfa/remove", {"all": True}),
    ("/otp/remove", {"channel": "sms"}),
    ("/mfa/recovery-codes", {}),
]


@pytest.mark.parametrize(("path", "body"), SENSITIVE)
def test_c10_old_session_changes_no_factor(
    app: App, client: Client, world: FakeWorld, owner: Authenticator, path: str, body: dict[str, Any]
) -> None:
    """A session older than fifteen minutes has to prove itself anew; refreshing does not make it younger."""
    inside = second_step(client, first_step(client), owner.next())
    enrol_sms(client, inside["access_token"])
    world.advance(901)
    token = client.refresh(inside["refresh_token"])["access_token"]
    before, sent = mfa_state(app), len(phone.messages(app))
    refused(client.post(path, body, token=token), 401, "reauthentication_required")
    assert (mfa_state(app), len(phone.messages(app))) == (before, sent)
    again = client.post("/reauthenticate", {"factor_id": owner.factor_id, "code": owner.next()}, token=token)
    assert client.post(path, body, token=again["access_token"]).status in (200, 201, 202)


def test_c10_last_factor_of_a_required_user_stays(tmp_path: Path, world: FakeWorld) -> None:
    """Where a second factor is a duty, nobody gets rid of it."""
    with running(tmp_path, world, mfa="required", **phone.SMS, **phone.FREE) as app:
        client = Client(app)
        token = client.register()["access_token"]
        made = enrol_totp(client, token)
        for body in ({"factor_id": made.factor_id}, {"all": True}):
            refused(client.post("/mfa/remove", body, token=token), 409, "conflict")
        assert [factor["id"] for factor in client.get("/mfa", token=token)["factors"]] == [made.factor_id]


# C11


def test_c11_recovery_code_twice_and_in_parallel(app: App, client: Client, owner: Authenticator) -> None:
    """Of twenty sign-ins with one code at the same moment, one gets a session; later uses get none."""
    waiting, before = [first_step(client) for _ in range(20)], phone.live_sessions(app)
    answers = together(20, lambda index: second_step(client, waiting[index], owner.recovery_codes[0]))
    assert [answer.status for answer in answers].count(200) == 1
    assert phone.live_sessions(app) == before + 1
    refused(second_step(client, first_step(client), owner.recovery_codes[0]), 422, "code_invalid")
    assert actions(app).count("recovery.used") == 1
    assert len(phone.mails(app, EMAIL, "A recovery code")) == 1


def test_c11_recovery_codes_are_guessed_no_oftener_than_others(
    app: App, client: Client, owner: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guesses in their form come out of the same five and the same twenty."""
    seen: list[str] = []
    index_of = recovery.index_of

    def counted(given: str, *more: Any) -> int | None:
        seen.append(given)
        return index_of(given, *more)

    monkeypatch.setattr(recovery, "index_of", counted)
    answers = []
    for _ in range(20):
        mfa_token = first_step(client)
        answers += [second_step(client, mfa_token, f"{len(answers):05}-00000").code for _ in range(7)]
    assert (answers[:7].count("code_invalid"), len(seen), answers.count("code_invalid")) == (5, A_DAY, A_DAY)
    refused(second_step(client, first_step(client), owner.recovery_codes[0]), 429, "too_many_attempts")
    assert "recovery.used" not in actions(app)


def test_c11_recovery_code_of_removed_factors_is_dead(client: Client, owner: Authenticator) -> None:
    """Codes of an earlier life of the account's factors do not come back."""
    token = second_step(client, first_step(client), owner.next())["access_token"]
    client.post("/mfa/remove", {"all": True}, token=token)
    made = enrol_totp(client, token)
    assert not set(made.recovery_codes) & set(owner.recovery_codes)
    refused(second_step(client, first_step(client), owner.recovery_codes[0]), 422, "code_invalid")


# A12


def squat(client: Client, world: FakeWorld) -> tuple[Authenticator, Answer, str]:
    """Somebody has registered the victim's address and put factors on it: one confirmed, one by SMS, one that waits."""
    inside = client.register(SQUATTED, PASSWORD)
    made = enrol_totp(client, inside["access_token"])
    enrol_sms(client, inside["access_token"], OTHER_NUMBER)
    set_up_totp(client, inside["access_token"])
    world.advance(60)
    return made, inside, first_step(client, SQUATTED)


def by_link(client: Client) -> Answer:
    client.post("/login/magic", {"email": SQUATTED})
    return client.post(f"/login/magic/{phone.mail_link(client.app, '/login/magic', SQUATTED)}", {})


def by_code(client: Client) -> Answer:
    client.post("/otp/send", {"email": SQUATTED})
    return client.post("/otp/verify", {"email": SQUATTED, "code": phone.mail_code(client.app, SQUATTED)})


def by_reset(client: Client) -> Answer:
    client.post("/password/forgot", {"email": SQUATTED})
    client.post(f"/password/reset/{phone.mail_link(client.app, '/password/reset', SQUATTED)}", {"password": NEW_PASSWORD})
    return client.login(SQUATTED, NEW_PASSWORD)


@pytest.mark.parametrize("proof", [by_link, by_code, by_reset])
def test_a12_factors_of_a_squatter_are_dropped(app: App, client: Client, world: FakeWorld, proof: Callable[[Client], Answer]) -> None:
    """Whoever proves the address first gets in at once; nothing of what was set up before counts any more, and they are told."""
    squatted, inside, waiting = squat(client, world)
    entered = proof(client)
    user = entered["user"]
    assert (entered.status, user["id"], user["mfa_enabled"], user["phone_number"]) == (200, inside["user"]["id"], False, None)
    assert phone.rows(app, "SELECT count(*) FROM factors") == [(0,)]
    assert phone.rows(app, "SELECT count(*) FROM recovery_batches") == [(0,)]
    row = next(row for row in event_rows(app) if row["action"] == "account.reclaimed")
    assert {"factors", "password", "phone_number", "sessions"} <= set(json.loads(row["data"])["dropped"])
    assert actions(app).count("account.reclaimed") == 1
    for code in (squatted.next(), squatted.recovery_codes[0]):
        refused(second_step(client, waiting, code), 401, "invalid_token")
    refused(client.get("/mfa", token=inside["access_token"]), 401, "invalid_token")
    assert client.refresh(inside["refresh_token"]).status == 401
    refused(client.login(SQUATTED, PASSWORD), 401, "invalid_credentials")
    assert phone.live_sessions(app) == 1


def test_a12_phone_of_a_squatter_is_no_way_in(app: App, client: Client, world: FakeWorld) -> None:
    """The number that the squatter proved signs them in to an account of their own afterwards."""
    squat(client, world)
    victim = by_link(client)["user"]["id"]
    client.post("/otp/send", {"phone_number": OTHER_NUMBER})
    answer = client.post("/otp/verify", {"phone_number": OTHER_NUMBER, "code": phone.sms_code(app, OTHER_NUMBER)})
    assert answer.status == 200
    assert answer["user"]["id"] != victim


def test_a12_proved_account_keeps_its_factors(app: App, client: Client, owner: Authenticator) -> None:
    """Only the first proof of an address reclaims: later ones ask for the second step."""
    client.post("/login/magic", {"email": EMAIL})
    refused(client.post(f"/login/magic/{phone.mail_link(app, '/login/magic')}", {}), 401, "mfa_required")
    assert "account.reclaimed" not in actions(app)
    assert len(phone.rows(app, "SELECT id FROM factors")) == 1
