"""Parsers of setting texts: pure functions from str to a value; a ValueError says what would have been right."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

MIN_SECRET_BYTES = 32
MIN_SECRET_VARIETY = 8  # distinct bytes; "aaaa…" has one
MAX_NAME = 60  # characters of the service's name
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket: `burst` requests at once, refilled evenly over `seconds`. A burst of 0 means no limit."""

    burst: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.burst}/{self.seconds}s" if self.burst else "0"


@dataclass(frozen=True, slots=True)
class Url:
    """A base URL in one spelling: lower-case host, no default port, no trailing slash."""

    origin: str
    path: str
    scheme: str
    host: str

    def __str__(self) -> str:
        return self.origin + self.path

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Claim:
    """An extra claim of the access token, and the dotted field of the user that it is taken from."""

    name: str
    source: str

    def __str__(self) -> str:
        return f"{self.name}={self.source}"


def text(value: str) -> str:
    return value.strip()


def line(value: str) -> str:
    """One line of printable text; it stands in mail headers and on pages."""
    stripped = value.strip()
    if not stripped.isprintable() or not 0 < len(stripped) <= MAX_NAME:
        raise ValueError(f"use one line of at most {MAX_NAME} characters")
    return stripped


def path(value: str) -> str:
    stripped = value.strip()
    if not stripped or "\0" in stripped:
        raise ValueError("use the path of a file")
    return stripped


def flag(value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in ("yes", "true", "1", "on"):
        return True
    if lowered in ("no", "false", "0", "off", ""):
        return False
    raise ValueError("use yes or no")


def count(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,12}", value.strip(), re.ASCII) or not least <= int(value) <= most:
            raise ValueError(f"use a whole number from {least} to {most}")
        return int(value)

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.strip() not in allowed:
            raise ValueError(f"use one of: {', '.join(allowed)}")
        return value.strip()

    return parse


def items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+", re.ASCII)
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/*", re.ASCII)  # it becomes a cookie's Path


def url(value: str) -> Url:
    """An absolute http(s) URL without query, fragment or credentials."""
    wrong = ValueError("use an absolute URL such as https://auth.example.com or https://example.com/auth")
    if not value.isascii() or re.search(r"[\s\\]", value.strip()):
        raise wrong
    try:
        parts = urlsplit(value.strip())
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in DEFAULT_PORTS or parts.query or parts.fragment or "@" in parts.netloc:
        raise wrong
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or not _PATH.fullmatch(parts.path):
        raise wrong
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    suffix = "" if port is None or port == DEFAULT_PORTS[parts.scheme] else f":{port}"
    return Url(f"{parts.scheme}://{host}{suffix}", parts.path.rstrip("/"), parts.scheme, parts.hostname)


def prefix(value: str) -> str:
    """A URL that something is appended to."""
    return f"{url(value)}/"


def origins(value: str) -> tuple[str, ...]:
    found = []
    for item in items(value):
        parsed = url(item)
        if parsed.path:
            raise ValueError(f"{item}: an origin has no path")
        found.append(parsed.origin)
    return tuple(found)


def domains(value: str) -> tuple[str, ...]:
    """Domain names as they stand behind the @ of a folded address: in lower case and ASCII (RFC 5891)."""
    try:
        found = tuple(item.lower().encode("idna").decode("ascii") for item in items(value))
    except UnicodeError:
        found = ("",)
    if not all(_DOMAIN.fullmatch(item) for item in found):
        raise ValueError("use domain names such as example.com,example.org")
    return found


def networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(item) for item in items(value))
    except ValueError as error:
        raise ValueError(f"use CIDR networks such as 10.0.0.0/8 or fd00::/8 ({error})") from None


def secret(value: str) -> str:
    """A key of at least 32 bytes that is not one character repeated; empty means none is given."""
    stripped = value.strip()
    if stripped and (len(stripped.encode()) < MIN_SECRET_BYTES or len(set(stripped)) < MIN_SECRET_VARIETY):
        raise ValueError("use at least 32 random bytes, such as the output of: openssl rand -hex 32")
    return stripped


def secrets(value: str) -> tuple[str, ...]:
    return tuple(secret(item) for item in items(value))


def names(value: str) -> tuple[str, ...]:
    found = tuple(items(value.lower()))
    if not all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in found):
        raise ValueError("use names with commas between them")
    return found


def listen(value: str) -> Address:
    host, _, port = value.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65535:
        raise ValueError("use HOST:PORT, such as 127.0.0.1:8000 or [::]:8000")
    return Address(host, int(port))


def limit(value: str) -> Limit:
    stripped = value.strip()
    if stripped == "0":
        return Limit(0, 0)
    match = re.fullmatch(r"(\d{1,7})/(\d{1,7})s", stripped, re.ASCII)
    if not match or not int(match[1]) or not int(match[2]):
        raise ValueError("use BURST/SECONDSs, such as 10/60s, or 0 for no limit")
    return Limit(int(match[1]), int(match[2]))


RESERVED_CLAIMS = frozenset(
    {"iss", "aud", "sub", "iat", "exp", "nbf", "jti", "sid", "gen", "auth_time", "amr", "acr", "roles", "caps", "email"}
    | {"email_verified", "client_id", "scope", "cnf"}
)
CLAIM_SOURCE = re.compile(r"(id|email|phone_number|name|picture|locale|status|created_at|(app_)?metadata(\.\w+)+)")


def claims(value: str) -> tuple[Claim, ...]:
    found: list[Claim] = []
    for item in items(value):
        claim, _, source = item.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9_:/.-]+", claim) or not CLAIM_SOURCE.fullmatch(source):
            raise ValueError(f"{item}: use CLAIM=FIELD, such as org=app_metadata.org")
        if claim in RESERVED_CLAIMS:
            raise ValueError(f"{claim}: this claim is authsvc's own")
        if any(known.name == claim for known in found):
            raise ValueError(f"{claim}: this claim is named twice")
        found.append(Claim(claim, source))
    return tuple(found)
