"""F12: several processes on one file, and forks. Nobody is told `database is locked`, nothing is lost, one thing wins once."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.servers import Load, Server, in_threads, python, serving, start
from tests.faults.test_kill import assert_nothing_half_done, assert_whole

ISSUER = {"public_url": "http://127.0.0.1:8000"}  # one service, whichever process answers
CALLERS = 32


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers on one file."""
    with serving(tmp_path, **ISSUER) as one, serving(tmp_path, **ISSUER) as other:
        yield one, other


def test_f12_two_processes_under_load_never_lock_each_other_out(pair: tuple[Server, Server], tmp_path: Path) -> None:
    """F12: 16 clients that go to both processes by turns get no error at all, and every act counts at the other at once."""
    one, other = pair
    with Load([one.port, other.port], prefix="pair") as load:
        load.wait_for(1_000)
    assert load.surprises == []
    assert set(load.statuses) == {200, 201}
    assert [server.log("locked") + server.log("busy") + server.crashes() for server in pair] == [[], []]
    assert one.stop() == 0
    assert other.caller().login(load.registered[0]).status == 200, "the first one's stop took the file from the second"
    assert other.stop() == 0
    assert not Path(f"{tmp_path / 'authsvc.db'}-wal").exists()
    assert_whole(tmp_path / "authsvc.db", load.registered, load.sessions)


def test_f12_a_killed_neighbour_leaves_the_other_process_at_work(pair: tuple[Server, Server], tmp_path: Path) -> None:
    """F12: kill -9 of one process in the middle of its writes neither locks the file nor loses an act of either."""
    one, other = pair
    with Load([one.port], prefix="stays") as stays, Load([other.port], prefix="dies") as dies:
        dies.wait_for(100)
        other.kill()
        stays.wait_for(100)
    assert stays.surprises == dies.surprises == []
    assert stays.cut == 0
    assert one.log("locked") + one.log("busy") + one.crashes() == []
    assert {one.caller().login(email).status for email in dies.registered} == {200}
    assert one.stop() == 0
    assert_whole(tmp_path / "authsvc.db", stays.registered, stays.sessions)
    assert_whole(tmp_path / "authsvc.db", dies.registered, [])


def test_f12_one_token_refreshed_in_two_processes_at_once_has_one_successor(pair: tuple[Server, Server], tmp_path: Path) -> None:
    """B6: however many refresh one token at once over both processes, all get the same successor."""
    token = pair[0].caller().register("one@example.com").body["refresh_token"]
    callers = [pair[number % 2].caller() for number in range(CALLERS)]
    answers = in_threads(CALLERS, lambda number: callers[number].refresh(token))
    assert Counter(answer.status for answer in answers) == {200: CALLERS}
    assert len({answer.body["refresh_token"] for answer in answers}) == 1
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        assert connection.execute("SELECT counter, ended_at FROM sessions").fetchall() == [(1, None)]


def test_f12_one_address_registered_in_two_processes_at_once_is_taken_once(pair: tuple[Server, Server], tmp_path: Path) -> None:
    """A17: of many registrations of one address over both processes one wins, and the others are told 409."""
    callers = [pair[number % 2].caller() for number in range(CALLERS)]
    answers = in_threads(CALLERS, lambda number: callers[number].register("One@example.com" if number % 3 else "one@example.com"))
    assert Counter(answer.status for answer in answers) == {201: 1, 409: CALLERS - 1}
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
        assert connection.execute("SELECT action FROM events").fetchall() == [("user.registered",)]


def test_f12_wrong_passwords_at_two_processes_at_once_share_one_wait(tmp_path: Path) -> None:
    """A4: however many try one account over both processes, three are looked at, and then all wait."""
    limited = ISSUER | {"limit_login_delay": "3/300s"}
    with serving(tmp_path, **limited) as one, serving(tmp_path, **limited) as other:
        one.caller().register("one@example.com")
        callers = [(one, other)[number % 2].caller() for number in range(CALLERS)]
        answers = in_threads(CALLERS, lambda number: callers[number].login("one@example.com", "wrong-password-1"))
        with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
            failed, since = connection.execute("SELECT count(*), max(at) - min(at) FROM events WHERE action = 'login.failed'").fetchone()
    waits = failed - 3 if since > 1_000 else 0  # a machine so slow that the first wait was over has let one more through
    assert Counter(answer.status for answer in answers) == {401: 3 + waits, 429: CALLERS - 3 - waits}
    assert waits <= since // 1_000


def test_f12_a_logout_at_one_process_counts_at_the_other_at_once(pair: tuple[Server, Server]) -> None:
    """What one process acknowledged the other refuses or honours from then on."""
    one, other = (server.caller() for server in pair)
    made = one.register("one@example.com").body
    assert other.call("GET", "/user", token=made["access_token"]).status == 200
    assert one.logout(made["refresh_token"]).status == 200
    assert other.call("GET", "/user", token=made["access_token"]).code == "invalid_token"
    assert other.refresh(made["refresh_token"]).code == "invalid_token"
    assert other.login("one@example.com").status == 200


def test_f12_first_starts_at_once_make_one_service(tmp_path: Path) -> None:
    """Four processes that start together on an empty folder agree on one key and one schema."""
    servers = in_threads(4, lambda _: start(tmp_path, **ISSUER))
    try:
        made = servers[0].caller().register("one@example.com").body
        assert [server.caller().call("GET", "/user", token=made["access_token"]).status for server in servers] == [200] * 4
        assert [server.crashes() for server in servers] == [[]] * 4
    finally:
        for server in servers:
            server.kill()
    assert sorted(path.name for path in tmp_path.iterdir() if "key" in path.name) == ["authsvc.db.key"]
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        assert connection.execute("SELECT count(*) FROM secret_keys").fetchone() == (1,)
        assert (
            connection.execute("SELECT count(*) FROM migrations").fetchone()
            == connection.execute("SELECT max(number) FROM migrations").fetchone()
        )


FORKING = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
from authsvc import create_app
from authsvc.config import sources
from tests.support import Client

app = create_app()
client = Client(app)

def register(name):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda n: client.register(f"{name}-{n}@example.com")["user"]["email"], range(20)))

done = []
if sys.argv[1] == "used":
    done.append(client.register("before@example.com")["user"]["email"])
children = []
for number in range(2):
    (results, told), (gate, opened) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        early = register(f"child-{number}-early")
        os.write(told, b"x")
        os.read(gate, 1)
        late = register(f"child-{number}-late")
        if sys.argv[2] == "child closes":
            app.close()
        os.write(told, json.dumps(early + late).encode())
        os._exit(0)
    children.append((pid, results, opened))
for _, results, _ in children:
    os.read(results, 1)
done += register("parent")
if sys.argv[2] == "parent closes":
    app.close()
for pid, results, opened in children:
    os.write(opened, b"x")
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    done += json.loads(os.read(results, 65536))
if sys.argv[2] == "child closes":
    done += register("parent-late")
    app.close()
print(json.dumps(done))
"""


@pytest.mark.parametrize("closing_first", ["parent closes", "child closes"])
@pytest.mark.parametrize("parent", ["fresh", "used"])
def test_f12_a_fork_after_import_loses_nothing(tmp_path: Path, parent: str, closing_first: str) -> None:
    """F12: parent and children of a fork write to one file, whoever ends first; every acknowledged account is there."""
    run = python(tmp_path, "-c", FORKING, parent, closing_first)
    assert run.returncode == 0, run.stderr
    done = json.loads(run.stdout)
    assert len(done) == len(set(done)) >= 100
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        assert_nothing_half_done(connection)
        assert {email for (email,) in connection.execute("SELECT email FROM users")} == set(done)
