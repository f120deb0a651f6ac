"""Promises of primitives/emails.py: one key for every harmless spelling, and no key for two mailboxes."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authsvc.primitives import emails
from authsvc.primitives.emails import MAX_BYTES, Email
from authsvc.problems import Invalid

FUZZ = settings(deadline=None)


def parsed(text: str) -> Email | None:
    try:
        return emails.parse(text)
    except Invalid:
        return None


def reaches_ascii(char: str) -> bool:
    """Whether some mapping that software applies to addresses turns this character, or a part of it, into ASCII."""
    if not unicodedata.decomposition(char) and char == char.upper() == char.lower() == char.casefold():
        return False
    forms = {unicodedata.normalize(form, char) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    forms |= {case for form in forms for case in (form.upper(), form.lower(), form.casefold(), form.title(), form.swapcase())}
    return any(part.isascii() for form in forms for part in form)


LOOKALIKES = [char for char in map(chr, range(0x80, sys.maxunicode + 1)) if not 0xD800 <= ord(char) < 0xE000 and reaches_ascii(char)]
INVISIBLE = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) in ("Cc", "Cf", "Zs", "Zl", "Zp")]

LOCAL_ASCII = st.text("abcXYZ019.!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=12)
LOCAL_ANY = st.text("aZ.é\u0301ÉßſıİKςσΣøØжЖ한ǆǅǄΐᾳﬁｆ", min_size=1, max_size=8)
LABEL = st.text("aZ0-éÉßıςσжЖ한\u200d。_", min_size=1, max_size=8) | st.from_regex(r"\Axn--[a-z0-9-]{1,12}\Z")
DOMAIN = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
PUNYCODED = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=6).map(
    lambda label: "xn--" + label.encode("punycode").decode("ascii")
)
PLAIN = st.builds("{}@{}".format, LOCAL_ASCII, st.sampled_from(["example.com", "Example.COM", "a-b.example", "xn--bcher-kva.example"]))
ADDRESSES = PLAIN | st.builds("{}@{}".format, LOCAL_ASCII | LOCAL_ANY, DOMAIN | PUNYCODED.map("{}.example".format))


@pytest.mark.parametrize(
    ("text", "address", "key"),
    [
        ("example@mail.com", "example@mail.com", "example@mail.com"),
        ("Example@Mail.COM", "Example@Mail.COM", "example@mail.com"),
        ("  someone@example.com ", "someone@example.com", "someone@example.com"),
        ("first.last+tag@sub.example.co.uk", "first.last+tag@sub.example.co.uk", "first.last+tag@sub.example.co.uk"),
        ("O'Brien!#$%&*/=?^_`{|}~-@example.com", "O'Brien!#$%&*/=?^_`{|}~-@example.com", "o'brien!#$%&*/=?^_`{|}~-@example.com"),
        ("a@localhost", "a@localhost", "a@localhost"),
        ("a@LOCALHOST", "a@LOCALHOST", "a@localhost"),
        ("1@2.3d", "1@2.3d", "1@2.3d"),
        ("müller@example.com", "müller@example.com", "müller@example.com"),
        ("mu\u0308ller@example.com", "müller@example.com", "müller@example.com"),
        ("MÜLLER@example.com", "MÜLLER@example.com", "müller@example.com"),
        ("a@bücher.example", "a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("a@bu\u0308cher.example", "a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a@XN--BCHER-KVA.example", "a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
        ("почта@пример.example", "почта@пример.example", "почта@xn--e1afmkfd.example"),
        ("ПОЧТА@ПРИМЕР.example", "ПОЧТА@ПРИМЕР.example", "почта@xn--e1afmkfd.example"),
        ("ΟΔΟΣ@example.com", "ΟΔΟΣ@example.com", "οδοσ@example.com"),
        ("οδος@example.com", "οδος@example.com", "οδοσ@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("a@" + "b" * 63 + ".example", "a@" + "b" * 63 + ".example", "a@" + "b" * 63 + ".example"),
    ],
)  # fmt: skip
def test_an_address_keeps_its_spelling_and_gets_a_key(text: str, address: str, key: str) -> None:
    """The address is sent to as it was written (in NFC); it is found again by its folded key (ATTACKS A9)."""
    assert Email(address, key) == emails.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "@",
        "a@",
        "@example.com",
        "example.com",
        "a b@example.com",
        "a@exam ple.com",
        "a@@example.com",
        "a@b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a..b@example.com",
        "a@.example.com",
        "a@example.com.",
        "a@example..com",
        "a@-example.com",
        "a@example-.com",
        "a@ex_ample.com",
        "a@example",
        "a@com",
        "a@localhost.",
        "a@127.0.0.1",
        "a@1.2",
        "a@example.123",
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        '"a"@example.com',
        '"a b"@example.com',
        '"a\\"b"@example.com',
        "(comment)a@example.com",
        "a(comment)@example.com",
        "a@example.com(comment)",
        "Name <a@example.com>",
        "<a@example.com>",
        "a@example.com,b@example.com",
        "a@example.com;b@example.com",
        "mailto:a@example.com?x",
        "a:b@example.com",
        "a\\b@example.com",
        "a@example.com\n",
        "a@example.com\r\nBcc: b@example.com",
        "a\r\nBcc: b@example.com",
        "\ta@example.com",
        "a\0@example.com",
        "a@example\0.com",
        "a@example.com\0",
        "\ufeffa@example.com",
        "a\u200b@example.com",
        "a\u00ad@example.com",
        "a@exam\u00adple.com",
        "a@exa\u200dmple.com",
        "a\u202e@example.com",
        "a\u2060@example.com",
        "a\ud800@example.com",
        "a@\udfff.com",
        "adm\u0131n@example.com",
        "adm\u0130n@example.com",
        "\u017fam@example.com",
        "ma\u00df@example.com",
        "ｆoo@example.com",
        "ﬁn@example.com",
        "a＠example.com",
        "a@example．com",
        "a@example。com",
        "a@example｡com",
        "a@github\u0131.com",
        "a@ｅxample.com",
        "a@stra\u00dfe.example",
        "a@\u03b2\u03cc\u03bb\u03bf\u03c2.example",
        "a@xn--.example",
        "a@xn---.example",
        "a@xn--a.example",
        "a@xn--example.example",
        "a@xn--strae-oqa.example",
        "a@xn--99999999.example",
        "a@xn--gihub-n4a.example",
        "a@xn--" + "9" * 200 + ".example",
        "a" * 65 + "@example.com",
        "é" * 33 + "@example.com",
        "a@" + "b" * 64 + ".example",
        "a@" + ".".join(["b" * 50] * 5),
        "aaa@" + ".".join(["b" * 60] * 4) + ".example",
        "a@" + "".join(map(chr, range(0x4E00, 0x9000, 531))) + "中国" * 8 + ".example",
        "é" * 30 + "@" + ".".join(["b" * 48] * 4) + ".example",
        "a" * 100_000,
        "@" * 100_000,
        "a" * 60 + "@" + "é" * 60 + ".example" * 20,
    ],
    ids=lambda text: ascii(text)[1:40],
)
def test_what_cannot_be_mailed_or_looks_like_another_is_invalid(text: str) -> None:
    """No quoted parts, comments, literals, invisible characters, look-alikes, other lengths, and no guessing (ATTACKS A9, A10)."""
    assert parsed("a@example.com")
    with pytest.raises(Invalid) as caught:
        emails.parse(text)
    assert caught.value.code in ("invalid", "too_long")


def test_no_character_that_maps_to_ascii_passes_for_it() -> None:
    """Of all Unicode characters whose case or compatibility form reaches ASCII, none is kept and folded into ASCII.

    The dotless i is the best known: upper-cased it is I, and a reset for one mailbox went to another (GitHub, 2019).
    Those that are canonically ASCII (the Kelvin sign) may be read as such, if the address that is sent to says so too.
    """
    mistaken = []
    for char in LOOKALIKES:
        for local in (f"{char}bc", f"a{char}c", f"ab{char}"):
            email = parsed(f"{local}@example.com")
            if email and (email.key.isascii() != email.address.isascii() or unicodedata.normalize("NFC", char) not in email.address):
                mistaken.append((char, email))
        for label in (f"{char}bc", f"a{char}c", f"ab{char}"):
            email = parsed(f"a@{label}.example")
            if email and not email.address.isascii() and not email.key.startswith("a@xn--"):
                mistaken.append((char, email))

    assert {"\u0131", "\u0130", "\u212a", "\u017f", "ａ", "ﬁ"} <= set(LOOKALIKES)
    assert mistaken == []


@pytest.mark.parametrize("char", ["\u0131", "\u0130", "\u017f", "ß", "ｂ", "ﬁ", "ⅷ", "①", "ŉ", "ǰ", "℀", "ª", "²", "\U0001d41a"])
def test_a_character_that_software_takes_for_ascii_is_refused(char: str) -> None:
    """Where upper, lower or compatibility case gives an ASCII letter, the address is refused in both its parts (ATTACKS A9)."""
    assert parsed(f"a{char}@example.com") is None
    assert parsed(f"a@b{char}.example") is None


def test_no_invisible_character_is_accepted() -> None:
    """Controls, joiners, bidi marks and every kind of space are refused wherever they stand, but for spaces around."""
    accepted = [
        char
        for char in INVISIBLE
        for spelled in (
            f"a{char}b@example.com",
            f"a@exa{char}mple.com",
            f"{char}a@example.com",
            f"a@example.com{char}",
            f"a{char}@example.com",
        )
        if char != " " and parsed(spelled)
    ]

    assert len(INVISIBLE) > 150
    assert accepted == []
    assert parsed("a b@example.com") is parsed("a @example.com") is parsed("a@ example.com") is None


@FUZZ
@given(st.text(max_size=60) | ADDRESSES | st.text('a@."\\()<>[]:;, \t\r\n\0éxn-', max_size=20).map("a@{}.example".format))
@example("a@xn--0.example")
def test_any_text_is_an_address_or_invalid(text: str) -> None:
    """Hostile text never breaks the parser; what it accepts is printable, within the lengths of RFC 5321, and has one @."""
    email = parsed(text)
    if email is None:
        return

    for spelled in email:
        assert spelled.isprintable()
        assert not re.search(r"[\s\"\\(),:;<>\[\]]", spelled)
        assert not any(unicodedata.category(char)[0] in "CZ" for char in spelled)
        assert len(spelled.encode()) <= MAX_BYTES == 254
        assert spelled.count("@") == 1
        assert unicodedata.is_normalized("NFC", spelled)
    assert unicodedata.normalize("NFC", text.strip(" ")) == email.address
    assert re.fullmatch(r"[a-z0-9.-]+", email.key.rpartition("@")[2]), "the key's domain is ASCII"


@FUZZ
@given(ADDRESSES)
@example("ᾳ" * 21 + "@example.com")
@example("ΐ" * 32 + "@example.com")
@example("ǅ@example.com")
@example("Ꭰ@example.com")
@example("a@\u13a0.example")
def test_folding_is_idempotent(text: str) -> None:
    """A key is an address itself, and its own key: nobody gets a second account by registering somebody's key."""
    email = parsed(text)

    assert email is None or parsed(email.key) == Email(email.key, email.key)


@FUZZ
@given(ADDRESSES, st.sampled_from([str.upper, str.lower, str.title, str.swapcase, str.casefold]))
def test_case_variants_share_a_key(text: str, vary: Callable[[str], str]) -> None:
    """However an address is capitalised, it is the same one, if it is one at all."""
    email, variant = parsed(text), parsed(vary(text))

    if email and variant:
        assert email.key == variant.key
    if email and text.isascii():
        assert variant is not None


@FUZZ
@given(ADDRESSES, st.sampled_from(["NFC", "NFD"]))
def test_composed_and_decomposed_forms_share_a_key(text: str, form: str) -> None:
    """The two ways in which keyboards write an accented letter are one address."""
    email = parsed(text)

    assert email is None or parsed(unicodedata.normalize(form, text)) == email


@FUZZ
@given(PLAIN, PLAIN)
def test_two_different_ascii_addresses_never_share_a_key(one: str, two: str) -> None:
    """Addresses in ASCII share a key exactly when they differ in nothing but case."""
    first, second = parsed(one), parsed(two)

    if first and second:
        assert (first.key == second.key) == (one.lower() == two.lower())


@FUZZ
@given(ADDRESSES, ADDRESSES)
def test_a_local_part_outside_ascii_never_shares_a_key_with_one_inside(one: str, two: str) -> None:
    """Folding never brings a foreign letter into ASCII, so an ASCII mailbox has no twin."""
    first, second = parsed(one), parsed(two)

    if first and second and first.key == second.key:
        assert first.address.rpartition("@")[0].isascii() == second.address.rpartition("@")[0].isascii()


@FUZZ
@given(PUNYCODED | LABEL)
def test_both_spellings_of_an_international_domain_are_one(label: str) -> None:
    """The Unicode and the xn-- form of a domain lead to one key, and decoding the key's form gives nothing in ASCII."""
    email = parsed(f"a@{label}.example")
    if email is None:
        return
    folded = email.key.removeprefix("a@").removesuffix(".example")
    if folded.startswith("xn--"):
        unicode = folded.encode("ascii").decode("idna")
        assert not unicode.isascii()
        assert not any(reaches_ascii(char) for char in unicode if not char.isascii() and len(unicodedata.normalize("NFD", char)) == 1)
        assert parsed(f"a@{unicode}.example") == Email(f"a@{unicode}.example", email.key)
