"""Key pairs for signing tokens: made, named by their thumbprint, shown as JWK, sealed for the store. Needs the extra `crypto`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

from authsvc.primitives.jws import TokenKey
from authsvc.primitives.keyring import Key, Purpose, encode

RSA_BITS = 2_048  # RFC 7518 section 3.3: the least; a signature of 342 characters
RSA_EXPONENT = 65_537
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2
P256_BYTES = 32
# RFC 7638 section 3.2, RFC 8037 section 2: what a thumbprint is taken of.
REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}

Jwk = dict[str, str]


class Unopened(Exception):
    """A seal that this secret key did not make, or not for this."""


@cache
def has_crypto() -> bool:
    """Whether the extra `crypto` is installed, so that signatures can be made and verified."""
    try:
        return find_spec("cryptography") is not None
    except ValueError:  # somebody has put a stub in its place
        return False


def generate(alg: str) -> Any:
    """A new private key, whose id does not look like an option on a command line."""
    while True:
        made = _generate(alg)
        if not thumbprint(public_jwk(made)).startswith("-"):
            return made


def _generate(alg: str) -> Any:
    """By the library's own chance: an RSA key cannot be made from bytes that we bring."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(RSA_EXPONENT, RSA_BITS)


def public_jwk(private: Any) -> Jwk:
    """The public half as RFC 7518 section 6 and RFC 8037 write it; nothing of the private one."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    public = private.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(public.public_bytes_raw())}
    numbers = public.public_numbers()
    if isinstance(public, ec.EllipticCurvePublicKey):
        return {"kty": "EC", "crv": "P-256", "x": _number(numbers.x, P256_BYTES), "y": _number(numbers.y, P256_BYTES)}
    return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638: the same for everybody who has the key, whatever else stands beside it."""
    members = {name: jwk[name] for name in REQUIRED[jwk["kty"]]}
    return encode(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())


def published(jwk: Mapping[str, str], alg: str, kid: str) -> Jwk:
    """A member of a JWK Set (RFC 7517 section 4)."""
    return {**jwk, "kid": kid, "use": "sig", "alg": alg}


def shared(key: TokenKey) -> Jwk:
    """A key for HS256 as others need it to verify; who has it can make tokens too."""
    return published({"kty": "oct", "k": encode(key.verifies)}, key.alg, key.kid)


def seal(private: Any, alg: str, secret: Key, nonce: bytes) -> str:
    """The private key, for nobody but who has the secret key (AES-256-GCM)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    kid = thumbprint(public_jwk(private))
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return encode(nonce + AESGCM(secret.derive(Purpose.SIGNING, kid)).encrypt(nonce, plain, _bound(kid, alg)))


def unseal(sealed: str, kid: str, alg: str, secret: Key) -> Any:
    """The private key of this id, if the seal was made for it. Raises Unopened.

    So nobody who can only write into the database can bring a key of their own: it would open under none of ours.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        cipher = AESGCM(secret.derive(Purpose.SIGNING, kid))
        plain = cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(kid, alg))
    except (InvalidTag, ValueError):
        raise Unopened(kid) from None
    return load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)  # what the seal held is what we put in


def _bound(kid: str, alg: str) -> bytes:
    """What a seal is good for: this row, and this algorithm."""
    return f"{kid} {alg}".encode()


def _number(value: int, length: int | None = None) -> str:
    """Big-endian; of a fixed length, or without a leading zero byte (RFC 7518 section 2)."""
    return encode(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))
