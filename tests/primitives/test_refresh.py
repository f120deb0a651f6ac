"""Promises of primitives/refresh.py: a token can be made again but not made up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.primitives import ids, refresh
from authsvc.primitives.keyring import Key, Purpose, encode
from authsvc.primitives.refresh import RefreshToken
from tests.support import FakeWorld

FUZZ = settings(deadline=None)

KEY = Key(b"0123456789abcdef0123456789ABCDEF")
OTHER_KEY = Key(b"fedcba9876543210FEDCBA9876543210")
SESSION = "ses_0123456789abcdefghjkmnpqrs"
SESSIONS = st.text(ids.ALPHABET, min_size=ids.LENGTH, max_size=ids.LENGTH).map("ses_{}".format)
COUNTERS = st.integers(0, 9_999_999_999)


def genuine(text: str, key: Key = KEY) -> bool:
    token = refresh.parse(text)
    return token is not None and refresh.is_genuine(token, key)


@FUZZ
@given(session_id=SESSIONS, counter=COUNTERS)
def test_what_is_minted_is_parsed_and_genuine(session_id: str, counter: int) -> None:
    """A token names its session and counter, we know it for ours, and another key's owner does not."""
    text = refresh.mint(KEY, session_id, counter)
    token = refresh.parse(text)

    assert token is not None
    assert (token.session_id, token.counter) == (session_id, counter)
    assert refresh.is_genuine(token, KEY)
    assert not refresh.is_genuine(token, OTHER_KEY)
    assert text.startswith("rt_")
    assert len(text) < 100


def test_a_token_is_the_same_each_time_it_is_asked_for() -> None:
    """Minting is pure: nothing needs to be stored to give a lost token again, and each counter has its own."""
    assert refresh.mint(KEY, SESSION, 7) == refresh.mint(KEY, SESSION, 7)
    assert len({refresh.mint(KEY, SESSION, counter) for counter in range(50)}) == 50


def test_a_token_made_in_a_real_session_is_parsed() -> None:
    """The ids that sessions really get have the form that tokens are parsed by."""
    session_id = ids.new(ids.SESSION, FakeWorld())
    token = refresh.parse(refresh.mint(KEY, session_id, 0))

    assert token is not None
    assert token.session_id == session_id


@FUZZ
@given(session_id=SESSIONS, counter=COUNTERS, other_session=SESSIONS, other_counter=COUNTERS)
def test_a_mac_counts_for_its_own_session_and_counter_only(session_id: str, counter: int, other_session: str, other_counter: int) -> None:
    """A MAC spliced onto another session or counter is not genuine (ATTACKS B7)."""
    mac = refresh.mint(KEY, session_id, counter).rpartition(".")[2]

    assert refresh.is_genuine(RefreshToken(other_session, counter, mac), KEY) is (other_session == session_id)
    assert refresh.is_genuine(RefreshToken(session_id, other_counter, mac), KEY) is (other_counter == counter)


def test_every_changed_character_makes_it_not_genuine() -> None:
    """No place of a token can be changed, cut or lengthened and still count; the spare bits of its last letter neither."""
    text = refresh.mint(KEY, SESSION, 12)
    changed = {text[:at] + letter + text[at + 1 :] for at in range(len(text)) for letter in "0aZ_-."} - {text}
    changed |= {text[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"} - {text}
    changed |= {text[:end] for end in range(len(text))} | {text + letter for letter in "A=. \n"}

    assert genuine(text)
    assert [hostile for hostile in changed if genuine(hostile)] == []


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.REFRESH])
def test_a_mac_of_another_purpose_is_no_refresh_token(purpose: Purpose) -> None:
    """What was derived from the same parts for another purpose does not pass (ATTACKS B3)."""
    mac = encode(KEY.derive(purpose, SESSION, "0"))

    assert not refresh.is_genuine(RefreshToken(SESSION, 0, mac), KEY)


MAC = "A" * 43
BODY = SESSION.removeprefix("ses_")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rt_",
        "rt_..",
        f"{BODY}.0.{MAC}",
        f"rt_{SESSION}.0.{MAC}",
        f"RT_{BODY}.0.{MAC}",
        f"rt_{BODY.upper()}.0.{MAC}",
        f"rt_{BODY[:-1]}.0.{MAC}",
        f"rt_{BODY}0.0.{MAC}",
        f"rt_{BODY}.00.{MAC}",
        f"rt_{BODY}.01.{MAC}",
        f"rt_{BODY}.+1.{MAC}",
        f"rt_{BODY}.-1.{MAC}",
        f"rt_{BODY}.1_0.{MAC}",
        f"rt_{BODY}. 1.{MAC}",
        f"rt_{BODY}..{MAC}",
        f"rt_{BODY}.1e3.{MAC}",
        f"rt_{BODY}.{'9' * 11}.{MAC}",
        f"rt_{BODY}.{'9' * 5_000}.{MAC}",
        f"rt_{BODY}.٣.{MAC}",
        f"rt_{BODY}.0.{MAC}=",
        f"rt_{BODY}.0.{MAC}A",
        f"rt_{BODY}.0.{MAC[:-1]}",
        f"rt_{BODY}.0.{MAC[:-1]}+",
        f"rt_{BODY}.0.{MAC[:-1]}é",
        f"rt_{BODY}.0.{MAC}\n",
        f" rt_{BODY}.0.{MAC}",
        f"rt_{BODY}.0.{MAC}.0",
        f"rt_{BODY}\0.0.{MAC}",
        f"rt_{BODY}.0.{MAC}" * 2,
    ],
    ids=lambda text: ascii(text)[:50],
)
def test_what_has_another_form_is_not_parsed(text: str) -> None:
    """There is exactly one spelling of each token; all else is nothing, before any key is touched."""
    assert refresh.parse(f"rt_{BODY}.0.{MAC}") == RefreshToken(SESSION, 0, MAC)
    assert refresh.parse(text) is None


@FUZZ
@given(st.text(max_size=120) | st.from_regex(r"rt_[0-9a-z]{20,30}\.[0-9]{0,12}\.[A-Za-z0-9_-]{40,45}"))
def test_any_text_is_a_token_in_form_or_nothing(text: str) -> None:
    """Hostile text never raises, and what was not minted is never genuine."""
    token = refresh.parse(text)

    assert token is None or not refresh.is_genuine(token, KEY)
