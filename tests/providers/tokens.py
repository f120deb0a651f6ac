"""id_tokens for tests, made by a library that is not ours, and by hand where no library would make them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.providers.vendors import ATTEMPT, CLIENT_ID
from tests.support import START

NOW = START // 1000
ACCESS_TOKEN = "ya29.a0AfH6SMBx-the.access~token"
KID = "key-of-the-vendor"
ISSUER = "https://id.example.com"

Sign = Callable[[bytes], bytes]


@cache
def _rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def rsa_key(name: str = KID, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One a name; made once, for it takes a while."""
    return _rsa_key(name, bits)


@cache
def _ec_key(curve: str, name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key({"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}[curve]())


def ec_key(curve: str = "P-256", name: str = KID) -> ec.EllipticCurvePrivateKey:
    """One a curve and name."""
    return _ec_key(curve, name)


@cache
def ed_key(name: str = KID) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey | None = None, **more: Any) -> dict[str, Any]:
    """The public half (RFC 7518 section 6.3)."""
    public = (key or rsa_key()).public_key().public_numbers()
    return {"kty": "RSA", "kid": KID, "use": "sig", "n": number(public.n), "e": number(public.e), **more}


def ec_jwk(key: ec.EllipticCurvePrivateKey | None = None, curve: str = "P-256", **more: Any) -> dict[str, Any]:
    """The public half (RFC 7518 section 6.2)."""
    public = (key or ec_key(curve)).public_key().public_numbers()
    size = (public.curve.key_size + 7) // 8
    x, y = (b64(value.to_bytes(size, "big")) for value in (public.x, public.y))
    return {"kty": "EC", "kid": KID, "use": "sig", "crv": curve, "x": x, "y": y, **more}


def ed_jwk(**more: Any) -> dict[str, Any]:
    return {"kty": "OKP", "kid": KID, "use": "sig", "crv": "Ed25519", "x": b64(ed_key().public_key().public_bytes_raw()), **more}


def at_hash(access_token: str, digest: str = "sha256") -> str:
    """OpenID Connect Core section 3.1.3.6, written down a second time."""
    whole = hashlib.new(digest, access_token.encode()).digest()
    return b64(whole[: len(whole) // 2])


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a genuine token for the attempt of the tests; what is `...` goes."""
    made = {
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": CLIENT_ID,
        "exp": NOW + 3600,
        "iat": NOW,
        "nonce": ATTEMPT.nonce,
        "at_hash": at_hash(ACCESS_TOKEN),
        "email": "ada@example.com",
        "email_verified": True,
    }
    return {name: value for name, value in (made | changes).items() if value is not ...}


def signed(told: dict[str, Any], alg: str = "RS256", key: Any = None, **header: Any) -> str:
    """By joserfc, with the vendor's key of that family."""
    if key is None:
        key = _key_for(alg)
    return jwt.encode({"alg": alg, "kid": KID, **header}, told, key, algorithms=[alg])


def by_hand(header: Any, payload: Any, sign: Sign | None = None) -> str:
    """Whatever is wanted; bytes stay as they are, the rest becomes JSON."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = ".".join(map(b64, parts)).encode()
    return f"{signing_input.decode()}.{b64((sign or by_rsa())(signing_input))}"


def by_rsa(key: rsa.RSAPrivateKey | None = None) -> Sign:
    """RS256."""
    return lambda message: (key or rsa_key()).sign(message, padding.PKCS1v15(), hashes.SHA256())


def by_ec(key: ec.EllipticCurvePrivateKey, digest: hashes.HashAlgorithm | None = None) -> Sign:
    """ECDSA as JWS writes it, whatever the curve."""
    size = (key.curve.key_size + 7) // 8

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest or hashes.SHA256())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign


def _key_for(alg: str) -> Any:
    if alg.startswith("ES"):
        return ECKey.import_key(ec_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg]))
    return RSAKey.import_key(rsa_key())
