"""What a file says of roles and accounts that are to come here. Reading it is the command's, making them moving_in.py's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from authsvc.primitives.emails import Email


@dataclass(frozen=True, slots=True)
class NewRole:
    """A role as a file has it."""

    name: str
    description: str
    caps: Sequence[str]


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """Somebody at a provider. Times in ms."""

    provider: str
    realm: str
    subject: str
    email: str | None
    email_verified: bool
    created_at: int | None
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class NewFactor:
    """A second factor. `secret` of an authenticator app; times in ms."""

    type: str
    label: str
    phone_number: str | None
    secret: bytes | None
    created_at: int | None
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An account as a file has it. `email` of one that has none holds its number's key. Times in ms."""

    id: str | None
    email: Email
    email_verified: bool
    phone_number: str | None
    phone_number_verified: bool
    profile: dict[str, Any]  # name, picture, locale, status
    password_hash: str | None
    roles: Sequence[str]
    metadata: dict[str, Any]
    app_metadata: dict[str, Any]
    created_at: int | None
    updated_at: int | None
    last_login_at: int | None
    identities: Sequence[NewIdentity] = ()
    factors: Sequence[NewFactor] = ()
