"""/.well-known/jwks.json, /.well-known/oauth-authorization-server and /.well-known/change-password: for programs that find things."""

from __future__ import annotations

from authsvc.flows.core import Core
from authsvc.handlers.answers import published
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, found


def jwks(core: Core, request: Request) -> Response:
    """RFC 7517 section 5: the keys that verify our access tokens. Under HS256 there are none to show."""
    return published(request, answer({"keys": core.token_keys.published()}))


def metadata(core: Core, request: Request) -> Response:
    """RFC 8414 section 2. Where leaving a member out would claim its default, it says that there is nothing."""
    base = str(core.settings.public_url)
    return published(
        request,
        answer(
            {
                "issuer": core.settings.issuer,
                "jwks_uri": f"{base}/.well-known/jwks.json",
                "response_types_supported": [],
                "grant_types_supported": [],
                "introspection_endpoint": f"{base}/token/introspect",
                "introspection_endpoint_auth_methods_supported": ["Bearer"],
                "revocation_endpoint": f"{base}/token/revoke",
                "revocation_endpoint_auth_methods_supported": ["none"],
            }
        ),
    )


def change_password(core: Core, request: Request) -> Response:
    """A password manager sends its user here (W3C, A Well-Known URL for Changing Passwords)."""
    return found(f"{core.settings.public_url.path}/account#password")
