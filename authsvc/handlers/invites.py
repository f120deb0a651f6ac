"""/invites: links to mailboxes whose holders may sign up."""

from __future__ import annotations

from typing import Any

from authsvc.flows import challenges, invites
from authsvc.flows.core import Core
from authsvc.flows.invites import Invitation
from authsvc.flows.users import timestamp
from authsvc.handlers import fields, listings
from authsvc.handlers.redirects import REDIRECT, checked
from authsvc.http.negotiation import language
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, nothing
from authsvc.http.shapes import Field, Shape
from authsvc.primitives.ids import CHALLENGE
from authsvc.store.challenges import Challenge

INVITE = Shape(
    {
        "email": Field(fields.email, required=True),
        "name": Field(fields.name),
        "roles": Field(fields.roles, default=[], sensitive=True),
        **REDIRECT.fields,
    }
)
PAGE = listings.by_id(CHALLENGE)


def invite(core: Core, request: Request) -> Response:
    body = request.body
    invitation = Invitation(body["email"], body["name"], body["roles"], checked(core, body))
    made = invites.invite(core, invitation, request.cause, request.caller.authority, locale=language(request.environ))
    return answer(_public(made), 201)


def page(core: Core, request: Request) -> Response:
    most = request.query["limit"]
    found = invites.page(core, before=request.query["cursor"], limit=most + 1)
    return listings.page(found, most, _public)


def revoke(core: Core, request: Request) -> Response:
    invites.revoke(core, request.params["invite_id"], request.cause, request.caller.authority)
    return nothing()


def _public(made: Challenge) -> dict[str, Any]:
    noted = challenges.data_of(made)
    return {
        "id": made.id,
        "email": made.target,
        "name": noted["name"],
        "roles": noted["roles"],
        "invited_by": noted["by"],
        "created_at": timestamp(made.created_at),
        "expires_at": timestamp(made.expires_at),
    }
