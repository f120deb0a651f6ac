"""/sessions as their owner sees them."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.app import App
from tests.support import Answer, Client, FakeWorld, actions, event_rows

MEMBERS = ["id", "created_at", "last_seen_at", "ip", "user_agent", "label", "amr", "current"]
UNKNOWN = "ses_00000000000000000000000000"


@pytest.fixture
def many(client: Client, world: FakeWorld) -> list[Answer]:
    """Five sign-ins of one user, a second apart, oldest first."""
    answers = [client.register()]
    for _ in range(4):
        world.advance(1)
        answers.append(client.login())
    return answers


def ids(answer: Answer) -> list[str]:
    """The ids of a page."""
    return [item["id"] for item in answer["items"]]


def test_a_session_tells_where_and_when(client: Client, world: FakeWorld) -> None:
    """Exactly the members of the contract, and times that move with use."""
    answer = client.post("/register", {"email": "a@mail.com"}, headers={"User-Agent": "curl/8.5"})
    world.advance(60)
    client.ip = "198.51.100.9"
    refreshed = client.post("/token/refresh", {"refresh_token": answer["refresh_token"]}, headers={"User-Agent": "other/1"})
    (item,) = client.get("/sessions", token=refreshed["access_token"])["items"]
    assert list(item) == MEMBERS
    assert item == {
        "id": answer["session_id"],
        "created_at": "2027-01-15T08:00:00.000Z",
        "last_seen_at": "2027-01-15T08:01:00.000Z",
        "ip": "198.51.100.9",
        "user_agent": "other/1",
        "label": None,
        "amr": ["pwd"],
        "current": True,
    }


def test_the_newest_session_comes_first_and_the_current_one_is_marked(client: Client, many: list[Answer]) -> None:
    """All live sessions, newest first; `current` is the caller's own and no other."""
    for mine in (many[0], many[3]):
        answer = client.get("/sessions", token=mine["access_token"])
        assert ids(answer) == [each["session_id"] for each in reversed(many)]
        assert [item["id"] for item in answer["items"] if item["current"]] == [mine["session_id"]]
        assert answer["next_cursor"] is None


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 200])
def test_pages_give_every_session_once(client: Client, many: list[Answer], limit: int) -> None:
    """Following `next_cursor` until it is null gives all items in order, at most `limit` at a time, and no empty page."""
    found, query = [], f"?limit={limit}"
    while True:
        answer = client.get("/sessions" + query, token=many[0]["access_token"])
        assert 1 <= len(ids(answer)) <= limit
        found += ids(answer)
        if answer["next_cursor"] is None:
            break
        query = f"?limit={limit}&cursor={answer['next_cursor']}"
    assert found == [each["session_id"] for each in reversed(many)]


def test_a_session_opened_between_pages_repeats_nothing(client: Client, many: list[Answer]) -> None:
    """A cursor holds its place while the list grows."""
    token = many[0]["access_token"]
    first = client.get("/sessions?limit=2", token=token)
    client.login()
    second = client.get(f"/sessions?limit=2&cursor={first['next_cursor']}", token=token)
    assert ids(first) + ids(second) == [each["session_id"] for each in reversed(many)][:4]


@pytest.mark.parametrize(
    ("query", "status", "faults"),
    [
        ("limit=0", 422, [("limit", "not_allowed")]),
        ("limit=201", 422, [("limit", "not_allowed")]),
        ("limit=-1", 422, [("limit", "wrong_type")]),
        ("limit=", 422, [("limit", "wrong_type")]),
        ("limit=ten", 422, [("limit", "wrong_type")]),
        ("limit=1e1", 422, [("limit", "wrong_type")]),
        ("limit=" + "9" * 5_000, 422, [("limit", "wrong_type")]),
        ("cursor=", 422, [("cursor", "invalid")]),
        ("cursor=x", 422, [("cursor", "invalid")]),
        ("cursor=usr_00000000000000000000000000", 422, [("cursor", "invalid")]),
        ("cursor=" + UNKNOWN + "%0A", 422, [("cursor", "invalid")]),
        ("sort=id", 422, [("sort", "unknown_field")]),
        ("limit=2&limit=3", 400, None),
    ],
)
def test_a_wrong_query_is_named(client: Client, query: str, status: int, faults: list[tuple[str, str]] | None) -> None:
    """Values out of bounds and unknown parameters are 422, repeated ones 400; nothing is guessed."""
    answer = client.get(f"/sessions?{query}", token=client.register()["access_token"])
    assert (answer.status, answer.code) == (status, "invalid_request")
    assert faults is None or [(fault["field"], fault["code"]) for fault in answer["errors"]] == faults


def test_nobody_sees_another_users_sessions(client: Client, many: list[Answer]) -> None:
    """The list is the caller's own, also from a cursor that is somebody else's."""
    other = client.register("other@mail.com")
    assert ids(client.get("/sessions", token=other["access_token"])) == [other["session_id"]]
    from_theirs = ids(client.get(f"/sessions?cursor={many[4]['session_id']}", token=other["access_token"]))
    assert set(from_theirs) <= {other["session_id"]}


def test_ended_and_idle_sessions_are_not_listed(client: Client, world: FakeWorld) -> None:
    """What can no longer be refreshed is gone from the list."""
    client.register()
    ended = client.login()
    client.post("/token/revoke", token=ended["access_token"])
    world.advance(2_592_000)
    now = client.login()
    assert ids(client.get("/sessions", token=now["access_token"])) == [now["session_id"]]


def test_ending_one_session_ends_that_one(client: Client, app: App, many: list[Answer]) -> None:
    """204 without a body; its tokens are refused at once, the others live, one event names it."""
    mine, victim = many[0], many[2]
    answer = client.delete(f"/sessions/{victim['session_id']}", token=mine["access_token"])
    assert (answer.status, answer.body) == (204, b"")
    assert client.get("/user", token=victim["access_token"]).code == "invalid_token"
    assert client.refresh(victim["refresh_token"]).code == "invalid_token"
    assert all(client.get("/user", token=each["access_token"]).status == 200 for each in many if each is not victim)
    (row,) = [row for row in event_rows(app) if row["action"] == "session.revoked"]
    assert victim["session_id"] in row["data"]
    assert (row["subject"], row["session_id"]) == (mine["user"]["id"], mine["session_id"])
    assert (row["actor_type"], row["actor_id"], row["actor_label"]) == ("user", mine["user"]["id"], "example@mail.com")


def test_ending_it_again_is_not_found(client: Client, app: App, many: list[Answer]) -> None:
    """What has ended is not there: 404, and no second event."""
    path = f"/sessions/{many[2]['session_id']}"
    assert [client.delete(path, token=many[0]["access_token"]).status for _ in range(2)] == [204, 404]
    assert actions(app).count("session.revoked") == 1


@pytest.mark.parametrize("which", ["foreign", UNKNOWN, "x", "ses_%27--", "%00", "%E2%82%AC"])
def test_a_foreign_session_is_not_found_and_lives(client: Client, app: App, which: str) -> None:
    """Somebody else's session and one that never was are the same 404."""
    token = client.register()["access_token"]
    other = client.register("other@mail.com")
    answer = client.delete(f"/sessions/{other['session_id'] if which == 'foreign' else which}", token=token)
    assert (answer.status, answer.code) == (404, "not_found")
    assert client.get("/user", token=other["access_token"]).status == 200
    assert "session.revoked" not in actions(app)


def test_one_may_end_the_present_session(client: Client) -> None:
    """That is a logout."""
    mine = client.register()
    assert client.delete(f"/sessions/{mine['session_id']}", token=mine["access_token"]).status == 204
    assert client.get("/user", token=mine["access_token"]).status == 401


@pytest.mark.parametrize("query", ["", "?all=false", "?all=off"])
def test_ending_the_others_keeps_the_present_one(client: Client, app: App, many: list[Answer], query: str) -> None:
    """DELETE /sessions ends all but the caller's own, with an event for each."""
    assert client.delete("/sessions" + query, token=many[3]["access_token"]).status == 204
    assert [client.get("/user", token=each["access_token"]).status for each in many] == [401, 401, 401, 200, 401]
    assert client.refresh(many[3]["refresh_token"]).status == 200
    assert actions(app).count("session.revoked") == 4


def test_ending_all_ends_the_present_one_too(client: Client, app: App, many: list[Answer]) -> None:
    """`?all=true` leaves none, and touches nobody else's."""
    other = client.register("other@mail.com")
    assert client.delete("/sessions?all=true", token=many[3]["access_token"]).status == 204
    assert {client.get("/user", token=each["access_token"]).status for each in many} == {401}
    assert client.get("/user", token=other["access_token"]).status == 200
    assert actions(app).count("session.revoked") == 5


@pytest.mark.parametrize("query", ["?all=1", "?all=yes", "?everything=true", "?all=true&all=true"])
def test_an_unclear_wish_ends_nothing(client: Client, app: App, many: list[Answer], query: str) -> None:
    """A parameter that is not understood is refused rather than guessed."""
    assert client.delete("/sessions" + query, token=many[3]["access_token"]).status in {400, 422}
    assert {client.get("/user", token=each["access_token"]).status for each in many} == {200}
    assert "session.revoked" not in actions(app)


@pytest.mark.parametrize(("method", "path"), [("GET", "/sessions"), ("DELETE", "/sessions"), ("DELETE", f"/sessions/{UNKNOWN}")])
def test_sessions_are_for_those_signed_in(client: Client, method: str, path: str) -> None:
    """401 with a challenge otherwise."""
    answer = client.call(method, path)
    assert (answer.status, answer.code) == (401, "unauthenticated")


def test_a_body_with_unknown_fields_is_refused_on_delete_too(client: Client, many: list[Answer]) -> None:
    """`all` belongs into the query; in the body it is an unknown field, and nothing is ended."""
    body: dict[str, Any] = {"all": True}
    answer = client.call("DELETE", "/sessions", body, token=many[0]["access_token"])
    assert (answer.status, answer["errors"][0]["code"]) == (422, "unknown_field")
    assert client.get("/user", token=many[1]["access_token"]).status == 200
