"""Refresh tokens: `rt_<session>.<counter>.<mac>`. The MAC is derived, so the store holds only the counter."""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from authsvc.primitives.ids import ALPHABET, LENGTH, SESSION
from authsvc.primitives.keyring import Key, Purpose, encode

PREFIX = "rt_"

_PATTERN = re.compile(f"rt_([{ALPHABET}]{{{LENGTH}}})\\.(0|[1-9][0-9]{{0,9}})\\.([A-Za-z0-9_-]{{43}})")


class RefreshToken(NamedTuple):
    """What a token says of itself; nothing is proved until `is_genuine`."""

    session_id: str
    counter: int
    mac: str


def mint(key: Key, session_id: str, counter: int) -> str:
    """The token of this session at this counter: the same each time it is asked for."""
    return f"{PREFIX}{session_id.removeprefix(SESSION + '_')}.{counter}.{_mac(key, session_id, counter)}"


def parse(text: str) -> RefreshToken | None:
    """The parts of a token, or None when the text is not of its form."""
    match = _PATTERN.fullmatch(text)
    return RefreshToken(f"{SESSION}_{match[1]}", int(match[2]), match[3]) if match else None


def is_genuine(token: RefreshToken, key: Key) -> bool:
    """Whether we made it, in constant time."""
    return hmac.compare_digest(token.mac, _mac(key, token.session_id, token.counter))


def _mac(key: Key, session_id: str, counter: int) -> str:
    return encode(key.derive(Purpose.REFRESH, session_id, str(counter)))
