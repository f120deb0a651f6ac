"""The `redirect_to` of pages and links: where the browser goes after a sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.flows.core import Core
from authsvc.http.shapes import Field, Shape, raw
from authsvc.problems import invalid
from authsvc.rules.redirects import MAX_LENGTH, is_allowed

_target = raw(most=MAX_LENGTH).about(
    "Where the browser goes afterwards: a URL of an origin in AUTHSVC_APP_ORIGINS.", example="https://app.example.com/"
)
REDIRECT = Shape({"redirect_to": Field(_target)})


def checked(core: Core, values: Mapping[str, Any]) -> str | None:
    """The target, if one was given; one that is not listed is refused at once, never quietly replaced."""
    target: str | None = values.get("redirect_to")
    settings = core.settings
    if target is not None and not is_allowed(target, {*settings.app_origins, settings.public_url.origin}):
        raise invalid("redirect_to", "not_allowed", "This is no URL of an origin in AUTHSVC_APP_ORIGINS.")
    return target
