"""API keys: `ak_<id>.<mac>`, derived from the row that they belong to and never stored."""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from authsvc.primitives.ids import ALPHABET, API_KEY, LENGTH
from authsvc.primitives.keyring import Key, Purpose, encode

PREFIX = "ak_"

_PATTERN = re.compile(f"{PREFIX}([{ALPHABET}]{{{LENGTH}}})\\.([A-Za-z0-9_-]{{43}})")
_IN_HEADER = re.compile(r"\s*bearer\s+ak_", re.IGNORECASE)


class KeyToken(NamedTuple):
    """What a key says of itself; nothing is proved until `is_genuine`."""

    key_id: str
    mac: str


def mint(key: Key, key_id: str) -> str:
    """The key of this row: the same each time it is asked for."""
    return f"{PREFIX}{key_id.removeprefix(API_KEY + '_')}.{_mac(key, key_id)}"


def parse(text: str) -> KeyToken | None:
    """Its parts, or None when the text is not of its form."""
    match = _PATTERN.fullmatch(text)
    return KeyToken(f"{API_KEY}_{match[1]}", match[2]) if match else None


def is_genuine(token: KeyToken, key: Key) -> bool:
    """Whether we made it, in constant time."""
    return hmac.compare_digest(token.mac, _mac(key, token.key_id))


def are_in(authorization: str | None) -> bool:
    """Whether an Authorization header seems to hold one: its caller is no browser, and may make us write."""
    return authorization is not None and _IN_HEADER.match(authorization) is not None


def _mac(key: Key, key_id: str) -> str:
    return encode(key.derive(Purpose.API_KEY, key_id))
