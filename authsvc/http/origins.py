"""Which sites may call from a browser: CORS for the listed ones, refusal of forged requests from all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.problems import Problem

CROSS_SITE = frozenset({"cross-site", "same-site"})
EXPOSED = "ETag, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
ALLOWED_HEADERS = "Authorization, Content-Type, If-Match, X-Request-Id"
PREFLIGHT_SECONDS = 7_200  # Chromium's cap

Headers = list[tuple[str, str]]


class Origins:
    """Our own origin and those of the apps that we serve."""

    def __init__(self, own: str, apps: tuple[str, ...]) -> None:
        self._apps = frozenset(apps)
        self._trusted = self._apps | {own}

    def refuse_foreign(self, environ: Mapping[str, Any]) -> None:
        """Raise csrf_failed unless the request comes from a trusted site, or from something that is no browser."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None:
            foreign = origin not in self._trusted
        else:
            foreign = environ.get("HTTP_SEC_FETCH_SITE", "").strip().lower() in CROSS_SITE
        if foreign:
            raise Problem("csrf_failed")

    def headers(self, environ: Mapping[str, Any]) -> Headers:
        """The CORS headers of an answer: an exact match of a listed app, or nothing."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or origin not in self._apps:
            return []
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", EXPOSED),
        ]

    def preflight(self, environ: Mapping[str, Any], methods: str) -> Headers:
        """What an OPTIONS answer says beside that (Fetch standard, CORS-preflight)."""
        if not self.headers(environ) or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
            return []
        return [
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
            ("Access-Control-Max-Age", str(PREFLIGHT_SECONDS)),
        ]
