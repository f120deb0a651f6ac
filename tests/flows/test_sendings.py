"""Promises of flows/sendings.py: one challenge for a thing, its next code after a while, and tries that go on counting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.primitives import codes
from authsvc.store.challenges import Challenge
from authsvc.store.outbox import Message
from tests.support import EMAIL, Answer, Client, FakeWorld, running, together

NUMBER = "+4915123456789"
FREE = {
    f"limit_{name}": "0" for name in ("sms_pace", "sms_number", "sms_number_day", "sms_network", "mail_network", "mail_address", "link")
}
LIFE = {"sms": 300, "email": 600}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, sms="console:", sms_countries="+49", limit_factor="0", **FREE) as app:
        yield app


@pytest.fixture(params=["sms", "email"])
def channel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Login:
    """A sign-in whose second step is a code that is sent by one channel."""

    def __init__(self, app: App, channel: str) -> None:
        self.app, self.channel, self.client = app, channel, Client(app)
        token = self.client.register()["access_token"]
        if channel == "email":
            with app.core.store.write() as tx:
                user = tx.users.by_email(EMAIL)
                assert user is not None
                tx.users.change(user.id, app.core.world.now(), email_verified_at=app.core.world.now())
        more = {"phone_number": NUMBER} if channel == "sms" else {}
        made = self.client.post("/mfa/setup", {"type": channel, **more}, token=token)
        assert made.status == 201, made.body
        body = {"factor_id": made["factor_id"], "code": self.code(made["challenge_id"])}
        assert self.client.post("/mfa/verify", body, token=token).status == 200
        app.core.world.advance(31)
        self.begin()
        self.before = len(self.sent())

    def begin(self) -> None:
        """Give the password (anew)."""
        self.token = self.client.login()["mfa_token"]

    def send(self) -> Answer:
        answer = self.client.post("/otp/send", {"mfa_token": self.token})
        assert answer.status == 202, answer.body
        assert answer["channel"] == self.channel
        return answer

    def verify(self, code: str) -> Answer:
        return self.client.post("/mfa/verify", {"mfa_token": self.token, "code": code})

    def challenge(self, challenge_id: str) -> Challenge:
        with self.app.core.store.read() as tx:
            found = tx.challenges.get(challenge_id)
        assert found is not None
        return found

    def code(self, challenge_id: str) -> str:
        found = self.challenge(challenge_id)
        return codes.code(self.app.core.keyring.current, found.id, found.sends)

    def wrong(self, challenge_id: str) -> str:
        return f"{(int(self.code(challenge_id)) + 1) % 1_000_000:06}"

    def sent(self) -> list[Message]:
        """What was put into the outbox with a code."""
        with self.app.core.store.read() as tx:
            return [row for row in tx.outbox.page(after="", limit=500, everything=True) if row.ref and row.kind in ("sms", "mail")]

    @property
    def new(self) -> int:
        return len(self.sent()) - self.before


@pytest.fixture
def login(app: App, channel: str) -> Login:
    return Login(app, channel)


def test_a_code_is_sent_and_completes_the_sign_in(login: Login) -> None:
    """One message, whose challenge lives as long as its channel lets it."""
    sent = login.send()

    assert (login.new, sent["expires_in"]) == (1, LIFE[login.channel])
    assert login.verify(login.code(sent["challenge_id"])).status == 200
    assert login.verify(login.code(sent["challenge_id"])).status == 401


@pytest.mark.parametrize(("seconds", "messages"), [(0, 1), (29, 1), (29.999, 1), (30, 2), (120, 2)])
def test_the_next_code_comes_after_thirty_seconds(login: Login, world: FakeWorld, seconds: float, messages: int) -> None:
    """Sooner the answer names the same challenge, nothing is sent, and the code that was goes on counting."""
    first = login.send()
    old = login.code(first["challenge_id"])
    world.advance(seconds)
    second = login.send()

    assert second["challenge_id"] == first["challenge_id"]
    assert login.new == messages
    assert (login.code(first["challenge_id"]) == old) is (messages == 1)
    assert login.challenge(first["challenge_id"]).sends == messages


def test_a_new_code_ends_the_old_one(login: Login, world: FakeWorld) -> None:
    """Only the last one sent is right, and it has its whole life before it."""
    first = login.send()
    old = login.code(first["challenge_id"])
    world.advance(60)
    again = login.send()

    assert again["expires_in"] == LIFE[login.channel]
    assert login.verify(old).code == "code_invalid"
    assert login.verify(login.code(first["challenge_id"])).status == 200


def test_tries_go_on_counting_over_resends(login: Login, world: FakeWorld) -> None:
    """C5: three wrong codes, a resend, two more: the sixth try is refused though it is right."""
    sent = login.send()
    for _ in range(3):
        assert login.verify(login.wrong(sent["challenge_id"])).code == "code_invalid"
    world.advance(31)
    assert login.send()["challenge_id"] == sent["challenge_id"]
    login.begin()
    for _ in range(2):
        assert login.verify(login.wrong(sent["challenge_id"])).code == "code_invalid"

    assert login.verify(login.code(sent["challenge_id"])).code in ("code_invalid", "too_many_attempts")
    assert login.challenge(sent["challenge_id"]).attempts == 5


def test_after_five_wrong_codes_a_new_challenge_begins(login: Login, world: FakeWorld) -> None:
    """The next send makes another one, with its own code; the old code is right no more."""
    sent = login.send()
    for _ in range(5):
        login.verify(login.wrong(sent["challenge_id"]))
    old = login.code(sent["challenge_id"])
    world.advance(31)
    login.begin()
    again = login.send()

    assert again["challenge_id"] != sent["challenge_id"]
    assert (login.new, login.challenge(again["challenge_id"]).attempts) == (2, 0)
    if old != login.code(again["challenge_id"]):
        assert login.verify(old).code == "code_invalid"
    assert login.verify(login.code(again["challenge_id"])).status == 200


def test_a_code_that_ran_out_is_followed_by_a_new_challenge(login: Login, world: FakeWorld) -> None:
    """What is over is not revived."""
    sent = login.send()
    world.advance(LIFE[login.channel])
    login.begin()
    again = login.send()

    assert again["challenge_id"] != sent["challenge_id"]
    assert login.verify(login.code(sent["challenge_id"])).status != 200
    assert login.verify(login.code(again["challenge_id"])).status == 200


def test_of_many_resends_at_once_one_is_sent(login: Login, world: FakeWorld) -> None:
    """C10: twenty threads, one challenge, one message; and one more for twenty after the window."""
    first = {answer["challenge_id"] for answer in together(20, lambda _: login.send())}
    sent = [login.new]
    world.advance(30)
    second = {answer["challenge_id"] for answer in together(20, lambda _: login.send())}

    assert [*sent, login.new] == [1, 2]
    assert (len(first), first) == (1, second)


def test_of_many_uses_at_once_one_signs_in(login: Login) -> None:
    """C10: one code in ten threads opens one session."""
    sent = login.send()
    code = login.code(sent["challenge_id"])

    statuses = together(10, lambda _: login.verify(code).status)

    assert statuses.count(200) == 1
    assert all(400 <= status < 500 for status in statuses if status != 200)


def ask(app: App, number: str = NUMBER) -> Any:
    answer = Client(app).post("/otp/send", {"phone_number": number})
    assert answer.status == 202, answer.body
    return answer.json()


def test_a_stranger_asking_again_gets_the_same_challenge(app: App, world: FakeWorld) -> None:
    """Passwordless, for a number without an account as for one that has one: alike."""
    seen = []
    for _ in range(2):
        first = ask(app)
        world.advance(31)
        second = ask(app)
        seen.append((first["challenge_id"] == second["challenge_id"], first["expires_in"], second["expires_in"], sorted(second)))
        with app.core.store.read() as tx:
            challenge = tx.challenges.get(second["challenge_id"])
        assert challenge is not None
        body = {"challenge_id": challenge.id, "code": codes.code(app.core.keyring.current, challenge.id, challenge.sends)}
        assert Client(app).post("/otp/verify", body).status == 200
        world.advance(31)

    assert seen[0] == seen[1] == (True, 300, 300, ["challenge_id", "channel", "expires_in", "status"])
