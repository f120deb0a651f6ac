"""Promises of rules/access.py: who may do what, decided from what a caller holds and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.problems import Problem
from authsvc.rules import access
from authsvc.rules.access import (
    ANYBODY_KNOWN,
    ANYONE,
    FRESH_SECONDS,
    SIGNED_IN,
    SIGNED_IN_LATELY,
    TOKEN_HOLDER,
    Presented,
    Who,
    demand,
    holds,
    self_or,
)

FUZZ = settings(deadline=None)

NOW = 1_800_000_000_000
ME, STRANGER = "usr_me", "usr_stranger"


@pytest.mark.parametrize(
    ("caps", "wanted", "held"),
    [
        (["users:read"], "users:read", True),
        (["users:*"], "users:read", True),
        (["users:*"], "users:write", True),
        (["*"], "users:read", True),
        (["*"], "anything:at:all", True),
        (["a:b", "users:read"], "users:read", True),
        (["users:a:b"], "users:a:b", True),
        (["users:*"], "users:a:b", True),
        ([], "users:read", False),
        (["users:write"], "users:read", False),
        (["users"], "users:read", False),
        (["users:"], "users:read", False),
        (["users:re*"], "users:read", False),
        (["users:rea"], "users:read", False),
        (["users:read "], "users:read", False),
        (["USERS:READ"], "users:read", False),
        (["user:*"], "users:read", False),
        (["userss:*"], "users:read", False),
        (["*:read"], "users:read", False),
        (["*:*"], "users:read", False),
        (["**"], "users:read", False),
        (["**:*"], "users:read", False),
        ([""], "users:read", False),
        ([":*"], "users:read", False),
        ([".*", "%", "_", "?"], "users:read", False),
        (["users:a:*"], "users:a:b", False),
        (["users:read"], "users:*", False),
        (["users:read"], "*", False),
        (["users:*"], "*", False),
    ],
)
def test_a_cap_covers_itself_its_resource_or_everything(caps: list[str], wanted: str, held: bool) -> None:
    """`resource:action` is held by itself, by `resource:*` and by `*`; no other pattern means anything."""
    assert holds(caps, wanted) is held
    assert holds(tuple(reversed(caps)), wanted) is held
    assert holds(iter(caps), wanted) is held


@FUZZ
@given(st.lists(st.text("u:*r", max_size=6), max_size=5), st.text("u:r", min_size=1, max_size=6))
def test_more_caps_never_take_one_away(caps: list[str], wanted: str) -> None:
    """Caps add up: each decides alone, and one more never refuses."""
    assert holds(caps, wanted) is any(holds([cap], wanted) for cap in caps)
    assert holds([*caps, wanted], wanted)


def refusal(who: Who, caps: list[str] | None = None, *, owner: str | None = None, age_ms: int = 0) -> str | None:
    """The code with which this caller is refused, or None."""
    params = {} if owner is None else {"user_id": owner}
    try:
        demand(who, Presented(ME, caps or [], NOW - age_ms), params, NOW)
    except Problem as problem:
        return problem.code
    return None


@pytest.mark.parametrize("caps", [[], ["users:read"], ["*"]])
def test_who_is_signed_in_may_use_what_asks_for_no_more(caps: list[str]) -> None:
    """A route for the signed-in asks for no cap and no freshness."""
    assert refusal(SIGNED_IN, caps, age_ms=10**12) is None


def test_somebody_elses_path_does_not_exist_without_the_cap() -> None:
    """One's own id is let in; another's is the same 404 as an unknown one, unless the cap is held (ATTACKS E1)."""
    who = self_or("users:read")

    assert refusal(who, owner=ME) is None
    assert refusal(who, ["users:read"], owner=STRANGER) is None
    assert refusal(who, ["users:*"], owner=STRANGER) is None
    assert refusal(who, ["*"], owner=STRANGER) is None
    for caps in ([], ["users:write"], ["sessions:*"], ["users"]):
        for owner in (STRANGER, "usr_missing", "", ME.upper(), ME + " ", None):
            assert refusal(who, caps, owner=owner) == "not_found"


def test_a_cap_alone_is_forbidden_to_who_lacks_it() -> None:
    """Where no path parameter is at stake, a missing cap is said openly."""
    who = Who("holders of users:read", cap="users:read")

    assert refusal(who) == "forbidden"
    assert refusal(who, ["users:read"]) is None


@pytest.mark.parametrize(
    ("age_ms", "code"),
    [
        (0, None),
        (FRESH_SECONDS * 1000, None),
        (FRESH_SECONDS * 1000 + 1, "reauthentication_required"),
        (10**12, "reauthentication_required"),
        (-60_000, None),
        (-60_001, "reauthentication_required"),
    ],
)
def test_a_sensitive_act_needs_a_sign_in_of_the_last_quarter_of_an_hour(age_ms: int, code: str | None) -> None:
    """15 minutes to the millisecond, and none that lies in the future by more than a clock's step (ATTACKS A15, B13)."""
    assert FRESH_SECONDS == 15 * 60
    assert refusal(SIGNED_IN_LATELY, age_ms=age_ms) == code
    assert refusal(SIGNED_IN_LATELY, ["*"], age_ms=age_ms) == code
    assert refusal(SIGNED_IN, age_ms=age_ms) is None


def test_an_old_sign_in_does_not_tell_whether_a_stranger_exists() -> None:
    """Authority is decided before freshness, so asking again does not turn a 404 into a 401."""
    who = Who("self, lately", own="user_id", cap="users:write", fresh=True)

    assert refusal(who, owner=STRANGER, age_ms=10**9) == "not_found"
    assert refusal(who, owner=ME, age_ms=10**9) == "reauthentication_required"


def test_only_anyone_and_token_holders_come_without_a_sign_in() -> None:
    """Every other kind of caller is signed in, so that a new one is guarded unless it says otherwise."""
    named = [who for who in vars(access).values() if isinstance(who, Who)] + [self_or("a:b"), Who("new")]

    assert [who for who in named if not who.signed_in] == [ANYONE, ANYBODY_KNOWN, TOKEN_HOLDER]
    assert [who for who in named if who.token] == [TOKEN_HOLDER]
    assert [who for who in named if who.known] == [ANYBODY_KNOWN]
    assert ANYBODY_KNOWN.name == ANYONE.name, "being told who it is lets nobody else in"
