"""From the settings to the providers that are offered; what is wrong with them is told at once and stops the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from authsvc.config.oauth import OAuthClient
from authsvc.config.settings import Settings
from authsvc.http.slots import Slots
from authsvc.primitives.keypairs import has_crypto
from authsvc.problems import Problem, Refused
from authsvc.providers.apple import client_secret
from authsvc.providers.discovery import endpoints
from authsvc.providers.presets import OAUTH2, OPENID, PRESETS, TENANT, Preset
from authsvc.providers.provider import Client, Provider
from authsvc.providers.remembered import Remembered
from authsvc.world import World


class Providers:
    """All that are offered, by name."""

    def __init__(self, found: Mapping[str, Provider], slots: Slots) -> None:
        self._found = found
        self._slots = slots

    def every(self) -> list[Provider]:
        return list(self._found.values())

    def get(self, name: str) -> Provider:
        """Raises not_found."""
        if name not in self._found:
            raise Problem("not_found", "There is no such provider here.")
        return self._found[name]

    def waiting(self) -> AbstractContextManager[None]:
        """While a request may wait for a provider. Raises busy."""
        return self._slots.taken("OAuth providers")


def providers(settings: Settings, world: World, slots: Slots) -> Providers:
    """Raises Refused with all that is wrong."""
    faults: list[str] = []
    found = {}
    for name, client in settings.oauth.items():
        try:
            found[name] = _provider(name, client, world)
        except ValueError as error:
            faults.append(f"AUTHSVC_OAUTH_{name.upper()}_…: {error}")
    unknown = [name for name in settings.mfa_trust if name not in settings.oauth]
    faults += [f"AUTHSVC_MFA_TRUST: there is no provider {name}" for name in unknown]
    if faults:
        raise Refused("the OAuth providers are not usable:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return Providers(found, slots)


def _provider(name: str, client: OAuthClient, world: World) -> Provider:
    if not client.client_id:
        raise ValueError("give its CLIENT_ID")
    preset = _preset(name, client)
    ours = Client(client.client_id, _secret(name, client), client.client_auth.replace("auto", ""), client.tenant or "common")
    published = Remembered(world, partial(endpoints, preset, world, name))
    return Provider(name, client.title or preset.title or name, preset, ours, world, published, verifies=has_crypto())


def _preset(name: str, client: OAuthClient) -> Preset:
    """What is known of the provider, with what the settings say in place of it."""
    base = PRESETS.get(name) or (OPENID if client.issuer else OAUTH2)
    if client.issuer and name in PRESETS and not base.issuer:
        raise ValueError("this preset speaks no OpenID Connect; give the provider another name")
    given = {
        "issuer": client.issuer,
        "authorize_url": client.authorize_url,
        "token_url": client.token_url,
        "userinfo_url": client.userinfo_url,
        "scopes": client.scopes,
    }
    own: dict[str, Any] = {part: value for part, value in given.items() if value}
    if client.issuer and client.issuer != base.issuer:  # another server of the same make: nothing of the public one holds
        own = {"authorize_url": "", "token_url": "", "userinfo_url": "", "jwks_url": "", "issuers": (), "discover": True, **own}
    preset = _for_tenant(replace(base, **own), client)
    if client.response_mode != "auto":
        preset = replace(preset, form_post=client.response_mode == "form_post")
    if client.pkce != "auto":
        preset = replace(preset, pkce=client.pkce == "on")
    if not client.trust_email:
        preset = replace(preset, verified_by=(), addresses=preset.addresses and replace(preset.addresses, verified=""))
    preset = _with_fields(preset, client)
    if not preset.issuer and not (preset.authorize_url and preset.token_url and preset.userinfo_url):
        raise ValueError("give its ISSUER, or AUTHORIZE_URL, TOKEN_URL and USERINFO_URL")
    if preset.issuer and "openid" in base.scopes and "openid" not in preset.scopes:
        raise ValueError("SCOPES must have openid among them")
    return preset


def _with_fields(preset: Preset, client: OAuthClient) -> Preset:
    named = {member.name: member.path for member in client.fields}
    if not named:
        return preset
    return replace(
        preset,
        subject=(named["subject"],) if "subject" in named else preset.subject,
        email=named.get("email", preset.email),
        verified_by=(named["email_verified"],) if "email_verified" in named and client.trust_email else preset.verified_by,
        name=(named["name"],) if "name" in named else preset.name,
        picture=named.get("picture", preset.picture),
        addresses=None if "email" in named else preset.addresses,
    )


def _for_tenant(preset: Preset, client: OAuthClient) -> Preset:
    """Microsoft's URLs name a tenant; the issuer stays a pattern, for the id_token says which tenant it was."""
    if TENANT not in preset.authorize_url:
        return preset
    tenant = client.tenant or "common"
    named = {part: getattr(preset, part).replace(TENANT, tenant) for part in ("authorize_url", "token_url", "jwks_url")}
    return replace(preset, **named)


def _secret(name: str, client: OAuthClient) -> Callable[[int], str] | None:
    if not client.private_key:
        if name == "apple" and not client.client_secret:
            raise ValueError("give TEAM_ID, KEY_ID and PRIVATE_KEY, or a CLIENT_SECRET that was made from them")
        return (lambda _now: client.client_secret) if client.client_secret else None
    if not (client.team_id and client.key_id):
        raise ValueError("a PRIVATE_KEY needs TEAM_ID and KEY_ID beside it")
    if not has_crypto():
        raise ValueError("a PRIVATE_KEY needs the extra crypto: pip install '.[crypto]' in a checkout")
    return client_secret(client_id=client.client_id, team_id=client.team_id, key_id=client.key_id, private_key=client.private_key)
