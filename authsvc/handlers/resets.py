"""/password/forgot and /password/reset/:token."""

from __future__ import annotations

from authsvc.flows import challenges, resets
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.handlers import fields
from authsvc.handlers.answers import warned
from authsvc.http.negotiation import language
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape
from authsvc.primitives.emails import half_masked
from authsvc.rules.challenges import RESET, SET_PASSWORD

FORGOT = Shape({"email": Field(fields.email, required=True)})
RESET_BODY = Shape({"password": Field(fields.password, required=True)})


def forgot(core: Core, request: Request) -> Response:
    resets.ask(core, request.body["email"], request.cause, locale=language(request.environ))
    return answer({"status": "sent"}, 202)


def look(core: Core, request: Request) -> Response:
    challenge = challenges.find(core, request.params["token"], RESET, SET_PASSWORD)
    resets.usable(core, challenge)
    return answer({"valid": True, "email": half_masked(challenge.target), "expires_at": timestamp(challenge.expires_at)})


def reset(core: Core, request: Request) -> Response:
    challenge = challenges.find(core, request.params["token"], RESET, SET_PASSWORD)
    warnings = resets.reset(core, challenge, request.body["password"], request.cause)
    return answer({"status": "password_reset", **warned(warnings)})
