"""Promises of primitives/totp.py: the codes of RFC 6238, an URI that apps read, and a narrow window."""

from __future__ import annotations

import base64

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives import totp
from authsvc.primitives.keyring import Key
from authsvc.problems import Invalid
from tests.support import START

RFC_SECRET = b"12345678901234567890"
# RFC 6238 appendix B, SHA-1: the time in seconds and the eight digits.
RFC_VECTORS = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]
TWIN_STEP = 50_424_280  # its code and the next step's are the same under RFC_SECRET
STEP = totp.step_at(START)
RIGHT = totp.code(RFC_SECRET, STEP)

KEY = Key(b"0123456789abcdef0123456789abcdef")
OTHER_KEY = Key(b"fedcba9876543210fedcba9876543210")
SECRETS = st.binary(min_size=20, max_size=20)
NAMES = ["Example", "Acme Co", "Müller & Söhne", "a/b?c=d#e%20f", "日本語", "plus+sign", 'quote"<b>']


@pytest.mark.parametrize(("seconds", "digits"), RFC_VECTORS)
def test_the_codes_are_those_of_the_rfc(seconds: int, digits: str) -> None:
    """RFC 6238 appendix B: the last six of its eight digits, leading zeros kept."""
    assert totp.code(RFC_SECRET, totp.step_at(seconds * 1000)) == digits[-6:]
    assert totp.matching_step(digits[-6:], RFC_SECRET, seconds // 30, 0) == seconds // 30
    assert totp.matching_step(digits, RFC_SECRET, seconds // 30) is None


@given(SECRETS, st.integers(0, 10**10), st.integers(0, 999))
def test_an_independent_authenticator_shows_the_same_code(shared: bytes, seconds: int, rest: int) -> None:
    """pyotp, given the secret as we show it, agrees at any time; within a step the code does not change."""
    assert totp.code(shared, totp.step_at(seconds * 1000 + rest)) == pyotp.TOTP(totp.readable(shared)).at(seconds)


@pytest.mark.parametrize(("now", "step"), [(0, 0), (29_999, 0), (30_000, 1), (59_999, 1), (START, START // 30_000)])
def test_a_step_lasts_thirty_seconds(now: int, step: int) -> None:
    """RFC 6238 section 4.2: the number of whole steps since the epoch."""
    assert totp.step_at(now) == step


def test_a_secret_belongs_to_its_factor() -> None:
    """Twenty bytes, the same each time; another key, factor or nonce gives another, and parts do not run together."""
    shared = totp.secret(KEY, "fac_1", "nonce")
    others = [
        totp.secret(OTHER_KEY, "fac_1", "nonce"),
        totp.secret(KEY, "fac_2", "nonce"),
        totp.secret(KEY, "fac_1", "nonce2"),
        totp.secret(KEY, "fac_1n", "once"),
    ]

    assert shared == totp.secret(KEY, "fac_1", "nonce")
    assert len(shared) == 20
    assert len({shared, *others}) == 5


@given(SECRETS)
def test_a_secret_can_be_typed_in(shared: bytes) -> None:
    """Upper-case base32 without padding, which decodes to the same bytes."""
    text = totp.readable(shared)

    assert base64.b32decode(text) == shared
    assert (len(text), text) == (32, text.upper())
    assert "=" not in text


@pytest.mark.parametrize("issuer", NAMES)
@pytest.mark.parametrize("account", ["marie@example.com", "jörg müller@example.com", "a+b@example.com", "ü&%=@例え.jp"])
def test_an_app_reads_the_uri(issuer: str, account: str) -> None:
    """Names with spaces, umlauts and delimiters come out as they went in, and nothing else is in the URI."""
    uri = totp.uri(RFC_SECRET, issuer, account)
    read = pyotp.parse_uri(uri)

    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.issuer, read.name) == (totp.readable(RFC_SECRET), issuer, account)
    assert (read.digits, read.interval, read.digest().name) == (6, 30, "sha1")
    assert uri.isascii()
    assert uri.isprintable()
    assert not set(uri) & set(' +"<>#')
    assert [pair.partition("=")[0] for pair in uri.partition("?")[2].split("&")] == ["secret", "issuer"]


@pytest.mark.parametrize(("issuer", "account"), [("A:B", "me@example.com"), ("Acme", "a:b@example.com"), ("::", ":@x.org")])
def test_a_colon_does_not_split_the_label(issuer: str, account: str) -> None:
    """The colon parts the issuer from the account, so neither has one of its own."""
    uri = totp.uri(RFC_SECRET, issuer, account)
    read = pyotp.parse_uri(uri)

    assert (read.issuer, read.name) == (issuer.replace(":", " "), account.replace(":", " "))
    assert uri.removeprefix("otpauth:").count(":") == 1
    assert "%3A" not in uri


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_steps_beside_count(offset: int) -> None:
    """One step to either side is let pass, and told apart."""
    assert totp.matching_step(totp.code(RFC_SECRET, STEP + offset), RFC_SECRET, STEP) == STEP + offset


@pytest.mark.parametrize("offset", [-11, -10, -2, 2, 3, 10])
def test_steps_further_off_do_not_count(offset: int) -> None:
    """Two steps off is too late or too early, unless a wider window is asked for."""
    given_code = totp.code(RFC_SECRET, STEP + offset)

    assert totp.matching_step(given_code, RFC_SECRET, STEP) is None
    assert totp.matching_step(given_code, RFC_SECRET, STEP, 10) == (STEP + offset if abs(offset) <= 10 else None)


def test_the_nearest_step_comes_first() -> None:
    """Where two steps have the same code, the one nearer to now is spent."""
    twins = totp.code(RFC_SECRET, TWIN_STEP)

    assert twins == totp.code(RFC_SECRET, TWIN_STEP + 1)
    assert totp.matching_step(twins, RFC_SECRET, TWIN_STEP) == TWIN_STEP
    assert totp.matching_step(twins, RFC_SECRET, TWIN_STEP + 1) == TWIN_STEP + 1
    assert totp.matching_step(twins, RFC_SECRET, TWIN_STEP - 5, 10) == TWIN_STEP
    assert totp.matching_step(twins, RFC_SECRET, TWIN_STEP + 5, 10) == TWIN_STEP + 1


def test_a_clock_at_the_epoch_is_no_fault() -> None:
    """On a host that has lost its time there is no step before the first one: wrong codes are wrong, and nothing breaks."""
    assert totp.matching_step(totp.code(RFC_SECRET, 0), RFC_SECRET, 0) == 0
    assert totp.matching_step(totp.code(RFC_SECRET, 5), RFC_SECRET, 0) is None


@pytest.mark.parametrize("form", ["{0}{1}", "{0} {1}", "{0}-{1}", " {0}  {1} ", "{0} - {1}"])
def test_digits_may_be_grouped(form: str) -> None:
    """Spaces and dashes are how apps and people group them."""
    assert totp.matching_step(form.format(RIGHT[:3], RIGHT[3:]), RFC_SECRET, STEP) == STEP


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        RIGHT[:-1],
        RIGHT + "0",
        "0" + RIGHT,
        "+" + RIGHT,
        RIGHT + "\n",
        RIGHT + "\0",
        "\t" + RIGHT,
        RIGHT[:3] + "\u00a0" + RIGHT[3:],
        RIGHT[:3] + "." + RIGHT[3:],
        RIGHT.translate({ord("0") + n: 0x0660 + n for n in range(10)}),
        RIGHT.translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
        RIGHT.translate({ord("0") + n: 0x1D7CE + n for n in range(10)}),
        "0x1234",
        "1e5000",
        "null",
        "½½½½½½",
        "0" * 100_000,
    ],
    ids=range(20),
)
def test_nothing_but_six_ascii_digits_is_a_code(text: str) -> None:
    """Digits of other scripts, signs, and more or fewer digits are refused."""
    assert totp.matching_step(text, RFC_SECRET, STEP) is None


@given(st.text(max_size=40))
def test_any_text_may_be_tried(text: str) -> None:
    """Whatever comes in is a code of the window or is not."""
    window = {totp.code(RFC_SECRET, STEP + offset) for offset in (-1, 0, 1)}

    found = totp.matching_step(text, RFC_SECRET, STEP)

    assert (found is not None) is (text.replace(" ", "").replace("-", "") in window)


@pytest.mark.parametrize("size", [10, 16, 20, 32])
def test_a_secret_that_was_made_elsewhere_is_adopted_without_being_kept(size: int) -> None:
    """The key, the factor and its nonce give it back; under another key or for another factor they give something else."""
    key, other, shared = Key(b"k" * 32), Key(b"o" * 32), bytes(range(size))
    nonce = totp.adopted(key, "fac_1", "nonce", shared)

    assert totp.secret(key, "fac_1", nonce) == shared
    assert totp.secret(other, "fac_1", nonce) != shared
    assert totp.secret(key, "fac_2", nonce) != shared
    assert shared not in nonce.encode()
    assert totp.adopted(key, "fac_2", "nonce", shared) != nonce


@pytest.mark.parametrize("text", ["JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "JBSWY3DP-EHPK3PXP", "JBSWY3DPEHPK3PXP===="])
def test_a_secret_is_read_as_people_write_it(text: str) -> None:
    """Base32 in either case, in groups, with or without padding."""
    assert totp.read(text) == b"Hello!\xde\xad\xbe\xef"


@pytest.mark.parametrize("text", ["", "ME", "JBSWY3DPEHPK3PX1", "ÄÖ", "A" * 56, "A" * 15])
def test_what_is_no_secret_is_refused(text: str) -> None:
    """Not Base32, too short to be one, or longer than can be kept."""
    with pytest.raises(Invalid):
        totp.read(text)
