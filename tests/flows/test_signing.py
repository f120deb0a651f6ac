"""Signing keys: made once, changed without refusing anybody's token, sealed, and taken away at once where that is wanted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jwt
import pytest

from authsvc.app import App, assemble
from authsvc.config import sources
from authsvc.events import CLI
from authsvc.flows import keyring, signing, token_keys
from authsvc.flows.signing import LATE_SECONDS
from authsvc.primitives.jws import ALGORITHMS, ASYMMETRIC, HS256
from authsvc.problems import Problem, Refused
from tests.support import Client, FakeWorld, actions, event_rows, make_app, running, together

NEW = "new-secret-0123456789-abcdefghijklmn"
OLD = "old-secret-0123456789-abcdefghijklmn"
OPEN = {f"limit_{name}": "0" for name in ("login", "login_account", "login_network", "register", "register_all", "refresh", "read")}


@pytest.fixture(params=ASYMMETRIC)
def alg(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def signing_app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, jwt_alg="ES256", **OPEN) as app:
        yield app


@contextmanager
def beside(app: App, **settings: Any) -> Iterator[App]:
    """Another app on the same file, as another process would have it."""
    with running(Path(app.core.store.path).parent, app.core.world, **{"jwt_alg": app.core.settings.jwt_alg, **OPEN, **settings}) as other:
        yield other


def rows(app: App) -> dict[str, sqlite3.Row]:
    """The signing keys by state, read with a connection of our own."""
    connection = sqlite3.connect(app.core.store.path)
    connection.row_factory = sqlite3.Row
    try:
        return {row["state"]: row for row in connection.execute("SELECT * FROM signing_keys WHERE alg <> 'HS256' ORDER BY created_at")}
    finally:
        connection.close()


def tamper(app: App, statement: str, *values: object) -> None:
    with sqlite3.connect(app.core.store.path) as connection:
        connection.execute(statement, values)
    connection.close()


def published(app: App) -> dict[str, Any]:
    return {key["kid"]: key for key in Client(app).get("/.well-known/jwks.json")["keys"]}


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def accepts(app: App, token: str) -> bool:
    answer = Client(app).get("/user", token=token)
    assert answer.status == 200 or answer.code == "invalid_token"
    return answer.status == 200


def test_the_first_start_makes_one_that_signs_and_the_next(tmp_path: Path, world: FakeWorld, alg: str) -> None:
    """Both are published before the second signs anything; the private halves are sealed; a second start changes nothing."""
    with running(tmp_path, world, jwt_alg=alg) as app:
        found = rows(app)
        assert set(found) == {"current", "next"}
        assert {row["alg"] for row in found.values()} == {alg}
        assert set(published(app)) == {row["kid"] for row in found.values()}
        assert {row["secret_kid"] for row in found.values()} == {app.core.keyring.current.kid}
        token = Client(app).register()["access_token"]
        assert kid_of(token) == found["current"]["kid"]
        assert jwt.get_unverified_header(token)["alg"] == alg
        assert accepts(app, token)
    with running(tmp_path, world, jwt_alg=alg) as app:
        assert {state: tuple(row) for state, row in rows(app).items()} == {state: tuple(row) for state, row in found.items()}
        assert accepts(app, token)
        assert actions(app) == ["keys.rotated", "user.registered"]


def test_starts_at_once_make_one_set(tmp_path: Path) -> None:
    """However many begin at once, one writes, and all sign and verify with what it wrote."""
    apps = together(6, lambda _: make_app(tmp_path, jwt_alg="ES256", **OPEN))
    with ExitStack() as stack:
        for app in apps:
            stack.callback(app.close)
        tokens = [Client(app).register(f"a{number}@example.com")["access_token"] for number, app in enumerate(apps)]
        assert {kid_of(token) for token in tokens} == {rows(apps[0])["current"]["kid"]}
        assert all(accepts(app, token) for app in apps for token in tokens)
        assert actions(apps[0]).count("keys.rotated") == 1


def test_without_key_pairs_nothing_is_made(app: App, client: Client) -> None:
    """HS256 is the default: no row, no event, an empty key set."""
    assert kid_of(client.register()["access_token"]) == app.core.keyring.current.kid
    assert rows(app) == {}
    assert published(app) == {}
    assert actions(app) == ["user.registered"]


def test_a_rotation_refuses_nobody(tmp_path: Path, world: FakeWorld, alg: str) -> None:
    """next signs, current verifies until its last token has run out, and there is another next; both apps know at once."""
    with running(tmp_path, world, jwt_alg=alg, **OPEN) as app, beside(app) as other:
        before = rows(app)
        old = Client(app).register()
        assert accepts(other, old["access_token"])
        rotated = signing.rotate(app.core, CLI)
        after = rows(app)
        assert rotated.kid == after["current"]["kid"] == before["next"]["kid"]
        assert after["retired"]["kid"] == before["current"]["kid"]
        assert after["next"]["kid"] not in {row["kid"] for row in before.values()}
        new = [Client(each).refresh(old["refresh_token"])["access_token"] for each in (other, app)]
        assert {kid_of(token) for token in new} == {rotated.kid}
        assert all(accepts(each, token) for each in (app, other) for token in (old["access_token"], *new))
        assert set(published(other)) == {row["kid"] for row in after.values()}
        (event,) = [row for row in event_rows(app) if row["actor_type"] == "cli"]
        assert event["action"] == "keys.rotated"
        assert json.loads(event["data"]) == {
            "kind": "signing", "alg": alg, "kid": rotated.kid, "former": after["retired"]["kid"], "next": after["next"]["kid"],
        }  # fmt: skip


def test_two_rotations_that_nobody_saw_are_known_at_the_first_token(signing_app: App) -> None:
    """A process that slept through both knows neither key; it looks before it refuses."""
    with beside(signing_app) as sleeper:
        assert accepts(sleeper, Client(signing_app).register()["access_token"])
        signing.rotate(signing_app.core, CLI)
        signing.rotate(signing_app.core, CLI)
        token = Client(signing_app).login()["access_token"]
        assert accepts(sleeper, token)
        assert kid_of(Client(sleeper).login()["access_token"]) == kid_of(token)


def test_a_retired_key_goes_when_its_last_token_has_run_out(signing_app: App, world: FakeWorld) -> None:
    """Until then it is published and verifies; afterwards it is neither, and housekeeping takes the row away."""
    first = rows(signing_app)["current"]["kid"]
    token = Client(signing_app).register()["access_token"]
    signing.rotate(signing_app.core, CLI)
    world.advance(900 + 59)
    assert accepts(signing_app, token)
    assert first in published(signing_app)
    world.advance(1 + LATE_SECONDS)
    assert first not in published(signing_app)
    assert first in rows(signing_app)["retired"]["kid"]
    world.advance(0.001)
    while signing_app.deliveries.housekeeping.run_once():
        pass
    assert set(rows(signing_app)) == {"current", "next"}


def test_what_a_retired_key_signs_later_is_worth_nothing(signing_app: App, world: FakeWorld) -> None:
    """Whoever stole it can sign until its end and not a token longer, however late they say that it runs out."""
    token = Client(signing_app).register()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    stolen = signing_app.core.token_keys.current()
    signing.rotate(signing_app.core, CLI)
    endless = jwt.encode({**claims, "exp": claims["exp"] + 10**7}, stolen.signs, "ES256", {"typ": "at+jwt", "kid": stolen.kid})
    assert accepts(signing_app, endless), "as it should be within its time"
    world.advance(900 + 60 + LATE_SECONDS)
    signing_app.core.token_keys.look()
    assert not accepts(signing_app, endless)


@pytest.mark.parametrize("state", ["retired", "current", "next"])
def test_a_key_that_is_taken_away_takes_its_tokens_along(signing_app: App, state: str) -> None:
    """It leaves the key set and its tokens count no more, remembered or not; the session goes on, and something signs."""
    old = Client(signing_app).register()
    signing.rotate(signing_app.core, CLI)
    new = Client(signing_app).login()
    assert all(accepts(signing_app, tokens["access_token"]) for tokens in (old, new))
    kid = rows(signing_app)[state]["kid"]
    assert signing.retire(signing_app.core, kid, CLI)
    assert [accepts(signing_app, tokens["access_token"]) for tokens in (old, new)] == [state != "retired", state != "current"]
    assert kid not in published(signing_app)
    assert {"current", "next"} <= set(rows(signing_app))
    again = [Client(signing_app).refresh(tokens["refresh_token"])["access_token"] for tokens in (old, new)]
    assert all(accepts(signing_app, token) for token in again)
    assert not signing.retire(signing_app.core, kid, CLI), "it is gone"
    assert actions(signing_app).count("keys.retired") == 1


def test_another_process_forgets_a_key_within_two_seconds(signing_app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has the token in its memory verifies it until it looks again."""
    with beside(signing_app) as other:
        token = Client(signing_app).register()["access_token"]
        assert accepts(other, token)
        signing.retire(signing_app.core, kid_of(token), CLI)
        monkeypatch.setattr(token_keys, "LOOK_SECONDS", 0.0)
        assert not accepts(other, token)


@pytest.mark.parametrize("former", ALGORITHMS)
@pytest.mark.parametrize("wanted", ALGORITHMS)
def test_another_algorithm_takes_over_and_ends_nobody(tmp_path: Path, world: FakeWorld, former: str, wanted: str) -> None:
    """What the former keys signed counts until it runs out, and not longer; refresh tokens do not care."""
    with running(tmp_path, world, jwt_alg=former, **OPEN) as app:
        old = Client(app).register()
        before = len(actions(app))
    with running(tmp_path, world, jwt_alg=wanted, **OPEN) as app:
        new = Client(app).refresh(old["refresh_token"])
        assert jwt.get_unverified_header(new["access_token"])["alg"] == wanted
        assert accepts(app, old["access_token"])
        assert accepts(app, new["access_token"])
        assert actions(app)[before:] == ([] if former == wanted else ["keys.rotated"])
        counted = old["access_token"] if former != wanted else None
        forged = _endless(app, old["access_token"]) if former == HS256 != wanted else None
        assert forged is None or accepts(app, forged)
        world.advance(900 + 60 + LATE_SECONDS)
        app.core.token_keys.look()
        if counted:
            assert Client(app).get("/user", token=counted).status == 401
        assert forged is None or not accepts(app, forged), "whoever verifies by HS256 could sign for ever"
    with running(tmp_path, world, jwt_alg=former, **OPEN) as app:
        back = Client(app).login()["access_token"]
        assert jwt.get_unverified_header(back)["alg"] == former
        assert accepts(app, back)


def _endless(app: App, token: str) -> str:
    """The same claims without an end to speak of, signed with a key that HS256 consumers have."""
    claims = jwt.decode(token, options={"verify_signature": False})
    key = app.core.token_keys.derived.current()
    return jwt.encode({**claims, "exp": claims["exp"] + 10**7}, key.signs, "HS256", {"typ": "at+jwt", "kid": key.kid})


def test_a_process_of_the_former_setting_signs_as_the_store_says(tmp_path: Path, world: FakeWorld) -> None:
    """While one by one is restarted, all use the same key, so that none refuses another's."""
    with running(tmp_path, world, **OPEN) as old:
        assert jwt.get_unverified_header(Client(old).register()["access_token"])["alg"] == HS256
        with beside(old, jwt_alg="ES256") as new:
            tokens = [Client(each).login()["access_token"] for each in (old, new)]
            assert {jwt.get_unverified_header(token)["alg"] for token in tokens} == {"ES256"}
            assert all(accepts(each, token) for each in (old, new) for token in tokens)


def test_a_new_secret_key_takes_over_the_seals(tmp_path: Path, world: FakeWorld) -> None:
    """After a start with the old key among the previous ones nothing of the signing keys needs it any more."""
    with running(tmp_path, world, jwt_alg="ES256", secret_key=OLD) as app:
        token = Client(app).register()["access_token"]
        before = rows(app)
    with running(tmp_path, world, jwt_alg="ES256", secret_key=NEW, secret_key_previous=OLD) as app:
        assert {row["secret_kid"] for row in rows(app).values()} == {app.core.keyring.current.kid}
        assert accepts(app, token)
        assert {state: row["kid"] for state, row in rows(app).items()} == {state: row["kid"] for state, row in before.items()}
    with running(tmp_path, world, jwt_alg="ES256", secret_key=NEW) as app:
        assert accepts(app, token)


def test_a_key_under_a_lost_secret_stops_the_start_and_can_be_given_up(tmp_path: Path, world: FakeWorld) -> None:
    """The refusal names both keys and what to do; retiring it makes another, and refresh tokens go on where their key is there."""
    with running(tmp_path, world, jwt_alg="ES256", secret_key=NEW) as app:
        kid = rows(app)["current"]["kid"]
        tamper(app, "UPDATE signing_keys SET secret_kid = 'lostkey1'")
    with pytest.raises(Refused, match=rf"{kid} was sealed with the secret key lostkey1, .* retire {kid}"):
        make_app(tmp_path, world, jwt_alg="ES256", secret_key=NEW)
    core = assemble(sources.from_dict({"database": str(tmp_path / "authsvc.db"), "jwt_alg": "ES256", "secret_key": NEW}), world)
    assert signing.retire(core, kid, CLI)
    core.close()
    with running(tmp_path, world, jwt_alg="ES256", secret_key=NEW) as app:
        assert accepts(app, Client(app).register()["access_token"])


@pytest.mark.parametrize("change", ["sealed", "alg", "foreign"])
def test_a_key_that_somebody_put_into_the_database_is_not_used(signing_app: App, change: str) -> None:
    """A row that our secret key did not seal signs, verifies and publishes nothing; who has no key to sign with says so."""
    with beside(signing_app) as other:
        token = Client(signing_app).register()["access_token"]
        kid = kid_of(token)
        if change == "sealed":
            tamper(signing_app, "UPDATE signing_keys SET sealed = substr(sealed, 1, 30) || 'AAAA' || substr(sealed, 35) WHERE kid = ?", kid)
        elif change == "alg":
            tamper(signing_app, "UPDATE signing_keys SET alg = 'EdDSA' WHERE kid = ?", kid)
        else:
            tamper(
                signing_app, "UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE state = 'next') WHERE kid = ?", kid
            )
        assert kid not in published(other)
        assert not accepts(other, token)
        with pytest.raises(Problem) as caught:
            other.core.token_keys.current()
        assert caught.value.code == "unavailable"
        assert len([line for line in other.core.world.lines if f"signing key {kid} cannot be used" in line]) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("act", ["rotate", "retire", "start"])
def test_a_next_key_that_cannot_be_opened_never_signs(signing_app: App, act: str) -> None:
    """It has signed nothing, so another takes its place before it would be its turn."""
    kid = rows(signing_app)["next"]["kid"]
    tamper(signing_app, "UPDATE signing_keys SET secret_kid = 'lostkey1' WHERE kid = ?", kid)
    with beside(signing_app) if act == "start" else nullcontext(signing_app) as app:
        if act == "rotate":
            signing.rotate(app.core, CLI)
        elif act == "retire":
            signing.retire(app.core, rows(app)["current"]["kid"], CLI)
        assert kid not in {row["kid"] for row in rows(app).values()}
        assert {"current", "next"} <= set(rows(app))
        assert accepts(app, Client(app).register()["access_token"])


def test_hs256_has_no_signing_key_to_rotate(app: App) -> None:
    """The refusal says what to rotate instead."""
    with pytest.raises(Refused, match="keyring rotate secret"):
        signing.rotate(app.core, CLI)
    assert rows(app) == {}


def test_a_store_that_cannot_be_read_costs_no_key(signing_app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known is used on: a token that was remembered is still verified."""
    keys = signing_app.core.token_keys
    known = keys.current()

    def broken() -> Any:
        raise Problem("unavailable")

    monkeypatch.setattr(signing_app.core.store, "read", broken)
    assert keys.current() is known
    assert keys.find(known.kid) is known
    assert keys.find("A" * 43) is None


@pytest.mark.parametrize("act", [signing.rotate, keyring.rotate_secret])
def test_rotations_at_once_each_leave_a_whole_set(signing_app: App, act: Callable[..., object]) -> None:
    """One after the other, whoever comes first: one current, one next, and every token of before is good."""
    token = Client(signing_app).register()["access_token"]
    together(6, lambda _: act(signing_app.core, CLI))
    assert {"current", "next"} <= set(rows(signing_app))
    assert actions(signing_app).count("keys.rotated") == 7
    assert accepts(signing_app, token)
    assert len(signing_app.core.keyring.every()) == (1 if act is signing.rotate else 7)
