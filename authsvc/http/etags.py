"""Entity tags in conditions (RFC 9110 section 13.1)."""

from __future__ import annotations

import re

_TAG = r'(W/)?("[^"]*")'
_LIST = re.compile(rf"{_TAG}(\s*,\s*{_TAG})*")


def matches(if_match: str, current: str) -> bool:
    """Whether an If-Match header lets the request pass: `*`, or a list that has this very tag; a weak one never matches."""
    wanted = if_match.strip()
    if wanted == "*":
        return True
    return _LIST.fullmatch(wanted) is not None and current in [tag for weak, tag in re.findall(_TAG, wanted) if not weak]


def is_known(if_none_match: str | None, current: str) -> bool:
    """Whether an If-None-Match header says that the client has this one; here a weak tag is as good (section 13.1.2)."""
    if if_none_match is None:
        return False
    wanted = if_none_match.strip()
    return wanted == "*" or (_LIST.fullmatch(wanted) is not None and current in [tag for _, tag in re.findall(_TAG, wanted)])
