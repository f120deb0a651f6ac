"""The fields that several bodies share, and how each is parsed."""

from __future__ import annotations

import json
from typing import Any

from authsvc.http import shapes
from authsvc.http.parsers import parser
from authsvc.http.shapes import Field
from authsvc.primitives import emails, passwords, times
from authsvc.primitives.emails import Email
from authsvc.primitives.ids import CHALLENGE, FACTOR
from authsvc.primitives.jwts import MAX_BYTES
from authsvc.problems import Invalid
from authsvc.rules import phones, profiles
from authsvc.rules.access import CAP, MOST_CAPS
from authsvc.store.users import ACTIVE, DISABLED

METADATA_BYTES = 4_096
MOST_ROLES = 50


@parser(type="string", format="idn-email", maxLength=emails.MAX_BYTES, examples=["ann@example.com"])
def email(value: Any) -> Email:
    return emails.parse(shapes.raw_text(value, most=emails.MAX_BYTES))


@parser(type="string", format="password", maxLength=passwords.MAX_BYTES, pattern=r"^[^\u0000]*$", examples=["correct horse battery staple"])
def password(value: Any) -> str:
    return passwords.normalise(shapes.raw_text(value, most=passwords.MAX_BYTES))


@parser(type="string", maxLength=40, description="International form (E.164).", examples=["+14155550100"])
def phone_number(value: Any) -> str:
    return phones.parse(shapes.raw_text(value, most=40))


@parser(type="object", description=f"Any object of at most {METADATA_BYTES} bytes as JSON.", examples=[{"theme": "dark"}])
def metadata(value: Any) -> dict[str, Any]:
    """The user's own data: any object of at most 4 KiB."""
    if not isinstance(value, dict):
        raise Invalid("wrong_type", "This must be an object.")
    try:
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError:
        raise Invalid("invalid", "This is not valid Unicode.") from None
    if size > METADATA_BYTES:
        raise Invalid("too_long", f"At most {METADATA_BYTES} bytes as JSON.")
    return value


@parser(type="string", format="date-time", maxLength=40, examples=["2030-01-31T12:30:00Z"])
def moment(value: Any) -> int:
    """A time of RFC 3339, in ms."""
    try:
        return times.milliseconds(shapes.raw_text(value, most=40))
    except ValueError:
        raise Invalid("invalid", "Use a time and its zone, such as 2026-01-31T12:30:00Z (RFC 3339).") from None


name = profiles.name.about(example="Ann Example")
locale = profiles.locale.about("A language tag (RFC 5646).", example="en")
picture = profiles.picture.about(example="https://example.com/ann.png")
role = shapes.matching(r"[a-z][a-z0-9_.-]{0,62}", "A role has a name such as editor or billing.read-only.", most=63).about(example="editor")
roles = shapes.several(role, most=MOST_ROLES)
cap = shapes.matching(CAP.pattern, "A cap is `resource:action`, `resource:*` or `*`.", most=130).about(example="invoices:read")
caps = shapes.several(cap, most=MOST_CAPS)
status = shapes.choice(ACTIVE, DISABLED)

factor_id = shapes.raw(most=100).about("The id of a second factor.", example=f"{FACTOR}_…")
challenge_id = shapes.raw(most=100).about("What the sending of the code was answered with.", example=f"{CHALLENGE}_…")
mfa_token = shapes.raw(most=MAX_BYTES).about("Of the `mfa_required` that the first step was answered with.", example="…")
code = shapes.raw(most=40).about("The code that was sent or is shown.", example="123456")
set_cookie = shapes.flag.about("Whether the tokens are set as cookies too.", example=True)
create_user = shapes.flag.about("Whether an unknown address gets an account, where sign-up is open.", example=True)
MAILS = {
    "sendEmail": shapes.flag.about("Send a mail of welcome."),
    "verifyEmail": shapes.flag.about("Send a mail that confirms the address."),
    "sendResetEmail": shapes.flag.about("Send a mail by which its reader chooses a password."),
    "sendSms": shapes.flag.about("Send a code to `phone_number`."),
}

PROFILE = {
    "name": Field(shapes.nullable(name)),
    "locale": Field(shapes.nullable(locale)),
    "picture": Field(shapes.nullable(picture)),
    "metadata": Field(metadata),
}
# What only an administrator sets of an account.
ADMINISTERED = {
    "roles": Field(roles, sensitive=True, cap="users:write"),
    "status": Field(status, sensitive=True, cap="users:write"),
    "app_metadata": Field(metadata, sensitive=True, cap="users:write"),
    "email_verified": Field(shapes.flag, sensitive=True, cap="users:write"),
    "phone_number_verified": Field(shapes.flag, sensitive=True, cap="users:write"),
}
# What a user has but may not set: naming one of these is `forbidden`, not `unknown_field`.
NOT_THEIRS = frozenset(
    {
        "id",
        "roles",
        "caps",
        "status",
        "app_metadata",
        "email_verified",
        "phone_number_verified",
        "mfa_enabled",
        "has_password",
        "created_at",
        "updated_at",
        "last_login_at",
    }
)
