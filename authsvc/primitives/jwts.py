"""Access tokens: JWTs as in RFC 9068, signed with HS256 under a sub-key (RFC 7519, 8725)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from authsvc.primitives import ids
from authsvc.primitives.keyring import Key, Keyring, Purpose
from authsvc.problems import Problem
from authsvc.world import World

ALGORITHM = "HS256"
TYPE = "at+jwt"
LEEWAY_SECONDS = 60
MAX_BYTES = 8_192
REMEMBERED = 2_048  # verified tokens kept, so that a repeated one costs a look-up instead of an HMAC and a parse

_TEXTS = ("iss", "aud", "sub", "jti", "sid", "acr")
_NUMBERS = ("iat", "exp", "gen", "auth_time")
_LISTS = ("amr", "roles", "caps")

Claims = Mapping[str, Any]


class AccessTokens:
    """Makes and checks access tokens for one issuer and audience."""

    def __init__(self, keyring: Keyring, world: World, *, issuer: str, audience: str, seconds: int) -> None:
        self._keyring = keyring
        self._world = world
        self._issuer = issuer
        self._audience = audience
        self.seconds = seconds
        self._verified: dict[str, Claims] = {}

    def issue(self, claims: Claims) -> str:
        """A signed token: the given claims, and issuer, audience, times and id beside them."""
        import jwt  # takes 90 ms, so not before the first token

        now = self._world.now() // 1000
        own = {"iss": self._issuer, "aud": self._audience, "iat": now, "exp": now + self.seconds, "jti": ids.new("jti", self._world)}
        key = self._keyring.current
        return jwt.encode({**claims, **own}, key.sub(Purpose.ACCESS), ALGORITHM, {"typ": TYPE, "kid": key.kid})

    def verify(self, token: str, *, allow_expired: bool = False) -> Claims:
        """The claims of a genuine token; raises `invalid_token` or `token_expired`."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            self._remember(token, claims)
        if not allow_expired and claims["exp"] + LEEWAY_SECONDS <= self._world.now() // 1000:
            raise Problem("token_expired")
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        if len(self._verified) >= REMEMBERED:
            for old in list(islice(self._verified, REMEMBERED // 2)):
                self._verified.pop(old, None)
        self._verified[token] = claims

    def _decode(self, token: str) -> Claims:
        """Signature first, with our own algorithm and a key that the header can only choose from the ring."""
        import jwt

        if len(token) > MAX_BYTES or not token.isascii():
            raise Problem("invalid_token")
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header)
            claims = jwt.decode(token, key.sub(Purpose.ACCESS), [ALGORITHM], options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Problem("invalid_token") from None
        self._check(claims)
        return claims

    def _key(self, header: Mapping[str, Any]) -> Key:
        kid = header.get("kid")
        key = self._keyring.get(kid) if isinstance(kid, str) else None
        if key is None or header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
            raise Problem("invalid_token")
        return key

    def _check(self, claims: Mapping[str, Any]) -> None:
        right_types = (
            all(isinstance(claims.get(name), str) for name in _TEXTS)
            and all(type(claims.get(name)) is int for name in _NUMBERS)
            and all(isinstance(claims.get(name), list) for name in _LISTS)
        )
        if not right_types or claims["iss"] != self._issuer or claims["aud"] != self._audience:
            raise Problem("invalid_token")
        if claims["iat"] > self._world.now() // 1000 + LEEWAY_SECONDS:
            raise Problem("invalid_token", "The token says it was made in the future.")


# The time and name checks are ours (_check): PyJWT would take them from the host's clock, not from the World.
_SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False),
}
