"""What lists have in common: how many items a page has, and where the next one begins."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from authsvc.http.parsers import Parser
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, whole
from authsvc.primitives import ids
from authsvc.primitives.ids import NEWEST, is_id
from authsvc.problems import Invalid

DEFAULT_LIMIT = 50
MOST = 200
LONGEST_CURSOR = 2_000
WRONG = "Use the `next_cursor` of the page before."

limit = Field(whole(1, MOST).about(f"How many items at most; {DEFAULT_LIMIT} unless told.", example=DEFAULT_LIMIT), default=DEFAULT_LIMIT)


class Listed(Protocol):
    """A row that a list goes on from."""

    @property
    def id(self) -> str: ...


L = TypeVar("L", bound=Listed)


def by_id(prefix: str) -> Shape:
    """The query of a list that is in the order of its ids, newest first."""
    return Shape({"limit": limit, "cursor": Field(place_by(prefix), default=NEWEST)})


def page(found: Sequence[L], most: int, public: Callable[[L], Mapping[str, Any]]) -> Response:
    """So many items, and where the next page begins. Of `found` one more was asked for, which tells whether there is one."""
    items = [public(row) for row in found[:most]]
    return answer({"items": items, "next_cursor": found[most - 1].id if len(found) > most else None})


def place_by(prefix: str) -> Parser[str]:
    """A cursor that is the id of the last item of the page before."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not is_id(value, prefix):
            raise Invalid("invalid", WRONG)
        return value

    return Parser(parse, {"type": "string", "pattern": ids.pattern(prefix), "description": WRONG})


def sealed(parts: tuple[str, ...]) -> str:
    """A cursor that says more than an id."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).rstrip(b"=").decode()


def opened(value: Any, count: int) -> tuple[str, ...]:
    """What such a cursor says: so many texts. Raises Invalid for anything else."""
    try:
        if len(value) > LONGEST_CURSOR:
            raise Invalid("too_long", WRONG)
        parts = json.loads(base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True))
        if not isinstance(parts, list) or len(parts) != count:
            raise Invalid("invalid", WRONG)
        for part in parts:
            part.encode()
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise Invalid("invalid", WRONG) from None
    return tuple(parts)
