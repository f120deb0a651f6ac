"""From what a provider says of somebody to what we take: each field where the preset says, and nothing that is not sound."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from authsvc.primitives import emails
from authsvc.primitives.emails import Email
from authsvc.problems import Invalid
from authsvc.providers.calls import member
from authsvc.providers.presets import Addresses, Preset
from authsvc.rules import profiles

MAX_SUBJECT = 255  # OpenID Connect Core section 2
MOST_ADDRESSES = 100

_PLACE = re.compile(r"\{(\w+)\}")
_SUBJECT = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody at a provider. `realm` and `subject` together never change and never come back for somebody else;
    `amr` and `acr` are what the provider says of its own sign-in, empty where its word for it is not signed for."""

    realm: str
    subject: str
    email: Email | None
    email_verified: bool
    name: str | None
    picture: str | None
    locale: str | None
    amr: tuple[str, ...] = ()
    acr: str = ""


def subject_of(preset: Preset, told: Any) -> str | None:
    """Who it is, as text; None where a part is missing or odd."""
    parts = [_id(member(told, path)) for path in preset.subject]
    subject = "/".join(part for part in parts if part)
    return subject if all(parts) and len(subject) <= MAX_SUBJECT and _SUBJECT.fullmatch(subject) else None


def email_of(preset: Preset, told: Any) -> tuple[Email | None, bool]:
    """The address, and whether the provider has verified that it is theirs."""
    email = _email(member(told, preset.email))
    proved = email is not None and any(_proves(member(told, path), email) for path in preset.verified_by)
    return email, proved


def email_among(addresses: Addresses, told: Any) -> tuple[Email | None, bool]:
    """The same from a list of addresses: the primary one, else the first that is verified."""
    listed = member(told, addresses.items)
    entries = [entry for entry in listed if isinstance(entry, dict)][:MOST_ADDRESSES] if isinstance(listed, list) else []
    verified = [entry for entry in entries if entry.get(addresses.verified) is True]
    for entry in [*(one for one in entries if one.get(addresses.primary) is True), *verified]:
        email = _email(entry.get(addresses.email))
        if email is not None:
            return email, entry.get(addresses.verified) is True
    return None, False


def name_of(preset: Preset, told: Any) -> str | None:
    joined = " ".join(part for part in (member(told, ("given_name",)), member(told, ("family_name",))) if isinstance(part, str))
    for value in (*(member(told, path) for path in preset.name), joined):
        name: str | None = _sound(profiles.name, value)
        if name:
            return name
    return None


def picture_of(preset: Preset, told: Any) -> str | None:
    url: Any = None
    if not isinstance(preset.picture, str):
        url = member(told, preset.picture) if preset.picture else None
    elif all(_id(member(told, (name,))) for name in _PLACE.findall(preset.picture)):
        url = _PLACE.sub(lambda place: str(member(told, (place[1],))), preset.picture)
    picture: str | None = _sound(profiles.picture, url)
    return picture


def locale_of(told: Any) -> str | None:
    locale: str | None = _sound(profiles.locale, member(told, ("locale",)))
    return locale


def methods_of(claims: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """`amr` and `acr` of an id_token."""
    amr, acr = claims.get("amr"), claims.get("acr")
    methods = tuple(value for value in amr if isinstance(value, str)) if isinstance(amr, list) else ()
    return methods, acr if isinstance(acr, str) else ""


def _id(value: Any) -> str | None:
    """An id as text; providers send numbers, too."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) or None


def _proves(value: Any, email: Email) -> bool:
    """A flag as providers spell it, the address itself, or a list that it is in."""
    if isinstance(value, list):
        return any(_is_same(one, email) for one in value)
    if isinstance(value, str) and "@" in value:
        return _is_same(value, email)
    return value is True or (type(value) is int and value == 1) or value in ("true", "1")


def _is_same(value: Any, email: Email) -> bool:
    other = _email(value)
    return other is not None and other.key == email.key


def _email(value: Any) -> Email | None:
    email: Email | None = _sound(emails.parse, value) if isinstance(value, str) else None
    return email


def _sound(parse: Callable[[Any], Any], value: Any) -> Any:
    try:
        return parse(value)
    except Invalid:
        return None
