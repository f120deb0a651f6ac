"""Promises of rules/limits.py: who shares a bucket is decided by what was sent, never by what exists."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.config.limits import LIMITS
from authsvc.problems import Invalid
from authsvc.rules import limits
from authsvc.rules.limits import Facts, key, key_of_text, network

FUZZ = settings(deadline=None)

HERE, THERE = "192.0.2.7", "198.51.100.7"
KINDS = (
    *("everyone", "network", "address", "address+network", "account", "session", "caller", "number", "number range"),
    *("device", "device, or address+network"),
)


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("192.0.2.1", "192.0.2.0/24"),
        ("192.0.2.255", "192.0.2.0/24"),
        ("192.0.3.0", "192.0.3.0/24"),
        ("0.0.0.0", "0.0.0.0/24"),
        ("255.255.255.255", "255.255.255.0/24"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:0DB8::0001", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%25eth1", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.0/24"),
        ("::ffff:c000:0201", "192.0.2.0/24"),
        ("::FFFF:192.0.2.200", "192.0.2.0/24"),
        ("", "unknown"),
        ("unknown", "unknown"),
        ("192.0.2", "unknown"),
        ("192.0.2.256", "unknown"),
        ("192.0.2.1:80", "unknown"),
        ("192.0.2.01", "unknown"),
        ("[2001:db8::1]", "unknown"),
        ("192.0.2.1, 198.51.100.1", "unknown"),
        (" 192.0.2.1", "unknown"),
        ("0x7f000001", "unknown"),
        ("2130706433", "unknown"),
        ("١٩٢.0.2.1", "unknown"),
        ("::ffff:999.0.2.1", "unknown"),
        ("a" * 10_000, "unknown"),
        ("\0", "unknown"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_address_belongs_to_its_network(ip: str, expected: str) -> None:
    """/24 of IPv4, /64 of IPv6, IPv4 in IPv6 clothes is IPv4, and what is no address is one network of its own."""
    assert network(ip) == expected


@FUZZ
@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_every_address_lies_in_its_network(address: IPv4Address | IPv6Address) -> None:
    """The network that a bucket is named after really holds the address, and all of its neighbours share it."""
    named = ip_network(network(str(address)))
    inner = getattr(address, "ipv4_mapped", None) or address

    assert inner in named
    assert named.prefixlen == (24 if inner.version == 4 else 64)
    assert network(str(named[0])) == network(str(named[-1])) == str(named)


@FUZZ
@given(st.text(max_size=60))
def test_any_text_has_a_network(text: str) -> None:
    """Hostile text never breaks the key."""
    assert network(text)


@pytest.mark.parametrize(
    ("keyed_by", "same", "other"),
    [
        ("everyone", Facts(THERE, "b@example.com", "ses_2"), None),
        ("network", Facts("192.0.2.200", "b@example.com", "ses_2"), Facts(THERE, "a@example.com", "ses_1")),
        ("address+network", Facts("192.0.2.200", "a@example.com", "ses_2"), Facts(THERE, "a@example.com", "ses_1")),
        ("address+network", Facts("192.0.2.200", "a@example.com"), Facts(HERE, "b@example.com", "ses_1")),
        ("address", Facts(THERE, "a@example.com", "ses_2"), Facts(HERE, "b@example.com", "ses_1")),
        ("account", Facts(THERE, "a@example.com", "ses_2"), Facts(HERE, "b@example.com", "ses_1")),
        ("session", Facts(THERE, "b@example.com", "ses_1"), Facts(HERE, "a@example.com", "ses_2")),
        ("caller", Facts(THERE, "b@example.com", "ses_1"), Facts(HERE, "a@example.com", "ses_2")),
        ("device, or address+network", Facts("192.0.2.200", "a@example.com", "ses_2"), Facts(THERE, "a@example.com", "ses_1")),
    ],
)
def test_a_bucket_is_shared_by_what_it_is_keyed_by(keyed_by: str, same: Facts, other: Facts | None) -> None:
    """Each kind of key looks at its own fact and at no other."""
    mine = key(keyed_by, Facts(HERE, "a@example.com", "ses_1"))

    assert key(keyed_by, same) == mine
    assert other is None or key(keyed_by, other) != mine


@pytest.mark.parametrize("keyed_by", ["address", "account", "session", "caller"])
def test_without_its_fact_a_request_pays_for_its_own_network(keyed_by: str) -> None:
    """A malformed body or a missing token slows down its sender only: there is no bucket that strangers share."""
    assert key(keyed_by, Facts(HERE)) == key("network", Facts(HERE)) == network(HERE)
    assert key(keyed_by, Facts(THERE)) != key(keyed_by, Facts(HERE))


@pytest.mark.parametrize("keyed_by", ["device", "device, or address+network"])
def test_a_known_device_shares_its_bucket_with_nobody(keyed_by: str) -> None:
    """Wherever it is; and no other device, nor the network it is in, shares it (ATTACKS A5)."""
    mine = key(keyed_by, Facts(HERE, "a@example.com", None, "usr_1 20000"))

    assert key(keyed_by, Facts(THERE, "a@example.com", "ses_1", "usr_1 20000")) == mine
    assert key(keyed_by, Facts(HERE, "a@example.com", None, "usr_1 20001")) != mine
    assert key(keyed_by, Facts(HERE, "a@example.com")) != mine


@pytest.mark.parametrize(
    ("keyed_by", "text", "expected"),
    [
        ("account", "Ann@Example.com", "ann@example.com"),
        ("account", "usr_1", "usr_1"),
        ("address", "ann@example.com", "ann@example.com"),
        ("network", "192.0.2.7", "192.0.2.0/24"),
        ("network", "192.0.2.0/24", "192.0.2.0/24"),
        ("network", " 2001:db8::7 ", "2001:db8::/64"),
        ("address+network", "Ann@Example.com 192.0.2.7", "ann@example.com 192.0.2.0/24"),
        ("device, or address+network", "ann@example.com 2001:db8::/64", "ann@example.com 2001:db8::/64"),
        ("device, or address+network", "usr_1 20000", "usr_1 20000"),
        ("device, or address+network", "ses_1", "ses_1"),
        ("device", "ses_1", "ses_1"),
        ("everyone", "all", "all"),
        ("number", "+14155550123", "+14155550123"),
    ],
)
def test_an_operator_names_a_bucket_by_what_it_is_keyed_by(keyed_by: str, text: str, expected: str) -> None:
    """In any spelling, the key is the one that requests are charged to."""
    assert key_of_text(keyed_by, text) == expected


@pytest.mark.parametrize(
    ("keyed_by", "text"),
    [
        *(("network", "nowhere"), ("network", ""), ("address+network", "ann@example.com"), ("address+network", "192.0.2.7")),
        *(("address+network", "ann@example.com nowhere"), ("address+network", ""), ("account", "a@b@c"), ("account", "@")),
    ],
)
def test_what_names_no_bucket_is_refused(keyed_by: str, text: str) -> None:
    """Nobody is told that a bucket was filled which there cannot be."""
    with pytest.raises(Invalid):
        key_of_text(keyed_by, text)


def test_an_address_and_its_network_never_run_together() -> None:
    """The pair keeps its parts apart: one without an address is nobody's."""
    assert key("address+network", Facts(HERE)) != key("address+network", Facts(HERE, "a@example.com"))
    assert key("address+network", Facts(HERE)) != key("address+network", Facts(THERE))


def test_an_unknown_kind_of_key_is_a_fault_of_ours() -> None:
    """A limit with a misspelt key fails at once, instead of sharing one bucket among all."""
    with pytest.raises(LookupError):
        key("", Facts(HERE))


@pytest.mark.parametrize("name", LIMITS)
def test_every_declared_limit_has_a_key(name: str) -> None:
    """Each limit in the settings is keyed by something that this module knows."""
    assert LIMITS[name].keyed_by in KINDS
    assert key(LIMITS[name].keyed_by, Facts(HERE, "a@example.com", "ses_1"))


def test_the_names_of_memory_limits_and_hidden_keys_exist() -> None:
    """What is counted in memory is a declared limit, and the account's own bucket is never shown (ATTACKS A3)."""
    assert set(LIMITS) >= limits.IN_MEMORY
    assert {declared.keyed_by for declared in LIMITS.values()} >= limits.HIDDEN_KEYS
    assert {"refresh", "read", "admin"} == limits.IN_MEMORY
    assert limits.FORWARDED in LIMITS
    assert {"account", "everyone", "device"} == limits.HIDDEN_KEYS
