"""Caps that cover others: nobody grants what they do not hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.problems import Problem
from authsvc.rules.access import CAP, Authority, covers, demand_cover, demand_outranks

CAPS = st.sampled_from(["*", "users:*", "users:read", "users:write", "blog:*", "blog:write", "usersx:read", "a:b:c", "a:*"])
SETS = st.lists(CAPS, max_size=4)


@given(SETS)
def test_everybody_covers_what_they_hold(held: list[str]) -> None:
    """`covers` is reflexive."""
    assert covers(held, held)


@given(SETS, SETS, SETS)
def test_what_is_handed_on_never_grows(one: list[str], two: list[str], three: list[str]) -> None:
    """`covers` is transitive, and more caps never cover less."""
    if covers(one, two) and covers(two, three):
        assert covers(one, three)
    if covers(one, two):
        assert covers([*one, *three], two)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [("users:read", "users:*"), ("users:*", "*"), ("users:read", "users:write"), ("users:*", "usersx:read"), ("user:*", "users:read")],
)
def test_a_narrower_cap_covers_no_wider_one(held: str, wanted: str) -> None:
    """A resource is a whole word, and `*` is everything."""
    assert not covers([held], [wanted])
    for demand in (demand_cover, demand_outranks):
        with pytest.raises(Problem) as caught:
            demand(Authority((held,)), [wanted])
        assert caught.value.code == "forbidden"


@pytest.mark.parametrize("cap", ["*", "users:read", "users:*", "billing/eu:invoice.send", "a:b:c"])
def test_caps_of_any_service_are_caps(cap: str) -> None:
    """`resource:action`, with the usual signs of names."""
    assert CAP.fullmatch(cap)


@pytest.mark.parametrize(
    "cap", ["", "users", "*:read", "*:*", "users:", ":read", "users:re*d", "users: read", "ü:x", "a" * 65 + ":b", "u:**", "users:read\n"]
)
def test_what_is_no_cap_is_none(cap: str) -> None:
    """Wildcards stand for a whole action, or for everything."""
    assert not CAP.fullmatch(cap)
