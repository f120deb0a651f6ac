"""Where a provider's endpoints are: from the preset and the settings, or from its discovery document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from authsvc.config.urls import provider_url
from authsvc.http.outbound import Answered
from authsvc.providers.calls import Calls
from authsvc.providers.presets import Preset
from authsvc.world import World

WELL_KNOWN = "/.well-known/openid-configuration"  # OpenID Connect Discovery section 4


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where to go. `names_issuer`: its answers always carry `iss` (RFC 9207)."""

    authorize_url: str
    token_url: str
    userinfo_url: str = ""
    jwks_url: str = ""
    client_auth: str = "post"
    names_issuer: bool = False


def endpoints(preset: Preset, world: World, name: str, until: float | None = None) -> tuple[Endpoints, Answered]:
    """What is declared, and for the rest what the issuer publishes."""
    declared = Endpoints(preset.authorize_url, preset.token_url, preset.userinfo_url, preset.jwks_url)
    complete = preset.authorize_url and preset.token_url
    if not preset.issuer or (complete and not preset.discover):
        return declared, Answered(200, {}, b"")
    calls = Calls(world, name, until)
    url = preset.issuer.removesuffix("/") + WELL_KNOWN
    document, answered = calls.get(url)
    if not isinstance(document, dict) or document.get("issuer") != preset.issuer:
        raise calls.failed(f"{url} names another issuer than {preset.issuer}")
    found = Endpoints(
        authorize_url=declared.authorize_url or _url(preset, document, "authorization_endpoint"),
        token_url=declared.token_url or _url(preset, document, "token_endpoint"),
        userinfo_url=declared.userinfo_url or _url(preset, document, "userinfo_endpoint"),
        jwks_url=declared.jwks_url or _url(preset, document, "jwks_uri"),
        client_auth=_client_auth(document.get("token_endpoint_auth_methods_supported")),
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )
    if not (found.authorize_url and found.token_url):
        raise calls.failed(f"{url} lacks an endpoint, or names one that is not https")
    return found, answered


def _url(preset: Preset, document: Mapping[str, Any], name: str) -> str:
    """A published URL under the same rule as a configured one; empty where there is none that we may call. Only an issuer
    on this machine sends us to this machine without TLS."""
    value = document.get(name)
    try:
        url = provider_url(value) if isinstance(value, str) else ""
    except ValueError:
        return ""
    return url if urlsplit(url).scheme in ("https", urlsplit(preset.issuer).scheme) else ""


def _client_auth(methods: Any) -> str:
    """In the body where that is listed; by default in the header (RFC 8414 section 2)."""
    return "post" if isinstance(methods, list) and "client_secret_post" in methods else "basic"
