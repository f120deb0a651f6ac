"""Attacks B1 to B4 on access tokens that a key pair signs: for each algorithm, what passes for HS256 must not pass here either."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import signing
from authsvc.primitives import keypairs
from authsvc.primitives.jws import ASYMMETRIC, TokenKey
from authsvc.primitives.keyring import Key, Purpose
from tests.support import START, Client, FakeWorld, running

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NO_LIMITS = {f"limit_{name}": "0" for name in ("login", "login_account", "login_network", "register", "register_all", "refresh", "read")}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Victim:
    """A signed-in user of a service with key pairs, and the means to forge with whatever key."""

    app: App
    client: Client
    token: str

    @property
    def key(self) -> TokenKey:
        return self.app.core.token_keys.current()

    @property
    def header(self) -> dict[str, Any]:
        return jwt.get_unverified_header(self.token)

    @property
    def claims(self) -> dict[str, Any]:
        return jwt.decode(self.token, options={"verify_signature": False})

    def forge(self, header: dict[str, Any], private: Any = None, claims: dict[str, Any] | None = None) -> str:
        """Any header and claims, with the right kind of signature by this key, or by the service's own."""
        body = ".".join(b64(json.dumps(part).encode()) for part in (header, self.claims if claims is None else claims))
        return f"{body}.{b64(raw_signature(private or self.key.signs, body.encode()))}"

    def assert_refused(self, token: str) -> None:
        answer = self.client.get("/user", token=token)
        assert (answer.status, answer.code) == (401, "invalid_token"), token


def raw_signature(private: Any, message: bytes) -> bytes:
    """As JWS has it; for ECDSA r and s, not DER."""
    if isinstance(private, bytes):
        return hmac.digest(private, message, "sha256")
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(message)
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
    size = (private.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@pytest.fixture(params=ASYMMETRIC)
def alg(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def victim(tmp_path: Path, world: FakeWorld, alg: str) -> Iterator[Victim]:
    with running(tmp_path, world, jwt_alg=alg, access_seconds=3600, **NO_LIMITS) as app:
        victim = Victim(app, Client(app), str(Client(app).register()["access_token"]))
        assert victim.client.get("/user", token=victim.forge(victim.header)).status == 200, "what is forged well would pass"
        yield victim


def test_b1_an_unsigned_token_is_refused(victim: Victim) -> None:
    """`none` in any case, and an absent, empty or cut signature."""
    head, payload, signature = victim.token.split(".")
    for name in ("none", "None", "NONE", "nOnE", "", None):
        forged = f"{b64(json.dumps({**victim.header, 'alg': name}).encode())}.{payload}."
        for token in (forged, forged + signature, forged.rstrip(".")):
            victim.assert_refused(token)
    for token in (f"{head}.{payload}.", f"{head}.{payload}", f"{head}..{signature}", f"{head}.{payload}.{signature[:-2]}"):
        victim.assert_refused(token)


def test_b1_the_public_key_is_no_secret_for_hs256(victim: Victim) -> None:
    """Everybody has it, in whatever form they HMAC with it; under its own id, under the secret key's, and under none."""
    public = victim.key.verifies
    shown = keypairs.public_jwk(victim.key.signs)
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(shown).encode(),
        json.dumps(keypairs.published(shown, victim.key.alg, victim.key.kid), separators=(",", ":")).encode(),
        unb64(shown.get("x", shown.get("n", ""))),
        b"",
        victim.key.kid.encode(),
    ]
    for secret in forms:
        for kid in (victim.key.kid, victim.app.core.keyring.current.kid, "HS256", ""):
            for name in ("HS256", victim.key.alg):
                victim.assert_refused(victim.forge({**victim.header, "alg": name, "kid": kid}, secret or b"\0"))


def test_b1_hs256_ends_with_the_former_setting(victim: Victim, world: FakeWorld) -> None:
    """The sub-key that HS256 services were given makes no token any more, once those of before have run out."""
    key = victim.app.core.keyring.current
    world.advance(3600 + 60 + 10)
    victim.app.core.token_keys.look()
    now = world.now() // 1000
    claims = {**victim.claims, "iat": now, "exp": now + 900}
    assert victim.client.get("/user", token=victim.forge(victim.header, claims=claims)).status == 200
    victim.assert_refused(victim.forge({**victim.header, "alg": "HS256", "kid": key.kid}, key.sub(Purpose.ACCESS), claims))


@pytest.mark.parametrize(
    "name",
    ["HS256", "HS512", "RS256", "RS512", "PS256", "ES256", "ES256K", "ES384", "EdDSA", "Ed25519", "eddsa", "es256", "rs256", None, 7, []],
)
def test_b1_the_algorithm_is_the_keys_and_never_the_headers(victim: Victim, name: Any) -> None:
    """A right signature under a header that says otherwise."""
    if name != victim.key.alg:
        victim.assert_refused(victim.forge({**victim.header, "alg": name}))
    victim.assert_refused(victim.forge({key: value for key, value in victim.header.items() if key != "alg"}))


def test_b1_a_strangers_pair_signs_nothing(victim: Victim) -> None:
    """Not under our id, not under its own, not with its public half or an address in the header."""
    private = keypairs.generate(victim.key.alg)
    shown = keypairs.public_jwk(private)
    own = keypairs.thumbprint(shown)
    address = "https://evil.example/jwks.json"
    extras: list[dict[str, Any]] = [
        {}, {"jwk": {**shown, "kid": own, "alg": victim.key.alg}}, {"jku": address}, {"x5u": address}, {"x5c": [b64(b"x" * 32)]},
    ]  # fmt: skip
    for extra in extras:
        for kid in (victim.key.kid, own):
            victim.assert_refused(victim.forge({**victim.header, "kid": kid, **extra}, private))


def test_b1_another_kind_of_key_signs_nothing(victim: Victim) -> None:
    """Wrong curve and wrong family, by signatures of the right length where there are such."""
    for private in (
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ):
        victim.assert_refused(victim.forge(victim.header, private))


def test_b1_signatures_that_are_no_numbers_are_refused(victim: Victim) -> None:
    """Zeros (CVE-2022-21449), the order of the curve, all ones, DER, two signatures in a row."""
    body, _, signature = victim.token.rpartition(".")
    raw = unb64(signature)
    order = P256_ORDER.to_bytes(32, "big")
    for forged in (
        bytes(len(raw)),
        b"\xff" * len(raw),
        (order * 8)[: len(raw)],
        raw[: len(raw) // 2] * 2,
        raw + raw,
        raw[::-1],
        raw[1:],
        b"\0" + raw,
    ):
        victim.assert_refused(f"{body}.{b64(forged)}")
    if victim.key.alg == "ES256":
        victim.assert_refused(f"{body}.{b64(victim.key.signs.sign(body.encode(), ec.ECDSA(hashes.SHA256())))}")


def test_b1_every_changed_digit_breaks_a_token(victim: Victim) -> None:
    """One spelling: not a place of it, the spare bits of its last digit included."""
    token = victim.token
    changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(0, len(token), 11)]
    last = [token[:-1] + digit for digit in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if digit != token[-1]]
    for hostile in (*changed, *last, token + "=", token + "==", token + "A", token + ".", " " + token[1:], token.swapcase()):
        victim.assert_refused(hostile.strip() if hostile.startswith(" ") else hostile)


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"crit": []}, {"crit": None}, {"b64": False}], ids=str
)
def test_b1_a_critical_extension_refuses_the_token(victim: Victim, extra: dict[str, Any]) -> None:
    """Under our own signature."""
    victim.assert_refused(victim.forge({**victim.header, **extra}))


STRANGE: dict[str, Any] = {
    "path": "../../../../dev/null", "sql": "' OR '1'='1", "union": "x' UNION SELECT sealed FROM signing_keys --", "wildcard": "%",
    "percent": "%" * 43, "underscores": "_" * 43, "unknown": "A" * 43, "short": "A" * 8, "empty": "", "nul": "\0" * 43,
    "surrogate": "\ud800" * 43, "number": 0, "list": [], "null": None, "long": "A" * 4000, "state": "current", "derived": "HS256",
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_b2_a_strange_kid_finds_no_key(victim: Victim, name: str) -> None:
    """Neither by our own signature nor by the algorithm that a row of the table might suggest."""
    for alg in (victim.key.alg, "HS256"):
        victim.assert_refused(victim.forge({**victim.header, "alg": alg, "kid": STRANGE[name]}))
        victim.assert_refused(victim.forge({**victim.header, "alg": alg, "kid": STRANGE[name]}, b"\0"))
    victim.assert_refused(victim.forge({name: value for name, value in victim.header.items() if name != "kid"}))


def test_b2_a_token_names_the_very_key_that_signed_it(victim: Victim) -> None:
    """Each of the three states checks its own tokens only."""
    signing.rotate(victim.app.core, CLI)
    keys = victim.app.core.token_keys.look().keys
    assert len(keys) == 3
    for kid in keys:
        for other, key in keys.items():
            token = victim.forge({**victim.header, "kid": kid}, key.signs)
            if kid == other:
                assert victim.client.get("/user", token=token).status == 200
            else:
                victim.assert_refused(token)


def test_b2_a_kid_that_is_none_of_ours_costs_one_look_at_most(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read of a table of three rows for what has the form of an id, nothing for anything else; no memory is taken."""
    keys, store = victim.app.core.token_keys, victim.app.core.store
    keys.look()
    known, reads, genuine = keys._set, [], store.read
    monkeypatch.setattr(store, "read", lambda: (reads.append(1), genuine())[1])
    for number in range(50):
        assert keys.find(f"{number:043}") is None
    assert len(reads) == 50
    for kid in ("", "A" * 42, "A" * 44, "A" * 8, "A" * 4000):
        assert keys.find(kid) is None
    assert len(reads) == 50
    remembered = dict(victim.app.core.tokens._verified)
    victim.assert_refused(victim.forge({**victim.header, "kid": "B" * 43}))
    assert (keys._set, victim.app.core.tokens._verified) == (known, remembered)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_b2_no_derived_value_is_a_signature(victim: Victim, purpose: Purpose) -> None:
    """Of whatever purpose, under the id of the pair or of the secret key that derives it."""
    secret: Key = victim.app.core.keyring.current
    victim.assert_refused(victim.forge({**victim.header, "alg": "HS256"}, secret.sub(purpose)))
    if purpose is not Purpose.ACCESS:
        victim.assert_refused(victim.forge({**victim.header, "alg": "HS256", "kid": secret.kid}, secret.sub(purpose)))


@pytest.mark.parametrize("typ", ["JWT", "id_token", "AT+JWT", "at+jwt ", "application/at+jwt", "", None, 1])
def test_b3_a_token_of_another_type_is_no_access_token(victim: Victim, typ: Any) -> None:
    """Though our own pair has signed it; nor is one without a type."""
    victim.assert_refused(victim.forge({**victim.header, "typ": typ}))
    victim.assert_refused(victim.forge({name: value for name, value in victim.header.items() if name != "typ"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"}, {"aud": "https://evil.example"}, {"aud": ["http://127.0.0.1:8000"]}, {"sub": 7}, {"sub": None},
        {"sid": "ses_00000000000000000000000000"}, {"gen": "1"}, {"gen": 2}, {"iat": START // 1000 + 61}, {"iat": True}, {"exp": "9999999999"},
        {"roles": "admin"}, {"caps": None}, {"acr": 1}, {"jti": None}, {"auth_time": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_b4_claims_are_checked_under_a_right_signature(victim: Victim, changes: dict[str, Any]) -> None:
    """Wrong issuer, audience, type, session or time."""
    victim.assert_refused(victim.forge(victim.header, claims={**victim.claims, **changes}))


def test_b4_an_expired_token_says_so_and_a_huge_one_is_not_read(victim: Victim, world: FakeWorld) -> None:
    """A minute after its end; and beyond 8 KiB whatever it says."""
    victim.assert_refused(victim.forge(victim.header, claims={**victim.claims, "note": "x" * 8000}))
    victim.assert_refused("A" * 100_000)
    world.advance(3600 + 60)
    assert victim.client.get("/user", token=victim.token).code == "token_expired"
