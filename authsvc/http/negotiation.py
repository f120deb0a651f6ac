"""Who is asking: a browser that wants a page, a program that wants JSON, or something that only looks (RFC 9110 section 12)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

HTML = "text/html"
JSON = "application/json"

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
MAX_HEADER = 1_024  # of a header that is only a preference; what is longer says nothing
MAX_LANGUAGE = 35


def wants_page(environ: Mapping[str, Any]) -> bool:
    """Whether HTML is named and liked no less than JSON. `*/*` alone is no browser's."""
    accept = environ.get("HTTP_ACCEPT")
    return accept is not None and _prefers_page(accept[:MAX_HEADER])


def wants_json_only(environ: Mapping[str, Any]) -> bool:
    """Whether the request says `Accept: application/json` and nothing else: no browser's and no scanner's does."""
    return str(environ.get("HTTP_ACCEPT", "")).strip().lower() == JSON


def preferred(environ: Mapping[str, Any], *kinds: str) -> str | None:
    """Which of these is named and liked more than the others and no less than JSON; None: JSON it is."""
    ranked = _ranked(str(environ.get("HTTP_ACCEPT", ""))[:MAX_HEADER].lower())
    best = max(kinds, key=lambda kind: ranked.get(kind, 0.0))
    return best if ranked.get(best, 0.0) > 0 and ranked[best] >= ranked.get(JSON, 0.0) else None


def only_looks(environ: Mapping[str, Any]) -> bool:
    """Whether it is a HEAD, or a browser that loads ahead of a click that may never come."""
    purpose = f"{environ.get('HTTP_SEC_PURPOSE', '')} {environ.get('HTTP_PURPOSE', '')} {environ.get('HTTP_X_MOZ', '')}".lower()
    return environ["REQUEST_METHOD"] == "HEAD" or "prefetch" in purpose or "preview" in purpose


def language(environ: Mapping[str, Any]) -> str | None:
    """The language that the browser likes best, as a tag (RFC 5646)."""
    ranked = _ranked(environ.get("HTTP_ACCEPT_LANGUAGE", "")[:MAX_HEADER])
    best = max(ranked.items(), key=lambda item: item[1], default=("", 0.0))
    return best[0] if best[1] and len(best[0]) <= MAX_LANGUAGE and _LANGUAGE.fullmatch(best[0]) else None


@lru_cache(maxsize=256)
def _prefers_page(accept: str) -> bool:
    ranked = _ranked(accept.lower())
    return ranked.get(HTML, 0.0) > 0 and ranked.get(HTML, 0.0) >= ranked.get(JSON, 0.0)


def _ranked(header: str) -> dict[str, float]:
    """Each choice with its quality (RFC 9110 section 12.4.2); a malformed quality is none."""
    ranked: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.lower().startswith("q=")), "1")
        if name:
            ranked[name] = float(quality) if _QUALITY.fullmatch(quality) else 0.0
    return ranked
