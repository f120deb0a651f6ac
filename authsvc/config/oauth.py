"""OAuth providers as the operator declares them: AUTHSVC_OAUTH_<NAME>_<PART>. What a preset adds is providers' business."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from authsvc.config import parse
from authsvc.config.settings import Declared, setting
from authsvc.config.urls import provider_url

STEM = "oauth_"
RESERVED = frozenset({"link"})  # paths below /oauth

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_FIELDS = frozenset({"subject", "email", "email_verified", "name", "picture"})
_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 section 3.3
_TENANT = re.compile(r"common|organizations|consumers|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAX_NAME = 30


@dataclass(frozen=True, slots=True)
class Member:
    """One of our fields, and the path of the member that it is read from in a provider's answer."""

    name: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={'.'.join(self.path)}"


def scopes(value: str) -> tuple[str, ...]:
    found = tuple(value.replace(",", " ").split())
    if not all(_SCOPE.fullmatch(scope) for scope in found):
        raise ValueError("use scopes with spaces between them, such as: openid email profile")
    return found


def field_map(value: str) -> tuple[Member, ...]:
    """Which member of the provider's answer stands for which of ours."""
    found: dict[str, Member] = {}
    for item in parse.items(value):
        name, _, path = item.partition("=")
        if name not in _FIELDS or not _PATH.fullmatch(path) or name in found:
            raise ValueError(f"{item}: use FIELD=MEMBER with one of {', '.join(sorted(_FIELDS))}, such as subject=id,email=user.mail")
        found[name] = Member(name, tuple(path.split(".")))
    return tuple(found.values())


def tenant(value: str) -> str:
    stripped = value.strip().lower()
    if stripped and not _TENANT.fullmatch(stripped):
        raise ValueError("use common, organizations, consumers, or the id of a tenant (a GUID)")
    return stripped


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """Us, at one provider. What is empty is taken from the preset of that name, if there is one."""

    client_id: str = setting("", parse.text, "the client id that the provider gave us; with it the provider is offered")
    client_secret: str = setting("", parse.text, "the client secret that the provider gave us", secret=True)
    issuer: str = setting("", provider_url, "an OpenID provider by its issuer; its endpoints are found by discovery")
    authorize_url: str = setting("", provider_url, "authorization endpoint, where it is not found by discovery")
    token_url: str = setting("", provider_url, "token endpoint, where it is not found by discovery")
    userinfo_url: str = setting("", provider_url, "where the profile is read, where it is not found by discovery")
    scopes: tuple[str, ...] = setting("", scopes, "what is asked for; empty: `openid email profile`, or what the preset needs")
    title: str = setting("", parse.text, "what the button says; empty: the preset's, or the name")
    fields: tuple[Member, ...] = setting(
        "", field_map, "of a provider without OpenID: which members of its profile are ours, such as `subject=id,email=mail`"
    )
    pkce: str = setting("auto", parse.choice("auto", "on", "off"), "PKCE (S256); auto: always, except where a preset says that it breaks")
    client_auth: str = setting(
        "auto",
        parse.choice("auto", "post", "basic"),
        "how the secret is sent to the token endpoint; auto: what discovery or the preset says",
    )
    response_mode: str = setting(
        "auto",
        parse.choice("auto", "query", "form_post"),
        "how the provider answers; auto: in the query, except where a preset needs a form",
    )
    trust_email: bool = setting("yes", parse.flag, "`no`: that this provider calls an address verified counts for nothing")
    tenant: str = setting("", tenant, "of microsoft: whose accounts may sign in; empty: `common`, everybody's")
    team_id: str = setting("", parse.text, "of apple: the team id that signs the client secret")
    key_id: str = setting("", parse.text, "of apple: the id of the private key")
    private_key: str = setting(
        "", parse.text, "of apple: the private key (PEM) that signs the client secret; needs the extra `crypto`", secret=True
    )


PARTS: Mapping[str, Declared] = {
    f.name: Declared(f.name, f.metadata["text"], f.metadata["parse"], f.metadata["doc"], f.metadata["secret"]) for f in fields(OAuthClient)
}


def split(name: str) -> tuple[str, str] | None:
    """The provider and the part that a lower-case setting name means; None for one that is none of these."""
    if not name.startswith(STEM):
        return None
    rest = name.removeprefix(STEM)
    for part in sorted(PARTS, key=len, reverse=True):  # of two endings the longer one is meant
        provider = rest.removesuffix("_" + part)
        if provider != rest and _NAME.fullmatch(provider) and len(provider) <= MAX_NAME and provider not in RESERVED:
            return provider, part
    return None


def declared(name: str) -> Declared | None:
    """The declaration behind such a name."""
    found = split(name)
    if found is None:
        return None
    part = PARTS[found[1]]
    return Declared(name, part.default, part.parse, part.doc, part.secret)


def clients(values: Mapping[str, object]) -> dict[str, OAuthClient]:
    """From parsed values by setting name to one client a provider, in the order of their names."""
    given: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        found = split(name)
        if found:
            given.setdefault(found[0], {})[found[1]] = value
    return {provider: OAuthClient(**_whole(parts)) for provider, parts in sorted(given.items())}  # type: ignore[arg-type]


def documented() -> Iterable[dict[str, str]]:
    """The parts as lines of the table of settings."""
    for part in PARTS.values():
        yield {"name": f"AUTHSVC_OAUTH_<NAME>_{part.name.upper()}", "default": part.default, "doc": part.doc}


def _whole(parts: Mapping[str, object]) -> dict[str, object]:
    return {part.name: parts[part.name] if part.name in parts else part.parse(part.default) for part in PARTS.values()}
