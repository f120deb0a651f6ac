"""/email/verify, /email/verify/:token and /email/undo/:token."""

from __future__ import annotations

from authsvc.flows import addresses, challenges, users
from authsvc.flows.core import Core
from authsvc.flows.users import Account
from authsvc.handlers import fields
from authsvc.handlers.answers import challenge_sent
from authsvc.http.negotiation import language, only_looks, wants_json_only, wants_page
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape
from authsvc.pages import views
from authsvc.primitives.emails import Email, half_masked
from authsvc.problems import Problem, invalid
from authsvc.rules.challenges import CHANGE, UNDO, VERIFY
from authsvc.store.challenges import Challenge

VERIFY_ASK = Shape({"email": Field(fields.email)})


def ask_to_verify(core: Core, request: Request) -> Response:
    email: Email | None = request.body["email"]
    if email is None and request.caller is None:
        raise invalid("email", "required", "Say which address, or sign in.")
    email = email or Email(request.caller.user.email, request.caller.user.email_key)
    challenge = addresses.ask_to_verify(core, email, request.cause, locale=language(request.environ))
    return challenge_sent(core, challenge)


def look_at_verification(core: Core, request: Request) -> Response:
    """A program that says so, and the account's own browser, confirm at once; all others get the button."""
    challenge = challenges.find(core, request.params["token"], VERIFY, CHANGE)
    by_owner = request.caller is not None and request.caller.user.id == challenge.user_id and wants_page(request.environ)
    if (by_owner or wants_json_only(request.environ)) and not only_looks(request.environ):
        return _confirm(core, request, challenge)
    words = f"Press the button to confirm that {half_masked(challenge.target)} is your address."
    return views.confirm(core, "Confirm your address", words, "Confirm", "If you did not ask for this, close the page; nothing happens.")


def verify(core: Core, request: Request) -> Response:
    return _confirm(core, request, challenges.find(core, request.params["token"], VERIFY, CHANGE))


def look_at_undo(core: Core, request: Request) -> Response:
    challenge = challenges.find(core, request.params["token"], UNDO)
    if wants_json_only(request.environ) and not only_looks(request.environ):
        return _undo(core, request, challenge)
    words = f"Press the button to make {half_masked(challenge.target)} the address of your account again and to sign everybody out."
    return views.confirm(core, "Take the change back", words, "Take it back", "You then choose a new password by a mail to that address.")


def undo(core: Core, request: Request) -> Response:
    return _undo(core, request, challenges.find(core, request.params["token"], UNDO))


def verified(account: Account) -> Response:
    return answer({"status": "email_verified", "user": users.public(account.user, account.all_roles, account.caps)})


def by_code(core: Core, request: Request, challenge: Challenge) -> Response:
    """The code beside the link, typed where its account is signed in."""
    if request.caller is None or request.caller.user.id != challenge.user_id:
        raise Problem("unauthenticated", "Sign in to the account that the code was sent for, or use the link.")
    return _confirm(core, request, challenge)


def _confirm(core: Core, request: Request, challenge: Challenge) -> Response:
    return verified(addresses.confirm(core, challenge, request.cause))


def _undo(core: Core, request: Request, challenge: Challenge) -> Response:
    addresses.undo(core, challenge, request.cause)
    return answer({"status": "email_restored"})
