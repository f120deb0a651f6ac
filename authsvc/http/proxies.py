"""The client's address: the peer's, or what declared proxies say in X-Forwarded-For. Other such headers are ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from authsvc.problems import ambiguous

Networks = tuple[IPv4Network | IPv6Network, ...]

MAX_HOPS = 32
UNIX_PEER = "127.0.0.1"  # hosts give no address for a Unix socket: its other end is this machine

_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?")


def client(environ: Mapping[str, Any], trusted: Networks) -> str:
    """The nearest address that is not a declared proxy's, walking the header from our end."""
    peer = _address(environ.get("REMOTE_ADDR") or UNIX_PEER) or UNIX_PEER
    forwarded = environ.get("HTTP_X_FORWARDED_FOR")
    if not trusted or not forwarded:
        return peer
    nearest = peer
    for hop in reversed(forwarded.split(",")[-MAX_HOPS:]):
        if not _within(nearest, trusted):
            break
        address = _address(hop.strip())
        if address is None:  # nonsense: whoever added it is as far as we can see
            break
        nearest = address
    return nearest


def end_user(text: str) -> str:
    """The address that a service gives for its end user: one, and nothing beside it. Raises a Problem."""
    try:
        address = ip_address(text.strip() if "%" not in text else "")
    except ValueError:
        raise ambiguous("End-User-Address takes one IP address, such as 203.0.113.7 or 2001:db8::7.") from None
    return str(getattr(address, "ipv4_mapped", None) or address)


@lru_cache(maxsize=4096)
def _address(text: str) -> str | None:
    """The canonical spelling of an address, with or without a port or brackets; IPv4 in IPv6 becomes IPv4."""
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address((match[1] or match[2]) if match else text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


@lru_cache(maxsize=4096)
def _within(text: str, networks: Networks) -> bool:
    address = ip_address(text)
    return any(address in network for network in networks if network.version == address.version)
