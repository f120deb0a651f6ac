"""With the extra `crypto` and without it: both sign in by the real provider, and what each refuses of a tampered id_token."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import authsvc
from tests.letterbox import counts
from tests.openid.conftest import settings
from tests.openid.peers import go_between
from tests.openid.provider import OpenIdProvider
from tests.openid.walks import browser, enter
from tests.phone import refused
from tests.support import FakeWorld, running

ROOT = Path(authsvc.__file__).parent.parent


def without_crypto(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-W", "error", "-m", "tests.openid.without_crypto", str(folder), json.dumps(values)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["crypto"] is False
    return told


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return decoded(header), decoded(claims), signature


def decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def joined(header: dict[str, Any], claims: dict[str, Any], signature: str) -> str:
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*encoded, signature])


def flipped(token: str) -> str:
    """One other bit in the signature."""
    header, claims, signature = token.split(".")
    return ".".join([header, claims, ("B" if signature[0] != "B" else "C") + signature[1:]])


def other_person(token: str) -> str:
    header, claims, signature = parts(token)
    return joined(header, {**claims, "sub": "bob"}, signature)


def other_nonce(token: str) -> str:
    header, claims, signature = parts(token)
    return joined(header, {**claims, "nonce": "x" * 43}, signature)


def other_client(token: str) -> str:
    header, claims, signature = parts(token)
    return joined(header, {**claims, "aud": "another"}, signature)


def unsigned(token: str) -> str:
    return joined({"alg": "none"}, parts(token)[1], "")


def by_our_secret(token: str) -> str:
    import jwt

    return jwt.encode(parts(token)[1], "a-secret-that-the-provider-gave-us", "HS256")


BY_SIGNATURE = [flipped, other_person]
BY_CLAIMS = [other_nonce, other_client, unsigned, by_our_secret]


def tampering(provider: OpenIdProvider, change: Callable[[str], str]) -> Any:
    """A go-between for the token endpoint."""
    return go_between(provider.issuer, lambda value: {**value, "id_token": change(value["id_token"])} if "id_token" in value else value)


def test_without_the_extra_a_sign_in_works(tmp_path: Path, provider: OpenIdProvider) -> None:
    """The same account and events as with it."""
    told = without_crypto(tmp_path, settings(provider))
    assert (told["status"], told["actions"]) == (200, ["user.registered", "identity.linked", "login.succeeded"]), told
    assert (told["answer"]["user"]["email"], told["answer"]["user"]["email_verified"]) == ("ada@example.com", True)


@pytest.mark.parametrize("change", [*BY_SIGNATURE, *BY_CLAIMS], ids=lambda change: change.__name__)
def test_with_the_extra_a_tampered_id_token_is_refused(
    tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld, change: Callable[[str], str]
) -> None:
    """D5: whatever was changed of it; untouched by the same way it is good."""
    with (
        tampering(provider, change) as between,
        running(tmp_path, real_time, **settings(provider, oauth_corp_token_url=f"{between.url}/token")) as app,
    ):
        refused(enter(browser(app), "ada"), 502, "oauth_exchange_failed")
        assert counts(app, "users", "identities", "sessions") == [0, 0, 0]


def test_a_token_endpoint_that_tampers_with_nothing_is_good(tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld) -> None:
    """So what the others are refused for is what was changed."""
    with (
        tampering(provider, str) as between,
        running(tmp_path, real_time, **settings(provider, oauth_corp_token_url=f"{between.url}/token")) as app,
    ):
        assert enter(browser(app), "ada").status == 200


@pytest.mark.parametrize("change", BY_CLAIMS, ids=lambda change: change.__name__)
def test_without_the_extra_all_but_the_signature_is_checked(tmp_path: Path, provider: OpenIdProvider, change: Callable[[str], str]) -> None:
    """D5: nonce, audience and algorithm do not depend on it."""
    with tampering(provider, change) as between:
        told = without_crypto(tmp_path, settings(provider, oauth_corp_token_url=f"{between.url}/token"))
    assert (told["status"], told["answer"]["code"]) == (502, "oauth_exchange_failed")
    assert told["actions"] == ["login.failed"]


def test_without_the_extra_the_signature_rests_on_the_connection(tmp_path: Path, provider: OpenIdProvider) -> None:
    """OpenID Connect Core 3.1.3.7 (6), as the README says: it is not looked at, since the token came straight from the provider."""
    with tampering(provider, flipped) as between:
        told = without_crypto(tmp_path, settings(provider, oauth_corp_token_url=f"{between.url}/token"))
    assert told["status"] == 200
