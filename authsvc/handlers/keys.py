"""/keys: API keys for services."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

from authsvc.flows import keys
from authsvc.flows.core import Core
from authsvc.flows.keys import NewKey
from authsvc.flows.users import timestamp
from authsvc.handlers import fields, listings
from authsvc.http.parsers import parser
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, nothing
from authsvc.http.shapes import Field, Shape, nullable, raw_text, several
from authsvc.primitives.ids import API_KEY
from authsvc.problems import Invalid, invalid
from authsvc.store.keys import ApiKey

MOST_NETWORKS = 50


@parser(type="string", maxLength=60, description="A network in CIDR notation.", examples=["10.0.0.0/8"])
def network(value: Any) -> str:
    try:
        found = ip_network(raw_text(value, most=60))
        if found.version == 6 and found.network_address.ipv4_mapped is not None:  # callers are known by their IPv4 address
            raise Invalid("invalid", "Write an IPv4 network as such.")
        return str(found)
    except ValueError:
        raise Invalid("invalid", "Use a CIDR network such as 10.0.0.0/8 or fd00::/8.") from None


NEW = Shape(
    {
        "name": Field(fields.name, required=True),
        "caps": Field(fields.caps, required=True),
        "expires_at": Field(nullable(fields.moment)),
        "networks": Field(several(network, most=MOST_NETWORKS), default=()),
    }
)
PAGE = listings.by_id(API_KEY)


def page(core: Core, request: Request) -> Response:
    limit = request.query["limit"]
    return listings.page(keys.page(core, before=request.query["cursor"], limit=limit + 1), limit, public)


def create(core: Core, request: Request) -> Response:
    """201, with the key: it is not shown again."""
    body = request.body
    if body["expires_at"] is not None and body["expires_at"] <= core.world.now():
        raise invalid("expires_at", "not_allowed", "This time is past.")
    new = NewKey(body["name"], body["caps"], body["expires_at"], body["networks"])
    row, key = keys.create(core, new, request.cause, request.caller.authority)
    return answer(public(row) | {"key": key}, 201)


def revoke(core: Core, request: Request) -> Response:
    keys.revoke(core, request.params["key_id"], request.cause, request.caller.authority)
    return nothing()


def public(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "caps": key.granted,
        "networks": json.loads(key.networks),
        "created_by": key.created_by,
        "created_at": timestamp(key.created_at),
        "expires_at": timestamp(key.expires_at),
        "revoked_at": timestamp(key.revoked_at),
        "last_used_at": timestamp(key.last_used_at),
    }
