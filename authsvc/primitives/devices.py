"""Device tokens: `<user>.<milliseconds>.<mac>`, kept by a browser in which this user has signed in before."""

from __future__ import annotations

import hmac
import re

from authsvc.primitives.ids import ALPHABET, LENGTH, USER
from authsvc.primitives.keyring import Key, Keyring, Purpose, encode

SECONDS = 180 * 86_400  # how long a device is remembered after its last sign-in

_PATTERN = re.compile(f"([{ALPHABET}]{{{LENGTH}}})\\.([0-9]{{1,15}})\\.([A-Za-z0-9_-]{{43}})")


def mint(key: Key, user_id: str, now: int) -> str:
    """The token of a device on which this user signs in now (ms)."""
    return f"{user_id.removeprefix(USER + '_')}.{now}.{_mac(key, user_id, str(now))}"


def is_known(text: str | None, keyring: Keyring, user_id: str, now: int, *, since: int = 0) -> bool:
    """Whether this user has signed in on that device not too long ago, and after `since` (ms)."""
    match = _PATTERN.fullmatch(text or "")
    if not match or f"{USER}_{match[1]}" != user_id or int(match[2]) < now - SECONDS * 1000 or int(match[2]) <= since:
        return False
    return any(hmac.compare_digest(match[3], _mac(key, user_id, match[2])) for key in keyring.every())


def _mac(key: Key, user_id: str, issued: str) -> str:
    return encode(key.derive(Purpose.DEVICE, user_id, issued))
