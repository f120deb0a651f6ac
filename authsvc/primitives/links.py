"""Link tokens: `<challenge>.<mac>`, as they stand in the path of a mailed link. The MAC is derived, never stored."""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from authsvc.primitives.ids import ALPHABET, CHALLENGE, LENGTH
from authsvc.primitives.keyring import Key, Purpose, encode

_PATTERN = re.compile(f"([{ALPHABET}]{{{LENGTH}}})\\.([A-Za-z0-9_-]{{43}})")


class LinkToken(NamedTuple):
    """What a token says of itself; nothing is proved until `is_genuine`."""

    challenge_id: str
    mac: str


def mint(key: Key, challenge_id: str, purpose: str) -> str:
    """The token of this challenge: the same each time it is asked for."""
    return _text(challenge_id, _mac(key, Purpose.LINK, challenge_id, purpose))


def bind(key: Key, challenge_id: str) -> str:
    """What the browser keeps that asked for the challenge, so that it is known again."""
    return _text(challenge_id, _mac(key, Purpose.BINDING, challenge_id, ""))


def parse(text: str) -> LinkToken | None:
    """The parts of a token, or None when the text is not of its form."""
    match = _PATTERN.fullmatch(text)
    return LinkToken(f"{CHALLENGE}_{match[1]}", match[2]) if match else None


def is_genuine(token: LinkToken, key: Key, purpose: str) -> bool:
    """Whether we made it for this purpose, in constant time."""
    return hmac.compare_digest(token.mac, _mac(key, Purpose.LINK, token.challenge_id, purpose))


def is_bound(text: str, key: Key, challenge_id: str) -> bool:
    """Whether this is what the browser keeps that asked for the challenge, in constant time."""
    return hmac.compare_digest(text.encode(), bind(key, challenge_id).encode())


def _text(challenge_id: str, mac: str) -> str:
    return f"{challenge_id.removeprefix(CHALLENGE + '_')}.{mac}"


def _mac(key: Key, use: Purpose, challenge_id: str, purpose: str) -> str:
    return encode(key.derive(use, challenge_id, purpose))
