"""/metrics: who may read it, its form, and what there is to see, each counted where it happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import authsvc
from authsvc.app import App
from authsvc.config.settings import declared
from authsvc.delivery.worker import Ended
from authsvc.flows.measures import MOST_EVENTS
from authsvc.primitives.metrics import METRICS
from authsvc.routes import ROUTES
from authsvc.store.outbox import DEAD, SENT
from tests.delivery import put
from tests.hooks import receiving, says
from tests.http.bare import Bare
from tests.staff import Caller, admin, holder
from tests.store.test_sqlite import child, fork_in_c
from tests.support import EMAIL, PASSWORD, START, Answer, Client, FakeWorld, running, together

PRODUCTION = {"public_url": "https://auth.example.com", "secret_key": "0123456789abcdef" * 4}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, metrics="open") as app:
        yield app


def read(client: Client, **more: Any) -> dict[tuple[str, ...], float]:
    """What is shown: values by the name without its prefix and the labels' values in the order of their names."""
    answer = client.get("/metrics", **more)
    assert answer.status == 200, answer.body
    return values(answer)


def values(answer: Answer) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            key = (sample.name.removeprefix("authsvc_"), *(value for _, value in sorted(sample.labels.items())))
            found[key] = sample.value
    return found


def test_the_form_is_the_one_that_prometheus_takes(client: Client) -> None:
    """The content type to the letter, every metric of the table, nothing to be kept; HEAD has the same headers and no body."""
    answer, head = client.get("/metrics"), client.call("HEAD", "/metrics")
    assert answer.header("Content-Type") == head.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert (answer.header("Cache-Control"), head.status, head.body) == ("no-store", 200, b"")
    shown = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert shown == {"authsvc_" + name.removesuffix("_total") for name in METRICS}
    assert client.post("/metrics").code == "method_not_allowed"


@pytest.mark.parametrize("accept", ["text/html", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "*/*"])
def test_there_is_one_form_for_all(client: Client, accept: str) -> None:
    """A browser and a reader of a newer format get the same text."""
    assert client.get("/metrics", headers={"Accept": accept}).header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        ({"metrics": "auto"}, True),
        ({"metrics": "open"}, True),
        ({"metrics": "key"}, False),
        ({**PRODUCTION, "metrics": "auto"}, False),
        ({**PRODUCTION, "metrics": "open"}, True),
        ({**PRODUCTION, "metrics": "key"}, False),
    ],
)
def test_who_may_read_it_is_a_setting(tmp_path: Path, settings: dict[str, str], is_open: bool) -> None:
    """Open on a workbench, elsewhere for holders of metrics:read, unless the setting says otherwise."""
    with running(tmp_path, **settings) as app:
        stranger = Client(app).get("/metrics")
        assert (stranger.status, b"authsvc_build_info" in stranger.body) == ((200, True) if is_open else (401, False))
        assert is_open or stranger.code == "unauthenticated"


def test_the_setting_is_auto_unless_it_is_set() -> None:
    """A newcomer sees the metrics at once; nobody's production shows them by mistake."""
    assert declared()["metrics"].default == "auto"


def test_a_key_or_an_account_with_the_cap_reads_it(tmp_path: Path) -> None:
    """metrics:read, metrics:* or everything; others are refused, and see no figure."""
    with running(tmp_path, metrics="key") as app:
        boss, client = admin(app), Client(app)
        assert values(boss.get("/metrics"))["build_info", authsvc.__version__] == 1
        for caps, status in ((["metrics:read"], 200), (["metrics:*"], 200), (["*"], 200), (["users:read"], 403), (["metrics:write"], 403)):
            key = boss.call("POST", "/keys", {"name": "prometheus", "caps": caps})["key"]
            answers = [client.get("/metrics", token=key), holder(app, *caps).get("/metrics")]
            assert [answer.status for answer in answers] == [status, status]
            assert [b"authsvc_" in answer.body for answer in answers] == [status == 200] * 2
        assert client.get("/metrics", token="ak_nonsense").code == "invalid_token"
        assert client.call("HEAD", "/metrics").status == 401


def test_requests_are_counted_by_pattern_and_status(client: Client) -> None:
    """Once each when they are answered, HEAD and refusals too; the one that is being answered is not yet."""
    token, user_id = (made := client.register())["access_token"], made["user"]["id"]
    client.get(f"/user/{user_id}", token=token)
    client.get("/user/usr_nobody", token=token)
    client.call("HEAD", "/user", token=token)
    client.login(password="wrong-harbour-91")
    shown = read(client)
    requests = {key[1:]: value for key, value in shown.items() if key[0] == "http_requests_total"}
    assert requests == {
        ("POST", "/register", "201"): 1,
        ("GET", "/user/:user_id", "200"): 1,
        ("GET", "/user/:user_id", "404"): 1,
        ("HEAD", "/user", "200"): 1,
        ("POST", "/login", "401"): 1,
    }
    assert shown["http_request_duration_seconds_count", "/user/:user_id"] == 2
    assert read(client)["http_requests_total", "GET", "/metrics", "200"] == 1


def test_strangers_make_no_series(client: Client) -> None:
    """A path that is no route is `none`, a method that is none of HTTP's is `other`, however many they are."""
    bare = Bare(client.app)
    for number in range(20):
        client.get(f"/nowhere/{number}")
        bare.call(f"METHOD{number}", "/login")
        client.call("OPTIONS", "/login")
        client.call("PATCH", "/login")
        client.get(f"/problems/{number}")
    requests = {key[1:]: value for key, value in read(client).items() if key[0] == "http_requests_total"}
    assert requests == {
        ("GET", "none", "404"): 20,
        ("other", "none", "405"): 20,
        ("OPTIONS", "none", "204"): 20,
        ("PATCH", "none", "405"): 20,
        ("GET", "/problems/:code", "404"): 20,
    }


def test_a_stream_is_counted_when_it_ends(app: App) -> None:
    """Not when it begins; once, though it is closed twice; HEAD, which has none, at once."""
    boss = admin(app)
    headers = {"Accept": "application/x-ndjson"}

    def counted(method: str = "GET") -> float:
        return read(Client(app)).get(("http_requests_total", method, "/audit/logs", "200"), 0)

    assert boss.call("GET", "/audit/logs", headers=headers).status == 200
    assert boss.call("HEAD", "/audit/logs", headers=headers).status == 200
    assert (counted(), counted("HEAD")) == (1, 1)


def test_what_happens_to_accounts_is_counted_by_its_name(app: App, client: Client) -> None:
    """The vocabulary of the audit trail with its outcomes; a refresh is counted though it leaves no row there."""
    made = client.register()
    for _ in range(3):
        client.login(password="wrong-harbour-91")
    client.refresh(made["refresh_token"])
    client.refresh(made["refresh_token"])  # a repetition yields the same tokens again, and spends none
    found = {key[1:]: value for key, value in read(client).items() if key[0] == "events_total"}
    assert found == {("user.registered", "success"): 1, ("login.failed", "failure"): 3, ("session.refreshed", "success"): 1}


def test_limits_are_counted_by_their_names(tmp_path: Path) -> None:
    """Those that lie in the store and those that do not, let through and refused; one that is off is not charged."""
    with running(tmp_path, metrics="open", limit_login="2/300s", limit_refresh="1/60s", limit_register="0") as app:
        client = Client(app)
        made = client.register()
        statuses = [client.login(password="wrong-harbour-91").status for _ in range(3)]
        statuses += [client.refresh(made["refresh_token"]).status for _ in range(2)]
        assert statuses == [401, 401, 429, 200, 429]
        found = {key[1:]: value for key, value in read(client).items() if key[0] == "limit_charges_total"}
    assert (found["login", "allowed"], found["login", "refused"]) == (2, 1)
    assert (found["refresh", "allowed"], found["refresh", "refused"]) == (1, 1)
    assert found["login_delay", "allowed"] == 3
    assert [limit for limit, _ in found if limit == "register"] == []


def test_the_outbox_is_measured_and_its_deliveries_counted(app: App, client: Client, world: FakeWorld) -> None:
    """How many wait, for how long the first has been due, and how each try ended."""
    assert (read(client)["outbox_messages", "mail"], read(client)["outbox_overdue_seconds", "mail"]) == (0, 0)
    ids = put(app, "a@example.org", "b@example.org", "c@example.org")
    world.advance(90)
    shown = read(client)
    assert shown["outbox_messages", "mail"] == 3
    assert shown["outbox_overdue_seconds", "mail"] == pytest.approx(90, abs=0.1)
    assert (shown["outbox_messages", "sms"], shown["outbox_overdue_seconds", "sms"]) == (0, 0)

    app.deliveries.workers[0]._courier = Ending(dict(zip(ids, (SENT, DEAD, None), strict=True)))
    app.deliveries.run_once()
    shown = read(client)
    assert {key[1:]: value for key, value in shown.items() if key[0] == "deliveries_total"} == {
        ("mail", "sent"): 1,
        ("mail", "dead"): 1,
        ("mail", "put_off"): 1,
    }
    assert (shown["outbox_messages", "mail"], shown["outbox_overdue_seconds", "mail"]) == (1, 0)
    assert shown["events_total", "delivery.failed", "failure"] == 1


class Ending:
    """A courier that ends messages as it was told."""

    kind, batch, lease_ms = "mail", 10, 60_000

    def __init__(self, outcomes: dict[str, str | None]) -> None:
        self._outcomes = outcomes

    def deliver(self, batch: Any) -> Any:
        for message in batch:
            yield Ended(message, self._outcomes[message.id], None if self._outcomes[message.id] == SENT else "as told")


def test_webhooks_are_measured_by_state_and_backlog(tmp_path: Path, world: FakeWorld) -> None:
    """Events that one wants and has not had, not those of others; who fails and who is disabled; each try."""
    with running(tmp_path, world, metrics="open", webhook_networks="127.0.0.0/8") as app, receiving() as receiver:
        boss, client = admin(app), Client(app)
        receiver.paths["/bad"] = says(500)
        make(boss, receiver.url("/good"), ["login.failed"])
        make(boss, receiver.url("/bad"), ["login.*"])
        assert make(boss, receiver.url("/off"), ["*"], enabled=False)["enabled"] is False
        for _ in range(3):
            client.login("nobody@mail.com")
        shown = read(client)
        assert shown["webhook_backlog_events",] == 6
        assert [shown["webhooks", state] for state in ("well", "failing", "disabled")] == [2, 0, 1]
        app.deliveries.run_once()
        shown = read(client)
        assert shown["webhook_backlog_events",] == 3
        assert [shown["webhooks", state] for state in ("well", "failing", "disabled")] == [1, 1, 1]
        assert (shown["deliveries_total", "webhook", "sent"], shown["deliveries_total", "webhook", "put_off"]) == (3, 1)


def make(boss: Caller, url: str, events: list[str], **more: Any) -> Any:
    answer = boss.call("POST", "/webhooks", {"url": url, "events": events, **more})
    assert answer.status == 201, answer.body
    return answer.json()


def test_a_backlog_is_counted_up_to_a_bound(app: App) -> None:
    """However long the trail is, a scrape looks at so many rows of each webhook at most."""
    with app.core.store.write() as tx:
        tx._connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
            "INSERT INTO events (id, at, action, outcome, actor_type, data, personal_mac, kid, mac) "
            "SELECT 'evt_' || i, 0, CASE i % 2 WHEN 0 THEN 'login.failed' ELSE 'otp.failed' END, 'failure', 'system', '{}', '', '', '' FROM n",
            {"rows": 3 * MOST_EVENTS},
        )
    with app.core.store.read() as tx:
        assert tx.trail.count_of(["login.failed", "otp.failed"], 1, MOST_EVENTS) == MOST_EVENTS
        assert tx.trail.count_of(["login.failed", "otp.failed"], 3 * MOST_EVENTS - 4, MOST_EVENTS) == 5
        assert tx.trail.count_of(["login.failed"], 1, MOST_EVENTS * 9) == 1.5 * MOST_EVENTS
        assert tx.trail.count_of([], 1, MOST_EVENTS) == 0


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("SELECT 1 FROM outbox WHERE done_at IS NULL AND kind = :kind LIMIT :most", {"kind": "mail", "most": 9}),
        (
            "SELECT 1 FROM events WHERE action = :action AND seq >= :from_seq LIMIT :most",
            {"action": "login.failed", "from_seq": 1, "most": 9},
        ),
    ],
)
def test_what_is_measured_is_found_by_index(app: App, statement: str, values: dict[str, Any]) -> None:
    """The plan has no walk through a table."""
    with app.core.store.read() as tx:
        plan = str(tx._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())
    assert "USING" in plan
    assert "SCAN" not in plan


def test_the_database_and_the_process_are_measured(app: App, client: Client, world: FakeWorld) -> None:
    """Bytes of the file, its log and the disk; since when, and which release."""
    world.advance(60)
    shown = read(client)
    path = Path(app.core.store.path)
    assert shown["store_wal_bytes",] == path.with_name(path.name + "-wal").stat().st_size > 0
    assert shown["store_file_bytes",] % 4096 == shown["store_free_bytes",] % 4096 == 0
    assert shown["store_file_bytes",] > shown["store_free_bytes",]
    assert shown["store_disk_free_bytes",] > 0
    assert shown["process_start_time_seconds",] == START / 1000
    assert shown["build_info", authsvc.__version__] == 1


@pytest.mark.parametrize("fork", [os.fork, fork_in_c], ids=["told", "not told"])
def test_a_worker_was_started_when_it_was_seen_first_and_not_with_its_parent(app: App, world: FakeWorld, fork: Callable[[], int]) -> None:
    """What is shown of the process is of the one that answers."""

    def seen() -> list[float]:
        world.advance(60)
        Client(app).get("/healthz")
        world.advance(60)
        return [read(Client(app))["process_start_time_seconds",], read(Client(app))["process_start_time_seconds",]]

    with child(seen, fork=fork) as result:
        pass
    assert result == [[START / 1000 + 60] * 2]
    world.advance(60)
    assert read(Client(app))["process_start_time_seconds",] == START / 1000


def test_commits_are_counted_with_how_many_shared_each(app: App, client: Client) -> None:
    """All writers are in one commit or another."""
    before = read(client)["store_commit_transactions_sum",]
    together(16, lambda number: client.get("/readyz").status)
    shown = read(client)
    assert shown["store_commit_transactions_sum",] >= before + 16
    assert shown["store_commit_transactions_count",] == shown["store_commits_total", "done"]
    assert shown["store_commit_transactions_bucket", "64"] == shown["store_commit_transactions_count",]


def test_hashing_is_measured_and_what_was_too_much_is_counted(app: App, client: Client) -> None:
    """Who hashes, who waits, and who was told to come back."""
    client.register()
    hasher = app.core.hasher
    for _ in range(hasher.admitted):
        hasher._admitted.acquire()
    assert client.login(EMAIL, PASSWORD).code == "busy"
    for _ in range(hasher.admitted):
        hasher._admitted.release()
    seen = []
    hasher._run(lambda: seen.append(hasher.load))
    shown = read(client)
    assert shown["hashes_refused_total", "queue_full"] == 1
    assert (seen, shown["hashes", "running"], shown["hashes", "waiting"]) == ([(1, 0)], 0, 0)


def test_housekeeping_is_counted_by_its_chores(app: App, client: Client, world: FakeWorld) -> None:
    """Batches that did something, and their rows; one that fails is counted as such."""
    client.register()
    world.advance(120)
    app.deliveries.housekeeping.run_once()
    shown = read(client)
    assert (shown["housekeeping_batches_total", "seal", "done"], shown["housekeeping_rows_total", "seal"]) == (1, 1)
    app.deliveries.housekeeping.chores[0].act = lambda: 1 // 0
    world.advance(120)
    app.deliveries.housekeeping.run_once()
    assert read(client)["housekeeping_batches_total", "seal", "failed"] == 1


def test_a_store_that_cannot_be_written_can_still_be_looked_at(app: App, client: Client) -> None:
    """When it matters most, the figures are there: what was summed before, and the measures; afterwards nothing is missing."""
    client.register()
    before = read(client)
    writer = app.core.store._writer._connection
    writer.execute("PRAGMA query_only=ON").fetchall()
    assert client.login().code == "unavailable"
    during = read(client)
    writer.execute("PRAGMA query_only=OFF").fetchall()
    after = read(client)
    login = ("http_requests_total", "POST", "/login", "503")
    assert during["events_total", "user.registered", "success"] == before["events_total", "user.registered", "success"] == 1
    assert (login in during, after[login]) == (False, 1)
    assert after["http_requests_total", "GET", "/metrics", "200"] == 2


def test_no_counter_falls_while_the_service_works(tmp_path: Path) -> None:
    """Two processes on one file, asked in turns while 8 threads call both: whoever answers, no counter has fallen."""
    with running(tmp_path, metrics="open") as one, running(tmp_path, metrics="open") as other:
        shown: list[dict[tuple[str, ...], float]] = []

        def act(number: int) -> None:
            for turn in range(6):
                client = Client((one, other)[(number + turn) % 2])
                if number == 0:
                    shown.append(read(client))
                client.get("/healthz")
                client.login(f"nobody{number}@mail.com")

        together(8, act)
        shown += [read(Client(one)), read(Client(other))]
    for earlier, later in pairwise(shown):
        counters = [key for key in earlier if key[0].endswith(("_total", "_bucket", "_count", "_sum"))]
        assert counters
        assert {key: (earlier[key], later.get(key)) for key in counters if earlier[key] > later.get(key, -1)} == {}
    assert shown[-1]["http_requests_total", "GET", "/healthz", "200"] == 48


def test_the_route_table_says_who_may_read_it() -> None:
    """One line, as for every other route; no other route is opened by a setting."""
    (route,) = [route for route in ROUTES if route.path == "/metrics"]
    assert (route.who.cap, route.who.keys, route.who.signed_in, route.quick) == ("metrics:read", True, True, False)
    assert [other.path for other in ROUTES if other.who.open_if is not None] == ["/metrics"]
