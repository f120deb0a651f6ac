"""The fields that several bodies share, and how each is parsed."""

from __future__ import annotations

import json
from typing import Any

from authsvc.http import shapes
from authsvc.http.shapes import Field
from authsvc.primitives import emails, passwords
from authsvc.primitives.emails import Email
from authsvc.problems import Invalid
from authsvc.rules import phones, profiles

METADATA_BYTES = 4_096


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


name = profiles.name
locale = profiles.locale

PROFILE = {
    "name": Field(shapes.nullable(name)),
    "locale": Field(shapes.nullable(locale)),
    "picture": Field(shapes.nullable(profiles.picture)),
    "metadata": Field(metadata),
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
