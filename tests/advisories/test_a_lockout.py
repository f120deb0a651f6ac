"""A3, A4 and A5: whoever fails is slowed down, whoever tries everything gets nowhere, and neither locks an owner out."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.primitives import devices
from tests.phone import enrol_totp
from tests.support import EMAIL, PASSWORD, START, Answer, Client, FakeWorld, actions, event_rows, running, together

WRONG = "amber-meadow-55"
UNKNOWN = "nobody@mail.com"
HOUR, DAY = 3_600, 86_400


def network(number: int) -> str:
    """An address in the so-manieth /24."""
    return f"198.{18 + number // 256}.{number % 256}.1"


def known_device(app: App, email: str = EMAIL, ip: str = "203.0.113.1") -> Client:
    """A browser in which this account has signed in before, and which keeps nothing else."""
    client = Client(app, ip=ip, keep_cookies=True)
    assert client.login(email).status == 200
    client.cookies = {"authsvc_device": client.cookies["authsvc_device"]}
    client.keep_cookies = False
    return Remembering(app, ip=ip, cookies=client.cookies)


class Remembering(Client):
    """Sends its cookies and takes no new ones."""

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        return super().call(method, path, body, **more, headers=cookie | (more.pop("headers", None) or {}))


def letters(app: App) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        found = [json.loads(text) for (text,) in connection.execute("SELECT payload FROM outbox ORDER BY rowid")]
    return [(payload["letter"], payload["to"]) for payload in found]


def shape(answer: Answer) -> Any:
    """What can be told from an answer, without the id of the request."""
    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status, [header for header in answer.headers if header[0] != "X-Request-Id"], body


@pytest.fixture
def home(app: App) -> Client:
    """The owner's browser."""
    Client(app, ip="203.0.113.1").register()
    return known_device(app)


# A3, A4: waits


def test_a3_three_failures_are_free_and_then_the_wait_doubles_for_known_and_unknown_alike(app: App, world: FakeWorld) -> None:
    """Retry-After is the truth to the second, refusals make no wait longer, and the words are the same for every address."""
    Client(app).register()
    clients = {EMAIL: Client(app, ip=network(1)), UNKNOWN: Client(app, ip=network(2))}
    for wait in (0, 0, 0, 1, 2, 4, 8, 16):
        if wait:
            world.advance(wait - 0.001)
            refused = [shape(client.login(email, WRONG)) for email, client in clients.items() for _ in range(3)]
            assert [answer == refused[0] for answer in refused] == [True] * 6
            assert (refused[0][0], dict(refused[0][1])["Retry-After"], refused[0][2]["code"]) == (429, "1", "rate_limited")
            world.advance(0.001)
        tried = [shape(client.login(email, WRONG)) for email, client in clients.items()]
        assert tried[0] == tried[1]
        assert tried[0][0] == 401


def test_a4_who_waits_uses_up_nothing_else(tmp_path: Path, world: FakeWorld) -> None:
    """The bucket of an account is not emptied by those who are refused anyway (A5), and no refusal is a hash or an event."""
    with running(tmp_path, world, limit_login_account="4/3600s") as app:
        Client(app).register()
        assert [Client(app, ip=network(1)).login(password=WRONG).status for _ in range(40)] == [401] * 3 + [429] * 37
        assert actions(app).count("login.failed") == 3
        assert Client(app, ip=network(2)).login().status == 200


def test_a4_a_right_password_forgets_the_failures_and_one_that_was_not_looked_at_is_none(tmp_path: Path, world: FakeWorld) -> None:
    """Two failures and a success, over and over, never wait; a try that another limit refused does not count."""
    with running(tmp_path, world, limit_login="0", limit_login_account="0", limit_login_network="30/3600s") as app:
        client = Client(app)
        client.register()
        for _ in range(5):
            assert [client.login(password=password).status for password in (WRONG, WRONG, PASSWORD)] == [401, 401, 200]
        for turn in range(15):
            client.login(f"user{turn}@mail.com")
        assert [client.login(password=WRONG).status for _ in range(5)] == [429] * 5
        world.advance(121)
        assert client.login(password=WRONG).status == 401
        with closing(sqlite3.connect(app.core.store.path)) as connection:
            failures = [count for (count,) in connection.execute("SELECT failures FROM delays")]
        assert failures == [1] * 16


@pytest.mark.parametrize("act", ["second step", "disabled", "reauthenticate", "change", "weak new"])
def test_a4_a_right_password_is_no_failure_whatever_comes_after_it(tmp_path: Path, world: FakeWorld, act: str) -> None:
    """A second step, a disabled account, a confirmation in a session, a new password that will not do: the owner never waits."""
    with running(tmp_path, world, limit_login="0", limit_login_device="0", limit_login_account="0", password_weak="refuse") as app:
        client = Client(app)
        made = client.register().json()
        with app.core.store.write() as tx:
            if act == "second step":
                tx._connection.execute("UPDATE users SET mfa_enabled = 1")
            if act == "disabled":
                tx._connection.execute("UPDATE users SET status = 'disabled'")
        requests = {
            "second step": ("/login", {"email": EMAIL, "password": PASSWORD}, "mfa_required"),
            "disabled": ("/login", {"email": EMAIL, "password": PASSWORD}, "account_disabled"),
            "reauthenticate": ("/reauthenticate", {"password": PASSWORD}, None),
            "change": ("/password/change", {"current_password": PASSWORD, "new_password": PASSWORD}, None),
            "weak new": ("/password/change", {"current_password": PASSWORD, "new_password": "password"}, "invalid_request"),
        }
        path, body, code = requests[act]
        for _ in range(8):
            answer = client.post(path, body, token=made["access_token"] if path != "/login" else None)
            assert answer.json().get("code") == code
            made = made if code or "access_token" not in answer.json() else answer.json()
        with closing(sqlite3.connect(app.core.store.path)) as connection:
            assert connection.execute("SELECT count(*) FROM delays").fetchone() == (0,)
            full = connection.execute("SELECT full_at FROM buckets WHERE name = 'login_all'").fetchall()
        assert all(full_at <= START + 1_200 for (full_at,) in full)


def test_a4_what_was_never_tried_is_no_failure(app: App) -> None:
    """Bodies that make no sense, callers without a session, sign-ins that are too old: charged as requests, and nobody waits."""
    client = Client(app)
    token = client.register()["access_token"]
    for _ in range(5):
        assert client.post("/login", {"email": EMAIL}).status == 422
        assert client.post("/reauthenticate", {"password": PASSWORD}).status == 401
    assert failures(app) == []
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE sessions SET auth_time = auth_time - 901000")
    for _ in range(5):
        change = client.post("/password/change", {"current_password": PASSWORD, "new_password": "x"}, token=token)
        assert change.code == "reauthentication_required"
    assert failures(app) == [0]


def test_a4_a_right_code_of_a_factor_is_no_failure_and_a_wrong_one_is(tmp_path: Path, world: FakeWorld) -> None:
    """A session confirms itself by a code as by a password: three wrong ones, and the fourth waits."""
    unlimited = dict.fromkeys(("limit_login_device", "limit_factor", "limit_code_account"), "0")
    with running(tmp_path, world, **unlimited) as app:
        client = Client(app)
        token = client.register()["access_token"]
        made = enrol_totp(client, token)

        def confirm(code: str) -> int:
            return client.post("/reauthenticate", {"factor_id": made.factor_id, "code": code}, token=token).status

        for _ in range(6):
            assert confirm(made.next()) == 200
        assert failures(app) == []
        assert [confirm(made.wrong()) for _ in range(4)] == [422] * 3 + [429]


def failures(app: App) -> list[int]:
    """The failures of each row, oldest first."""
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        return [count for (count,) in connection.execute("SELECT failures FROM delays ORDER BY rowid")]


def test_a4_of_32_who_try_at_once_three_are_looked_at(app: App) -> None:
    """The try counts as failed before the hash begins: nobody gets ahead of the count."""
    Client(app).register()
    answers = together(32, lambda number: Client(app, ip=f"192.0.2.{number + 1}").login(password=WRONG).status)
    assert Counter(answers) == {401: 3, 429: 29}
    assert actions(app).count("login.failed") == 3


def test_a7_who_was_told_busy_has_not_failed(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that nobody looked at, because too many were being looked at, makes nobody wait."""
    from authsvc.problems import busy

    Client(app).register()
    with monkeypatch.context() as patch:
        patch.setattr("authsvc.primitives.passwords.Hasher.verify", lambda *_: (_ for _ in ()).throw(busy("test")))
        assert [Client(app).login().status for _ in range(3)] == [503] * 3
    assert [Client(app).login(password=WRONG).status for _ in range(3)] == [401] * 3


# A5: no lock-out


def test_a5_a_stranger_uses_up_nothing_of_a_known_device(app: App, home: Client) -> None:
    """With the account, the network, even the owner's own network and everybody's bucket empty, the owner signs in as ever."""
    for number in range(40):
        Client(app, ip=network(number)).login(password=WRONG)
    for number in range(120):
        Client(app, ip="203.0.113.9").login(f"user{number}@mail.com", WRONG)
    with app.core.store.write() as tx:
        while tx.buckets.charge("login_all", "all", app.core.settings.limits["login_all"], START).allowed:
            pass
    assert Client(app, ip="203.0.113.1").login().status == 429
    assert Client(app, ip="192.0.2.77").login().status == 429
    answer = home.login()
    assert answer.status == 200
    assert answer.header("RateLimit") is None
    assert home.login(password=WRONG).status == 401


def test_a5_a_stolen_device_cookie_is_bounded_and_locks_out_no_other_device(tmp_path: Path, world: FakeWorld) -> None:
    """A thief who holds the cookie gets two dozen tries in the first hour and then twelve an hour, wherever they come from; a
    device that became known on another day is free of it."""
    with running(tmp_path, world) as app:
        Client(app, ip="203.0.113.1").register()
        thief = known_device(app)
        world.advance(DAY)
        laptop = known_device(app)
        statuses = []
        for turn in range(2 * HOUR // 10):
            thief.ip = network(turn % 500)
            statuses.append(thief.login(password=WRONG).status)
            world.advance(10)
        assert [statuses[: HOUR // 10].count(401) <= 24, statuses[HOUR // 10 :].count(401) <= 12] == [True, True]
        assert set(statuses) == {401, 429}
        assert laptop.login().status == 200


def test_a5_a_cookie_makes_known_its_own_account_only(app: App, home: Client, world: FakeWorld) -> None:
    """Another's, an altered, an old one, two at once, and one from before the account was reclaimed count as none."""
    Client(app).register("other@mail.com")
    other = known_device(app, "other@mail.com", ip="192.0.2.50")
    (genuine,) = home.cookies.values()
    for cookie in (other.cookies["authsvc_device"], genuine[:-1] + ("A" if genuine[-1] != "A" else "B"), "", "x"):
        Remembering(app, ip="192.0.2.60", cookies={"authsvc_device": cookie}).login(password=WRONG)
    Client(app, ip="192.0.2.61").call(
        "POST", "/login", {"email": EMAIL, "password": WRONG}, headers={"Cookie": f"authsvc_device={genuine}; authsvc_device={genuine}"}
    )
    Remembering(app, ip="192.0.2.62", cookies=other.cookies).login(password=WRONG)
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE users SET familiar_since = :now WHERE email_key = :key", {"now": START, "key": EMAIL})
    home.login(password=WRONG)
    assert "login_device" not in names(app)
    with app.core.store.write() as tx:
        tx._connection.execute("UPDATE users SET familiar_since = 0")
    world.advance(devices.SECONDS + 1)
    home.login(password=WRONG)
    assert "login_device" not in names(app)
    world.advance(-1)
    home.login(password=WRONG)
    assert "login_device" in names(app)


def names(app: App) -> set[str]:
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        return {name for (name,) in connection.execute("SELECT DISTINCT name FROM buckets")}


def test_a5_who_signs_in_over_and_over_gets_no_new_budget_by_it(tmp_path: Path, world: FakeWorld) -> None:
    """Each sign-in makes a new cookie, but those of one day share a bucket: a member's own browser is no way around the limits."""
    with running(tmp_path, world) as app:
        client = Client(app, keep_cookies=True)
        client.register()
        statuses = []
        for _ in range(30):
            statuses.append(client.login().status)
            client.cookies = {name: value for name, value in client.cookies.items() if name == "authsvc_device"}
            world.advance(1)
        assert statuses.count(200) <= 12


def test_a5_a_session_tries_on_its_own_account(tmp_path: Path, world: FakeWorld) -> None:
    """Confirming who one is needs nothing of what strangers use up, and a stolen session uses up nothing of another's."""
    with running(tmp_path, world, limit_login_device="4/3600s", limit_login_delay="0") as app:
        client = Client(app)
        stolen, own = client.register()["access_token"], client.login()["access_token"]
        for number in range(40):
            Client(app, ip=network(number)).login(password=WRONG)
        tries = [client.post("/reauthenticate", {"password": WRONG}, token=stolen).status for _ in range(5)]
        assert tries == [401] * 4 + [429]
        assert client.post("/reauthenticate", {"password": PASSWORD}, token=own).status == 200
        assert client.post("/password/change", {"current_password": PASSWORD, "new_password": "copper-lantern-27"}, token=own).status == 200


# The owner is told


def exhaust(app: App, email: str, first: int = 0) -> list[Any]:
    """Try one address from network after network until it is refused, and twice more."""
    return [shape(Client(app, ip=network(first + number)).login(email, WRONG)) for number in range(33)]


def test_a5_the_owner_gets_one_mail_with_a_way_in(app: App, world: FakeWorld) -> None:
    """When the tries of an account are used up its owner gets a link, once a day; it signs in, and is on record."""
    Client(app).register()
    exhaust(app, EMAIL)
    assert letters(app) == [("login_trouble", EMAIL)]
    hits = [row for row in event_rows(app) if row["action"] == "limit.hit"]
    assert [(json.loads(row["data"]), row["outcome"], row["subject"] is not None) for row in hits] == [
        ({"limit": "login_account"}, "failure", True)
    ]
    assert app.deliveries.run_once() == 1
    (link,) = {line.split("8000")[1] for text in world.lines for line in text.splitlines() if line.startswith("http") and "/magic/" in line}
    assert Client(app, ip="192.0.2.200").post(link).status == 200
    world.advance(DAY - 60)
    exhaust(app, EMAIL, 100)
    assert [letter for letter, _ in letters(app)].count("login_trouble") == 1
    world.advance(120)
    exhaust(app, EMAIL, 200)
    assert [letter for letter, _ in letters(app)].count("login_trouble") == 2


def test_a1_a3_nothing_tells_whether_somebody_is_told(app: App, world: FakeWorld) -> None:
    """An address without an account gets the same answers at the cost of the same rows; no mail goes to a stranger."""
    Client(app).register()
    seen = []
    for number, email in enumerate((EMAIL, UNKNOWN)):
        before = rows(app)
        answers = exhaust(app, email, 1000 * number)
        seen.append((answers, [now - then for now, then in zip(rows(app), before, strict=True)]))
    assert seen[0] == seen[1]
    assert [status for status, _, _ in seen[0][0]] == [401] * 30 + [429] * 3
    assert [to for _, to in letters(app)] == [EMAIL, UNKNOWN]
    app.deliveries.run_once()
    assert EMAIL in "\n".join(world.lines)
    assert UNKNOWN not in "\n".join(world.lines)


def rows(app: App) -> list[int]:
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        tables = ("challenges", "outbox", "events", "buckets", "delays")
        found = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
        everybodys = connection.execute("SELECT count(*) FROM buckets WHERE name = 'login_all'").fetchone()[0]
        return [*found[:3], found[3] - everybodys, found[4]]


def test_c13_the_alarm_is_no_way_to_fill_a_mailbox(tmp_path: Path, world: FakeWorld) -> None:
    """It counts as a mail that somebody asked for; and `0` sends none."""
    with running(tmp_path, world, limit_mail_address="2/86400s") as app:
        Client(app).register()
        for _ in range(2):
            Client(app).post("/password/forgot", {"email": EMAIL})
        exhaust(app, EMAIL)
        assert [letter for letter, _ in letters(app)] == ["reset"] * 2
    (tmp_path / "off").mkdir()
    with running(tmp_path / "off", world, limit_login_alarm="0") as app:
        Client(app).register()
        assert [answer[0] for answer in exhaust(app, EMAIL)] == [401] * 30 + [429] * 3
        assert letters(app) == []
        assert "limit.hit" not in actions(app)


# A4: credential stuffing

ACCOUNTS, NETWORKS, THREADS = 10_000, 500, 8
TRIES = 4_800
HITS = 40  # accounts whose password is in the attackers' list


@pytest.fixture
def town(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    """Ten thousand accounts, made cheaply: one hash for all."""
    with running(tmp_path, world) as app:
        Client(app, ip="203.0.113.1").register()
        with app.core.store.write() as tx:
            (columns,) = tx._connection.execute("SELECT group_concat(name) FROM pragma_table_info('users')").fetchone()
            kept = [name for name in columns.split(",") if name not in ("id", "email", "email_key")]
            tx._connection.execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) "
                f"INSERT INTO users (id, email, email_key, {', '.join(kept)}) "
                f"SELECT printf('usr_%026d', i), 'user' || i || '@mail.com', 'user' || i || '@mail.com', {', '.join(kept)} "
                "FROM n, users WHERE users.email_key = :owner",
                {"most": ACCOUNTS, "owner": EMAIL},
            )
        yield app


def test_a4_stuffing_from_500_networks_gets_no_further_than_the_sum_of_the_limits_and_stops_no_owner(town: App, world: FakeWorld) -> None:
    """10,000 accounts, 500 networks: in the first ten minutes no more wrong passwords are looked at than `login_all` lets through
    at once and gives back meanwhile; owners on known devices sign in during all of it."""
    owner = known_device(town)
    seconds, chance = 600, random.Random(4)
    targets = [chance.randrange(1, ACCOUNTS + 1) for _ in range(TRIES)]
    before = Counter(actions(town))
    owners: list[int] = []

    def stuff(thread: int) -> None:
        for turn in range(thread, TRIES, THREADS):
            password = PASSWORD if turn % (TRIES // HITS) == 0 else WRONG
            stuff_one(town, turn, targets[turn], password)
            if turn % (TRIES // 10) == 0:
                world.advance(seconds / 10)
                owners.append(owner.login().status)

    together(THREADS, stuff)
    checked = Counter(actions(town)) - before
    allowed = 3_000 + 3_000 * seconds // HOUR
    assert owners == [200] * len(owners)
    assert len(owners) >= 10
    assert checked["login.failed"] <= allowed
    assert checked["login.failed"] >= 3_000, "the test itself was too weak to reach the limit"
    assert checked["login.succeeded"] <= HITS + len(owners)
    assert Client(town, ip="203.0.114.5").login("user1@mail.com").status == 429
    assert owner.login().status == 200


def stuff_one(app: App, turn: int, target: int, password: str) -> None:
    status = Client(app, ip=network(turn % NETWORKS)).login(f"user{target}@mail.com", password).status
    assert status in (200, 401, 429)
