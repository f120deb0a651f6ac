"""Secret keys: everything of an older key goes on after a rotation, and none is taken out that something still needs."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import challenges, keyring, oauth, signing, verification
from authsvc.flows.keyring import Listed
from authsvc.problems import Refused
from authsvc.store.keyfile import KeyFile
from authsvc.store.secret_keys import NAMED, NEEDLESS
from tests import phone
from tests.auditing import keep_house
from tests.letterbox import reset_link
from tests.phone import enrol_totp, first_step, second_step
from tests.staff import admin
from tests.support import EMAIL, START, Client, FakeWorld, actions, event_rows, running

DAY = 86_400
OLD, NEW = "old-secret-0123456789-abcdefghijklmn", "new-secret-0123456789-abcdefghijklmn"


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **phone.FREE, audit_days=3650, webhook_networks="127.0.0.0/8") as app:
        yield app


def secret_keys(app: App) -> dict[str, Listed]:
    return {key.state: key for key in keyring.every(app.core) if key.kind == "secret"}


def needs(key: Listed) -> dict[str, tuple[int, int | None]]:
    return {need.what: (need.rows, need.until) for need in key.needs}


def execute(app: App, *statements: str) -> None:
    with closing(sqlite3.connect(app.core.store.path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_every_column_that_names_a_key_is_declared(app: App) -> None:
    """A table that will have a `kid` must say what it needs it for, or be listed as needing none; nothing is declared that is not there."""
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}
    named = {(table, column) for table, column in columns if re.search(r"(^|_)kid$", column)}
    declared = {(each.table, each.column) for each in NAMED}
    assert named == (declared - {("seals", "pruned")}) | NEEDLESS
    assert declared <= columns
    assert len({each.what for each in NAMED}) == len(NAMED)


def test_whatever_an_older_key_made_goes_on(app: App, client: Client, world: FakeWorld) -> None:
    """Tokens, links, codes, authenticators, recovery codes, API keys, webhook secrets and the trail: nobody notices a rotation."""
    made = client.register().json()
    device = enrol_totp(client, made["access_token"])
    boss = admin(app)
    key = boss.call("POST", "/keys", {"name": "svc", "caps": ["users:read"]})["key"]
    hook = boss.call("POST", "/webhooks", {"url": "http://127.0.0.1:9999/hook", "events": ["*"]}).json()
    link = reset_link(app)
    waiting = first_step(client)
    for _ in range(2):
        keyring.rotate_secret(app.core, CLI)
    assert client.get("/user", token=made["access_token"]).status == 200
    assert client.get("/users", token=key).status == 200
    assert second_step(client, waiting, device.next()).status == 200
    assert second_step(client, first_step(client), device.recovery_codes[0]).status == 200
    refreshed = client.refresh(made["refresh_token"])
    assert refreshed.status == 200
    assert client.get("/user", token=refreshed["access_token"]).status == 200
    assert client.get(link, headers={"Accept": "application/json"})["valid"] is True
    assert boss.call("GET", f"/webhooks/{hook['id']}").status == 200
    assert verification.verify(app.core).first_bad is None


def test_a_sign_in_by_a_provider_that_begins_during_a_rotation_ends_well(
    tmp_path: Path, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of one attempt is derived from one key, whichever is current by the time that it is written down."""
    with running(tmp_path, world, oauth_github_client_id="id", oauth_github_client_secret="secret") as app:
        core, genuine = app.core, challenges.of
        monkeypatch.setattr(challenges, "of", lambda *given, **more: (keyring.rotate_secret(core, CLI), genuine(*given, **more))[1])
        provider = core.providers.get("github")
        url = oauth.begin(core, provider, "browser", redirect_to=None, locale=None, caller=None)
        state = parse_qs(urlsplit(url).query)["state"][0]
        assert oauth._genuine(core, provider, state, "browser")[0].target == "github"


def test_what_is_new_is_made_with_the_new_key(app: App, client: Client) -> None:
    """Sessions, links and audit rows name it, and access tokens are signed by it."""
    old = app.core.keyring.current.kid
    client.register()
    new = keyring.rotate_secret(app.core, CLI)
    assert app.core.keyring.current.kid == new != old
    client.login()
    client.post("/login/magic", {"email": EMAIL})
    found = secret_keys(app)
    assert (found["current"].kid, found["previous"].kid) == (new, old)
    assert {"sessions", "links and codes", "audit rows"} <= needs(found["current"]).keys()
    rotated = [row for row in event_rows(app) if row["action"] == "keys.rotated"]
    assert [(row["kid"], row["actor_type"], json.loads(row["data"])) for row in rotated] == [(new, "cli", {"kind": "secret", "kid": new})]


def test_each_need_is_counted_while_it_lasts(app: App, client: Client, world: FakeWorld) -> None:
    """Ended sessions, used links, revoked keys and codes that a phone got need no key; the others do, until then."""
    made = client.register().json()
    boss = admin(app)
    enrol_totp(client, made["access_token"])
    key = boss.call("POST", "/keys", {"name": "svc", "caps": ["users:read"]}).json()
    lasting = boss.call("POST", "/keys", {"name": "other", "caps": ["users:read"], "expires_at": "2027-02-01T00:00:00Z"}).json()
    hook = boss.call("POST", "/webhooks", {"url": "http://127.0.0.1:9999/hook", "events": ["user.*"]}).json()
    client.post("/login/magic", {"email": EMAIL})
    keep_house(app)
    told = needs(secret_keys(app)["current"])
    with app.core.store.read() as tx:
        ends = max(session.expires_at for session in tx.sessions.recent(made["user"]["id"], 9))
    assert told["sessions"] == (3, ends)
    assert told["links and codes"] == (1, START + 600_000)
    assert told["authenticators"] == told["recovery codes"] == told["webhook secrets"] == (1, None)
    assert told["API keys"] == (2, 1_801_440_000_000)
    assert told["audit rows"] == (len(actions(app)), START + 3650 * DAY * 1000)
    assert "former webhook secrets" not in told
    boss.call("POST", f"/webhooks/{hook['id']}/rotate-secret")
    assert needs(secret_keys(app)["current"])["former webhook secrets"] == (1, START + DAY * 1000)
    for each in (key, lasting):
        boss.call("DELETE", f"/keys/{each['id']}")
    client.post("/token/revoke", {"refresh_token": made["refresh_token"]})
    world.advance(DAY)
    told = needs(secret_keys(app)["current"])
    assert told["sessions"][0] == 2
    assert not {"links and codes", "API keys", "former webhook secrets"} & told.keys()


def test_a_key_that_rows_need_is_not_taken_out(app: App, client: Client) -> None:
    """The refusal says how many of what; nothing is changed."""
    old = app.core.keyring.current.kid
    made = client.register().json()
    keyring.rotate_secret(app.core, CLI)
    with pytest.raises(Refused, match=rf"2 rows need the key {old}: 1 sessions, 1 audit rows\. With --force"):
        keyring.retire(app.core, old, CLI, force=False)
    assert app.core.keyring.get(old) is not None
    assert client.refresh(made["refresh_token"]).status == 200


def test_a_key_that_nothing_needs_any_more_is_taken_out(app: App, world: FakeWorld, tmp_path: Path) -> None:
    """It is gone from the file and from this process, on record, and a start finds all in order."""
    old = app.core.keyring.current.kid
    new = keyring.rotate_secret(app.core, CLI)
    with pytest.raises(Refused, match="count for up to 960 seconds"):
        keyring.retire(app.core, old, CLI, force=False)
    world.advance(960)
    assert keyring.retire(app.core, old, CLI, force=False) == "secret"
    assert app.core.keyring.get(old) is None
    assert KeyFile(app.core.store.path, app.core.settings, world).secrets() != []
    assert actions(app) == ["keys.rotated", "keys.retired"]
    with running(tmp_path, world, **phone.FREE) as again:
        assert [key.kid for key in again.core.keyring.every()] == [new]
        assert list(secret_keys(again)) == ["current"]


def test_a_forced_retirement_ends_what_was_made_with_it_and_nothing_else(app: App, client: Client) -> None:
    """Its sessions and tokens are refused as unknown ones are; whoever signs in again is in; the list shows what was lost."""
    made = client.register().json()
    old = app.core.keyring.current.kid
    keyring.rotate_secret(app.core, CLI)
    later = client.login().json()
    assert client.get("/user", token=made["access_token"]).status == 200
    keyring.retire(app.core, old, CLI, force=True)
    assert client.get("/user", token=made["access_token"]).code == "invalid_token", "though it was remembered"
    assert client.refresh(made["refresh_token"]).code == "invalid_token"
    assert client.refresh(later["refresh_token"]).status == 200
    assert client.login().status == 200
    assert secret_keys(app)["gone"].kid == old
    bad = verification.verify(app.core).first_bad
    assert bad is not None
    assert bad.reason == "key_unknown"


def test_signing_keys_keep_no_secret_key_needed(tmp_path: Path, world: FakeWorld) -> None:
    """A rotation puts them under the new one; what a killed one left is put there when the old one is to go."""
    with running(tmp_path, world, jwt_alg="ES256", **phone.FREE) as app:
        token = Client(app).register()["access_token"]
        old = app.core.keyring.current.kid
        new = KeyFile(app.core.store.path, app.core.settings, world).add().kid  # and killed here
        assert needs(secret_keys(app)["previous"])["signing keys"] == (2, None)
        keyring.retire(app.core, old, CLI, force=True)
        assert needs(secret_keys(app)["current"])["signing keys"] == (2, None)
        assert secret_keys(app)["current"].kid == new
        assert app.core.tokens.verify(token)["sub"]
    with running(tmp_path, world, jwt_alg="ES256", **phone.FREE) as app:
        assert Client(app).login().status == 200


def test_a_rotation_that_was_killed_is_finished_by_the_next_start(tmp_path: Path, world: FakeWorld) -> None:
    """The new key is in the file: it is noted and on record, and the signing keys are put under it."""
    with running(tmp_path, world, jwt_alg="ES256") as app:
        new = KeyFile(app.core.store.path, app.core.settings, world).add().kid
        before = actions(app)
    with running(tmp_path, world, jwt_alg="ES256") as app:
        assert needs(secret_keys(app)["current"])["signing keys"] == (2, None)
        (event,) = event_rows(app)[len(before) :]
        assert (event["action"], event["actor_type"], json.loads(event["data"])) == (
            "keys.rotated",
            "system",
            {"kind": "secret", "kid": new},
        )
        with app.core.store.read() as tx:
            assert new in tx.secret_keys.every()


def test_keys_of_the_settings_are_rotated_there(tmp_path: Path, world: FakeWorld) -> None:
    """The refusals say what to do, and no file is made."""
    with running(tmp_path, world, secret_key=NEW, secret_key_previous=OLD) as app:
        old = app.core.keyring.every()[1].kid
        with pytest.raises(Refused, match="AUTHSVC_SECRET_KEY_PREVIOUS"):
            keyring.rotate_secret(app.core, CLI)
        with pytest.raises(Refused, match="take it out there"):
            keyring.retire(app.core, old, CLI, force=False)
    assert not (tmp_path / "authsvc.db.key").exists()


@pytest.mark.parametrize(
    "act", [lambda app: app.core.keyring.current.kid, lambda _: "unknown0", lambda _: "", lambda _: "'; --", lambda _: "HS256x"]
)
def test_the_current_key_and_what_is_none_are_not_taken_out(app: App, act: Callable[[App], str]) -> None:
    """Not even by force."""
    with pytest.raises(Refused):
        keyring.retire(app.core, act(app), CLI, force=True)
    assert len(app.core.keyring.every()) == 1
    assert actions(app) == []


def test_what_is_shared_verifies_tokens_and_opens_nothing_else(app: App, client: Client) -> None:
    """Sub-keys for HS256, the current one first; the secret keys are not among them, nor in anything derived otherwise."""
    from joserfc import jwt
    from joserfc.jwk import KeySet

    old = client.register()["access_token"]
    keyring.rotate_secret(app.core, CLI)
    new = client.login()["access_token"]
    shared = keyring.shared(app.core)
    keys: Any = KeySet.import_key_set(shared)
    for token in (old, new):
        assert jwt.decode(token, keys, algorithms=["HS256"]).claims["email"] == EMAIL
    assert [key["kid"] for key in shared["keys"]] == [key.kid for key in app.core.keyring.every()]
    for secret in KeyFile(app.core.store.path, app.core.settings, app.core.world).secrets():
        assert secret not in json.dumps(shared)


def test_with_key_pairs_no_secret_is_shared(tmp_path: Path, world: FakeWorld) -> None:
    """Whoever asks is told of the public keys."""
    with running(tmp_path, world, jwt_alg="EdDSA") as app, pytest.raises(Refused, match=r"jwks\.json"):
        keyring.shared(app.core)


def test_the_edge_of_a_pruned_trail_needs_its_key(app: App) -> None:
    """It stands within a column, before its MAC."""
    kid = app.core.keyring.current.kid
    execute(
        app,
        "INSERT INTO seals (through_seq, from_seq, row_count, latest_at, marks, digest, kid, sealed_at, pruned) "
        f"VALUES (5, 1, 5, 1, '', 'd', 'oldkey11', 1000, '{kid}.{'A' * 43}')",
    )
    found = secret_keys(app)
    assert needs(found["current"])["edge of pruned audit rows"] == (1, 1000 + 3650 * DAY * 1000)
    assert needs(found["gone"]) == {"audit seals": (1, 1000 + 3650 * DAY * 1000)}


def test_the_list_shows_signing_keys_too(tmp_path: Path, world: FakeWorld) -> None:
    """With their algorithm, state and end; after a change to HS256 as retired."""
    with running(tmp_path, world, jwt_alg="ES256") as app:
        signing.rotate(app.core, CLI)
        listed = [key for key in keyring.every(app.core) if key.kind == "signing"]
        assert sorted((key.state, key.alg, key.ends_at) for key in listed) == [
            ("current", "ES256", None), ("next", "ES256", None), ("retired", "ES256", START + 970_000),
        ]  # fmt: skip
    with running(tmp_path, world) as app:
        assert [key.state for key in keyring.every(app.core)] == ["current", "retired", "retired"]
