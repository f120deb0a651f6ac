"""The provider that is not ours is a real one: it signs, it refuses, and it does what its accounts say."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import jwt
import pytest

from tests import node
from tests.openid.provider import HERE, PATIENCE_SECONDS, AsItComes, OpenIdProvider, provider_running, sign_in

CALLBACK = "http://127.0.0.1:9/callback"  # where nobody listens
SECRET = "s3cret: of a client + & %"
BASIC = {"client_id": "basic", "client_secret": SECRET, "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "client_secret_basic"}
POST = {
    **BASIC,
    "client_id": "post",
    "token_endpoint_auth_method": "client_secret_post",
    "id_token_signed_response_alg": "ES256",
}
PUBLIC = {"client_id": "public", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
CLIENTS = [BASIC, POST, PUBLIC]
ADA = {
    "sub": "ada",
    "email": "ada@example.test",
    "email_verified": True,
    "name": "Ada Lovelace",
    "picture": "http://127.0.0.1:9/ada.png",
}
VERIFIER = secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    """One for the tests that do not change it."""
    with provider_running(CLIENTS, [ADA]) as provider:
        yield provider


def test_discovery_names_the_issuer(provider: OpenIdProvider) -> None:
    """The discovery document is the issuer's own, promises RFC 9207's iss, and its endpoints are there too."""
    document = discovery(provider)
    assert document["issuer"] == provider.issuer
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["code_challenge_methods_supported"] == ["S256"]
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        assert document[name].startswith(f"{provider.issuer}/"), name


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client["client_id"])
def test_a_sign_in_gives_a_signed_id_token(provider: OpenIdProvider, client: dict[str, Any]) -> None:
    """A code with its verifier becomes an ID token that the published keys verify, with the account's claims in it."""
    callback = sign_in(authorize_url(provider, client, state="s t", nonce="n-1"), "ada")
    assert callback.startswith(f"{CALLBACK}?")
    answered = query(callback)
    assert set(answered) == {"code", "state", "iss"}
    assert (answered["state"], answered["iss"]) == ("s t", provider.issuer)

    status, tokens = redeem(provider, client, answered["code"])
    assert (status, tokens["token_type"]) == (200, "Bearer")
    claims = verified(provider, client, tokens["id_token"])
    assert claims.items() >= {**ADA, "nonce": "n-1"}.items()
    userinfo = Request(discovery(provider)["userinfo_endpoint"], headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert fetch(userinfo) == (200, ADA)


def test_a_wrong_verifier_is_refused(provider: OpenIdProvider) -> None:
    """A code whose PKCE verifier is another one gives no token."""
    code = query(sign_in(authorize_url(provider, BASIC), "ada"))["code"]
    status, answer = redeem(provider, BASIC, code, verifier=VERIFIER[::-1])
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert "id_token" not in answer


def test_a_code_counts_once(provider: OpenIdProvider) -> None:
    """A code that has given its tokens gives none a second time."""
    code = query(sign_in(authorize_url(provider, BASIC), "ada"))["code"]
    assert [redeem(provider, BASIC, code)[0] for _ in range(2)] == [200, 400]


def test_a_wrong_secret_is_refused(provider: OpenIdProvider) -> None:
    """A client that does not know its secret gets no token."""
    code = query(sign_in(authorize_url(provider, BASIC), "ada"))["code"]
    status, answer = redeem(provider, {**BASIC, "client_secret": "another"}, code)
    assert (status, answer["error"]) == (401, "invalid_client")


def test_pkce_is_required(provider: OpenIdProvider) -> None:
    """A request without a challenge is sent back before anybody is asked anything."""
    answered = query(sign_in(authorize_url(provider, BASIC, code_challenge=None, code_challenge_method=None), "ada"))
    assert answered["error"] == "invalid_request"
    assert "code" not in answered


def test_who_cancels_is_sent_back_with_the_refusal(provider: OpenIdProvider) -> None:
    """Cancelling leads to the callback with access_denied, the state and the issuer, and without a code."""
    answered = query(sign_in(authorize_url(provider, BASIC, state="s"), "ada", deny=True))
    assert (answered["error"], answered["state"], answered["iss"]) == ("access_denied", "s", provider.issuer)
    assert "code" not in answered


def test_an_unknown_login_is_not_let_in(provider: OpenIdProvider) -> None:
    """Only the accounts that were listed sign in, and the failure names the login."""
    with pytest.raises(AssertionError, match=r"^'eve' gets 500 "):
        sign_in(authorize_url(provider, BASIC), "eve")


def test_an_error_page_fails_the_sign_in(provider: OpenIdProvider) -> None:
    """An address that the client has not registered is an error that is shown, not one that is sent there."""
    with pytest.raises(AssertionError, match=r"^'ada' gets 400 .* invalid_redirect_uri "):
        sign_in(authorize_url(provider, BASIC, redirect_uri="http://127.0.0.1:9/elsewhere"), "ada")


def test_a_conforming_id_token_leaves_the_address_to_userinfo() -> None:
    """Where it is asked for, the ID token does not tell the e-mail address, as OpenID Connect Core 5.4 has it."""
    with provider_running(CLIENTS, [ADA], conform_id_token_claims=True) as provider:
        _, tokens = redeem(provider, BASIC, query(sign_in(authorize_url(provider, BASIC), "ada"))["code"])
        claims = verified(provider, BASIC, tokens["id_token"])
        assert claims["sub"] == "ada"
        assert not claims.keys() & {"email", "email_verified", "name", "picture"}


def test_accounts_change_while_it_runs() -> None:
    """The next sign-in tells what was changed, leaves out what was taken away, and knows who was added."""
    with provider_running(CLIENTS, [ADA]) as provider:
        provider.change("ada", email="ada@other.test", email_verified=False, picture=None)
        provider.set_accounts([*provider.accounts, {"sub": "bob"}])
        for login, told in {"ada": {"email": "ada@other.test", "email_verified": False, "name": ADA["name"]}, "bob": {}}.items():
            _, tokens = redeem(provider, BASIC, query(sign_in(authorize_url(provider, BASIC), login))["code"])
            claims = verified(provider, BASIC, tokens["id_token"])
            assert {name: claims[name] for name in ("sub", *ADA) if name in claims} == {"sub": login, **told}


def test_it_comes_back_on_its_port_with_other_keys() -> None:
    """A provider that is started again at the same issuer signs with new keys."""
    with provider_running(CLIENTS, [ADA]) as first:
        before = kids(first)
    with provider_running(CLIENTS, [ADA], port=urlsplit(first.issuer).port) as second:
        assert second.issuer == first.issuer
        assert not before & kids(second)


@pytest.mark.parametrize("end", [lambda process: process.stdin.close(), Popen.terminate], ids=["stdin", "SIGTERM"])
def test_it_ends_with_whoever_started_it(end: Callable[[Popen[bytes]], None]) -> None:
    """The process ends by itself when nobody holds its stdin any more, and upon SIGTERM."""
    with provider_running(CLIENTS, [ADA]) as provider:
        end(provider.process)
        assert provider.process.wait(PATIENCE_SECONDS) == 0


def test_what_keeps_it_from_starting_is_told() -> None:
    """A configuration that the package refuses fails the test with the package's words."""
    with pytest.raises(pytest.fail.Exception, match="redirect_uris"), provider_running([{**PUBLIC, "redirect_uris": ["nowhere"]}], [ADA]):
        pass


@pytest.mark.parametrize(("promised", "outcome"), [("1", pytest.fail.Exception), (None, pytest.skip.Exception)])
def test_without_node_it_is_skipped_unless_ci_has_promised_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promised: str | None, outcome: type[BaseException]
) -> None:
    """A machine without Node skips these tests and says what they need; where CI has promised Node, that is a failure."""
    monkeypatch.setattr(node, "install", node.install.__wrapped__)
    monkeypatch.setenv("PATH", str(tmp_path))
    if promised is None:
        monkeypatch.delenv("CI_HAS_NODE", raising=False)
    else:
        monkeypatch.setenv("CI_HAS_NODE", promised)
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception), match="there is no Node") as raised:
        node.modules(HERE, "oidc-provider")
    assert raised.type is outcome  # a skip that nobody expects would only skip this test


def authorize_url(provider: OpenIdProvider, client: dict[str, Any], **changes: str | None) -> str:
    """A request for a code with PKCE; what is changed to None is left out."""
    challenge = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": client["client_id"],
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid email profile",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    kept = {name: value for name, value in (asked | changes).items() if value is not None}
    return f"{discovery(provider)['authorization_endpoint']}?{urlencode(kept)}"


def redeem(provider: OpenIdProvider, client: dict[str, Any], code: str, *, verifier: str = VERIFIER) -> tuple[int, dict[str, Any]]:
    """What the token endpoint says to the code."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": verifier}
    headers = {}
    if client["token_endpoint_auth_method"] == "client_secret_basic":
        pair = ":".join(quote(client[name], safe="") for name in ("client_id", "client_secret"))  # RFC 6749 2.3.1 encodes both
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form |= {name: client[name] for name in ("client_id", "client_secret") if name in client}
    return fetch(Request(discovery(provider)["token_endpoint"], urlencode(form).encode(), headers))


def verified(provider: OpenIdProvider, client: dict[str, Any], token: str) -> dict[str, Any]:
    """The claims of an ID token, once the key that it names and the client's algorithm have verified it."""
    keys = {key.key_id: key for key in jwks(provider).keys}
    algorithm = client.get("id_token_signed_response_alg", "RS256")
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=[algorithm], audience=client["client_id"], issuer=provider.issuer)


def kids(provider: OpenIdProvider) -> set[str | None]:
    return {key.key_id for key in jwks(provider).keys}


def jwks(provider: OpenIdProvider) -> jwt.PyJWKSet:
    """The public keys; no private part is among them."""
    _, document = fetch(Request(discovery(provider)["jwks_uri"]))
    assert not any("d" in key for key in document["keys"])
    return jwt.PyJWKSet.from_dict(document)


def discovery(provider: OpenIdProvider) -> dict[str, Any]:
    status, document = fetch(Request(f"{provider.issuer}/.well-known/openid-configuration"))
    assert status == 200
    return document


def query(url: str) -> dict[str, str]:
    """The parameters of a URL, each of which is there once."""
    return {name: value for name, [value] in parse_qs(urlsplit(url).query, strict_parsing=True).items()}


def fetch(request: Request) -> tuple[int, dict[str, Any]]:
    with build_opener(ProxyHandler({}), AsItComes).open(request, timeout=PATIENCE_SECONDS) as answer:
        return answer.status, json.loads(answer.read())
