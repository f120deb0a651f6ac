"""/user and /user/:user_id: an account, read, changed, exported and deleted; DELETE /user/:user_id/factors for an administrator."""

from __future__ import annotations

from typing import Any

from authsvc.flows import enrolment, export, profile, removal, users
from authsvc.flows.authentication import KeyCaller
from authsvc.flows.core import Core
from authsvc.flows.users import Account
from authsvc.handlers import fields, keys
from authsvc.handlers.answers import cleared_cookies
from authsvc.http.negotiation import language
from authsvc.http.parsers import parser
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, nothing
from authsvc.http.shapes import Field, Shape, nullable, raw_text
from authsvc.problems import Invalid

SENSITIVE = {
    "email": Field(fields.email, sensitive=True, limits=("mail_network",)),
    "phone_number": Field(nullable(fields.phone_number), sensitive=True),
}
PROFILE = Shape(fields.PROFILE | SENSITIVE | fields.ADMINISTERED, reserved=fields.NOT_THEIRS - fields.ADMINISTERED.keys(), partial=True)
INCLUDED = ("factors", "identities")


@parser(type="string", maxLength=100, description="`factors`, `identities`, or both with a comma.", examples=["factors,identities"])
def _include(value: Any) -> list[str]:
    names = raw_text(value, most=100).split(",")
    if not set(names) <= set(INCLUDED):
        raise Invalid("not_allowed", f"Some of: {', '.join(INCLUDED)}.")
    return names


INCLUDE = Shape({"include": Field(_include, default=())})


def me(core: Core, request: Request) -> Response:
    caller = request.caller
    if isinstance(caller, KeyCaller):
        return answer(keys.public(caller.key))
    body = users.public(caller.user, caller.roles, caller.caps)
    if request.query["include"]:
        body |= export.include(core, caller.user.id, request.query["include"])
    return answer(body, headers=[("ETag", users.etag(caller.user))])


def get(core: Core, request: Request) -> Response:
    account = users.find(core, request.params["user_id"])
    return shown(account, **export.include(core, account.user.id, request.query["include"]))


def put(core: Core, request: Request) -> Response:
    user_id, if_match, locale = request.params["user_id"], request.header("IF_MATCH"), language(request.environ)
    authority = request.caller.authority
    return shown(profile.change(core, user_id, request.body, request.cause, authority, if_match=if_match, locale=locale))


def delete(core: Core, request: Request) -> Response:
    removal.delete(core, request.params["user_id"], request.cause, request.caller.authority)
    own = request.params["user_id"] == request.cause.actor_id
    return nothing(cleared_cookies(core) if own and request.by_cookie else None)


def export_all(core: Core, request: Request) -> Response:
    return answer(export.export(core, request.params["user_id"], request.cause, request.caller.authority))


def reset_factors(core: Core, request: Request) -> Response:
    """For somebody who lost theirs."""
    user = users.find_outranked(core, request.params["user_id"], request.cause, request.caller.authority)
    return answer({"removed": enrolment.reset(core, user, request.cause)})


def shown(account: Account, status: int = 200, **more: Any) -> Response:
    """The User object, and what stands beside its members."""
    body = users.public(account.user, account.all_roles, account.caps) | more
    return answer(body, status, [("ETag", users.etag(account.user))])
