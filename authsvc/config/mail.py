"""Where mail goes and whom it is from: parsers of AUTHSVC_MAIL and AUTHSVC_MAIL_FROM."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SMTP_PORT = 587  # message submission, RFC 6409
SMTPS_PORT = 465  # RFC 8314 section 3.3
FORMS = "use smtp://user:password@host:587, smtps://user:password@host:465, file:FOLDER or console:"

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.\[\]:-]+")
_NAMED = re.compile(r"([^<>\r\n]*)<([^<>]*)>")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+")


@dataclass(frozen=True, slots=True)
class MailTarget:
    """One way to get rid of mail: a server (`smtp`, `smtps`), a folder (`file`) or the log (`console`).

    `tls` is `required` or `none`; `ca` is a file of certificates to trust instead of the machine's.
    """

    scheme: str
    host: str = ""
    port: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: str = "required"
    ca: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom mail is from. Without a name it is the service's."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


def parse_target(value: str) -> MailTarget:
    stripped = value.strip()
    scheme, colon, rest = stripped.partition(":")
    if not colon:
        raise ValueError(FORMS)
    if scheme == "console" and not rest:
        return MailTarget("console")
    if scheme == "file" and rest.strip("/") and "\0" not in rest:
        return MailTarget("file", folder=rest.removeprefix("//"))
    if scheme in ("smtp", "smtps"):
        return _server(stripped)
    raise ValueError(FORMS)


def parse_sender(value: str) -> Sender:
    """`no-reply@example.com` or `Example <no-reply@example.com>`; empty means that none is given."""
    stripped = value.strip()
    if not stripped:
        return Sender("", "")
    named = _NAMED.fullmatch(stripped)
    name, address = (named[1].strip(' "'), named[2].strip()) if named else ("", stripped)
    if not _ADDRESS.fullmatch(address) or not name.isprintable():
        raise ValueError("use no-reply@example.com or Example <no-reply@example.com>")
    return Sender(name, address)


def mail_domain(host: str) -> str:
    """A host as the domain of an address: a name, or the literal of a number (RFC 5321 section 4.1.3)."""
    try:
        number = ip_address(host)
    except ValueError:
        return host
    return f"[IPv6:{number}]" if number.version == 6 else f"[{number}]"


def _server(text: str) -> MailTarget:
    try:
        parts = urlsplit(text)
        port = parts.port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(FORMS) from None
    host, options = parts.hostname or "", dict(pairs)
    if not text.isprintable() or " " in text or port == 0 or len(options) < len(pairs):  # urlsplit drops line breaks in silence
        raise ValueError(FORMS)
    if not _HOST.fullmatch(host) or parts.path.strip("/") or parts.fragment or not options.keys() <= {"tls", "ca"}:
        raise ValueError(FORMS)
    tls = options.get("tls", "required")
    if tls not in ("required", "none") or (tls == "none" and parts.scheme == "smtps"):
        raise ValueError("the only value of tls is none, and only for smtp://")
    user, password = _credentials(parts)
    if tls == "none" and user is not None and not is_loopback(host):
        raise ValueError("a password needs TLS; without it only a server on this machine may be given one")
    default = SMTPS_PORT if parts.scheme == "smtps" else SMTP_PORT
    return MailTarget(parts.scheme, host, port or default, user, password, tls, options.get("ca", ""))


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    if not parts.username or not parts.password:
        raise ValueError("give user and password, percent-encoded, or neither")
    try:
        user, password = (unquote(part, errors="strict") for part in (parts.username, parts.password))
    except UnicodeDecodeError:
        raise ValueError("user and password must be UTF-8, percent-encoded") from None
    if not (user + password).isprintable():
        raise ValueError("user and password may not contain control characters")
    return user, password


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
