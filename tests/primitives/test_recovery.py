"""Promises of primitives/recovery.py: ten codes for a batch, hard to guess, and read as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives import recovery
from authsvc.primitives.ids import ALPHABET
from authsvc.primitives.keyring import Key

KEY = Key(b"0123456789abcdef0123456789abcdef")
OTHER_KEY = Key(b"fedcba9876543210fedcba9876543210")
BATCH = "rcv_0123456789abcdefghjkmnpqrs"
CODES = recovery.codes(KEY, BATCH)
FORM = re.compile(f"[{ALPHABET}]{{5}}-[{ALPHABET}]{{5}}")


@given(st.text(alphabet=ALPHABET, min_size=1, max_size=26))
def test_a_batch_has_ten_codes(batch_id: str) -> None:
    """All different, all of one form, the same each time they are asked for."""
    codes = recovery.codes(KEY, batch_id)

    assert (len(codes), len(set(codes))) == (10, 10)
    assert all(FORM.fullmatch(code) for code in codes)
    assert codes == recovery.codes(KEY, batch_id)


def test_a_code_has_fifty_bits() -> None:
    """Ten characters, and each takes all 32 values: 5 bits a place."""
    codes = [code.replace("-", "") for batch in range(100) for code in recovery.codes(KEY, f"rcv_{batch}")]

    assert len(ALPHABET) == 32
    assert len(set(codes)) == 1000
    assert [{code[place] for code in codes} for place in range(10)] == [set(ALPHABET)] * 10


def test_the_codes_belong_to_their_batch_and_key() -> None:
    """No code of another batch, or of the same one under another key, is one of ours."""
    strangers = recovery.codes(KEY, BATCH + "0") + recovery.codes(OTHER_KEY, BATCH)

    assert len({*CODES, *strangers}) == 30
    assert [recovery.index_of(code, KEY, BATCH) for code in strangers] == [None] * 20


@pytest.mark.parametrize("index", range(10))
@pytest.mark.parametrize("write", [str, str.upper, lambda c: c.replace("-", ""), lambda c: f" {c.replace('-', ' - ')} "], ids=range(4))
def test_a_code_is_found_however_it_is_written(index: int, write: object) -> None:
    """In capitals, without the dash, or with spaces it is the same code."""
    assert recovery.index_of(write(CODES[index]), KEY, BATCH) == index


@pytest.mark.parametrize(
    ("right", "misread"), [("0", "o"), ("0", "O"), ("1", "i"), ("1", "I"), ("1", "l"), ("1", "L"), ("v", "u"), ("v", "U")]
)
def test_a_misread_character_is_understood(right: str, misread: str) -> None:
    """Crockford's base32: letters that are not in the alphabet stand for those they look like."""
    batch, index = next((f"rcv_{n}", i) for n in range(99) for i, code in enumerate(recovery.codes(KEY, f"rcv_{n}")) if right in code)
    written = recovery.code(KEY, batch, index).replace(right, misread)

    assert recovery.index_of(written, KEY, batch) == index


@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from(ALPHABET))
def test_one_wrong_character_makes_it_wrong(index: int, place: int, char: str) -> None:
    """Every one of the ten characters counts."""
    code = CODES[index].replace("-", "")
    changed = code[:place] + char + code[place + 1 :]

    assert recovery.index_of(changed, KEY, BATCH) == (index if changed == code else None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        CODES[0][:-1],
        CODES[0] + "0",
        CODES[0] + CODES[1],
        CODES[0] + "\n",
        CODES[0] + "\0",
        CODES[0].replace("-", "_"),
        CODES[0].replace("-", "\u2011"),
        "".join(chr(ord(char) + 0xFEE0) for char in CODES[0].replace("-", "")),
        "0" * 100_000,
        "123456",
        "%",
        "'; DROP",
    ],
    ids=range(14),
)
def test_nothing_else_is_a_code(text: str) -> None:
    """Parts of codes, more than a code, and text of other forms are refused."""
    assert recovery.index_of(text, KEY, BATCH) is None


@given(st.text(max_size=40))
def test_any_text_may_be_tried(text: str) -> None:
    """Whatever comes in is one of the ten or none."""
    assert recovery.index_of(text, KEY, BATCH) in (None, *range(10))


@pytest.mark.parametrize(("used", "left"), [(0, 10), (1, 9), (512, 9), (0b1010101010, 5), (1023, 0), (1 << 10, 10), (-1, 0)])
def test_the_bits_count_what_is_left(used: int, left: int) -> None:
    """One bit for each used code; bits beyond the ten count for nothing."""
    assert recovery.left(used) == left
