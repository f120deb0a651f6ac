"""Device tokens: a browser is known to the user who signed in there, for half a year."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives import devices
from authsvc.primitives.keyring import Key, Keyring

OLD, NEW, FOREIGN = b"o" * 32, b"n" * 32, b"f" * 32
RING = Keyring([NEW, OLD])
USER = "usr_" + "0" * 26
OTHER = "usr_" + "1" * 26
START = 1_800_000_000_000
DAY = 86_400_000
TOKEN = devices.mint(RING.current, USER, START)


def known(text: str | None, user_id: str = USER, now: int = START) -> bool:
    return devices.is_known(text, RING, user_id, now)


def test_a_device_is_known_to_its_user() -> None:
    """To nobody else, under an older key of ours too, and under no foreign one."""
    assert known(TOKEN)
    assert not known(TOKEN, OTHER)
    assert known(devices.mint(Key(OLD), USER, START))
    assert not known(devices.mint(Key(FOREIGN), USER, START))


@pytest.mark.parametrize(
    ("later", "expected"),
    [(0, True), (DAY, True), (180 * DAY, True), (180 * DAY + 1000, False), (365 * DAY, False), (-DAY, True), (-400 * DAY, True)],
)
def test_a_device_is_forgotten_after_half_a_year(later: int, expected: bool) -> None:
    """180 days after its sign-in; a clock that was set back forgets nothing."""
    assert known(TOKEN, now=START + later) is expected


@pytest.mark.parametrize(
    "seconds", ["1800000001", "1799999999", "9999999999", "999999999999", "0", "01800000000", "-1", "１８００００００００", "1e9"]
)
def test_its_time_cannot_be_altered(seconds: str) -> None:
    """A token with another time is not ours."""
    user, _, mac = TOKEN.split(".")
    assert not known(f"{user}.{seconds}.{mac}")


def test_it_cannot_be_made_of_two() -> None:
    """The proof of one user or time is none of another."""
    mine, theirs = TOKEN.split("."), devices.mint(RING.current, OTHER, START + 5000).split(".")
    mixed = [".".join(parts) for parts in ((theirs[0], mine[1], mine[2]), (mine[0], theirs[1], mine[2]), (mine[0], mine[1], theirs[2]))]
    assert not any(known(text, user_id) for text in mixed for user_id in (USER, OTHER))


@given(st.integers(0, len(TOKEN)), st.sampled_from(["", "A", "0", ".", "\n", "é"]), st.integers(0, 3))
def test_any_changed_token_is_unknown(place: int, put: str, cut: int) -> None:
    """Whatever is changed, cut or put in, the rest is worth nothing."""
    changed = TOKEN[:place] + put + TOKEN[place + cut :]
    assert known(changed) == (changed == TOKEN)


@given(st.none() | st.text(max_size=120))
def test_no_other_text_is_known(text: str | None) -> None:
    """Any cookie is read without an error."""
    assert not known(text)


def test_a_token_holds_nothing_but_whom_and_when() -> None:
    """The user's id without its kind, the moment, and 43 characters that prove them."""
    user, moment, mac = TOKEN.split(".")
    assert (f"usr_{user}", int(moment), len(mac)) == (USER, START, 43)


def test_a_device_that_was_seen_before_its_user_was_estranged_is_unknown() -> None:
    """Only a sign-in after that moment makes a device known (ATTACKS A12)."""
    for since, expected in ((0, True), (START - 1, True), (START, False), (START + 1, False)):
        assert devices.is_known(TOKEN, RING, USER, START + 5000, since=since) is expected
