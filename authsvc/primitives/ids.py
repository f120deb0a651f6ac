"""Ids: a kind prefix, then 48 bits of time and 80 of chance, in an alphabet that sorts as the time does."""

from __future__ import annotations

import re

from authsvc.world import World

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32, lower case
LENGTH = 26
NEWEST = "\x7f"  # sorts after every id
RANDOM_BYTES = 10

USER = "usr"
SESSION = "ses"
EVENT = "evt"
CHALLENGE = "chl"
DELIVERY = "dlv"
FACTOR = "fac"
RECOVERY = "rcv"
IDENTITY = "idn"
WEBHOOK = "whk"
API_KEY = "key"

# Two digits, ten bits, at a time.
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_SHIFTS = range(120, -1, -10)
_PATTERN = re.compile(f"[a-z]{{3}}_[{ALPHABET}]{{{LENGTH}}}")


def new(prefix: str, world: World) -> str:
    """A fresh id of one kind."""
    return _text(prefix, (world.now() << 80) | int.from_bytes(world.random_bytes(RANDOM_BYTES), "big"))


def settled(prefix: str, milliseconds: int, raw: bytes) -> str:
    """The id that belongs to this time and these bytes: the same each time."""
    return _text(prefix, (max(0, milliseconds) << 80) | int.from_bytes(raw[:RANDOM_BYTES], "big"))


def first_at(prefix: str, milliseconds: int) -> str:
    """The lowest id that can be made at this time: those of earlier times sort before it."""
    return _text(prefix, max(0, milliseconds) << 80)


def is_id(text: str, prefix: str) -> bool:
    """Whether the text has the form of an id of this kind."""
    return text.startswith(prefix) and _PATTERN.fullmatch(text) is not None


def pattern(prefix: str) -> str:
    """The form of an id of this kind, as JSON Schema writes it."""
    return f"^{prefix}_[{ALPHABET}]{{{LENGTH}}}$"


def readable_secret(world: World) -> str:
    """A generated password: 20 characters of 5 bits each, in groups that can be read aloud."""
    digits = "".join(_PAIRS[int.from_bytes(world.random_bytes(2), "big") & 1023] for _ in range(10))
    return "-".join(digits[start : start + 5] for start in range(0, 20, 5))


def _text(prefix: str, number: int) -> str:
    return f"{prefix}_{''.join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])}"
