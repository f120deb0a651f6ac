"""/mfa, /mfa/setup, /mfa/verify, /mfa/remove, /mfa/recovery-codes, /authenticator/setup and /authenticator/verify: second factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.factors.kinds import BY_TYPE, KINDS
from authsvc.flows import enrolment, second_step
from authsvc.flows.core import Core
from authsvc.flows.enrolment import Confirmed, SetUp
from authsvc.flows.export import shown_factor
from authsvc.handlers import fields
from authsvc.handlers.answers import token_response
from authsvc.http.negotiation import language, wants_page
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, choice, flag
from authsvc.problems import Problem, invalid
from authsvc.store.factors import Factor

LABEL = Field(fields.name.about("What its owner calls it.", example="my phone"))
SETUP = Shape(
    {
        "type": Field(choice(*(kind.type for kind in KINDS if kind.enrols)), required=True),
        "phone_number": Field(fields.phone_number),
        "label": LABEL,
    }
)
AUTHENTICATOR_SETUP = Shape({"label": LABEL})
VERIFY = Shape({"code": Field(fields.code, required=True), "factor_id": Field(fields.factor_id), "mfa_token": Field(fields.mfa_token)})
REMOVE = Shape({"factor_id": Field(fields.factor_id), "all": Field(flag.about("Every factor."), default=False)})


def setup(core: Core, request: Request) -> Response:
    body = request.body
    return begun(core, request, body["type"], body["phone_number"], body["label"])


def setup_authenticator(core: Core, request: Request) -> Response:
    return begun(core, request, "totp", None, request.body["label"])


def verify(core: Core, request: Request) -> Response:
    """The second step of a sign-in, or the first code of a new factor."""
    return verified(core, request, None)


def verify_authenticator(core: Core, request: Request) -> Response:
    return verified(core, request, "totp")


def listing(core: Core, request: Request) -> Response:
    factors, left = enrolment.every(core, request.caller.user.id)
    return answer({"factors": [public(factor) for factor in factors], "recovery_codes_left": left})


def remove(core: Core, request: Request) -> Response:
    body = request.body
    if body["all"] is bool(body["factor_id"]):
        raise invalid("factor_id", "required", "Name one factor, or say `all`.")
    chosen = None if body["all"] else [body["factor_id"]]
    enrolment.remove(core, request.caller.user, request.caller.roles, chosen, request.cause)
    return answer({"status": "removed"})


def recovery_codes(core: Core, request: Request) -> Response:
    return answer({"recovery_codes": list(enrolment.renew_recovery_codes(core, request.caller.user, request.cause))})


def begun(core: Core, request: Request, kind: str, phone_number: str | None, label: str | None) -> Response:
    """201: a factor that waits for its first code."""
    made: SetUp = enrolment.set_up(core, request.caller.user, kind, phone_number, label, request.cause, locale=language(request.environ))
    sent: Mapping[str, Any] = {}
    if made.sent is not None:
        left = -(-(made.sent.challenge.expires_at - core.world.now()) // 1000)
        sent = {"challenge_id": made.sent.challenge.id, "channel": made.sent.channel, "expires_in": left}
    return answer({"factor_id": made.factor.id, "type": kind, "label": made.factor.label, **made.details, **sent}, 201)


def verified(core: Core, request: Request, kind: str | None) -> Response:
    body = request.body
    if body["mfa_token"] is not None:
        return stepped(core, request, body["mfa_token"], body["factor_id"], body["code"])
    if request.caller is None:
        raise Problem("unauthenticated", "Sign in, or send the `mfa_token` of your sign-in.")
    caller = request.caller
    made: Confirmed = enrolment.confirm(core, caller.user, caller.session.id, body["factor_id"], body["code"], request.cause, kind=kind)
    return confirmed(made)


def confirmed(made: Confirmed) -> Response:
    codes = {"recovery_codes": list(made.recovery_codes)} if made.recovery_codes is not None else {}
    return answer({"factor": public(made.factor), **codes})


def stepped(core: Core, request: Request, mfa_token: str, factor_id: str | None, code: str) -> Response:
    """The tokens of a sign-in that is complete now."""
    tokens, wanted = second_step.finish(core, mfa_token, factor_id, code, request.cause)
    cookies = wanted.set_cookie or wants_page(request.environ)
    return token_response(core, tokens, cookies=cookies, redirect_to=wanted.redirect_to)


def public(factor: Factor) -> dict[str, Any]:
    return {**shown_factor(factor), "channel": BY_TYPE[factor.type].channel}
