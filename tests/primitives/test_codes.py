"""One-time codes: RFC 4226's own vectors, and one code for each sending of each challenge."""

from __future__ import annotations

import base64
import hmac
import struct

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives import codes
from authsvc.primitives.keyring import Key

KEY = Key(b"k" * 32)
ID = "chl_" + "0" * 26
OTHER_ID = "chl_" + "1" * 26
SECRET = b"12345678901234567890"  # RFC 4226 appendix D
TABLE = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
sendings = st.integers(1, 2**31)


def hotp_digest(counter: int) -> bytes:
    return hmac.digest(SECRET, struct.pack(">Q", counter), "sha1")


@pytest.mark.parametrize(("counter", "expected"), list(enumerate(TABLE)))
def test_truncation_gives_the_codes_of_the_rfc(counter: int, expected: str) -> None:
    """RFC 4226 appendix D, and pyotp, which knows the same algorithm."""
    assert codes.truncate(hotp_digest(counter)) == expected
    assert pyotp.HOTP(base64.b32encode(SECRET).decode()).at(counter) == expected


@given(st.integers(0, 2**40), st.integers(6, 8))
def test_truncation_agrees_with_another_implementation(counter: int, digits: int) -> None:
    """For any counter and six to eight digits."""
    expected = pyotp.HOTP(base64.b32encode(SECRET).decode(), digits=digits).at(counter)
    assert codes.truncate(hotp_digest(counter), digits) == expected


@pytest.mark.parametrize(
    ("start", "expected"), [("00000007", "000007"), ("80000007", "000007"), ("000f4240", "000000"), ("7fffffff", "483647")]
)
def test_leading_zeros_stay_and_the_sign_bit_does_not_count(start: str, expected: str) -> None:
    """Six characters always, of 31 bits."""
    assert codes.truncate(bytes.fromhex(start) + bytes(28)) == expected


@given(sendings)
def test_a_code_is_six_ascii_digits(sends: int) -> None:
    """The same each time it is asked for, and believed."""
    made = codes.code(KEY, ID, sends)
    assert len(made) == 6
    assert made.isascii()
    assert made.isdigit()
    assert codes.code(KEY, ID, sends) == made
    assert codes.is_right(made, KEY, ID, sends)
    assert codes.is_right(f" {made[:3]} {made[3:]} ", KEY, ID, sends), "people group digits"


def test_each_sending_has_a_code_of_its_own() -> None:
    """Over sendings, challenges and keys the codes are spread, and an older one is not the newer one."""
    assert len({codes.code(KEY, ID, sends) for sends in range(1, 101)}) > 95
    assert codes.code(KEY, ID, 1) != codes.code(KEY, OTHER_ID, 1)
    assert codes.code(KEY, ID, 1) != codes.code(Key(b"o" * 32), ID, 1)
    assert not codes.is_right(codes.code(KEY, ID, 1), KEY, ID, 2)
    assert not codes.is_right(codes.code(KEY, ID, 2), KEY, ID, 1)


RIGHT = codes.code(KEY, ID, 1)
FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in RIGHT)


@pytest.mark.parametrize(
    "given_code",
    [
        "",
        " ",
        RIGHT[:5],
        RIGHT + "0",
        "0" + RIGHT,
        f"+{RIGHT}",
        f"-{RIGHT}",
        f"{RIGHT}\n",
        f"{RIGHT}\t",
        f"{RIGHT}.0",
        FULL_WIDTH,
        "x" * 6,
        "\0" * 6,
    ],
)
def test_nothing_but_the_digits_is_right(given_code: str) -> None:
    """No other form of a number passes, and none is an error."""
    assert not codes.is_right(given_code, KEY, ID, 1)


@given(st.text(max_size=12))
def test_no_other_text_is_right(text: str) -> None:
    """Any text is compared without an error."""
    assert codes.is_right(text, KEY, ID, 1) == (text.replace(" ", "") == RIGHT)
