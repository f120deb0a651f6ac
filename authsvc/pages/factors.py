"""The pages of second factors: the second step of a sign-in, setting one up, and their part of the account page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authsvc.factors.kinds import BY_TYPE
from authsvc.flows import enrolment, second_step
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.http.html import EMPTY, Safe, join, text
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.pages.forms import field, notice
from authsvc.pages.layout import page, piece
from authsvc.problems import Problem
from authsvc.store.factors import Factor


def step(core: Core, request: Request, mfa_token: str, problem: Problem | None = None, *, sent: bool = False) -> Response:
    """The second step of a sign-in."""
    senders = [
        piece(core, "send_code", mfa_token=mfa_token, factor_id=factor.id, label=factor.label)
        for factor in second_step.factors_of(core, mfa_token)
        if BY_TYPE[factor.type].channel
    ]
    content = piece(core, "second_step", mfa_token=mfa_token, code=_code(core, request, problem), senders=join(senders))
    words = notice("We have sent you a code.") if sent and problem is None else None
    return page(core, "Second step", content, problem, message=words)


def enrol(core: Core, request: Request, factor_id: str, details: Mapping[str, Any], problem: Problem | None = None) -> Response:
    """What a new factor needs, and the place for its first code."""
    content = piece(core, "enrol", intro=_intro(core, details), factor_id=factor_id, code=_code(core, request, problem))
    return page(core, "Add a second factor", content, problem)


def recovery(core: Core, codes: Sequence[str]) -> Response:
    """The recovery codes, once."""
    listed = join(Safe(f"<li>{text(code)}</li>\n") for code in codes)
    return page(core, "Your recovery codes", piece(core, "recovery", codes=listed))


def section(core: Core, request: Request, problem: Problem | None) -> Safe:
    """The part of the account page."""
    user = request.caller.user
    factors, left = enrolment.every(core, user.id)
    others = []
    if user.email_verified_at is not None:
        others.append(piece(core, "add_email"))
    if core.settings.sms.scheme != "off":
        number = field(core, request, problem, "phone_number", "Phone number", type="tel", autocomplete="tel", value=user.phone_number)
        others.append(piece(core, "add_sms", phone_number=number))
    return piece(
        core,
        "factors",
        factors=join(_listed(core, factor) for factor in factors) or Safe('<li><p class="hint">None yet.</p></li>'),
        recovery=piece(core, "renew", left=left) if factors else EMPTY,
        others=join(others),
    )


def prove(core: Core, request: Request, problem: Problem | None) -> Safe:
    """For a session that has not shown a factor yet: the place for a code of each."""
    listed, _ = enrolment.every(core, request.caller.user.id)
    forms = (
        piece(
            core, "prove", factor_id=one.id, code=_code(core, request, problem, f"Code ({one.label}, or a recovery code)", f"code-{one.id}")
        )
        for one in listed
    )
    return join(
        [
            Safe("<p>This needs your second factor. Type a code of it and do it again, or sign out and in with one that we send you.</p>"),
            *forms,
        ]
    )


def _listed(core: Core, factor: Factor) -> Safe:
    used = (timestamp(factor.last_used_at) or "")[:10]
    return piece(core, "factor", factor_id=factor.id, label=factor.label, used=used)


def _intro(core: Core, details: Mapping[str, Any]) -> Safe:
    if "secret" not in details:
        return Safe(f"<p>We have sent a code to {text(details['target'])}.</p>")
    secret = details["secret"]
    grouped = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    qr = Safe(details["qr_svg"]) if details["qr_svg"] else EMPTY
    return piece(core, "authenticator", qr=qr, secret=grouped, uri=details["otpauth_uri"])


def _code(core: Core, request: Request, problem: Problem | None, label: str = "Code", own_id: str = "") -> Safe:
    return field(core, request, problem, "code", label, autocomplete="one-time-code", long_code=True, id=own_id)
