"""Which passwords are too weak: short, common, trivial, or made of the account's own data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

OWN_MIN_LENGTH = 3  # shorter words of one's own would be found in any password
OWN_REMAINDER = 5  # characters that must be left when one's own data is taken out
MIN_VARIETY = 3  # different characters


def weakness(password: str, own: Iterable[str | None]) -> str | None:
    """Why a password is weak, as a sentence for its owner; None for a good one. `own` is the account's e-mail, name, …"""
    folded = password.casefold()
    if len(set(folded)) < MIN_VARIETY:
        return "The password repeats too few characters."
    if folded in common():
        return "The password is among the most common ones."
    rest = folded
    for word in sorted(_words(own), key=len, reverse=True):
        rest = rest.replace(word, "")
    if rest != folded and len(rest) < OWN_REMAINDER:
        return "The password is made of your own e-mail address or name."
    return None


@cache
def common() -> frozenset[str]:
    """The bundled list of common passwords, lower case."""
    return frozenset(files(__package__).joinpath("common_passwords.txt").read_text("ascii").split("\n")) - {""}


def _words(own: Iterable[str | None]) -> set[str]:
    texts = [text.casefold() for text in own if text]
    pieces = [piece for text in texts for piece in re.split(r"[^\w]+|_", text)]
    return {word for word in texts + pieces if len(word) >= OWN_MIN_LENGTH}
