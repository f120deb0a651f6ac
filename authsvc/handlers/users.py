"""/user and /user/:user_id, and DELETE /user/:user_id/factors for an administrator."""

from __future__ import annotations

from authsvc.flows import enrolment, profile, users
from authsvc.flows.core import Core
from authsvc.flows.users import Account
from authsvc.handlers import fields
from authsvc.http.negotiation import language
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, nullable
from authsvc.rules.access import caps_of

SENSITIVE = {
    "email": Field(fields.email, sensitive=True, limits=("mail_network",)),
    "phone_number": Field(nullable(fields.phone_number), sensitive=True),
}
PROFILE = Shape(fields.PROFILE | SENSITIVE, reserved=fields.NOT_THEIRS, partial=True)


def me(core: Core, request: Request) -> Response:
    caller = request.caller
    return answer(users.public(caller.user, caller.roles, caller.caps), headers=[("ETag", users.etag(caller.user))])


def get(core: Core, request: Request) -> Response:
    return _answer(users.find(core, request.params["user_id"]))


def put(core: Core, request: Request) -> Response:
    user_id, if_match, locale = request.params["user_id"], request.header("IF_MATCH"), language(request.environ)
    return _answer(profile.change(core, user_id, request.body, request.cause, if_match=if_match, locale=locale))


def _answer(account: Account) -> Response:
    body = users.public(account.user, account.all_roles, caps_of(account.roles))
    return answer(body, headers=[("ETag", users.etag(account.user))])


def reset_factors(core: Core, request: Request) -> Response:
    """For somebody who lost theirs."""
    account = users.find(core, request.params["user_id"])
    return answer({"removed": enrolment.reset(core, account.user, request.cause)})
