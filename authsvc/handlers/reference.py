"""/openapi.json and /docs: the API described, for programs and for people."""

from __future__ import annotations

from authsvc.flows.core import Core
from authsvc.handlers.answers import published
from authsvc.http.request import Request
from authsvc.http.response import JSON, Response
from authsvc.pages.site import respond


def document(core: Core, request: Request) -> Response:
    return published(request, Response(200, core.reference.document(), JSON))


def docs(core: Core, request: Request) -> Response:
    return respond(core, core.reference.page(core))
