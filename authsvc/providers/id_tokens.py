"""What is checked of an id_token (OpenID Connect Core section 3.1.3.7) that came straight from the token endpoint."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from authsvc.primitives import strict
from authsvc.primitives.keyring import encode

LEEWAY_SECONDS = 120  # between the provider's clock and ours
MAX_BYTES = 16_384
MOST_SECONDS = 2**53  # since 1970: whatever is more is no time (RFC 8259 section 6)
# Signed by a key of the provider's own: HS256 would be a key that we have too, and `none` is nobody's.
HASHES = {
    "RS256": "sha256",
    "RS384": "sha384",
    "RS512": "sha512",
    "PS256": "sha256",
    "PS384": "sha384",
    "PS512": "sha512",
    "ES256": "sha256",
    "ES384": "sha384",
    "ES512": "sha512",
    "EdDSA": "sha512",
}

Claims = Mapping[str, Any]
# (kid, alg) -> the provider's key, or None where there is none.
FindKey = Callable[[str | None, str], Any]


class Refused(Exception):
    """This id_token proves nothing; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a genuine one says. `is_issuer` judges its claims; an empty `nonce` is not looked for."""

    is_issuer: Callable[[Claims], bool]
    client_id: str
    nonce: str
    nonce_may_lack: bool
    access_token: str


def verified(token: Any, expected: Expected, now: int, find_key: FindKey | None) -> Claims:
    """The claims; raises Refused. `now` in seconds. Without `find_key` the signature is not looked at, which section
    3.1.3.7 (6) allows for a token that came over TLS from the token endpoint itself."""
    if not isinstance(token, str) or len(token) > MAX_BYTES:
        raise Refused("there is no id_token")
    header, claims = _decoded(token, find_key)
    _check_times(claims, now)
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise Refused("it is meant for another client (aud)")
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != expected.client_id:
        raise Refused("it was given to another client (azp)")
    if not expected.is_issuer(claims):
        raise Refused("it is another issuer's (iss)")
    _check_nonce(claims, expected)
    _check_hash(claims, header["alg"], expected.access_token)
    return claims


def _decoded(token: str, find_key: FindKey | None) -> tuple[Claims, Claims]:
    from jwt import PyJWS, PyJWTError

    jws = PyJWS()
    try:
        header = jws.get_unverified_header(token)
        alg = header.get("alg")
        if alg not in HASHES:
            raise Refused("it is not signed by a key of the provider's own (alg)")
        if find_key is None:
            payload = jws.decode_complete(token, options={"verify_signature": False})["payload"]
        else:
            key = find_key(header.get("kid"), alg)
            if key is None:
                raise Refused("its key is not among the provider's (kid)")
            payload = jws.decode(token, key, [alg])
        claims = strict.loads(payload)
    except (PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise Refused(f"it is malformed or forged ({type(error).__name__})") from None
    if not isinstance(claims, dict) or not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise Refused("it names nobody (sub)")
    return header, claims


def _check_times(claims: Claims, now: int) -> None:
    exp, iat = claims.get("exp"), claims.get("iat")
    if not _is_number(exp) or exp + LEEWAY_SECONDS <= now:
        raise Refused("it has run out (exp)")
    if not _is_number(iat) or iat > now + LEEWAY_SECONDS:
        raise Refused("it was made in the future (iat)")
    nbf = claims.get("nbf", 0)
    if not _is_number(nbf) or nbf > now + LEEWAY_SECONDS:
        raise Refused("it does not count yet (nbf)")


def _check_nonce(claims: Claims, expected: Expected) -> None:
    nonce = claims.get("nonce")
    if nonce is None and expected.nonce_may_lack:
        return
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode("utf-8", "replace"), expected.nonce.encode()):
        raise Refused("it belongs to another sign-in (nonce)")


def _check_hash(claims: Claims, alg: str, access_token: str) -> None:
    """Section 3.1.3.6: the left half of the access token's hash."""
    told = claims.get("at_hash")
    if told is None:
        return
    digest = hashlib.new(HASHES[alg], access_token.encode()).digest()
    if not isinstance(told, str) or not hmac.compare_digest(told.encode("utf-8", "replace"), encode(digest[: len(digest) // 2]).encode()):
        raise Refused("it came with another access token (at_hash)")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST_SECONDS  # neither NaN nor endless
