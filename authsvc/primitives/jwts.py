"""Access tokens: JWTs as in RFC 9068 (RFC 7519, 8725). Their signatures are jws.py; which keys there are, whoever gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from authsvc.primitives import ids, jws
from authsvc.primitives.jws import HS256, Forged, TokenKey
from authsvc.primitives.keyring import Key, Keyring, Purpose
from authsvc.primitives.memory import make_room
from authsvc.primitives.strict import unique
from authsvc.problems import Problem
from authsvc.world import World

TYPE = "at+jwt"
LEEWAY_SECONDS = 60
MAX_BYTES = 8_192
REMEMBERED = 2_048  # verified tokens kept, so that a repeated one costs a look-up instead of a signature and a parse

_TEXTS = ("iss", "aud", "sub", "jti", "sid", "acr")
_NUMBERS = ("iat", "exp", "gen", "auth_time")
_LISTS = ("amr", "roles", "caps")

Claims = Mapping[str, Any]
_compact = json.JSONEncoder(separators=(",", ":")).encode


class TokenKeys(Protocol):
    """The keys of access tokens, as they are at this moment."""

    def current(self) -> TokenKey:
        """The one that signs."""

    def find(self, kid: str) -> TokenKey | None:
        """The one of this id, if its tokens count."""

    def state(self) -> object:
        """Equal as long as no key was taken away."""


class DerivedKeys:
    """Sub-keys of the secret keys, for HS256."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def current(self) -> TokenKey:
        return _derived(self._keyring.current)

    def find(self, kid: str) -> TokenKey | None:
        key = self._keyring.get(kid)
        return None if key is None else _derived(key)

    def every(self) -> list[TokenKey]:
        """All of them, the current one first."""
        return [_derived(key) for key in self._keyring.every()]

    def state(self) -> object:
        return self._keyring.state


def _derived(key: Key) -> TokenKey:
    sub = key.sub(Purpose.ACCESS)
    return TokenKey(key.kid, HS256, sub, sub)


class AccessTokens:
    """Makes and checks access tokens for one issuer and audience."""

    def __init__(self, keys: TokenKeys, world: World, *, issuer: str, audience: str, seconds: int) -> None:
        self._keys = keys
        self._world = world
        self._issuer = issuer
        self._audience = audience
        self.seconds = seconds
        self._verified: dict[str, tuple[object, Claims]] = {}

    def issue(self, claims: Claims) -> str:
        """A signed token: the given claims, and issuer, audience, times and id beside them."""
        now = self._world.now() // 1000
        own = {"iss": self._issuer, "aud": self._audience, "iat": now, "exp": now + self.seconds, "jti": ids.new("jti", self._world)}
        return jws.sign(_compact({**claims, **own}).encode(), self._keys.current(), TYPE)

    def verify(self, token: str, *, allow_expired: bool = False) -> Claims:
        """The claims of a genuine token; raises `invalid_token` or `token_expired`."""
        state = self._keys.state()
        remembered = self._verified.get(token)
        if remembered is not None and remembered[0] == state:
            claims = remembered[1]
        else:
            claims = self._decode(token)
            self._remember(token, state, claims)
        now = self._world.now() // 1000
        if claims["iat"] > now + LEEWAY_SECONDS:
            raise Problem("invalid_token", "The token says it was made in the future.")
        if not allow_expired and claims["exp"] + LEEWAY_SECONDS <= now:
            raise Problem("token_expired")
        return claims

    def _remember(self, token: str, state: object, claims: Claims) -> None:
        """Together with the state of the keys before it was verified: whatever has gone meanwhile vouches for nothing."""
        make_room(self._verified, REMEMBERED)
        self._verified[token] = (state, claims)

    def _decode(self, token: str) -> Claims:
        try:
            return self._checked(signed(token, self._keys.find))
        except Forged:
            raise Problem("invalid_token") from None

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


def signed(token: str, find: Callable[[str], TokenKey | None]) -> Any:
    """What an access token holds, unchecked but for its signature: by our own algorithm, and a key that the header can only
    choose from those that are found. Raises Forged."""
    if len(token) > MAX_BYTES or not token.isascii():
        raise Forged
    try:
        header = jws.header_of(token)
        kid = header.get("kid")
        key = find(kid) if isinstance(kid, str) and header.get("typ") == TYPE and "crit" not in header else None
        if key is None or header.get("alg") != key.alg:
            raise Forged
        return json.loads(jws.verified(token, key), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Forged from None
