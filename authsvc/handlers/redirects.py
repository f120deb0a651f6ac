"""The `redirect_to` of pages and links: where the browser goes after a sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.flows.core import Core
from authsvc.http.shapes import Field, Shape, raw_text
from authsvc.problems import invalid
from authsvc.rules.redirects import MAX_LENGTH, is_allowed

REDIRECT = Shape({"redirect_to": Field(lambda value: raw_text(value, most=MAX_LENGTH))})


def checked(core: Core, values: Mapping[str, Any]) -> str | None:
    """The target, if one was given; one that is not listed is refused at once, never quietly replaced."""
    target: str | None = values.get("redirect_to")
    settings = core.settings
    if target is not None and not is_allowed(target, {*settings.app_origins, settings.public_url.origin}):
        raise invalid("redirect_to", "not_allowed", "This is no URL of an origin in AUTHSVC_APP_ORIGINS.")
    return target
