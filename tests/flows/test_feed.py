"""GET /events: every event once, in order, however it is asked for, up to the end and on from there."""

from __future__ import annotations

import json

import pytest

from authsvc import events
from authsvc.app import App
from authsvc.events import SYSTEM
from authsvc.flows import feed
from tests.letterbox import rows
from tests.staff import Caller, admin, holder
from tests.support import Client, event_rows


@pytest.fixture
def reader(app: App) -> Caller:
    return holder(app, "events:read")


def happen(app: App, *found: events.Event) -> list[str]:
    """Record them; their ids, oldest first."""
    before = len(event_rows(app))
    with app.core.store.write() as tx:
        for event in found:
            tx.events.record(event, SYSTEM)
    return [row["id"] for row in event_rows(app)[before:]]


def polled(reader: Caller, query: str = "", cursor: str | None = None) -> tuple[list[str], str]:
    """All that there is by now, page after page, and where it goes on."""
    ids: list[str] = []
    while True:
        page = reader.get(f"/events?{query}" + (f"&after={cursor}" if cursor else "")).json()
        assert page.keys() == {"items", "next_cursor"}
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] == cursor:
            return ids, cursor
        cursor = page["next_cursor"]
        assert cursor


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
def test_every_event_comes_once_in_its_order_and_on_from_the_end(app: App, reader: Caller, limit: int) -> None:
    """Whatever the size of the pages; at the end the cursor stays good, and what happens later comes after it."""
    happen(app, *[events.LOGIN_FAILED] * 6)
    all_ids = [row["id"] for row in event_rows(app)]
    ids, cursor = polled(reader, f"limit={limit}")
    assert ids == all_ids
    assert polled(reader, f"limit={limit}", cursor) == ([], cursor)
    later = happen(app, events.LOGIN_FAILED, events.USER_UPDATED)
    assert polled(reader, f"limit={limit}", cursor)[0] == later


@pytest.mark.parametrize("types", ["user.updated", "user.*,login.succeeded", "*"])
def test_types_leave_out_others_and_skip_none(app: App, reader: Caller, types: str) -> None:
    """A page of one type, page by page, has them all; the cursor goes on past those that are not wanted."""
    happen(app, *[events.LOGIN_FAILED, events.USER_UPDATED, events.LOGIN_SUCCEEDED, events.LOGIN_FAILED] * 3, events.LOGIN_FAILED)
    patterns = types.split(",")
    wanted = [row["id"] for row in event_rows(app) if any(p in ("*", row["action"]) or row["action"].startswith(p[:-1]) for p in patterns)]
    ids, cursor = polled(reader, f"limit=2&types={types}")
    assert ids == wanted
    assert cursor == f"after_{event_rows(app)[-1]['seq']}"


def test_an_events_id_is_a_place_too(app: App, reader: Caller) -> None:
    """What comes after it, not itself: the last webhook-id that a receiver has seen is where it goes on."""
    ids = happen(app, *[events.LOGIN_FAILED] * 4)
    for index, event_id in enumerate(ids):
        assert [item["id"] for item in reader.get(f"/events?after={event_id}")["items"]] == ids[index + 1 :]


def test_many_that_are_not_wanted_end_a_page_early(app: App, reader: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at so many rows at most: it may be empty, and its cursor still leads on to what is wanted."""
    monkeypatch.setattr(feed, "MOST_LOOKED_AT", 5)
    happen(app, *[events.LOGIN_FAILED] * 23)
    (wanted,) = happen(app, events.USER_UPDATED)
    first = reader.get("/events?types=user.updated").json()
    assert first["items"] == []
    assert polled(reader, "types=user.updated")[0] == [wanted]


def test_behind_the_pruned_edge_the_feed_begins_at_the_oldest_that_is_kept(app: App, reader: Caller) -> None:
    """A cursor from before goes on with what is still there, without a gap behind it; the id of a forgotten event is refused."""
    ids = happen(app, *[events.LOGIN_FAILED] * 6)
    early = reader.get("/events?limit=1")["next_cursor"]
    with app.core.store.write() as tx:
        edge = tx.trail.number_of(ids[2])
        tx._connection.execute("DELETE FROM events WHERE seq <= ?", (edge,))
    assert polled(reader)[0] == ids[3:]
    assert polled(reader, cursor=early)[0] == ids[3:]
    refused = reader.get(f"/events?after={ids[1]}")
    assert (refused.status, [error["field"] for error in refused["errors"]]) == (422, ["after"])


def test_no_gap_is_too_wide_for_the_feed(app: App, reader: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more was forgotten than a page looks at, the feed still begins at the oldest that is kept: it never says that there is
    nothing while there is something."""
    monkeypatch.setattr(feed, "MOST_LOOKED_AT", 5)
    early = reader.get("/events?limit=1")["next_cursor"]
    ids = happen(app, *[events.LOGIN_FAILED] * 20)
    with app.core.store.write() as tx:
        tx._connection.execute("DELETE FROM events WHERE seq <= ?", (tx.trail.number_of(ids[15]),))
    assert polled(reader)[0] == ids[16:]
    assert polled(reader, cursor=early)[0] == ids[16:]


def test_a_cursor_beyond_the_end_is_refused(app: App, reader: Caller) -> None:
    """After a backup was restored such a cursor would pass over all that happens until its number is reached again."""
    _, cursor = polled(reader)
    last = event_rows(app)[-1]["seq"]
    assert cursor == f"after_{last}"
    for number in (last + 1, last + 1_000, 10**18 - 1):
        assert reader.get(f"/events?after=after_{number}").status == 422, number


@pytest.mark.parametrize(
    "query",
    [
        "after=",
        "after=x",
        "after=after_",
        "after=after_-1",
        "after=after_+1",
        "after=after_1e3",
        "after=after_9999999999999999999",
        "after=after_%D9%A1",
        "after=after_1%00",
        "after=evt_1",
        "after=usr_00000000000000000000000000",
        "after=evt_00000000000000000000000000",
        "after=" + "x" * 61,
        "limit=0",
        "limit=201",
        "limit=1.5",
        "types=",
        "types=nothing.here",
        "types=user.registered,",
        "types=user.registered%20",
        "types=" + ",".join(["user.*"] * 51),
        "types=webhook.test",
        "cursor=after_1",
        "after=after_1&after=after_2",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(app: App, reader: Caller, query: str) -> None:
    """4xx with a reason, never everything from the beginning."""
    answer = reader.get(f"/events?{query}")
    assert answer.status in (400, 422), answer.body
    assert "items" not in answer.json()


def test_nothing_personal_is_in_the_feed(app: App, reader: Caller) -> None:
    """Ids and what happened; no address of anybody, neither of mail nor of the network, no name, no user agent, no MAC."""
    client = Client(app, ip="198.51.100.77")
    client.post("/register", {"email": "secretly@mail.com", "password": "violet-harbour-91", "name": "Quite Unusual"})
    client.call("POST", "/login", {"email": "secretly@mail.com", "password": "wrong-one-1234"}, headers={"User-Agent": "odd-agent/7"})
    boss = admin(app)
    boss.call("POST", "/keys", {"name": "named-key", "caps": ["users:read"]})
    answer = reader.get("/events?limit=200")
    told = answer.body.decode()
    assert {"user.registered", "login.failed", "key.created"} <= {item["type"] for item in answer["items"]}
    for personal in ("secretly", "mail.com", "198.51.100", "Unusual", "odd-agent", "named-key", "mac", "salt"):
        assert personal not in told, personal
    for item, row in zip(answer["items"], event_rows(app), strict=True):
        assert item.keys() == {"id", "type", "timestamp", "data"}
        assert item["data"].keys() == {"id", "subject", "actor", "outcome", "session_id", "details"}
        assert (item["id"], item["type"], item["data"]["details"]) == (row["id"], row["action"], json.loads(row["data"]))


def test_asking_leaves_no_trace(app: App, reader: Caller) -> None:
    """However often: no event, no row of any kind, and an answer that nobody keeps."""
    before = rows(app, "SELECT count(*) AS n FROM events")
    for _ in range(3):
        answer = reader.get("/events")
    assert rows(app, "SELECT count(*) AS n FROM events") == before
    assert answer.header("Cache-Control") == "no-store"


def test_a_page_reads_not_much_more_than_it_gives(app: App, reader: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever catches up page by page does not have thousands of rows read for each page of a few."""
    from authsvc.store.trail import Trail

    happen(app, *[events.LOGIN_FAILED] * 3_000)
    read: list[int] = []
    between = Trail.between

    def counted(trail: Trail, above: int, through: int, most: int) -> object:
        found = between(trail, above, through, most)
        read.append(len(found))
        return found

    monkeypatch.setattr(Trail, "between", counted)
    assert len(reader.get("/events?limit=10")["items"]) == 10
    assert sum(read) <= 1_000
