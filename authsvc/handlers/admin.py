"""/users and POST /user: accounts looked for, and made for others."""

from __future__ import annotations

from typing import Any

from authsvc.flows import directory, registration, users
from authsvc.flows.core import Core
from authsvc.flows.registration import Wishes
from authsvc.flows.users import NewUser
from authsvc.handlers import fields
from authsvc.handlers.listings import LONGEST_CURSOR, WRONG, limit, opened, sealed
from authsvc.handlers.users import shown
from authsvc.http.negotiation import language
from authsvc.http.parsers import parser
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, flag, nested, raw_text, text
from authsvc.primitives.ids import USER, is_id
from authsvc.problems import invalid
from authsvc.store.directory import Place
from authsvc.store.users import ACTIVE


@parser(type="string", maxLength=LONGEST_CURSOR, description=WRONG)
def _place(value: Any) -> Place:
    return Place._make(opened(raw_text(value, most=LONGEST_CURSOR), len(Place._fields)))


_OPTIONS = Shape({name: Field(fields.MAILS[name], default=False) for name in ("sendEmail", "sendResetEmail", "verifyEmail")})
CREATE = Shape(
    {
        "email": Field(fields.email, required=True),
        "password": Field(fields.password),
        "name": Field(fields.name),
        "picture": Field(fields.picture),
        "phone_number": Field(fields.phone_number),
        "locale": Field(fields.locale),
        "metadata": Field(fields.metadata),
        "roles": Field(fields.roles, default=[], sensitive=True),
        "app_metadata": Field(fields.metadata),
        "email_verified": Field(flag, default=False),
        "status": Field(fields.status, default=ACTIVE),
        "send_invite": Field(fields.MAILS["sendResetEmail"], default=False),
        "options": Field(nested(_OPTIONS), default=_OPTIONS.parse({})),
    },
    reserved=fields.NOT_THEIRS - fields.ADMINISTERED.keys(),
)
SEARCH = Shape(
    {
        "q": Field(text(most=200).about("What the name or the address begins with.", example="ann")),
        "role": Field(fields.role),
        "status": Field(fields.status),
        "created_after": Field(fields.moment),
        "limit": limit,
        "cursor": Field(_place),
    }
)


def create(core: Core, request: Request) -> Response:
    body, authority = request.body, request.caller.authority
    invites = body["send_invite"] or body["options"]["sendResetEmail"]
    if invites and body["password"] is not None:
        raise invalid("send_invite", "not_allowed", "An invite lets its reader choose the password: leave one of the two out.")
    new = NewUser(
        email=body["email"],
        name=body["name"],
        phone_number=body["phone_number"],
        locale=body["locale"],
        metadata=body["metadata"],
        roles=body["roles"],
        picture=body["picture"],
        app_metadata=body["app_metadata"],
        verified=body["email_verified"],
        status=body["status"],
    )
    wishes = Wishes(welcome=body["options"]["sendEmail"], verify=body["options"]["verifyEmail"], set_password=invites)
    locale = language(request.environ)
    account, password = registration.create(core, new, body["password"], request.cause, authority, wishes=wishes, locale=locale)
    return shown(account, 201, **({} if password is None else {"password": password}))


def search(core: Core, request: Request) -> Response:
    query, place = request.query, request.query["cursor"]
    wanted = directory.wanted(query["q"], query["role"], query["status"], query["created_after"])
    if place is not None and (place.way not in wanted.ways or not (place.id in ("", wanted.start.id) or is_id(place.id, USER))):
        raise invalid("cursor", "invalid", WRONG)
    found, behind = directory.page(core, wanted, place, query["limit"])
    items = [users.public(account.user, account.all_roles, account.caps) for account in found]
    return answer({"items": items, "next_cursor": sealed(behind) if behind else None})
