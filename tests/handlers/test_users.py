"""/user and /user/:user_id as their callers see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from tests.support import Answer, Client, FakeWorld, actions, event_rows

MEMBERS = [
    *("id", "email", "email_verified", "phone_number", "phone_number_verified", "name", "picture", "locale", "status", "roles", "caps"),
    *("mfa_enabled", "has_password", "metadata", "app_metadata", "created_at", "updated_at", "last_login_at"),
]
UNKNOWN = "usr_00000000000000000000000000"
OTHER = "other@mail.com"


def admin_token(client: Client, app: App) -> str:
    """The access token of a fresh admin."""
    user_id = client.register("admin@mail.com")["user"]["id"]
    users.change_roles(app.core, user_id, CLI, grant=["admin"])
    token: str = client.login("admin@mail.com")["access_token"]
    return token


def without_ids(answer: Answer) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
    """What an answer tells, apart from what differs between any two answers."""
    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status, body, [pair for pair in answer.headers if pair[0] not in {"X-Request-Id", "RateLimit"}]


def test_the_user_has_exactly_the_members_of_the_contract(client: Client) -> None:
    """No member is missing, and nothing else, such as a hash, is there."""
    answer = client.get("/user", token=client.register()["access_token"])
    assert list(answer.json()) == MEMBERS
    assert b"argon2" not in answer.body
    assert answer["id"].startswith("usr_")
    assert (answer["created_at"], answer["updated_at"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.000Z")


def test_the_same_user_is_shown_everywhere(client: Client) -> None:
    """/user, /user/:id and the token answers agree."""
    answer = client.register()
    token, user = answer["access_token"], answer["user"]
    assert client.get("/user", token=token).json() == user
    assert client.get(f"/user/{user['id']}", token=token).json() == user
    assert client.login()["user"] == user


def test_reading_changes_nothing(client: Client, app: App) -> None:
    """A read leaves no event and no new version."""
    token = client.register()["access_token"]
    etags = {client.get("/user", token=token).header("ETag") for _ in range(3)}
    assert len(etags) == 1
    assert actions(app) == ["user.registered"]


def test_a_cookie_reads_the_user_too(app: App) -> None:
    """The access cookie is a credential; where a header is there as well, the header alone counts."""
    client = Client(app, keep_cookies=True)
    mine = client.register(options={"setCookie": True})["user"]
    assert client.get("/user").json() == mine
    other = Client(app).register(OTHER)
    assert client.get("/user", token=other["access_token"])["email"] == OTHER
    assert client.get("/user", token="nonsense").code == "invalid_token"


@pytest.mark.parametrize("path", ["/user", f"/user/{UNKNOWN}"])
def test_strangers_must_sign_in_first(client: Client, path: str) -> None:
    """401 with a challenge, for any id."""
    answer = client.get(path)
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert answer.header("WWW-Authenticate") == 'Bearer realm="authsvc"'


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_foreign_id_and_an_unknown_id_are_the_same_404(client: Client, method: str) -> None:
    """Who may not see an account cannot tell whether it exists, by body or headers."""
    token = client.register()["access_token"]
    foreign = client.register(OTHER)["user"]["id"]
    body = {"name": "Eve"} if method == "PUT" else None
    seen = [without_ids(client.call(method, f"/user/{user_id}", body, token=token)) for user_id in (foreign, UNKNOWN, "x", "usr_'--")]
    assert seen[0][:2] == (404, seen[0][1])
    assert seen[0][1]["code"] == "not_found"
    assert all(other == seen[0] for other in seen)


def test_a_stranger_changes_nothing_of_another(client: Client, app: App) -> None:
    """The 404 is not a lie: nothing was written."""
    token = client.register()["access_token"]
    victim = client.register(OTHER)
    client.put(f"/user/{victim['user']['id']}", {"name": "Eve"}, token=token)
    assert client.get("/user", token=victim["access_token"]).json() == victim["user"]
    assert "user.updated" not in actions(app)


def test_an_admin_sees_and_changes_others(client: Client, app: App) -> None:
    """`users:read` and `users:write` open other accounts; an unknown id is a plain 404."""
    victim = client.register(OTHER)["user"]
    token = admin_token(client, app)
    assert client.get(f"/user/{victim['id']}", token=token).json() == victim
    me = client.get("/user", token=token)
    assert (me["roles"], me["caps"]) == (["admin", "user"], ["*"])
    assert client.get(f"/user/{me['id']}", token=token).json() == me.json()
    changed = client.put(f"/user/{victim['id']}", {"name": "Ann"}, token=token)
    assert (changed.status, changed["name"], changed["roles"]) == (200, "Ann", ["user"])
    assert client.get(f"/user/{UNKNOWN}", token=token).code == "not_found"
    assert client.put(f"/user/{UNKNOWN}", {"name": "Ann"}, token=token).code == "not_found"
    updates = [(row["actor_id"] != victim["id"], row["subject"]) for row in event_rows(app) if row["action"] == "user.updated"]
    assert updates == [(True, victim["id"])]


def test_a_grant_counts_at_the_next_sign_in_and_ends_older_tokens(client: Client, app: App) -> None:
    """Roles and caps are those of now; a token from before a change of roles is refused."""
    before = client.register()
    users.change_roles(app.core, before["user"]["id"], CLI, grant=["admin"])
    assert client.get("/user", token=before["access_token"]).code == "invalid_token"
    after = client.refresh(before["refresh_token"])
    assert (after["user"]["roles"], after["user"]["caps"]) == (["admin", "user"], ["*"])
    assert client.get("/user", token=after["access_token"]).json() == after["user"]


def test_a_change_is_partial(client: Client, world: FakeWorld, app: App) -> None:
    """Absent fields stay; the answer is the changed User; one event names the fields, not their values."""
    answer = client.register(name="Ann", locale="en", metadata={"a": 1})
    token, user = answer["access_token"], answer["user"]
    world.advance(5)
    changed = client.put(f"/user/{user['id']}", {"picture": "https://example.com/a.png", "name": "Bob"}, token=token)
    assert changed.status == 200
    assert changed.json() == user | {"picture": "https://example.com/a.png", "name": "Bob", "updated_at": "2027-01-15T08:00:05.000Z"}
    assert client.get("/user", token=token).json() == changed.json()
    (row,) = [row for row in event_rows(app) if row["action"] == "user.updated"]
    assert json.loads(row["data"]) == {"fields": ["name", "picture"]}


@pytest.mark.parametrize("field", ["name", "locale", "picture"])
def test_null_clears(client: Client, field: str) -> None:
    """A null takes the value away and touches nothing else."""
    answer = client.register(name="Ann", locale="en", metadata={"a": 1})
    path, token = f"/user/{answer['user']['id']}", answer["access_token"]
    client.put(path, {"picture": "https://example.com/a.png"}, token=token)
    before = client.get("/user", token=token).json()
    cleared = client.put(path, {field: None}, token=token)
    assert cleared.json() == before | {field: None}


def test_metadata_is_replaced_whole(client: Client) -> None:
    """A new object takes the old one's place; an empty one empties it; null is no object."""
    answer = client.register(metadata={"a": 1, "b": {"c": [None, True, "é"]}})
    path, token = f"/user/{answer['user']['id']}", answer["access_token"]
    assert client.put(path, {"metadata": {"d": 2}}, token=token)["metadata"] == {"d": 2}
    assert client.put(path, {"metadata": {}}, token=token)["metadata"] == {}
    assert client.put(path, {"metadata": None}, token=token).status == 422


def test_an_empty_change_is_no_change(client: Client, app: App) -> None:
    """`{}` answers with the user as it is: no event, no new version."""
    answer = client.register()
    before = client.get("/user", token=answer["access_token"])
    after = client.put(f"/user/{answer['user']['id']}", {}, token=answer["access_token"])
    assert (after.status, after.json(), after.header("ETag")) == (200, before.json(), before.header("ETag"))
    assert "user.updated" not in actions(app)


@pytest.mark.parametrize("size", [4_096, 4_097])
@pytest.mark.parametrize("char", ["x", "é"])
def test_metadata_has_at_most_4_kib(client: Client, size: int, char: str) -> None:
    """Counted in bytes of its JSON, as UTF-8; at register as at PUT; what is refused is not stored."""
    answer = client.register()
    path, token = f"/user/{answer['user']['id']}", answer["access_token"]
    room = size - len(b'{"a":""}')
    count, rest = divmod(room, len(char.encode()))
    metadata = {"a": char * count + "x" * rest}
    put = client.put(path, {"metadata": metadata}, token=token)
    registered = client.post("/register", {"email": OTHER, "metadata": metadata})
    if size == 4_096:
        assert (put.status, put["metadata"], registered.status) == (200, metadata, 201)
    else:
        assert (put.status, [fault["code"] for fault in put["errors"]], registered.status) == (422, ["too_long"], 422)
        assert client.get("/user", token=token)["metadata"] == {}


@pytest.mark.parametrize("field", sorted({*MEMBERS} - {"name", "picture", "locale", "metadata", "email", "phone_number"}))
def test_a_reserved_field_is_forbidden_and_nothing_is_done(client: Client, app: App, field: str) -> None:
    """Naming what is not one's own to set is 403, and the fields beside it are not changed either."""
    answer = client.register()
    token = answer["access_token"]
    refused = client.put(f"/user/{answer['user']['id']}", {"name": "Eve", field: ["admin"]}, token=token)
    assert (refused.status, refused.code) == (403, "forbidden")
    assert client.get("/user", token=token).json() == answer["user"]
    assert "user.updated" not in actions(app)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"nmae": "x"}, [("nmae", "unknown_field")]),
        ({"password": "violet-harbour-92"}, [("password", "unknown_field")]),
        ({"password_hash": "x"}, [("password_hash", "unknown_field")]),
        ({"name": ""}, [("name", "too_short")]),
        ({"name": "x" * 201}, [("name", "too_long")]),
        ({"name": "a\r\nb"}, [("name", "invalid")]),
        ({"name": 7}, [("name", "wrong_type")]),
        ({"locale": "e"}, [("locale", "invalid")]),
        ({"locale": "en_US"}, [("locale", "invalid")]),
        ({"locale": "en\n"}, [("locale", "invalid")]),
        ({"picture": "javascript:alert(1)"}, [("picture", "invalid")]),
        ({"picture": "//evil.example/a"}, [("picture", "invalid")]),
        ({"picture": "https://x/\u00a0"}, [("picture", "invalid")]),
        ({"picture": "https://x/" + "a" * 2_048}, [("picture", "too_long")]),
        ({"picture": 'https://x/"><script>'}, [("picture", "invalid")]),
        ({"metadata": []}, [("metadata", "wrong_type")]),
        ({"metadata": "{}"}, [("metadata", "wrong_type")]),
        ({"name": "", "locale": "?", "x": 1}, [("locale", "invalid"), ("name", "too_short"), ("x", "unknown_field")]),
    ],
)
def test_a_wrong_value_changes_nothing(client: Client, app: App, body: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    """422 names each fault; no field of the request is stored."""
    answer = client.register(name="Ann")
    token = answer["access_token"]
    refused = client.put(f"/user/{answer['user']['id']}", {"locale": "de"} | body, token=token)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert sorted((fault["field"], fault["code"]) for fault in refused["errors"]) == faults
    assert client.get("/user", token=token).json() == answer["user"]
    assert "user.updated" not in actions(app)


def test_the_etag_names_the_version(client: Client) -> None:
    """It is a strong validator: the same on every read, another after a change, and the answer to a change has the new one."""
    answer = client.register()
    path, token = f"/user/{answer['user']['id']}", answer["access_token"]
    first = client.get(path, token=token).header("ETag")
    assert first is not None
    assert first.startswith('"')
    assert client.get("/user", token=token).header("ETag") == first
    changed = client.put(path, {"name": "Ann"}, token=token)
    assert changed.header("ETag") != first
    assert changed.header("ETag") == client.get(path, token=token).header("ETag")


@pytest.mark.parametrize("form", ["{}", "*", '"other", {}', '{}, "other"', '"a",{},"b"'])
def test_a_change_of_the_named_version_is_made(client: Client, form: str) -> None:
    """If-Match takes the current ETag, alone or in a list, or `*` (RFC 9110 section 13.1.1)."""
    answer = client.register()
    path, token = f"/user/{answer['user']['id']}", answer["access_token"]
    current = client.get(path, token=token).header("ETag")
    changed = client.put(path, {"name": "Ann"}, token=token, headers={"If-Match": form.format(current)})
    assert (changed.status, changed["name"]) == (200, "Ann")


@pytest.mark.parametrize("form", ['"other"', "W/{}", "{}x", "", "other", '"a", "b"', '"a", W/{}'])
def test_a_change_of_another_version_is_not_made(client: Client, app: App, form: str) -> None:
    """412 `precondition_failed` when If-Match does not name the current version by the strong comparison."""
    answer = client.register()
    path, token = f"/user/{answer['user']['id']}", answer["access_token"]
    current = client.get(path, token=token).header("ETag")
    refused = client.put(path, {"name": "Ann"}, token=token, headers={"If-Match": form.format(current)})
    assert (refused.status, refused.code) == (412, "precondition_failed")
    assert client.get(path, token=token)["name"] is None
    assert "user.updated" not in actions(app)


def test_of_two_changes_from_one_version_one_is_made(client: Client) -> None:
    """Who read before somebody else's change is told, and does not undo it."""
    answer = client.register()
    path, token = f"/user/{answer['user']['id']}", answer["access_token"]
    etag = str(client.get(path, token=token).header("ETag"))
    assert client.put(path, {"name": "First"}, token=token, headers={"If-Match": etag}).status == 200
    assert client.put(path, {"name": "Second"}, token=token, headers={"If-Match": etag}).status == 412
    assert client.get(path, token=token)["name"] == "First"


def test_a_change_by_cookie_from_a_foreign_site_is_refused(app: App) -> None:
    """The browser's cookies do not serve a foreign page; without Origin and fetch metadata it is no browser, and passes."""
    client = Client(app, keep_cookies=True)
    path = f"/user/{client.register(options={'setCookie': True})['user']['id']}"
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.put(path, {"name": "Eve"}, headers=headers).code == "csrf_failed"
    assert client.get("/user")["name"] is None
    assert client.put(path, {"name": "Ann"}, headers={"Origin": "http://127.0.0.1:8000"})["name"] == "Ann"
    assert client.put(path, {"name": "Bob"})["name"] == "Bob"
