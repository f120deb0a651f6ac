"""Promises of rules/phones.py: one form of a number, only listed countries, and the range that a number belongs to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.problems import Invalid
from authsvc.rules import phones

GOOD = {
    "+14155550100": "+14155550100",
    "+1 (415) 555-0100": "+14155550100",
    "+1.415.555.0100": "+14155550100",
    "+49 151/2345-6789": "+4915123456789",
    "  +49 151 23456789  ": "+4915123456789",
    "+49\u00a0151\u00a023456789": "+4915123456789",
    "+49\u202f151\u200923456789": "+4915123456789",
    "\uff0b\uff14\uff19\uff11\uff15\uff11\uff12\uff13\uff14\uff15\uff16\uff17": "+49151234567",
    "+39 06 698 12345": "+390669812345",
    "+2901234": "+2901234",
    "+123456789012345": "+123456789012345",
}
BAD = [
    "",
    " ",
    "+",
    "++4915123456789",
    "+49+15123456789",
    "4915123456789",
    "004915123456789",
    "015123456789",
    "+0151234567",
    "+49151",
    "+123456",
    "+1234567890123456",
    "+4915123x56789",
    "+49151234567#1",
    "+49151234567;ext=1",
    "+49151234567,",
    "tel:+4915123456789",
    "+49 151 234\n56789",
    "+49 151 234\r\n56789",
    "+49151\t23456789",
    "+49151\x0023456789",
    "+49151234567\u202e89",
    "+49151234567\u200b89",
    "+4915123456789 +4915123456780",
    "+\u0664\u0669\u0661\u0665\u0661\u0662\u0663\u0664\u0665",
    "+\u096a\u096f1512345678",
    "{to}",
    "+1415555${code}",
    "-+4915123456789@example.com",
]


@pytest.mark.parametrize(("text", "number"), GOOD.items(), ids=range(len(GOOD)))
def test_a_number_has_one_form(text: str, number: str) -> None:
    """However it is grouped, in ASCII or full width: a plus and digits, which reads as itself."""
    assert phones.parse(text) == number
    assert phones.parse(number) == number


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_no_international_number_is_refused(text: str) -> None:
    """Without a calling code, too short, too long, or with anything else in it."""
    with pytest.raises(Invalid) as refused:
        phones.parse(text)
    assert refused.value.code == "invalid"


@pytest.mark.parametrize("text", ["+49 (0) 151 23456789", "+44 (0)20 7946 0958", "+49(0)15123456789"])
def test_a_trunk_zero_never_becomes_part_of_a_number(text: str) -> None:
    """`(0)` is dialled inside the country only: it is refused or left out, and never makes another number."""
    try:
        number = phones.parse(text)
    except Invalid:
        return
    assert number in ("+4915123456789", "+442079460958")


@given(st.text(max_size=40))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    """What comes out is E.164 and ASCII, whatever goes in."""
    try:
        number = phones.parse(text)
    except Invalid:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number, re.ASCII)


@pytest.mark.parametrize(
    ("number", "code", "prefix"),
    [
        ("+14155550100", "1", "+14155"),
        ("+79161234567", "7", "+79161"),
        ("+201001234567", "20", "+201001"),
        ("+27821234567", "27", "+278212"),
        ("+4915123456789", "49", "+491512"),
        ("+390669812345", "39", "+390669"),
        ("+98912345678", "98", "+989123"),
        ("+212612345678", "212", "+2126123"),
        ("+35312345678", "353", "+3531234"),
        ("+37112345678", "371", "+3711234"),
        ("+420601123456", "420", "+4206011"),
        ("+599912345678", "599", "+5999123"),
        ("+85212345678", "852", "+8521234"),
        ("+88213123456", "882", "+8821312"),
        ("+97912345678", "979", "+9791234"),
        ("+99312345678", "993", "+9931234"),
        ("+2901234", "290", "+2901234"),
    ],
)
def test_a_range_is_the_calling_code_and_four_digits(number: str, code: str, prefix: str) -> None:
    """Calling codes of one, two and three digits are told apart."""
    assert phones.calling_code(number) == code
    assert phones.prefix(number) == prefix
    assert number.startswith(prefix)


@pytest.mark.parametrize(
    ("countries", "number", "allowed"),
    [
        ((), "+4915123456789", False),
        (("+49",), "+4915123456789", True),
        (("+49",), "+4815123456789", False),
        (("+49",), "+14915123456", False),
        (("+1", "+44"), "+442079460958", True),
        (("+1", "+44"), "+353123456789", False),
        (("+49151",), "+4915123456789", True),
        (("+49151",), "+4917123456789", False),
        (("+4915123456789",), "+49151234567", False),
    ],
)
def test_sms_goes_to_listed_countries_only(countries: tuple[str, ...], number: str, allowed: bool) -> None:
    """C12: none listed is none allowed; a longer beginning allows less."""
    assert phones.is_allowed(number, countries) is allowed


@pytest.mark.parametrize(
    ("number", "masked"), [("+4915123456742", "+49•••••••••42"), ("+14155550100", "+1••••••••00"), ("+2901234", "+290••34")]
)
def test_a_masked_number_shows_its_country_and_end(number: str, masked: str) -> None:
    """As long as the number, with nothing of the middle."""
    assert phones.masked(number) == masked
    assert len(masked) == len(number)
