"""The built-in CAPTCHA against ALTCHA's published behaviour, its own library, and payloads that nobody honest sends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

import altcha
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives import captcha
from authsvc.primitives.captcha import Solved, Wrong
from authsvc.primitives.keyring import Key, Purpose
from tests.captchas import changed, closed, opened, solved

NONCE = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
SALT = bytes.fromhex("101112131415161718191a1b1c1d1e1f")
NEVER = 4_102_444_800  # 2100, in seconds: the library reads the real clock
NOW = 1_800_000_000_000
KEY, OLD_KEY = Key(b"a" * 32), Key(b"b" * 32)


@dataclass
class Published:
    """A key whose sub-keys are those of a vector."""

    def sub(self, purpose: Purpose) -> bytes:
        return b"test-key-secret" if purpose is Purpose.CAPTCHA_KEY else b"test-hmac-key"


def made(key: Key = KEY, counter: int = 7, action: str = "register", expires_at: int = NEVER * 1000) -> dict[str, Any]:
    return captcha.challenge(key, NONCE, SALT, counter, cost=100, expires_at=expires_at, action=action)


def check(payload: str, *keys: Key, now: int = NOW, action: str = "register") -> Solved:
    return captcha.check(keys or (KEY,), payload, now=now, action=action)


def reason(payload: str, **more: Any) -> str:
    with pytest.raises(Wrong) as raised:
        check(payload, **more)
    return str(raised.value)


PAYLOAD = solved(made())


def test_published_vectors_are_met() -> None:
    """The derived keys and both signatures that the Python and the npm library give for the same secrets."""
    assert captcha.derive(NONCE, SALT, 247, 1000).hex() == "00f200ab2d9ac7f93f1bcc073f5df4f7ee471668ad21853d8ff8185299da4489"
    solution = captcha.derive(NONCE, SALT, 5678, 1000)
    assert solution.hex() == "5ed89a25e6d078ad02b3b79053f63ac3bdee1b681f4a05937a292c9074c2dc86"
    assert captcha._mac(Published(), Purpose.CAPTCHA_KEY, solution) == "18333b12947688c2d2ef614095f2b23d83a5cdff055261f611dce82e08603275"
    common = {"algorithm": "PBKDF2/SHA-256", "cost": 1000, "expiresAt": NEVER, "keyLength": 32, "nonce": NONCE.hex(), "salt": SALT.hex()}
    random_mode = common | {"keyPrefix": "00"}
    assert captcha._signature(Published(), random_mode) == "c823e5baa0763215e194b6a4a012c775286110b8bc787c930fa2f39ae4139e46"
    deterministic = common | {
        "keyPrefix": "5ed89a25e6d078ad02b3b79053f63ac3",
        "keySignature": "18333b12947688c2d2ef614095f2b23d83a5cdff055261f611dce82e08603275",
    }
    assert captcha._signature(Published(), deterministic) == "60b36c100a84e98d8db04a313ba94a2f8d7079a47dc29661cae70d38b6bec878"


def test_what_the_library_solves_is_taken_and_what_we_make_it_verifies() -> None:
    """Both ways: its solution passes our check, and our challenge passes its check, by the signed key and by deriving anew."""
    assert check(PAYLOAD) == Solved(NONCE.hex(), NEVER * 1000, "register")
    assert opened(PAYLOAD)["solution"]["counter"] == 7
    secret, key_secret = KEY.sub(Purpose.CAPTCHA), KEY.sub(Purpose.CAPTCHA_KEY)
    assert altcha.verify_solution(PAYLOAD, secret, hmac_key_secret=key_secret).verified
    assert altcha.verify_solution(PAYLOAD, secret).verified
    assert not altcha.verify_solution(PAYLOAD, key_secret).verified


def test_a_challenge_that_the_library_made_in_our_way_is_taken() -> None:
    """The same secrets and parameters: nothing in our form is our own invention."""
    challenge = altcha.create_challenge(
        "PBKDF2/SHA-256",
        100,
        counter=5,
        expires_at=NEVER,
        data={"action": "login"},
        hmac_secret=KEY.sub(Purpose.CAPTCHA),
        hmac_key_secret=KEY.sub(Purpose.CAPTCHA_KEY),
    )
    solution = altcha.solve_challenge(challenge)
    assert check(altcha.Payload(challenge, solution).to_base64(), action="login").nonce == challenge.parameters.nonce


def test_a_challenge_tells_half_of_the_key_that_solves_it() -> None:
    """What a browser recognises it by; whoever did not compute the rest does not have it."""
    solution = captcha.derive(NONCE, SALT, 7, 100).hex()
    challenge = made()
    assert challenge["parameters"]["keyPrefix"] == solution[:32]
    assert solution[32:] not in json.dumps(challenge)


def test_any_key_of_the_keyring_checks() -> None:
    """A challenge outlives a new secret key as long as the old one is kept, and no longer."""
    payload = solved(made(OLD_KEY))
    assert check(payload, KEY, OLD_KEY).nonce == NONCE.hex()
    assert reason(payload) == "forged"


def test_an_expired_challenge_is_refused() -> None:
    """From its last second on; before that it passes."""
    payload = solved(made(expires_at=NOW + 600_000))
    assert check(payload, now=NOW + 599_999).expires_at == NOW + 600_000
    assert reason(payload, now=NOW + 600_000) == "expired"


def test_another_actions_challenge_is_refused() -> None:
    """What was solved for signing up does not ask for a mail."""
    assert reason(PAYLOAD, action="forgot") == "action"


def put(name: str, value: Any) -> Any:
    return lambda payload: payload["challenge"]["parameters"].__setitem__(name, value)


CHANGES: dict[str, tuple[Any, str]] = {
    "algorithm": (put("algorithm", "SHA-256"), "forged"),
    "cost": (put("cost", 1), "forged"),
    "a vast cost": (put("cost", 2**62), "forged"),
    "another action": (put("data", {"action": "login"}), "forged"),
    "a later end": (put("expiresAt", NEVER + 1), "forged"),
    "no key prefix": (put("keyPrefix", ""), "forged"),
    "another prefix": (put("keyPrefix", "00"), "forged"),
    "another key's signature": (put("keySignature", "0" * 64), "forged"),
    "nonce": (put("nonce", "f" * 32), "forged"),
    "salt": (put("salt", "f" * 32), "forged"),
    "half of a character": (put("nonce", "\ud800"), "forged"),
    "salt with parameters": (put("salt", SALT.hex() + "?expires=9999999999&"), "forged"),
    "key length": (put("keyLength", 1), "forged"),
    "signature": (lambda payload: payload["challenge"].update(signature="0" * 64), "forged"),
    "counter alone": (
        lambda payload: payload["solution"].update(derivedKey=captcha.derive(NONCE, SALT, 0, 100).hex(), counter=0),
        "unsolved",
    ),
    "a key that begins right": (
        lambda payload: payload["solution"].update(derivedKey=payload["solution"]["derivedKey"][:32] + "0" * 32),
        "unsolved",
    ),
    "cost as text": (put("cost", "100"), "malformed"),
    "cost as a fraction": (put("cost", 100.0), "malformed"),
    "true is no number": (put("cost", value=True), "malformed"),
    "end as text": (put("expiresAt", str(NEVER)), "malformed"),
    "null": (put("keySignature", None), "malformed"),
    "no data": (put("data", {}), "malformed"),
    "more data": (put("data", {"action": "register", "more": 1}), "malformed"),
    "deep data": (put("data", {"action": {"action": "register"}}), "malformed"),
    "an extra parameter": (put("memoryCost", 1), "malformed"),
    "no end": (lambda payload: payload["challenge"]["parameters"].pop("expiresAt"), "malformed"),
    "no signature": (lambda payload: payload["challenge"].pop("signature"), "malformed"),
    "an empty signature": (lambda payload: payload["challenge"].update(signature=""), "malformed"),
    "signature null": (lambda payload: payload["challenge"].update(signature=None), "malformed"),
    "signature in capitals": (
        lambda payload: payload["challenge"].update(signature=payload["challenge"]["signature"].upper()),
        "malformed",
    ),
    "beside the challenge": (lambda payload: payload["challenge"].update(codeChallenge={}), "malformed"),
    "test mode": (lambda payload: payload.update(test=True), "malformed"),
    "a hosted service's": (lambda payload: payload.update(verificationData="expire=9999999999", verified=True), "malformed"),
    "counter below zero": (lambda payload: payload["solution"].update(counter=-1), "malformed"),
    "counter too great": (lambda payload: payload["solution"].update(counter=2**32), "malformed"),
    "counter true": (lambda payload: payload["solution"].update(counter=True), "malformed"),
    "no counter": (lambda payload: payload["solution"].pop("counter"), "malformed"),
    "no derived key": (lambda payload: payload["solution"].pop("derivedKey"), "malformed"),
    "a short key": (lambda payload: payload["solution"].update(derivedKey="00"), "malformed"),
    "key of other digits": (lambda payload: payload["solution"].update(derivedKey="٣" * 64), "malformed"),
    "beside the solution": (lambda payload: payload["solution"].update(verified=True), "malformed"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_payload_that_was_tampered_with_is_refused(name: str) -> None:
    """Every part of it is signed, or has one form."""
    change, why = CHANGES[name]
    assert reason(changed(PAYLOAD, change)) == why


V1 = {"algorithm": "SHA-256", "challenge": "0" * 64, "number": 1, "salt": "00?expires=9999999999&", "signature": "0" * 64}
SENTINEL = {"algorithm": "SHA-256", "signature": "0" * 64, "verificationData": "verified=true&expire=9999999999", "verified": True}


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "x",
        "=",
        "é",
        "\ud800",
        " " + PAYLOAD,
        PAYLOAD + "\n",
        PAYLOAD[:-8],
        PAYLOAD * 2,
        PAYLOAD.replace("=", "") + "A",
        "A" * 8_196,
        closed(None),
        closed([]),
        closed(1),
        closed(V1),
        closed(SENTINEL),
        closed({"challenge": None, "solution": None, "test": True}),
        closed({"challenge": None, "solution": None}),
        closed({"challenge": [], "solution": {}}),
        changed(PAYLOAD, lambda payload: payload.update(solution=None)),
        changed(PAYLOAD, lambda payload: payload["challenge"].update(parameters=None)),
    ],
    ids=lambda payload: ascii(payload)[:20],
)
def test_what_is_no_payload_is_refused(payload: str) -> None:
    """Other protocols, other types and other encodings: told as malformed, never raised as a fault."""
    assert reason(payload) == "malformed"


@pytest.mark.parametrize(
    "text",
    [
        '{"challenge":1,"challenge":2,"solution":3}',
        '{"challenge":NaN,"solution":Infinity}',
        '{"challenge":' * 500,
        "[" * 6_000,
        '{"a":' * 1_200 + "1" + "}" * 1_200,
        '{"challenge":' + "9" * 5_000 + "}",
        "\ufeff{}",
        "{} {}",
    ],
    ids=lambda text: text[:20],
)
def test_json_that_can_be_read_in_two_ways_or_in_none_is_refused(text: str) -> None:
    """Repeated keys, constants that are no JSON, depths and digits beyond reason, a mark of bytes."""
    import base64

    assert reason(base64.b64encode(text.encode()).decode()) == "malformed"
    assert reason(base64.b64encode(text.encode("utf-16")).decode()) == "malformed"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3), max_leaves=8
)  # fmt: skip
PLACES = [
    ("challenge",),
    ("solution",),
    ("challenge", "parameters"),
    ("challenge", "signature"),
    ("solution", "counter"),
    ("solution", "derivedKey"),
    *(("challenge", "parameters", name) for name in opened(PAYLOAD)["challenge"]["parameters"]),
]


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_refused_in_words(text: str) -> None:
    """No text makes the parser fail."""
    with pytest.raises(Wrong):
        check(text)


@given(st.sampled_from(PLACES), VALUES)
def test_any_value_in_any_place_is_refused(place: tuple[str, ...], value: Any) -> None:
    """Whatever stands in the place of one part, nothing passes but the part itself."""
    payload = opened(PAYLOAD)
    target = payload
    for step in place[:-1]:
        target = target[step]
    same = type(target[place[-1]]) is type(value) and target[place[-1]] == value
    target[place[-1]] = value
    if same or place == ("solution", "counter"):
        return  # the key is what proves the work; a counter beside it may be any
    with pytest.raises(Wrong):
        check(closed(payload))


def test_checking_derives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However dear a challenge says that it is: a check is HMACs, and of what is forged one for each of our keys."""
    vast = changed(PAYLOAD, put("cost", 2**62))
    counted: list[bytes] = []
    digest = hmac.digest

    def counting(key: bytes, message: bytes, name: str) -> bytes:
        counted.append(message)
        return digest(key, message, name)

    def refuse(*_: Any) -> None:
        pytest.fail("a key was derived")

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", refuse)
    for key in (KEY, OLD_KEY):
        key.sub(Purpose.CAPTCHA)
        key.sub(Purpose.CAPTCHA_KEY)
    monkeypatch.setattr(hmac, "digest", counting)
    assert check(PAYLOAD).nonce == NONCE.hex()
    assert len(counted) == 2
    assert reason(vast) == "forged"
    assert len(counted) == 3


def test_the_librarys_own_tampered_payloads_are_refused() -> None:
    """What it would refuse we refuse: a wrong secret, a solution of another challenge."""
    other = solved(captcha.challenge(KEY, SALT, NONCE, 7, cost=100, expires_at=NEVER * 1000, action="register"))
    swapped = changed(PAYLOAD, lambda payload: payload.update(solution=opened(other)["solution"]))
    assert not altcha.verify_solution(swapped, KEY.sub(Purpose.CAPTCHA)).verified
    assert reason(swapped) == "unsolved"
    assert time.time() < NEVER


def test_what_can_be_read_in_two_ways_is_malformed() -> None:
    """A member that is there twice, at either place, and a constant that is no JSON: the rest is as it was solved."""
    text = base64.b64decode(PAYLOAD).decode()
    begun = text.replace('{"', '{"solution": {}, "', 1)
    ended = text[:-1] + f', "solution": {json.dumps(opened(PAYLOAD)["solution"])}}}'
    timed = json.dumps(changed_time(opened(PAYLOAD)))
    for twice in (begun, ended, timed):
        assert reason(base64.b64encode(twice.encode()).decode()) == "malformed", twice


def changed_time(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {"solution": payload["solution"] | {"time": float("nan")}}
