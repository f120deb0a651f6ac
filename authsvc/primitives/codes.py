"""One-time codes of six digits, derived from a challenge and the number of the sending."""

from __future__ import annotations

import hmac
import re

from authsvc.primitives.keyring import Key, Purpose

DIGITS = 6

_FORM = re.compile(rf"[0-9]{{{DIGITS}}}")


def code(key: Key, challenge_id: str, sends: int) -> str:
    """The code of this sending: the same each time it is asked for."""
    return truncate(key.derive(Purpose.CODE, challenge_id, str(sends)))


def is_right(given: str, key: Key, challenge_id: str, sends: int) -> bool:
    """Whether it is that code, in constant time. Spaces are how people group digits."""
    digits = given.replace(" ", "")
    return _FORM.fullmatch(digits) is not None and hmac.compare_digest(digits, code(key, challenge_id, sends))


def truncate(digest: bytes, digits: int = DIGITS) -> str:
    """Dynamic truncation (RFC 4226 section 5.3): 31 bits at the place that the last byte names, as decimal digits."""
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"
