"""Access tokens: JWTs as in RFC 9068, signed with HS256 under a sub-key (RFC 7519, 8725)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from authsvc.primitives import ids
from authsvc.primitives.keyring import Key, Keyring, Purpose
from authsvc.primitives.memory import make_room
from authsvc.problems import Problem
from authsvc.world import World

if TYPE_CHECKING:
    from jwt import PyJWS

ALGORITHM = "HS256"
TYPE = "at+jwt"
LEEWAY_SECONDS = 60
MAX_BYTES = 8_192
REMEMBERED = 2_048  # verified tokens kept, so that a repeated one costs a look-up instead of an HMAC and a parse

# Base64url without padding; the last of the 43 digits of 32 bytes carries two bits that are always zero, so that a
# token has one spelling only.
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_TEXTS = ("iss", "aud", "sub", "jti", "sid", "acr")
_NUMBERS = ("iat", "exp", "gen", "auth_time")
_LISTS = ("amr", "roles", "caps")

Claims = Mapping[str, Any]
_compact = json.JSONEncoder(separators=(",", ":")).encode


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
        now = self._world.now() // 1000
        own = {"iss": self._issuer, "aud": self._audience, "iat": now, "exp": now + self.seconds, "jti": ids.new("jti", self._world)}
        key = self._keyring.current
        payload = _compact({**claims, **own}).encode()
        return _jws().encode(payload, key.sub(Purpose.ACCESS), ALGORITHM, {"typ": TYPE, "kid": key.kid})

    def verify(self, token: str, *, allow_expired: bool = False) -> Claims:
        """The claims of a genuine token; raises `invalid_token` or `token_expired`."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            self._remember(token, claims)
        now = self._world.now() // 1000
        if claims["iat"] > now + LEEWAY_SECONDS:
            raise Problem("invalid_token", "The token says it was made in the future.")
        if not allow_expired and claims["exp"] + LEEWAY_SECONDS <= now:
            raise Problem("token_expired")
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        make_room(self._verified, REMEMBERED)
        self._verified[token] = claims

    def _decode(self, token: str) -> Claims:
        """Signature first, with our own algorithm and a key that the header can only choose from the ring."""
        from jwt import PyJWTError

        form = _FORM.fullmatch(token) if len(token) <= MAX_BYTES else None
        if form is None:
            raise Problem("invalid_token")
        try:
            key = self._key(_jws().get_unverified_header(token))
            payload = _jws().decode(token, key.sub(Purpose.ACCESS), [ALGORITHM])
            claims: Any = json.loads(payload, object_pairs_hook=_unique)
        except (PyJWTError, ValueError, RecursionError):
            raise Problem("invalid_token") from None
        return self._checked(claims)

    def _key(self, header: Mapping[str, Any]) -> Key:
        kid = header.get("kid")
        key = self._keyring.get(kid) if isinstance(kid, str) else None
        if key is None or header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
            raise Problem("invalid_token")
        return key

    def _checked(self, claims: Any) -> Claims:
        right_types = (
            isinstance(claims, dict)
            and all(isinstance(claims.get(name), str) for name in _TEXTS)
            and (claims["sub"] + claims["sid"]).isascii()
            and all(type(claims.get(name)) is int for name in _NUMBERS)
            and all(isinstance(claims.get(name), list) for name in _LISTS)
        )
        if not right_types or claims["iss"] != self._issuer or claims["aud"] != self._audience:
            raise Problem("invalid_token")
        return dict(claims)


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8725 section 2.7 and RFC 7519 section 4: a claim that is there twice means two things."""
    if len(dict(members)) != len(members):
        raise ValueError("a claim is there twice")
    return dict(members)


@cache
def _jws() -> PyJWS:
    """PyJWT's signatures (RFC 7515), without its guess at every call whether our 32 raw bytes might be a PEM file.

    Only the signature: its checks of the claims would take the time from the host's clock, not from the World.
    """
    from jwt import PyJWS  # takes 90 ms to import, so not before the first token
    from jwt.algorithms import HMACAlgorithm

    class RawKey(HMACAlgorithm):
        def prepare_key(self, key: Any) -> bytes:
            return bytes(key)

    jws = PyJWS(algorithms=[])
    jws.register_algorithm(ALGORITHM, RawKey(HMACAlgorithm.SHA256))
    return jws
