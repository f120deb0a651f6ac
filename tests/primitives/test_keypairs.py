"""Promises of primitives/keypairs.py and jws.py: the RFCs' own examples, seals that open for one row only, one algorithm a key."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk as joserfc_jwk
from joserfc import jws as joserfc_jws

from authsvc.primitives import jws, keypairs
from authsvc.primitives.jws import ALGORITHMS, ASYMMETRIC, HS256, Forged, TokenKey
from authsvc.primitives.keypairs import Unopened
from authsvc.primitives.keyring import Key, Purpose, encode

SECRET = Key(b"0123456789abcdef0123456789ABCDEF")
OTHER = Key(b"fedcba9876543210FEDCBA9876543210")
NONCE = bytes(range(12))
# RFC 7638 section 3.1
RSA_7638 = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W"
        "-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08q"
        "NLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
# RFC 8037 appendix A
ED_D, ED_X = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RSA_SIGNATURE = (
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
    "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
    "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)
# RFC 7515 appendix A: the same payload, signed three ways
PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
HMAC_K = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
EC_X, EC_Y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
RSA_N = (
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW"
    "vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k"
    "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
)
SIGNED_7515 = {
    "HS256": ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    "RS256": ("eyJhbGciOiJSUzI1NiJ9", RSA_SIGNATURE),
    "ES256": ("eyJhbGciOiJFUzI1NiJ9", "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"),
}


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    return int.from_bytes(raw(text), "big")


def verifier(alg: str) -> Any:
    if alg == "RS256":
        return rsa.RSAPublicNumbers(65537, number(RSA_N)).public_key()
    if alg == "ES256":
        return ec.EllipticCurvePublicNumbers(number(EC_X), number(EC_Y), ec.SECP256R1()).public_key()
    return raw(HMAC_K)


@pytest.fixture(scope="module")
def pairs() -> dict[str, Any]:
    return {alg: keypairs.generate(alg) for alg in ASYMMETRIC}


def token_key(alg: str, private: Any) -> TokenKey:
    return TokenKey(keypairs.thumbprint(keypairs.public_jwk(private)), alg, private, private.public_key())


def test_thumbprints_are_those_of_the_rfcs() -> None:
    """RFC 7638 section 3.1 and RFC 8037 appendix A.3: of the required members only."""
    assert keypairs.thumbprint(RSA_7638) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert keypairs.thumbprint({"kty": "OKP", "crv": "Ed25519", "x": ED_X, "use": "sig"}) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("alg", SIGNED_7515)
def test_the_signatures_of_rfc_7515_verify(alg: str) -> None:
    """Appendix A.1 to A.3; with a digit changed, cut, or under another algorithm's key they do not."""
    header, signature = SIGNED_7515[alg]
    key = TokenKey("", alg, None, verifier(alg))
    payload = jws.verified(f"{header}.{PAYLOAD}.{signature}", key)
    assert json.loads(payload) == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
    for forged in (
        f"{header}.{PAYLOAD}.{'E' if signature[0] != 'E' else 'F'}{signature[1:]}",
        f"{header}.{PAYLOAD[:-4]}AAAA.{signature}",
        f"{header}.{PAYLOAD}.{signature[:-1]}",
        f"{header}.{PAYLOAD}.{signature}A",
        f"{header}.{PAYLOAD}.",
        f"{header}.{PAYLOAD}",
    ):
        with pytest.raises(Forged):
            jws.verified(forged, key)
    for other in SIGNED_7515.keys() - {alg}:
        with pytest.raises(Forged):
            jws.verified(f"{header}.{PAYLOAD}.{signature}", TokenKey("", other, None, verifier(other)))


def test_the_signature_of_rfc_8037_is_made_and_verified() -> None:
    """Appendix A.4: Ed25519 is deterministic, so the very bytes of the RFC come out."""
    private = ed25519.Ed25519PrivateKey.from_private_bytes(raw(ED_D))
    assert keypairs.public_jwk(private) == {"kty": "OKP", "crv": "Ed25519", "x": ED_X}
    signed = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    key = TokenKey("", "EdDSA", private, private.public_key())
    assert jws.verified(signed, key) == b"Example of Ed25519 signing"
    assert encode(private.sign(signed.rpartition(".")[0].encode())) == signed.rpartition(".")[2]


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864; the name that verifiers know today
@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_another_library_reads_our_public_keys_and_signatures(pairs: dict[str, Any], alg: str) -> None:
    """joserfc imports the JWK, computes the same thumbprint, and verifies what we sign; nothing private is in the JWK."""
    private = pairs[alg]
    shown = keypairs.published(keypairs.public_jwk(private), alg, "k")
    imported = joserfc_jwk.import_key(shown)
    assert imported.thumbprint() == keypairs.thumbprint(shown)
    assert not imported.is_private
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & shown.keys()
    token = jws.sign(b"payload", token_key(alg, private), "at+jwt")
    assert joserfc_jws.deserialize_compact(token, imported, algorithms=[alg]).payload == b"payload"
    assert jws.header_of(token) == {"alg": alg, "typ": "at+jwt", "kid": keypairs.thumbprint(shown)}


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_every_key_of_a_kind_is_another_and_fit_for_the_command_line(alg: str) -> None:
    """No key is built in, and no id begins with a dash."""
    kids = {keypairs.thumbprint(keypairs.public_jwk(keypairs.generate(alg))) for _ in range(2 if alg == "RS256" else 200)}
    assert len(kids) == (2 if alg == "RS256" else 200)
    assert not [kid for kid in kids if kid.startswith("-")]


def test_coordinates_keep_their_leading_zeros() -> None:
    """RFC 7518 section 6.2.1.2: 32 bytes, however small the number is."""
    private = next(key for key in iter(lambda: ec.generate_private_key(ec.SECP256R1()), None) if _is_short(key))
    shown = keypairs.public_jwk(private)
    assert (len(raw(shown["x"])), len(raw(shown["y"]))) == (32, 32)
    assert joserfc_jwk.import_key(dict(shown)).thumbprint() == keypairs.thumbprint(shown)


def _is_short(key: Any) -> bool:
    numbers = key.public_key().public_numbers()
    return min(numbers.x, numbers.y).bit_length() <= 248


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_a_seal_opens_for_its_own_row_and_secret_only(pairs: dict[str, Any], alg: str) -> None:
    """Another secret key, another id, another algorithm or one changed digit: nothing opens; nor does the seal show the key."""
    private = pairs[alg]
    kid = keypairs.thumbprint(keypairs.public_jwk(private))
    sealed = keypairs.seal(private, alg, SECRET, NONCE)
    assert keypairs.public_jwk(keypairs.unseal(sealed, kid, alg, SECRET)) == keypairs.public_jwk(private)
    assert keypairs.seal(private, alg, SECRET, NONCE[::-1]) != sealed
    other_alg = next(other for other in ALGORITHMS if other != alg)
    for attempt in (
        (sealed, kid, alg, OTHER),
        (sealed, kid[::-1], alg, SECRET),
        (sealed, kid, other_alg, SECRET),
        (sealed[:-6] + "AAAAAA", kid, alg, SECRET),
        ("A" + sealed[1:] if sealed[0] != "A" else "B" + sealed[1:], kid, alg, SECRET),
        (sealed[:40], kid, alg, SECRET),
        ("", kid, alg, SECRET),
        ("ä", kid, alg, SECRET),
        ("AAAAAAAAAAAAAAAAAAAAAA", kid, alg, SECRET),
    ):
        with pytest.raises(Unopened):
            keypairs.unseal(*attempt)


def test_a_shared_key_is_the_sub_key_and_not_the_secret() -> None:
    """What another service verifies HS256 with: kty oct, by its id, and joserfc can use it."""
    sub = SECRET.sub(Purpose.ACCESS)
    shown = keypairs.shared(TokenKey(SECRET.kid, HS256, sub, sub))
    assert shown == {"kty": "oct", "k": encode(sub), "kid": SECRET.kid, "use": "sig", "alg": "HS256"}
    token = jws.sign(b"payload", TokenKey(SECRET.kid, HS256, sub, sub), "at+jwt")
    assert joserfc_jws.deserialize_compact(token, joserfc_jwk.import_key(dict(shown)), algorithms=["HS256"]).payload == b"payload"


def test_a_key_does_not_show_its_secret() -> None:
    """Neither half of a key stands in a traceback or a log."""
    assert "sub-key" not in repr(TokenKey("k", HS256, b"sub-key", b"sub-key"))
