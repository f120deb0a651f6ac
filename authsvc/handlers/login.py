"""/register, /login, /reauthenticate, /password/change."""

from __future__ import annotations

from authsvc.flows import login, registration
from authsvc.flows.core import Core
from authsvc.flows.registration import Wishes
from authsvc.flows.users import NewUser
from authsvc.handlers import fields
from authsvc.handlers.answers import token_response
from authsvc.handlers.redirects import checked
from authsvc.http.negotiation import language
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, flag, nested


def _options(*mails: str, set_cookie: bool) -> Field:
    shape = Shape({"setCookie": Field(flag, default=set_cookie)} | {name: Field(flag, default=False) for name in mails})
    return Field(nested(shape), default=shape.parse({}))


REGISTER = Shape(
    {
        "email": Field(fields.email, required=True),
        "password": Field(fields.password),
        "name": Field(fields.name),
        "phone_number": Field(fields.phone_number),
        "locale": Field(fields.locale),
        "metadata": Field(fields.metadata),
        "options": _options("sendEmail", "sendResetEmail", "verifyEmail", set_cookie=False),
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
    body, options = request.body, request.body["options"]
    redirect_to = checked(core, request.query)
    new = NewUser(body["email"], body["name"], body["phone_number"], body["locale"], body["metadata"])
    wishes = Wishes(welcome=options["sendEmail"], verify=options["verifyEmail"], set_password=options["sendResetEmail"])
    made = registration.register(core, new, body["password"], wishes, request.cause, locale=language(request.environ))
    if made is None:
        return answer({"status": "verification_sent"}, 202)
    more = {"password": made.password, "redirect_to": redirect_to}
    return token_response(core, made.tokens, cookies=options["setCookie"], status=201, warnings=made.warnings, **more)


def by_password(core: Core, request: Request) -> Response:
    redirect_to = checked(core, request.query)
    device = request.cookie(core.cookies.device.name)
    tokens = login.by_password(core, request.body["email"], request.body["password"], request.cause, device=device)
    return token_response(core, tokens, cookies=request.body["options"]["setCookie"], redirect_to=redirect_to)


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
