"""authsvc: authentication for the other services of a system, self-hosted, in one process and one SQLite file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from authsvc.app import App

__version__ = "0.1.0"


def create_app(settings: Mapping[str, Any] | None = None) -> App:
    """A WSGI application. `settings`: a dict by lower-case names, or None for the environment. See app.App."""
    from authsvc.app import create_app as create  # importing authsvc alone loads nothing

    return create(settings)
