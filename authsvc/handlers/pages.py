"""/login, /register, /password/forgot and /account as pages, and /assets/:name, what they are made of."""

from __future__ import annotations

from authsvc.flows import challenges
from authsvc.flows.core import Core
from authsvc.handlers.login import INVITED
from authsvc.handlers.redirects import REDIRECT, checked
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.http.shapes import Field, Shape, raw
from authsvc.pages import views
from authsvc.pages.site import asset
from authsvc.problems import Problem
from authsvc.rules.challenges import INVITE

REGISTER = Shape({**REDIRECT.fields, "invite": INVITED})
ACCOUNT = Shape({"done": Field(raw(most=20).about("What was done on the page before."))})


def login(core: Core, request: Request) -> Response:
    checked(core, request.query)
    return views.login(core, request)


def register(core: Core, request: Request) -> Response:
    checked(core, request.query)
    token = request.query["invite"]
    invite = challenges.find(core, token, INVITE) if token is not None else None
    return views.register(core, request, invited=invite.target if invite else None)


def forgot(core: Core, request: Request) -> Response:
    return views.forgot(core, request)


def account(core: Core, request: Request) -> Response:
    return views.account(core, request)


def file(core: Core, request: Request) -> Response:
    found = asset(core, request.params["name"])
    if found is None:
        raise Problem("not_found")
    return found
