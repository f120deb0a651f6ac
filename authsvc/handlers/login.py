"""/register, /login, /reauthenticate, /password/change."""

from __future__ import annotations

from authsvc.flows import challenges, login, registration, second_step, signup
from authsvc.flows.core import Core
from authsvc.flows.registration import Wishes
from authsvc.flows.signin import Wanted
from authsvc.flows.users import NewUser
from authsvc.handlers import fields
from authsvc.handlers.answers import token_response
from authsvc.handlers.redirects import checked
from authsvc.http.negotiation import language
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, nested, raw
from authsvc.problems import invalid


def _options(*mails: str, set_cookie: bool) -> Field:
    shape = Shape(
        {"setCookie": Field(fields.set_cookie, default=set_cookie)} | {name: Field(fields.MAILS[name], default=False) for name in mails}
    )
    return Field(nested(shape), default=shape.parse({}))


INVITED = Field(raw(most=100).about("The token of an invite's link.", example="…"))
REGISTER = Shape(
    {
        "email": Field(fields.email, required=True),
        "password": Field(fields.password),
        "name": Field(fields.name),
        "phone_number": Field(fields.phone_number),
        "locale": Field(fields.locale),
        "metadata": Field(fields.metadata),
        "invite": INVITED,
        "options": _options("sendEmail", "sendResetEmail", "sendSms", "verifyEmail", set_cookie=False),
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
REAUTHENTICATE = Shape(
    {
        "password": Field(fields.password),
        "factor_id": Field(fields.factor_id),
        "code": Field(fields.code),
    }
)
CHANGE_PASSWORD = Shape({"current_password": Field(fields.password), "new_password": Field(fields.password, required=True)})


def register(core: Core, request: Request) -> Response:
    body, options = request.body, request.body["options"]
    redirect_to = checked(core, request.query)
    new = NewUser(body["email"], body["name"], body["phone_number"], body["locale"], body["metadata"])
    wishes = Wishes(options["sendEmail"], options["verifyEmail"], options["sendResetEmail"], options["sendSms"])
    invite = signup.invited(core, body["invite"], body["email"]) if body["invite"] is not None else None
    made = registration.register(core, new, body["password"], wishes, request.cause, locale=language(request.environ), invite=invite)
    if made is None:
        return answer({"status": "verification_sent"}, 202)
    sent = made.sent.challenge.id if made.sent else None
    redirect_to = redirect_to or (challenges.data_of(invite)["redirect_to"] if invite else None)
    more = {"password": made.password, "redirect_to": redirect_to, "challenge_id": sent}
    return token_response(core, made.tokens, cookies=options["setCookie"], status=201, warnings=made.warnings, **more)


def by_password(core: Core, request: Request) -> Response:
    redirect_to = checked(core, request.query)
    device = request.cookie(core.cookies.device.name)
    wanted = Wanted(request.body["options"]["setCookie"], redirect_to)
    email, password = request.body["email"], request.body["password"]
    tokens = login.by_password(core, email, password, request.cause, wanted, device=device, tried=request.charged)
    return token_response(core, tokens, cookies=wanted.set_cookie, redirect_to=redirect_to)


def reauthenticate(core: Core, request: Request) -> Response:
    caller, body = request.caller, request.body
    by_factor = body["factor_id"] is not None and body["code"] is not None
    if by_factor is (body["password"] is not None):
        raise invalid("password", "required", "Give the password, or `factor_id` and `code`.")
    if by_factor:
        tokens = second_step.reauthenticate(
            core, caller.user, caller.session.id, body["factor_id"], body["code"], request.cause, request.charged
        )
    else:
        tokens = login.reauthenticate(core, caller.user, caller.session.id, body["password"], request.cause, request.charged)
    return token_response(core, tokens, cookies=request.by_cookie)


def change_password(core: Core, request: Request) -> Response:
    caller, body = request.caller, request.body
    tokens, warnings = login.change_password(
        core, caller.user, caller.session.id, body["current_password"], body["new_password"], request.cause, request.charged
    )
    return token_response(core, tokens, cookies=request.by_cookie, warnings=warnings)
