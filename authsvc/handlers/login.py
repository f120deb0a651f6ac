"""/register, /login, /reauthenticate, /password/change."""

from __future__ import annotations

from authsvc.flows import login
from authsvc.flows.core import Core
from authsvc.flows.users import NewUser
from authsvc.handlers import fields
from authsvc.handlers.answers import token_response
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.http.shapes import Field, Shape, flag, nested


def _options(*, set_cookie: bool) -> Field:
    shape = Shape({"setCookie": Field(flag, default=set_cookie)})
    return Field(nested(shape), default=shape.parse({}))


REGISTER = Shape(
    {
        "email": Field(fields.email, required=True),
        "password": Field(fields.password),
        "name": Field(fields.name),
        "phone_number": Field(fields.phone_number),
        "locale": Field(fields.locale),
        "metadata": Field(fields.metadata),
        "options": _options(set_cookie=False),
    },
    reserved=fields.NOT_THEIRS,
)
LOGIN = Shape(
    {
        "email": Field(fields.email, required=True),
        "password": Field(fields.password, required=True),
        "options": _options(set_cookie=True),
    }
)
REAUTHENTICATE = Shape({"password": Field(fields.password, required=True)})
CHANGE_PASSWORD = Shape({"current_password": Field(fields.password), "new_password": Field(fields.password, required=True)})


def register(core: Core, request: Request) -> Response:
    body = request.body
    new = NewUser(body["email"], body["name"], body["phone_number"], body["locale"], body["metadata"])
    made = login.register(core, new, body["password"], request.cause)
    cookies = body["options"]["setCookie"]
    return token_response(core, made.tokens, cookies=cookies, status=201, warnings=made.warnings, password=made.password)


def by_password(core: Core, request: Request) -> Response:
    tokens = login.by_password(core, request.body["email"], request.body["password"], request.cause)
    return token_response(core, tokens, cookies=request.body["options"]["setCookie"])


def reauthenticate(core: Core, request: Request) -> Response:
    caller = request.caller
    tokens = login.reauthenticate(core, caller.user, caller.session.id, request.body["password"], request.cause)
    return token_response(core, tokens, cookies=request.by_cookie)


def change_password(core: Core, request: Request) -> Response:
    caller, body = request.caller, request.body
    tokens, warnings = login.change_password(
        core, caller.user, caller.session.id, body["current_password"], body["new_password"], request.cause
    )
    return token_response(core, tokens, cookies=request.by_cookie, warnings=warnings)
