"""Promises of primitives/jwts.py: tokens that any RFC 9068 library can verify, and that we verify by our own rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey

from authsvc.app import App
from authsvc.primitives import jwts
from authsvc.primitives.jwts import AccessTokens, DerivedKeys
from authsvc.primitives.keyring import Key, Keyring, Purpose, encode
from authsvc.problems import Problem
from tests.support import START, Client, FakeWorld, running

SECRET = b"0123456789abcdef0123456789ABCDEF"
OLDER = b"fedcba9876543210FEDCBA9876543210"
ISSUER = "https://auth.example.com"
AUDIENCE = "https://api.example.com"
SECONDS = 900
CLAIMS: dict[str, Any] = {
    "sub": "usr_1",
    "sid": "ses_1",
    "gen": 1,
    "auth_time": START // 1000,
    "amr": ["pwd"],
    "acr": "aal1",
    "roles": ["user"],
    "caps": [],
    "email": "someone@example.com",
    "email_verified": False,
}


@pytest.fixture
def tokens(world: FakeWorld) -> AccessTokens:
    return make(world)


def make(world: FakeWorld, *secrets: bytes, issuer: str = ISSUER, audience: str = AUDIENCE) -> AccessTokens:
    return AccessTokens(DerivedKeys(Keyring(secrets or (SECRET,))), world, issuer=issuer, audience=audience, seconds=SECONDS)


def independently(text: str, secret: bytes = SECRET) -> joserfc_jwt.Token:
    """What another library makes of a token, given the sub-key of access tokens."""
    return joserfc_jwt.decode(text, OctKey.import_key(Key(secret).sub(Purpose.ACCESS)), algorithms=["HS256"])


def signed(claims: dict[str, Any], header: dict[str, Any] | None = None, *, key: bytes | None = None) -> str:
    """A token made by the other library, with whatever claims and header."""
    own = {"alg": "HS256", "typ": "at+jwt", "kid": Key(SECRET).kid} | (header or {})
    return joserfc_jwt.encode(own, claims, OctKey.import_key(key or Key(SECRET).sub(Purpose.ACCESS)), algorithms=["HS256"])


def full(**changes: Any) -> dict[str, Any]:
    now = START // 1000
    claims = {**CLAIMS, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + SECONDS, "jti": "jti_1", **changes}
    return {name: value for name, value in claims.items() if value is not ...}


def refusal(tokens: AccessTokens, text: str) -> str:
    with pytest.raises(Problem) as caught:
        tokens.verify(text)
    return caught.value.code


def test_an_independent_library_verifies_a_token(tokens: AccessTokens) -> None:
    """A token is HS256 under the sub-key of access tokens, with `typ: at+jwt` and the key's id (RFC 9068 section 2.1)."""
    text = tokens.issue(CLAIMS)

    assert independently(text).header == {"alg": "HS256", "typ": "at+jwt", "kid": Key(SECRET).kid}
    with pytest.raises(BadSignatureError):
        independently(text, OLDER)
    for key in (SECRET, *(Key(SECRET).sub(purpose) for purpose in Purpose if purpose is not Purpose.ACCESS)):
        with pytest.raises(BadSignatureError):
            joserfc_jwt.decode(text, OctKey.import_key(key), algorithms=["HS256"])


def test_a_token_has_exactly_the_given_claims_and_our_own(tokens: AccessTokens, world: FakeWorld) -> None:
    """Issuer, audience, the World's times and an id are ours; there is no `nbf`, and nothing else."""
    world.advance(12.345)
    now = (START + 12_345) // 1000

    claims = independently(tokens.issue(CLAIMS)).claims

    jti = claims.pop("jti")
    assert claims == {**CLAIMS, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + SECONDS}
    assert jti.startswith("jti_")


def test_our_own_claims_cannot_be_overwritten(tokens: AccessTokens) -> None:
    """A configured claim never takes the place of issuer, audience, times or id."""
    forged = {"iss": "evil", "aud": "evil", "iat": 0, "exp": 9_999_999_999, "jti": "evil"}

    claims = independently(tokens.issue({**CLAIMS, **forged})).claims

    assert [name for name, value in forged.items() if claims[name] == value] == []


def test_every_token_has_its_own_id(tokens: AccessTokens) -> None:
    """Two tokens of the same claims in the same millisecond are two tokens."""
    texts = {tokens.issue(CLAIMS) for _ in range(50)}

    assert len(texts) == len({independently(text).claims["jti"] for text in texts}) == 50


def test_a_sign_in_gives_exactly_the_claims_of_the_contract(app: App, client: Client) -> None:
    """An access token says what the contract lists, and nothing more."""
    answer = client.register()
    key = app.core.keyring.current.sub(Purpose.ACCESS)
    token = joserfc_jwt.decode(answer["access_token"], OctKey.import_key(key), algorithms=["HS256"])
    now = START // 1000

    jti = token.claims.pop("jti")
    assert token.header == {"alg": "HS256", "typ": "at+jwt", "kid": app.core.keyring.current.kid}
    assert token.claims == {
        "iss": "http://127.0.0.1:8000",
        "aud": "http://127.0.0.1:8000",
        "sub": answer["user"]["id"],
        "iat": now,
        "exp": now + 900,
        "sid": answer["session_id"],
        "gen": 1,
        "auth_time": now,
        "amr": ["pwd"],
        "acr": "aal1",
        "roles": ["user"],
        "caps": [],
        "email": "example@mail.com",
        "email_verified": False,
    }
    assert isinstance(jti, str)


def test_the_settings_give_issuer_audience_and_life(tmp_path: Any) -> None:
    """`issuer`, `audience` and `access_seconds` are in the token as they were set."""
    with running(tmp_path, issuer="urn:us", audience="urn:them", access_seconds=77) as app:
        answer = Client(app).register()
        claims = app.core.tokens.verify(answer["access_token"])

    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"], answer["expires_in"]) == ("urn:us", "urn:them", 77, 77)


def test_verifying_gives_the_claims_back(tokens: AccessTokens) -> None:
    """What was issued is what a verified token says, the first time and when it is remembered."""
    text = tokens.issue(CLAIMS)

    first, again = tokens.verify(text), tokens.verify(text)

    assert first == again == independently(text).claims


def test_a_token_of_another_library_with_our_claims_is_genuine(tokens: AccessTokens) -> None:
    """The checks below refuse what they refuse for its one change, since the unchanged token passes."""
    assert tokens.verify(signed(full())) == full()


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "gen", "auth_time", "amr", "acr", "roles", "caps"])
@pytest.mark.parametrize("value", [..., None, True, 1.5, {}, "x", 1, ["x"], "", [], -1, 10**30, {"a": ["x"]}])
def test_a_claim_that_is_missing_or_of_another_type_is_refused(tokens: AccessTokens, name: str, value: Any) -> None:
    """Every claim that we rely on must be there in its own type, even under a right signature (ATTACKS B4)."""
    right = full()[name]
    same_type = type(value) is type(right)
    if name in ("iss", "aud") or not same_type:
        assert refusal(tokens, signed(full(**{name: value}))) == "invalid_token"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": ISSUER + "/"}, "invalid_token"),
        ({"iss": ISSUER.upper()}, "invalid_token"),
        ({"aud": AUDIENCE + ".evil"}, "invalid_token"),
        ({"aud": [AUDIENCE]}, "invalid_token"),
        ({"aud": [AUDIENCE, "https://evil.example"]}, "invalid_token"),
        ({"iat": START // 1000 + 61}, "invalid_token"),
        ({"iat": START // 1000 + 10**9}, "invalid_token"),
        ({"exp": START // 1000 - 60}, "token_expired"),
        ({"exp": 0}, "token_expired"),
        ({"exp": -(10**12)}, "token_expired"),
    ],
)
def test_another_issuer_audience_or_time_is_refused(tokens: AccessTokens, changes: dict[str, Any], code: str) -> None:
    """A token for somebody else, from the future or from long ago does not count (ATTACKS B4)."""
    assert refusal(tokens, signed(full(**changes))) == code
    assert refusal(tokens, signed(full(**changes))) == code, "nor the second time"


@pytest.mark.parametrize("changes", [{"iat": START // 1000 + 60}, {"exp": START // 1000 - 59}, {"nbf": 2**40}])
def test_a_minute_of_difference_between_clocks_is_borne(tokens: AccessTokens, changes: dict[str, Any]) -> None:
    """Leeway is 60 seconds both ways, and an `nbf`, which we never write, is not ours to judge."""
    assert tokens.verify(signed(full(**changes))) == full(**changes)


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "at+JWT"},
        {"typ": "application/at+jwt"},
        {"typ": ""},
        {"kid": "unknown0"},
        {"kid": ""},
        {"kid": "../../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": Key(OLDER).kid},
    ],
)
def test_another_type_or_key_id_is_refused(tokens: AccessTokens, header: dict[str, Any]) -> None:
    """The header may only choose a key from our ring, for a token that says it is an access token (ATTACKS B2, B3)."""
    assert refusal(tokens, signed(full(), header)) == "invalid_token"


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.ACCESS])
def test_a_sub_key_of_another_purpose_signs_nothing(tokens: AccessTokens, purpose: Purpose) -> None:
    """A signature by another purpose's sub-key is none (ATTACKS B3)."""
    assert refusal(tokens, signed(full(), key=Key(SECRET).sub(purpose))) == "invalid_token"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "hs256"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {"kid": 1},
        {"kid": ["a"]},
        {"kid": {}},
        {"typ": 1},
        {"crit": ["exp"], "exp": 1},
        {"b64": False, "crit": ["b64"]},
    ],
)
def test_a_header_that_asks_for_another_algorithm_is_refused(tokens: AccessTokens, header: dict[str, Any]) -> None:
    """The algorithm comes from our key and never from the header, signature or not (ATTACKS B1, RFC 8725)."""
    import hashlib
    import hmac

    own = {"alg": "HS256", "typ": "at+jwt", "kid": Key(SECRET).kid} | header
    body = ".".join(encode(json.dumps(part).encode()) for part in (own, full()))
    signature = encode(hmac.new(Key(SECRET).sub(Purpose.ACCESS), body.encode(), hashlib.sha256).digest())

    assert refusal(tokens, f"{body}.{signature}") == "invalid_token"
    assert refusal(tokens, f"{body}.") == "invalid_token"
    assert refusal(tokens, body) == "invalid_token"


def test_a_token_is_refused_from_its_end_on(tokens: AccessTokens, world: FakeWorld) -> None:
    """A token expires by the World's clock a minute after `exp`, whether or not it was seen and remembered before."""
    seen, unseen = tokens.issue(CLAIMS), tokens.issue(CLAIMS)
    tokens.verify(seen)

    world.advance(SECONDS + 59.999)
    assert tokens.verify(seen)["sub"] == "usr_1"

    world.advance(0.001)
    assert [refusal(tokens, text) for text in (seen, unseen, seen, unseen)] == ["token_expired"] * 4
    assert tokens.verify(seen, allow_expired=True)["sid"] == "ses_1"


def test_an_expired_token_is_not_genuine_for_that_alone(tokens: AccessTokens, world: FakeWorld) -> None:
    """Where an expired token may still name its session (logout), a forged one may not."""
    text = tokens.issue(CLAIMS)
    world.advance(10 * SECONDS)

    with pytest.raises(Problem) as caught:
        tokens.verify(text[:-4] + "AAAA", allow_expired=True)
    assert caught.value.code == "invalid_token"


def test_a_clock_that_was_set_back_does_not_make_tokens_from_the_future_valid(tokens: AccessTokens, world: FakeWorld) -> None:
    """An hour back, an unseen token is from the future; once the clock is right again it counts (ATTACKS B13)."""
    text = tokens.issue(CLAIMS)
    world.advance(-3_600)
    assert refusal(tokens, text) == "invalid_token"

    world.advance(3_600)
    assert tokens.verify(text)["sub"] == "usr_1"


def test_what_is_refused_is_not_remembered(tokens: AccessTokens) -> None:
    """A flood of forged tokens takes no memory and pushes no genuine one out."""
    for number in range(50):
        assert refusal(tokens, signed(full(iss="evil", jti=str(number)))) == "invalid_token"
        assert refusal(tokens, f"{number}") == "invalid_token"

    assert tokens._verified == {}


def test_the_memory_of_verified_tokens_is_bounded(tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens come by, no more than REMEMBERED are kept, and the others are verified anew."""
    monkeypatch.setattr(jwts, "REMEMBERED", 8)
    texts = [tokens.issue(CLAIMS) for _ in range(40)]

    for text in texts:
        tokens.verify(text)
        assert len(tokens._verified) <= 8

    assert [tokens.verify(text)["sid"] for text in texts] == ["ses_1"] * 40
    assert texts[-1] in tokens._verified


class CountingKeyring(Keyring):
    """A keyring that counts how often a token's key is looked up: once for each verification."""

    def __init__(self) -> None:
        super().__init__([SECRET])
        self.asked = 0

    def get(self, kid: str) -> Key | None:
        self.asked += 1
        return super().get(kid)


def test_remembering_saves_the_second_verification(world: FakeWorld) -> None:
    """A repeated token costs a look-up; only its exact bytes are remembered, and a changed one is verified."""
    keyring = CountingKeyring()
    tokens = AccessTokens(DerivedKeys(keyring), world, issuer=ISSUER, audience=AUDIENCE, seconds=SECONDS)
    text = tokens.issue(CLAIMS)

    for _ in range(3):
        tokens.verify(text)
    assert keyring.asked == 1

    for asked in (2, 3):
        assert refusal(tokens, text[:-9] + "AAAAAAAAA") == "invalid_token"
        assert keyring.asked == asked


def test_a_previous_secret_key_still_verifies(world: FakeWorld) -> None:
    """After a rotation old tokens count until they expire, new ones name the new key, and a retired key's are refused."""
    old = make(world, OLDER).issue(CLAIMS)
    rotated, retired = make(world, SECRET, OLDER), make(world, SECRET)
    new = rotated.issue(CLAIMS)

    assert rotated.verify(old)["sub"] == rotated.verify(new)["sub"] == "usr_1"
    assert independently(new).header["kid"] == Key(SECRET).kid
    assert refusal(retired, old) == "invalid_token"
    assert refusal(make(world, OLDER), new) == "invalid_token"
    assert retired.verify(new)["sub"] == "usr_1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "null",
        "bnVsbA.bnVsbA.",
        "W10.W10.W10",
        "e30.e30.",
        "e30.e30.e30",
        "ä.ö.ü",
        "\0",
        "a" * 100_000,
        "." * 100_000,
        "e30." * 3,
        encode(b"\xff\xfe") + ".e30.e30",
        encode(b"[" * 5_000) + ".e30.e30",
        encode(b'{"alg":"HS256","typ":"at+jwt","kid":"a","kid":"b"}') + ".e30.e30",
        encode(b'{"alg":NaN}') + ".e30.e30",
        encode(b'{"alg":' + b"9" * 4_999 + b"}") + ".e30.e30",
        "\ud800.e30.e30",
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_what_is_no_token_is_refused(tokens: AccessTokens, text: str) -> None:
    """Malformed, huge, deep or foreign text is `invalid_token`, never another error (ATTACKS B4)."""
    assert refusal(tokens, text) == "invalid_token"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"\xff",
        b"[" * 4_000,
        b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
        b'{"gen":' + b"9" * 4_999 + b"}",
        b'{"exp":Infinity}',
        b'{"exp":1e999}',
        b'{"sub":"usr_other",' + json.dumps(full()).encode()[1:],
    ],
    ids=lambda payload: ascii(payload)[:30],
)
def test_a_payload_that_is_no_object_of_claims_is_refused(tokens: AccessTokens, payload: bytes) -> None:
    """Even under a right signature, what is not a JSON object with our claims is `invalid_token`."""
    import hashlib
    import hmac

    header = {"alg": "HS256", "typ": "at+jwt", "kid": Key(SECRET).kid}
    body = f"{encode(json.dumps(header).encode())}.{encode(payload)}"
    signature = hmac.new(Key(SECRET).sub(Purpose.ACCESS), body.encode(), hashlib.sha256).digest()

    assert refusal(tokens, f"{body}.{encode(signature)}") == "invalid_token"


def test_a_token_that_is_too_long_is_refused_before_it_is_read(tokens: AccessTokens) -> None:
    """Length is checked first: a genuine signature over 8 KiB does not help."""
    assert tokens.verify(signed(full(note="x" * 4_000)))["note"]
    assert refusal(tokens, signed(full(note="x" * 8_000))) == "invalid_token"


def test_every_changed_character_breaks_a_token(tokens: AccessTokens) -> None:
    """A token has one spelling: not a place of it can be changed, the spare bits of its last letter and padding included."""
    text = tokens.issue(CLAIMS)
    changed = [text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(0, len(text), 7)]
    changed += [text[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if letter != text[-1]]
    changed += [text[:-1], text + "A", text + "=", text + "==", text + ".", text + " ", " " + text, text + "\n", text.swapcase()]

    passed = []
    for hostile in changed:
        try:
            tokens.verify(hostile)
        except Problem as problem:
            assert problem.code == "invalid_token"  # noqa: PT017 - the table wants all that pass, not the first
        else:
            passed.append(hostile.removeprefix(text[:-1]))

    assert passed == []
    assert tokens.verify(text)["sub"] == "usr_1"
