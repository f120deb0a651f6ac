"""The declared form of bodies and queries: what is not declared is refused, what is declared arrives parsed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from authsvc.problems import Fault, Invalid, Problem

FORBIDDEN = "forbidden"
MOST_UNKNOWN = 20  # unknown fields that are named; who sends more learns nothing from the rest


@dataclass(frozen=True, slots=True)
class Field:
    """One member: how it is parsed (the parser raises Invalid), and what stands for it when it is absent. `sensitive`:
    only a caller who proved a short while ago who they are may set it. `cap`: only a holder of it. `limits` are charged
    when it is sent."""

    parse: Callable[[Any], Any]
    required: bool = False
    default: Any = None
    sensitive: bool = False
    cap: str | None = None
    limits: tuple[str, ...] = ()


class Shape:
    """A set of named fields. `reserved` names exist but are not the caller's to set: naming one is `forbidden`. `lenient`:
    others are passed over; for what strangers send by a standard that lets them add their own (RFC 6749 section 4.1.2)."""

    def __init__(
        self, fields: Mapping[str, Field], *, reserved: frozenset[str] = frozenset(), partial: bool = False, lenient: bool = False
    ) -> None:
        self.fields = fields
        self.lenient = lenient
        self.reserved = reserved
        self.partial = partial
        self.sensitive = frozenset(name for name, field in fields.items() if field.sensitive)
        self.caps = {name: field.cap for name, field in fields.items() if field.cap}
        self.limits = {name: field.limits for name, field in fields.items() if field.limits}

    def with_fields(self, fields: Mapping[str, Field]) -> Shape:
        """The same with more fields."""
        return Shape({**self.fields, **fields}, reserved=self.reserved, partial=self.partial, lenient=self.lenient)

    def limits_of(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The limits that these values are charged to, beside those of the route."""
        return tuple(limit for name, limits in self.limits.items() if name in values for limit in limits)

    def refuse(self, names: Iterable[str]) -> None:
        """Raise for names that are there but not the caller's to set."""
        listed = ", ".join(sorted(names))
        if listed:
            raise Problem(FORBIDDEN, f"Not yours to set: {listed}.")

    def parse(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parsed values, absent ones by their default (a partial shape leaves them out). Raises a Problem."""
        self.refuse(self.reserved & values.keys())
        unknown = islice((name for name in values if not self.lenient and name not in self.fields), MOST_UNKNOWN)
        faults = [Fault(name[:100], "unknown_field", "There is no such field.") for name in unknown]
        parsed: dict[str, Any] = {}
        for name, field in self.fields.items():
            try:
                if name in values and not (values[name] is None and not self.partial):
                    parsed[name] = field.parse(values[name])
                elif field.required:
                    raise Invalid("required", "This field is needed.")
                elif not self.partial:
                    parsed[name] = field.default
            except Invalid as error:
                faults.append(Fault(name, error.code, error.detail))
            except Problem as nested:
                if nested.code == FORBIDDEN:
                    raise
                faults.extend(Fault(f"{name}.{fault.field}", fault.code, fault.detail) for fault in nested.errors)
        if faults:
            raise Problem("invalid_request", errors=faults)
        return parsed


EMPTY = Shape({})


def text(*, most: int, least: int = 1) -> Callable[[Any], str]:
    """One line of printable text, trimmed and in NFC. Lengths in characters."""

    def parse(value: Any) -> str:
        line = unicodedata.normalize("NFC", raw_text(value, most=most))
        if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") or char in _BIDI for char in line):
            raise Invalid("invalid", "Line breaks and control characters are not allowed.")
        line = line.strip()
        if len(line) < least:
            raise Invalid("too_short", f"At least {least} characters.")
        if len(line) > most:  # normalising can lengthen
            raise Invalid("too_long", f"At most {most} characters.")
        return line

    return parse


# Overrides and isolates of the bidirectional algorithm make a name read as something that it is not.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def raw_text(value: Any, *, most: int) -> str:
    """Any text, unchanged, that is Unicode throughout (no lone surrogates)."""
    if not isinstance(value, str):
        raise Invalid("wrong_type", "This must be text.")
    if len(value) > most:
        raise Invalid("too_long", f"At most {most} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid("invalid", "This is not valid Unicode.") from None
    return value


def matching(pattern: str, detail: str, *, most: int) -> Callable[[Any], str]:
    """Text of one form, given as a regular expression for the whole of it."""
    compiled = re.compile(pattern)

    def parse(value: Any) -> str:
        if not compiled.fullmatch(raw_text(value, most=most)):
            raise Invalid("invalid", detail)
        return str(value)

    return parse


def choice(*allowed: str) -> Callable[[Any], str]:
    """One of a few words."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Invalid("not_allowed", f"One of: {', '.join(allowed)}.")
        return value

    return parse


def several(parse: Callable[[Any], Any], *, most: int) -> Callable[[Any], list[Any]]:
    """A list whose items are alike."""

    def parse_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Invalid("wrong_type", "This must be a list.")
        if len(value) > most:
            raise Invalid("too_long", f"At most {most} items.")
        return [parse(item) for item in value]

    return parse_all


def flag(value: Any) -> bool:
    """A JSON boolean, or what a form sends for one."""
    if isinstance(value, bool):
        return value
    if value in ("true", "on"):
        return True
    if value in ("false", "off", ""):
        return False
    raise Invalid("wrong_type", "This must be true or false.")


def whole(least: int, most: int) -> Callable[[Any], int]:
    """A whole number within bounds, as JSON or as digits in a query."""

    def parse(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if type(value) is not int:
            raise Invalid("wrong_type", "This must be a whole number.")
        if not least <= value <= most:
            raise Invalid("not_allowed", f"From {least} to {most}.")
        return value

    return parse


def nested(shape: Shape) -> Callable[[Any], dict[str, Any]]:
    """An object of its own shape."""

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Invalid("wrong_type", "This must be an object.")
        return shape.parse(value)

    return parse


def nullable(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Null clears the value."""
    return lambda value: None if value is None else parse(value)
