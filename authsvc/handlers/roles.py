"""/roles: names for sets of caps."""

from __future__ import annotations

from typing import Any

from authsvc.flows import roles
from authsvc.flows.core import Core
from authsvc.flows.roles import Shown
from authsvc.flows.users import timestamp
from authsvc.handlers import fields
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, nothing
from authsvc.http.shapes import Field, Shape, text
from authsvc.problems import Invalid, invalid

PUT = Shape(
    {"description": Field(text(most=200, least=0).about(example="May read what was billed")), "caps": Field(fields.caps, required=True)}
)


def listing(core: Core, request: Request) -> Response:
    return answer({"items": [_public(role) for role in roles.every(core)], "next_cursor": None})


def put(core: Core, request: Request) -> Response:
    try:
        name = fields.role(request.params["name"])
    except Invalid as error:
        raise invalid("name", error.code, error.detail) from None
    body = request.body
    role, is_new = roles.put(core, name, body["description"], body["caps"], request.cause, request.caller.authority)
    return answer(_public(role), 201 if is_new else 200)


def remove(core: Core, request: Request) -> Response:
    roles.remove(core, request.params["name"], request.cause, request.caller.authority)
    return nothing()


def _public(role: Shown) -> dict[str, Any]:
    return {
        "name": role.name,
        "description": role.description,
        "caps": list(role.caps),
        "built_in": role.built_in,
        "created_at": timestamp(role.created_at),
        "updated_at": timestamp(role.updated_at),
    }
