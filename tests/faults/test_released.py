"""F13: every schema that was ever released, with data in it, becomes today's: whole, or not at all when it is killed."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from authsvc.events import CLI, USER_CREATED
from authsvc.primitives import links, refresh, totp
from authsvc.primitives.keyring import Keyring
from authsvc.primitives.passwords import Cost, Hasher
from authsvc.problems import Refused
from authsvc.store.events import Events
from authsvc.store.migrations import Migration, migrate, migrations
from authsvc.store.sqlite import connect
from tests.faults.servers import PATIENCE_SECONDS, ROOT
from tests.support import CHEAP, EMAIL, PASSWORD, START, Client, FakeWorld, running

KEY = "0123456789abcdef0123456789abcdef"
SCHEMAS = range(1, len(migrations()) + 1)
USER, SESSION, FACTOR, LINK, BATCH = (f"{kind}_01h0000000000000000000000a" for kind in ("usr", "ses", "fac", "chl", "rcv"))

# The clock is read when the statements of a migration have run and its line in the ledger is being written.
KILLED = """
import os, signal, sys
from authsvc.store.migrations import migrate, migrations
from authsvc.store.sqlite import connect
from authsvc.world import World

class Dying(World):
    def now(self):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().now()

path, left = sys.argv[1], [int(sys.argv[2])]
migrate(connect(path), path, Dying(), migrations())
"""


def insert(connection: sqlite3.Connection, table: str, **values: object) -> None:
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(':' + name for name in values)})", values)


def first(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    """An account with a role and a session, an event, a bucket and a message, as the first release wrote them."""
    hasher = Hasher(world, Cost(CHEAP["hash_memory_kib"], CHEAP["hash_time"], 1), budget_mib=64)
    own = {"id": USER, "email": EMAIL, "email_key": EMAIL, "email_verified_at": START, "name": "ZOË", "status": "active"}
    own |= {"password_hash": hasher.hash(PASSWORD), "generation": 3, "version": 5, "metadata": '{"a":1}', "app_metadata": "{}"}
    hasher.close()
    insert(connection, "users", **own, created_at=START, updated_at=START)
    insert(connection, "user_roles", user_id=USER, role="admin", granted_at=START)
    told = {"counter": 2, "rotated_at": START, "created_at": START, "last_seen_at": START, "expires_at": START + 10**9, "auth_time": START}
    insert(connection, "sessions", id=SESSION, user_id=USER, kid=keys.current.kid, **told, amr="pwd", acr="aal1")
    Events(connection, keys, world, lambda *_, **__: None).record(USER_CREATED, CLI, subject=USER)
    insert(connection, "buckets", name="login", key="k", full_at=START)
    message = {"id": "dlv_1", "kind": "mail", "target": "example.com", "payload": "{}", "attempts": 0, "done_at": START}
    insert(connection, "outbox", **message, created_at=START, due_at=START)
    insert(connection, "secret_keys", kid=keys.current.kid, added_at=START)


def mail(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    """A link that was mailed and not used."""
    own = {"id": LINK, "kid": keys.current.kid, "purpose": "verify", "user_id": USER, "channel": "email", "target": EMAIL}
    told = {
        "target_key": EMAIL,
        "data": "{}",
        "created_at": START,
        "expires_at": START + 10**9,
        "sends": 1,
        "sent_at": START,
        "attempts": 0,
    }
    insert(connection, "challenges", **own, **told)


def factors(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    """An authenticator app, and recovery codes."""
    own = {"id": FACTOR, "kid": keys.current.kid, "user_id": USER, "type": "totp", "label": "App", "nonce": "n", "last_step": 0}
    insert(connection, "factors", **own, created_at=START, confirmed_at=START)
    insert(connection, "recovery_batches", user_id=USER, id=BATCH, kid=keys.current.kid, created_at=START, used=0)
    connection.execute("UPDATE users SET mfa_enabled = 1")
    insert(connection, "sms_counts", day=1, prefix="+491511", sent=1, verified=0)


def oauth(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    own = {"id": "idn_1", "user_id": USER, "provider": "github", "realm": "https://github.com", "subject": "42", "email_verified": 1}
    insert(connection, "identities", **own, created_at=START, last_used_at=START)


def admin(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    """A name as it is found by, and a deleted account whose traces are still to be erased."""
    connection.execute("UPDATE users SET name_key = 'zoë'")
    insert(connection, "erasures", user_id="usr_gone", since=0, due_at=START + 10**12, after_subject=0, after_actor=0)


def audit(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    """No seal: the trail of this database is young."""


def webhooks(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    own = {"id": "whk_1", "kid": keys.current.kid, "version": 1, "url": "https://example.com/", "description": "", "events": '["*"]'}
    told = {"enabled": 0, "next_seq": 1, "failures": 0, "due_at": START, "lease_until": 0, "created_at": START, "updated_at": START}
    insert(connection, "webhooks", **own, **told)


def authority(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    insert(connection, "roles", name="editor", description="", caps='["posts:write"]', created_at=START, updated_at=START)
    insert(connection, "api_keys", id="key_1", kid=keys.current.kid, name="k", caps='["x:y"]', networks="[]", created_at=START)


def signing(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    """What was noted when key pairs took over."""
    own = {"kid": "HS256", "alg": "HS256", "public": "{}", "sealed": "", "secret_kid": "", "state": "retired"}
    insert(connection, "signing_keys", **own, created_at=START, retired_at=START, ends_at=START + 10**9)


def delays(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    """Somebody else's, which is in nobody's way."""
    insert(connection, "delays", name="login_delay", key="k", failures=3, blocked_until=START, forgotten_at=START + 10**9)


def captchas(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    insert(connection, "captchas", digest="d", expires_at=START + 10**9)


def counts(connection: sqlite3.Connection, keys: Keyring, world: FakeWorld) -> None:
    labels = '{"event": "user.created", "outcome": "success"}'
    insert(connection, "counts", name="events_total", labels=labels, part="", value=1.0)


# What was written as soon as there was a place for it; a migration that makes no new kind of row needs no entry.
FILLED: dict[int, Callable[[sqlite3.Connection, Keyring, FakeWorld], None]] = {
    1: first, 2: mail, 3: factors, 4: oauth, 5: admin, 6: audit, 7: webhooks, 8: authority, 9: signing, 10: delays, 11: captchas,
    12: counts,
}  # fmt: skip


def released(folder: Path, schema: int) -> Path:
    """A database of this schema as its release left it."""
    folder.mkdir(exist_ok=True)
    database, keys, world = folder / "authsvc.db", Keyring([KEY.encode()]), FakeWorld()
    with closing(connect(str(database))) as connection:
        migrate(connection, None, world, migrations()[:schema])
        for number, fill in FILLED.items():
            if number <= schema:
                fill(connection, keys, world)
    return database


def dump(database: Path) -> dict[str, list[dict[str, object]]]:
    """All rows of all tables but the ledger."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        assert [tuple(row) for row in connection.execute("PRAGMA integrity_check")] == [("ok",)]
        assert list(connection.execute("PRAGMA foreign_key_check")) == []
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'migrations'")]
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}


def number_of(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT max(number) FROM migrations").fetchone()[0])


@pytest.mark.parametrize("schema", SCHEMAS)
def test_f13_each_released_schema_becomes_todays_with_all_that_was_in_it(tmp_path: Path, schema: int) -> None:
    """F13: every value of every row is there afterwards, people sign in with the session, link, app and password that they had, the
    trail verifies, and what was there before lies aside."""
    database = released(tmp_path, schema)
    before = dump(database)
    world = FakeWorld()
    with running(tmp_path, world, secret_key=KEY) as app:
        after = dump(database)
        for table, rows in before.items():
            assert [{name: row[name] for name in rows[0]} for row in after[table]] == rows if rows else after[table] == [], table
        key, client = app.core.keyring.current, Client(app)
        assert client.refresh(refresh.mint(key, SESSION, 2)).status == 200
        if schema >= 2:
            assert client.get(f"/email/verify/{links.mint(key, LINK, 'verify')}", headers={"Accept": "application/json"}).status == 200
        entered = client.login()
        assert entered.status == (401 if schema >= 3 else 200), entered.body
        if schema >= 3:
            code = totp.code(totp.secret(key, FACTOR, "n"), totp.step_at(world.now()))
            entered = client.post("/mfa/verify", {"mfa_token": entered["mfa_token"], "factor_id": FACTOR, "code": code})
            assert entered.status == 200, entered.body
        token = entered["access_token"]
        assert client.get("/user", token=token)["roles"] == ["admin", "user"]
        assert client.get("/users?q=zo", token=token)["items"][0]["id"] == USER
        assert client.get("/audit/verify", token=token)["ok"] is True
    assert number_of(database) == len(migrations())
    aside = tmp_path / f"authsvc.db.schema-{schema}.bak"
    assert aside.exists() == (schema < len(migrations()))
    if aside.exists():
        assert dump(aside) == before


@pytest.mark.parametrize("schema", SCHEMAS[:-1])
def test_f13_an_upgrade_that_is_killed_at_any_migration_is_undone_whole(tmp_path: Path, schema: int) -> None:
    """F13: kill -9 within each of the migrations leaves the schema and every row as they were; the next start upgrades."""
    origin = released(tmp_path / "origin", schema)
    before = dump(origin)
    for step in range(1, len(migrations()) - schema + 1):
        folder = tmp_path / f"step-{step}"
        shutil.copytree(origin.parent, folder)
        database = folder / "authsvc.db"
        ran = subprocess.run([sys.executable, "-c", KILLED, str(database), str(step)], cwd=ROOT, check=False, timeout=PATIENCE_SECONDS)
        assert ran.returncode == -signal.SIGKILL
        assert (number_of(database), dump(database)) == (schema, before)
    with running(folder, secret_key=KEY) as app:
        assert Client(app).login().status in (200, 401)
    assert number_of(database) == len(migrations())


@pytest.mark.parametrize("schema", SCHEMAS[:-1])
def test_f13_each_earlier_release_either_runs_on_todays_schema_or_refuses_it(tmp_path: Path, schema: int) -> None:
    """F13: additive migrations let it on; one that needs more is told in words, and the file is not touched."""
    database = released(tmp_path, len(migrations()))
    known = migrations()[:schema]
    before = dump(database)
    with closing(connect(str(database))) as connection:
        if max(migration.needs for migration in migrations()) <= schema:
            migrate(connection, str(database), FakeWorld(), known)
        breaking = Migration(len(migrations()) + 1, "later.sql", f"-- needs: {len(migrations()) + 1}\nCREATE TABLE later (id TEXT);\n")
        migrate(connection, None, FakeWorld(), (*migrations(), breaking))
        with pytest.raises(Refused, match="newer authsvc"):
            migrate(connection, str(database), FakeWorld(), known)
    assert {name: rows for name, rows in dump(database).items() if name != "later"} == before


def test_f13_every_migration_that_makes_a_table_is_tried_with_rows_in_it() -> None:
    """F13: whoever adds a migration with tables says here what lies in them."""
    making = {migration.number for migration in migrations() if "CREATE TABLE" in migration.sql}
    assert making <= FILLED.keys(), "add to FILLED what lies in the new tables"
