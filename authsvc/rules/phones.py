"""Phone numbers: the international form (ITU-T E.164), which of them SMS may go to, and the range that one belongs to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from authsvc.problems import Invalid

_FORM = re.compile(r"\+[1-9][0-9]{6,14}")
_BETWEEN = re.compile(r"[ \u00a0\u2009\u202f().\-/]")
PREFIX_DIGITS = 4  # beyond the calling code: a range that one operator usually holds

# Calling codes of one and two digits; all others have three (ITU-T E.164 annex).
_SHORT = frozenset(
    {"1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49"}
    | {"51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86"}
    | {"90", "91", "92", "93", "94", "95", "98"}
)


def parse(text: str) -> str:
    """The canonical form of a number that somebody typed with its calling code. Raises Invalid."""
    typed = unicodedata.normalize("NFKC", text.strip(" "))
    number = _BETWEEN.sub("", typed)
    if "(0)" in typed:  # a trunk prefix, dialled inside the country only; kept, it would make another number
        raise Invalid("invalid", "Leave out the (0), such as +49 151 23456789 (E.164).")
    if not _FORM.fullmatch(number):
        raise Invalid("invalid", "Use the international form, such as +14155550100 (E.164).")
    return number


def is_allowed(number: str, countries: Sequence[str]) -> bool:
    """Whether SMS may go there: nothing is allowed that is not listed."""
    return any(number.startswith(prefix) for prefix in countries)


def prefix(number: str) -> str:
    """The calling code and the next digits: what numbers of a bought range share."""
    return number[: 1 + len(calling_code(number)) + PREFIX_DIGITS]


def calling_code(number: str) -> str:
    digits = number.removeprefix("+")
    return next((digits[:length] for length in (1, 2) if digits[:length] in _SHORT), digits[:3])


def masked(number: str) -> str:
    """`+49•••••••42`: enough to recognise one's own number."""
    code = calling_code(number)
    return f"+{code}{'•' * max(0, len(number) - len(code) - 3)}{number[-2:]}"
