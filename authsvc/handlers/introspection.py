"""/token/introspect: for services that want to know what a credential is worth now."""

from __future__ import annotations

from authsvc.flows import introspection
from authsvc.flows.core import Core
from authsvc.http.body import MAX_BYTES
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, raw

INTROSPECT = Shape(
    {
        "token": Field(raw(most=MAX_BYTES).about("An access token, a refresh token or an API key.", example="eyJ…"), required=True),
        "token_type_hint": Field(raw(most=100)),  # RFC 7662; a token shows its kind itself
    },
    lenient=True,
)


def introspect(core: Core, request: Request) -> Response:
    return answer(introspection.introspect(core, request.body["token"]))
