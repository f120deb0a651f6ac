"""Promises of authsvc.consumer to a service that trusts our tokens: what passes, what does not, and where the keys come from."""

from __future__ import annotations

import hmac
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authsvc.app import App
from authsvc.consumer import Claims, Insufficient, InvalidToken, Revocations, Unverifiable, Verifier
from authsvc.consumer.keysets import token_keys
from authsvc.events import CLI
from authsvc.flows import keyring, signing, users
from authsvc.primitives.jws import ALGORITHMS, ASYMMETRIC, HS256
from tests.faults.servers import environment, serving
from tests.openid.peers import Asked, Behaviour, Peer, encoded, says_bytes, served
from tests.staff import admin
from tests.support import Client, FakeWorld, running

ISSUER = "http://127.0.0.1:8000"


def jwks_of(app: App) -> dict[str, Any]:
    """What a consumer gets: the published keys, or for HS256 what the operator exports."""
    published = Client(app).get("/.well-known/jwks.json").json()
    return published if published["keys"] else keyring.shared(app.core)


class Published(Peer):
    """A server with a key set, which may be changed, broken and held back."""

    def __init__(self) -> None:
        super().__init__()
        self.url += "/jwks.json"
        self.answer: tuple[int, bytes] = (200, b'{"keys": []}')
        self.hold: threading.Event | None = None

    def note(self, asked: Asked) -> Behaviour:
        super().note(asked)
        if self.hold:
            self.hold.wait(20)
        status, body = self.answer
        return says_bytes(body, status, ("Cache-Control", "public, max-age=300"))

    def show(self, app: App) -> None:
        self.answer = (200, json.dumps(jwks_of(app)).encode())


@pytest.fixture
def published() -> Iterator[Published]:
    with served(Published()) as published:
        yield published


class Ticking(FakeWorld):
    """Its monotonic clock is turned by hand, too."""

    def monotonic(self) -> float:
        return self.time / 1000


@pytest.fixture
def world() -> Ticking:
    return Ticking()


@pytest.fixture(params=ALGORITHMS)
def app(request: pytest.FixtureRequest, tmp_path: Path, world: Ticking) -> Iterator[App]:
    with running(tmp_path, world, jwt_alg=request.param) as app:
        yield app


def signed_in(app: App, email: str = "example@mail.com") -> str:
    return str(Client(app).register(email)["access_token"])


def refused(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.code


def test_it_loads_nothing_of_the_server() -> None:
    """No application, no store, no PyJWT before the first token, and none of the optional libraries."""
    script = (
        "import sys, authsvc.consumer\n"
        "print(sorted(name for name in sys.modules if name in ('jwt', 'cryptography', 'argon2', 'waitress', 'sqlite3')"
        " or name.startswith(('authsvc.app', 'authsvc.flows', 'authsvc.store', 'authsvc.handlers', 'authsvc.rules'))))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert run.stdout.strip() == "[]"


def test_a_good_token_tells_who_it_is_and_what_they_may(app: App, world: Ticking) -> None:
    """By each algorithm: subject, roles, and caps that match as they do in the service itself."""
    staff = admin(app)
    verifier = Verifier(ISSUER, keys=jwks_of(app), world=world)
    claims = verifier.verify(staff.token)
    assert claims.subject == staff.id
    assert claims.has("anything:at-all")
    assert set(claims.roles) == {"admin", "user"}
    assert claims["email_verified"] is False
    plain = verifier.verify(signed_in(app))
    assert not plain.has("users:read")
    with pytest.raises(Insufficient, match="users:read"):
        plain.demand("users:read")
    scoped = Claims({"sub": "usr_x", "caps": ["orders:*", "billing:read"]})
    assert [scoped.has(cap) for cap in ("orders:read", "billing:read", "billing:write", "users:read")] == [True, True, False, False]


def test_a_token_counts_for_its_issuer_its_audience_and_its_time(app: App, world: Ticking) -> None:
    """ATTACKS B4: nobody else's token, none that ran out, none from the future; a minute is forgiven."""
    token, keys = signed_in(app), jwks_of(app)
    verifier = Verifier(ISSUER, keys=keys, world=world)
    assert refused(Verifier("http://127.0.0.1:9000", keys=keys, world=world), token) == "invalid_token"
    assert refused(Verifier(ISSUER, audience="https://shop.example", keys=keys, world=world), token) == "invalid_token"
    world.advance(900 + 59)
    verifier.verify(token)
    world.advance(1)
    assert refused(verifier, token) == "token_expired"
    world.advance(-900 - 60 - 61)
    assert refused(verifier, token) == "invalid_token"


def forged(app: App, token: str, header: dict[str, Any] | None = None, claims: Any = None) -> str:
    """Signed by the real key, over whatever header and claims."""
    key, whole = app.core.token_keys.current(), jwt.get_unverified_header(token) | (header or {})
    body = jwt.decode(token, options={"verify_signature": False}) if claims is None else claims
    text = ".".join(encoded(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (whole, body))
    algorithm = jwt.get_algorithm_by_name(key.alg) if key.alg != HS256 else None
    signature = algorithm.sign(text.encode(), key.signs) if algorithm else hmac.digest(key.signs, text.encode(), "sha256")
    return f"{text}.{encoded(signature)}"


def test_b_forged_tokens_do_not_pass(app: App, world: Ticking) -> None:
    """ATTACKS B1 to B4: the header chooses nothing but one of our keys; each claim has its type and stands once."""
    token, key = signed_in(app), app.core.token_keys.current()
    verifier = Verifier(ISSUER, keys=jwks_of(app), world=world)
    verifier.verify(forged(app, token))
    head, payload, signature = token.split(".")
    none = encoded(json.dumps({"alg": "none", "typ": "at+jwt", "kid": key.kid}).encode())
    for bad in (
        "",
        "a.b.c",
        f"{none}.{payload}.",
        f"{head}.{payload}.",
        f"{head}.{payload}.{signature[:-4]}",
        token + "A",
        "é.é.é",
        "x" * 100_000,
    ):
        assert refused(verifier, bad) == "invalid_token"
    for header in (
        {"typ": "JWT"},
        {"typ": None},
        {"kid": "other"},
        {"kid": "../" + key.kid},
        {"crit": ["x"], "x": 1},
        {"alg": "HS384"},
        {"alg": "none"},
    ):
        assert refused(verifier, forged(app, token, header)) == "invalid_token", header
    good = jwt.decode(token, options={"verify_signature": False})
    for name, value in (
        ("sub", 1),
        ("sub", None),
        ("sid", ""),
        ("iat", "1"),
        ("exp", 1e12),
        ("exp", True),
        ("caps", "*"),
        ("iss", None),
        ("aud", []),
    ):
        assert refused(verifier, forged(app, token, claims={**good, name: value})) == "invalid_token", name
    twice = json.dumps(good)[:-1].encode() + b', "sub": "usr_other"}'
    for body in ([], "text", b"{", b"[" * 5_000, twice):
        assert refused(verifier, forged(app, token, claims=body)) == "invalid_token"
    verifier.verify(forged(app, token, claims={**good, "aud": ["https://other.example", ISSUER]}))


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_b1_a_public_key_is_no_secret(tmp_path: Path, world: Ticking, alg: str) -> None:
    """Nobody signs by HS256 with what everybody can read."""
    with running(tmp_path, world, jwt_alg=alg) as app:
        token, key = signed_in(app), app.core.token_keys.current()
        verifier = Verifier(ISSUER, keys=jwks_of(app), world=world)
        head = encoded(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": key.kid}).encode())
        text = f"{head}.{token.split('.')[1]}"
        for secret in (
            key.verifies.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(jwks_of(app)["keys"][0]).encode(),
        ):
            assert refused(verifier, f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}") == "invalid_token"


def test_keys_that_cannot_be_used_are_passed_over() -> None:
    """Another use, another algorithm, another curve, too short, malformed, without an id: none of them verifies anything."""
    secret = encoded(b"k" * 32)
    listed = [
        {"kty": "oct", "k": secret, "kid": "good", "alg": "HS256"},
        {"kty": "oct", "k": secret, "kid": "enc", "use": "enc"},
        {"kty": "oct", "k": secret, "kid": "alg", "alg": "HS512"},
        {"kty": "oct", "k": encoded(b"short"), "kid": "short"},
        {"kty": "oct", "k": 7, "kid": "number"},
        {"kty": "oct", "k": secret},
        {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "curve"},
        {"kty": "RSA", "n": encoded(b"\xff" * 128), "e": "AQAB", "kid": "small"},
        {"kty": "new", "kid": "new"},
        "text",
        None,
    ]
    assert set(token_keys({"keys": listed})) == {"good"}
    for no_set in ({}, [], None, "x", {"keys": {}}):
        with pytest.raises(ValueError, match="not a JWK Set"):
            token_keys(no_set)
    with pytest.raises(ValueError, match="no key"):
        Verifier(ISSUER, keys={"keys": []})


@pytest.mark.parametrize(
    "url", ["http://auth.example.com/jwks", "ftp://auth.example.com/", "auth.example.com", "https://u:p@auth.example.com/"]
)
def test_keys_come_by_https(url: str) -> None:
    """Or from this machine."""
    with pytest.raises(ValueError, match="use https"):
        Verifier(ISSUER, jwks_url=url)


@pytest.fixture
def rotating(tmp_path: Path, world: Ticking, published: Published) -> Iterator[App]:
    with running(tmp_path, world, jwt_alg="EdDSA") as app:
        published.show(app)
        yield app


def test_the_set_is_fetched_once_and_again_when_it_has_aged(rotating: App, world: Ticking, published: Published) -> None:
    """After as long as it says, within bounds."""
    token, verifier = signed_in(rotating), Verifier(ISSUER, jwks_url=published.url, world=world)
    assert published.asked == [], "nothing is fetched before it is needed"
    for _ in range(5):
        verifier.verify(token)
    assert len(published.asked) == 1
    world.advance(301)
    verifier.verify(token)
    assert len(published.asked) == 2


def test_a_rotation_is_noticed_by_the_unknown_key(rotating: App, world: Ticking, published: Published) -> None:
    """Two in a row, so that even the next key of the old set is gone; ids that nobody knows cost one fetch in ten seconds."""
    verifier = Verifier(ISSUER, jwks_url=published.url, world=world)
    verifier.verify(signed_in(rotating))
    signing.rotate(rotating.core, CLI)
    signing.rotate(rotating.core, CLI)
    published.show(rotating)
    world.advance(11)
    fresh = signed_in(rotating, "b@mail.com")
    verifier.verify(fresh)
    assert len(published.asked) == 2
    for number in range(20):
        refused(verifier, forged(rotating, fresh, {"kid": f"{number:043}"}))
    assert len(published.asked) == 2


@pytest.mark.parametrize(
    "answer", [(500, b""), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b"{" * 9_000), (200, b" " * 100_000)],
    ids=["500", "302", "html", "list", "deep", "huge"],
)  # fmt: skip
def test_while_no_set_comes_the_last_one_serves(rotating: App, world: Ticking, published: Published, answer: tuple[int, bytes]) -> None:
    """For a day; before the first one there is nothing to verify by, and that is said, not called a bad token."""
    token = signed_in(rotating)
    published.answer = answer
    verifier = Verifier(ISSUER, jwks_url=published.url, world=world)
    with pytest.raises(Unverifiable):
        verifier.verify(token)
    published.show(rotating)
    world.advance(11)
    verifier.verify(token)
    published.answer = answer
    world.advance(400)
    verifier.verify(token)
    world.advance(86_400)
    with pytest.raises(Unverifiable):
        verifier.verify(token)


def test_threads_share_one_fetch(rotating: App, world: Ticking, published: Published) -> None:
    """Of twenty that come at once one fetches, and all pass."""
    token, published.hold = signed_in(rotating), threading.Event()
    verifier, passed = Verifier(ISSUER, jwks_url=published.url, world=world), []
    threads = [threading.Thread(target=lambda: passed.append(verifier.verify(token).subject)) for _ in range(20)]
    for thread in threads:
        thread.start()
    published.hold.set()
    for thread in threads:
        thread.join(30)
    assert (len(passed), len(published.asked)) == (20, 1)


def test_against_a_real_service_over_its_rotations_and_revocations(tmp_path: Path) -> None:
    """Another process: keys by its own URL, ended sessions and changed accounts by its events."""
    with serving(tmp_path, jwt_alg="ES256") as server:
        caller = server.caller()
        made = caller.register("ann@mail.com")
        other = caller.register("bob@mail.com")
        assert made
        assert other
        url = f"http://127.0.0.1:{server.port}"
        key = subprocess.run(
            [sys.executable, "-m", "authsvc", "key", "create", "shop", "--cap", "events:read", "--json"],
            env=environment(tmp_path, server.port, {"jwt_alg": "ES256"}), capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        revocations = Revocations(url, json.loads(key.stdout)["key"])
        verifier = Verifier(url, revocations=revocations)
        tokens = [str(reply.body["access_token"]) for reply in (made, other)]
        assert [verifier.verify(token).subject for token in tokens] == [reply.body["user"]["id"] for reply in (made, other)]
        revocations.poll()
        assert caller.logout(str(made.body["refresh_token"]))
        verifier.verify(tokens[0])
        assert revocations.poll() == 1
        assert refused(verifier, tokens[0]) == "invalid_token"
        verifier.verify(tokens[1])
        with pytest.raises(OSError, match="status 401"):
            Revocations(url, "ak_wrong").poll()
    with pytest.raises(OSError, match="refused"):
        revocations.poll()
    verifier.verify(tokens[1])


def test_tokens_from_before_a_change_of_the_account_do_not_count(tmp_path: Path, world: Ticking) -> None:
    """Those that it gets afterwards do; what happened long ago is forgotten."""
    with running(tmp_path, world) as app:
        token = signed_in(app)
        claims = Verifier(ISSUER, keys=jwks_of(app), world=world).verify(token)
        world.advance(2)
        users.change_roles(app.core, claims.subject, CLI, grant=["admin"])
        feed = Revocations(ISSUER, "ak_x", world=world)
        client, key = Client(app), admin(app, "root@mail.com")

        def page() -> tuple[list[Any], str]:  # in place of the call over HTTP
            found = client.get(f"/events?after={feed._cursor}" if feed._cursor else "/events", token=key.token).json()
            return found["items"], found["next_cursor"]

        feed._page = page  # type: ignore[method-assign]
        feed.poll()
        verifier = Verifier(ISSUER, keys=jwks_of(app), revocations=feed, world=world)
        assert refused(verifier, token) == "invalid_token"
        verifier.verify(str(Client(app).login()["access_token"]))
        world.advance(90_000)
        key = admin(app, "later@mail.com")
        feed.poll()
        assert claims.subject not in feed._accounts
