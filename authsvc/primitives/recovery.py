"""Recovery codes: ten for an account, each of 50 bits, derived from their batch; the row holds a bit for each used one."""

from __future__ import annotations

import hmac
import re

from authsvc.primitives.ids import ALPHABET
from authsvc.primitives.keyring import Key, Purpose

COUNT = 10
LENGTH = 10  # characters of 5 bits
ALL = (1 << COUNT) - 1

_READ = str.maketrans({"o": "0", "i": "1", "l": "1", "u": "v", " ": "", "-": ""})  # Crockford's base32 as people misread it
_FORM = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")


def codes(key: Key, batch_id: str) -> list[str]:
    """All codes of a batch, `xxxxx-xxxxx`."""
    return [code(key, batch_id, index) for index in range(COUNT)]


def code(key: Key, batch_id: str, index: int) -> str:
    number = int.from_bytes(key.derive(Purpose.RECOVERY, batch_id, str(index))[:8], "big")
    text = "".join(ALPHABET[(number >> 5 * place) & 31] for place in range(LENGTH))
    return f"{text[:5]}-{text[5:]}"


def index_of(given: str, key: Key, batch_id: str) -> int | None:
    """Which code of the batch it is; None when it is none. In constant time."""
    text = given.lower().translate(_READ)
    if not _FORM.fullmatch(text):
        return None
    found = [i for i, known in enumerate(codes(key, batch_id)) if hmac.compare_digest(text, known.replace("-", ""))]
    return found[0] if found else None


def left(used: int) -> int:
    """How many codes are left of a batch, by its bits."""
    return COUNT - (used & ALL).bit_count()
