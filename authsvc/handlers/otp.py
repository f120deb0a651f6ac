"""/otp/send, /otp/verify and /otp/remove: codes by mail and SMS, to sign in, as a second step, or to add a factor."""

from __future__ import annotations

from authsvc.flows import authentication, challenges, enrolment, magic, second_step, signup
from authsvc.flows.core import Core
from authsvc.handlers import addresses, fields, mfa
from authsvc.handlers.answers import challenge_sent
from authsvc.handlers.magic import signed_in
from authsvc.http.negotiation import language
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, choice, nested
from authsvc.primitives.ids import CHALLENGE, is_id
from authsvc.problems import Problem, invalid
from authsvc.rules import access, phones
from authsvc.rules.challenges import CHANGE, EMAIL, FACTOR, MAGIC, SMS, VERIFY
from authsvc.store.challenges import Challenge

_OPTIONS = Shape({"setCookie": Field(fields.set_cookie, default=True), "createUser": Field(fields.create_user, default=True)})
_channel = Field(choice(SMS, EMAIL))
SEND = Shape(
    {
        "channel": _channel,
        "email": Field(fields.email),
        "phone_number": Field(fields.phone_number),
        "mfa_token": Field(fields.mfa_token),
        "factor_id": Field(fields.factor_id),
        "options": Field(nested(_OPTIONS), default=_OPTIONS.parse({})),
    }
)
VERIFY_CODE = Shape(
    {
        "code": Field(fields.code, required=True),
        "challenge_id": Field(fields.challenge_id),
        "email": Field(fields.email),
        "phone_number": Field(fields.phone_number),
        "mfa_token": Field(fields.mfa_token),
        "factor_id": Field(fields.factor_id),
    }
)
REMOVE = Shape({"channel": Field(choice(SMS, EMAIL), required=True)})


def send(core: Core, request: Request) -> Response:
    """For a sign-in that waits for its second step, else for a new factor of who is signed in, else to sign in."""
    body, locale = request.body, language(request.environ)
    if body["mfa_token"] is not None:
        sent = second_step.send(core, body["mfa_token"], body["factor_id"], request.cause, locale=locale)
        return challenge_sent(core, sent.challenge, channel=sent.channel)
    if body["channel"] is not None:
        return _begin_factor(core, request)
    wanted = magic.Request(locale, None, body["options"]["createUser"], body["options"]["setCookie"])
    if body["email"] is not None and body["phone_number"] is None:
        return challenge_sent(core, magic.ask_for_code(core, body["email"], wanted, request.cause), channel=EMAIL)
    if body["phone_number"] is not None and body["email"] is None:
        _refuse_unreachable(core, body["phone_number"])
        return challenge_sent(core, magic.ask_by_phone(core, body["phone_number"], wanted, request.cause), channel=SMS)
    raise invalid("email", "required", "Give one of `email` and `phone_number`, or an `mfa_token`, or sign in and give a `channel`.")


def verify(core: Core, request: Request) -> Response:
    """Whatever the code was sent for."""
    body = request.body
    if body["mfa_token"] is not None:
        return mfa.stepped(core, request, body["mfa_token"], body["factor_id"], body["code"])
    challenge_id = _challenge_id(core, request)
    if challenge_id is None or not is_id(challenge_id, CHALLENGE):
        raise Problem("code_invalid")
    known = challenges.get(core, challenge_id)
    if known is not None and known.purpose == FACTOR.purpose:
        return _confirm_factor(core, request, known)
    challenge = challenges.check_code(core, challenge_id, body["code"], request.cause)
    acts = {VERIFY.purpose: addresses.by_code, CHANGE.purpose: addresses.by_code, MAGIC.purpose: signed_in}
    try:
        return acts[challenge.purpose](core, request, challenge)
    except Problem as problem:
        if problem.code != "link_invalid":
            raise
        raise Problem("code_expired") from None  # the link, or the same code, was faster


def remove(core: Core, request: Request) -> Response:
    enrolment.remove(core, request.caller.user, request.caller.roles, None, request.cause, kind=request.body["channel"])
    return answer({"status": "removed"})


def _begin_factor(core: Core, request: Request) -> Response:
    if request.caller is None:
        raise Problem("unauthenticated", "Sign in to add a factor.")
    caller = request.caller
    access.demand(access.ENROLLING_LATELY, authentication.presented(core, caller), {}, core.world.now())
    made = enrolment.set_up(
        core, caller.user, request.body["channel"], request.body["phone_number"], None, request.cause, locale=language(request.environ)
    )
    challenge: Challenge = made.sent.challenge  # type: ignore[union-attr]  # both kinds send
    return challenge_sent(core, challenge, channel=request.body["channel"], factor_id=made.factor.id)


def _confirm_factor(core: Core, request: Request, known: Challenge) -> Response:
    if request.caller is None:
        raise Problem("unauthenticated", "Sign in to the account whose factor it is.")
    caller, code = request.caller, request.body["code"]
    return mfa.confirmed(enrolment.confirm(core, caller.user, caller.session.id, known.target_key, code, request.cause))


def _challenge_id(core: Core, request: Request) -> str | None:
    body = request.body
    given = [name for name in ("challenge_id", "email", "phone_number") if body[name] is not None]
    if len(given) != 1:
        raise invalid("challenge_id", "required", "Give one of `challenge_id`, `email`, `phone_number` and `mfa_token`.")
    if given == ["challenge_id"]:
        challenge_id: str = body["challenge_id"]
        return challenge_id
    key = body["email"].key if given == ["email"] else signup.PHONE_KEY + body["phone_number"]
    return magic.newest(core, key)


def _refuse_unreachable(core: Core, number: str) -> None:
    """Told openly: it depends on the settings and the number, and not on who has it."""
    if core.settings.sms.scheme == "off" or not phones.is_allowed(number, core.settings.sms_countries):
        raise invalid("phone_number", "not_allowed", "SMS cannot be sent to this number.")
