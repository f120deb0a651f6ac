"""The fields that several bodies share, and how each is parsed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from authsvc.http import shapes
from authsvc.http.shapes import Field
from authsvc.primitives import emails, passwords
from authsvc.primitives.emails import Email
from authsvc.problems import Invalid
from authsvc.rules import phones, profiles
from authsvc.rules.access import CAP, MOST_CAPS
from authsvc.store.users import ACTIVE, DISABLED

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
METADATA_BYTES = 4_096
MOST_ROLES = 50


def email(value: Any) -> Email:
    return emails.parse(shapes.raw_text(value, most=emails.MAX_BYTES))


def password(value: Any) -> str:
    return passwords.normalise(shapes.raw_text(value, most=passwords.MAX_BYTES))


def phone_number(value: Any) -> str:
    return phones.parse(shapes.raw_text(value, most=40))


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


def moment(value: Any) -> int:
    """A time of RFC 3339, in ms."""
    try:
        at = datetime.fromisoformat(shapes.raw_text(value, most=40))
        if at.tzinfo is None:
            raise Invalid("invalid", "Say which time zone: 2026-01-31T12:30:00Z (RFC 3339).")
        return (at - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise Invalid("invalid", "Use a time such as 2026-01-31T12:30:00Z (RFC 3339).") from None


name = profiles.name
locale = profiles.locale
role = shapes.matching(r"[a-z][a-z0-9_.-]{0,62}", "A role has a name such as editor or billing.read-only.", most=63)
roles = shapes.several(role, most=MOST_ROLES)
caps = shapes.several(shapes.matching(CAP.pattern, "A cap is `resource:action`, `resource:*` or `*`.", most=130), most=MOST_CAPS)
status = shapes.choice(ACTIVE, DISABLED)

PROFILE = {
    "name": Field(shapes.nullable(name)),
    "locale": Field(shapes.nullable(locale)),
    "picture": Field(shapes.nullable(profiles.picture)),
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
