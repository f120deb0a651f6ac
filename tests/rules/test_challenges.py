"""What is mailed: each purpose with its lifetime, its path and whether it has a code."""

from __future__ import annotations

import pytest

from authsvc.rules.challenges import KINDS, MOST_ATTEMPTS, WAYS_IN

# The lifetimes of the attack list, in seconds.
EXPECTED = {
    "magic": ("/login/magic", 600, True),
    "reset": ("/password/reset", 1_800, False),
    "set_password": ("/password/reset", 86_400, False),
    "verify": ("/email/verify", 86_400, True),
    "email_change": ("/email/verify", 86_400, True),
    "email_undo": ("/email/undo", 604_800, False),
    "invite": ("/register", 604_800, False),
}


@pytest.mark.parametrize("purpose", EXPECTED)
def test_each_purpose_lasts_as_long_as_is_promised(purpose: str) -> None:
    """Its link leads where the contract says, counts for so long, and has a code beside it or not."""
    kind = KINDS[purpose]
    assert (kind.path, kind.seconds, kind.has_code) == EXPECTED[purpose]
    assert kind.purpose == purpose


def test_what_carries_no_link_leads_nowhere() -> None:
    """The letter to somebody who has an account already proves nothing; a sign-in between its steps is held by its token,
    a factor's code is typed, and a provider is sent the state."""
    assert {name: (KINDS[name].path, KINDS[name].has_code) for name in set(KINDS) - set(EXPECTED)} == {
        "taken": ("", False),
        "welcome": ("", False),
        "login": ("", False),
        "factor": ("", True),
        "oauth": ("", False),
    }


def test_five_codes_may_be_tried() -> None:
    """At most five per challenge (ATTACKS C6)."""
    assert MOST_ATTEMPTS == 5


def test_every_link_that_lets_somebody_in_ends_with_the_password() -> None:
    """Whatever signs in or sets a password is among those that a new password ends."""
    assert {kind.purpose for kind in WAYS_IN} == {"magic", "reset", "set_password", "login"}
