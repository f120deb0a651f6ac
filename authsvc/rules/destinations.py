"""Where webhooks may go: the guard against requests that are forged to reach what is not public (SSRF).

A name says nothing: what counts is every address that it resolves to, and the one that is then called.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from authsvc.problems import Invalid

MAX_LENGTH = 2_048
HTTPS_PORT, HTTP_PORT, FIRST_FREE_PORT = 443, 80, 1_024

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PLAIN = re.compile(r"[!#$%&'()*+,./0-9:;=?@A-Z_a-z~\[\]-]+")
_NAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^@\[\]]+)(:[0-9]+)?")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)

# Our own table (IANA special-purpose registries of 2025), since Python's is_global misses some, in some versions.
NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
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
    )
)
# Of IPv6 only what is handed out is public, and of that not these. Teredo (2001::/32) and 6to4 (2002::/16) wrap IPv4
# addresses and are out of use.
PUBLIC_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how a host without IPv4 reaches one that has nothing else
ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: an IPv4 address as the interface of any network


class Destination(NamedTuple):
    """A URL's host and port, and whether it is spoken to in the clear."""

    host: str
    port: int
    clear: bool


def destination(url: str) -> Destination:
    """The parts of a URL that webhooks may be sent to, as far as its spelling tells; raises Invalid."""
    if len(url) > MAX_LENGTH:
        raise Invalid("too_long", f"At most {MAX_LENGTH} characters.")
    wrong = Invalid("invalid", "Use an https:// URL without credentials and fragment, in plain ASCII.")
    if not _PLAIN.fullmatch(url) or "#" in url:
        raise wrong
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    host = parts.hostname or ""
    if (
        parts.scheme not in ("https", "http")
        or not url.startswith(f"{parts.scheme}://")
        or not _NETLOC.fullmatch(parts.netloc)
        or not _is_host(host)
    ):
        raise wrong
    clear = parts.scheme == "http"
    port = port if port is not None else HTTP_PORT if clear else HTTPS_PORT
    if port < FIRST_FREE_PORT and port != HTTPS_PORT and not (clear and port == HTTP_PORT):
        raise Invalid("not_allowed", "Use port 443, or one from 1024 on.")
    return Destination(host, port, clear)


def is_allowed(address: str, clear: bool, networks: Collection[Network]) -> bool:
    """Whether a webhook may call this address: a public one, and not in the clear; or one of the listed networks."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(found in network for network in networks if network.version == found.version):
        return True
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is not None and any(mapped in network for network in networks if network.version == mapped.version):
        return True
    return not clear and is_public(found)


def is_public(address: Address) -> bool:
    """Whether anybody on the Internet can be meant by it, also by the address that is wrapped in it."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC)
    number = int(address)
    if address.ipv4_mapped is not None or address in NAT64:
        return is_public(IPv4Address(number & 0xFFFFFFFF))
    if number >> 32 & 0xFFFFFFFF in ISATAP:
        return False
    return address in PUBLIC_V6 and not any(address in network for network in NOT_PUBLIC_V6)


def _is_host(host: str) -> bool:
    """A name or an address in its usual spelling. `127.1`, `0x7f000001` and `2130706433` are neither."""
    if "%" in host:  # a zone of this machine's own
        return False
    try:
        ip_address(host)
    except ValueError:
        return bool(_NAME.fullmatch(host)) and not _NUMBER.fullmatch(host.rpartition(".")[2])
    return True
