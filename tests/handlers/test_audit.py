"""/audit/logs and /audit/verify: who sees what, each filter, pages, and reading out all of it."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.events import CLI, Cause
from authsvc.flows import users
from authsvc.handlers import audit
from authsvc.store import trail
from tests.auditing import ALICE, auditor, keep_house, numbers, record, sealed, tampering
from tests.support import EMAIL, START, Client, FakeWorld, event_rows

BOB = Cause("user", "usr_bob", "bob@example.com", "ses_2", "2001:db8::1", "wget/1", "req-2")
NDJSON = {"Accept": "application/x-ndjson"}
CSV = {"Accept": "text/csv"}
MEMBERS = ["id", "at", "action", "outcome", "actor", "subject", "session_id", "ip", "user_agent", "request_id", "data"]


@pytest.fixture
def token(app: App) -> str:
    return auditor(app)


def ids(app: App, **columns: Any) -> list[str]:
    """The ids of all rows with these values, the newest first, told by the table itself."""
    return [row["id"] for row in reversed(event_rows(app)) if all(row[name] == value for name, value in columns.items())]


def listed(client: Client, token: str, query: str = "") -> list[str]:
    """The ids of all pages."""
    found, cursor = [], ""
    while True:
        page = client.get(f"/audit/logs?{query}{cursor}", token=token).json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_an_item_has_the_promised_members(app: App, client: Client, token: str, world: FakeWorld) -> None:
    """The newest first, each with who did what to whom, from where, and when."""
    record(app, cause=ALICE, data={"amr": ["pwd"]})
    item = client.get("/audit/logs", token=token).json()["items"][0]
    assert list(item) == MEMBERS
    assert item | {"id": None} == {
        "id": None,
        "at": "2027-01-15T08:00:00.000Z",
        "action": "login.succeeded",
        "outcome": "success",
        "actor": {"type": "user", "id": "usr_alice", "label": "alice@example.com"},
        "subject": "usr_alice",
        "session_id": "ses_1",
        "ip": "192.0.2.7",
        "user_agent": "curl/8",
        "request_id": "req-1",
        "data": {"amr": ["pwd"]},
    }


@pytest.mark.parametrize("seals", [(), (3, 4, 5)])
def test_each_filter_finds_what_it_says(app: App, client: Client, token: str, world: FakeWorld, seals: tuple[int, ...]) -> None:
    """Alone and together, page by page, the same rows that a look at the whole table finds."""
    sealed(app, world, seals)
    record(app, 3, events.LOGIN_FAILED, ALICE, outcome="failure")
    record(app, 2, events.LOGIN_SUCCEEDED, BOB, subject="usr_bob")
    record(app, 2, events.PASSWORD_CHANGED, BOB, subject="usr_alice")
    token = client.login("auditor@example.com").json()["access_token"] if seals else token
    for query, columns in (
        ("", {}),
        ("actor=usr_bob", {"actor_id": "usr_bob"}),
        ("subject=usr_alice", {"subject": "usr_alice"}),
        ("action=login.failed", {"action": "login.failed"}),
        ("outcome=failure", {"outcome": "failure"}),
        ("ip=192.0.2.7", {"ip": "192.0.2.7"}),
        ("ip=2001:DB8:0::1", {"ip": "2001:db8::1"}),
        ("actor=usr_bob&subject=usr_alice", {"actor_id": "usr_bob", "subject": "usr_alice"}),
        ("subject=usr_alice&outcome=failure&action=login.failed", {"subject": "usr_alice", "outcome": "failure"}),
        ("subject=usr_nobody", {"subject": "usr_nobody"}),
    ):
        assert listed(client, token, f"limit=2&{query}") == ids(app, **columns), query
    prefix = [row["id"] for row in reversed(event_rows(app)) if row["action"].startswith("login.")]
    assert listed(client, token, "limit=3&action=login.*") == prefix
    assert listed(client, token, "action=login.*&actor=usr_bob") == ids(app, actor_id="usr_bob", action="login.succeeded")
    assert listed(client, token, "action=log.*") == listed(client, token, "action=nothing.at_all") == []


def test_a_span_of_time_is_found_though_the_clock_was_set_back(app: App, client: Client, world: FakeWorld) -> None:
    """`after` is within, `before` is not; rows written while the clock stood wrong are where their time says, sealed or not."""
    token = auditor(app)
    for step in (1, 1, -5000, 1, 9000, 1, -8000, 1):
        record(app, 2)
        world.advance(61)
        keep_house(app)
        world.advance(step)
    record(app, 2)
    rows = event_rows(app)
    times = sorted({row["at"] for row in rows})
    world.time = START
    for after in (0, *times, times[-1] + 1):
        for before in (*times, times[-1] + 1):
            query = f"after={moment(after)}&before={moment(before)}"
            assert listed(client, token, query) == [row["id"] for row in reversed(rows) if after <= row["at"] < before]
            assert listed(client, token, f"{query}&subject=usr_alice") == [
                row["id"] for row in reversed(rows) if after <= row["at"] < before and row["subject"] == "usr_alice"
            ]


def moment(milliseconds: int) -> str:
    return str(users.timestamp(milliseconds))


def test_a_search_through_much_ends_a_page_early(app: App, client: Client, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no index serves a filter only so many rows are looked at: the page may be empty, and its cursor goes on."""
    monkeypatch.setattr(trail, "LOOKED_AT_ONCE", 10)
    monkeypatch.setattr(trail, "MOST_LOOKED_AT", 20)
    record(app, 1, cause=BOB)
    record(app, 65)
    page = client.get("/audit/logs?ip=2001:db8::1&limit=5", token=token).json()
    assert page["items"] == []
    assert page["next_cursor"] is not None
    assert listed(client, token, "ip=2001:db8::1&limit=5") == ids(app, actor_id="usr_bob")


@pytest.mark.parametrize(
    "query",
    [
        "after=yesterday",
        "after=2026-01-01T00:00:00",
        "before=2026-13-01T00:00:00Z",
        "ip=1.2.3",
        "action=*",
        "action=LOGIN.*",
        "cursor=1",
        "outcome=x",
        "limit=0",
        "limit=201",
        "actor=%0a",
        "since=1",
        "subject=",
    ],
)
def test_what_is_no_filter_is_refused(client: Client, token: str, query: str) -> None:
    """An unknown name, and a value of another form, is named in `errors`; nothing is guessed."""
    refused = client.get(f"/audit/logs?{query}", token=token)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert [error["field"] for error in refused["errors"]] == [query.partition("=")[0]]


def test_only_an_auditor_sees_all(client: Client) -> None:
    """Without the cap the whole trail is forbidden, in each form, and so is the check of it."""
    mallory = client.register("mallory@example.com")["access_token"]
    for path in ("/audit/logs", "/audit/logs?subject=usr_alice", "/audit/logs?actor=me", "/audit/verify", "/audit/verify?from_seq=1"):
        for headers in ({}, NDJSON, CSV):
            assert client.get(path, token=mallory, headers=headers).code == "forbidden"
            assert client.get(path, headers=headers).code == "unauthenticated"


@pytest.mark.parametrize("headers", [{}, NDJSON])
def test_a_user_sees_their_own_without_anybody_elses_data(app: App, client: Client, headers: dict[str, str]) -> None:
    """What they did and what was done to them, not what is internal; of others neither id nor address nor name."""
    auditor(app)  # so that this one is not the last admin
    user_id = client.register()["user"]["id"]
    users.change_roles(app.core, user_id, CLI, grant=["admin"])
    users.change_roles(app.core, user_id, CLI, ungrant=["admin"])
    token = client.login()["access_token"]
    record(app, cause=BOB, subject=user_id)
    record(app, event=events.DELIVERY_FAILED, cause=CLI, subject=user_id)
    answer = client.get("/audit/logs?subject=me", token=token, headers=headers)
    items = answer.json()["items"] if not headers else [json.loads(line) for line in answer.body.splitlines()][::-1]
    assert [(item["action"], item["actor"]["id"]) for item in items] == [
        ("login.succeeded", None),
        ("login.succeeded", user_id),
        ("role.changed", None),
        ("role.changed", None),
        ("user.registered", user_id),
    ]
    hidden = {name: items[0][name] for name in ("session_id", "ip", "user_agent", "request_id")} | items[0]["actor"]
    assert hidden == {"session_id": None, "ip": None, "user_agent": None, "request_id": None, "type": "user", "id": None, "label": None}
    assert (items[1]["ip"], items[1]["actor"]["label"]) == ("192.0.2.1", EMAIL)
    for secret in (BOB.ip, BOB.label, BOB.actor_id, "auditor@example.com"):
        assert str(secret).encode() not in answer.body


def test_a_user_cannot_find_out_by_filters_what_is_hidden(app: App, client: Client) -> None:
    """Asking for one's own with somebody else's address or id finds nothing, right or wrong."""
    user = client.register().json()
    record(app, cause=BOB, subject=user["user"]["id"])
    for query in ("ip=2001:db8::1", "actor=usr_bob"):
        assert client.get(f"/audit/logs?subject=me&{query}", token=user["access_token"]).json() == {"items": [], "next_cursor": None}
    assert len(listed(client, user["access_token"], "subject=me&ip=192.0.2.1")) == 1


@pytest.mark.parametrize(("accept", "form"), [
    ("application/x-ndjson", "application/x-ndjson"), ("text/csv", "text/csv; charset=utf-8; header=present"), ("*/*", "application/json"),
    ("application/json, text/csv;q=0.5", "application/json"), ("text/csv;q=0", "application/json"), ("text/html", "application/json"),
    ("text/csv, application/x-ndjson;q=0.9", "text/csv; charset=utf-8; header=present"),
])  # fmt: skip
def test_the_form_is_chosen_by_what_is_accepted(client: Client, token: str, accept: str, form: str) -> None:
    """JSON unless another form is named and liked no less; caches are told."""
    answer = client.get("/audit/logs", token=token, headers={"Accept": accept})
    assert (answer.status, answer.header("Content-Type"), answer.header("Vary")) == (200, form, "Accept, Origin")
    assert (answer.header("Content-Length") is None) == (form != "application/json")


def test_all_is_read_out_oldest_first(app: App, client: Client, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a chunk holds, each once, in both forms; `limit` does not cut it off, filters do."""
    monkeypatch.setattr("authsvc.flows.audit.ROWS_PER_CHUNK", 7)
    record(app, 40)
    record(app, 20, cause=BOB)
    lines = client.get("/audit/logs?limit=1", token=token, headers=NDJSON).body.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids(app)[::-1]
    rows = list(csv.DictReader(io.StringIO(client.get("/audit/logs?actor=usr_bob", token=token, headers=CSV).body.decode())))
    assert [row["id"] for row in rows] == ids(app, actor_id="usr_bob")[::-1]
    assert client.get("/audit/logs?actor=nobody", token=token, headers=NDJSON).body == b""
    assert client.get("/audit/logs?actor=nobody", token=token, headers=CSV).body.splitlines() == [",".join(audit.CELLS).encode()]


def test_reading_out_holds_nothing_while_the_client_reads(app: App, client: Client, token: str, world: FakeWorld) -> None:
    """Rows are read when they are asked for, and between two chunks neither a transaction nor a lock is held: the log can be
    checkpointed whole, and what is erased meanwhile is not read out. Rows that came later are not waited for."""
    record(app, 3000)
    stream = iter(streaming(app, token))
    first = next(stream)
    with tampering(app) as connection:
        connection.execute("UPDATE events SET actor_label = NULL")
        connection.commit()
        busy, left, moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    record(app, 100)
    rest = b"".join(stream)
    assert (busy, left, moved) == (0, 0, 0)
    assert b"alice@example.com" in first
    assert b"alice@example.com" not in b"".join(rest.splitlines(keepends=True)[500:]), "one chunk at most was read ahead"
    assert (first + rest).count(b"\n") == 3000 + 3


def test_reading_out_needs_no_more_memory_for_more_rows(app: App, token: str) -> None:
    """Four times as many rows have the same peak."""
    peaks = []
    for count in (1500, 4500):
        record(app, count)
        sum(map(len, streaming(app, token)))
        tracemalloc.start()
        sum(map(len, streaming(app, token)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


def streaming(app: App, token: str, method: str = "GET") -> Any:
    """The iterable that a WSGI host gets."""
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": "/audit/logs", "SCRIPT_NAME": "", "QUERY_STRING": "", "REMOTE_ADDR": "192.0.2.1",
        "HTTP_AUTHORIZATION": f"Bearer {token}", "HTTP_ACCEPT": "application/x-ndjson",
    }  # fmt: skip
    return app(environ, lambda status, headers: None)


def test_a_stream_has_one_line_in_the_access_log(app: App, token: str, world: FakeWorld) -> None:
    """When it ends: read to its end, given up by the client, or not wanted at all."""
    record(app, 1200)
    for method, chunks in (("GET", 99), ("GET", 1), ("GET", 0), ("HEAD", 9)):
        before = len(world.lines)
        stream = streaming(app, token, method)
        body = [chunk for chunk, _ in zip(stream, range(chunks), strict=False)]
        if hasattr(stream, "close"):
            stream.close()
            stream.close()
        assert len(world.lines) == before + 1
        assert f" 200 {method} /audit/logs " in world.lines[-1]
        assert method == "GET" or b"".join(body) == b""


def test_a_stream_that_breaks_off_does_not_look_whole(app: App, token: str, world: FakeWorld) -> None:
    """What goes wrong on the way is logged under the request's id and raised to the host, which breaks the connection off."""
    record(app, 1200)
    stream = streaming(app, token)
    next(stream)
    with tampering(app) as connection:
        connection.execute("ALTER TABLE events RENAME TO gone")
    with pytest.raises(Exception, match="no such table"):
        list(stream)
    stream.close()
    assert [line.split(": ")[1].split("\n")[0] for line in world.lines if "Traceback" in line] == ["the stream broke off"]
    assert " 200 GET /audit/logs " in world.lines[-1]


def test_a_check_tells_all(app: App, client: Client, world: FakeWorld) -> None:
    """Rows, how far they are sealed, and that nothing is wrong."""
    token = auditor(app)
    world.advance(61)
    keep_house(app)
    record(app, 4)
    assert client.get("/audit/verify", token=token).json() == {
        "ok": True, "rows": 7, "sealed_through": 3, "first_bad": None, "complete": True, "next_seq": None,
    }  # fmt: skip


def test_a_check_of_many_rows_goes_on_where_it_stopped(app: App, client: Client, world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call checks about so many; `next_seq` is where the next one begins, in the sealed part and in the rest."""
    token = auditor(app)
    monkeypatch.setattr(audit, "ROWS_PER_CALL", 2)
    monkeypatch.setattr("authsvc.flows.verification.MOST_ROWS", 6)
    sealed(app, world, (3, 3), unsealed=7)
    token = client.login("auditor@example.com")["access_token"]
    rows, query = 0, ""
    calls = 0
    while True:
        told = client.get(f"/audit/verify{query}", token=token).json()
        assert told["ok"]
        rows, calls = rows + told["rows"], calls + 1
        if told["complete"]:
            break
        query = f"?from_seq={told['next_seq']}"
    assert calls == 4, "two seals, and the rest in two steps"
    assert rows == len(numbers(app))
    with tampering(app) as connection:
        connection.execute("UPDATE events SET outcome = 'x' WHERE seq = 8")
    told = client.get("/audit/verify?from_seq=8", token=token).json()
    assert told["first_bad"]["seq"] == 8
    for wrong in ("0", "-1", "x", "1" * 16):
        assert client.get(f"/audit/verify?from_seq={wrong}", token=token).status == 422


def test_a_check_of_a_trail_without_seals_comes_to_its_end(app: App, client: Client, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody has sealed yet, `next_seq` moves on all the same."""
    monkeypatch.setattr(audit, "ROWS_PER_CALL", 2)
    monkeypatch.setattr("authsvc.flows.verification.MOST_ROWS", 4)
    record(app, 7)
    told = [client.get(f"/audit/verify?from_seq={seq}", token=token).json() for seq in (1, 5, 9)]
    assert [(part["ok"], part["rows"], part["next_seq"], part["complete"]) for part in told] == [
        (True, 4, 5, False),
        (True, 4, 9, False),
        (True, 2, None, True),
    ]
