"""Where the limits and the CAPTCHA meet: who has failed lately has to solve one, and an owner on a known device does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.app import App
from tests.captchas import EASY, fresh
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, event_rows, running

WRONG = "copper-lantern-27"
RISK = EASY | {"captcha_on": "login:risk"}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **RISK) as app:
        Client(app, ip="203.0.113.9").register()
        yield app


def test_after_two_failures_a_captcha_is_asked_for_and_asking_is_no_failure(app: App, world: FakeWorld) -> None:
    """However often it is asked for, nobody waits longer: no password was looked at."""
    client = Client(app)
    assert [client.login(password=WRONG).code for _ in range(2)] == ["invalid_credentials"] * 2
    for _ in range(4):
        answer = client.login(password=PASSWORD)
        assert (answer.status, answer.code) == (403, "captcha_required")
    tried = {"email": EMAIL, "password": PASSWORD}
    assert client.post("/login", tried | {"captcha": fresh(client, "login")}).status == 200
    assert [row["action"] for row in event_rows(app)].count("login.failed") == 2


def test_the_owner_on_a_known_device_is_not_asked_while_strangers_are(app: App, world: FakeWorld) -> None:
    """Strangers use up what the account has over all networks; its owner's browser goes on as ever (ATTACKS A5)."""
    owner = Client(app, ip="203.0.113.9", keep_cookies=True)
    assert owner.login().status == 200
    for number in range(20):
        stranger = Client(app, ip=f"198.51.{number}.1")
        if stranger.login(password=WRONG).code == "captcha_required":
            break
    assert Client(app, ip="192.0.2.77").login().code == "captcha_required"
    assert owner.login().status == 200


def test_an_unknown_address_is_treated_alike(app: App) -> None:
    """ATTACKS A1, A3: the same answers in the same order."""
    answers = []
    for email in (EMAIL, "nobody@mail.com"):
        client = Client(app, ip=f"192.0.{len(answers)}.1")
        answers.append([client.login(email, WRONG).code for _ in range(4)])
    assert answers[0] == answers[1]
    assert "captcha_required" in answers[0]
