"""JWK Sets (RFC 7517): given once, or fetched, kept for as long as they say, and fetched anew for a key that is not there."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from authsvc.config.parse import url as base_url
from authsvc.consumer.claims import Unverifiable
from authsvc.http.outbound import Answered, Call, Unreachable, call
from authsvc.primitives.jws import HS256, TokenKey
from authsvc.world import WARNING, World

SECONDS = 5.0  # of one fetch
LEAST_FRESH, USUAL_FRESH, MOST_FRESH = 60.0, 300.0, 3_600.0  # seconds that a set is believed, whatever its headers say
STALE = 86_400.0  # how long the last set serves while no new one comes
UNKNOWN_SECONDS = 10.0  # at most one fetch in so long for ids that nobody knows: anybody can make those up
LEAST_RSA_BITS = 2_048  # RFC 7518 section 3.3
KINDS = {"EC": "ES256", "OKP": "EdDSA", "RSA": "RS256", "oct": HS256}

_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")


class Keys(Protocol):
    """Where a key is found by its id."""

    def find(self, kid: str) -> TokenKey | None:
        """Raises Unverifiable where there are no keys at all."""


class GivenKeys:
    """A set that was handed over, such as what `authsvc keyring export` prints."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._keys = token_keys(jwks)
        if not self._keys:
            raise ValueError("there is no key in the set that can verify a token")

    def find(self, kid: str) -> TokenKey | None:
        return self._keys.get(kid)


class FetchedKeys:
    """The set at a URL. Threads that need it at the same time share one fetch; while none succeeds, the last set serves on."""

    def __init__(self, jwks_url: str, world: World) -> None:
        if not _is_safe(jwks_url):
            raise ValueError(f"{jwks_url}: use https")
        self._url = jwks_url
        self._world = world
        self._lock = threading.Lock()
        self._keys: dict[str, TokenKey] = {}
        self._fetched_at: float | None = None
        self._fresh_for = USUAL_FRESH
        self._tried_at: float | None = None

    def find(self, kid: str) -> TokenKey | None:
        if self._is_due(kid):
            with self._lock:
                if self._is_due(kid):  # or another thread has done it meanwhile
                    self._fetch()
        if self._fetched_at is None or self._since(self._fetched_at) > self._fresh_for + STALE:
            raise Unverifiable(f"no keys from {self._url}")
        return self._keys.get(kid)

    def _is_due(self, kid: str) -> bool:
        if self._tried_at is not None and self._since(self._tried_at) < UNKNOWN_SECONDS:
            return False
        return self._fetched_at is None or kid not in self._keys or self._since(self._fetched_at) > self._fresh_for

    def _since(self, moment: float) -> float:
        return self._world.monotonic() - moment

    def _fetch(self) -> None:
        try:
            answered = call(self._world, Call("GET", self._url, {"Accept": "application/json"}, seconds=SECONDS))
            if answered.status != 200:
                raise ValueError(f"status {answered.status}")
            self._keys = token_keys(json.loads(answered.body))
            self._fresh_for = _freshness(answered)
            self._fetched_at = self._world.monotonic()
        except (Unreachable, ValueError, RecursionError) as error:
            self._world.log(f"warning: no keys from {self._url}: {error}", WARNING)
        finally:
            self._tried_at = self._world.monotonic()


def token_keys(jwks: Any) -> dict[str, TokenKey]:
    """The keys of a set that can verify tokens, by their ids; what is not understood is passed over (RFC 7517 section 5).
    Raises ValueError for what is no set."""
    listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(listed, list):
        raise ValueError("not a JWK Set")  # noqa: TRY004 - it came from elsewhere
    found = [key for jwk in listed if isinstance(jwk, Mapping) and (key := _token_key(jwk))]
    return {key.kid: key for key in found}


def _token_key(jwk: Mapping[str, Any]) -> TokenKey | None:
    kid, alg = jwk.get("kid"), KINDS.get(str(jwk.get("kty")))
    if not isinstance(kid, str) or alg is None or jwk.get("alg", alg) != alg or jwk.get("use", "sig") != "sig":
        return None
    try:
        verifies = _secret(jwk) if alg == HS256 else _public(jwk, alg)
    except Exception:  # noqa: BLE001 - a key that cannot be read is a key that we do not have, whatever is wrong with it
        return None
    return TokenKey(kid, alg, None, verifies)


def _secret(jwk: Mapping[str, Any]) -> bytes:
    text = jwk["k"]
    secret = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(secret) < 32:  # RFC 7518 section 3.2
        raise ValueError("too short for HS256")
    return secret


def _public(jwk: Mapping[str, Any], alg: str) -> Any:
    from jwt.algorithms import get_default_algorithms  # without the extra `crypto` there are no such algorithms

    public = {name: value for name, value in jwk.items() if name in ("kty", "crv", "x", "y", "n", "e")}  # never a private half
    key: Any = get_default_algorithms()[alg].from_jwk(public)
    if alg == "RS256" and key.key_size < LEAST_RSA_BITS:
        raise ValueError("too short for RS256")
    if alg == "ES256" and jwk.get("crv") != "P-256":
        raise ValueError("another curve")
    if alg == "EdDSA" and jwk.get("crv") != "Ed25519":
        raise ValueError("another curve")
    return key


def _freshness(answered: Answered) -> float:
    told = _MAX_AGE.search(answered.headers.get("cache-control", ""))
    return min(max(float(told[1]), LEAST_FRESH), MOST_FRESH) if told else USUAL_FRESH


def _is_safe(jwks_url: str) -> bool:
    """https; or http on this machine, for a workbench."""
    try:
        parsed = base_url(jwks_url)
    except ValueError:
        return False
    return parsed.scheme == "https" or parsed.loopback
