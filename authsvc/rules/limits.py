"""Who shares a bucket: the key of each named limit, from what was sent and not from what exists."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from authsvc.primitives import emails
from authsvc.problems import Invalid

IPV4_PREFIX = 24
IPV6_PREFIX = 64
IN_MEMORY = frozenset({"refresh", "read", "admin"})  # too cheap to ask the store; counted per process
FORWARDED = "admin"  # what a request made for an end user costs the API key, whatever else it is charged to
# The state of an account's own bucket would tell a stranger that somebody else is trying it; that of everybody's, how busy
# the service is; and that of a device is nobody's business.
HIDDEN_KEYS = frozenset({"account", "everyone", "device"})


class Facts(NamedTuple):
    """What is known of a request before its handler runs. `address` is a folded e-mail key; `device` names a device or a
    session that the account is known by; `forwarder` is the API key that made the request for an end user."""

    ip: str
    address: str | None = None
    session: str | None = None
    device: str | None = None
    forwarder: str | None = None


def key(keyed_by: str, facts: Facts) -> str:
    """The text that all requests of one bucket share."""
    match keyed_by:
        case "everyone":
            return "all"
        case "network":
            return network(facts.ip)
        case "address+network" | "device, or address+network":
            device = facts.device if "device" in keyed_by else None
            return device or f"{facts.address or ''} {network(facts.ip)}"
        case "address" | "account" | "number" | "number range":
            # Without an address (a malformed body) only the sender's own network is slowed down. Numbers are known to
            # flows/texts.py, which charges these itself.
            return facts.address or network(facts.ip)
        case "session" | "caller" | "device":
            return (facts.device if keyed_by == "device" else facts.session) or network(facts.ip)
    raise LookupError(keyed_by)


def key_of_text(keyed_by: str, text: str) -> str:
    """The same, from what an operator writes: an e-mail address, an address or network, both, or the id itself. Raises Invalid."""
    if "network" not in keyed_by:
        return emails.parse(text).key if "@" in text else text
    email, _, place = text.strip().rpartition(" ")
    found = network(place.partition("/")[0])
    if "address+network" not in keyed_by:
        email, found = "", network(text.strip().partition("/")[0])
    elif "@" not in email and "device" in keyed_by:
        return text.strip()
    elif "@" not in email:
        raise Invalid("invalid", "This limit is keyed by two things: write 'EMAIL NETWORK', such as 'ann@example.com 192.0.2.7'.")
    if found == "unknown":
        raise Invalid("invalid", "This limit is keyed by a network: write an address, such as 192.0.2.7 or 2001:db8::1.")
    return f"{emails.parse(email).key} {found}" if email else found


@lru_cache(maxsize=4096)
def network(ip: str) -> str:
    """The /24 or /64 that an address belongs to; an IPv4 address in IPv6 clothes is an IPv4 address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "unknown"
    address = getattr(address, "ipv4_mapped", None) or address
    prefix = IPV4_PREFIX if isinstance(address, IPv4Address) else IPV6_PREFIX
    spare = address.max_prefixlen - prefix
    return f"{type(address)(int(address) >> spare << spare)}/{prefix}"
