"""/login/magic, /login/magic/:token and /otp/verify: signing in by a mailed link, or by the code beside it."""

from __future__ import annotations

from authsvc.flows import challenges, magic
from authsvc.flows.core import Core
from authsvc.handlers import addresses, fields
from authsvc.handlers.answers import challenge_sent, token_response
from authsvc.handlers.redirects import checked
from authsvc.http.negotiation import language, only_looks, wants_json_only, wants_page
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.http.shapes import Field, Shape, flag, nested, raw_text
from authsvc.pages import views
from authsvc.primitives.emails import half_masked
from authsvc.primitives.ids import CHALLENGE, is_id
from authsvc.problems import Problem
from authsvc.rules.challenges import CHANGE, MAGIC, VERIFY
from authsvc.rules.redirects import MAX_LENGTH
from authsvc.store.challenges import Challenge

_OPTIONS = Shape({"setCookie": Field(flag, default=True), "createUser": Field(flag, default=True)})
MAGIC_ASK = Shape(
    {
        "email": Field(fields.email, required=True),
        "redirect_to": Field(lambda value: raw_text(value, most=MAX_LENGTH)),
        "options": Field(nested(_OPTIONS), default=_OPTIONS.parse({})),
    }
)
CODE = Shape(
    {
        "challenge_id": Field(lambda value: raw_text(value, most=100), required=True),
        "code": Field(lambda value: raw_text(value, most=20), required=True),
    }
)


def ask(core: Core, request: Request) -> Response:
    body, options = request.body, request.body["options"]
    challenge = magic.ask(
        core,
        body["email"],
        request.cause,
        locale=language(request.environ),
        redirect_to=checked(core, body),
        create_user=options["createUser"],
        set_cookie=options["setCookie"],
    )
    cookie = core.cookies.magic.set(challenges.binding(core, challenge), MAGIC.seconds)
    return challenge_sent(core, challenge, [cookie])


def look(core: Core, request: Request) -> Response:
    """A program that says so, and the browser that asked, sign in at once; all others (mail scanners!) get the button."""
    challenge = challenges.find(core, request.params["token"], MAGIC)
    bound = wants_page(request.environ) and challenges.is_bound(core, challenge, request.cookie(core.cookies.magic.name))
    if (bound or wants_json_only(request.environ)) and not only_looks(request.environ):
        return _use(core, request, challenge)
    words = f"Press the button to sign in as {half_masked(challenge.target)} on this device."
    return views.confirm(core, "Sign in", words, "Sign in", "If you did not ask for this link, close the page; nothing happens.")


def use(core: Core, request: Request) -> Response:
    return _use(core, request, challenges.find(core, request.params["token"], MAGIC))


def by_code(core: Core, request: Request) -> Response:
    challenge_id = request.body["challenge_id"]
    if not is_id(challenge_id, CHALLENGE):
        raise Problem("code_invalid")
    challenge = challenges.check_code(core, challenge_id, request.body["code"], request.cause)
    by_purpose = {VERIFY.purpose: addresses.by_code, CHANGE.purpose: addresses.by_code, MAGIC.purpose: _use}
    try:
        return by_purpose[challenge.purpose](core, request, challenge)
    except Problem as problem:
        if problem.code != "link_invalid":
            raise
        raise Problem("code_expired") from None  # the link, or the same code, was faster


def _use(core: Core, request: Request, challenge: Challenge) -> Response:
    noted = challenges.data_of(challenge)
    tokens = magic.use(core, challenge, request.cause)
    cookies = noted["set_cookie"] or wants_page(request.environ)
    return token_response(core, tokens, cookies=cookies, redirect_to=noted["redirect_to"])
