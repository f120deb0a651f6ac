"""One provider: where its sign-in begins, and who came back with a code (RFC 6749 section 4.1, OpenID Connect Core 3.1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from authsvc.primitives import pkce
from authsvc.providers import id_tokens, profile
from authsvc.providers.calls import Calls, gist, member
from authsvc.providers.discovery import Endpoints
from authsvc.providers.id_tokens import Claims, Expected
from authsvc.providers.keys import Keys
from authsvc.providers.presets import TENANT, Preset
from authsvc.providers.profile import Identity
from authsvc.providers.remembered import Remembered
from authsvc.world import World

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"  # Microsoft's tenant of personal accounts
MAX_TOKEN = 8_192
WITHHELD = frozenset({403, 404})  # a scope that the user took back, a permission that the app lacks

_TENANT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Client:
    """Us at the provider. `secret` makes what authenticates us, now (s); None: a public client."""

    id: str
    secret: Callable[[int], str] | None
    auth: str = ""
    tenant: str = "common"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What belongs to one sign-in: derived anew for its start and for its end, and kept nowhere."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str


class Provider:
    """A provider with our client there. Raises oauth_exchange_failed wherever it does not answer as it should."""

    def __init__(
        self, name: str, title: str, preset: Preset, client: Client, world: World, endpoints: Remembered[Endpoints], *, verifies: bool
    ) -> None:
        self.name = name
        self.title = title
        self.preset = preset
        self._client = client
        self._world = world
        self._endpoints = endpoints
        self._verifies = verifies
        self._keys: dict[str, Keys] = {}

    @property
    def realm(self) -> str:
        """What a subject is unique in: the issuer, or the host whose accounts these are."""
        return self.preset.issuer or urlsplit(self.preset.token_url)._replace(path="", query="").geturl()

    def authorize_url(self, attempt: Attempt) -> str:
        """Where the browser goes to sign in over there."""
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": attempt.redirect_uri,
            "scope": " ".join(self.preset.scopes),
            "state": attempt.state,
            **({"nonce": attempt.nonce} if self.preset.issuer else {}),
            **({"code_challenge": pkce.challenge(attempt.verifier), "code_challenge_method": pkce.METHOD} if self.preset.pkce else {}),
            **({"response_mode": "form_post"} if self.preset.form_post else {}),
            **self.preset.authorize_more,
        }
        return _with_query(self._endpoints.get().authorize_url, {name: value for name, value in asked.items() if value})

    def is_from_here(self, iss: str | None) -> bool:
        """Whether the `iss` of an answer is ours to expect (RFC 9207 section 2.4)."""
        issuer = self.preset.issuer
        if iss is None:
            return not self._endpoints.get().names_issuer
        if TENANT in issuer:
            before, _, after = issuer.partition(TENANT)
            tid = iss.removeprefix(before).removesuffix(after)
            return _TENANT.fullmatch(tid) is not None and iss == issuer.replace(TENANT, tid)
        return not issuer or iss in (issuer, *self.preset.issuers)

    def identify(self, code: str, attempt: Attempt) -> Identity:
        """Who it is that the code was given for. The tokens are used here, and then forgotten."""
        calls = Calls(self._world, self.name)
        answer = self._exchange(calls, code, attempt)
        claims = self._claims(calls, answer, attempt) if self.preset.issuer else {}
        told = self._told(calls, answer["access_token"], claims)
        subject = profile.subject_of(self.preset, told)
        if subject is None:
            raise calls.failed("its answer names nobody")
        for name, value in self.preset.must_be.items():
            if member(told, (name,)) != value:
                raise calls.failed(f"the account is not in use there ({name})")
        email, proved = profile.email_of(self.preset, told)
        if self.preset.addresses:
            listed = self._addresses(calls, answer["access_token"])
            email, proved = profile.email_among(self.preset.addresses, listed)
        amr, acr = profile.methods_of(claims)
        return Identity(
            self.realm,
            subject,
            email,
            proved,
            profile.name_of(self.preset, told),
            profile.picture_of(self.preset, told),
            profile.locale_of(told),
            amr,
            acr,
        )

    def _exchange(self, calls: Calls, code: str, attempt: Attempt) -> dict[str, Any]:
        """The token answer (RFC 6749 section 4.1.3). The redirect URI is the one that the code was asked for with."""
        endpoints, client = self._endpoints.get(), self._client
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": attempt.redirect_uri}
        if self.preset.pkce:
            form["code_verifier"] = attempt.verifier
        headers = {}
        secret = client.secret(self._world.now() // 1000) if client.secret else None
        calls.hide(code, attempt.verifier, secret or "")
        if secret is not None and (client.auth or self.preset.client_auth or endpoints.client_auth) == "basic":
            pair = f"{quote(client.id, safe='')}:{quote(secret, safe='')}"  # RFC 6749 section 2.3.1
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": client.id} | ({"client_secret": secret} if secret is not None else {})
        answer, _ = calls.post(endpoints.token_url, form, headers)
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN or not (token.isascii() and token.isprintable()):
            raise calls.failed(f"no access token: {gist(answer)}")  # GitHub and Slack say so with status 200
        if str(answer.get("token_type", "bearer")).lower() != "bearer":
            raise calls.failed("its token is no bearer token")
        return dict(answer)

    def _claims(self, calls: Calls, answer: Mapping[str, Any], attempt: Attempt) -> Claims:
        url = self._endpoints.get().jwks_url
        expected = Expected(self._is_issuer, self._client.id, attempt.nonce, not self.preset.echoes_nonce, answer["access_token"])
        keys = self._keys.setdefault(url, Keys(self._world, self.name, url)) if self._verifies and url else None
        find_key = partial(keys.find, until=calls.until) if keys else None
        try:
            return id_tokens.verified(answer.get("id_token"), expected, self._world.now() // 1000, find_key)
        except id_tokens.Refused as refused:
            raise calls.failed(f"id_token: {refused}") from None

    def _is_issuer(self, claims: Claims) -> bool:
        """Exactly the configured one. Microsoft has one a tenant, which the claim `tid` must fit and the setting allow."""
        iss, issuer = claims.get("iss"), self.preset.issuer
        if TENANT not in issuer:
            return iss in (issuer, *self.preset.issuers)
        tid, wanted = claims.get("tid"), self._client.tenant
        if not isinstance(tid, str) or not _TENANT.fullmatch(tid) or iss != issuer.replace(TENANT, tid):
            return False
        if wanted == "organizations":
            return tid != CONSUMERS
        return wanted == "common" or tid == (CONSUMERS if wanted == "consumers" else wanted)

    def _told(self, calls: Calls, access_token: str, claims: Claims) -> Any:
        """All that is known: the id_token's claims, and of the userinfo what they lack. Who it is, the id_token says."""
        url = self._endpoints.get().userinfo_url
        if self.preset.issuer and (not url or not self.preset.asks_userinfo or member(claims, self.preset.email)):
            return claims
        told, _ = calls.get(self._signed(url, access_token), self._bearing(access_token))
        if not self.preset.issuer:
            return told
        if not isinstance(told, dict) or told.get("sub") != claims["sub"]:
            raise calls.failed("the userinfo is about somebody else (sub)")
        return {**told, **{name: value for name, value in claims.items() if value is not None}}

    def _addresses(self, calls: Calls, access_token: str) -> Any:
        """The list of addresses; none where the user or the app's settings keep it from us. Any other failure is one: without
        its address somebody would get a second account."""
        assert self.preset.addresses  # noqa: S101 - for the type; the caller has looked
        url = self._endpoints.get().userinfo_url + self.preset.addresses.below
        return calls.get(url, self._bearing(access_token), withheld=WITHHELD)[0]

    def _bearing(self, access_token: str) -> dict[str, str]:
        return {**self.preset.api_headers, "Authorization": f"Bearer {access_token}"}

    def _signed(self, url: str, access_token: str) -> str:
        """Facebook wants proof that whoever shows the token has the secret, too."""
        if not self.preset.signs_calls or self._client.secret is None:
            return url
        key = self._client.secret(self._world.now() // 1000)
        return _with_query(url, {"appsecret_proof": hmac.new(key.encode(), access_token.encode(), hashlib.sha256).hexdigest()})


def _with_query(url: str, more: Mapping[str, str]) -> str:
    """The URL with more parameters; those that it has stay (RFC 6749 section 3.1). Spaces are %20, as Apple wants them."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *more.items()], quote_via=quote)
    return urlunsplit(parts._replace(query=query))
