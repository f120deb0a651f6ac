"""Attacks on tokens, sessions and cookies: section B of the attack list, one test or small group for each number."""

from __future__ import annotations

import base64
import hmac
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import jwt
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.flows import challenges
from authsvc.primitives import codes, devices, links, refresh
from authsvc.primitives.emails import Email
from authsvc.primitives.keyring import Keyring, Purpose
from authsvc.routes import ROUTES, Route
from authsvc.rules.challenges import MAGIC, RESET, UNDO, VERIFY, Kind
from tests.support import EMAIL, PASSWORD, START, Answer, Client, FakeWorld, actions, event_rows, running, together

T = TypeVar("T")

OTHER = "other@mail.com"
NEW_PASSWORD = "copper-lantern-27"
WRONG = "amber-meadow-55"
SECRET = "f0e1d2c3b4a5968778695a4b3c2d1e0f"
OLD_SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
FORM = "application/x-www-form-urlencoded"
UNLIMITED = dict.fromkeys((f"limit_{name}" for name in LIMITS), "0")
DAY = 86_400
HYPOTHESIS = settings(deadline=None, database=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, key: bytes, digest: str = "sha256") -> str:
    """A JWT put together by hand, so that nothing stops us from making a bad one."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = f"{b64(parts[0])}.{b64(parts[1])}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), digest))}"


@dataclass
class Victim:
    """A signed-in user, and the means to forge: the service's own key, and the header and claims of a good token."""

    app: App
    client: Client
    tokens: dict[str, Any]
    key: bytes = b""
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = self.app.core.keyring.current.sub(Purpose.ACCESS)
        self.header = jwt.get_unverified_header(self.access)
        self.claims = jwt.decode(self.access, options={"verify_signature": False})

    @property
    def access(self) -> str:
        return str(self.tokens["access_token"])

    @property
    def refresh(self) -> str:
        return str(self.tokens["refresh_token"])

    def stands(self) -> bool:
        """Whether the session is still there, not refreshed and not ended."""
        with self.app.core.store.read() as tx:
            found = tx.sessions.with_user(self.tokens["session_id"])
        return found is not None and found[0].counter == 0 and found[0].ended_at is None

    def assert_opens_nothing(self, token: str) -> None:
        """The token signs nobody in, by header or cookie, and cannot be refreshed."""
        for answer in (self.client.get("/user", token=token), self.client.get("/user", headers={"Cookie": f"authsvc_access={token}"})):
            assert (answer.status, answer.code) == (401, "invalid_token")
            assert 'error="invalid_token"' in (answer.header("WWW-Authenticate") or "")
            assert answer.header_list("Set-Cookie") == []
        assert self.client.get("/token/refresh", token=token).status == 401
        assert self.client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={token}"}).status == 401

    def assert_refused(self, token: str) -> None:
        """The token opens nothing, and the session that it names cannot be ended with it either."""
        self.assert_opens_nothing(token)
        assert self.client.get("/token/revoke", token=token).status in (200, 401)
        assert self.stands()
        assert [action for action in actions(self.app) if action != "keys.rotated"] == ["user.registered"]


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    """An app without limits: these tests are not about them."""
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


@pytest.fixture
def victim(app: App, client: Client) -> Victim:
    victim = Victim(app, client, client.register().json())
    assert client.get("/user", token=sign(victim.header, victim.claims, victim.key)).status == 200
    return victim


def test_b1_an_unsigned_token_is_refused(victim: Victim) -> None:
    """`alg: none` in any case, and an absent or empty signature, are no signature."""
    head, payload, signature = victim.access.split(".")
    victim.assert_refused(jwt.encode(victim.claims, None, "none", {**victim.header, "alg": "none"}))
    for alg in ("none", "None", "NONE", "nOnE", "", None):
        forged = f"{b64(json.dumps({**victim.header, 'alg': alg}).encode())}.{payload}."
        victim.assert_refused(forged)
        victim.assert_refused(forged + signature)
        victim.assert_refused(forged.rstrip("."))
    victim.assert_refused(f"{head}.{payload}.")
    victim.assert_refused(f"{head}.{payload}")
    victim.assert_refused(f"{head}..{signature}")
    victim.assert_refused(sign({**victim.header, "alg": "none"}, victim.claims, victim.key))


@pytest.mark.parametrize(
    "alg", ["hs256", "Hs256", "HS256 ", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "HS256\0", ["HS256"], 256]
)
def test_b1_the_algorithm_is_ours_and_never_the_headers(victim: Victim, alg: Any) -> None:
    """A right HMAC under a header that names another algorithm, or the same in another case, is refused."""
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(str(alg), "sha256")
    victim.assert_refused(sign({**victim.header, "alg": alg}, victim.claims, victim.key, digest))


def test_b1_a_header_without_an_algorithm_is_refused(victim: Victim) -> None:
    """An absent `alg` does not fall back to ours."""
    victim.assert_refused(sign({"typ": "at+jwt", "kid": victim.header["kid"]}, victim.claims, victim.key))


def test_b1_signatures_of_a_strangers_key_pair_are_refused(victim: Victim) -> None:
    """RS256 and ES256 tokens of somebody's own pair are refused, and so is an HMAC keyed with their public key."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pairs: dict[str, Any] = {"RS256": rsa.generate_private_key(65537, 2048), "ES256": ec.generate_private_key(ec.SECP256R1())}
    for alg, pair in pairs.items():
        public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        numbers = json.loads(jwt.get_algorithm_by_name(alg).to_jwk(pair.public_key()))
        header = {"typ": "at+jwt", "kid": victim.header["kid"]}
        victim.assert_refused(jwt.encode(victim.claims, pair, alg, header))
        victim.assert_refused(jwt.encode(victim.claims, pair, alg, {**header, "jwk": numbers}))
        victim.assert_refused(sign(victim.header, victim.claims, public))
        victim.assert_refused(sign({**victim.header, "jwk": numbers}, victim.claims, public))


@pytest.mark.parametrize("with_kid", [True, False], ids=["our-kid", "own-kid"])
@pytest.mark.parametrize(
    "member",
    [
        {"jwk": {"kty": "oct", "k": b64(b"k" * 32)}},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": [base64.b64encode(b"k" * 32).decode()]},
        {"key": b64(b"k" * 32)},
    ],
    ids=lambda member: next(iter(member)),
)
def test_b1_a_key_that_the_token_brings_along_is_not_used(victim: Victim, member: dict[str, Any], *, with_kid: bool) -> None:
    """Keys embedded or pointed to by the header verify nothing."""
    kid = victim.header["kid"] if with_kid else "evil-key"
    victim.assert_refused(sign({**victim.header, **member, "kid": kid}, victim.claims, b"k" * 32))


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"]},
        {"crit": ["x-unknown"], "x-unknown": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": "exp"},
        {"crit": [7]},
        {"crit": {}},
        {"crit": None},
        {"b64": False},
    ],
    ids=str,
)
def test_b1_a_critical_extension_that_we_do_not_know_refuses_the_token(victim: Victim, extra: dict[str, Any]) -> None:
    """`crit` names what must be understood (RFC 7515 section 4.1.11); we understand none, even under our own signature."""
    victim.assert_refused(sign({**victim.header, **extra}, victim.claims, victim.key))


STRANGE_KIDS: dict[str, Any] = {
    "path": "../../../../dev/null",
    "absolute": "/dev/null",
    "url": "https://evil.example/key",
    "sql": "' OR '1'='1",
    "union": "x' UNION SELECT '",
    "wildcard": "%",
    "star": "*",
    "unknown": "AAAAAAAA",
    "empty": "",
    "nul": "\0",
    "surrogate": "\ud800",
    "number": 0,
    "true": True,
    "list": [],
    "object": {},
    "null": None,
    "long": "A" * 4_000,
}


@pytest.mark.parametrize("name", STRANGE_KIDS)
def test_b2_a_strange_kid_finds_no_key(victim: Victim, name: str) -> None:
    """Whatever the kid says, the key comes from the ring or there is none; neither our key nor an empty one helps."""
    header = {**victim.header, "kid": STRANGE_KIDS[name]}
    for key in (victim.key, b"", b"\0" * 32):
        victim.assert_refused(sign(header, victim.claims, key))


def test_b2_a_missing_or_altered_kid_finds_no_key(victim: Victim) -> None:
    """No kid is not the current kid; nor is one in another case, cut or extended."""
    kid = victim.header["kid"]
    victim.assert_refused(sign({"typ": "at+jwt", "alg": "HS256"}, victim.claims, victim.key))
    for altered in (kid.swapcase(), kid[:-1], kid + "A", f" {kid}", [kid], {kid: kid}):
        victim.assert_refused(sign({**victim.header, "kid": altered}, victim.claims, victim.key))


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.ACCESS])
def test_b2_a_key_of_another_purpose_signs_no_access_token(victim: Victim, purpose: Purpose) -> None:
    """A value made with any other sub-key is no access token, though the kid is right."""
    victim.assert_refused(sign(victim.header, victim.claims, victim.app.core.keyring.current.sub(purpose)))


def test_b2_a_token_names_the_very_key_that_signed_it(tmp_path: Path, world: FakeWorld) -> None:
    """After a rotation the older key checks its own tokens only, and a key that was taken out checks none."""
    with running(tmp_path, world, **UNLIMITED, secret_key=OLD_SECRET) as app:
        old = Victim(app, Client(app), Client(app).register().json())
    with running(tmp_path, world, **UNLIMITED, secret_key=SECRET, secret_key_previous=OLD_SECRET) as app:
        old.app, old.client = app, Client(app)
        assert old.client.get("/user", token=old.access).status == 200
        new = app.core.keyring.current
        assert old.client.get("/user", token=sign({**old.header, "kid": new.kid}, old.claims, new.sub(Purpose.ACCESS))).status == 200
        old.assert_refused(sign({**old.header, "kid": new.kid}, old.claims, old.key))
        old.assert_refused(sign(old.header, old.claims, new.sub(Purpose.ACCESS)))
        forgotten = Keyring([b"another-secret-that-was-never-given"]).current
        old.assert_refused(sign({**old.header, "kid": forgotten.kid}, old.claims, forgotten.sub(Purpose.ACCESS)))
        Client(app).login()
    with running(tmp_path, world, **UNLIMITED, secret_key=SECRET) as app:
        assert Client(app).get("/user", token=old.access).code == "invalid_token"
        assert Client(app).refresh(old.refresh).code == "invalid_token"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "id_token", "rt+jwt", "AT+JWT", "at+jwt ", "logout+jwt", "", None, 1, ["at+jwt"]])
def test_b3_a_token_of_another_type_is_no_access_token(victim: Victim, typ: Any) -> None:
    """Only `typ: at+jwt` is an access token (RFC 9068 section 4), though our own key has signed it."""
    victim.assert_refused(sign({**victim.header, "typ": typ}, victim.claims, victim.key))


def test_b3_a_token_without_a_type_is_no_access_token(victim: Victim) -> None:
    """An absent `typ` is not taken for the right one."""
    victim.assert_refused(sign({"alg": "HS256", "kid": victim.header["kid"]}, victim.claims, victim.key))


def test_b3_a_refresh_token_is_no_access_token(victim: Victim) -> None:
    """A refresh token opens no route, by header or cookie, and is not spent by the attempt."""
    for answer in (
        victim.client.get("/user", token=victim.refresh),
        victim.client.get("/user", headers={"Cookie": f"authsvc_access={victim.refresh}"}),
        victim.client.post("/reauthenticate", {"password": PASSWORD}, token=victim.refresh),
        victim.client.delete("/sessions", token=victim.refresh),
    ):
        assert (answer.status, answer.code) == (401, "invalid_token")
    assert victim.stands()


def test_b3_an_access_token_is_no_refresh_token(victim: Victim) -> None:
    """An access token refreshes nothing, by header, body or either cookie."""
    for answer in (
        victim.client.get("/token/refresh", token=victim.access),
        victim.client.post("/token/refresh", token=victim.access),
        victim.client.refresh(victim.access),
        victim.client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={victim.access}"}),
        victim.client.get("/token/refresh", headers={"Cookie": f"authsvc_access={victim.access}"}),
    ):
        assert (answer.status, answer.code) == (401, "invalid_token")
        assert answer.header_list("Set-Cookie") == []
    assert victim.stands()


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.REFRESH])
def test_b3_a_value_derived_for_another_purpose_is_no_refresh_token(victim: Victim, purpose: Purpose) -> None:
    """The same parts under another sub-key make no refresh token."""
    session_id = victim.tokens["session_id"]
    mac = b64(victim.app.core.keyring.current.derive(purpose, session_id, "0"))
    victim.assert_refused(f"rt_{session_id.removeprefix('ses_')}.0.{mac}")


@pytest.mark.parametrize("prefix", ["ak_", "mfa_", "lnk_", "whsec_", "ses_", ""])
def test_b3_secrets_of_other_kinds_open_nothing(victim: Victim, prefix: str) -> None:
    """What has another kind's prefix is neither an access nor a refresh token, though its rest would be."""
    for rest in (victim.refresh.removeprefix("rt_"), victim.refresh, "x" * 43, "", *([victim.access] if prefix else [])):
        if prefix + rest and prefix + rest != victim.refresh:
            victim.assert_refused(prefix + rest)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "gen", "auth_time", "amr", "acr", "roles", "caps"])
def test_b4_a_token_that_lacks_a_claim_is_refused(victim: Victim, claim: str) -> None:
    """Each claim that we act on must be there, and null is not there."""
    victim.assert_refused(sign(victim.header, {name: value for name, value in victim.claims.items() if name != claim}, victim.key))
    victim.assert_refused(sign(victim.header, {**victim.claims, claim: None}, victim.key))


WRONG_VALUES: list[tuple[str, Any]] = [
    *[
        ("iss", value)
        for value in ("https://evil.example", "http://127.0.0.1:8000/", "HTTP://127.0.0.1:8000", "", ["http://127.0.0.1:8000"], 1)
    ],
    *[("aud", value) for value in ("https://evil.example", "http://127.0.0.1:8000/", "", ["http://127.0.0.1:8000"], [], {}, True)],
    *[("sub", value) for value in ("usr_00000000000000000000000000", "", "' OR 1=1 --", "\0", "\ud800", 7, True, [], {}, "x" * 3_000)],
    *[("sid", value) for value in ("ses_00000000000000000000000000", "", "' OR 1=1 --", "\0", "\ud800", 7, True, [], {}, "x" * 3_000)],
    *[("gen", value) for value in (0, 2, -1, 2**63, 10**400, "1", 1.0, True, [1])],
    *[("exp", value) for value in ("9999999999", 1e10, float("nan"), float("inf"), True, [], {})],
    *[("iat", value) for value in ("1800000000", 1.8e9, float("nan"), True, [], START // 1000 + 61, START, 10**400)],
    *[("auth_time", value) for value in ("1800000000", 1.8e9, True, [])],
    *[("roles", value) for value in ("admin", {"admin": 1}, True)],
    *[("caps", value) for value in ("*", {"*": 1}, 1)],
    *[("amr", value) for value in ("pwd", {}, 1)],
    *[("acr", value) for value in (2, ["aal2"], True)],
    *[("jti", value) for value in (1, [], True)],
]


@pytest.mark.parametrize(("claim", "value"), WRONG_VALUES, ids=lambda value: ascii(value)[:24])
def test_b4_a_token_with_a_wrong_claim_is_refused(victim: Victim, claim: str, value: Any) -> None:
    """Wrong issuer, audience, types, ids, generation or a time to come are refused, though our own key has signed them."""
    victim.assert_opens_nothing(sign(victim.header, {**victim.claims, claim: value}, victim.key))


def test_b4_a_session_and_a_subject_of_two_users_do_not_go_together(victim: Victim) -> None:
    """A token whose session is another user's than its subject is refused both ways."""
    other = victim.client.register(OTHER).json()
    for mixed in ({"sub": other["user"]["id"]}, {"sid": other["session_id"]}):
        answer = victim.client.get("/user", token=sign(victim.header, {**victim.claims, **mixed}, victim.key))
        assert (answer.status, answer.code) == (401, "invalid_token")


def test_b4_an_expired_token_says_so_and_opens_nothing(victim: Victim) -> None:
    """A token past its time is `token_expired`, remembered or not."""
    past = START // 1000
    for exp in (past - 60, past - 61, past - DAY, 0, -1, -(10**400)):
        for _ in range(2):
            answer = victim.client.get("/user", token=sign(victim.header, {**victim.claims, "exp": exp}, victim.key))
            assert (answer.status, answer.code) == (401, "token_expired")
            assert 'error="invalid_token"' in (answer.header("WWW-Authenticate") or "")
    assert victim.stands()


HOSTILE_PAYLOADS: dict[str, bytes] = {
    "deep-list": b'{"sub":' + b"[" * 5_000,
    "deep-closed": b'{"sub":' + b"[" * 2_500 + b"]" * 2_500 + b"}",
    "deep-object": b'{"a":' * 1_100 + b"1" + b"}" * 1_100,
    "list": b"[]",
    "string": b'"x"',
    "number": b"1",
    "null": b"null",
    "empty": b"",
    "not-json": b"{",
    "not-utf-8": b'{"sub":"\xff\xfe"}',
    "utf-16": '{"sub":1}'.encode("utf-16"),
    "byte-order-mark": b'\xef\xbb\xbf{"sub":1}',
    "huge-number": b'{"exp":' + b"9" * 5_000 + b"}",
    "long-exponent": b'{"exp":1e999999}',
}


@pytest.mark.parametrize("name", HOSTILE_PAYLOADS)
def test_b4_a_payload_that_is_no_honest_object_is_refused(victim: Victim, name: str) -> None:
    """Deep, malformed and non-object JSON under our own signature is 401, never an internal error; so it is as a header."""
    victim.assert_refused(sign(victim.header, HOSTILE_PAYLOADS[name], victim.key))
    victim.assert_refused(sign(HOSTILE_PAYLOADS[name], victim.claims, victim.key))


@pytest.mark.parametrize(
    "second", [b'"caps":["*"]', b'"roles":["admin"]', b'"gen":1', b'"exp":9999999999', b'"sub":"usr_00000000000000000000000000"'], ids=str
)
def test_b4_a_claim_that_is_there_twice_refuses_the_token(victim: Victim, second: bytes) -> None:
    """A token that two parsers could read in two ways is read in none (RFC 7519 section 4), whichever comes last."""
    whole = json.dumps(victim.claims).encode()
    victim.assert_refused(sign(victim.header, whole[:-1] + b"," + second + b"}", victim.key))
    victim.assert_refused(sign(victim.header, b"{" + second + b"," + whole[1:], victim.key))


def test_b4_a_huge_token_is_refused_unread(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of 100 KiB is 401 before anybody looks for its key, however right its signature."""
    looked_up: list[str] = []
    keyring = victim.app.core.keyring
    find = keyring.get
    monkeypatch.setattr(keyring, "get", lambda kid: (looked_up.append(kid), find(kid))[1])
    for huge in (
        "a" * 102_400,
        "." * 102_400,
        victim.access + "A" * 102_400,
        sign(victim.header, {**victim.claims, "x": "a" * 80_000}, victim.key),
        sign({**victim.header, "x": "a" * 80_000}, victim.claims, victim.key),
        "rt_" + "0" * 102_400,
    ):
        assert len(huge) >= 102_400
        victim.assert_refused(huge)
    assert looked_up == []
    victim.client.get("/user", token=sign(victim.header, {**victim.claims, "x": "a" * 2_000}, victim.key))
    assert looked_up == [victim.header["kid"]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "a.b.c.d.e",
        "e30.e30.",
        "e30.e30.e30",
        "====",
        "null",
        "undefined",
        "rt_",
        "rt_..",
        "rt_a.0.b",
    ],
)
def test_b4_nonsense_is_refused(victim: Victim, text: str) -> None:
    """What is no token at all is a plain 401 in the header and in the cookie."""
    for answer in (
        victim.client.get("/user", headers={"Authorization": f"Bearer {text}"}),
        victim.client.get("/user", headers={"Cookie": f"authsvc_access={text}"}),
        victim.client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={text}"}),
        victim.client.refresh(text),
    ):
        assert answer.status == 401
        assert answer.code in ("invalid_token", "unauthenticated")
    assert victim.stands()


def test_b5_a_refresh_token_used_after_the_grace_window_ends_its_session(client: Client, app: App, world: FakeWorld) -> None:
    """The copied token, its successor and the access token are refused from then on; one event tells it; other sessions stay."""
    other = client.register().json()
    first = client.login().json()
    second = client.refresh(first["refresh_token"]).json()
    world.advance(31)
    before = actions(app)
    refused = client.refresh(first["refresh_token"])
    assert (refused.status, refused.code) == (401, "invalid_token")
    assert actions(app) == [*before, "session.reuse_detected"]
    row = event_rows(app)[-1]
    assert (row["outcome"], row["subject"], row["session_id"]) == ("failure", first["user"]["id"], first["session_id"])
    for _ in range(2):
        for token in (first["refresh_token"], second["refresh_token"]):
            assert client.refresh(token).code == "invalid_token"
        for token in (first["access_token"], second["access_token"]):
            assert client.get("/user", token=token).code == "invalid_token"
    assert actions(app) == [*before, "session.reuse_detected"]
    assert client.get("/user", token=other["access_token"]).status == 200
    assert [item["id"] for item in client.get("/sessions", token=other["access_token"])["items"]] == [other["session_id"]]
    assert client.refresh(other["refresh_token"]).status == 200


def test_b5_a_token_older_than_the_previous_one_has_no_grace(client: Client, app: App) -> None:
    """Only the previous token may be repeated; one before it ends the session at once."""
    first = client.register()["refresh_token"]
    second = client.refresh(first)["refresh_token"]
    third = client.refresh(second)["refresh_token"]
    assert client.refresh(first).status == 401
    assert client.refresh(third).status == 401
    assert actions(app).count("session.reuse_detected") == 1


@pytest.mark.parametrize("grace", [0, 30, 45])
def test_b5_the_grace_window_ends_to_the_second(tmp_path: Path, world: FakeWorld, grace: int) -> None:
    """Up to the declared number of seconds the previous token gives the same successor, and after it ends the session."""
    with running(tmp_path, world, **UNLIMITED, refresh_grace_seconds=grace) as app:
        client = Client(app)
        first = client.register()["refresh_token"]
        second = client.refresh(first)["refresh_token"]
        world.advance(grace)
        assert client.refresh(first)["refresh_token"] == second
        world.advance(0.001)
        assert client.refresh(first).status == 401
        assert client.refresh(second).status == 401
        assert actions(app) == ["user.registered", "session.reuse_detected"]


def test_b5_many_copies_at_once_are_one_reuse(client: Client, app: App, world: FakeWorld) -> None:
    """Twenty uses of one spent token in parallel end the session once, with one event."""
    first = client.register()["refresh_token"]
    current = client.refresh(first)["refresh_token"]
    world.advance(31)
    assert {answer.status for answer in together(20, lambda _: client.refresh(first))} == {401}
    assert actions(app).count("session.reuse_detected") == 1
    assert client.refresh(current).status == 401


@pytest.mark.parametrize("apps", [1, 2], ids=["one-app", "two-apps-on-one-file"])
@pytest.mark.parametrize("count", [2, 50])
def test_b6_simultaneous_refreshes_of_one_token_have_one_successor(
    tmp_path: Path, app: App, world: FakeWorld, count: int, apps: int
) -> None:
    """All who refresh one token at once get the same successor, round after round; the family never forks."""
    with running(tmp_path, world, **UNLIMITED) as second:
        clients = [Client(app), Client(second)][:apps]
        made = clients[0].register().json()
        spent, token = [], made["refresh_token"]
        for number in range(1, 6):

            def act(index: int, token: str = token) -> Answer:
                return clients[index % apps].refresh(token)

            answers = together(count, act)
            assert {answer.status for answer in answers} == {200}
            assert {answer["session_id"] for answer in answers} == {made["session_id"]}
            successors = {answer["refresh_token"] for answer in answers}
            assert len(successors) == 1
            assert successors.isdisjoint({*spent, token})
            spent.append(token)
            (token,) = successors
            with app.core.store.read() as tx:
                found = tx.sessions.with_user(made["session_id"])
            assert found is not None
            assert (found[0].counter, found[0].ended_at) == (number, None)
            world.advance(5)
        assert clients[-1].refresh(spent[-1])["refresh_token"] == token
        assert actions(app) == ["user.registered"]
        world.advance(31)
        assert clients[-1].refresh(spent[-1]).status == 401
        assert clients[0].refresh(token).status == 401


def test_b6_a_refresh_that_races_a_logout_leaves_no_session(client: Client, world: FakeWorld) -> None:
    """Whoever comes first, after the logout nothing of the session works, the successor just given included."""
    client.register()
    for _ in range(10):
        tokens = client.login().json()

        def act(index: int, token: str = tokens["refresh_token"]) -> Answer:
            return client.refresh(token) if index else client.post("/token/revoke", {"token": token})

        out, renewed = together(2, act)
        assert out.status == 200
        assert renewed.status in (200, 401)
        issued = [tokens, renewed.json()] if renewed.status == 200 else [tokens]
        for given_out in issued:
            assert client.get("/user", token=given_out["access_token"]).status == 401
            assert client.refresh(given_out["refresh_token"]).status == 401


@dataclass
class Family:
    """What the model knows of one session."""

    id: str
    tokens: list[str]
    rotated_at: int
    created_at: int
    ended: bool = False

    def is_live(self, now: int) -> bool:
        return not self.ended and now - self.rotated_at < 30 * DAY * 1000 and now - self.created_at < 90 * DAY * 1000


class Families(RuleBasedStateMachine):
    """Sessions of one account, refreshed, replayed, left alone and logged out in any order, beside a model of them."""

    emails = (f"family{number}@mail.com" for number in itertools.count())

    def __init__(self, app: App, world: FakeWorld) -> None:
        super().__init__()
        self.app, self.world, self.client = app, world, Client(app)
        self.families: list[Family] = []
        self.reused = 0
        self.seen: set[str] = set()

    @initialize()
    def register(self) -> None:
        self.email = next(self.emails)
        self.account = self.client.register(self.email)
        self._opened(self.account)

    @precondition(lambda self: len(self._live()) < 2)
    @rule()
    def login(self) -> None:
        answer = self.client.login(self.email)
        assert answer.status == 200
        self._opened(answer)

    @rule(which=st.integers(0, 1))
    def refresh(self, which: int) -> None:
        family = self._pick(which)
        live = family.is_live(self.world.now())
        answer = self.client.refresh(family.tokens[-1])
        assert answer.status == (200 if live else 401)
        if live:
            assert answer["session_id"] == family.id
            self._noted(answer)
            family.tokens.append(answer["refresh_token"])
            family.rotated_at = self.world.now()

    @rule(which=st.integers(0, 1))
    def retry(self, which: int) -> None:
        self._replay(self._pick(which), 1)

    @rule(which=st.integers(0, 1), back=st.integers(2, 3))
    def steal(self, which: int, back: int) -> None:
        self._replay(self._pick(which), back)

    @rule(seconds=st.sampled_from([1, 30, 31, 45]))
    def wait(self, seconds: int) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: len(self.families[-1].tokens) > 2)
    @rule(seconds=st.sampled_from([DAY, 30 * DAY - 1, 30 * DAY]))
    def stay_away(self, seconds: int) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: len(self.families[-1].tokens) > 2)
    @rule(which=st.integers(0, 1), back=st.integers(0, 2))
    def logout(self, which: int, back: int) -> None:
        family = self._pick(which)
        answer = self.client.post("/token/revoke", {"token": family.tokens[-1 - min(back, len(family.tokens) - 1)]})
        assert (answer.status, answer["status"]) == (200, "revoked")
        family.ended = True

    @invariant()
    def store_agrees(self) -> None:
        for family in self.families:
            with self.app.core.store.read() as tx:
                found = tx.sessions.with_user(family.id)
            assert found is not None
            session = found[0]
            assert (session.counter, session.ended_at is not None) == (len(family.tokens) - 1, family.ended)
        mine = [row["action"] for row in event_rows(self.app) if row["subject"] == self.account["user"]["id"]]
        assert mine.count("session.reuse_detected") == self.reused

    def _replay(self, family: Family, back: int) -> None:
        if back >= len(family.tokens):
            return
        live = family.is_live(self.world.now())
        repeated = live and back == 1 and self.world.now() - family.rotated_at <= 30_000
        answer = self.client.refresh(family.tokens[-1 - back])
        assert answer.status == (200 if repeated else 401)
        if repeated:
            assert answer["refresh_token"] == family.tokens[-1]
        elif live:
            family.ended = True
            self.reused += 1

    def _opened(self, answer: Answer) -> None:
        now = self.world.now()
        self._noted(answer)
        self.families.append(Family(answer["session_id"], [answer["refresh_token"]], now, now))

    def _noted(self, answer: Answer) -> None:
        assert answer["refresh_token"] not in self.seen
        self.seen.add(answer["refresh_token"])

    def _live(self) -> list[Family]:
        return [family for family in self.families if family.is_live(self.world.now())]

    def _pick(self, which: int) -> Family:
        among = self._live() or self.families[-2:]
        return among[which % len(among)]


def test_b6_a_token_family_behaves_as_its_model_says(app: App, world: FakeWorld) -> None:
    """In any order of sign-ins, refreshes, replays, pauses and logouts each session has one live token, and reuse ends it once."""
    run_state_machine_as_test(
        lambda: Families(app, world), settings=settings(deadline=None, database=None, max_examples=60, stateful_step_count=20)
    )


TOKEN_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="


@dataclass(frozen=True)
class Edit:
    """A change of a token: what is between two places (as parts of a thousand) makes way for other text."""

    start: int
    length: int
    text: str

    def of(self, token: str) -> str:
        start = self.start * len(token) // 1000
        return token[:start] + self.text + token[start + self.length :]


EDITS = st.builds(Edit, st.integers(0, 1000), st.integers(0, 3), st.text(TOKEN_CHARS, max_size=3))


@HYPOTHESIS
@given(edit=EDITS)
@example(Edit(1000, 0, "A"))
@example(Edit(1000, 0, "="))
@example(Edit(1000, 0, "."))
@example(Edit(0, 3, "RT_"))
@example(Edit(0, 0, "rt_"))
def test_b7_a_refresh_token_changed_anywhere_is_refused(victim: Victim, edit: Edit) -> None:
    """Any change, cut or addition makes it worthless, by body, header or cookie, and does not harm the session it names."""
    changed = edit.of(victim.refresh)
    assume(changed != victim.refresh)
    for answer in (
        victim.client.refresh(changed),
        victim.client.get("/token/refresh", headers={"Authorization": f"Bearer {changed}"}),
        victim.client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={changed}"}),
    ):
        assert answer.status == 401
        assert answer.code in ("invalid_token", "unauthenticated")
    victim.client.post("/token/revoke", {"token": changed})
    assert victim.stands()
    assert actions(victim.app) == ["user.registered"]


@HYPOTHESIS
@given(text=st.text(max_size=200) | st.from_regex(refresh._PATTERN, fullmatch=True))
def test_b7_no_invented_text_is_a_refresh_token(victim: Victim, text: str) -> None:
    """Whatever text is sent, of the right form or not, the answer is a refusal."""
    assume(text != victim.refresh)
    assert victim.client.refresh(text).status in (401, 422)
    assert victim.stands()


@HYPOTHESIS
@given(edit=EDITS)
@example(Edit(1000, 0, "="))
@example(Edit(1000, 0, "=="))
@example(Edit(1000, 0, "~"))
@example(Edit(1000, 0, "A"))
@example(Edit(1000, 0, "AAAA"))
@example(Edit(1000, 0, "."))
def test_b7_an_access_token_changed_anywhere_is_refused(victim: Victim, edit: Edit) -> None:
    """There is one spelling of an access token: padding, appended signs and other alphabets make it another, which is refused."""
    changed = edit.of(victim.access)
    assume(changed != victim.access)
    for headers in ({"Authorization": f"Bearer {changed}"}, {"Cookie": f"authsvc_access={changed}"}):
        answer = victim.client.get("/user", headers=headers)
        assert answer.status == 401
        assert answer.code in ("invalid_token", "unauthenticated")


def test_b7_the_spare_bits_of_the_last_character_carry_no_second_spelling(victim: Victim) -> None:
    """A signature's last base64url character has two bits that mean nothing; only zeros are right there (RFC 4648 section 3.5)."""
    alphabet = TOKEN_CHARS[:26] + TOKEN_CHARS[26:52] + "0123456789-_"
    for token, path in ((victim.access, "/user"), (victim.refresh, "/token/refresh")):
        for last in alphabet:
            if last != token[-1]:
                assert victim.client.get(path, token=token[:-1] + last).code == "invalid_token"
    assert victim.stands()


def test_b7_parts_of_several_refresh_tokens_make_no_new_one(client: Client, app: App) -> None:
    """Another session's id, another counter or another MAC in place of one's own is refused, and ends nobody's session."""
    mine, theirs = client.register().json(), client.register(OTHER).json()
    again = client.refresh(mine["refresh_token"]).json()
    (id_0, count_0, mac_0), (id_1, _, mac_1), (_, count_2, mac_2) = (
        tokens["refresh_token"].removeprefix("rt_").split(".") for tokens in (mine, theirs, again)
    )
    assert len({mac_0, mac_1, mac_2}) == 3
    genuine = {(id_0, count_0, mac_0), (id_1, count_0, mac_1), (id_0, count_2, mac_2)}
    counters = (count_0, count_2, "2", "00", "01", "-1", "+1", "1e0", "4294967296", "99999999999", " 1", "1 ", "\u0661", "")
    before = actions(app)
    for splice in itertools.product((id_0, id_1, id_0.upper(), "0" * 26), counters, (mac_0, mac_1, mac_2, "A" * 43)):
        if splice not in genuine:
            refused = client.refresh("rt_" + ".".join(splice))
            assert (refused.status, refused.code) == (401, "invalid_token")
    assert actions(app) == before
    assert client.refresh(theirs["refresh_token"]).status == 200
    assert client.refresh(again["refresh_token"]).status == 200


def test_b7_macs_are_compared_in_constant_time(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every guess at a session's MAC goes once through compare_digest, over the whole of it, however much of it is right."""
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(refresh.hmac, "compare_digest", lambda a, b: (compared.append((len(a), len(b))), compare(a, b))[1])
    head, _, mac = victim.refresh.rpartition(".")
    for guess in ("A" * 43, mac[:-1] + ("A" if mac[-1] != "A" else "B"), mac[::-1]):
        compared.clear()
        assert victim.client.refresh(f"{head}.{guess}").status == 401
        assert compared == [(43, 43)]


def test_b8_a_sign_in_never_takes_over_a_session_that_was_there_before(client: Client, app: App) -> None:
    """Signing in with an attacker's cookies in the jar opens a new session; the attacker's stays the attacker's."""
    attacker = client.register(OTHER).json()
    planted = {"authsvc_access": attacker["access_token"], "authsvc_refresh": attacker["refresh_token"]}
    browser = Client(app, keep_cookies=True, cookies=dict(planted))
    registered = browser.post("/register", {"email": EMAIL, "password": PASSWORD, "options": {"setCookie": True}}).json()
    ids = {attacker["session_id"], registered["session_id"]}
    assert browser.get("/user")["email"] == EMAIL
    for jar in (planted, dict(browser.cookies), {"authsvc_access": "nonsense", "authsvc_refresh": "rt_nonsense"}):
        browser.cookies = dict(jar)
        answer = browser.login()
        assert answer.status == 200
        assert answer["session_id"] not in ids
        ids.add(answer["session_id"])
        assert browser.cookies["authsvc_access"] == answer["access_token"] != jar["authsvc_access"]
        assert browser.cookies["authsvc_refresh"] == answer["refresh_token"] != jar["authsvc_refresh"]
        assert browser.get("/user")["email"] == EMAIL
    assert client.get("/user", token=attacker["access_token"])["email"] == OTHER
    assert client.refresh(attacker["refresh_token"])["user"]["email"] == OTHER


def test_b8_a_failed_sign_in_leaves_no_cookie(client: Client) -> None:
    """A refused sign-in or registration sets nothing."""
    client.register()
    for answer in (
        client.login(password=WRONG),
        client.post("/register", {"email": EMAIL, "password": PASSWORD, "options": {"setCookie": True}}),
    ):
        assert answer.status in (401, 409)
        assert answer.header_list("Set-Cookie") == []


FOREIGN = {
    "other-site": {"Origin": "https://evil.example"},
    "null": {"Origin": "null"},
    "empty": {"Origin": ""},
    "other-port": {"Origin": "http://127.0.0.1:8001"},
    "other-scheme": {"Origin": "https://127.0.0.1:8000"},
    "other-spelling": {"Origin": "http://localhost:8000"},
    "suffix": {"Origin": "http://127.0.0.1:8000.evil.example"},
    "path": {"Origin": "http://127.0.0.1:8000/"},
    "two": {"Origin": "http://127.0.0.1:8000, https://evil.example"},
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "cross-site-in-capitals": {"Sec-Fetch-Site": "Cross-Site"},
    "origin-beats-fetch-site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
}
FAMILIAR: dict[str, dict[str, str]] = {
    "own-origin": {"Origin": "http://127.0.0.1:8000"},
    "app-origin": {"Origin": "https://app.example.com"},
    "own-origin-and-same-origin": {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
    "app-origin-and-cross-site": {"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"},
    "same-origin": {"Sec-Fetch-Site": "same-origin"},
    "typed-by-hand": {"Sec-Fetch-Site": "none"},
    "no-browser": {},
}
BY_COOKIE: dict[str, tuple[str, str, Any]] = {
    "refresh": ("POST", "/token/refresh", None),
    "refresh-with-json": ("POST", "/token/refresh", {}),
    "refresh-by-get": ("GET", "/token/refresh", None),
    "refresh-by-head": ("HEAD", "/token/refresh", None),
    "revoke": ("POST", "/token/revoke", None),
    "revoke-by-get": ("GET", "/token/revoke", None),
    "revoke-by-head": ("HEAD", "/token/revoke", None),
    "reauthenticate": ("POST", "/reauthenticate", {"password": PASSWORD}),
    "password": ("POST", "/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}),
    "profile": ("PUT", "/user/{user_id}", {"name": "Mallory"}),
    "end-session": ("DELETE", "/sessions/{session_id}", None),
    "end-sessions": ("DELETE", "/sessions?all=true", None),
}


@dataclass
class Browser:
    """A victim whose browser sends cookies, and what a request of theirs looks like."""

    victim: Victim
    cookie: str

    def send(self, act: str, headers: dict[str, str], **more: Any) -> Answer:
        method, path, body = BY_COOKIE[act]
        path = path.format(user_id=self.victim.tokens["user"]["id"], session_id=self.victim.tokens["session_id"])
        return self.victim.client.call(method, path, body, headers={"Cookie": self.cookie, **headers}, **more)


@pytest.fixture
def browser(tmp_path: Path, world: FakeWorld) -> Iterator[Browser]:
    with running(tmp_path, world, **UNLIMITED, app_origins="https://app.example.com") as app:
        victim = Victim(app, Client(app), Client(app).register().json())
        yield Browser(victim, f"authsvc_access={victim.access}; authsvc_refresh={victim.refresh}")


@pytest.mark.parametrize("act", BY_COOKIE)
def test_b9_a_foreign_site_cannot_act_by_the_users_cookies(browser: Browser, act: str) -> None:
    """Every act by cookie is `csrf_failed` when the origin is foreign, null or unlisted, or the fetch crosses sites; nothing happens."""
    for name, headers in FOREIGN.items():
        refused = browser.send(act, headers)
        assert refused.status == 403, name
        assert refused.header_list("Set-Cookie") == []
        assert not any(key.startswith("Access-Control") for key, _ in refused.headers)
        if not act.endswith("head"):
            assert refused.code == "csrf_failed"
    assert browser.victim.stands()
    assert actions(browser.victim.app) == ["user.registered"]
    assert browser.victim.client.get("/user", token=browser.victim.access).json() == browser.victim.tokens["user"]


@pytest.mark.parametrize("headers", FAMILIAR.values(), ids=FAMILIAR)
@pytest.mark.parametrize("act", BY_COOKIE)
def test_b9_our_own_pages_the_listed_apps_and_other_programs_may_act_by_cookie(browser: Browser, act: str, headers: dict[str, str]) -> None:
    """Own and listed origins, same-origin fetches and requests of no browser pass."""
    assert browser.send(act, headers).status in (200, 204)


@pytest.mark.parametrize("name", ["other-site", "null", "cross-site"])
@pytest.mark.parametrize("act", BY_COOKIE)
def test_b9_a_request_with_the_header_is_not_a_forgery(browser: Browser, act: str, name: str) -> None:
    """A foreign page cannot send our Authorization header, so with it the origin does not matter, cookies or not."""
    token = browser.victim.refresh if act.startswith("refresh") else browser.victim.access
    assert browser.send(act, FOREIGN[name], token=token).status in (200, 204)


@pytest.mark.parametrize("scheme", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "", "Negotiate x"])
def test_b9_a_useless_authorization_header_does_not_open_the_way_for_cookies(browser: Browser, scheme: str) -> None:
    """A foreign request that has some Authorization header and the cookies is refused, whatever the scheme."""
    for act in ("revoke", "end-sessions", "profile", "refresh-by-get"):
        answer = browser.send(act, {**FOREIGN["cross-site"], "Authorization": scheme})
        assert answer.status in (401, 403)
    assert browser.victim.stands()


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), FORM + "; charset=utf-8", f" {FORM} ;x=y"])
def test_b9_a_foreign_form_signs_nobody_in(browser: Browser, headers: dict[str, str], content_type: str) -> None:
    """A cross-site form post to /login or /register is refused even without cookies: else a victim would work in the attacker's account."""
    app = browser.victim.app
    stranger = Client(app)
    for path, email in (("/login", EMAIL), ("/register", OTHER)):
        raw = urlencode({"email": email, "password": PASSWORD, "options.setCookie": "on"}).encode()
        refused = stranger.post(path, raw=raw, content_type=content_type, headers=headers)
        assert (refused.status, refused.code) == (403, "csrf_failed")
        assert refused.header_list("Set-Cookie") == []
    assert actions(app) == ["user.registered"]


@pytest.mark.parametrize("headers", FAMILIAR.values(), ids=FAMILIAR)
def test_b9_our_own_form_signs_in(browser: Browser, headers: dict[str, str]) -> None:
    """The same form from our own page, a listed app or no browser works."""
    raw = urlencode({"email": EMAIL, "password": PASSWORD}).encode()
    answer = browser.victim.client.post("/login", raw=raw, content_type=FORM, headers=headers)
    assert answer.status == 200
    names = [value.partition("=")[0] for value in answer.header_list("Set-Cookie")]
    assert names == ["authsvc_access", "authsvc_refresh", "authsvc_device"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "text/plain; application/json", "multipart/form-data; boundary=x", "", "text/json", "*/*"]
)
def test_b9_json_in_a_body_that_a_form_could_send_is_not_read(browser: Browser, content_type: str) -> None:
    """JSON under a type that needs no preflight is 415 without cookies, and `csrf_failed` with them when it is foreign."""
    raw = json.dumps({"email": EMAIL, "password": PASSWORD}).encode()
    for headers in (FOREIGN["other-site"], FAMILIAR["own-origin"], {}):
        refused = browser.victim.client.post("/login", raw=raw, content_type=content_type, headers=headers)
        assert (refused.status, refused.code) == (415, "unsupported_media_type")
        assert refused.header_list("Set-Cookie") == []
    foreign = browser.victim.client.post(
        "/token/revoke", raw=b"{}", content_type=content_type, headers={"Cookie": browser.cookie, **FOREIGN["other-site"]}
    )
    assert (foreign.status, foreign.code) == (403, "csrf_failed")
    assert browser.victim.stands()
    assert actions(browser.victim.app) == ["user.registered"]


HTTPS = {"public_url": "https://auth.example.com", "secret_key": SECRET, "mail": "console:"}
Named = tuple[str, set[str]]
COOKIE_TABLE: dict[str, tuple[dict[str, str], Named, Named, Named]] = {
    "workbench": (
        {},
        ("authsvc_access", {"Path=/", "HttpOnly", "SameSite=Lax"}),
        ("authsvc_refresh", {"Path=/token", "HttpOnly", "SameSite=Strict"}),
        ("authsvc_device", {"Path=/login", "HttpOnly", "SameSite=Lax"}),
    ),
    "workbench-mounted": (
        {"public_url": "http://127.0.0.1:8000/auth"},
        ("authsvc_access", {"Path=/", "HttpOnly", "SameSite=Lax"}),
        ("authsvc_refresh", {"Path=/auth/token", "HttpOnly", "SameSite=Strict"}),
        ("authsvc_device", {"Path=/auth/login", "HttpOnly", "SameSite=Lax"}),
    ),
    "https": (
        HTTPS,
        ("__Host-authsvc_access", {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}),
        ("__Secure-authsvc_refresh", {"Path=/token", "HttpOnly", "SameSite=Strict", "Secure"}),
        ("__Secure-authsvc_device", {"Path=/login", "HttpOnly", "SameSite=Lax", "Secure"}),
    ),
    "https-mounted": (
        {**HTTPS, "public_url": "https://example.com/a/b/"},
        ("__Host-authsvc_access", {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}),
        ("__Secure-authsvc_refresh", {"Path=/a/b/token", "HttpOnly", "SameSite=Strict", "Secure"}),
        ("__Secure-authsvc_device", {"Path=/a/b/login", "HttpOnly", "SameSite=Lax", "Secure"}),
    ),
    "https-with-domain": (
        {**HTTPS, "cookie_domain": "example.com"},
        ("__Secure-authsvc_access", {"Path=/", "Domain=example.com", "HttpOnly", "SameSite=Lax", "Secure"}),
        ("__Secure-authsvc_refresh", {"Path=/token", "HttpOnly", "SameSite=Strict", "Secure"}),
        ("__Secure-authsvc_device", {"Path=/login", "HttpOnly", "SameSite=Lax", "Secure"}),
    ),
}


@pytest.mark.parametrize("name", COOKIE_TABLE)
def test_b10_cookies_have_the_names_and_attributes_that_browsers_protect(tmp_path: Path, world: FakeWorld, name: str) -> None:
    """Prefix, path, domain and flags are exactly the declared ones, when cookies are set and when they are cleared. That a
    browser is known outlives the sign-out: it lets nobody in."""
    given_settings, *expected = COOKIE_TABLE[name]
    with running(tmp_path, world, **UNLIMITED, **given_settings) as app:
        client = Client(app)
        made = client.register(options={"setCookie": True})
        device = devices.mint(app.core.keyring.current, made["user"]["id"], world.now())
        values = [made["access_token"], made["refresh_token"], device]
        lives = [900, 30 * DAY, 180 * DAY]
        ended = client.post("/token/revoke", token=made["access_token"])
        for answer, contents, ages, names in ((made, values, lives, expected), (ended, ["", ""], [0, 0], expected[:2])):
            assert [_read_cookie(header) for header in answer.header_list("Set-Cookie")] == [
                (cookie, content, attributes | {f"Max-Age={age}"})
                for (cookie, attributes), content, age in zip(names, contents, ages, strict=True)
            ]


def _read_cookie(header: str) -> tuple[str, str, set[str]]:
    pair, *attributes = header.split("; ")
    cookie, _, value = pair.partition("=")
    assert len(set(attributes)) == len(attributes)
    return cookie, value, set(attributes)


@pytest.mark.parametrize("planted", ["authsvc_access", "__Secure-authsvc_access", "__host-authsvc_access", "__HOST-AUTHSVC_ACCESS"])
def test_b10_on_https_only_the_protected_name_is_read(tmp_path: Path, world: FakeWorld, planted: str) -> None:
    """A cookie that a sibling domain could plant, under a name without the prefix, counts for nothing."""
    with running(tmp_path, world, **UNLIMITED, **HTTPS) as app:
        client = Client(app)
        mine, attacker = client.register().json(), client.register(OTHER).json()
        alone = client.get("/user", headers={"Cookie": f"{planted}={attacker['access_token']}"})
        assert (alone.status, alone.code) == (401, "unauthenticated")
        for pair in ((planted, "__Host-authsvc_access"), ("__Host-authsvc_access", planted)):
            values = {planted: attacker["access_token"], "__Host-authsvc_access": mine["access_token"]}
            beside = client.get("/user", headers={"Cookie": "; ".join(f"{cookie}={values[cookie]}" for cookie in pair)})
            assert (beside.status, beside["email"]) == (200, EMAIL)
        tossed = client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={attacker['refresh_token']}"})
        assert (tossed.status, tossed.code) == (401, "unauthenticated")


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_b10_a_cookie_that_comes_twice_is_ambiguous(tmp_path: Path, world: FakeWorld, *, secure: bool) -> None:
    """Two cookies of one name, alike or not, in any order, are 400 `invalid_request`, and nothing is done."""
    with running(tmp_path, world, **UNLIMITED, **(HTTPS if secure else {})) as app:
        client = Client(app)
        victim = Victim(app, client, client.register().json())
        access, renew = ("__Host-authsvc_access", "__Secure-authsvc_refresh") if secure else ("authsvc_access", "authsvc_refresh")
        for cookie, token, calls in (
            (access, victim.access, [("GET", "/user"), ("GET", "/sessions"), ("DELETE", "/sessions?all=true")]),
            (renew, victim.refresh, [(method, path) for method in ("GET", "POST") for path in ("/token/refresh", "/token/revoke")]),
        ):
            for pair in ((token, token), (token, "x"), ("x", token), (token, ""), ("", token)):
                header = f"theme=dark; {cookie}={pair[0]}; lang=en; {cookie}={pair[1]}"
                for method, path in calls:
                    refused = client.call(method, path, headers={"Cookie": header})
                    assert (refused.status, refused.code) == (400, "invalid_request"), (path, pair)
                    assert refused.header_list("Set-Cookie") == []
        assert victim.stands()
        assert actions(app) == ["user.registered"]


def test_b10_two_authorization_headers_are_ambiguous(victim: Victim) -> None:
    """Two credentials in the header, as hosts join them, are 400 `invalid_request`, whatever they are worth."""
    good, bad = f"Bearer {victim.access}", "Bearer x"
    for first, second in ((good, good), (good, bad), (bad, good), (good, "Basic eDp5"), ("Basic eDp5", good)):
        for joint in (", ", ","):
            for method, path in (("GET", "/user"), ("GET", "/token/refresh"), ("POST", "/token/revoke"), ("DELETE", "/sessions")):
                refused = victim.client.call(method, path, headers={"Authorization": first + joint + second})
                assert (refused.status, refused.code) == (400, "invalid_request")
    assert victim.stands()


def test_b10_the_header_counts_and_the_cookie_beside_it_is_ignored(victim: Victim) -> None:
    """A good header works beside any cookies, doubled ones too; a bad header is not saved by a good cookie."""
    other = victim.client.register(OTHER).json()
    for cookies in (f"authsvc_access={other['access_token']}", "authsvc_access=x", "authsvc_access=x; authsvc_access=y"):
        answer = victim.client.get("/user", token=victim.access, headers={"Cookie": cookies})
        assert (answer.status, answer["email"]) == (200, EMAIL)
    refused = victim.client.get("/user", token="x", headers={"Cookie": f"authsvc_access={victim.access}"})
    assert (refused.status, refused.code) == (401, "invalid_token")
    out = victim.client.post("/token/revoke", token=other["refresh_token"], headers={"Cookie": f"authsvc_refresh={victim.refresh}"})
    assert out.status == 200
    assert victim.stands()
    assert victim.client.refresh(other["refresh_token"]).status == 401


@pytest.mark.parametrize("log", ["text", "json"])
def test_b11_no_secret_and_no_address_stands_in_a_log_line_or_an_error(tmp_path: Path, world: FakeWorld, log: str) -> None:
    """Log lines name route patterns, never a path, query, token, password or e-mail address; problems repeat none of them either."""
    with running(tmp_path, world, **UNLIMITED, log=log) as app:
        client, secrets = Client(app), [PASSWORD, NEW_PASSWORD, WRONG, EMAIL, OTHER, "s3cret-query"]
        answers = list(_much_traffic(client, world, secrets))
        assert len(secrets) > 15
        assert {answer.status for answer in answers} >= {200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422}
        problems = [answer for answer in answers if answer.status >= 400]
        kept = [str(value) for row in event_rows(app) for name, value in row.items() if name != "actor_label"]
        texts = [*world.lines, *(answer.body.decode() for answer in problems), *kept]
        texts += [text for answer in problems for header in answer.headers for text in header]
        assert [text for text in texts for secret in secrets if secret in text] == []
        assert len(world.lines) == len(answers)
        patterns = [json.loads(line)["route"] if log == "json" else line.split()[3] for line in world.lines]
        assert set(patterns) <= {"-", *(route.path for route in ROUTES)}
        assert {"-", "/user/:user_id", "/sessions/:session_id", "/login", "/token/refresh"} <= set(patterns)


def _much_traffic(client: Client, world: FakeWorld, secrets: list[str]) -> Iterator[Answer]:
    """Good and bad requests of every kind; the tokens that come up are added to the secrets."""

    def note(answer: Answer) -> Answer:
        for name in ("access_token", "refresh_token"):
            secrets.extend([answer[name], answer[name].rpartition(".")[2]])
        return answer

    yield (first := note(client.register()))
    yield client.post("/register", {"email": EMAIL, "password": PASSWORD})
    yield (tokens := note(client.login()))
    yield client.login(password=WRONG)
    yield client.login(OTHER, WRONG)
    access, renew, user_id = tokens["access_token"], tokens["refresh_token"], tokens["user"]["id"]
    yield client.get("/user", token=access)
    yield client.get(f"/user/{user_id}?access_token={access}&q=s3cret-query", token=access)
    yield client.get(f"/user?access_token={access}")
    yield client.get(f"/token/refresh?refresh_token={renew}")
    yield client.get(f"/sessions?cursor={renew}&password={PASSWORD}", token=access)
    yield client.put(f"/user/{user_id}", {"name": "Alice", "roles": [PASSWORD]}, token=access)
    yield client.put(f"/user/{user_id}", {"name": "Alice", "email": OTHER}, token=access)
    yield client.get(f"/{access}")
    yield client.get(f"/user/{EMAIL}/{PASSWORD}", token=access)
    yield client.get(f"/problems/{renew}")
    yield client.delete(f"/sessions/{renew}", token=access)
    yield client.delete("/login")
    yield client.get("/user", token=access[:-1])
    yield client.get("/user", token=renew)
    yield client.get("/user", headers={"Authorization": f"Basic {PASSWORD}"})
    yield client.get("/user", headers={"Authorization": f"Bearer {access}, Bearer {renew}"})
    yield client.get("/user", headers={"Cookie": f"authsvc_access={access}; authsvc_access={access}"})
    yield client.post("/login", raw=f'{{"email": "{EMAIL}", "password": "{PASSWORD}"'.encode())
    yield client.post("/login", raw=f'{{"password": "{PASSWORD}", "password": "{WRONG}"}}'.encode())
    yield client.post("/login", {"email": EMAIL + "\n", "password": PASSWORD + "\0"})
    yield client.post("/login", {"email": [EMAIL], "password": {PASSWORD: PASSWORD}})
    yield client.post("/login", raw=f"email={EMAIL}&password={PASSWORD}&password={WRONG}".encode(), content_type=FORM)
    yield client.post("/login", raw=PASSWORD.encode(), content_type="text/plain")
    yield client.post("/login", {"email": EMAIL, "password": PASSWORD * 5_000})
    yield client.post("/token/revoke", headers={"Cookie": f"authsvc_refresh={renew}", "Origin": f"https://{EMAIL}"})
    yield (second := note(client.refresh(renew)))
    yield note(client.post("/reauthenticate", {"password": PASSWORD}, token=second["access_token"]))
    yield client.post("/reauthenticate", {"password": WRONG}, token=second["access_token"])
    world.advance(31)
    yield client.refresh(renew)
    yield client.get("/user", token=second["access_token"])
    world.advance(1_000)
    yield client.get("/user", token=first["access_token"])
    yield (third := note(client.login()))
    yield note(client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=third["access_token"]))
    yield (fourth := note(client.login(password=NEW_PASSWORD)))
    yield client.delete(f"/sessions/{third['session_id']}", token=fourth["access_token"])
    yield client.delete("/sessions", token=fourth["access_token"])
    yield client.post("/token/revoke", {"token": fourth["refresh_token"]})


def test_b11_a_token_in_a_url_is_not_a_credential(victim: Victim) -> None:
    """Tokens in the query are ignored, so nobody comes to rely on putting them there."""
    for path in (f"/user?access_token={victim.access}", f"/sessions?access_token={victim.access}", f"/user?token={victim.access}"):
        assert victim.client.get(path).status in (401, 422)
    for path in (f"/token/refresh?refresh_token={victim.refresh}", f"/token/refresh?token={victim.refresh}"):
        assert victim.client.get(path).code == "unauthenticated"
        assert victim.client.post(path).code == "unauthenticated"
    victim.client.get(f"/token/revoke?token={victim.refresh}")
    assert victim.stands()


def test_b11_the_database_holds_no_token_and_no_password(victim: Victim) -> None:
    """What lies in the file, its log included, opens nothing by itself."""
    tokens = [victim.tokens, victim.client.login().json(), victim.client.refresh(victim.refresh).json()]
    macs = [token.rpartition(".")[2] for made in tokens for token in (made["access_token"], made["refresh_token"])]
    path = Path(victim.app.core.store.path)
    stored = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name) and file.suffix != ".key")
    assert EMAIL.encode() in stored
    assert [secret for secret in (*macs, PASSWORD) if secret.encode() in stored] == []


STATIC = "/assets/:name"
NEEDED = {"/captcha": "?action=login"}  # a query, without which nothing is granted
PUBLISHED = ("/openapi.json", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server")


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.path not in (STATIC, *PUBLISHED)], ids=lambda route: f"{route.method} {route.path}"
)
def test_b12_no_answer_of_a_route_may_be_kept_by_a_cache(victim: Victim, route: Route) -> None:
    """Granted, refused, asked by HEAD or OPTIONS: each answer says `no-store`, once, and nothing that weakens it."""
    ids = {":user_id": victim.tokens["user"]["id"], ":session_id": victim.tokens["session_id"], ":code": "busy"}
    ids |= {":token": _link(victim, LINKS[route.path])[0]} if route.path in LINKS else {}
    path = "/".join(ids.get(segment, segment) for segment in route.path.split("/"))
    body = None if route.method == "GET" else BODIES.get(route.path)
    if route.path == "/otp/verify":
        challenge_id = _link(victim, MAGIC)[1]
        body = {"challenge_id": challenge_id, "code": codes.code(victim.app.core.keyring.current, challenge_id, 1)}
    token = victim.refresh if route.path == "/token/refresh" else victim.access
    call = victim.client.call
    granted = call(route.method, path + NEEDED.get(route.path, ""), body, token=token)
    refused = route.path in NOT_GRANTED or route.who.cap or route.path.startswith(("/oauth", "/audit"))
    assert granted.status in (200, 201, 202, 204, 302) or refused
    for answer in (granted, call(route.method, path, token="x"), call("HEAD", path, token="x"), call("OPTIONS", path)):
        _assert_not_stored(answer)


BODIES = {
    "/register": {"email": OTHER, "password": PASSWORD},
    "/login": {"email": EMAIL, "password": PASSWORD},
    "/reauthenticate": {"password": PASSWORD},
    "/password/change": {"current_password": PASSWORD, "new_password": NEW_PASSWORD},
    "/password/forgot": {"email": EMAIL},
    "/password/reset/:token": {"password": NEW_PASSWORD},
    "/login/magic": {"email": EMAIL},
    "/otp/send": {"email": EMAIL},
    "/otp/remove": {"channel": "email"},
    "/mfa/setup": {"type": "totp"},
}
# They need a factor, or an administrator; tests/handlers/test_mfa.py has them granted.
NOT_GRANTED = {
    "/mfa/verify",
    "/mfa/remove",
    "/mfa/recovery-codes",
    "/authenticator/verify",
    "/otp/remove",
    "/user/:user_id/factors",
    "/audit/logs",
    "/audit/verify",
}
LINKS = {"/login/magic/:token": MAGIC, "/password/reset/:token": RESET, "/email/verify/:token": VERIFY, "/email/undo/:token": UNDO}


def _link(victim: Victim, kind: Kind) -> tuple[str, str]:
    """The token of a link as it would be mailed to the victim, and the id of its challenge."""
    core, noted = victim.app.core, {"redirect_to": None, "create_user": True, "set_cookie": True, "locale_asked": None}
    with core.store.write() as tx:
        user = tx.users.get(victim.tokens["user"]["id"])
        assert user is not None
        challenge = challenges.make(core, kind, Email(user.email, user.email_key), user, **noted)
        tx.challenges.add(challenge)
    return links.mint(core.keyring.current, challenge.id, kind.purpose), challenge.id


def test_b12_only_a_file_that_is_the_same_for_all_may_be_kept(victim: Victim) -> None:
    """The style sheet is public, for an hour, and carries no cookie; what is refused there may not be kept either."""
    for token in (None, victim.access, "x"):
        answer = victim.client.get("/assets/style.css", token=token)
        assert (answer.status, answer.header_list("Cache-Control")) == (200, ["public, max-age=3600"])
        assert answer.header_list("Set-Cookie") == []
        _assert_not_stored(victim.client.get("/assets/missing.css", token=token))
    assert [route.method for route in ROUTES if route.path == STATIC] == ["GET"]


@pytest.mark.parametrize("path", PUBLISHED)
def test_b12_what_is_published_may_be_kept_for_five_minutes(victim: Victim, path: str) -> None:
    """It is the same whoever asks, sets no cookie, and a refusal of it is kept by nobody."""
    bodies = set()
    for token in (None, victim.access, "x"):
        answer = victim.client.get(path, token=token)
        assert (answer.status, answer.header_list("Cache-Control")) == (200, ["public, max-age=300"])
        assert answer.header_list("Set-Cookie") == []
        bodies.add(answer.body)
        _assert_not_stored(victim.client.post(path, {}, token=token))
    assert len(bodies) == 1


def test_b12_no_refusal_may_be_kept_by_a_cache(victim: Victim, world: FakeWorld) -> None:
    """So it is with the answers that no handler gives: unknown paths, wrong methods, bad bodies, forgeries, expired tokens."""
    client = victim.client
    foreign = {"Cookie": f"authsvc_access={victim.access}", "Origin": "https://evil.example"}
    answers = [
        client.get("/nowhere"),
        client.delete("/login"),
        client.post("/login", raw=b"{"),
        client.post("/login", {}),
        client.post("/login", raw=b"x", content_type="text/plain"),
        client.post("/login", {"email": "x" * 70_000}),
        client.delete("/sessions", headers=foreign),
    ]
    world.advance(1_000)
    answers.append(client.get("/user", token=victim.access))
    assert [answer.status for answer in answers] == [404, 405, 400, 422, 415, 413, 403, 401]
    for answer in answers:
        _assert_not_stored(answer)


def _assert_not_stored(answer: Answer) -> None:
    assert answer.header_list("Cache-Control") == ["no-store"]
    assert [answer.header(name) for name in ("Expires", "Last-Modified", "Age")] == [None, None, None]


def test_b13_sixty_seconds_of_leeway_and_no_more(client: Client, world: FakeWorld) -> None:
    """An access token works for sixty seconds past its time, and from a clock up to sixty seconds ahead; then no more."""
    token = client.register()["access_token"]
    for seconds, expected in ((900 + 59, 200), (1, "token_expired"), (-1, 200), (-(900 + 59) - 60, 200)):
        world.advance(seconds)
        answer = client.get("/user", token=token)
        assert (answer.status if answer.status == 200 else answer.code) == expected
    fresh = sign(*_ahead(client, seconds=60))
    assert client.get("/user", token=fresh).status == 200
    early = sign(*_ahead(client, seconds=61))
    assert client.get("/user", token=early).code == "invalid_token"


def _ahead(client: Client, *, seconds: int) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """A token of ours as a clock that runs ahead would have made it."""
    token = client.login()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    key = client.app.core.keyring.current.sub(Purpose.ACCESS)
    return jwt.get_unverified_header(token), {**claims, "iat": claims["iat"] + seconds}, key


@pytest.mark.parametrize("remembered", [True, False])
def test_b13_an_expired_access_token_does_not_come_alive_when_the_clock_steps_back(
    client: Client, world: FakeWorld, *, remembered: bool
) -> None:
    """A token from a future that the clock has left is refused, whether or not it was seen before the step."""
    token = client.register()["access_token"]
    if remembered:
        assert client.get("/user", token=token).status == 200
    world.advance(1_000)
    if remembered:
        assert client.get("/user", token=token).code == "token_expired"
    world.advance(-3_600)
    assert client.get("/user", token=token).code == "invalid_token"


def test_b13_sessions_survive_a_clock_that_steps_back_an_hour(client: Client, app: App, world: FakeWorld) -> None:
    """The current refresh token works on; spent ones are refused, and their lateness is not taken for theft."""
    first = client.register()["refresh_token"]
    second = client.refresh(first)["refresh_token"]
    world.advance(10)
    world.advance(-3_600)
    assert client.refresh(first).code == "invalid_token"
    third = client.refresh(second)
    assert third.status == 200
    assert client.get("/user", token=third["access_token"]).status == 200
    assert "session.reuse_detected" not in actions(app)
    assert client.refresh(second)["refresh_token"] == third["refresh_token"]
    assert client.refresh(first).status == 401
    assert actions(app).count("session.reuse_detected") == 1


def test_b13_sessions_survive_a_clock_that_jumps_a_day_and_comes_back(client: Client, app: App, world: FakeWorld) -> None:
    """Tokens refreshed during the jump are good after it; those spent before and during it stay spent."""
    first = client.register()["refresh_token"]
    second = client.refresh(first)["refresh_token"]
    world.advance(DAY)
    third = client.refresh(second)["refresh_token"]
    world.advance(-DAY)
    assert client.refresh(second).code == "invalid_token"
    fourth = client.refresh(third)
    assert fourth.status == 200
    assert client.get("/user", token=fourth["access_token"]).status == 200
    assert "session.reuse_detected" not in actions(app)
    for spent in (first, second):
        assert client.refresh(spent).status == 401
    assert client.login().status == 200


@pytest.mark.parametrize("step", [-3_600, -DAY, -60, -10])
def test_b13_a_spent_token_that_was_refused_once_stays_refused(client: Client, world: FakeWorld, step: int) -> None:
    """A token refused while the clock was behind does not work again when the clock has come back to its grace window."""
    first = client.register()["refresh_token"]
    assert client.refresh(first).status == 200
    world.advance(step)
    assert client.refresh(first).status == 401
    world.advance(-step + 5)
    assert client.refresh(first).status == 401


def test_b13_an_ended_session_does_not_come_alive_at_any_time(client: Client, world: FakeWorld) -> None:
    """Logged out, reused or logged out everywhere: no step of the clock brings a session back."""
    client.register()
    loser, reused, gone = client.login().json(), client.login().json(), client.login().json()
    client.post("/token/revoke", {"token": loser["refresh_token"]})
    successor = client.refresh(reused["refresh_token"]).json()
    world.advance(31)
    client.refresh(reused["refresh_token"])
    client.delete("/sessions?all=true", token=gone["access_token"])
    for step in (0, -31, -3_600, 3_600, DAY, -2 * DAY, 2 * DAY):
        world.advance(step)
        for tokens in (loser, reused, successor, gone):
            assert client.refresh(tokens["refresh_token"]).status == 401
            assert client.get("/user", token=tokens["access_token"]).status == 401


def test_b13_a_sign_in_from_the_future_is_not_a_recent_one(client: Client, app: App, world: FakeWorld) -> None:
    """A sign-in that had grown old does not become recent because the clock stepped back behind it."""
    tokens = client.register().json()
    world.advance(1_000)
    tokens = client.refresh(tokens["refresh_token"]).json()
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert client.post("/password/change", change, token=tokens["access_token"]).code == "reauthentication_required"
    world.advance(-3_600)
    tokens = client.refresh(tokens["refresh_token"]).json()
    assert client.post("/password/change", change, token=tokens["access_token"]).code == "reauthentication_required"
    assert "password.changed" not in actions(app)


APPS = "https://app.example.com, http://localhost:5173"
UNLISTED = [
    "https://evil-app.example.com",
    "https://evil-example.com",
    "https://app.example.com.evil.net",
    "https://app.example.comevil.net",
    "https://appXexample.com",
    "https://example.com",
    "https://a.app.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com:443",
    "https://app.example.com/",
    "https://app.example.com@evil.net",
    "https://evil.net#https://app.example.com",
    "https://app.example.com https://evil.net",
    "https://app.example.com,https://evil.net",
    "HTTPS://APP.EXAMPLE.COM",
    " https://app.example.com",
    "https://localhost:5173",
    "http://localhost",
    "http://localhost:51730",
    "http://127.0.0.1:8000",
    "null",
    "*",
    "",
    "file://",
]


@pytest.fixture
def shared(tmp_path: Path, world: FakeWorld) -> Iterator[Client]:
    """A client of a service that two apps may call from a browser."""
    with running(tmp_path, world, **UNLIMITED, app_origins=APPS) as app:
        yield Client(app)


def _cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.lower().startswith("access-control")}


@pytest.mark.parametrize("origin", UNLISTED)
def test_b14_an_origin_that_is_not_listed_letter_by_letter_gets_no_cors_header(shared: Client, origin: str) -> None:
    """Look-alikes, other ports and schemes, `null` and our own origin are told nothing, in answers, errors and preflights."""
    token = shared.register()["access_token"]
    preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    for answer in (
        shared.get("/user", token=token, headers={"Origin": origin}),
        shared.get("/user", headers={"Origin": origin}),
        shared.get("/nowhere", headers={"Origin": origin}),
        shared.post("/login", {"email": EMAIL, "password": PASSWORD}, headers={"Origin": origin}),
        shared.call("OPTIONS", "/user", headers=preflight),
        shared.call("OPTIONS", "/nowhere", headers=preflight),
    ):
        assert _cors(answer) == {}
        assert answer.header("Vary") == "Origin"


@pytest.mark.parametrize("origin", ["https://app.example.com", "http://localhost:5173"])
def test_b14_a_listed_origin_gets_its_own_name_and_never_a_star(shared: Client, origin: str) -> None:
    """A listed app may read answers and errors with credentials, is named exactly, and learns the methods by preflight."""
    token = shared.register()["access_token"]
    for answer in (
        shared.get("/user", token=token, headers={"Origin": origin}),
        shared.get("/user", headers={"Origin": origin}),
        shared.get("/nowhere", headers={"Origin": origin}),
        shared.login(password=WRONG),
        shared.call("OPTIONS", "/user", headers={"Origin": origin}),
    ):
        named = {} if answer.status == 401 and answer.code == "invalid_credentials" else {"Access-Control-Allow-Origin": origin}
        assert {name: value for name, value in _cors(answer).items() if name == "Access-Control-Allow-Origin"} == named
        assert _cors(answer).get("Access-Control-Allow-Credentials") == ("true" if named else None)
        assert "*" not in str(_cors(answer))
        assert answer.header("Vary") == "Origin"
    preflight = shared.call("OPTIONS", "/sessions", headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"})
    assert preflight.status == 204
    assert _cors(preflight)["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, OPTIONS"
    assert preflight.header("Vary") == "Origin"


def test_b14_without_listed_apps_nobody_gets_a_cors_header(client: Client) -> None:
    """By default there is no CORS at all, and answers still vary by origin for caches on the way."""
    for headers in ({}, {"Origin": "https://app.example.com"}, {"Origin": "http://127.0.0.1:8000"}, {"Origin": "null"}):
        answer = client.get("/healthz", headers=headers)
        assert _cors(answer) == {}
        assert answer.header("Vary") == "Origin"
