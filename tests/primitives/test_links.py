"""Link tokens: what we made for a purpose is recognised in its one spelling, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from authsvc.primitives import links
from authsvc.primitives.ids import ALPHABET, LENGTH
from authsvc.primitives.keyring import Key
from authsvc.rules.challenges import KINDS

KEY = Key(b"k" * 32)
OTHER_KEY = Key(b"o" * 32)
ID = "chl_" + "0123456789abcdefghjkmnpqrs"
OTHER_ID = "chl_" + "1123456789abcdefghjkmnpqrs"
ids = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH).map(lambda tail: f"chl_{tail}")
purposes = st.sampled_from(sorted(KINDS))
TOKEN = links.mint(KEY, ID, "magic")
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def genuine(text: str, key: Key = KEY, purpose: str = "magic") -> bool:
    token = links.parse(text)
    return token is not None and links.is_genuine(token, key, purpose)


@given(ids, purposes)
def test_a_token_names_its_challenge_and_is_genuine(challenge_id: str, purpose: str) -> None:
    """What mint makes, parse reads and is_genuine believes; minting again gives the same."""
    text = links.mint(KEY, challenge_id, purpose)
    token = links.parse(text)
    assert token is not None
    assert token.challenge_id == challenge_id
    assert genuine(text, purpose=purpose)
    assert links.mint(KEY, challenge_id, purpose) == text


@pytest.mark.parametrize("purpose", sorted(KINDS))
def test_a_token_of_one_purpose_is_none_of_another(purpose: str) -> None:
    """A link is good for what it was mailed for, and under the key that made it."""
    text = links.mint(KEY, ID, purpose)
    assert [other for other in [*KINDS, "", "MAGIC"] if genuine(text, purpose=other)] == [purpose]
    assert not genuine(text, OTHER_KEY, purpose)


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(BASE64URL + "."))
def test_any_changed_character_makes_it_worthless(place: int, char: str) -> None:
    """No character of a token can be another."""
    assume(TOKEN[place] != char)
    assert not genuine(TOKEN[:place] + char + TOKEN[place + 1 :])


@given(st.text(max_size=80))
def test_no_other_text_is_genuine(text: str) -> None:
    """Any text is read without an error and believed only if it is the token."""
    assert genuine(text) == (text == TOKEN)


def test_a_cut_or_extended_token_is_worthless() -> None:
    """No part of a token counts, nor a token with anything before or behind it."""
    assert not any(genuine(TOKEN[:end]) or genuine(TOKEN[end:]) for end in range(1, len(TOKEN)))
    more = [char + TOKEN for char in "A0. \n="] + [TOKEN + char for char in "A0. \n=\0/?"] + [TOKEN * 2, f"{TOKEN}.{TOKEN}"]
    assert not any(map(genuine, more))


def test_a_spliced_token_is_worthless() -> None:
    """The proof of one challenge is none for another."""
    other = links.mint(KEY, OTHER_ID, "magic")
    assert genuine(other)
    assert not genuine(TOKEN.partition(".")[0] + "." + other.partition(".")[2])
    assert not genuine(other.partition(".")[0] + "." + TOKEN.partition(".")[2])


def test_a_token_has_one_spelling() -> None:
    """Upper case, padding, the other base64 alphabet, and the spare bits of the last character are not the same token."""
    spellings = {TOKEN.upper(), TOKEN + "=", "chl_" + TOKEN, TOKEN.replace("-", "+").replace("_", "/"), f" {TOKEN}", f"{TOKEN}\n"}
    last = BASE64URL.index(TOKEN[-1])
    spellings |= {TOKEN[:-1] + BASE64URL[last // 4 * 4 + bits] for bits in range(4)}
    assert [text for text in spellings if genuine(text)] == [TOKEN]


@given(ids, ids)
def test_a_browser_is_bound_to_the_challenge_that_it_asked_for(mine: str, other: str) -> None:
    """The cookie's value is known again for its own challenge only, under its own key."""
    assume(mine != other)
    text = links.bind(KEY, mine)
    assert links.is_bound(text, KEY, mine)
    assert not links.is_bound(text, KEY, other)
    assert not links.is_bound(text, OTHER_KEY, mine)


@pytest.mark.parametrize("text", ["", "x", "é", TOKEN, links.bind(KEY, ID)[:-1], links.bind(KEY, ID) + "A"])
def test_a_link_is_no_binding_and_a_binding_is_no_link(text: str) -> None:
    """Who reads the mail does not know the browser's secret, nor the browser the mail's; odd texts are no error."""
    assert not links.is_bound(text, KEY, ID)
    assert not any(genuine(links.bind(KEY, ID), purpose=purpose) for purpose in [*KINDS, ""])
