"""Device tokens: `<user>.<milliseconds>.<mac>`, kept by a browser in which this user has signed in before."""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from authsvc.primitives.ids import ALPHABET, LENGTH, USER
from authsvc.primitives.keyring import Key, Keyring, Purpose, encode

DAY_MS = 86_400_000
SECONDS = 180 * 86_400  # how long a device is remembered after its last sign-in

_PATTERN = re.compile(f"([{ALPHABET}]{{{LENGTH}}})\\.([0-9]{{1,15}})\\.([A-Za-z0-9_-]{{43}})")


def mint(key: Key, user_id: str, now: int) -> str:
    """The token of a device on which this user signs in now (ms)."""
    return f"{user_id.removeprefix(USER + '_')}.{now}.{_mac(key, user_id, str(now))}"


class Device(NamedTuple):
    """Whose device it is, and when it became known (ms)."""

    user_id: str
    issued: int

    @property
    def name(self) -> str:
        """The account and the day. Each sign-in makes a new token, but no second device of the same day: who signs in over
        and over gets no new budget by it."""
        return f"{self.user_id} {self.issued // DAY_MS}"


def parse(text: str | None, keyring: Keyring, now: int) -> Device | None:
    """The device whose genuine token this is, if that is not too old."""
    match = _PATTERN.fullmatch(text or "")
    if not match or int(match[2]) < now - SECONDS * 1000:
        return None
    user_id = f"{USER}_{match[1]}"
    genuine = any(hmac.compare_digest(match[3], _mac(key, user_id, match[2])) for key in keyring.every())
    return Device(user_id, int(match[2])) if genuine else None


def is_known(text: str | None, keyring: Keyring, user_id: str, now: int, *, since: int = 0) -> bool:
    """Whether this user has signed in on that device not too long ago, and after `since` (ms)."""
    device = parse(text, keyring, now)
    return device is not None and device.user_id == user_id and device.issued > since


def _mac(key: Key, user_id: str, issued: str) -> str:
    return encode(key.derive(Purpose.DEVICE, user_id, issued))
