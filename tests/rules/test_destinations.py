"""Where webhooks may go: spellings of URLs, and every kind of address that is not public."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

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
# Every entry of the two IANA special-purpose registries, of multicast, and of what is reserved or was given up.
NETWORKS = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/31",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::1/128",
    "::/128",
    "::/96",
    "::ffff:0:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]
NEIGHBOURS = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2620:4f:7fff::1",
    "3ffe:ffff::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]


@pytest.mark.parametrize("address", PRIVATE)
def test_e6_what_is_not_public_is_not_called(address: str) -> None:
    """E6: by no spelling, and not by what is wrapped in it."""
    assert not is_allowed(address, clear=False, networks=())
    assert not is_allowed(address, clear=True, networks=())


@pytest.mark.parametrize("network", NETWORKS)
def test_e6_no_network_of_a_special_purpose_is_public(network: str) -> None:
    """From its first address to its last, and, of IPv4, in every spelling that carries it in an IPv6 address."""
    whole = ip_network(network)
    for address in {whole[0], whole[-1], whole[whole.num_addresses // 2]}:
        assert not is_allowed(str(address), clear=False, networks=()), address
        for spelt in spellings(int(address)) if whole.version == 4 else ():
            assert not is_allowed(spelt, clear=False, networks=()), spelt


@pytest.mark.parametrize("address", NEIGHBOURS)
def test_what_lies_beside_them_is_public(address: str) -> None:
    """No network is refused wider than it is."""
    assert is_allowed(address, clear=False, networks=())


@pytest.mark.parametrize(
    "address", ["0177.0.0.1", "0x7f.0.0.1", "127.1", "2130706433", "127.0.0.1\n", " 8.8.8.8", "８.8.8.8", "8.8.8.8/32", "8.8.8"]
)
def test_what_is_no_address_in_its_usual_spelling_is_not_called(address: str) -> None:
    """Not even where it might be read as a public one, or where everything is listed."""
    assert not is_allowed(address, clear=False, networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))


def test_a_listed_network_does_not_come_by_a_wrapper_that_others_unpack() -> None:
    """Listing 10.0.0.0/8 lets 10.0.0.1 and its mapped spelling pass, not what a relay on the way would turn into it."""
    for spelt in spellings(int(ip_address("10.0.0.1"))):
        assert is_allowed(spelt, clear=True, networks=(ip_network("10.0.0.0/8"),)) is (
            getattr(ip_address(spelt), "ipv4_mapped", None) is not None
        ), spelt


def spellings(number: int) -> list[str]:
    """An IPv4 address mapped, compatible, translated, by both NAT64 prefixes, 6to4, Teredo (as server and as client), ISATAP."""
    wrapped = [
        (0xFFFF << 32) | number,
        number,
        (0xFFFF << 48) | number,
        int(ip_address("64:ff9b::")) | number,
        int(ip_address("64:ff9b:1::")) | number,
        (0x2002 << 112) | (number << 80),
        (0x20010000 << 96) | (number << 64) | 0x3F57FEF7,
        (0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF),
        int(ip_address("2a00:1450:4001::")) | (0x5EFE << 32) | number,
        int(ip_address("2a00:1450:4001::")) | (0x2005EFE << 32) | number,
    ]
    return [IPv6Address(one).compressed for one in wrapped]


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
        "https://example.com:80/",
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
        "https://example.com[2606:4700:4700::1111]/",
        "https://[2606:4700:4700::1111].example.com/",
        "https://[2606:4700:4700::1111]x:443/",
        "https://[2606:4700:4700::1111/",
        "https://2606:4700:4700::1111]/",
        "https://2606:4700:4700::1111/",
        "https://[8.8.8.8]/",
        "https://[v1.example]/",
        "https://[::ffff:127.0.0.1%251]/",
        "https://example.com:443:8443/",
        "https://example.com:+443/",
        "https://example.com:-1/",
        "https://example.com:4 43/",
        "https://example.com:1023/",
        "https://example.com%2f@127.0.0.1/",
        "https://example.com%00.evil.example/",
        "https://example.com;@127.0.0.1/",
        "https://example.com,evil.example/",
        "https://127.0.0.1%2e/",
        "https://017700000001/",
        "https://0x7f000001./",
        "https://127.0.1/",
        "https://127.0.0.0x1/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://0x/",
        "https://example.0x7f/",
        "https://localhost..",
        "https://LOCALHOST./",
        "https://x.example-/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 127 + "example/",
        "wss://example.com/",
        "javascript://example.com/%0aalert(1)",
        "data:text/plain,x",
        "dict://127.0.0.1:11211/",
        "ldap://127.0.0.1/",
        "unix:///var/run/x",
        "https+http://example.com/",
        " https://example.com/",
        "https://example.com/\u2028",
        "https://example.com/\x7f",
        "https://example.com/\x00",
        "https://example。com/",
        "https://ⓛocalhost/",
        "https:\\\\example.com/",
        "https:/\\example.com/",
        "https://///example.com/",
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
