"""F7: everything that has been done to CAPTCHAs, done to ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.primitives import captcha as primitive
from tests.captchas import EASY, TOKEN, changed, closed, fresh, good, opened, refused, says, vendor
from tests.smsgateway import CLOSES_AT_ONCE, Behaviour, redirects, sms_gateway
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, running, together


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **EASY, limit_register="0", limit_register_all="0") as app:
        yield app


def sign_up(client: Client, captcha: Any = None, email: str = EMAIL) -> Answer:
    return client.post("/register", {"email": email, "password": PASSWORD, "captcha": captcha})


def no_account(app: App) -> bool:
    return "user.registered" not in actions(app)


def test_f7_none_at_all_gets_nowhere(app: App, client: Client) -> None:
    """In no spelling, and not by saying nothing; by a form neither."""
    for body in ({}, {"captcha": None}, {"captcha": ""}, {"altcha": ""}, {"g-recaptcha-response": "x"}, {"h-captcha-response": "x"}):
        assert client.post("/register", {"email": EMAIL, "password": PASSWORD, **body}).code == "captcha_required"
    form = client.post(
        "/register", raw=b"email=a%40mail.com&password=violet-harbour-91&captcha=", content_type="application/x-www-form-urlencoded"
    )
    assert form.code == "captcha_required"
    assert client.post("/register?captcha=x", {"email": EMAIL, "password": PASSWORD}).status == 422
    assert no_account(app)


def test_f7_a_replay_is_refused_whoever_is_faster(app: App, client: Client) -> None:
    """Once over threads and networks, also when the copy is spelled otherwise."""
    payload = fresh(client, "register")
    copies = [payload, closed(opened(payload)), changed(payload, lambda value: value["solution"].update(counter=1, time=5))]
    statuses = together(12, lambda turn: sign_up(Client(app, ip=f"198.51.{turn}.1"), copies[turn % 3], f"user{turn}@mail.com").status)
    assert sorted(statuses) == [201] + [403] * 11
    assert actions(app).count("user.registered") == 1


def test_f7_an_expired_one_is_refused_also_when_it_says_otherwise(app: App, client: Client, world: FakeWorld) -> None:
    """Its end is signed."""
    payload = fresh(client, "register")
    world.advance(600)
    later = changed(payload, lambda value: value["challenge"]["parameters"].update(expiresAt=world.now() // 1000 + 600))
    for attempt in (payload, later):
        assert sign_up(client, attempt).code == "captcha_failed"
    assert no_account(app)


def test_f7_another_hosts_or_actions_one_is_refused(app: App, client: Client, tmp_path: Path, world: FakeWorld) -> None:
    """Another service's (it has another secret key), another action's, and one whose action was changed."""
    (tmp_path / "other").mkdir()
    with running(tmp_path / "other", FakeWorld(), **EASY) as other:
        elsewhere = fresh(Client(other), "register")
    login = fresh(client, "login")
    renamed = changed(login, lambda value: value["challenge"]["parameters"]["data"].update(action="register"))
    for attempt in (elsewhere, login, renamed):
        assert sign_up(client, attempt).code == "captcha_failed"
    assert no_account(app)


def unsolved(client: Client) -> dict[str, Any]:
    challenge: dict[str, Any] = client.get("/captcha?action=register").json()
    return challenge


def shortcut(challenge: dict[str, Any], counter: int = 0, **changes: Any) -> str:
    """A payload for which nothing was computed but one key, or nothing at all."""
    parameters = challenge["parameters"] | changes.pop("parameters", {})
    nonce, salt = (bytes.fromhex(parameters[name][:32]) for name in ("nonce", "salt"))
    key = primitive.derive(nonce, salt, counter % 2**32, 100).hex()
    solution = {"counter": counter, "derivedKey": key, **changes}
    return closed({"challenge": {"parameters": parameters, "signature": challenge["signature"]}, "solution": solution})


SHORTCUTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "a key that does not begin as it should (altcha 2.0.1)": lambda challenge: shortcut(challenge, counter=2**31),
    "number below the range": lambda challenge: shortcut(challenge, counter=-1),
    "number above the range": lambda challenge: shortcut(challenge, counter=2**32),
    "no prefix": lambda challenge: shortcut(challenge, parameters={"keyPrefix": ""}),
    "salt with extra parameters": lambda challenge: shortcut(
        challenge, parameters={"salt": challenge["parameters"]["salt"] + "?expires=9999999999&"}
    ),
    "cost 1": lambda challenge: shortcut(challenge, parameters={"cost": 1}),
    "cost 0": lambda challenge: shortcut(challenge, parameters={"cost": 0}),
    "another algorithm": lambda challenge: shortcut(challenge, parameters={"algorithm": "SHA-256"}),
    "the prefix as the key": lambda challenge: shortcut(challenge, derivedKey=challenge["parameters"]["keyPrefix"] * 2),
    "the signature as the key": lambda challenge: shortcut(challenge, derivedKey=challenge["parameters"]["keySignature"]),
    "an empty key": lambda challenge: shortcut(challenge, derivedKey=""),
    "own signature of the key": lambda challenge: shortcut(challenge, parameters={"keySignature": hashlib.sha256(b"").hexdigest()}),
    "no signature of the key": lambda challenge: closed(
        {
            "challenge": {
                "parameters": {name: value for name, value in challenge["parameters"].items() if name != "keySignature"},
                "signature": challenge["signature"],
            },
            "solution": {"counter": 0, "derivedKey": "0" * 64},
        }
    ),
    "the widget's test mode": lambda _: closed({"challenge": None, "solution": None, "test": True}),
    "version 1": lambda _: closed(
        {"algorithm": "SHA-256", "challenge": "0" * 64, "number": 1, "salt": "0?expires=9999999999", "signature": "0" * 64}
    ),
    "a hosted verdict": lambda _: closed(
        {"algorithm": "SHA-256", "verificationData": "verified=true", "signature": "0" * 64, "verified": True}
    ),
}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_f7_a_shortcut_past_the_work_is_refused(tmp_path: Path, world: FakeWorld, name: str) -> None:
    """Every way in which solvers have been spared the work, in ours and in others' protocols."""
    with running(tmp_path, world, **EASY | {"captcha_difficulty": "1000000"}) as app:
        client = Client(app)
        assert sign_up(client, SHORTCUTS[name](unsolved(client))).code == "captcha_failed"
        assert no_account(app)


def test_f7_a_challenge_with_a_vast_cost_costs_us_nothing(app: App, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is computed before its signature is right, nor after."""
    challenge = unsolved(client)
    payload = shortcut(challenge, parameters={"cost": 2**60, "keyLength": 2**30})

    def refuse(*_: Any) -> None:
        pytest.fail("a key was derived for a stranger")

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", refuse)
    assert sign_up(client, payload).code == "captcha_failed"


DOWN: dict[str, Behaviour] = {"hangs up": CLOSES_AT_ONCE, "502": says(502), "redirects": redirects("https://evil.example/yes")}


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("setting", ["closed", "open"])
def test_f7_with_the_vendor_down_the_setting_decides(tmp_path: Path, world: FakeWorld, how: str, setting: str) -> None:
    """Closed, nobody is let in; open, whoever has a token, once."""
    with sms_gateway(DOWN[how]) as server, running(tmp_path, world, **vendor("turnstile", server.url(), captcha_down=setting)) as app:
        client = Client(app)
        assert sign_up(client).code == "captcha_required"
        answer = sign_up(client, TOKEN)
        assert answer.status == (201 if setting == "open" else 503)
        assert sign_up(client, TOKEN, "other@mail.com").status == (403 if setting == "open" else 503)
        assert no_account(app) is (setting == "closed")


@pytest.mark.parametrize("setting", ["closed", "open"])
@pytest.mark.parametrize(
    "behaviour", [good(hostname="evil.example"), good(action="login"), refused("timeout-or-duplicate"), refused("bad-request")]
)
def test_f7_a_vendors_token_for_somebody_else_is_refused(tmp_path: Path, world: FakeWorld, behaviour: Behaviour, setting: str) -> None:
    """Of another host, of another action, used elsewhere, and one made to confuse: whatever is set for a vendor that is down."""
    with sms_gateway(behaviour) as server, running(tmp_path, world, **vendor("turnstile", server.url(), captcha_down=setting)) as app:
        assert sign_up(Client(app), TOKEN).status in (403, 503)
        assert no_account(app)
