"""What a parser of one value is: the function, and the JSON Schema of what it takes, which can so never be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Schema = Mapping[str, Any]  # JSON Schema, draft 2020-12


@dataclass(frozen=True, slots=True)
class Parser(Generic[T]):
    """`parse` raises Invalid. What `schema` refuses, it refuses too; it may refuse more. `of_text` takes the place of
    `parse` where forms and queries, which have nothing but text, say the value in another way than JSON."""

    parse: Callable[[Any], T]
    schema: Schema
    of_text: Callable[[Any], T] | None = None

    def __post_init__(self) -> None:
        if "type" not in self.schema:
            raise TypeError("a parser says the JSON type of what it takes")

    def __call__(self, value: Any) -> T:
        return self.parse(value)

    def read(self, value: Any, *, textual: bool) -> T:
        """The value from JSON, or from a form or a query."""
        return self.of_text(value) if textual and self.of_text else self.parse(value)

    def about(self, text: str = "", *, example: Any = None) -> Parser[T]:
        """The same, with what a reader of the API's description is told of it."""
        said = {"description": text} if text else {}
        shown = {} if example is None else {"examples": [example]}
        return replace(self, schema={**self.schema, **said, **shown})


def parser(**schema: Any) -> Callable[[Callable[[Any], T]], Parser[T]]:
    """Makes a function a parser: `@parser(type="string", maxLength=40)`."""
    return lambda parse: Parser(parse, schema)


def or_null(schema: Schema) -> Schema:
    """The schema of what may also be null."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "null" in kinds:
        return schema
    listed = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **listed}
