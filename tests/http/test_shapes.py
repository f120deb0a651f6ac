"""Shapes: what is not declared is refused, what is declared arrives parsed, and every fault is named at once."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http import shapes
from authsvc.http.parsers import Parser
from authsvc.http.shapes import Field, Shape
from authsvc.problems import Fault, Invalid, Problem

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "\x00", "on", "1" * 400]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
FUZZ = settings(deadline=None, max_examples=150)
line = shapes.text(most=5)
SHAPE = Shape({"name": Field(line, required=True), "age": Field(shapes.whole(1, 99), default=18)}, reserved=frozenset({"roles"}))
PARTIAL = Shape({"name": Field(shapes.nullable(line)), "age": Field(shapes.whole(1, 99), default=18)}, partial=True)


def outcome(shape: Shape, values: dict[str, Any]) -> Any:
    """The parsed values, or the problem that they raise."""
    try:
        return shape.parse(values)
    except Problem as problem:
        return problem


def faults(shape: Shape, values: dict[str, Any]) -> list[tuple[str, str]]:
    """The field and code of each fault that parsing these values raises."""
    with pytest.raises(Problem) as caught:
        shape.parse(values)
    assert (caught.value.code, caught.value.status) == ("invalid_request", 422)
    return [(fault.field, fault.code) for fault in caught.value.errors]


def fault_of(parser: Any, value: Any) -> str:
    """The code with which a parser refuses a value."""
    with pytest.raises(Invalid) as caught:
        parser(value)
    return caught.value.code


def test_who_changes_what_came_of_nothing_changes_nobody_elses() -> None:
    """Defaults are the shape's; each caller has values of their own."""
    shape = Shape({"name": Field(shapes.text(most=10), default="a")})
    first = shape.parse({})
    first["name"] = "b"
    assert (shape.parse({}), first) == ({"name": "a"}, {"name": "b"})


def test_declared_fields_arrive_parsed_and_absent_ones_by_default() -> None:
    """A handler gets every declared field and nothing else."""
    assert SHAPE.parse({"name": " Ann "}) == {"name": "Ann", "age": 18}
    assert SHAPE.parse({"name": "Ann", "age": 20}) == {"name": "Ann", "age": 20}


def test_null_stands_for_absent() -> None:
    """Outside of partial shapes a null member is an absent one, and does not satisfy `required`."""
    assert SHAPE.parse({"name": "Ann", "age": None})["age"] == 18
    assert faults(SHAPE, {"name": None}) == [("name", "required")]


def test_every_fault_is_named_at_once() -> None:
    """Unknown, missing and wrong fields are told together, each with its own code."""
    found = faults(SHAPE, {"age": "old", "nmae": "Ann", "x": 1})
    assert sorted(found) == [("age", "wrong_type"), ("name", "required"), ("nmae", "unknown_field"), ("x", "unknown_field")]


def test_a_reserved_field_is_forbidden_even_beside_other_faults() -> None:
    """What exists but is not the caller's to set is 403, whatever its value, and the other fields are not looked at."""
    for value in (None, [], ["admin"]):
        with pytest.raises(Problem) as caught:
            SHAPE.parse({"roles": value, "nmae": 1})
        assert (caught.value.code, caught.value.status, caught.value.errors) == ("forbidden", 403, ())


def test_a_partial_shape_leaves_absent_fields_out() -> None:
    """A partial change touches only what was named; null clears where that is allowed."""
    assert PARTIAL.parse({}) == {}
    assert PARTIAL.parse({"name": None}) == {"name": None}
    assert faults(PARTIAL, {"age": None}) == [("age", "wrong_type")]


def test_faults_within_an_object_carry_its_name() -> None:
    """A fault of a nested field is named by its path."""
    outer = Shape({"options": Field(shapes.nested(SHAPE))})
    assert sorted(faults(outer, {"options": {"age": 0, "x": 1}})) == [
        ("options.age", "not_allowed"),
        ("options.name", "required"),
        ("options.x", "unknown_field"),
    ]
    assert faults(outer, {"options": [1]}) == [("options", "wrong_type")]


def test_a_reserved_field_within_an_object_is_still_forbidden() -> None:
    """Nesting does not turn a refusal into silence."""
    outer = Shape({"options": Field(shapes.nested(SHAPE))})
    with pytest.raises(Problem) as caught:
        outer.parse({"options": {"name": "Ann", "roles": ["admin"]}})
    assert caught.value.code == "forbidden"


def test_an_unknown_name_is_repeated_in_part_only() -> None:
    """A hostile field name does not come back at full length."""
    with pytest.raises(Problem) as caught:
        SHAPE.parse({"name": "Ann", "x" * 5_000: 1})
    assert [len(fault.field) for fault in caught.value.errors] == [100]


@FUZZ
@given(st.dictionaries(st.sampled_from(["name", "age", "roles", "other"]) | st.text(), ANYTHING, max_size=4))
def test_any_object_is_parsed_or_refused(values: dict[str, Any]) -> None:
    """Whatever the members, the result has the declared names only, or the refusal is a Problem."""
    for shape in (SHAPE, PARTIAL, shapes.EMPTY):
        found = outcome(shape, values)
        if isinstance(found, Problem):
            assert found.code == ("invalid_request" if found.errors else "forbidden")
            assert all(isinstance(fault, Fault) and fault.detail for fault in found.errors)
        else:
            assert found.keys() <= shape.fields.keys()


@FUZZ
@given(st.text() | st.text(alphabet="\u0958\ufb2c\u0344e\u0301 \u00a0", max_size=8))
def test_text_is_one_clean_line_within_its_length(value: str) -> None:
    """What passes is trimmed, in NFC, within its length also after that, and free of line breaks and controls."""
    parse = shapes.text(most=5, least=1)
    try:
        result = parse(value)
    except Invalid as error:
        code = error.code
        assert code in {"too_long", "too_short", "invalid"}
        return
    assert result == result.strip() == unicodedata.normalize("NFC", result)
    assert 1 <= len(result) <= 5
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in result)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1, "wrong_type"),
        (True, "wrong_type"),
        (["a"], "wrong_type"),
        ({"a": 1}, "wrong_type"),
        ("abcdef", "too_long"),
        ("", "too_short"),
        ("   ", "too_short"),
        ("a\nb", "invalid"),
        ("a\r\nb", "invalid"),
        ("a\0b", "invalid"),
        ("a\x1b[m", "invalid"),
        ("a\u2028b", "invalid"),
        ("a\u2029b", "invalid"),
        ("a\u0085b", "invalid"),
        ("a\u202eb", "invalid"),
        ("a\u2066b", "invalid"),
        ("\ud800", "invalid"),
        ("a\udfff", "invalid"),
    ],
    ids=ascii,
)
def test_text_that_could_mislead_is_refused(value: Any, code: str) -> None:
    """Other types, line breaks, controls, direction overrides and lone surrogates never become a name."""
    assert code == fault_of(line, value)


def test_a_flag_is_a_boolean() -> None:
    """JSON has a type for it, and nothing else passes for one."""
    assert [shapes.flag(value) for value in (True, False)] == [True, False]
    for word in ("true", "on", "false", "off", ""):
        assert fault_of(shapes.flag, word) == "wrong_type"


@pytest.mark.parametrize(("value", "result"), [("true", True), ("on", True), ("false", False), ("off", False), ("", False)])
def test_a_form_says_a_flag_in_words(value: str, result: bool) -> None:
    """Forms and queries have nothing but text; within an object of theirs, too."""
    outer = Shape({"options": Field(shapes.nested(Shape({"on": Field(shapes.flag)}))), "also": Field(shapes.nullable(shapes.flag))})

    assert shapes.flag.read(value, textual=True) is result
    assert outer.parse({"options": {"on": value}, "also": value}, textual=True) == {"options": {"on": result}, "also": result}
    assert faults(outer, {"options": {"on": value}}) == [("options.on", "wrong_type")]


@pytest.mark.parametrize("value", [0, 1, 1.0, None, "yes", "TRUE", "1", [], {}, [True]])
def test_nothing_else_is_a_flag(value: Any) -> None:
    """Truthiness is not a boolean, in a form neither."""
    assert fault_of(shapes.flag, value) == "wrong_type"
    assert fault_of(shapes.flag.of_text, value) == "wrong_type"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "not_allowed"),
        (100, "not_allowed"),
        (10**400, "not_allowed"),
        (-1, "not_allowed"),
        ("0", "not_allowed"),
        ("999999999", "not_allowed"),
        ("9999999999", "wrong_type"),
        ("-1", "wrong_type"),
        ("+1", "wrong_type"),
        (" 1", "wrong_type"),
        ("1\n", "wrong_type"),
        ("1.0", "wrong_type"),
        ("٣", "wrong_type"),
        ("", "wrong_type"),
        (1.0, "wrong_type"),
        (True, "wrong_type"),
        (None, "wrong_type"),
        ([1], "wrong_type"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_whole_number_outside_its_bounds_or_of_another_kind_is_refused(value: Any, code: str) -> None:
    """Booleans, floats, signs, spaces and foreign digits are no whole numbers; size is judged before use."""
    assert code == fault_of(shapes.whole(1, 99).of_text, value)
    assert fault_of(shapes.whole(1, 99), value) == ("wrong_type" if isinstance(value, str) else code)


@pytest.mark.parametrize(("value", "number"), [(1, 1), (99, 99), ("7", 7), ("007", 7)])
def test_a_whole_number_is_read_from_json_and_from_digits(value: Any, number: int) -> None:
    """Both spellings give the same int; digits only where there is nothing but text."""
    assert number == shapes.whole(1, 99).read(value, textual=True)
    assert isinstance(value, str) or number == shapes.whole(1, 99)(value)


def test_a_field_says_its_schema() -> None:
    """A bare function is no parser, and a parser without a type none either: both fail when the program is loaded."""
    with pytest.raises(TypeError, match="needs a Parser"):
        Field(lambda value: value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="JSON type"):
        Parser(str, {})


@pytest.mark.parametrize("value", ["ab\n", "\nab", "ab ", "xab", "AB", "", "aab"])
def test_matching_means_the_whole_text(value: str) -> None:
    """A pattern is matched from the first to the last character, a final newline included."""
    assert fault_of(shapes.matching("ab", "Use ab.", most=9), value) == "invalid"


def test_raw_text_stays_as_it_is() -> None:
    """Passwords and tokens are not trimmed or normalised here."""
    value = " e\u0301\t\n"
    assert shapes.raw_text(value, most=9) == value
    assert fault_of(lambda text: shapes.raw_text(text, most=3), "abcd") == "too_long"
    assert fault_of(lambda text: shapes.raw_text(text, most=3), "\udc80") == "invalid"
