"""HTML that is safe by its type: whatever is not Safe is escaped when it is put into a template."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from string import Template


class Safe(str):
    """Text that is HTML already. Only templates and this module make it."""

    __slots__ = ()


EMPTY = Safe("")


def fill(template: Template, **values: object) -> Safe:
    """The template with every `$name` in its place; raises KeyError for one that is not given.

    Templates put values into text or between double quotes, where escaping is enough.
    """
    return Safe(template.substitute({name: text(value) for name, value in values.items()}))


def text(value: object) -> Safe:
    """A value as HTML text or as an attribute's."""
    return value if isinstance(value, Safe) else Safe(escape(str(value), quote=True))


def join(parts: Iterable[Safe]) -> Safe:
    """Pieces of HTML, one after another."""
    return Safe("".join(parts))
