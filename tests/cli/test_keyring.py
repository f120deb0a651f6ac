"""`authsvc keyring`: keys listed, rotated, taken out and handed out, beside a running server that notices by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.__main__ import COMMANDS
from authsvc.flows.token_keys import LOOK_SECONDS
from tests.cli.conftest import Cli, Served
from tests.support import PASSWORD

EMAIL = "ann@example.com"


def listed(cli: Cli, **settings: str) -> list[dict[str, Any]]:
    ran = cli("keyring", "list", "--json", **settings)
    assert (ran.status, ran.err) == (0, "")
    return ran.objects()


def login(served: Served) -> dict[str, Any]:
    status, tokens = served.call("POST", "/login", {"email": EMAIL, "password": PASSWORD})
    assert status == 200, tokens
    found: dict[str, Any] = tokens
    return found


def test_a_fresh_service_has_one_secret_key_that_nothing_needs(cli: Cli) -> None:
    """In words and as objects."""
    (key,) = listed(cli)
    assert key == {
        "kind": "secret", "kid": key["kid"], "alg": None, "state": "current", "created_at": key["created_at"], "ends_at": None,
        "rows": 0, "needed_by": [],
    }  # fmt: skip
    text = cli("keyring", "list").out.split()
    assert text == ["secret", key["kid"], "-", "current", "since", key["created_at"]]


def test_a_list_says_what_keeps_a_key_needed_and_until_when(cli: Cli) -> None:
    """One line for each kind of row."""
    cli("user", "create", EMAIL, "--password-stdin", stdin=PASSWORD)
    (key,) = listed(cli)
    (need,) = key["needed_by"]
    assert (need["what"], need["rows"], key["rows"]) == ("audit rows", 1, 1)
    assert need["until"] > key["created_at"]
    lines = cli("keyring", "list").out.splitlines()
    assert lines[1].split() == ["1", "audit", "rows", "until", need["until"]]


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_a_running_server_takes_a_rotation_without_a_restart(cli: Cli, alg: str) -> None:
    """Both kinds, several times: who was signed in stays so, and what is new is made with the new keys."""
    with cli.serving(AUTHSVC_JWT_ALG=alg) as served:
        served.call("POST", "/register", {"email": EMAIL, "password": PASSWORD})
        before = login(served)
        for kind in ("secret", "signing", "secret"):
            ran = cli.process("keyring", "rotate", kind, "--json", AUTHSVC_JWT_ALG=alg)
            if (alg, kind) == ("HS256", "signing"):
                assert (ran.status, "keyring rotate secret" in ran.err) == (1, True)
                continue
            assert ran.status == 0, ran.err
            made = ran.json()
            current = {key["kind"]: key["kid"] for key in listed(cli, AUTHSVC_JWT_ALG=alg) if key["state"] == "current"}
            assert current[kind] == made["kid"]
            after = login(served)
            for tokens in (before, after):
                assert served.call("GET", "/user", token=tokens["access_token"])[0] == 200
        assert served.call("POST", "/token/refresh", {"refresh_token": before["refresh_token"]})[0] == 200
        states = [key["state"] for key in listed(cli, AUTHSVC_JWT_ALG=alg) if key["kind"] == "secret"]
        assert states == ["current", "previous", "previous"]


def test_a_running_server_forgets_a_key_that_was_taken_out(cli: Cli) -> None:
    """By force, since its session needs it: refused at the next request; a signing key within the time that it says."""
    with cli.serving() as served:
        served.call("POST", "/register", {"email": EMAIL, "password": PASSWORD})
        before = login(served)
        old = listed(cli)[0]["kid"]
        assert cli("keyring", "rotate", "secret").status == 0
        ran = cli("keyring", "retire", "--", old)
        assert ran.status == 1
        assert f"rows need the key {old}: 2 sessions," in ran.err
        assert served.call("GET", "/user", token=before["access_token"])[0] == 200
        assert cli("keyring", "retire", "--force", "--json", "--", old).json() == {"retired": old, "kind": "secret"}
        assert served.call("GET", "/user", token=before["access_token"])[0] == 401
        login(served)
    assert LOOK_SECONDS <= 5


def test_a_young_key_is_warned_of(cli: Cli) -> None:
    """Services that keep the set may not know it yet; the rotation is done all the same."""
    ran = cli("keyring", "rotate", "signing", AUTHSVC_JWT_ALG="EdDSA")
    assert (ran.status, ran.out.startswith("the current signing key is ")) == (0, True)
    assert "300 seconds may not know this key yet" in ran.err


def test_an_export_is_a_key_set_with_a_warning_beside_it(cli: Cli) -> None:
    """The set on standard output alone, so that it can be piped; the secret key is nowhere in it."""
    ran = cli("keyring", "export")
    assert ran.status == 0
    assert ran.err.startswith("warning: whoever has these keys can make access tokens")
    (key,) = json.loads(ran.out)["keys"]
    assert (key["kty"], key["alg"], key["kid"]) == ("oct", "HS256", listed(cli)[0]["kid"])
    assert (cli.folder / "authsvc.db.key").read_text().strip() not in ran.out
    refused = cli("keyring", "export", AUTHSVC_JWT_ALG="ES256")
    assert refused.status == 0, "the service has not been started with ES256 yet: HS256 signs"


@pytest.mark.parametrize(
    "arguments", [(), ("rotate",), ("rotate", "all"), ("retire",), ("list", "x"), ("export", "--json"), ("retire", "a", "b")]
)
def test_wrong_use_is_status_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    """And nothing is done."""
    assert cli("keyring", *arguments).status == 2
    assert not (cli.folder / "authsvc.db").exists()


@pytest.mark.parametrize("kid", ["unknown0", "A" * 43, "", "'; --"])
def test_an_unknown_key_is_told(cli: Cli, kid: str) -> None:
    """Exit status 1, and where to look."""
    ran = cli("keyring", "retire", kid)
    assert (ran.status, ran.out) == (1, "")
    assert "keyring list" in ran.err


def test_the_command_is_in_the_table() -> None:
    """With what it is for."""
    assert COMMANDS["keyring"].help == "secret keys and signing keys"
