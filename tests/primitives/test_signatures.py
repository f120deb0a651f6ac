"""Signatures of webhooks against the published vector and an independent library."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

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
