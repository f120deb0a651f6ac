"""The objects that answers of more than one family have in them."""

from __future__ import annotations

from authsvc.factors.kinds import KINDS
from authsvc.handlers.audit import CELLS
from authsvc.http.parsers import or_null
from authsvc.openapi.words import (
    ANYTHING,
    TEXT_OR_NONE,
    TIME,
    TIME_OR_NONE,
    flag,
    identifier,
    listed,
    many,
    number,
    one_of,
    text,
    thing,
)
from authsvc.primitives import ids
from authsvc.store.users import ACTIVE, DISABLED

_FACTOR_TYPE = one_of(*(kind.type for kind in KINDS))
_SHOWN_FACTOR = {
    "id": identifier(ids.FACTOR),
    "type": _FACTOR_TYPE,
    "label": or_null(text("What its owner calls it.", "my phone")),
    "created_at": TIME,
    "last_used_at": TIME_OR_NONE,
}
FACTOR = thing("Factor", "A second factor.", _SHOWN_FACTOR, {"channel": or_null(text("Where its codes are sent.", "sms"))})
IDENTITY = thing(
    "Identity",
    "An account at a provider that signs in to this one.",
    {
        "provider": text(example="github"),
        "title": text(example="GitHub"),
        "email": TEXT_OR_NONE,
        "email_verified": flag("Whether the provider vouches for the address."),
        "created_at": TIME,
        "last_used_at": TIME_OR_NONE,
    },
)
_USER = {
    "id": identifier(ids.USER),
    "email": or_null(text("None of an account that has only a phone number.", "ann@example.com")),
    "email_verified": flag(example=True),
    "phone_number": or_null(text(example="+14155550100")),
    "phone_number_verified": flag(),
    "name": or_null(text(example="Ann Example")),
    "picture": or_null(text(example="https://example.com/ann.png")),
    "locale": or_null(text(example="en")),
    "status": one_of(ACTIVE, DISABLED),
    "roles": many(text(example="user")),
    "caps": many(text(example="invoices:read"), "What the roles allow, of this and of other services."),
    "mfa_enabled": flag(),
    "has_password": flag(example=True),
    "metadata": {**ANYTHING, "description": "The user's own data."},
    "app_metadata": {**ANYTHING, "description": "Data that only administrators set."},
    "created_at": TIME,
    "updated_at": TIME,
    "last_login_at": TIME_OR_NONE,
}
_LISTS = {"factors": many(FACTOR, "With `?include=factors`."), "identities": many(IDENTITY, "With `?include=identities`.")}
USER = thing("User", "An account. Hashes and secrets are not among its members.", _USER, _LISTS)
NEW_USER = thing(
    "NewUser", "The account that was made.", _USER, {"password": text("Only here, and only if it was generated.", "example-password")}
)
WARNING = thing(
    "Warning",
    "What was accepted, and would be refused in production.",
    {"code": text(example="password_weak"), "field": text(example="password"), "detail": text()},
)
WARNINGS = many(WARNING, "Absent where there is nothing to warn of.")
TOKENS = thing(
    "TokenResponse",
    "The tokens of a session (RFC 6749 section 5.1), and whose it is.",
    {
        "access_token": text("A JWT (RFC 9068).", "eyJ…"),
        "token_type": {"type": "string", "const": "Bearer"},
        "expires_in": number("Seconds that the access token lasts.", 900),
        "refresh_token": text(example="rt_…"),
        "session_id": identifier(ids.SESSION),
        "user": USER.ref,
    },
    {
        "redirect_to": text("Where the sign-in was to lead.", "https://app.example.com/"),
        "warnings": WARNINGS,
    },
)
REGISTERED = thing(
    "Registered",
    "The tokens of the first session of a new account.",
    {name: TOKENS.schema["properties"][name] for name in TOKENS.schema["required"]},
    {
        "password": text("Only here, and only if it was generated.", "example-password"),
        "challenge_id": identifier(ids.CHALLENGE, "Of the code that `sendSms` asked for."),
        "redirect_to": text("Where the sign-up was to lead.", "https://app.example.com/"),
        "warnings": WARNINGS,
    },
)
SENT = thing(
    "ChallengeSent",
    "If somebody is to get a link or a code, it is on its way; the same for all addresses.",
    {
        "status": {"type": "string", "const": "sent"},
        "challenge_id": identifier(ids.CHALLENGE),
        "expires_in": number("Seconds that the code lasts.", 600),
    },
    {"channel": one_of("email", "sms"), "factor_id": identifier(ids.FACTOR, "Of the factor that waits for this code.")},
)
SESSION = thing(
    "Session",
    "A signed-in device.",
    {
        "id": identifier(ids.SESSION),
        "created_at": TIME,
        "last_seen_at": TIME,
        "ip": or_null(text(example="203.0.113.7")),
        "user_agent": TEXT_OR_NONE,
        "label": or_null(text("What the device seems to be.", "Firefox on Linux")),
        "amr": many(text(example="pwd"), "How it was opened (RFC 8176)."),
        "current": flag("Whether it is the one that asks."),
    },
)
_ACTOR = listed({"type": text(example="user"), "id": TEXT_OR_NONE, "label": TEXT_OR_NONE})
AUDIT_ROW = thing(
    "AuditRow",
    "One event, as the audit trail has it.",
    {
        "id": TEXT_OR_NONE,
        "at": or_null(text("A time, unless somebody has put something else in its place.", "2030-01-31T12:30:00Z")),
        "action": or_null(text("The name of an event.", "login.succeeded")),
        "outcome": or_null(text("`success` or `failure`.", "success")),
        "actor": _ACTOR,
        **dict.fromkeys(CELLS[7:12], TEXT_OR_NONE),
        "data": {"description": "What is to be said of it; an object, unless somebody has put something else in its place."},
    },
)
PROBLEM_MEMBERS = {
    "type": text("The code as a URL, which explains it.", "https://auth.example.com/problems/not_found"),
    "title": text(example="Not found"),
    "status": number(example=404),
    "detail": text(),
    "code": text("Stable; to be told apart by.", "not_found"),
    "request_id": text("The log has it too.", "example-request"),
}
FAULT = thing(
    "Fault",
    "What is wrong with one field.",
    {"field": text(example="email"), "code": text(example="required"), "detail": text(example="This field is needed.")},
)
CAPTCHA_NEEDS = thing(
    "CaptchaNeeds",
    "What is needed to solve a CAPTCHA.",
    {
        "provider": text(example="altcha"),
        "action": text(example="login"),
        "challenge_url": text(example="https://auth.example.com/captcha?action=login"),
    },
    {"site_key": text("Of a vendor's.", "example")},
)
CHECKS = thing(
    "Checks",
    "What /readyz looks at. `ok`, or a fixed word for what is wrong.",
    {
        "process": text(example="ok"),
        "store": text("Such as `store_full`, `store_missing` or `store_busy`.", "ok"),
        "key": text("`not_checked` where the store could not be asked.", "ok"),
    },
)
PROBLEM = thing(
    "Problem",
    "A refusal (RFC 9457).",
    PROBLEM_MEMBERS,
    {
        "errors": many(FAULT, "Of `invalid_request`: each field that is wrong."),
        "retry_after": number("Seconds; also as Retry-After.", 60),
        "captcha": CAPTCHA_NEEDS.ref,
        "checks": CHECKS.ref,
    },
)
MFA_CHALLENGE = thing(
    "MfaChallenge",
    "The first step of a sign-in is done: the problem `mfa_required`, with what the second step needs.",
    {
        **PROBLEM_MEMBERS,
        "mfa_token": text("Stands for this sign-in, for five minutes.", "…"),
        "factors": many(listed({name: _SHOWN_FACTOR[name] for name in ("id", "type", "label")}), "One of these has to be shown."),
    },
)
