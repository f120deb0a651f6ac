"""The declared form of bodies and queries: what is not declared is refused, what is declared arrives parsed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from authsvc.http.parsers import Parser, Schema, or_null, parser
from authsvc.problems import Fault, Invalid, Problem

FORBIDDEN = "forbidden"
T = TypeVar("T")

MOST_UNKNOWN = 20  # unknown fields that are named; who sends more learns nothing from the rest


@dataclass(frozen=True, slots=True)
class Field:
    """One member: how it is parsed, and what stands for it when it is absent. `sensitive`: only a caller who proved
    a short while ago who they are may set it. `cap`: only a holder of it. `limits` are charged when it is sent."""

    parser: Parser[Any]
    required: bool = False
    default: Any = None
    sensitive: bool = False
    cap: str | None = None
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.parser, Parser):
            raise TypeError("a field needs a Parser, which says its JSON Schema too")


class Shape:
    """A set of named fields. `reserved` names exist but are not the caller's to set: naming one is `forbidden`. `lenient`:
    others are passed over; for what strangers send by a standard, in a form, that lets them add their own (RFC 6749 sections
    3.2 and 4.1.2)."""

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
        self._absent = None if any(field.required for field in fields.values()) else {} if partial else self._defaults()

    def with_fields(self, fields: Mapping[str, Field]) -> Shape:
        """The same with more fields."""
        return Shape({**self.fields, **fields}, reserved=self.reserved, partial=self.partial, lenient=self.lenient)

    def _defaults(self) -> dict[str, Any]:
        return {name: field.default for name, field in self.fields.items()}

    def limits_of(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The limits that these values are charged to, beside those of the route."""
        return tuple(limit for name, limits in self.limits.items() if name in values for limit in limits)

    def refuse(self, names: Iterable[str]) -> None:
        """Raise for names that are there but not the caller's to set."""
        listed = ", ".join(sorted(names))
        if listed:
            raise Problem(FORBIDDEN, f"Not yours to set: {listed}.")

    def schema(self) -> Schema:
        """What a JSON body of this shape is. Outside of partial shapes null stands for absent."""
        may_be_null = {name for name, field in self.fields.items() if not (field.required or self.partial)}
        return {
            "type": "object",
            "properties": {
                name: or_null(field.parser.schema) if name in may_be_null else field.parser.schema for name, field in self.fields.items()
            },
            "required": [name for name, field in self.fields.items() if field.required],
            "additionalProperties": self.lenient,
        }

    def parse(self, values: Mapping[str, Any], *, textual: bool = False) -> dict[str, Any]:
        """The parsed values, absent ones by their default (a partial shape leaves them out). `textual`: they come from a
        form or a query. Raises a Problem."""
        if not values and self._absent is not None:  # most queries, and many bodies
            return dict(self._absent)
        self.refuse(self.reserved & values.keys())
        unknown = islice((name for name in values if not self.lenient and name not in self.fields), MOST_UNKNOWN)
        faults = [Fault(name[:100], "unknown_field", "There is no such field.") for name in unknown]
        parsed: dict[str, Any] = {}
        for name, field in self.fields.items():
            try:
                if name in values and not (values[name] is None and not self.partial):
                    parsed[name] = field.parser.read(values[name], textual=textual)
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


def text(*, most: int, least: int = 1) -> Parser[str]:
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

    pattern = f"^[^{_CONTROLS}]*[^{_CONTROLS}{_SPACES}][^{_CONTROLS}]*$" if least else f"^[^{_CONTROLS}]*$"
    return Parser(parse, {"type": "string", "maxLength": most, "pattern": pattern})


# Overrides and isolates of the bidirectional algorithm make a name read as something that it is not.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# The same, and white space, as regular expressions of JSON Schema write them (ECMA-262).
_CONTROLS = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069"
_SPACES = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"


def raw(*, most: int) -> Parser[str]:
    """Any text, unchanged."""
    return Parser(lambda value: raw_text(value, most=most), {"type": "string", "maxLength": most})


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


def matching(pattern: str, detail: str, *, most: int) -> Parser[str]:
    """Text of one form, given as a regular expression for the whole of it, in what Python and ECMA-262 share."""
    compiled = re.compile(pattern)

    def parse(value: Any) -> str:
        if not compiled.fullmatch(raw_text(value, most=most)):
            raise Invalid("invalid", detail)
        return str(value)

    return Parser(parse, {"type": "string", "maxLength": most, "pattern": f"^(?:{pattern})$"})


def choice(*allowed: str) -> Parser[str]:
    """One of a few words."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Invalid("not_allowed", f"One of: {', '.join(allowed)}.")
        return value

    return Parser(parse, {"type": "string", "enum": list(allowed)})


def several(one: Parser[T], *, most: int, least: int = 0) -> Parser[list[T]]:
    """A list whose items are alike."""

    def parse_all(value: Any) -> list[T]:
        if not isinstance(value, list):
            raise Invalid("wrong_type", "This must be a list.")
        if not least <= len(value) <= most:
            raise Invalid("too_short" if len(value) < least else "too_long", f"From {least} to {most} items.")
        return [one(item) for item in value]

    return Parser(parse_all, {"type": "array", "items": one.schema, "minItems": least, "maxItems": most})


@parser(type="boolean")
def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid("wrong_type", "This must be true or false.")
    return value


def _word(value: Any) -> bool:
    """What a form sends for a box that is ticked or not."""
    return _boolean({"true": True, "on": True, "false": False, "off": False, "": False}.get(value) if isinstance(value, str) else value)


flag: Parser[bool] = Parser(_boolean.parse, _boolean.schema, _word)


def whole(least: int, most: int) -> Parser[int]:
    """A whole number within bounds, as JSON, or as digits in a query."""

    def parse(value: Any) -> int:
        if type(value) is not int:
            raise Invalid("wrong_type", "This must be a whole number.")
        if not least <= value <= most:
            raise Invalid("not_allowed", f"From {least} to {most}.")
        return value

    def of_text(value: Any) -> int:
        return parse(int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value)

    return Parser(parse, {"type": "integer", "minimum": least, "maximum": most}, of_text)


def nested(shape: Shape) -> Parser[dict[str, Any]]:
    """An object of its own shape."""

    def parse(value: Any, *, textual: bool = False) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Invalid("wrong_type", "This must be an object.")
        return shape.parse(value, textual=textual)

    return Parser(parse, shape.schema(), partial(parse, textual=True))


def nullable(one: Parser[T]) -> Parser[T | None]:
    """Null clears the value."""
    return Parser(lambda value: None if value is None else one(value), or_null(one.schema), one.of_text)
