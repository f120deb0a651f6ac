"""Where webhooks may go: spellings of URLs, and every kind of address that is not public."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.problems import Invalid
from authsvc.rules.destinations import destination, is_allowed, is_public

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2001:20::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2a00:1450:4001:0:0:5efe:7f00:1",
    "2a00:1450:4001:0:200:5efe:a00:1",
    "localhost",
    "",
    "127.0.0.1.",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]


@pytest.mark.parametrize("address", PRIVATE)
def test_e6_what_is_not_public_is_not_called(address: str) -> None:
    """E6: by no spelling, and not by what is wrapped in it."""
    assert not is_allowed(address, clear=False, networks=())
    assert not is_allowed(address, clear=True, networks=())


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_called_over_https_alone(address: str) -> None:
    """In the clear only where the operator has listed the network."""
    assert is_allowed(address, clear=False, networks=())
    assert not is_allowed(address, clear=True, networks=())


def test_a_listed_network_is_reached_and_no_other() -> None:
    """Also in the clear, and also by the mapped spelling of its addresses."""
    networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1"):
        assert is_allowed(address, clear=True, networks=networks), address
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fe80::1", "127.0.0.1"):
        assert not is_allowed(address, clear=True, networks=networks), address


@given(st.ip_addresses(v=4))
def test_no_wrapping_makes_a_private_address_public(inner: object) -> None:
    """Mapped, NAT64, 6to4 and compatible: never more than the address itself."""
    number = int(inner)  # type: ignore[call-overload]
    wrapped = [
        ip_address((0xFFFF << 32) | number),
        ip_address(int(ip_address("64:ff9b::")) | number),
        ip_address((0x2002 << 112) | (number << 80)),
        ip_address(number) if number > 1 << 32 else ip_address(int(ip_address("::")) | number | (1 << 127)),
    ]
    for address in wrapped:
        assert not is_public(address) or is_public(ip_address(number)), address


@given(st.ip_addresses())
def test_whatever_python_calls_private_is_private_here(address: object) -> None:
    """Our table is at least as strict as the standard library's."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is None and not address.is_global and address not in ip_network("64:ff9b::/96"):  # type: ignore[attr-defined, operator]
        assert not is_public(address)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "host", "port", "clear"),
    [
        ("https://hooks.example.com/x?y=1", "hooks.example.com", 443, False),
        ("https://HOOKS.example.com:8443/", "hooks.example.com", 8443, False),
        ("http://10.0.0.7:9000/in", "10.0.0.7", 9000, True),
        ("http://svc/in", "svc", 80, True),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 443, False),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, False),
        ("https://my_host.example/", "my_host.example", 443, False),
    ],
)
def test_a_url_is_read_in_one_way(url: str, host: str, port: int, clear: bool) -> None:
    """Host, port, and whether it is in the clear."""
    assert destination(url) == (host, port, clear)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "//hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "https:hooks.example.com",
        "https:///x",
        "https://",
        "https://user@hooks.example.com/",
        "https://user:pass@hooks.example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://exa\tmple.com/",
        "https://example.com/\n",
        "https://example.com /",
        "https://bücher.example/",
        "https://①②⑦.0.0.1/",
        "https://example.com/#x",
        "https://example.com:0x50/",
        "https://example.com:99999/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:0/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://localhost./",
        "https://example.com./",
        "https://.example.com/",
        "https://exa..mple.com/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://-x.example/",
        "HTTPS://example.com/",
        "https://example.com/" + "x" * 2_048,
    ],
)
def test_e6_other_spellings_are_refused(url: str) -> None:
    """E6: other schemes, credentials, odd hosts and ports, and whatever browsers and libraries read in several ways."""
    with pytest.raises(Invalid):
        destination(url)


@given(st.text(max_size=60))
def test_any_text_is_a_destination_or_invalid(text: str) -> None:
    """Nothing else is raised."""
    for url in (text, f"https://{text}", f"https://example.com{text}"):
        try:
            found = destination(url)
        except Invalid:
            continue
        assert found.host
        assert "@" not in found.host
