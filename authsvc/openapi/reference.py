"""The description of the API as handlers get it: made when it is first asked for and kept; until then not even loaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from authsvc.config.settings import Settings
from authsvc.flows.core import Core
from authsvc.http.cookies import Cookies
from authsvc.http.html import Safe
from authsvc.http.response import dumps
from authsvc.routes import Route


class Reference:
    """The document of a route table as these settings have it."""

    def __init__(self, routes: Sequence[Route], settings: Settings, cookies: Cookies) -> None:
        self._routes = [route.under(settings) for route in routes]
        self._settings = settings
        self._cookies = cookies
        self._page: Safe | None = None

    def document(self) -> bytes:
        """The OpenAPI document."""
        return self._encoded

    def page(self, core: Core) -> Safe:
        """The same, for people."""
        from authsvc.openapi import page

        if self._page is None:
            self._page = page.page(core, self.value)
        return self._page

    @cached_property
    def value(self) -> dict[str, Any]:
        from authsvc.openapi.document import document

        url = str(self._settings.public_url)
        return document(self._routes, name=self._settings.name, public_url=url, cookies=self._cookies)

    @cached_property
    def _encoded(self) -> bytes:
        return dumps(self.value).encode()
