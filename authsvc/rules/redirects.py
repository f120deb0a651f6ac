"""Where a browser may be sent after a sign-in: to the listed apps and to ourselves, checked when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from authsvc.config.parse import DEFAULT_PORTS

MAX_LENGTH = 2_048

# What browsers read in their own way (backslashes, white space, controls, anything not ASCII) is in no URL of ours.
_PLAIN = re.compile(r"[!#$%&'()*+,./0-9:;=?@A-Z_a-z~\[\]-]+")
_HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")


def is_allowed(target: str, origins: Collection[str]) -> bool:
    """Whether it is an absolute http(s) URL of one of these origins, without credentials."""
    if len(target) > MAX_LENGTH or not _PLAIN.fullmatch(target):
        return False
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in DEFAULT_PORTS or not target.startswith(f"{parts.scheme}://{parts.netloc}") or "@" in parts.netloc:
        return False
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if not _HOST.fullmatch(host):
        return False
    suffix = "" if port is None or port == DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{suffix}" in origins
