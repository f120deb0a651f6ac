"""/login/magic and /login/magic/:token: signing in by a mailed link."""

from __future__ import annotations

from authsvc.flows import challenges, magic
from authsvc.flows.core import Core
from authsvc.handlers import fields
from authsvc.handlers.answers import challenge_sent, token_response
from authsvc.handlers.redirects import REDIRECT, checked
from authsvc.http.negotiation import language, only_looks, wants_json_only, wants_page
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.http.shapes import Field, Shape, nested
from authsvc.pages import views
from authsvc.primitives.emails import half_masked
from authsvc.rules.challenges import MAGIC
from authsvc.store.challenges import Challenge

_OPTIONS = Shape({"setCookie": Field(fields.set_cookie, default=True), "createUser": Field(fields.create_user, default=True)})
MAGIC_ASK = Shape(
    {
        "email": Field(fields.email, required=True),
        **REDIRECT.fields,
        "options": Field(nested(_OPTIONS), default=_OPTIONS.parse({})),
    }
)


def ask(core: Core, request: Request) -> Response:
    body, options = request.body, request.body["options"]
    wanted = magic.Request(language(request.environ), checked(core, body), options["createUser"], options["setCookie"])
    challenge = magic.ask(core, body["email"], wanted, request.cause)
    cookie = core.cookies.magic.set(challenges.binding(core, challenge), MAGIC.seconds)
    return challenge_sent(core, challenge, [cookie])


def look(core: Core, request: Request) -> Response:
    """A program that says so, and the browser that asked, sign in at once; all others (mail scanners!) get the button."""
    challenge = challenges.find(core, request.params["token"], MAGIC)
    bound = wants_page(request.environ) and challenges.is_bound(core, challenge, request.cookie(core.cookies.magic.name))
    if (bound or wants_json_only(request.environ)) and not only_looks(request.environ):
        return signed_in(core, request, challenge)
    words = f"Press the button to sign in as {half_masked(challenge.target)} on this device."
    return views.confirm(core, "Sign in", words, "Sign in", "If you did not ask for this link, close the page; nothing happens.")


def use(core: Core, request: Request) -> Response:
    return signed_in(core, request, challenges.find(core, request.params["token"], MAGIC))


def signed_in(core: Core, request: Request, challenge: Challenge) -> Response:
    noted = challenges.data_of(challenge)
    tokens = magic.use(core, challenge, request.cause)
    cookies = noted["set_cookie"] or wants_page(request.environ)
    return token_response(core, tokens, cookies=cookies, redirect_to=noted["redirect_to"])
