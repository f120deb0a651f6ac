"""Signatures of webhooks against the published vector and an independent library."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from authsvc.primitives.signatures import shown, signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_vector_of_the_specification() -> None:
    """Standard Webhooks 1.0.0: secret, id, time and body give this signature."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    header = signed([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert header == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert shown(key) == SECRET


@given(st.binary(min_size=24, max_size=64), st.text(max_size=200), st.integers(1, 4_000_000_000))
def test_the_library_signs_alike(key: bytes, body: str, seconds: int) -> None:
    """Any secret, body and time; the signatures of two secrets stand side by side, one space between."""
    raw = body.encode("utf-8", "replace")
    text = raw.decode()
    theirs = Webhook(shown(key)).sign("evt_1", datetime.fromtimestamp(seconds, UTC), text)
    assert signed([key], "evt_1", seconds, raw) == theirs
    assert signed([key, key], "evt_1", seconds, raw) == f"{theirs} {theirs}"


@given(st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64))
def test_whoever_knows_one_of_two_secrets_verifies_and_nobody_else(old: bytes, new: bytes) -> None:
    """During a rotation either secret does; a third does not; the header is made of elements with one comma each."""
    now = datetime.now(UTC)
    header = signed([new, old], "evt_1", int(now.timestamp()), b"{}")
    assert [element.count(",") for element in header.split(" ")] == [1, 1]
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": header}
    for secret in (old, new):
        assert Webhook(shown(secret)).verify("{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(shown(hashlib.sha256(old + new).digest())).verify("{}", headers)


@pytest.mark.parametrize("change", ["id", "time", "body"])
def test_each_part_is_signed_and_cannot_be_moved_into_another(change: str) -> None:
    """Another id, time or body, and a body that begins with what the id ended with, have another signature."""
    key = b"k" * 32
    header = signed([key], "evt_1", 1_700_000_000, b"{}")
    others = {"id": ("evt_2", 1_700_000_000, b"{}"), "time": ("evt_1", 1_700_000_001, b"{}"), "body": ("evt_1", 1_700_000_000, b"{} ")}
    assert signed([key], *others[change]) != header
    assert signed([b"K" * 32], "evt_1", 1_700_000_000, b"{}") != header


def test_bytes_are_signed_as_they_are() -> None:
    """Also such as are no text; the empty body, too."""
    key = b"k" * 32
    assert len({signed([key], "evt_1", 1, body) for body in (b"", b"\xff", b"\xfe", "ü".encode(), "u\u0308".encode())}) == 5
    assert signed([], "evt_1", 1, b"") == ""
