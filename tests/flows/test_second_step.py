"""The second step: codes sent and sent again, recovery codes, one success for one code, and showing a factor once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from tests import phone
from tests.phone import NUMBER, Authenticator, claims, enrol_email, enrol_sms, enrol_totp, first_step, other_than, refused, second_step
from tests.support import EMAIL, START, Answer, Client, FakeWorld, actions, event_rows, running, together

CHANNELS = ["sms", "email"]
SECONDS = {"sms": 300, "email": 600}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **phone.SMS, **phone.FREE) as app:
        yield app


@pytest.fixture
def owner(client: Client) -> Authenticator:
    return enrol_totp(client, client.register()["access_token"])


def enrolled(client: Client, channel: str) -> str:
    """The id of a factor of this channel, a minute after its first code."""
    token = client.register()["access_token"]
    factor_id = enrol_sms(client, token) if channel == "sms" else enrol_email(client, token)
    client.app.core.world.advance(60)
    return factor_id


def code_of(app: App, channel: str) -> str:
    return phone.sms_code(app) if channel == "sms" else phone.mail_code(app)


def sent_count(app: App, channel: str) -> int:
    return len(phone.texts(app) if channel == "sms" else phone.mails(app, EMAIL, "Your code for"))


@pytest.mark.parametrize("channel", CHANNELS)
def test_code_is_sent_only_when_asked_for(app: App, client: Client, channel: str) -> None:
    """The first step alone sends nothing: who has several factors chooses."""
    factor_id = enrolled(client, channel)
    before = sent_count(app, channel)
    mfa_token = first_step(client)
    assert sent_count(app, channel) == before
    sent = client.post("/otp/send", {"mfa_token": mfa_token, "factor_id": factor_id})
    assert sent.json() == {
        "status": "sent",
        "challenge_id": sent["challenge_id"],
        "expires_in": SECONDS[channel],
        "channel": channel,
    }
    assert sent.status == 202
    assert sent_count(app, channel) == before + 1
    assert second_step(client, mfa_token, code_of(app, channel), factor_id=factor_id).status == 200


@pytest.mark.parametrize("path", ["/mfa/verify", "/otp/verify", "/authenticator/verify"])
def test_any_of_the_three_paths_takes_the_second_step(client: Client, owner: Authenticator, path: str) -> None:
    """`mfa_token` and `code` mean the same at all three."""
    answer = client.post(path, {"mfa_token": first_step(client), "code": owner.next()})
    assert (answer.status, claims(answer)["acr"]) == (200, "aal2")


@pytest.mark.parametrize("channel", CHANNELS)
def test_next_code_comes_only_after_thirty_seconds(app: App, client: Client, world: FakeWorld, channel: str) -> None:
    """Asked again too soon, the answer is the same, nothing is sent, and the code goes on counting."""
    enrolled(client, channel)
    mfa_token = first_step(client)
    first = client.post("/otp/send", {"mfa_token": mfa_token})
    count, code = sent_count(app, channel), code_of(app, channel)
    world.advance(29)
    again = client.post("/otp/send", {"mfa_token": mfa_token})
    assert (again.status, again["challenge_id"]) == (202, first["challenge_id"])
    assert sent_count(app, channel) == count
    assert second_step(client, mfa_token, code).status == 200


@pytest.mark.parametrize("channel", CHANNELS)
def test_next_code_belongs_to_the_same_challenge_and_ends_the_one_before(app: App, client: Client, world: FakeWorld, channel: str) -> None:
    """After the window a new code comes, for as long as the first did; the old one is refused, and its tries count on."""
    enrolled(client, channel)
    mfa_token = first_step(client)
    first = client.post("/otp/send", {"mfa_token": mfa_token})
    count, old = sent_count(app, channel), code_of(app, channel)
    world.advance(31)
    again = client.post("/otp/send", {"mfa_token": mfa_token})
    assert (again["challenge_id"], again["expires_in"]) == (first["challenge_id"], SECONDS[channel])
    assert sent_count(app, channel) == count + 1
    new = code_of(app, channel)
    assert new != old
    refused(second_step(client, mfa_token, old), 422, "code_invalid")
    assert phone.rows(app, "SELECT attempts, sends FROM challenges WHERE id = ?", first["challenge_id"]) == [(1, 2)]
    assert second_step(client, mfa_token, new).status == 200


def test_mail_with_the_next_code_says_how_long_it_counts(app: App, client: Client, world: FakeWorld) -> None:
    """The letter tells the time from its own sending, not from the first one's."""
    enrolled(client, "email")
    mfa_token = first_step(client)
    client.post("/otp/send", {"mfa_token": mfa_token})
    world.advance(150)
    client.post("/otp/send", {"mfa_token": mfa_token})
    assert "It is valid for 10 minutes" in phone.mails(app, EMAIL, "Your code for")[-1]


@pytest.mark.parametrize("channel", CHANNELS)
def test_guessing_away_a_code_does_not_shorten_the_window(app: App, client: Client, channel: str) -> None:
    """At most one code is sent in thirty seconds, also when five wrong ones ended the last."""
    factor_id = enrolled(client, channel)
    mfa_token = first_step(client)
    client.post("/otp/send", {"mfa_token": mfa_token})
    count, wrong = sent_count(app, channel), other_than(code_of(app, channel))
    for _ in range(5):
        refused(second_step(client, mfa_token, wrong, factor_id=factor_id), 422, "code_invalid")
    client.post("/otp/send", {"mfa_token": first_step(client)})
    assert sent_count(app, channel) == count


@pytest.mark.parametrize("channel", CHANNELS)
def test_five_wrong_codes_end_a_code_over_all_resends(app: App, client: Client, world: FakeWorld, channel: str) -> None:
    """Asking for the next code does not give new tries; a whole new challenge does, and that is another code."""
    factor_id = enrolled(client, channel)
    first = client.post("/otp/send", {"mfa_token": first_step(client)})
    for tries in (2, 3):
        mfa_token = first_step(client)
        wrong = other_than(code_of(app, channel))
        for _ in range(tries):
            refused(second_step(client, mfa_token, wrong, factor_id=factor_id), 422, "code_invalid")
        if tries == 2:
            world.advance(31)
            assert client.post("/otp/send", {"mfa_token": mfa_token})["challenge_id"] == first["challenge_id"]
    right = code_of(app, channel)
    mfa_token = first_step(client)
    refused(second_step(client, mfa_token, right, factor_id=factor_id), 422, "code_invalid")
    world.advance(31)
    again = client.post("/otp/send", {"mfa_token": mfa_token})
    assert again["challenge_id"] != first["challenge_id"]
    assert second_step(client, mfa_token, code_of(app, channel), factor_id=factor_id).status == 200


@pytest.mark.parametrize("channel", CHANNELS)
def test_sent_code_runs_out(app: App, client: Client, world: FakeWorld, channel: str) -> None:
    """Ten minutes by mail, five by SMS, and not a moment longer."""
    enrolled(client, channel)
    client.post("/otp/send", {"mfa_token": first_step(client)})
    code = code_of(app, channel)
    world.advance(SECONDS[channel])
    refused(second_step(client, first_step(client), code), 422, "code_invalid")


@pytest.mark.parametrize("channel", CHANNELS)
def test_sent_code_counts_once(app: App, client: Client, channel: str) -> None:
    """What completed one sign-in does not complete the next."""
    enrolled(client, channel)
    mfa_token, next_token = first_step(client), first_step(client)
    client.post("/otp/send", {"mfa_token": mfa_token})
    code = code_of(app, channel)
    assert second_step(client, mfa_token, code).status == 200
    refused(second_step(client, next_token, code), 422, "code_invalid")


def test_no_code_is_sent_to_an_authenticator(app: App, client: Client, owner: Authenticator) -> None:
    """There is nowhere to send it, and the answer says no more."""
    mfa_token = first_step(client)
    for more in ({}, {"factor_id": owner.factor_id}):
        refused(client.post("/otp/send", {"mfa_token": mfa_token, **more}), 404, "not_found")
    assert "otp.sent" not in actions(app)


def test_limit_of_sms_holds_for_the_second_step(tmp_path: Path, world: FakeWorld) -> None:
    """Five SMS an hour to a number, whoever asks; beyond, the answer is the same and the last code goes on counting."""
    settings = {name: value for name, value in phone.FREE.items() if name != "limit_sms_number"}
    with running(tmp_path, world, **phone.SMS, **settings) as app:
        client = Client(app)
        enrolled(client, "sms")
        mfa_token = first_step(client)
        for _ in range(6):
            mfa_token = first_step(client)
            assert client.post("/otp/send", {"mfa_token": mfa_token}).status == 202
            world.advance(31)
        assert len(phone.texts(app)) == 5
        assert '"sms_number"' in next(row["data"] for row in event_rows(app) if row["action"] == "limit.hit")
        assert second_step(client, mfa_token, phone.sms_code(app)).status == 200


def test_wrong_code_is_on_record_and_says_no_more(app: App, client: Client, owner: Authenticator) -> None:
    """A wrong code gives the same refusal for every reason, one row, and no session."""
    sessions = phone.live_sessions(app)
    answer = refused(second_step(client, first_step(client), owner.wrong()), 422, "code_invalid")
    assert answer.json().keys() == {"type", "title", "status", "detail", "code", "request_id"}
    rows = [row for row in event_rows(app) if row["action"] == "otp.failed"]
    assert [(row["outcome"], owner.wrong() in row["data"]) for row in rows] == [("failure", False)]
    assert phone.live_sessions(app) == sessions


def test_drift_is_told_only_at_enrolment(client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """At the second step a code from far off is wrong, and nothing more: the detail would be an oracle."""
    world.advance(300)
    answer = refused(second_step(client, first_step(client), owner.code(-5)), 422, "code_invalid")
    assert "clock" not in answer["detail"]


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_one_step_of_drift_is_let_pass(client: Client, world: FakeWorld, owner: Authenticator, steps: int) -> None:
    """Clocks and fingers are a little off."""
    world.advance(300)
    assert second_step(client, first_step(client), owner.code(steps)).status == 200


@pytest.mark.parametrize("steps", [-2, 2])
def test_two_steps_of_drift_are_not(client: Client, world: FakeWorld, owner: Authenticator, steps: int) -> None:
    """But not by more than a step."""
    world.advance(300)
    refused(second_step(client, first_step(client), owner.code(steps)), 422, "code_invalid")


@pytest.mark.parametrize(
    "code",
    ["", " ", "12345", "1234567", "abcdef", "12345\u0663", "\uff11\uff12\uff13\uff14\uff15\uff16", "+12345", "1e5000", "-00001", "\0" * 6],
)
def test_hostile_codes_are_refused(client: Client, owner: Authenticator, code: str) -> None:
    """What is no code is a documented refusal, and signs nobody in."""
    answer = second_step(client, first_step(client), code)
    assert (answer.status, answer.code) in ((422, "code_invalid"), (422, "invalid_request"))
    assert not answer.header_list("Set-Cookie")


def test_recovery_code_takes_the_place_of_a_factor_once(app: App, client: Client, owner: Authenticator) -> None:
    """Each of the ten completes one sign-in; the owner is told by mail, and how many are left."""
    code = owner.recovery_codes[3]
    answer = second_step(client, first_step(client), code)
    assert (answer.status, claims(answer)["amr"], claims(answer)["acr"]) == (200, ["pwd", "otp", "mfa"], "aal2")
    refused(second_step(client, first_step(client), code), 422, "code_invalid")
    letters = phone.mails(app, EMAIL, "A recovery code of your account")
    assert len(letters) == 1
    assert "9 are left" in letters[0]
    assert code not in "".join(phone.messages(app))
    assert actions(app).count("recovery.used") == 1
    assert client.get("/mfa", token=answer["access_token"])["recovery_codes_left"] == 9


def test_all_ten_recovery_codes_count(client: Client, owner: Authenticator) -> None:
    """Ten different ones, and after them none."""
    assert len(set(owner.recovery_codes)) == 10
    for left, code in zip(range(9, -1, -1), owner.recovery_codes, strict=True):
        answer = second_step(client, first_step(client), code)
        assert client.get("/mfa", token=answer["access_token"])["recovery_codes_left"] == left
    for code in owner.recovery_codes:
        refused(second_step(client, first_step(client), code), 422, "code_invalid")


def test_recovery_code_is_read_as_people_write_it(client: Client, owner: Authenticator) -> None:
    """Capitals, spaces and a missing hyphen do not matter; naming one's own factor does not either."""
    spoken = owner.recovery_codes[0].upper().replace("-", " ")
    assert second_step(client, first_step(client), spoken, factor_id=owner.factor_id).status == 200


def test_renewal_voids_the_old_recovery_codes(app: App, client: Client, owner: Authenticator) -> None:
    """New ones come in their place, once."""
    token = second_step(client, first_step(client), owner.next())["access_token"]
    renewed = client.post("/mfa/recovery-codes", {}, token=token)
    new = renewed["recovery_codes"]
    assert (renewed.status, len(set(new) - set(owner.recovery_codes))) == (200, 10)
    assert "recovery.renewed" in actions(app)
    refused(second_step(client, first_step(client), owner.recovery_codes[0]), 422, "code_invalid")
    assert second_step(client, first_step(client), new[0]).status == 200


def test_renewal_needs_a_factor(app: App, client: Client) -> None:
    """Recovery codes alone are no second factor."""
    token = client.register()["access_token"]
    refused(client.post("/mfa/recovery-codes", {}, token=token), 409, "conflict")
    assert phone.rows(app, "SELECT count(*) FROM recovery_batches") == [(0,)]


def test_reauthentication_by_a_factor_renews_auth_time(app: App, client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """Who shows the factor again may do sensitive acts again, in the same session."""
    inside = second_step(client, first_step(client), owner.next())
    world.advance(901)
    refused(client.post("/mfa/recovery-codes", {}, token=inside["access_token"]), 401, "reauthentication_required")
    answer = client.post("/reauthenticate", {"factor_id": owner.factor_id, "code": owner.code()}, token=inside["access_token"])
    assert (answer.status, answer["session_id"]) == (200, inside["session_id"])
    said = claims(answer)
    assert (said["auth_time"], said["acr"], said["amr"]) == (START // 1000 + 931, "aal2", ["pwd", "otp", "mfa"])
    assert client.post("/mfa/recovery-codes", {}, token=answer["access_token"]).status == 200


def by_mailbox_alone(app: App, client: Client, factor_id: str) -> Answer:
    """A session of somebody who showed the same mailbox twice."""
    client.post("/otp/send", {"email": EMAIL})
    asked = client.post("/otp/verify", {"email": EMAIL, "code": phone.mail_code(app)})
    client.post("/otp/send", {"mfa_token": asked["mfa_token"], "factor_id": factor_id})
    inside = second_step(client, asked["mfa_token"], phone.mail_code(app), factor_id=factor_id)
    assert claims(inside)["acr"] == "aal1"
    return inside


def test_reauthentication_by_another_factor_makes_two_of_one(app: App, client: Client, world: FakeWorld) -> None:
    """A session that a mailbox opened says `mfa` once an authenticator was shown too."""
    token = client.register()["access_token"]
    factor_id, made = enrol_email(client, token), enrol_totp(client, token)
    world.advance(60)
    inside = by_mailbox_alone(app, client, factor_id)
    answer = client.post("/reauthenticate", {"factor_id": made.factor_id, "code": made.code()}, token=inside["access_token"])
    assert (answer.status, claims(answer)["acr"], claims(answer)["amr"]) == (200, "aal2", ["otp", "mfa"])


def test_reauthentication_by_the_same_mailbox_is_no_second_factor(app: App, client: Client, world: FakeWorld) -> None:
    """A session that only a mailbox opened does not get stronger by the same mailbox."""
    factor_id = enrolled(client, "email")
    inside = by_mailbox_alone(app, client, factor_id)
    world.advance(60)
    client.post("/otp/send", {"mfa_token": first_step(client)})
    answer = client.post("/reauthenticate", {"factor_id": factor_id, "code": phone.mail_code(app)}, token=inside["access_token"])
    assert (answer.status, claims(answer)["acr"], claims(answer)["amr"]) == (200, "aal1", ["otp"])


def test_reauthentication_by_a_wrong_code_changes_nothing(app: App, client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """The session stays as old as it was; the try is on record."""
    inside = second_step(client, first_step(client), owner.next())
    world.advance(901)
    wrong = client.post("/reauthenticate", {"factor_id": owner.factor_id, "code": owner.wrong()}, token=inside["access_token"])
    refused(wrong, 422, "code_invalid")
    assert "otp.failed" in actions(app)
    refused(client.post("/mfa/remove", {"all": True}, token=inside["access_token"]), 401, "reauthentication_required")


@pytest.mark.parametrize("what", ["totp", "sms", "email", "recovery"])
def test_one_code_completes_one_sign_in_of_fifty_at_once(app: App, client: Client, what: str) -> None:
    """Fifty threads with one code, each with a sign-in of its own that waits: one session."""
    token = client.register()["access_token"]
    made = enrol_totp(client, token)
    factor_id = {"sms": enrol_sms, "email": enrol_email}[what](client, token) if what in CHANNELS else made.factor_id
    app.core.world.advance(60)
    waiting = [first_step(client) for _ in range(50)]
    if what in CHANNELS:
        client.post("/otp/send", {"mfa_token": waiting[0], "factor_id": factor_id})
    code = code_of(app, what) if what in CHANNELS else {"totp": made.code(), "recovery": made.recovery_codes[0]}[what]
    before = phone.live_sessions(app)
    answers = together(50, lambda index: second_step(client, waiting[index], code, factor_id=factor_id))
    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.code for answer in answers if answer.status != 200} <= {"code_invalid", "too_many_attempts"}
    assert phone.live_sessions(app) == before + 1


def test_one_sign_in_is_completed_once_by_fifty_at_once(app: App, client: Client, owner: Authenticator) -> None:
    """Fifty threads with one sign-in and ten right codes: one session, and the codes of the others are not lost to it."""
    mfa_token = first_step(client)
    before = phone.live_sessions(app)
    answers = together(50, lambda index: second_step(client, mfa_token, owner.recovery_codes[index % 10]))
    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.code for answer in answers if answer.status != 200} <= {"invalid_token", "code_invalid", "too_many_attempts"}
    assert phone.live_sessions(app) == before + 1
    assert actions(app).count("recovery.used") == 1
    assert phone.rows(app, "SELECT used FROM recovery_batches")[0][0].bit_count() == 1


@pytest.mark.parametrize("target", [{"phone_number": NUMBER}, {"email": phone.OTHER}])
def test_one_passwordless_code_signs_in_once_of_fifty_at_once(app: App, client: Client, target: dict[str, str]) -> None:
    """The same for the code that is the only step: one account, one session."""
    client.post("/otp/send", target)
    code = phone.sms_code(app) if "phone_number" in target else phone.mail_code(app, phone.OTHER)
    answers = together(50, lambda _: client.post("/otp/verify", {**target, "code": code}))
    assert [answer.status for answer in answers].count(200) == 1
    codes = {answer.code for answer in answers if answer.status != 200}
    assert codes <= {"code_invalid", "code_expired", "too_many_attempts", "link_invalid"}
    assert phone.rows(app, "SELECT count(*) FROM users") == [(1,)]
    assert phone.live_sessions(app) == 1


def test_right_codes_use_nothing_up(client: Client, owner: Authenticator) -> None:
    """Only wrong codes count against an account: whoever signs in often is not locked out."""
    for _ in range(30):
        assert second_step(client, first_step(client), owner.next()).status == 200


def test_twenty_wrong_codes_a_day_are_the_end_for_every_factor(client: Client, world: FakeWorld, owner: Authenticator) -> None:
    """Then the right one is refused too, and a recovery code, until some time has passed."""
    for _ in range(20):
        refused(second_step(client, first_step(client), owner.wrong()), 422, "code_invalid")
    for code in (owner.next(), owner.recovery_codes[0]):
        refused(second_step(client, first_step(client), code), 429, "too_many_attempts")
    limit = int(LIMITS["code_account"].default.partition("/")[2].removesuffix("s")) // 20
    world.advance(limit)
    assert second_step(client, first_step(client), owner.code()).status == 200
