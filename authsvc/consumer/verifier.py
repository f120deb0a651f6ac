"""Verifying access tokens as RFC 9068 section 4 and RFC 8725 want it: the algorithm comes from the key, never from the token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.consumer.claims import Claims, InvalidToken
from authsvc.consumer.keysets import FetchedKeys, GivenKeys, Keys
from authsvc.consumer.revocations import Revocations
from authsvc.primitives.jws import Forged
from authsvc.primitives.jwts import LEEWAY_SECONDS, signed
from authsvc.world import World


class Verifier:
    """Verifies the access tokens of one issuer for one audience; any number of threads may share it.

    `issuer`: the public URL of authsvc (or its AUTHSVC_ISSUER). `audience`: AUTHSVC_AUDIENCE, where it is another.
    `jwks_url`: where the keys are, if not at the issuer; `keys`: a JWK Set instead, such as `authsvc keyring export` prints
    for HS256. `revocations`: what is known of ended sessions, so that a token of one stops counting before it runs out.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | None = None,
        jwks_url: str | None = None,
        keys: Mapping[str, Any] | None = None,
        revocations: Revocations | None = None,
        world: World | None = None,
    ) -> None:
        self._issuer = issuer
        self._audience = audience or issuer
        self._world = world or World()
        self._keys: Keys = (
            GivenKeys(keys) if keys is not None else FetchedKeys(jwks_url or f"{issuer.rstrip('/')}/.well-known/jwks.json", self._world)
        )
        self._revocations = revocations

    def verify(self, token: str) -> Claims:
        """The claims of a good token. Raises InvalidToken, or Unverifiable where there are no keys."""
        claims = self._checked(self._signed(token))
        if self._revocations is not None and self._revocations.has(claims):
            raise InvalidToken("invalid_token", "The session has ended, or the token is older than a change of the account.")
        return Claims(claims)

    def _signed(self, token: str) -> Mapping[str, Any]:
        try:
            claims = signed(token, self._keys.find)
        except Forged:
            raise InvalidToken("invalid_token", "The token is malformed, or was not signed by the keys of the issuer.") from None
        if not isinstance(claims, dict):
            raise InvalidToken("invalid_token", "The token holds no claims.")
        return claims

    def _checked(self, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        audience, now = claims.get("aud"), self._world.now() // 1000
        if claims.get("iss") != self._issuer or self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidToken("invalid_token", "The token was issued by or for somebody else.")
        texts = all(isinstance(claims.get(name), str) and claims[name] for name in ("sub", "sid"))
        times = all(type(claims.get(name)) is int for name in ("iat", "exp"))
        lists = all(isinstance(claims.get(name, []), list) for name in ("roles", "caps", "amr"))
        if not (texts and times and lists) or claims["iat"] > now + LEEWAY_SECONDS:
            raise InvalidToken("invalid_token", "Claims of the token are missing or make no sense.")
        if claims["exp"] + LEEWAY_SECONDS <= now:
            raise InvalidToken("token_expired", "The token has run out.")
        return claims
