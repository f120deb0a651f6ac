"""Where SMS goes: parsers of AUTHSVC_SMS and the settings beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from authsvc.config.mail import is_loopback
from authsvc.config.parse import items

FORMS = "use off, twilio://SID:TOKEN@api.twilio.com, the https:// URL of a gateway, file:FOLDER or console:"

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,6}")
PLACEHOLDERS = frozenset({"to", "text", "from"})


@dataclass(frozen=True, slots=True)
class SmsTarget:
    """One way to get rid of SMS: `off`, `twilio`, `gateway`, `file` or `console`. `url` is where it is posted."""

    scheme: str
    url: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    folder: str = ""


def parse_sms(value: str) -> SmsTarget:
    stripped = value.strip()
    scheme, _, rest = stripped.partition(":")
    if stripped == "off":
        return SmsTarget("off")
    if scheme == "console" and not rest:
        return SmsTarget("console")
    if scheme == "file" and rest.strip("/") and "\0" not in rest:
        return SmsTarget("file", folder=rest.removeprefix("//"))
    if scheme in ("twilio", "https", "http"):
        return _http(stripped)
    raise ValueError(FORMS)


def parse_countries(value: str) -> tuple[str, ...]:
    found = tuple(items(value))
    if not all(_PREFIX.fullmatch(item) for item in found):
        raise ValueError("use calling codes, or longer beginnings of numbers, such as +1,+49")
    return found


def parse_headers(value: str) -> tuple[tuple[str, str], ...]:
    """One JSON object of names and values."""
    if not value.strip():
        return ()
    try:
        headers = json.loads(value)
    except ValueError:
        headers = None
    plain = isinstance(headers, dict) and all(
        isinstance(v, str) and v.isascii() and v.isprintable() and _HEADER_NAME.fullmatch(k) for k, v in headers.items()
    )
    if not plain:
        raise ValueError('use one JSON object, such as {"Authorization": "Bearer …"}')
    return tuple(headers.items())


def parse_body(value: str) -> str:
    """JSON or a form, with {to}, {text} and {from} where they belong."""
    stripped = value.strip()
    if stripped.startswith("["):
        raise ValueError("use a JSON object or a form")
    if stripped.startswith("{"):
        try:
            json.loads(stripped)
        except ValueError:
            raise ValueError('use JSON with {to} and {text} within its texts, such as {"to": "{to}", "body": "{text}"}') from None
    named = set(re.findall(r"\{([a-z]+)\}", stripped))
    if not named <= PLACEHOLDERS or not {"to", "text"} <= named:
        raise ValueError("name {to} and {text}, and {from} if it is needed")
    return stripped


def _http(text: str) -> SmsTarget:
    if not (text.isascii() and text.isprintable()):
        raise ValueError(FORMS)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(FORMS) from None
    host = parts.hostname or ""
    loopback = is_loopback(host)
    if not host or parts.fragment or re.search(r"[\s\\]", text) or (parts.scheme == "http" and not loopback):
        raise ValueError(FORMS + "; http:// only on this machine")
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{port}" if port else ""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme != "twilio":
        query = f"?{parts.query}" if parts.query else ""
        return SmsTarget("gateway", f"{parts.scheme}://{netloc}{parts.path}{query}", user or None, password or None)
    if not re.fullmatch(r"[A-Za-z0-9]+", user) or not password:
        raise ValueError("give the account SID and the token: twilio://SID:TOKEN@api.twilio.com")
    scheme = "http" if loopback else "https"
    return SmsTarget("twilio", f"{scheme}://{netloc}/2010-04-01/Accounts/{user}/Messages.json", user, password)
