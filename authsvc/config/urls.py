"""URLs of other services as the operator writes them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from authsvc.config.mail import is_loopback


def provider_url(value: str) -> str:
    """An absolute https URL, kept as it is written: an issuer is compared byte for byte."""
    text = value.strip()
    wrong = ValueError("use an absolute https:// URL (http:// only on this machine)")
    if not text:
        return ""
    if not (text.isascii() and text.isprintable()) or re.search(r"[\s\\#]", text):
        raise wrong
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for one that is no number
    except ValueError:
        raise wrong from None
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.scheme == "https" or plain) or not parts.hostname or "@" in parts.netloc:
        raise wrong
    return text
