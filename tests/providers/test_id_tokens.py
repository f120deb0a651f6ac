"""Promises of providers/id_tokens.py: a token that is not exactly ours, whole, signed and of now proves nothing (D5)."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from authsvc.providers import id_tokens, keys
from authsvc.providers.id_tokens import Claims, Expected, FindKey, Refused
from tests.providers.tokens import (
    ACCESS_TOKEN,
    ISSUER,
    KID,
    NOW,
    Sign,
    at_hash,
    b64,
    by_ec,
    by_hand,
    by_rsa,
    claims,
    ec_jwk,
    ec_key,
    ed_jwk,
    ed_key,
    rsa_jwk,
    rsa_key,
    signed,
)
from tests.providers.vendors import ATTEMPT, CLIENT_ID, SECRET

HEADER = {"alg": "RS256", "kid": KID}
HUGE = "1" + "0" * 400  # more than a float holds


def expected(**changes: Any) -> Expected:
    made = {
        "is_issuer": lambda told: told.get("iss") == ISSUER,
        "client_id": CLIENT_ID,
        "nonce": ATTEMPT.nonce,
        "nonce_may_lack": False,
        "access_token": ACCESS_TOKEN,
    }
    return Expected(**made | changes)


def among(*published: dict[str, Any]) -> FindKey:
    """As Keys finds one in such a key set."""
    return lambda kid, alg: keys._matching(list(published), kid, alg)


def check(token: Any, find_key: FindKey | None, **changes: Any) -> Claims:
    return id_tokens.verified(token, expected(**changes), NOW, find_key)


def hmac_token(key: bytes, alg: str) -> str:
    return by_hand({"alg": alg, "kid": KID}, claims(), lambda message: hmac.digest(key, message, f"sha{alg[2:]}"))


def public_pem() -> bytes:
    return rsa_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def with_claims(**changes: Any) -> Callable[[], Any]:
    return lambda: signed(claims(**changes))


def with_text(old: str, new: str) -> Callable[[], Any]:
    """The claims with a piece of their JSON replaced by what no encoder writes."""

    def made() -> str:
        text = json.dumps(claims())
        assert old in text
        return by_hand(HEADER, text.replace(old, new).encode())

    return made


def with_hand_made(**changes: Any) -> Callable[[], Any]:
    """As with_claims, for what no library signs."""
    return lambda: by_hand(HEADER, claims(**changes))


def with_header(header: Any, sign: Sign | None = None) -> Callable[[], Any]:
    return lambda: by_hand(header, claims(), sign)


EXP, IAT = f'"exp": {NOW + 3600}', f'"iat": {NOW}'
# What no key makes good: refused whether or not the signature is looked at.
HOSTILE: dict[str, Callable[[], Any]] = {
    "other aud": with_claims(aud="another-client"),
    "aud that contains ours": with_claims(aud=CLIENT_ID + "2"),
    "aud a list of others": with_claims(aud=["another-client"]),
    "aud missing": with_claims(aud=...),
    "aud null": with_claims(aud=None),
    "aud empty list": with_claims(aud=[]),
    "aud an object": with_claims(aud={CLIENT_ID: True}),
    "aud a list in a list": with_claims(aud=[[CLIENT_ID]]),
    "several aud, no azp": with_claims(aud=[CLIENT_ID, "another-client"]),
    "several aud, other azp": with_claims(aud=[CLIENT_ID, "another-client"], azp="another-client"),
    "one aud, other azp": with_claims(azp="another-client"),
    "azp null": with_claims(azp=None),
    "azp a list": with_claims(azp=[CLIENT_ID]),
    "other iss": with_claims(iss="https://evil.example"),
    "iss with a slash more": with_claims(iss=ISSUER + "/"),
    "iss in other case": with_claims(iss=ISSUER.upper()),
    "iss missing": with_claims(iss=...),
    "iss a list": with_claims(iss=[ISSUER]),
    "nonce missing": with_claims(nonce=...),
    "nonce null": with_claims(nonce=None),
    "nonce empty": with_claims(nonce=""),
    "other nonce": with_claims(nonce=ATTEMPT.nonce + "x"),
    "nonce in a list": with_claims(nonce=[ATTEMPT.nonce]),
    "nonce a number": with_claims(nonce=0),
    "nonce a lone surrogate": with_hand_made(nonce="\ud800"),
    "expired": with_claims(exp=NOW - 121),
    "expired at the edge": with_claims(exp=NOW - 120),
    "exp missing": with_claims(exp=...),
    "exp null": with_claims(exp=None),
    "exp text": with_claims(exp=str(NOW + 3600)),
    "exp true": with_claims(exp=True),
    "exp a list": with_claims(exp=[NOW + 3600]),
    "iat in the future": with_claims(iat=NOW + 121),
    "iat missing": with_claims(iat=...),
    "iat text": with_claims(iat=str(NOW)),
    "nbf in the future": with_claims(nbf=NOW + 121),
    "nbf text": with_claims(nbf="0"),
    "nbf null": with_claims(nbf=None),
    "exp NaN": with_text(EXP, '"exp": NaN'),
    "exp Infinity": with_text(EXP, '"exp": Infinity'),
    "exp 1e999": with_text(EXP, '"exp": 1e999'),
    "exp of 400 digits": with_text(EXP, f'"exp": {HUGE}'),
    "exp of 10000 digits": with_text(EXP, f'"exp": {"9" * 10_000}'),
    "iat -Infinity": with_text(IAT, '"iat": -Infinity'),
    "iat of 400 digits": with_text(IAT, f'"iat": {HUGE}'),
    "iat -1 of 400 digits": with_text(IAT, f'"iat": -{HUGE}'),
    "nbf of 400 digits": with_text(IAT, f'{IAT}, "nbf": {HUGE}'),
    "aud twice": with_text('"aud": ', '"aud": "another-client", "aud": '),
    "sub twice": with_text('"sub": ', '"sub": "mallory", "sub": '),
    "email_verified twice": with_text('"email_verified": true', '"email_verified": false, "email_verified": true'),
    "a member twice, deep inside": with_text(IAT, f'{IAT}, "address": {{"a": 1, "a": 2}}'),
    "sub missing": with_claims(sub=...),
    "sub a number": with_claims(sub=248289761001),
    "sub empty": with_claims(sub=""),
    "sub null": with_claims(sub=None),
    "sub a list": with_claims(sub=["248289761001"]),
    "at_hash of another token": with_claims(at_hash=at_hash("another-token")),
    "at_hash of the whole hash": with_claims(at_hash=b64(hashlib.sha256(ACCESS_TOKEN.encode()).digest())),
    "at_hash of another hash": with_claims(at_hash=at_hash(ACCESS_TOKEN, "sha512")),
    "at_hash padded": with_claims(at_hash=at_hash(ACCESS_TOKEN) + "=="),
    "at_hash empty": with_claims(at_hash=""),
    "at_hash a number": with_claims(at_hash=0),
    "at_hash a lone surrogate": with_hand_made(at_hash="\udfff"),
    "alg none": with_header({"alg": "none"}, lambda _: b""),
    "alg None": with_header({"alg": "None"}, lambda _: b""),
    "alg nOnE with a signature": with_header({"alg": "nOnE", "kid": KID}),
    "alg in lower case": with_header({"alg": "rs256", "kid": KID}),
    "alg missing": with_header({"kid": KID}),
    "alg null": with_header({"alg": None, "kid": KID}),
    "alg a list": with_header({"alg": ["RS256"], "kid": KID}),
    "alg an object": with_header({"alg": {}, "kid": KID}),
    "alg a number": with_header({"alg": 256, "kid": KID}),
    "HS256 with the client secret": lambda: hmac_token(SECRET.encode(), "HS256"),
    "HS512 with the client secret": lambda: hmac_token(SECRET.encode(), "HS512"),
    "HS256 with the public key as secret": lambda: hmac_token(public_pem(), "HS256"),
    "ES256K": with_header({"alg": "ES256K", "kid": KID}),
    "a critical header nobody knows": with_header({**HEADER, "crit": ["exp"], "exp": NOW}),
    "kid a number": with_header({"alg": "RS256", "kid": 1}),
    "kid a list": with_header({"alg": "RS256", "kid": [KID]}),
    "not encoded payload": with_header({**HEADER, "b64": False, "crit": ["b64"]}),
    "header a list": with_header([HEADER]),
    "header no JSON": with_header(b"{"),
    "claims a list": lambda: by_hand(HEADER, [claims()]),
    "claims null": lambda: by_hand(HEADER, None),
    "claims empty": lambda: by_hand(HEADER, b""),
    "claims no JSON": lambda: by_hand(HEADER, b"{'sub': 1}"),
    "claims no UTF-8": lambda: by_hand(HEADER, b'{"sub": "\xff"}'),
    "claims deep": lambda: by_hand(HEADER, b"[" * 5_900),
    "claims of a number": lambda: by_hand(HEADER, b"9" * 10_000),
    "not a token": lambda: "not-a-token",
    "empty": lambda: "",
    "only dots": lambda: "..",
    "two parts": lambda: signed(claims()).rpartition(".")[0],
    "four parts": lambda: signed(claims()) + ".AAAA",
    "encrypted, five parts": lambda: b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}') + ".AAAA.AAAA.AAAA.AAAA",
    "bad base64": lambda: signed(claims()).replace(".", ".!", 1),
    "standard base64": lambda: signed(claims()).replace(".", ".+/", 1),
    "a newline inside": lambda: signed(claims()).replace(".", "\n.", 1),
    "a lone surrogate inside": lambda: signed(claims()) + "\ud800",
    "an umlaut inside": lambda: signed(claims()) + "ä",
    "bytes": lambda: signed(claims()).encode(),
    "null": lambda: None,
    "a number": lambda: 1,
    "an object": lambda: {"id_token": signed(claims())},
    "more than 16 KiB": with_claims(filler="x" * 12_300),
    "a megabyte": with_claims(filler="x" * 1_000_000),
}
# What only the signature tells: the claims are those of a genuine token.
FORGED: dict[str, Callable[[], tuple[Any, list[dict[str, Any]]]]] = {
    "another key of the same id": lambda: (by_hand(HEADER, claims(), by_rsa(rsa_key("other"))), [rsa_jwk()]),
    "kid unknown": lambda: (signed(claims(), kid="unknown"), [rsa_jwk()]),
    "kid empty": lambda: (signed(claims(), kid=""), [rsa_jwk()]),
    "no kid, and two keys": lambda: (by_hand({"alg": "RS256"}, claims()), [rsa_jwk(), rsa_jwk(rsa_key("other"), kid="2")]),
    "no key at all": lambda: (signed(claims()), []),
    "signature empty": lambda: (by_hand(HEADER, claims(), lambda _: b""), [rsa_jwk()]),
    "signature of another token": lambda: (
        signed(claims()).rpartition(".")[0] + "." + signed(claims(sub="mallory")).rpartition(".")[2],
        [rsa_jwk()],
    ),
    "claims changed": lambda: (
        ".".join([(parts := signed(claims()).split("."))[0], b64(json.dumps(claims(sub="mallory")).encode()), parts[2]]),
        [rsa_jwk()],
    ),
    "ES256 in the header, RSA key": lambda: (by_hand({"alg": "ES256", "kid": KID}, claims()), [rsa_jwk()]),
    "RS256 in the header, EC key": lambda: (by_hand(HEADER, claims(), by_ec(ec_key())), [ec_jwk()]),
    "PS256 in the header, signed as RS256": lambda: (by_hand({"alg": "PS256", "kid": KID}, claims()), [rsa_jwk()]),
    "RS512 in the header, signed as RS256": lambda: (by_hand({"alg": "RS512", "kid": KID}, claims(at_hash=...)), [rsa_jwk()]),
    "key for another alg": lambda: (signed(claims()), [rsa_jwk(alg="RS512")]),
    "key for encryption": lambda: (signed(claims()), [rsa_jwk(use="enc")]),
    "RSA of 1024 bits": lambda: (by_hand(HEADER, claims(), by_rsa(rsa_key("small", 1024))), [rsa_jwk(rsa_key("small", 1024))]),
    "PS256, RSA of 1024 bits": lambda: (by_hand({"alg": "PS256", "kid": KID}, claims()), [rsa_jwk(rsa_key("small", 1024))]),
    "ES256 with a P-384 key": lambda: (
        by_hand({"alg": "ES256", "kid": KID}, claims(), by_ec(ec_key("P-384"))),
        [ec_jwk(curve="P-384")],
    ),
    "ES384 with a P-256 key": lambda: (
        by_hand({"alg": "ES384", "kid": KID}, claims(at_hash=...), by_ec(ec_key(), hashes.SHA384())),
        [ec_jwk()],
    ),
    "ES256 as zeros": lambda: (by_hand({"alg": "ES256", "kid": KID}, claims(), lambda _: bytes(64)), [ec_jwk()]),
    "EdDSA with another key": lambda: (by_hand({"alg": "EdDSA", "kid": KID}, claims(at_hash=...), ed_key("other").sign), [ed_jwk()]),
    "EdDSA with an X25519 key": lambda: (
        by_hand({"alg": "EdDSA", "kid": KID}, claims(at_hash=...), ed_key().sign),
        [ed_jwk(crv="X25519")],
    ),
    "the key in the header": lambda: (
        by_hand({**HEADER, "kid": "mine", "jwk": rsa_jwk(rsa_key("other"), kid="mine")}, claims(), by_rsa(rsa_key("other"))),
        [rsa_jwk()],
    ),
    "two keys of one id": lambda: (signed(claims()), [rsa_jwk(), rsa_jwk(rsa_key("other"))]),
    "n missing": lambda: (signed(claims()), [{"kty": "RSA", "kid": KID, "e": "AQAB"}]),
    "n empty": lambda: (signed(claims()), [rsa_jwk(n="")]),
    "n a number": lambda: (signed(claims()), [rsa_jwk(n=1)]),
    "n no base64": lambda: (signed(claims()), [rsa_jwk(n="ä!")]),
    "n of 100 kilobytes": lambda: (signed(claims()), [rsa_jwk(n="_" * 100_000)]),
    "e one": lambda: (signed(claims()), [rsa_jwk(e="AQ")]),
    "e even": lambda: (signed(claims()), [rsa_jwk(e="Ag")]),
    "the private key is published, in part": lambda: (signed(claims()), [rsa_jwk(d="AQAB")]),
    "the private key is published": lambda: (
        by_hand(HEADER, claims(), by_rsa(rsa_key("other"))),
        [RSAKey.import_key(rsa_key()).as_dict(private=True) | {"kid": KID}],
    ),
    "the private EC key is published": lambda: (
        by_hand({"alg": "ES256", "kid": KID}, claims(), by_ec(ec_key(name="other"))),
        [ECKey.import_key(ec_key()).as_dict(private=True) | {"kid": KID}],
    ),
    "x off the curve": lambda: (by_hand({"alg": "ES256", "kid": KID}, claims(), by_ec(ec_key())), [ec_jwk(x=b64(bytes(32)))]),
    "x short": lambda: (by_hand({"alg": "ES256", "kid": KID}, claims(), by_ec(ec_key())), [ec_jwk(x="AA")]),
    "x a list": lambda: (by_hand({"alg": "ES256", "kid": KID}, claims(), by_ec(ec_key())), [ec_jwk(x=[])]),
    "crv unknown": lambda: (by_hand({"alg": "ES256", "kid": KID}, claims(), by_ec(ec_key())), [ec_jwk(crv="P-1")]),
    "crv a list": lambda: (by_hand({"alg": "ES256", "kid": KID}, claims(), by_ec(ec_key())), [ec_jwk(crv=["P-256"])]),
    "symmetric key": lambda: (signed(claims()), [{"kty": "oct", "kid": KID, "k": b64(SECRET.encode())}]),
}
KEYS = {"with keys": among(rsa_jwk()), "without": None}
NOISE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("find_key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("token", HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_exactly_ours_is_refused(token: Callable[[], Any], find_key: FindKey | None) -> None:
    """D5: with the signature looked at (and genuine, where one can be made) and without, and by no other exception."""
    with pytest.raises(Refused):
        check(token(), find_key)


@pytest.mark.parametrize("made", FORGED.values(), ids=FORGED)
def test_what_no_key_of_the_provider_has_signed_is_refused(made: Callable[[], tuple[Any, list[dict[str, Any]]]]) -> None:
    """D5, RFC 8725: one key, of the token's family, curve and size, meant for signatures, and a signature of this very token."""
    token, published = made()
    with pytest.raises(Refused):
        check(token, among(*published))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    {
        "genuine": ({}, {}),
        "aud in a list": ({"aud": [CLIENT_ID]}, {}),
        "several aud and our azp": ({"aud": [CLIENT_ID, "another-client"], "azp": CLIENT_ID}, {}),
        "azp ours": ({"azp": CLIENT_ID}, {}),
        "just expired": ({"exp": NOW - 119}, {}),
        "clock ahead": ({"iat": NOW + 120, "nbf": NOW + 120}, {}),
        "times with a fraction": ({"exp": NOW + 0.5, "iat": NOW - 0.5}, {}),
        "no at_hash": ({"at_hash": ...}, {}),
        "no nonce where none is given back": ({"nonce": ...}, {"nonce_may_lack": True}),
        "nonce where none need be given back": ({}, {"nonce_may_lack": True}),
        "just below 16 KiB": ({"filler": "x" * 11_400}, {}),
    }.values(),
)
@pytest.mark.parametrize("find_key", KEYS.values(), ids=KEYS)
def test_a_genuine_one_counts(changes: dict[str, Any], wanted: dict[str, Any], find_key: FindKey | None) -> None:
    """Its claims as they were signed; the leeway is two minutes and no second more."""
    assert check(signed(claims(**changes)), find_key, **wanted) == claims(**changes)


@pytest.mark.parametrize("find_key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("nonce", ["", "another", 0, [ATTEMPT.nonce]])
def test_a_nonce_that_may_lack_must_fit_where_it_is_there(nonce: Any, find_key: FindKey | None) -> None:
    """LinkedIn leaves it out; a wrong one is a token of another sign-in all the same."""
    with pytest.raises(Refused):
        check(signed(claims(nonce=nonce)), find_key, nonce_may_lack=True)


@pytest.mark.parametrize(
    ("alg", "digest"),
    [
        *((f"{family}{size}", f"sha{size}") for family in ("RS", "PS", "ES") for size in (256, 384, 512)),
    ],
)
def test_every_algorithm_is_verified_against_another_library(alg: str, digest: str) -> None:
    """RFC 7518 section 3.1: signed by joserfc, with the hash of that algorithm in at_hash; the hash of another is refused."""
    curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}.get(alg, "P-256")
    find_key = among(rsa_jwk(), ec_jwk(curve=curve), ed_jwk())
    told = claims(at_hash=at_hash(ACCESS_TOKEN, digest))

    assert check(signed(told, alg), find_key) == told
    assert check(signed(told, alg), None) == told
    for other in {"sha256", "sha384", "sha512"} - {digest}:
        with pytest.raises(Refused):
            check(signed(claims(at_hash=at_hash(ACCESS_TOKEN, other)), alg), find_key)


def test_ed25519_is_verified_with_its_own_hash() -> None:
    """RFC 8037: its hash is SHA-512, of which at_hash is the left half."""
    told = claims(at_hash=at_hash(ACCESS_TOKEN, "sha512"))
    header = {"alg": "EdDSA", "kid": KID}

    assert check(by_hand(header, told, ed_key().sign), among(ed_jwk())) == told
    with pytest.raises(Refused):
        check(by_hand(header, claims(), ed_key().sign), among(ed_jwk()))


def test_a_token_that_names_no_key_is_verified_by_the_only_one() -> None:
    """RFC 7515 section 4.1.4: `kid` is optional; keys for encryption and of another family do not count."""
    find_key = among(rsa_jwk(rsa_key("other"), use="enc"), ec_jwk(), rsa_jwk())
    assert check(by_hand({"alg": "RS256"}, claims()), find_key) == claims()


def test_the_key_is_asked_for_by_what_the_header_says() -> None:
    """Its id and algorithm, once; an algorithm that is not on the list asks for none."""
    asked: list[tuple[str | None, str]] = []

    def find_key(kid: str | None, alg: str) -> Any:
        asked.append((kid, alg))
        return among(rsa_jwk())(kid, alg)

    check(signed(claims()), find_key)
    with pytest.raises(Refused):
        check(hmac_token(public_pem(), "HS256"), find_key)
    assert asked == [(KID, "RS256")]


@pytest.mark.parametrize("depth", [1_000, 5_000])
@pytest.mark.parametrize("find_key", KEYS.values(), ids=KEYS)
def test_depth_is_no_danger(find_key: FindKey | None, depth: int) -> None:
    """How deep JSON may be is the interpreter's to say: such a token is read or refused, and nothing breaks."""
    deep = "[" * depth + "]" * depth
    for token in (with_header(f'{{"alg": "RS256", "kid": "{KID}", "x": {deep}}}'.encode())(), with_text(IAT, f'{IAT}, "x": {deep}')()):
        with suppress(Refused):
            assert check(token, find_key)["sub"] == claims()["sub"]


def test_why_it_is_refused_says_nothing_of_the_token() -> None:
    """The reason goes to the log: neither the token nor a claim of it stands there."""
    for made in HOSTILE.values():
        with pytest.raises(Refused) as refused:
            check(made(), None)
        assert not any(word in str(refused.value) for word in ("ada@", "eyJ", ATTEMPT.nonce, ACCESS_TOKEN, "248289761001"))


@NOISE
@given(st.text() | st.binary() | st.integers() | st.none() | st.lists(st.text()))
def test_no_noise_is_a_token(noise: Any) -> None:
    """Hostile text is parsed inside the guard: nothing but Refused."""
    for find_key in KEYS.values():
        with pytest.raises(Refused):
            check(noise, find_key)


@NOISE
@given(st.data())
def test_no_altered_token_passes(data: st.DataObject) -> None:
    """One character changed, taken out or put in, anywhere: refused where the signature is looked at, and no other exception
    where it is not."""
    token = signed(claims())
    at = data.draw(st.integers(0, len(token) - 1))
    put = data.draw(st.sampled_from(["", "A", ".", "-", "=", "\n", "é", "\0", '"']))
    changed = token[:at] + put + token[at + data.draw(st.integers(0, 2)) :]
    if changed == token:
        return

    with pytest.raises(Refused):
        check(changed, KEYS["with keys"])
    with suppress(Refused):
        check(changed, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=6,
)


@NOISE
@given(st.dictionaries(st.sampled_from(sorted({*claims(), "azp", "nbf"})), JSON, max_size=4), st.booleans())
def test_no_claim_makes_another_exception(changes: dict[str, Any], keyed: bool) -> None:
    """Whatever a provider puts into its claims is judged or refused."""
    try:
        told = check(by_hand(HEADER, claims(**changes)), KEYS["with keys" if keyed else "without"])
    except Refused:
        return
    assert told["aud"] in (CLIENT_ID, [CLIENT_ID]) or told["azp"] == CLIENT_ID
    assert (told["iss"], told["nonce"]) == (ISSUER, ATTEMPT.nonce)


@NOISE
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "zip"]), JSON, max_size=4), st.booleans())
def test_no_header_makes_another_exception(changes: dict[str, Any], keyed: bool) -> None:
    """Nor what stands in its header, which is read before anything is verified."""
    with suppress(Refused):
        check(by_hand({**HEADER, **changes}, claims()), KEYS["with keys" if keyed else "without"])


@NOISE
@given(
    st.sampled_from(["RS256", "PS256", "ES256", "EdDSA"]),
    st.dictionaries(
        st.sampled_from(["kty", "n", "e", "d", "p", "q", "crv", "x", "y", "use", "alg", "kid", "key_ops", "oth"]), JSON, max_size=5
    ),
)
def test_no_published_key_makes_another_exception(alg: str, changes: dict[str, Any]) -> None:
    """Nor what a provider publishes in its key set: a key that is none is not found."""
    for whole in (rsa_jwk(), ec_jwk(), ed_jwk()):
        with suppress(Refused):
            check(by_hand({"alg": alg, "kid": KID}, claims(at_hash=...)), among(whole | changes))
