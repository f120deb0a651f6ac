"""/.well-known: the key set that other services verify our tokens with, what we say of ourselves, and the way to a new password."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import signing
from authsvc.primitives.jws import ASYMMETRIC
from authsvc.primitives.keyring import encode
from tests.support import EMAIL, Client, FakeWorld, running

JWKS, METADATA, PASSWORD_PAGE = "/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/change-password"
APP_ORIGIN = "https://app.example.com"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
NO_CRYPTO = """
import json, sys
sys.modules["cryptography"] = None
from authsvc.config import sources
from authsvc.app import App
from authsvc.problems import Refused
try:
    App(sources.from_dict(json.loads(sys.argv[1]))).close()
except Refused as refused:
    sys.exit(f"refused: {refused}")
"""


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864; the name that verifiers know today
@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_a_service_verifies_our_tokens_with_our_key_set(tmp_path: Path, world: FakeWorld, alg: str) -> None:
    """joserfc finds the key by its id, through rotations; what it says of the token is what the contract says."""
    with running(tmp_path, world, jwt_alg=alg) as app:
        client = Client(app)
        tokens = [client.register()["access_token"]]
        for _ in range(2):
            signing.rotate(app.core, CLI)
            tokens.append(client.login()["access_token"])
        shown = client.get(JWKS).json()
        keys: Any = KeySet.import_key_set(shown)
        for token in tokens:
            found = jwt.decode(token, keys, algorithms=[alg])
            assert (found.header["alg"], found.header["typ"], found.claims["email"]) == (alg, "at+jwt", EMAIL)
        assert len({jwt.decode(token, keys, algorithms=[alg]).header["kid"] for token in tokens}) == 3
        assert len(shown["keys"]) == 4
        assert [PRIVATE & key.keys() for key in shown["keys"]] == [set()] * 4
        assert {(key["use"], key["alg"]) for key in shown["keys"]} == {("sig", alg)}


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_the_database_holds_no_private_key(tmp_path: Path, world: FakeWorld, alg: str) -> None:
    """Neither in plain bytes nor as text: the numbers of the private halves are not there."""
    with running(tmp_path, world, jwt_alg=alg) as app:
        app.core.token_keys.look()
        private = [_secret_numbers(key.signs) for key in app.core.token_keys.look().keys.values()]
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name != "authsvc.db.key")
    assert len(private) == 2
    for number in private:
        for form in (number, number.hex().encode(), encode(number).encode()):
            assert form not in stored


def _secret_numbers(private: Any) -> bytes:
    if hasattr(private, "private_bytes_raw"):
        return bytes(private.private_bytes_raw())
    numbers = private.private_numbers()
    value = getattr(numbers, "private_value", None) or numbers.p
    return int(value).to_bytes((value.bit_length() + 7) // 8, "big")


def test_under_hs256_the_key_set_is_empty(client: Client) -> None:
    """A shared secret is nobody's to see."""
    assert client.get(JWKS).json() == {"keys": []}


@pytest.mark.parametrize("path", [JWKS, METADATA])
def test_any_site_may_read_it_and_any_cache_keep_it(tmp_path: Path, path: str) -> None:
    """The same header for every origin and for none, no credentials, five minutes, and one kind of data."""
    with running(tmp_path, jwt_alg="ES256", app_origins=APP_ORIGIN) as app:
        for origin in (None, APP_ORIGIN, "https://evil.example", "null"):
            answer = Client(app).get(path, headers={"Origin": origin} if origin else {})
            assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
            assert answer.header("Access-Control-Allow-Origin") == "*"
            assert answer.header("Access-Control-Allow-Credentials") is None
            assert answer.header("Cache-Control") == "public, max-age=300"
            assert answer.header("Vary") is None
            assert answer.header_list("Set-Cookie") == []


@pytest.mark.parametrize("path", [JWKS, METADATA])
def test_what_has_not_changed_is_not_sent_again(tmp_path: Path, path: str) -> None:
    """304 for the ETag that the client has, in every form that RFC 9110 knows, with the headers of the 200."""
    with running(tmp_path, jwt_alg="ES256") as app:
        client = Client(app)
        first = client.get(path)
        tag = str(first.header("ETag"))
        for known in (tag, f"W/{tag}", f'"other", {tag}', f'W/"other",W/{tag}', "*", f" {tag} "):
            again = client.get(path, headers={"If-None-Match": known})
            assert (again.status, again.body, again.header("ETag")) == (304, b"", tag), known
            for name in ("Cache-Control", "Access-Control-Allow-Origin"):
                assert again.header(name) == first.header(name)
        for other in ('"other"', tag.strip('"'), tag[:-1], f"{tag}, x", "", "W/*"):
            assert client.get(path, headers={"If-None-Match": other}).status == 200, other
        assert client.call("HEAD", path, headers={"If-None-Match": tag}).status == 304


def test_a_rotation_changes_the_tag(tmp_path: Path) -> None:
    """Whoever asks with the old one gets the new set."""
    with running(tmp_path, jwt_alg="ES256") as app:
        tag = str(Client(app).get(JWKS).header("ETag"))
        signing.rotate(app.core, CLI)
        answer = Client(app).get(JWKS, headers={"If-None-Match": tag})
        assert (answer.status, len(answer["keys"])) == (200, 3)


def test_the_metadata_says_what_is_so(client: Client, app: App) -> None:
    """RFC 8414: the issuer is the tokens' `iss`, every endpoint is there, and nothing is claimed that we do not do."""
    found = client.get(METADATA).json()
    assert found == {
        "issuer": "http://127.0.0.1:8000",
        "jwks_uri": "http://127.0.0.1:8000/.well-known/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": [],
        "introspection_endpoint": "http://127.0.0.1:8000/token/introspect",
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "revocation_endpoint": "http://127.0.0.1:8000/token/revoke",
        "revocation_endpoint_auth_methods_supported": ["none"],
    }
    assert found["issuer"] == app.core.tokens.verify(client.register()["access_token"])["iss"]
    below = {name: value.removeprefix("http://127.0.0.1:8000") for name, value in found.items() if name.endswith(("_endpoint", "_uri"))}
    assert client.get(below["jwks_uri"]).status == 200
    assert client.post(below["introspection_endpoint"], {"token": "x"}).code == "unauthenticated"
    form = "application/x-www-form-urlencoded"
    assert client.post(below["revocation_endpoint"], raw=b"token=x&token_type_hint=access_token", content_type=form).status == 200


def test_below_a_path_it_is_found_where_rfc_8414_looks(tmp_path: Path) -> None:
    """Section 3.1 puts the issuer's path behind; others append, and a proxy may take it off: each gets the same."""
    with running(tmp_path, public_url="http://127.0.0.1:8000/auth/v1", jwt_alg="ES256") as app:
        client = Client(app)
        places = [METADATA, f"/auth/v1{METADATA}", f"{METADATA}/auth/v1"]
        found = [client.get(place) for place in places]
        assert [answer.status for answer in found] == [200] * 3
        assert {answer.body for answer in found} == {found[0].body}
        assert found[0]["issuer"] == "http://127.0.0.1:8000/auth/v1"
        assert found[0]["jwks_uri"] == "http://127.0.0.1:8000/auth/v1/.well-known/jwks.json"
        assert client.get("/auth/v1/.well-known/jwks.json").status == 200
        assert client.get(PASSWORD_PAGE).header("Location") == "/auth/v1/account#password"
        for elsewhere in (f"{METADATA}/auth", f"{METADATA}/auth/v1/auth/v1", f"{METADATA}/", f"{METADATA}/x", "/.well-known/auth/v1"):
            assert client.get(elsewhere).status == 404, elsewhere


def test_a_password_manager_finds_the_form(client: Client) -> None:
    """302 to the account page, at the form; an unknown name is 404, so that it knows that it is not fooled."""
    answer = client.get(PASSWORD_PAGE)
    assert (answer.status, answer.header("Location")) == (302, "/account#password")
    page = client.get("/account", token=client.register()["access_token"], headers={"Accept": "text/html"})
    assert b'id="password"' in page.body
    assert client.get("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200").status == 404
    assert [client.get(f"/.well-known/{name}").status for name in ("", "jwks", "jwks.json/", "openid-configuration")] == [404] * 4


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_without_the_extra_the_start_says_what_to_install(tmp_path: Path, alg: str) -> None:
    """A refusal in one line, before anything is made; HS256 needs nothing."""
    import authsvc

    def start(alg: str) -> subprocess.CompletedProcess[str]:
        settings = json.dumps({"database": str(tmp_path / "authsvc.db"), "jwt_alg": alg})
        root = str(Path(authsvc.__file__).parent.parent)
        command = [sys.executable, "-W", "error", "-c", NO_CRYPTO, settings]
        return subprocess.run(command, cwd=root, env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=60, check=False)

    refused = start(alg)
    assert refused.stderr == f"refused: AUTHSVC_JWT_ALG={alg} needs the extra crypto: pip install '.[crypto]' in a checkout\n"
    assert list(tmp_path.iterdir()) == []
    assert start("HS256").returncode == 0
