"""/token/introspect: for services that want to know what a credential is worth now."""

from __future__ import annotations

from authsvc.flows import introspection
from authsvc.flows.core import Core
from authsvc.http.body import MAX_BYTES
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, raw_text

INTROSPECT = Shape(
    {
        "token": Field(lambda value: raw_text(value, most=MAX_BYTES), required=True),
        "token_type_hint": Field(lambda value: raw_text(value, most=100)),  # RFC 7662; a token shows its kind itself
    }
)


def introspect(core: Core, request: Request) -> Response:
    return answer(introspection.introspect(core, request.body["token"]))
