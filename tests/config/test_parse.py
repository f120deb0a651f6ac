"""Promises of config/parse.py: each parser takes one spelling of what it means, and says what would have been right."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.config import parse
from authsvc.config.parse import Address, Claim, Limit, Url

FUZZ = settings(deadline=None)

KEY = "0123456789abcdef0123456789abcdef"


def refused(parser: Callable[[str], Any], text: str) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        parser(text)
    return str(caught.value)


def test_text_is_trimmed() -> None:
    """Text stays as it is, without the blanks around it."""
    assert [parse.text(value) for value in ("", "a", " a b \n", "\ta")] == ["", "a", "a b", "a"]


@pytest.mark.parametrize("value", ["yes", "YES", " Yes ", "true", "True", "1", "on", "ON\n"])
def test_a_flag_is_set_by_the_usual_words(value: str) -> None:
    """Yes, true, 1 and on, in any case."""
    assert parse.flag(value) is True


@pytest.mark.parametrize("value", ["no", "NO", " No ", "false", "False", "0", "off", "", "  "])
def test_a_flag_is_cleared_by_their_opposites(value: str) -> None:
    """No, false, 0, off and nothing at all."""
    assert parse.flag(value) is False


@pytest.mark.parametrize("value", ["y", "n", "2", "-1", "enabled", "yes no", "ja", "tru", "１", "none", "null"])
def test_a_flag_is_never_guessed(value: str) -> None:
    """A word that might mean either is a fault."""
    assert "yes or no" in refused(parse.flag, value)


@pytest.mark.parametrize(("value", "number"), [("1", 1), ("256", 256), (" 8 ", 8), ("008", 8), ("100\n", 100)])
def test_a_count_is_a_whole_number_within_its_bounds(value: str, number: int) -> None:
    """Digits, from the least to the most, both included."""
    assert parse.count(1, 256)(value) == number


@pytest.mark.parametrize(
    "value",
    ["", " ", "0", "257", "-1", "+1", "1.0", "1e2", "1_0", "0x10", "ten", "1 2", "1,000", "١", "８", "²", "9" * 13, "9" * 5_000, "nan"],
    ids=lambda value: ascii(value)[:20],
)
def test_a_count_is_nothing_else(value: str) -> None:
    """Signs, fractions, other digits and numbers out of bounds are faults that name the bounds."""
    assert "from 1 to 256" in refused(parse.count(1, 256), value)


def test_a_choice_is_one_of_the_words() -> None:
    """A choice is written exactly; a fault lists what there is."""
    parser = parse.choice("text", "json")

    assert [parser("text"), parser(" json ")] == ["text", "json"]
    for value in ("", "Text", "xml", "text,json", "te"):
        assert "text, json" in refused(parser, value)


@pytest.mark.parametrize(
    ("value", "found"),
    [("", []), (" , ,", []), ("a", ["a"]), ("a,b", ["a", "b"]), (" a , b,", ["a", "b"]), ("a b", ["a b"]), ("b,a,b", ["b", "a", "b"])],
)
def test_items_are_separated_by_commas(value: str, found: list[str]) -> None:
    """Items keep their order; blanks around them and empty ones do not count."""
    assert parse.items(value) == found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://auth.example.com", Url("https://auth.example.com", "", "https", "auth.example.com")),
        ("https://auth.example.com/", Url("https://auth.example.com", "", "https", "auth.example.com")),
        (" HTTPS://Auth.Example.COM:443/ ", Url("https://auth.example.com", "", "https", "auth.example.com")),
        ("http://auth.example.com:80", Url("http://auth.example.com", "", "http", "auth.example.com")),
        ("https://auth.example.com:80", Url("https://auth.example.com:80", "", "https", "auth.example.com")),
        ("https://auth.example.com:8443/", Url("https://auth.example.com:8443", "", "https", "auth.example.com")),
        ("https://example.com/auth", Url("https://example.com", "/auth", "https", "example.com")),
        ("https://example.com/a/B-c_d.e~1/", Url("https://example.com", "/a/B-c_d.e~1", "https", "example.com")),
        ("http://127.0.0.1:8000", Url("http://127.0.0.1:8000", "", "http", "127.0.0.1")),
        ("http://localhost", Url("http://localhost", "", "http", "localhost")),
        ("http://[::1]:8000", Url("http://[::1]:8000", "", "http", "::1")),
        ("https://[2001:DB8::1]", Url("https://[2001:db8::1]", "", "https", "2001:db8::1")),
        ("https://xn--bcher-kva.example", Url("https://xn--bcher-kva.example", "", "https", "xn--bcher-kva.example")),
    ],
)
def test_a_url_has_one_spelling(value: str, expected: Url) -> None:
    """Lower-case scheme and host, no default port, no trailing slash; the path keeps its case."""
    assert parse.url(value) == expected
    assert str(parse.url(value)) == expected.origin + expected.path


BAD_URLS = [
    "",
    "auth.example.com",
    "//auth.example.com",
    "/auth",
    "https:",
    "https://",
    "https:///auth",
    "https:auth.example.com",
    "https:/auth.example.com",
    "ftp://auth.example.com",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "https://user@auth.example.com",
    "https://user:pass@auth.example.com",
    "https://@auth.example.com",
    "https://auth.example.com@evil.example",
    "https://auth.example.com/?next=1",
    "https://auth.example.com/#part",
    "https://auth.example.com:99999",
    "https://auth.example.com:-1",
    "https://auth.example.com:port",
    "https://auth.example.com:1:2",
    "https://auth .example.com",
    "https://auth.example.com/a b",
    "https://auth.example.com\\evil",
    "https://auth.example.com/\na",
    "https://auth.example.com\r\nSet-Cookie: a=b",
    "https://auth.exam\tple.com",
    "https://bücher.example",
    "https://auth.example.com/ü",
    "https://auth。example.com",
    "https://[::1",
    "https://::1]:80",
    "https://[nonsense]",
    "https://auth.example.com,https://other.example.com",
]
# urlsplit lets these pass; browsers would not, or a cookie's Path would end in them.
TREACHEROUS_URLS = [
    "https://exa\x01mple.com",
    "https://example.com/a\x7f",
    "https://*.example.com",
    "https://exa'mple.com",
    'https://exa"mple.com',
    "https://exa$mple.com",
    "https://exa;mple.com",
    "https://exa<mple>.com",
    "https://%65xample.com",
    "https://example.com/a;Domain=evil.example",
    "https://example.com/<script>",
    'https://example.com/"a"',
]


@pytest.mark.parametrize("value", BAD_URLS)
def test_a_url_is_absolute_and_has_nothing_but_origin_and_path(value: str) -> None:
    """No other scheme, credentials, query, fragment, blanks, backslashes or letters outside ASCII (ATTACKS C4, C5)."""
    assert "absolute URL" in refused(parse.url, value)


@pytest.mark.parametrize("value", TREACHEROUS_URLS)
def test_a_url_has_a_host_that_exists_and_a_path_that_fits_a_cookie(value: str) -> None:
    """Wildcards, control characters and what ends a cookie's attribute are faults at the start, not surprises later."""
    assert "absolute URL" in refused(parse.url, value)


@FUZZ
@given(
    st.text(max_size=40)
    | st.from_regex(r"(http|HTTPS?|ftp)://[a-zA-Z0-9.:\[\]@-]{0,20}(:[0-9]{0,6})?(/[a-z/.%?#-]{0,12})?", fullmatch=True)
)
def test_any_text_is_a_url_in_its_one_spelling_or_a_fault(value: str) -> None:
    """What is accepted is printable ASCII without blanks, and reading it again gives the same."""
    try:
        found = parse.url(value)
    except ValueError:
        return

    assert parse.url(str(found)) == found
    assert str(found).isascii()
    assert str(found).isprintable()
    assert not set(str(found)) & set(" \\@?#;\"'<>")
    assert found.origin == found.origin.lower()


@pytest.mark.parametrize(
    ("value", "loopback"),
    [
        ("http://localhost:8000", True),
        ("http://LOCALHOST", True),
        ("http://127.0.0.1", True),
        ("http://127.255.0.9:1", True),
        ("http://[::1]:8000", True),
        ("http://[0:0:0:0:0:0:0:1]", True),
        ("http://localhost.example.com", False),
        ("http://example.localhost.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://0.0.0.0", False),
        ("http://[::]", False),
        ("http://10.0.0.1", False),
        ("http://192.168.0.1", False),
        ("http://auth.internal", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(value: str, loopback: bool) -> None:
    """A name that only resembles one, or a private network, is not this machine alone."""
    assert parse.url(value).loopback is loopback


def test_origins_are_urls_without_a_path() -> None:
    """Each origin in its one spelling, in order; a path, a null, a wildcard is a fault."""
    assert parse.origins("") == ()
    assert parse.origins("https://App.Example.com:443/, http://localhost:3000") == ("https://app.example.com", "http://localhost:3000")
    for value in ("https://app.example.com/path", "null", "*", "app.example.com", "https://a.example,*", "https://a.example,javascript:1"):
        refused(parse.origins, value)


def test_an_origin_with_a_wildcard_is_a_fault() -> None:
    """Origins are compared exactly, so a wildcard would never match anything, and must not look as if it did."""
    refused(parse.origins, "https://*.example.com")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", ()),
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        ("10.0.0.0/8, fd00::/8", ("10.0.0.0/8", "fd00::/8")),
        ("127.0.0.1", ("127.0.0.1/32",)),
        ("::1", ("::1/128",)),
        ("0.0.0.0/0", ("0.0.0.0/0",)),
    ],
)
def test_networks_are_cidrs(value: str, found: tuple[str, ...]) -> None:
    """Networks of both families, a single address among them."""
    assert parse.networks(value) == tuple(map(ip_network, found))


@pytest.mark.parametrize(
    "value", ["all", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "10", "10.0.0.0/8;fd00::/8", "example.com", "fd00::/129", "10.0.0.0/-1"]
)
def test_a_network_with_host_bits_or_nonsense_is_a_fault(value: str) -> None:
    """A slip of the hand must not declare a whole network trusted."""
    assert "CIDR" in refused(parse.networks, value)


@pytest.mark.parametrize("value", [KEY, f" {KEY}\n", KEY * 10, "é" * 16 + "abcdefg", "correct horse battery staple 1234"])
def test_a_secret_has_at_least_32_bytes(value: str) -> None:
    """Any text of 32 bytes or more, without the blanks around it; none at all means that none is given."""
    assert parse.secret(value) == value.strip()
    assert parse.secret("") == parse.secret("  ") == ""


@pytest.mark.parametrize(
    "value", ["Zz!", KEY[:31], "a" * 32, "a" * 1_000, "abcdefg" * 10, "0" * 64, "é" * 15, "changeme", " " * 20 + "short"]
)
def test_a_short_or_monotonous_secret_is_a_fault_that_does_not_repeat_it(value: str) -> None:
    """Too short, or of fewer than 8 different characters: refused, and never shown (ATTACKS F8)."""
    message = refused(parse.secret, value)

    assert "openssl rand -hex 32" in message
    assert value.strip() not in message


def test_previous_secrets_are_a_list() -> None:
    """Older keys, newest first; each has to be good."""
    other = KEY[::-1]

    assert parse.secrets("") == ()
    assert parse.secrets(f"{KEY}, {other}") == (KEY, other)
    assert "32" in refused(parse.secrets, f"{KEY},short")


@pytest.mark.parametrize(
    ("value", "expected", "shown"),
    [
        ("127.0.0.1:8000", Address("127.0.0.1", 8000), "127.0.0.1:8000"),
        (" 0.0.0.0:80 ", Address("0.0.0.0", 80), "0.0.0.0:80"),
        ("localhost:65535", Address("localhost", 65535), "localhost:65535"),
        ("[::]:8000", Address("::", 8000), "[::]:8000"),
        ("[::1]:0", Address("::1", 0), "[::1]:0"),
    ],
)
def test_an_address_to_listen_on_is_a_host_and_a_port(value: str, expected: Address, shown: str) -> None:
    """IPv6 stands in brackets, when it is read and when it is shown."""
    assert parse.listen(value) == expected
    assert str(expected) == shown


@pytest.mark.parametrize(
    "value",
    [
        "",
        "8000",
        ":8000",
        "[]:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "a:-1",
        "a:+1",
        "a:http",
        "a:8_0",
        "a:８０",
        "a:123456",
        "::",
    ],
)
def test_an_address_without_a_host_or_a_port_is_a_fault(value: str) -> None:
    """Nothing is filled in: an address is written whole."""
    assert "HOST:PORT" in refused(parse.listen, value)


@pytest.mark.parametrize(
    ("value", "expected", "shown"),
    [
        ("10/60s", Limit(10, 60), "10/60s"),
        (" 1/1s ", Limit(1, 1), "1/1s"),
        ("9999999/9999999s", Limit(9_999_999, 9_999_999), "9999999/9999999s"),
        ("0", Limit(0, 0), "0"),
        (" 0 ", Limit(0, 0), "0"),
    ],
)
def test_a_limit_is_a_burst_in_seconds_or_off(value: str, expected: Limit, shown: str) -> None:
    """`10/60s`, or `0` for no limit at all."""
    assert parse.limit(value) == expected
    assert str(expected) == shown


@pytest.mark.parametrize(
    "value",
    [
        "",
        "10",
        "10/60",
        "10/1m",
        "10/60S",
        "0/60s",
        "10/0s",
        "0/0s",
        "-1/60s",
        "1.5/60s",
        "10 / 60s",
        "10/60s,1/1s",
        "off",
        "00",
        "99999999/1s",
        "١/60s",
    ],
)
def test_a_limit_that_could_be_misread_is_a_fault(value: str) -> None:
    """No other unit, no zero on one side only: a limit must not be off by accident."""
    assert "10/60s" in refused(parse.limit, value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ()),
        ("org=app_metadata.org", (Claim("org", "app_metadata.org"),)),
        ("org=app_metadata.org.id, nick=name", (Claim("org", "app_metadata.org.id"), Claim("nick", "name"))),
        ("https://example.com/lang=locale", (Claim("https://example.com/lang", "locale"),)),
        ("name=name,picture=picture", (Claim("name", "name"), Claim("picture", "picture"))),
    ],
)
def test_claims_name_a_field_of_the_user(value: str, expected: tuple[Claim, ...]) -> None:
    """Each is CLAIM=FIELD, the field one that tokens may carry, dotted below the two metadata objects."""
    assert parse.claims(value) == expected
    assert ",".join(map(str, expected)) == value.replace(" ", "")


@pytest.mark.parametrize(
    "value",
    [
        "org",
        "=name",
        "org=",
        "org=password_hash",
        "org=id.x",
        "org=metadata",
        "org=metadata.",
        "org=metadata..a",
        "org=.name",
        "org=Name",
        "org=generation",
        "a b=name",
        'a"=name',
        "org=name=x",
        "org=name,x",
        "org=app_metadata.a-b",
        "org=__class__",
    ],
)
def test_a_claim_of_an_unknown_field_is_a_fault(value: str) -> None:
    """No field outside the list, the password hash least of all."""
    assert "CLAIM=FIELD" in refused(parse.claims, value)


@pytest.mark.parametrize(
    "claim",
    [
        "iss",
        "aud",
        "sub",
        "iat",
        "exp",
        "nbf",
        "jti",
        "sid",
        "gen",
        "auth_time",
        "amr",
        "acr",
        "roles",
        "caps",
        "email",
        "email_verified",
        "client_id",
        "scope",
        "cnf",
    ],
)
def test_a_claim_of_our_own_is_never_replaced(claim: str) -> None:
    """What authsvc and RFC 9068 define cannot be mapped to something a user may write (ATTACKS E2)."""
    assert "authsvc's own" in refused(parse.claims, f"{claim}=metadata.x")


def test_a_claim_is_named_once() -> None:
    """Two fields for one claim are a contradiction, not a question of order."""
    refused(parse.claims, "org=app_metadata.org,org=metadata.org")


PARSERS = [
    parse.text,
    parse.flag,
    parse.count(1, 9),
    parse.choice("a", "b"),
    parse.items,
    parse.url,
    parse.origins,
    parse.networks,
    parse.secret,
    parse.secrets,
    parse.listen,
    parse.limit,
    parse.claims,
]


@FUZZ
@given(st.sampled_from(PARSERS), st.text(max_size=50) | st.text("0123456789/s:,=.[]", max_size=30))
def test_any_text_has_a_value_or_is_a_fault(parser: Callable[[str], Any], value: str) -> None:
    """Hostile text gives a value or a ValueError that says something, never another error."""
    fault = None
    try:
        parser(value)
    except ValueError as error:
        fault = str(error)

    assert fault is None or fault.strip()
