"""Hashes of other systems: checked as those systems check them, within bounds that are read from the text before any work."""

from __future__ import annotations

import base64
import re
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives import foreign_hashes
from authsvc.primitives.foreign_hashes import recognise
from authsvc.primitives.passwords import Cost, Hasher
from authsvc.problems import Invalid, Problem
from authsvc.world import World
from tests.foreign import MADE_BY, django

PASSWORDS = ("violet-harbour-91", "Grüße, 世界", "x", "p" * 100)
OURS = Cost(64, 1, 1)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


@pytest.fixture
def hasher() -> Hasher:
    made = Hasher(World(), OURS, budget_mib=64)
    yield made
    made.close()


@pytest.mark.parametrize("by", MADE_BY)
def test_what_another_system_made_is_checked_as_it_checks_it(by: str, hasher: Hasher) -> None:
    """The right password is right, every other is not, whatever it is made of."""
    for password in PASSWORDS:
        kept = hasher.admit(MADE_BY[by](password))
        assert hasher.verify(kept, password)
        assert not hasher.verify(kept, "y" + password[1:])
        assert not hasher.verify(kept, "")
        assert hasher.is_stale(kept)
        assert hasher.admit(kept) == kept, "what is kept can be exported and imported again"


@pytest.mark.parametrize(
    ("text", "password"),
    [
        # RFC 6070, the third of its vectors, in passlib's form.
        (
            "$pbkdf2$4096$" + b64(b"salt") + "$" + b64(bytes.fromhex("4b007901b765489abead49d926f721d065a429c1")).replace("+", "."),
            "password",
        ),
        # RFC 7914 section 11: PBKDF2-HMAC-SHA-256, the first.
        (
            "$pbkdf2-sha256$1$"
            + b64(b"salt")
            + "$"
            + b64(bytes.fromhex("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc")),
            "passwd",
        ),
        # RFC 7914 section 12, the second and the third.
        (
            "scrypt:1024:8:16$NaCl$fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
            "password",
        ),
        (
            "scrypt:16384:8:1$SodiumChloride$7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
            "pleaseletmein",
        ),
        # Of jBCrypt and of crypt_blowfish.
        ("$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"),
    ],
)
def test_published_vectors_hold(text: str, password: str) -> None:
    """Those of the RFCs, and of bcrypt's best-known implementation."""
    assert recognise(text).matches(password.encode())
    assert not recognise(text).matches(password.encode() + b"x")


@pytest.mark.parametrize(
    "text",
    [
        "$argon2id$v=19$m=4194305,t=1,p=1$" + b64(b"s" * 16) + "$" + b64(b"d" * 32),
        "$argon2id$v=19$m=65536,t=65,p=1$" + b64(b"s" * 16) + "$" + b64(b"d" * 32),
        "$argon2id$v=19$m=65536,t=1,p=65$" + b64(b"s" * 16) + "$" + b64(b"d" * 32),
        "argon2$argon2id$v=19$m=65537,t=1,p=1$" + b64(b"s" * 16) + "$" + b64(b"d" * 32),
        "pbkdf2_sha256$4000001$salt$" + b64(b"d" * 32),
        "$pbkdf2-sha256$2000001$c2FsdA$" + b64(b"d" * 64),
        "pbkdf2:sha1:1000001$salt$" + "0" * 128,
        "$argon2id$v=19$m=512,t=17,p=64$" + b64(b"s" * 16) + "$" + b64(b"d" * 32),
        "scrypt:1048576:8:1$salt$" + "0" * 128,
        "scrypt:2:1:1025$salt$" + "0" * 128,
        "scrypt:2:256:5$salt$" + "0" * 128,
        "scrypt:65536:8:2$salt$" + "0" * 128,  # 64 MiB is the budget, and the second lane is beyond it
        "scrypt:2:8192:9999$salt$" + "0" * 128,
        "$scrypt$ln=31,r=8,p=1$c2FsdA$" + b64(b"d" * 32),
        "scrypt$16384$salt$8$9999$" + b64(b"d" * 64),
        "$2b$15$" + "a" * 53,
        "bcrypt_sha256$$2b$31$" + "a" * 53,
    ],
)
def test_a_hash_that_costs_too_much_is_refused_before_any_of_it_is_spent(
    text: str, hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory beyond the budget, or work beyond some seconds, is read from the text; nothing is computed."""
    import hashlib

    import argon2.low_level
    import bcrypt

    for module, name in ((hashlib, "scrypt"), (hashlib, "pbkdf2_hmac"), (bcrypt, "checkpw"), (argon2.low_level, "verify_secret")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it was computed"))
    with pytest.raises(Invalid) as refused:
        hasher.admit(text)
    assert refused.value.code == "not_allowed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "password123",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
        "sha1$salt$da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "{SSHA}MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1u",
        "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
        "$6$rounds=5000$salt$" + "a" * 86,
        "$2x$10$" + "a" * 53,
        "$2b$03$" + "a" * 53,
        "$2b$99$" + "a" * 53,
        "$argon2id$v=19$m=7,t=1,p=1$" + b64(b"s" * 16) + "$" + b64(b"d" * 32),
        "$argon2id$v=19$m=64,t=1,p=1$YQ$" + b64(b"d" * 32),
        "$argon2id$v=19$m=64,t=1,p=1$" + b64(b"s" * 16) + "$YQ",
        "argon2$argon2$argon2id$v=19$m=64,t=1,p=1$" + b64(b"s" * 16) + "$" + b64(b"d" * 32),
        "pbkdf2_sha256$1000$salt$YQ==",
        "pbkdf2_sha256$0$salt$" + b64(b"d" * 32),
        "pbkdf2_sha256$-1$salt$" + b64(b"d" * 32),
        "pbkdf2_md5$1000$salt$" + b64(b"d" * 32),
        "pbkdf2:sha256:1000$salt$abc",
        "scrypt:1000:8:1$salt$" + "0" * 128,
        "scrypt:1:8:1$salt$" + "0" * 128,
        "$scrypt$ln=99,r=8,p=1$c2FsdA$" + b64(b"d" * 32),
        "$scrypt$ln=16,r=1,p=1$c2FsdA$" + b64(b"d" * 32),
        "$argon2id$v=19$m=64,t=1,p=1$" + b64(b"s" * 16) + "$" + b64(b"d" * 32)[:-1] + "B",  # bits that mean nothing
        "pbkdf2_sha256$1000$salt$" + b64(b"d" * 32)[:-1] + "B",
        "bcrypt$" * 70,
        "bcrypt_sha256$pbkdf2_sha256$1000$salt$" + b64(b"d" * 32),
        "$2b$04$" + "a" * 53 + "\n",
        "$2b$04$" + "a" * 52 + "é",
        "pbkdf2_sha256$٣$salt$" + b64(b"d" * 32),
        "x" * 100_000,
    ],
)
def test_what_is_no_hash_or_protects_nothing_is_refused(text: str, hasher: Hasher) -> None:
    """A plain digest, a cut-off hash, a password itself: an error that says so and does not repeat it."""
    with pytest.raises(Invalid) as refused:
        hasher.admit(text)
    assert text == "" or text not in refused.value.detail


@given(st.one_of(st.text(max_size=60), st.from_regex(re.compile("|".join(form.pattern for form, _ in foreign_hashes._FORMS)))))
def test_any_text_is_recognised_or_refused(text: str) -> None:
    """Whatever a file holds, there is no other error; and what is taken and costs little can be checked."""
    try:
        found = recognise(text)
    except Invalid:
        return
    if found.beyond is None and found.memory_kib <= 1_024 and not re.search(r"[0-9]{5}", text):
        assert found.matches(b"password") in (True, False)


def test_django_md5_is_not_taken(hasher: Hasher) -> None:
    """What Django itself keeps for tests only."""
    with pytest.raises(Invalid):
        hasher.admit(django().MD5PasswordHasher().encode("x", "salt"))


def test_without_the_extra_bcrypt_its_hashes_are_refused(hasher: Hasher, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one is let in the extra is named; one that was let in before is told as our fault, not as a wrong password."""
    made = MADE_BY["bcrypt 2b"]("x")
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(Invalid, match=r"\.\[bcrypt\]"):
        hasher.admit(made)
    with pytest.raises(Problem) as told:
        hasher.verify(made, "x")
    assert told.value.code == "unavailable"


def test_a_wrong_password_for_a_foreign_hash_costs_a_check_of_ours_too(hasher: Hasher, monkeypatch: pytest.MonkeyPatch) -> None:
    """However cheap the other system's hash is, it is not the quicker answer."""
    import argon2.low_level

    real, checked = argon2.low_level.verify_secret, []
    monkeypatch.setattr(argon2.low_level, "verify_secret", lambda *given: checked.append(given[0]) or real(*given))
    kept = hasher.admit(MADE_BY["werkzeug pbkdf2 sha256"]("x"))
    assert not hasher.verify(kept, "y")
    assert [text.startswith(b"$argon2id$v=19$m=64,t=1,p=1$") for text in checked] == [True]
    assert hasher.verify(kept, "x")
    assert len(checked) == 1, "a right one is hashed anew, which costs the same"


def test_a_check_that_takes_the_memory_of_several_takes_their_slots() -> None:
    """Two of them never run side by side, nor beside one of ours; nor do they wait for each other for ever."""
    hasher = Hasher(World(), Cost(1024, 1, 1), budget_mib=4)
    hasher.slots = 4
    hasher._start()
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def work(weight: int) -> None:
        def check() -> None:
            with lock:
                running.append(weight)
                most.append(sum(running))
            World().pause(0.002)
            with lock:
                running.remove(weight)

        hasher._run(check, weight)

    assert hasher._slots_for(recognise("$scrypt$ln=11,r=8,p=1$c2FsdA$" + b64(b"d" * 32))) == 2
    assert hasher._slots_for(recognise("$scrypt$ln=16,r=8,p=1$c2FsdA$" + b64(b"d" * 32))) == 4, "beyond the budget: alone"
    threads = [threading.Thread(target=work, args=(1 + number % 4,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hasher.close()
    assert len(most) == 16
    assert max(most) <= 4
