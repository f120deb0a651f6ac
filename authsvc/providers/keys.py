"""A provider's public keys (RFC 7517), with the extra `crypto`: looked up by `kid`, asked for anew when one is unknown."""

from __future__ import annotations

from typing import Any

from authsvc.http.outbound import Answered
from authsvc.providers.calls import Calls
from authsvc.providers.remembered import Remembered
from authsvc.world import World

PAUSE_SECONDS = 30  # between two look-ups for unknown keys: any forged token may name one
MOST_KEYS = 50
FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
LEAST_RSA_BITS = 2_048  # RFC 7518 section 3.3


class Keys:
    """The key set at one URL."""

    def __init__(self, world: World, provider: str, url: str) -> None:
        self._world = world
        self._provider = provider
        self._url = url
        self._set = Remembered(world, self._load)

    def find(self, kid: str | None, alg: str, until: float | None = None) -> Any:
        """The key of this id and family, or the only one of the family where the token names none; None if there is none."""
        found = _matching(self._set.get(until), kid, alg)
        if found is None and self._set.quiet > PAUSE_SECONDS:
            found = _matching(self._set.renew(until), kid, alg)
        return found

    def _load(self, until: float | None) -> tuple[list[dict[str, Any]], Answered]:
        calls = Calls(self._world, self._provider, until)
        value, answered = calls.get(self._url)
        keys = value.get("keys") if isinstance(value, dict) else None
        if not isinstance(keys, list):
            raise calls.failed(f"{self._url} is no key set")
        return [key for key in keys if isinstance(key, dict)][:MOST_KEYS], answered


def _matching(keys: list[dict[str, Any]], kid: str | None, alg: str) -> Any:
    from jwt import PyJWK, PyJWKError

    public = [key for key in keys if "d" not in key]  # a private key that is published is everybody's
    fitting = [
        key for key in public if key.get("kty") == FAMILIES[alg[:2]] and key.get("use", "sig") == "sig" and key.get("alg", alg) == alg
    ]
    named = [key for key in fitting if kid is not None and key.get("kid") == kid]
    chosen = named if kid is not None else fitting
    if len(chosen) != 1:
        return None
    try:
        key = PyJWK(chosen[0], alg)
    except (PyJWKError, ValueError, TypeError, KeyError):
        return None
    return None if alg[:2] in ("RS", "PS") and key.key.key_size < LEAST_RSA_BITS else key
