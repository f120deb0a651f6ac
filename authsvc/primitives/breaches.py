"""Passwords in data breaches: what is asked of the range API of Have I Been Pwned, and what its answer says.

Only five digits of a hash go out, which hundreds of passwords share (k-anonymity).
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

PREFIX = 5
_LINE = re.compile(rb"([0-9A-F]{35}):([0-9]{1,12})")


class Hashed(NamedTuple):
    """The SHA-1 of a password in upper-case hexadecimal: what is sent, and what is kept."""

    prefix: str
    suffix: str


def hashed(password: str) -> Hashed:
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    return Hashed(digest[:PREFIX], digest[PREFIX:])


def count(answer: bytes, suffix: str) -> int:
    """How often the password was seen; padding says 0. Raises ValueError for what is no answer of this API."""
    lines = answer.split()
    found = [_LINE.fullmatch(line) for line in lines]
    if not lines or None in found:
        raise ValueError("not a list of hashes and counts")
    return max((int(match[2]) for match in found if match and match[1] == suffix.encode()), default=0)
