"""/otp/send, /otp/verify and /otp/remove as callers see them; passwordless sign-in tells nobody who has an account."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from authsvc.store.users import DISABLED
from tests import phone
from tests.phone import NUMBER, OTHER, OTHER_NUMBER, enrol_sms, enrol_totp, first_step, other_than, refused
from tests.support import EMAIL, Answer, Client, FakeWorld, actions, event_rows, running

UNKNOWN = "nobody@mail.com"
UNKNOWN_NUMBER = "+4915187654321"
WRONG_CODES = ["000000", "12345", "abcdef", ""]


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **phone.SMS, **phone.FREE) as app:
        yield app


@pytest.fixture
def token(client: Client) -> str:
    return str(client.register()["access_token"])


def shape(answer: Answer) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
    """Everything a stranger can compare, without ids that differ in every answer."""
    body = {name: "…" if name in ("challenge_id", "request_id") else value for name, value in answer.json().items()}
    return answer.status, body, sorted(header for header in answer.headers if header[0] != "X-Request-Id")


def written(app: App) -> dict[str, Any]:
    """How many rows lie in each table, and what the events are called."""
    tables = ("users", "challenges", "outbox", "factors", "sessions")
    counts = {name: phone.rows(app, f"SELECT count(*) FROM {name}")[0][0] for name in tables}
    return {**counts, "events": Counter(actions(app))}


def change(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: value - before[name] for name, value in after.items()}


def prepared(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    """Known accounts: plain, with a factor, disabled, and one by number. The targets that are asked for, by name."""
    client.register()
    enrol_totp(client, client.register("factor@mail.com")["access_token"])
    users.set_status(client.app.core, client.register("out@mail.com")["user"]["id"], DISABLED, CLI)
    enrol_sms(client, client.register("phone@mail.com")["access_token"])
    users.set_status(client.app.core, _signed_up(client, OTHER_NUMBER), DISABLED, CLI)
    client.app.core.world.advance(3600)
    mails = {name: {"email": name} for name in (EMAIL, "factor@mail.com", "out@mail.com", UNKNOWN)}
    numbers = {name: {"phone_number": name} for name in (NUMBER, OTHER_NUMBER, UNKNOWN_NUMBER)}
    return mails, numbers


def _signed_up(client: Client, number: str) -> str:
    client.post("/otp/send", {"phone_number": number})
    return str(client.post("/otp/verify", {"phone_number": number, "code": phone.sms_code(client.app, number)})["user"]["id"])


@pytest.mark.parametrize("kind", [0, 1], ids=["mail", "phone"])
def test_send_is_alike_for_known_and_unknown(tmp_path: Path, world: FakeWorld, kind: int) -> None:
    """Status, body, headers and the rows that are written tell nobody who has an account, at the first sending and the next."""
    with running(tmp_path, world, **phone.SMS, limit_register="0", limit_sms_network="0", limit_mail_network="0") as app:
        client = Client(app)
        targets = prepared(client)[kind]
        answers: list[Any] = []
        changes: list[Any] = []
        for target in targets.values():
            seen = []
            for seconds in (5, 40):
                before = written(app)
                seen.append(shape(client.post("/otp/send", target)))
                changes.append((seconds, change(before, written(app))))
                world.advance(seconds)
            answers.append(seen)
        assert answers[0][0][0] == 202
        assert all(seen == answers[0] for seen in answers)
        for seconds in (5, 40):
            alike = [found for at, found in changes if at == seconds]
            assert all(found == alike[0] for found in alike), alike


@pytest.mark.parametrize("kind", [0, 1], ids=["mail", "phone"])
@pytest.mark.parametrize("code", WRONG_CODES)
def test_wrong_code_is_alike_for_known_and_unknown(client: Client, kind: int, code: str) -> None:
    """Nor does a wrong code, up to the end of all tries."""
    targets = prepared(client)[kind]
    answers = []
    for target in targets.values():
        client.post("/otp/send", target)
        answers.append([shape(client.post("/otp/verify", {**target, "code": code})) for _ in range(7)])
    assert all(seen == answers[0] for seen in answers)
    assert {status for status, _, _ in answers[0]} <= {422, 429}


@pytest.mark.parametrize("kind", [0, 1], ids=["mail", "phone"])
def test_code_that_was_never_sent_is_alike_for_known_and_unknown(client: Client, kind: int) -> None:
    """Nor does a code that nobody asked for."""
    answers = [shape(client.post("/otp/verify", {**target, "code": "123456"})) for target in prepared(client)[kind].values()]
    assert all(seen == answers[0] for seen in answers)
    assert answers[0][0] == 422


def test_disabled_account_is_told_only_to_its_owner(app: App, client: Client) -> None:
    """Nothing is sent to a disabled account, and nothing says why."""
    prepared(client)
    count = len(phone.messages(app))
    assert client.post("/otp/send", {"email": "out@mail.com"}).status == 202
    assert client.post("/otp/send", {"phone_number": OTHER_NUMBER}).status == 202
    assert len(phone.messages(app)) == count


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": EMAIL, "phone_number": NUMBER},
        {"email": "no address"},
        {"phone_number": "12345"},
        {"phone_number": "+819012345678"},
        {"phone_number": 49},
        {"channel": "pigeon"},
        {"channel": "totp"},
        {"email": EMAIL, "options": {"setcookie": True}},
        {"email": EMAIL, "options": []},
        {"email": EMAIL, "redirect_to": "https://evil.example"},
        {"mfa_token": 7},
        {"factor_id": "fac_x"},
    ],
)
def test_send_refuses_what_it_cannot_read(app: App, client: Client, body: dict[str, Any]) -> None:
    """One target, in its form; nothing is sent otherwise."""
    refused(client.post("/otp/send", body), 422, "invalid_request")
    assert phone.messages(app) == []
    assert phone.rows(app, "SELECT count(*) FROM challenges") == [(0,)]


def test_send_for_a_new_factor_wants_a_caller(app: App, client: Client) -> None:
    """`channel` alone is for those who are signed in."""
    refused(client.post("/otp/send", {"channel": "sms", "phone_number": NUMBER}), 401, "unauthenticated")
    assert phone.messages(app) == []


def test_sms_is_off_without_countries(tmp_path: Path, world: FakeWorld) -> None:
    """No countries listed means no SMS, told openly and alike for every number."""
    for number, settings in enumerate(({}, {"sms": "console:"}, {"sms_countries": "+49"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        with running(folder, world, **settings) as app:
            answer = refused(Client(app).post("/otp/send", {"phone_number": NUMBER}), 422, "invalid_request")
            assert answer["errors"][0]["field"] == "phone_number"
            assert phone.rows(app, "SELECT count(*) FROM outbox") == [(0,)]


@pytest.mark.parametrize("target", [{"email": OTHER}, {"phone_number": NUMBER}])
def test_at_most_one_passwordless_code_in_thirty_seconds(app: App, client: Client, world: FakeWorld, target: dict[str, str]) -> None:
    """Asked again too soon, nothing is sent and the code that came goes on counting."""
    client.post("/otp/send", target)
    code = _code(app, target)
    world.advance(29)
    assert client.post("/otp/send", target).status == 202
    assert len(phone.messages(app)) == 1
    assert client.post("/otp/verify", {**target, "code": code}).status == 200


@pytest.mark.parametrize("target", [{"email": OTHER}, {"phone_number": NUMBER}])
def test_after_thirty_seconds_a_new_code_ends_the_old(app: App, client: Client, world: FakeWorld, target: dict[str, str]) -> None:
    """The old one is refused, the new one signs in."""
    client.post("/otp/send", target)
    old = _code(app, target)
    world.advance(31)
    client.post("/otp/send", target)
    new = _code(app, target)
    assert (len(phone.messages(app)), old == new) == (2, False)
    refused(client.post("/otp/verify", {**target, "code": old}), 422, "code_invalid")
    assert client.post("/otp/verify", {**target, "code": new}).status == 200


@pytest.mark.parametrize("target", [{"email": OTHER}, {"phone_number": NUMBER}])
def test_at_most_five_codes_an_hour(tmp_path: Path, world: FakeWorld, target: dict[str, str]) -> None:
    """Beyond, the answer is the same and nothing is sent; the last code that came goes on counting."""
    with running(tmp_path, world, **phone.SMS) as app:
        client = Client(app)
        answers = []
        for _ in range(7):
            answers.append(client.post("/otp/send", target))
            phone.messages(app)
            world.advance(31)
        assert [answer.status for answer in answers] == [202] * 7
        assert len({tuple(answer.json()) for answer in answers}) == 1
        assert len(phone.messages(app)) == 5
        assert actions(app).count("limit.hit") == 2


@pytest.mark.parametrize("target", [{"email": OTHER}, {"phone_number": NUMBER}])
def test_last_code_counts_when_no_more_may_be_sent(tmp_path: Path, world: FakeWorld, target: dict[str, str]) -> None:
    """Whoever asks once too often has still the code that came last."""
    with running(tmp_path, world, **phone.SMS) as app:
        client = Client(app)
        for _ in range(6):
            client.post("/otp/send", target)
            code = _code(app, target)
            world.advance(31)
        assert len(phone.messages(app)) == 5
        assert client.post("/otp/verify", {**target, "code": code}).status == 200


@pytest.mark.parametrize("target", [{"email": OTHER}, {"phone_number": NUMBER}])
def test_code_is_taken_with_challenge_id_too(app: App, client: Client, target: dict[str, str]) -> None:
    """What the send had, or the id that it gave."""
    sent = client.post("/otp/send", target)
    answer = client.post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": _code(app, target)})
    assert (answer.status, answer["token_type"]) == (200, "Bearer")
    assert any(value.startswith("authsvc_access=") for value in answer.header_list("Set-Cookie"))
    again = client.post("/otp/verify", {"challenge_id": sent["challenge_id"], "code": _code(app, target)})
    refused(again, 410, "code_expired")


def test_code_of_one_target_is_none_of_another(app: App, client: Client) -> None:
    """The right code for the wrong address or number is wrong."""
    client.post("/otp/send", {"email": OTHER})
    client.post("/otp/send", {"phone_number": NUMBER})
    client.post("/otp/send", {"email": EMAIL})
    code = phone.mail_code(app, OTHER)
    for target in ({"email": EMAIL}, {"phone_number": NUMBER}):
        refused(client.post("/otp/verify", {**target, "code": code}), 422, "code_invalid")
    assert phone.rows(app, "SELECT count(*) FROM users") == [(0,)]


def test_set_cookie_false_is_honoured(app: App, client: Client) -> None:
    """Programs that want no cookies get none."""
    client.post("/otp/send", {"phone_number": NUMBER, "options": {"setCookie": False}})
    answer = client.post("/otp/verify", {"phone_number": NUMBER, "code": phone.sms_code(app)})
    assert (answer.status, answer.header_list("Set-Cookie")) == (200, [])


@pytest.mark.parametrize(
    "body",
    [
        {"code": "123456"},
        {"challenge_id": "chl_x", "email": EMAIL, "code": "123456"},
        {"email": EMAIL, "phone_number": NUMBER, "code": "123456"},
        {"email": EMAIL},
        {"email": EMAIL, "code": 123456},
        {"email": EMAIL, "code": "1" * 41},
    ],
)
def test_verify_wants_one_target_and_a_code(client: Client, body: dict[str, Any]) -> None:
    """Which code is meant has to be clear."""
    refused(client.post("/otp/verify", body), 422, "invalid_request")


@pytest.mark.parametrize(
    "challenge_id", ["", "x", "chl_", "chl_" + "a" * 26, "ses_" + "a" * 26, "chl_\u0661", "' OR 1=1 --", "chl_" + "0" * 96]
)
def test_unknown_challenges_are_only_wrong_codes(client: Client, token: str, challenge_id: str) -> None:
    """An id that is none says nothing, signed in or not."""
    for caller in (None, token):
        answer = client.post("/otp/verify", {"challenge_id": challenge_id, "code": "123456"}, token=caller)
        assert (answer.status, answer.code) in ((422, "code_invalid"), (422, "invalid_request"))


def test_send_is_limited_by_network(tmp_path: Path, world: FakeWorld) -> None:
    """Thirty requests an hour from one network, whatever they are for."""
    settings = {name: value for name, value in phone.FREE.items() if name != "limit_mail_network"}
    with running(tmp_path, world, **phone.SMS, **settings) as app:
        client = Client(app)
        statuses = [client.post("/otp/send", {"email": f"a{number}@mail.com"}).status for number in range(15)]
        statuses += [client.post("/otp/send", {"phone_number": f"+49151123456{number:02}"}).status for number in range(16)]
        assert statuses == [202] * 30 + [429]


def test_strangers_numbers_are_limited_by_network(tmp_path: Path, world: FakeWorld) -> None:
    """Ten SMS an hour for one network, over all numbers; the answer is the same, and it is on record."""
    with running(tmp_path, world, **phone.SMS) as app:
        client = Client(app)
        answers = [client.post("/otp/send", {"phone_number": f"+4915112345{number:03}"}) for number in range(12)]
        assert {answer.status for answer in answers} == {202}
        assert len(phone.messages(app, "--- SMS")) == 10
        assert [row["data"] for row in event_rows(app) if row["action"] == "limit.hit"] == ['{"limit":"sms_network"}'] * 2


def test_sms_says_whose_it_is(app: App, client: Client) -> None:
    """The code, the service, how long, and the line that phones fill in by themselves (WebOTP)."""
    client.post("/otp/send", {"phone_number": NUMBER})
    text = phone.texts(app)[0]
    code = phone.sms_code(app)
    assert re.fullmatch(rf"--- SMS to \{NUMBER}\n{code} is your code for authsvc\. .*5 minutes.*\n\n@127\.0\.0\.1 #{code}\n---", text)


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_remove_wants_a_channel_of_one_that_is_there(client: Client, token: str, channel: str) -> None:
    """What is not there cannot be removed."""
    refused(client.post("/otp/remove", {"channel": channel}, token=token), 404, "not_found")
    refused(client.post("/otp/remove", {"channel": "totp"}, token=token), 422, "invalid_request")
    refused(client.post("/otp/remove", {}, token=token), 422, "invalid_request")
    refused(client.post("/otp/remove", {"channel": channel}), 401, "unauthenticated")


def test_send_and_verify_record_what_they_do(app: App, client: Client) -> None:
    """Sent, failed and used codes are events of the vocabulary, none of which holds the code."""
    client.post("/otp/send", {"phone_number": NUMBER})
    code = phone.sms_code(app)
    client.post("/otp/verify", {"phone_number": NUMBER, "code": other_than(code)})
    client.post("/otp/verify", {"phone_number": NUMBER, "code": code})
    assert actions(app) == ["otp.sent", "otp.failed", "phone.verified", "user.registered", "magic.used", "login.succeeded"]
    assert code not in str([row["data"] for row in event_rows(app)])


def test_second_step_ignores_other_targets(app: App, client: Client, token: str) -> None:
    """With an `mfa_token` the code goes to the factor's own number, whatever else the request says."""
    enrol_sms(client, token)
    app.core.world.advance(60)
    client.post("/otp/send", {"mfa_token": first_step(client), "phone_number": OTHER_NUMBER, "email": OTHER, "channel": "sms"})
    assert phone.texts(app, OTHER_NUMBER) == []
    assert phone.mails(app, OTHER) == []


def _code(app: App, target: dict[str, str]) -> str:
    return phone.mail_code(app, target["email"]) if "email" in target else phone.sms_code(app, target["phone_number"])


def test_setting_up_the_same_once_more_is_the_same_factor(app: App, client: Client, world: FakeWorld, token: str) -> None:
    """Whoever asks again, too soon for another code, can still use the one that came; another number is another factor."""
    first, again = (client.post("/otp/send", {"channel": "sms", "phone_number": NUMBER}, token=token) for _ in range(2))
    assert (first.json() | {"expires_in": 0}) == (again.json() | {"expires_in": 0})
    assert len(phone.messages(app)) == 1
    other = client.post("/otp/send", {"channel": "sms", "phone_number": OTHER_NUMBER}, token=token)
    assert other["factor_id"] != first["factor_id"]
    last = client.post("/otp/send", {"channel": "sms", "phone_number": NUMBER}, token=token)
    answer = client.post("/otp/verify", {"challenge_id": last["challenge_id"], "code": phone.sms_code(app, NUMBER)}, token=token)
    assert (answer.status, answer["factor"]["type"]) == (200, "sms")
