"""Promises of rules/strength.py: what is common, trivial or one's own is weak, and nothing else is."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.rules.strength import common, weakness

FUZZ = settings(deadline=None)

OWN = ("marie.curie@example.com", "Marie Curie")
REPEATS, COMMON, OF_ONES_OWN = "repeats", "most common", "your own"


def lines() -> list[str]:
    return files("authsvc.rules").joinpath("common_passwords.txt").read_text("ascii").splitlines()


def test_the_list_of_common_passwords_is_long_sorted_unique_and_lower_case() -> None:
    """At least 3,000 passwords, one a line, in order, none twice, all folded: a list that can be reviewed and looked up."""
    found = lines()

    assert len(found) >= 3_000
    assert found == sorted(found)
    assert len(found) == len(set(found))
    assert [line for line in found if line != line.casefold() or line != line.strip() or not line] == []


def test_every_listed_password_is_weak_in_any_case() -> None:
    """No line of the list is lost when it is loaded, and capitals do not make a common password good."""
    found = lines()

    assert common() == set(found)
    assert [line for line in found if not weakness(line, ()) or not weakness(line.upper(), ()) or not weakness(line.title(), ())] == []


@pytest.mark.parametrize("password", ["password", "PassWord", "password123", "12345678", "qwertyuiop", "iloveyou", "letmein"])
def test_the_best_known_passwords_are_common(password: str) -> None:
    """What every cracker tries first is on the list."""
    assert COMMON in str(weakness(password, ()))


@pytest.mark.parametrize(
    "password", ["", "a", "aaaaaaaaaaaa", "abababababab", "1111111122222222", "AaAaAaAa", "😀😀😀😀😀😀😀😀", "\0\0\0\0"]
)
def test_fewer_than_three_different_characters_are_weak(password: str) -> None:
    """A password of one or two characters repeated is no password, however long."""
    assert REPEATS in str(weakness(password, ()))


@pytest.mark.parametrize(
    "password",
    [
        "marie.curie@example.com",
        "MARIE.CURIE@EXAMPLE.COM",
        "Marie Curie",
        "mariecurie",
        "curiemarie",
        "mariecurie1867",
        "marie1867",
        "Curie!!!1",
        "1Marie2Curie3",
        "mariemarie",
        "example.com",
        "curie@example",
    ],
)
def test_a_password_made_of_ones_own_data_is_weak(password: str) -> None:
    """E-mail address and name, whole or in pieces, in any case and order, with up to four characters around them."""
    assert OF_ONES_OWN in str(weakness(password, OWN))
    assert weakness(password, ()) is None, "for somebody else it is a password like any other"


@pytest.mark.parametrize(
    "password", ["marie-violet-harbour", "mariecurie12345", "violet-harbour-91", "curie radium 1898", "mar1ecur1e", "élan vital"]
)
def test_a_good_password_is_not_weak(password: str) -> None:
    """A password that only mentions one's own data beside five other characters or more is let in."""
    assert weakness(password, OWN) is None


@pytest.mark.parametrize("own", [(), (None,), (None, None), ("",), ("a@b.c",), ("x", "Jo"), ("@", "--", " "), ("...", "___")])
def test_missing_or_very_short_data_makes_nothing_weak(own: tuple[str | None, ...]) -> None:
    """Without a name, or with pieces of one or two letters, which are in any password, the rule has nothing to say."""
    assert weakness("violet-harbour-91", own) is None
    assert weakness("jojojojoxyz", own) is None


def test_names_outside_ascii_count_too() -> None:
    """A name in any script is found, folded as the password is."""
    assert OF_ONES_OWN in str(weakness("МАРИЯ-91", ("m@example.com", "Мария Склодовская")))
    assert OF_ONES_OWN in str(weakness("STRASSE12", ("m@example.com", "Straße")))
    assert OF_ONES_OWN in str(weakness("müller-91", ("m@example.com", "Müller")))


def test_words_joined_by_an_underscore_are_taken_apart() -> None:
    """An underscore separates as a dot does."""
    assert OF_ONES_OWN in str(weakness("curie1867", ("marie_curie@example.com", None)))


def test_the_longest_piece_is_taken_out_first() -> None:
    """A short piece within a longer one does not leave the longer one's rest behind."""
    assert OF_ONES_OWN in str(weakness("annabelle99", ("anna@example.com", "Annabelle")))


def test_the_reason_does_not_repeat_the_password() -> None:
    """The sentence for the owner shows neither the password nor the data it was found in."""
    for password in ("password123", "aaaaaaaa", "mariecurie"):
        why = str(weakness(password, OWN))
        assert password not in why
        assert "marie" not in why.lower()
        assert why.endswith(".")


@FUZZ
@given(st.text(max_size=60), st.lists(st.none() | st.text(max_size=40), max_size=4))
def test_any_password_is_weak_or_not(password: str, own: list[str | None]) -> None:
    """Hostile text never breaks the rule, and the answer does not depend on the order of the data."""
    found = weakness(password, own)

    assert found is None or found.endswith(".")
    assert found == weakness(password, list(reversed(own)))


@FUZZ
@given(st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=3, max_size=30))
def test_ones_own_address_is_always_weak(local: str) -> None:
    """Whatever the address is, it is not a password for its own account, capitalised or not."""
    address = f"{local}@example.com"

    assert weakness(address, (address,)) is not None
    assert weakness(address, (address.casefold(),)) is not None
    assert weakness(f"{local}@EXAMPLE.COM", (address,)) is not None
