"""The schemas tell the truth: what they refuse is refused, and their examples pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from authsvc.http.parsers import Parser
from authsvc.http.shapes import Shape
from authsvc.openapi.examples import example_of
from authsvc.problems import Invalid, Problem
from authsvc.routes import ROUTES

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40)
HOSTILE = (
    *("", " ", "on", "true", "1", "a@b.co", " a@b.co ", "\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff10\uff11\uff10\uff10", "+\u3251\u3251\u3251\u3251"),
    *("a\nb", "\n", "*", "*\n", "a:b", "user.*", "\u0958" * 200, "x" * 201, "x" * 9_000, "2030-01-31T12:30:00Z", "10.0.0.0/8"),
    *("en", "en\n", "https://example.com/", "\0", "\u2028", "\ufeff", "\u00a0"),
)  # fmt: skip
VALUES = st.recursive(SCALARS | st.sampled_from(HOSTILE), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)  # fmt: skip
FUZZ = settings(deadline=None, max_examples=60)


def shapes() -> Iterator[tuple[str, Shape]]:
    for route in ROUTES:
        yield f"{route.method} {route.path}", route.body
        if route.query is not None:
            yield f"{route.method} {route.path}?", route.query


SHAPES = {name: shape for name, shape in shapes() if shape.fields}
PARSERS: Mapping[str, Parser[Any]] = {
    f"{name} {key}": field.parser for name, shape in SHAPES.items() for key, field in shape.fields.items()
}


def distinct(parsers: Mapping[str, Parser[Any]]) -> Mapping[str, Parser[Any]]:
    """One of each: the same parser stands in many shapes."""
    return {name: parser for parser, name in {id(parser.parse): (parser, name) for name, parser in parsers.items()}.values()}


def passes(parser: Parser[Any], value: Any) -> bool:
    try:
        parser(value)
    except (Invalid, Problem):
        return False
    return True


@pytest.mark.parametrize("name", distinct(PARSERS))
def test_what_a_schema_refuses_is_refused(name: str) -> None:
    """Of whatever value: no client that goes by the schema leaves out what the service would take."""
    parser = PARSERS[name]
    Draft202012Validator.check_schema(parser.schema)
    told = Draft202012Validator(parser.schema)

    @FUZZ
    @given(VALUES)
    def never_more_than_told(value: Any) -> None:
        assert told.is_valid(value) or not passes(parser, value)

    for value in HOSTILE:
        assert told.is_valid(value) or not passes(parser, value), value
    never_more_than_told()


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_the_examples_of_a_value_pass(name: str) -> None:
    """What is shown as an example is taken, and is what the schema says."""
    parser = PARSERS[name]
    for example in parser.schema.get("examples", ()):
        Draft202012Validator(parser.schema).validate(example)
        assert passes(parser, example)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_body_is_what_its_schema_says(name: str) -> None:
    """A missing field, a null and one too many are judged alike: by the schema, and by the shape that it is made from."""
    shape = SHAPES[name]
    told = Draft202012Validator(shape.schema())
    good = {key: _good(field.parser) for key, field in shape.fields.items()}
    good = {key: value for key, value in good.items() if value is not None}
    nulled = [{**good, key: None} for key in good]
    lacking = [{other: good[other] for other in good.keys() - {key}} for key in good]

    for values in (good, *nulled, *lacking, {**good, "x": 1}, {}):
        assert told.is_valid(values) is _parses(shape, values), values


def _good(parser: Parser[Any]) -> Any:
    """A value that passes, if one is known: the example, or the first of a list's."""
    shown = example_of(parser.schema)
    return shown if passes(parser, shown) else None


def _parses(shape: Shape, values: Mapping[str, Any]) -> bool:
    try:
        shape.parse(values)
    except Problem:
        return False
    return True
