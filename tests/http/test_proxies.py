"""The client's address: the peer's own, unless declared proxies vouch for another."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http.proxies import MAX_HOPS, Networks, client

NONE: Networks = ()
LOCAL: Networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1/32"))
FUZZ = settings(deadline=None, max_examples=150)


def seen(forwarded: str | None, peer: str = "10.0.0.1", trusted: Networks = LOCAL) -> str:
    """The client's address as the app takes it."""
    environ = {"REMOTE_ADDR": peer} | ({} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded})
    return client(environ, trusted)


@pytest.mark.parametrize("forwarded", [None, "203.0.113.9", "203.0.113.9, 198.51.100.1", "10.0.0.9", "127.0.0.1", "::1", "x"])
def test_a_stranger_cannot_name_another_address(forwarded: str | None) -> None:
    """From a peer that is no declared proxy the header is ignored, whatever is declared."""
    assert seen(forwarded, "192.0.2.7") == "192.0.2.7"
    assert seen(forwarded, "192.0.2.7", NONE) == "192.0.2.7"
    assert seen(forwarded, "10.0.0.1", NONE) == "10.0.0.1"


@pytest.mark.parametrize("name", ["HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_CONNECTING_IP"])
def test_other_forwarding_headers_are_ignored(name: str) -> None:
    """Only X-Forwarded-For is read, even from a declared proxy."""
    assert client({"REMOTE_ADDR": "10.0.0.1", name: "for=203.0.113.9"}, LOCAL) == "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.2, 10.0.0.3", "203.0.113.9"),
        ("10.0.0.7, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.5, 10.0.0.2", "10.0.0.5"),
        ("203.0.113.9,10.0.0.2", "203.0.113.9"),
        (" 203.0.113.9\t, 10.0.0.2 ", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.9, fd00::2", "203.0.113.9"),
        ("203.0.113.9, [fd00::2]:80", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
        ("", "10.0.0.1"),
        (",", "10.0.0.1"),
        ("203.0.113.9,", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("_hidden, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.9, nonsense, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.256", "10.0.0.1"),
        ("203.0.113.09", "10.0.0.1"),
        ("3405803785", "10.0.0.1"),
        ("0x7f000001", "10.0.0.1"),
        ("203.0.113.9:port", "10.0.0.1"),
        ("[203.0.113.9", "10.0.0.1"),
        ("203.0.113.9 10.0.0.2", "10.0.0.1"),
        ("for=203.0.113.9", "10.0.0.1"),
        ("203.0.113.9;drop table", "10.0.0.1"),
    ],
)
def test_declared_proxies_vouch_for_the_hop_before_them(forwarded: str, address: str) -> None:
    """The nearest address that is no declared proxy's counts; what a client wrote before it, and nonsense, does not."""
    assert address == seen(forwarded)


def test_a_forged_chain_cannot_reach_past_the_nearest_stranger() -> None:
    """An attacker who sends the header themselves is still seen by the address that our proxy appended."""
    assert seen("127.0.0.1, 10.0.0.4, 203.0.113.9") == "203.0.113.9"


def test_a_long_chain_of_proxies_ends() -> None:
    """Only the last hops are walked, however long the header is."""
    chain = ", ".join(["203.0.113.9"] + ["10.0.0.2"] * MAX_HOPS * 100)
    assert seen(chain) == "10.0.0.2"


@pytest.mark.parametrize(
    ("peer", "address"), [("", "127.0.0.1"), (None, "127.0.0.1"), ("::ffff:192.0.2.7", "192.0.2.7"), ("/run/x", "127.0.0.1")]
)
def test_a_peer_without_an_address_is_this_machine(peer: str | None, address: str) -> None:
    """Hosts name no address for a Unix socket; an IPv4 address in IPv6 clothes is IPv4."""
    assert address == client({"REMOTE_ADDR": peer}, NONE)
    assert client({}, NONE) == "127.0.0.1"


def test_the_peer_in_ipv6_clothes_is_still_a_declared_proxy() -> None:
    """A dual-stack listener shows 10.0.0.1 as ::ffff:10.0.0.1."""
    assert seen("203.0.113.9", "::ffff:10.0.0.1") == "203.0.113.9"


@FUZZ
@given(
    st.text(alphabet=st.characters(max_codepoint=255))
    | st.text(alphabet="0123456789abcdef.:,[]% ", max_size=60)
    | st.lists(st.ip_addresses().map(str), max_size=40).map(", ".join)
)
def test_any_header_gives_an_address(forwarded: str) -> None:
    """Whatever the header, the result is the canonical spelling of an address."""
    for peer in ("10.0.0.1", "192.0.2.7", "fd00::1"):
        address = seen(forwarded, peer)
        assert address == str(ip_address(address))


@FUZZ
@given(
    st.lists(st.ip_addresses().map(str), max_size=5),
    st.ip_addresses().filter(lambda ip: not any(ip in net for net in LOCAL if net.version == ip.version)),
)
def test_what_a_client_adds_in_front_changes_nothing(forged: list[str], real: object) -> None:
    """The address that the proxy appended wins over any prefix."""
    mapped = getattr(real, "ipv4_mapped", None)
    if mapped is None:
        assert str(real) == seen(", ".join([*forged, str(real)]))
