"""Signatures in the compact form (RFC 7515) by four algorithms; which one it is comes from the key, never from the token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jwt import PyJWS

HS256 = "HS256"  # RFC 7518: a secret that both sides know
ASYMMETRIC = ("ES256", "EdDSA", "RS256")  # RFC 7518 and 8037: verified by a key that may be published
ALGORITHMS = (HS256, *ASYMMETRIC)

# Base64url without padding. The last digit carries two or four bits that are always zero, so that a token has one
# spelling only.
_32_BYTES = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_64_BYTES = r"[A-Za-z0-9_-]{85}[AQgw]"
_256_BYTES = r"[A-Za-z0-9_-]{341}[AQgw]"
_SIGNATURES = {HS256: _32_BYTES, "ES256": _64_BYTES, "EdDSA": _64_BYTES, "RS256": _256_BYTES}
_ANY = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_FORMS = {alg: re.compile(rf"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.{signature}") for alg, signature in _SIGNATURES.items()}


class Forged(Exception):
    """This was not signed by that key."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenKey:
    """One key for one algorithm (RFC 8725 section 3.1). `signs` and `verifies`: the same 32 bytes, or the two halves of a pair."""

    kid: str
    alg: str
    signs: Any = field(repr=False)
    verifies: Any = field(repr=False)


def sign(payload: bytes, key: TokenKey, typ: str) -> str:
    """A token of this type over these bytes."""
    return _jws(key.alg).encode(payload, key.signs, key.alg, {"typ": typ, "kid": key.kid})


def header_of(token: str) -> Mapping[str, Any]:
    """What a token says of itself, unverified: good for nothing but to choose a key by. Raises Forged."""
    from jwt import PyJWTError

    if not _ANY.fullmatch(token):
        raise Forged
    try:
        return _jws(HS256).get_unverified_header(token)
    except (PyJWTError, ValueError, RecursionError):
        raise Forged from None


def verified(token: str, key: TokenKey) -> bytes:
    """The bytes that this key has signed. Raises Forged."""
    from jwt import PyJWTError

    if not _FORMS[key.alg].fullmatch(token):
        raise Forged
    try:
        return _jws(key.alg).decode(token, key.verifies, [key.alg])  # type: ignore[no-any-return]
    except (PyJWTError, ValueError, RecursionError):
        raise Forged from None


@cache
def _jws(alg: str) -> PyJWS:
    """PyJWT's signatures, each with a single algorithm registered, so that there is none that a header could choose.

    Only the signature: its checks of the claims would take the time from the host's clock, not from the World.
    """
    from jwt import PyJWS  # takes 90 ms to import, so not before the first token

    jws = PyJWS(algorithms=[])
    jws.register_algorithm(alg, _algorithm(alg))
    return jws


def _algorithm(alg: str) -> Any:
    from jwt.algorithms import HMACAlgorithm, get_default_algorithms

    class RawKey(HMACAlgorithm):
        """Without PyJWT's guess at every call whether our 32 raw bytes might be a PEM file."""

        def prepare_key(self, key: Any) -> bytes:
            return bytes(key)

    return RawKey(HMACAlgorithm.SHA256) if alg == HS256 else get_default_algorithms()[alg]
