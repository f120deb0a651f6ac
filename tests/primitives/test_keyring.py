"""Promises of primitives/keyring.py: what is derived can be derived again, apart for each purpose, and tells nothing."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.primitives.keyring import KID_LENGTH, Key, Keyring, Purpose, encode

FUZZ = settings(deadline=None)

SECRET = b"0123456789abcdef0123456789ABCDEF"
OTHER = b"fedcba9876543210FEDCBA9876543210"
PINNED_REFRESH = "d4c6629779500c75b6f0449708f81c9424d08d9691c7011b381355b7440e118c"
PINNED_AUDIT = "48d78b15d38f76481a3314f1f754031b0233345be5399cd3df5e391612e4cea9"
PINNED_KID = "_JiBfm19"
PARTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=4).map(tuple)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104 written out: no code shared with the keyring."""
    padded = hashlib.sha256(key).digest().ljust(64, b"\0") if len(key) > 64 else key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


def sub_key(secret: bytes, label: str) -> bytes:
    return hmac_sha256(secret, b"authsvc:" + label.encode())


def test_the_reference_is_the_hmac_of_rfc_4231() -> None:
    """The HMAC of this file agrees with the published vector (RFC 4231 test case 2), so it may judge the keyring."""
    assert hmac_sha256(b"Jefe", b"what do ya want for nothing?").hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("secret", [SECRET, OTHER, b"k" * 31 + b"\xff", b"long" * 40])
def test_a_sub_key_is_the_hmac_of_its_purpose(secret: bytes, purpose: Purpose) -> None:
    """From each secret key comes one sub-key for each purpose: HMAC-SHA256 of the purpose's label."""
    assert sub_key(secret, purpose.value) == Key(secret).sub(purpose)


@FUZZ
@given(secret=st.binary(min_size=32, max_size=80), purpose=st.sampled_from(Purpose), parts=PARTS)
def test_a_derived_value_is_the_hmac_of_its_parts_with_their_lengths(secret: bytes, purpose: Purpose, parts: tuple[str, ...]) -> None:
    """The 32 bytes of some parts are the HMAC-SHA256 under the purpose's sub-key of each part after its length."""
    message = b"".join(struct.pack(">Q", len(part.encode())) + part.encode() for part in parts)

    assert hmac_sha256(sub_key(secret, purpose.value), message) == Key(secret).derive(purpose, *parts)


def test_what_was_derived_by_an_earlier_release_is_derived_again() -> None:
    """The derivation never changes, since every session and audit row in a database depends on it (computed with openssl)."""
    key = Key(SECRET)

    assert key.derive(Purpose.REFRESH, "ses_1", "0").hex() == PINNED_REFRESH
    assert key.derive(Purpose.AUDIT).hex() == PINNED_AUDIT
    assert key.kid == PINNED_KID


@FUZZ
@given(one=PARTS, two=PARTS)
def test_parts_never_run_together(one: tuple[str, ...], two: tuple[str, ...]) -> None:
    """Two different tuples of parts never give the same value, however their texts are cut."""
    key = Key(SECRET)

    assert (one == two) == (key.derive(Purpose.REFRESH, *one) == key.derive(Purpose.REFRESH, *two))


@FUZZ
@given(text=st.text("ab\0:.", min_size=1, max_size=12), data=st.data())
def test_one_text_cut_in_different_places_gives_different_values(text: str, data: st.DataObject) -> None:
    """The same characters over other boundaries are other parts, whatever separators they hold."""
    cuts = [data.draw(st.integers(0, len(text))) for _ in range(2)]
    derived = {cut: Key(SECRET).derive(Purpose.BUCKET, text[:cut], text[cut:]) for cut in cuts}
    whole = Key(SECRET).derive(Purpose.BUCKET, text)

    assert len(derived) == len(set(derived.values()))
    assert whole not in derived.values()


def test_purposes_are_separate() -> None:
    """No two purposes share a sub-key or a derived value, so that nothing made for one passes for another."""
    key = Key(SECRET)
    values = [key.sub(purpose) for purpose in Purpose] + [key.derive(purpose, "ses_1", "0") for purpose in Purpose]

    assert len(values) == len(set(values)) == 2 * len(Purpose)
    assert len({purpose.value for purpose in Purpose}) == len(Purpose)
    assert all(len(value) == 32 for value in values)


def test_keys_are_separate() -> None:
    """Two secret keys share no sub-key, no derived value and no id."""
    one, two = Key(SECRET), Key(OTHER)

    assert one.kid != two.kid
    for purpose in Purpose:
        assert one.sub(purpose) != two.sub(purpose)
        assert one.derive(purpose, "a") != two.derive(purpose, "a")


def test_a_kid_reveals_nothing_of_its_key() -> None:
    """A key id is 8 characters of a sub-key used for nothing else: neither the secret nor a working sub-key is in it."""
    key = Key(SECRET)
    working = [SECRET, *(key.sub(purpose) for purpose in Purpose if purpose is not Purpose.KID)]

    assert key.kid == base64.urlsafe_b64encode(sub_key(SECRET, "key id")).decode()[:KID_LENGTH]
    assert KID_LENGTH == len(key.kid) == 8
    assert not any(raw.startswith(base64.urlsafe_b64decode(key.kid)) for raw in working)
    assert key.kid.encode() not in SECRET


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda key: repr([key]), lambda key: f"{key!r:>60}"])
def test_a_key_shows_its_kid_only(show: Callable[[Key], str]) -> None:
    """However a key gets into a log or a traceback, its secret does not."""
    key = Key(SECRET)
    shown = show(key)

    assert key.kid in shown
    assert SECRET.decode() not in shown
    assert SECRET.hex() not in shown
    assert not any(encode(key.sub(purpose)) in shown for purpose in Purpose)


def test_the_first_key_makes_new_things_and_the_others_only_check() -> None:
    """The newest key stands first in the ring; an older one is found by its kid; an unknown kid finds nothing."""
    ring = Keyring([SECRET, OTHER])

    assert ring.current.kid == Key(SECRET).kid
    for secret in (SECRET, OTHER):
        found = ring.get(Key(secret).kid)
        assert found is not None
        assert found.derive(Purpose.ACCESS, "a") == Key(secret).derive(Purpose.ACCESS, "a")
    for kid in ("", "unknown0", ring.current.kid[:-1], ring.current.kid + "A", ring.current.kid.swapcase(), SECRET.decode()):
        assert ring.get(kid) is None


@FUZZ
@given(raw=st.binary(max_size=70))
def test_encoding_is_base64url_without_padding(raw: bytes) -> None:
    """Bytes become text by base64url without padding (RFC 7515 appendix C), and can be had back."""
    text = encode(raw)

    assert base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) == raw
    assert not set(text) & set("+/=")
