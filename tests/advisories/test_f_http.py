"""F1, F2, F4, F5, F14, E3 and E5 as the app itself sees them; what a server in front makes of bytes is tests/wire."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.events import CLI
from authsvc.flows import removal, users
from authsvc.problems import KINDS
from authsvc.routes import ROUTES
from authsvc.rules.access import EVERYTHING
from tests.http.bare import Bare
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running

UNKNOWN_USER = "usr_00000000000000000000000000"
UNKNOWN_SESSION = "ses_00000000000000000000000000"

HOSTILE_BODIES = {
    "over the cap": b'{"email":"' + b"x" * 65_536 + b'"}',
    "far over the cap": b'{"email":"' + b"x" * 5_000_000 + b'"}',
    "6,000 keys": json.dumps({f"k{number}": 0 for number in range(6_000)}, separators=(",", ":")).encode(),
    "6,000 keys of options": json.dumps({"options": {f"k{number}": 0 for number in range(6_000)}}, separators=(",", ":")).encode(),
    "30,000 deep list": b'{"email":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep objects": b'{"email":' * 6_500 + b"1" + b"}" * 6_500,
    "unclosed": b"[" * 65_000,
    "NaN": b'{"email":NaN}',
    "Infinity": b'{"email":-Infinity}',
    "huge float": b'{"email":1e400}',
    "huge int": b'{"email":' + b"9" * 60_000 + b"}",
    "duplicate keys": b'{"email":"a@b.co","email":"c@d.co"}',
    "escaped duplicate": b'{"email":"a@b.co","\\u0065mail":"c@d.co"}',
    "byte order mark": b'\xef\xbb\xbf{"email":"a@b.co"}',
    "UTF-16": '{"email":"a@b.co"}'.encode("utf-16"),
    "UTF-32": '{"email":"a@b.co"}'.encode("utf-32-be"),
    "not UTF-8": b'{"email":"\xff@b.co"}',
    "overlong UTF-8": b'{"email":"\xc0\xae@b.co"}',
    "surrogate in UTF-8": b'{"email":"\xed\xa0\x80@b.co"}',
    "lone surrogate value": b'{"email":"\\ud800@b.co"}',
    "lone surrogate key": b'{"\\ud800":1}',
    "lone surrogate nested key": b'{"email":"a@b.co","options":{"\\udfff":1}}',
    "lone surrogate in metadata": b'{"email":"a@b.co","metadata":{"\\ud800":"\\udfff"}}',
    "lone surrogate password": b'{"email":"a@b.co","password":"' + b"\\ud800" * 9 + b'"}',
    "lone surrogate token": b'{"refresh_token":"\\ud800"}',
    "NUL byte": b'{"email":"a\x00@b.co"}',
    "NUL escape": b'{"email":"a\\u0000@b.co","name":"\\u0000"}',
    "prototype": b'{"__proto__":{"admin":true},"__class__":1}',
    "scalar": b"0",
    "empty key": b'{"":""}',
}
SQL = [
    "'",
    "''",
    '"',
    "';--",
    "' OR '1'='1",
    "' UNION SELECT password_hash FROM users--",
    "'); DROP TABLE users;--",
    "x' AND 1=(SELECT 1 FROM sqlite_master)--",
    ":value",
    ":id",
    "?",
    "?1",
    "@x",
    "$x",
    "%",
    "_",
    "\\",
    "\x00",
    "1;ATTACH DATABASE 'x.db' AS x",
]


@dataclass(frozen=True)
class Shared:
    """An app without limits for requests that must leave nothing behind, and a token of one account."""

    app: App
    token: str
    path: str


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """One app for the long tables below."""
    with running(tmp_path_factory.mktemp("shared"), **dict.fromkeys((f"limit_{name}" for name in LIMITS), "0")) as app:
        registered = Client(app).register("shared@mail.com")
        yield Shared(app, registered["access_token"], f"/user/{registered['user']['id']}")


def check_refusal(answer: Answer) -> None:
    """A 4xx problem of a known code, no larger than the largest request."""
    assert 400 <= answer.status < 500, answer.body[:200]
    assert answer.status in {400, KINDS[answer.code].status}
    assert len(answer.body) <= 65_536


def log(app: App) -> list[str]:
    """The lines that were logged."""
    assert isinstance(app.core.world, FakeWorld)
    return app.core.world.lines


def rows(app: App, sql: str) -> list[Any]:
    """What a connection of our own reads."""
    connection = sqlite3.connect(app.core.store.path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("name", HOSTILE_BODIES)
@pytest.mark.parametrize("path", ["/register", "/login", "/token/refresh"])
def test_f1_a_hostile_body_is_a_small_4xx(shared: Shared, path: str, name: str) -> None:
    """Whatever the bytes, the answer is a documented refusal of bounded size, nobody gets in and no account is made."""
    before = actions(shared.app)
    check_refusal(Client(shared.app).call("POST", path, raw=HOSTILE_BODIES[name]))
    assert actions(shared.app) == before
    assert len(rows(shared.app, "SELECT 1 FROM users")) == 1
    assert "Traceback" not in str(log(shared.app))


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_f1_a_hostile_body_changes_no_account(shared: Shared, name: str) -> None:
    """The same for those who are signed in."""
    client, before = Client(shared.app), actions(shared.app)
    user = client.get("/user", token=shared.token).json()
    check_refusal(client.call("PUT", shared.path, raw=HOSTILE_BODIES[name], token=shared.token))
    assert client.get("/user", token=shared.token).json() == user
    assert actions(shared.app) == before


@pytest.mark.parametrize("length", ["-1", "+2", "2.0", "0x2", "2,2", " ", "two", "٢", "9" * 23, "1" * 5_000, "3", "65536"])
def test_f1_a_lying_content_length_is_a_4xx(shared: Shared, length: str) -> None:
    """A length that is no number, too large, or longer than the body is refused, never waited for."""
    before = actions(shared.app)
    check_refusal(Bare(shared.app).call("POST", "/register", raw=b"{}", environ={"CONTENT_LENGTH": length}))
    assert actions(shared.app) == before


def test_f1_a_length_with_leading_zeros_is_the_same_length(app: App) -> None:
    """A filter in front and the app read one number, so neither sees a body where the other sees none."""
    raw = json.dumps({"email": EMAIL, "password": PASSWORD}).encode()
    answer = Bare(app).call("POST", "/register", raw=raw, environ={"CONTENT_LENGTH": "0" * 30 + str(len(raw))})
    assert answer.status == 201


def test_f1_metadata_cannot_hide_depth_or_size(client: Client) -> None:
    """The free-form field is bounded by the same depth and by 4 KiB."""
    registered = client.register()
    path, token = f"/user/{registered['user']['id']}", registered["access_token"]
    nested: Any = 1
    for _ in range(32):
        nested = {"a": nested}
    assert client.put(path, {"metadata": nested}, token=token).code == "invalid_json"
    assert client.put(path, {"metadata": {"a": 10**4_200}}, token=token).code == "invalid_request"
    assert client.put(path, {"metadata": nested["a"]}, token=token).status == 200
    assert client.put(path, {"metadata": {"a": 10**4_000, "b": 1e308, "c": -0.0}}, token=token).status == 200
    assert client.get("/user", token=token)["metadata"]["a"] == 10**4_000


@pytest.mark.parametrize(
    "path",
    [
        "/x/../user",
        "/user/../login",
        "/./user",
        "//user",
        "/user//",
        "/user;a=b",
        "/user\x00",
        "/user%00",
        "/user%2f",
        "\\user",
        "/\\user",
        "/user\\",
        "/USER",
        "/user ",
        " /user",
        "/user\t",
        "/user\n",
        "http://127.0.0.1/user",
        "user",
        "",
        "*",
        "/%75ser",
        "/..;/user",
        "/user?",
        "/user#x",
    ],
    ids=ascii,
)
def test_f2_what_resembles_a_path_is_no_route(shared: Shared, path: str) -> None:
    """Dot segments, doubled and backward slashes, suffixes, controls and second decodings are 404, with good credentials too."""
    client, before = Bare(shared.app), actions(shared.app)
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = client.call(method, "/", token=shared.token, environ={"PATH_INFO": path})
        assert answer.status == 404, (method, answer.body)
    assert actions(shared.app) == before


@pytest.mark.parametrize("variable", ["REQUEST_URI", "RAW_URI"])
@pytest.mark.parametrize(
    ("target", "decoded"),
    [("/problems%2Fnot_found", "/problems/not_found"), ("/sessions%2f" + UNKNOWN_SESSION, "/sessions/" + UNKNOWN_SESSION)],
)
def test_f2_an_encoded_slash_opens_no_route(shared: Shared, variable: str, target: str, decoded: str) -> None:
    """Where the host hands over the target as sent, %2F is no slash: a filter in front that saw one segment was right."""
    client = Bare(shared.app)
    answer = client.call("GET", decoded, token=shared.token, environ={variable: target})
    assert (answer.status, answer.code) == (404, "not_found")
    assert client.get("/problems/not_found", environ={variable: "/problems/not_found?x=%2F"}).status == 200


@pytest.mark.parametrize(
    "value",
    ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\x00b", "\x1b]0;x\x07", "\xff\xfe", "x" * 65_536, ""],
    ids=lambda value: ascii(value)[:20],
)
@pytest.mark.parametrize(
    "header",
    [
        "X-Request-Id",
        "Origin",
        "User-Agent",
        "Authorization",
        "Cookie",
        "If-Match",
        "Host",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Sec-Fetch-Site",
        "Accept",
        "Referer",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Content-Language",
    ],
)
def test_f2_no_request_header_reaches_an_answer(shared: Shared, header: str, value: str) -> None:
    """Whatever a header holds, the answer is no fault of ours, has no header from it, and the log keeps its lines."""
    client = Bare(shared.app)
    before = len(log(shared.app))
    calls = [("GET", "/user"), ("PUT", "/user/x"), ("OPTIONS", "/user"), ("GET", "/nowhere"), ("GET", "/token/refresh")]
    for method, path in calls:
        answer = client.call(method, path, token=shared.token, headers={header: value})
        assert answer.status < 500
        assert "evil" not in str(answer.headers).lower()
    lines = log(shared.app)[before:]
    assert len(lines) == len(calls)
    assert all(line.isprintable() and len(line) < 300 for line in lines)


def test_f2_the_host_header_is_nowhere(client: Client) -> None:
    """Links, issuer and cookies come from the public URL alone."""
    poison = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.example;proto=https",
    }
    environ = {"SERVER_NAME": "evil.example", "wsgi.url_scheme": "https"}
    answers = [
        client.post("/register", {"email": EMAIL, "options": {"setCookie": True}}, headers=poison, environ=environ),
        client.get("/nowhere", headers=poison, environ=environ),
        client.get("/token/revoke", headers=poison, environ=environ),
    ]
    assert all("evil" not in f"{answer.headers}{answer.body!r}" for answer in answers)
    assert all("; Secure" not in cookie for answer in answers for cookie in answer.header_list("Set-Cookie"))
    assert answers[1]["type"].startswith("http://127.0.0.1:8000/")


FORWARDING = {
    "X-Forwarded-For": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "X-Client-IP": "203.0.113.9",
    "CF-Connecting-IP": "203.0.113.9",
    "True-Client-IP": "203.0.113.9",
    "X-Forwarded": "203.0.113.9",
}


def seen_ip(client: Client, headers: dict[str, str]) -> str:
    """The address that a sign-in is remembered by."""
    answer = client.post("/register", {"email": f"user{len(event_rows(client.app))}@mail.com"}, headers=headers)
    assert answer.status == 201
    (item,) = client.get("/sessions", token=answer["access_token"])["items"]
    assert item["ip"] == event_rows(client.app)[-1]["ip"]
    ip: str = item["ip"]
    return ip


@pytest.mark.parametrize("header", FORWARDING)
def test_f4_forwarding_headers_from_strangers_are_ignored(client: Client, header: str) -> None:
    """Session, audit and limits use the peer's own address."""
    assert seen_ip(client, {header: FORWARDING[header]}) == "192.0.2.1"


@pytest.mark.parametrize("header", sorted(FORWARDING.keys() - {"X-Forwarded-For"}))
def test_f4_a_declared_proxy_speaks_by_one_header_only(tmp_path: Path, header: str) -> None:
    """Only X-Forwarded-For is believed; a client could have sent the others through the proxy."""
    with running(tmp_path, trusted_proxies="192.0.2.0/24") as app:
        assert seen_ip(Client(app), {header: FORWARDING[header]}) == "192.0.2.1"
        assert seen_ip(Client(app), {"X-Forwarded-For": "203.0.113.77", header: FORWARDING[header]}) == "203.0.113.77"


@pytest.mark.parametrize(
    ("forwarded", "ip"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 192.0.2.44", "203.0.113.9"),
        ("[2001:db8::7]:443, 192.0.2.44:80", "2001:db8::7"),
        ("203.0.113.9, " * 2_000 + "198.51.100.3", "198.51.100.3"),
        ("203.0.113.9\r\n2027-01-15 fake line", "192.0.2.1"),
        ("'; DROP TABLE sessions;--", "192.0.2.1"),
        ("203.0.113.9, <script>", "192.0.2.1"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_f4_behind_a_declared_proxy_the_right_hop_counts(tmp_path: Path, forwarded: str, ip: str) -> None:
    """The nearest address that is no declared proxy's; nonsense ends the chain."""
    with running(tmp_path, trusted_proxies="192.0.2.0/24") as app:
        assert ip == seen_ip(Client(app), {"X-Forwarded-For": forwarded})


def test_f4_a_forged_hop_does_not_escape_the_limits(tmp_path: Path) -> None:
    """Behind a proxy or not, changing what one claims opens no new bucket."""
    for number, proxies in enumerate(("", "192.0.2.1/32")):
        (tmp_path / str(number)).mkdir()
        with running(tmp_path / str(number), trusted_proxies=proxies, limit_register="2/60s") as app:
            client = Client(app)
            statuses = [
                client.post(
                    "/register", {"email": f"user{turn}@mail.com"}, headers={"X-Forwarded-For": f"10.0.{turn}.1, 203.0.113.9"}
                ).status
                for turn in range(4)
            ]
            assert statuses == [201, 201, 429, 429]
            neighbour = client.post("/register", {"email": "n@mail.com"}, headers={"X-Forwarded-For": "198.51.100.1"})
            assert neighbour.status == (201 if proxies else 429)


@pytest.mark.parametrize("text", SQL, ids=ascii)
def test_f5_sql_in_a_body_is_text(client: Client, app: App, text: str) -> None:
    """In every string of every body: refused as text or stored as it is, and the tables stand."""
    bystander = client.register("bystander@mail.com")
    for field in ("email", "password", "name", "locale", "phone_number"):
        answer = client.post("/register", {"email": "o'brien@mail.com", "password": PASSWORD, field: text})
        assert answer.status in {201, 409, 422}
    metadata = {text: [text, {text: text}]}
    registered = client.register("meta@mail.com", metadata=metadata)
    assert client.get("/user", token=registered["access_token"])["metadata"] == metadata
    for body in (
        {"email": text, "password": PASSWORD},
        {"email": EMAIL, "password": text},
        {"email": "bystander@mail.com", "password": text * 9},
    ):
        assert client.post("/login", body).status in {401, 422}
    assert client.post("/token/refresh", {"refresh_token": text}).status == 401
    assert client.post("/token/revoke", {"token": text, "token_type_hint": text}).status == 200
    token, path = registered["access_token"], f"/user/{registered['user']['id']}"
    renamed = client.put(path, {"name": f"a{text}b"}, token=token)
    assert (renamed.status, renamed["name"]) == (200, f"a{text}b") if "\0" not in text else renamed.status == 422
    assert client.put(path, {"locale": text, "picture": text}, token=token).status == 422
    assert client.post("/reauthenticate", {"password": text}, token=token).status in {401, 422}
    assert client.get("/user", token=bystander["access_token"]).json() == bystander["user"]


@pytest.mark.parametrize("text", SQL, ids=ascii)
def test_f5_sql_in_a_path_query_or_header_is_text(app: App, text: str) -> None:
    """In every parameter and header that is looked up or kept: not found or refused, never more rows than one's own."""
    client = Bare(app)
    admin_id = client.register("admin@mail.com")["user"]["id"]
    users.change_roles(app.core, admin_id, CLI, grant=["admin"])
    token = client.login("admin@mail.com")["access_token"]
    for method, path in (("GET", "/user/"), ("PUT", "/user/"), ("DELETE", "/sessions/"), ("GET", "/problems/")):
        assert client.call(method, path, token=token, environ={"PATH_INFO": path + text}).status == 404
    for query in (f"cursor={quote(text)}", f"limit={quote(text)}", f"{quote(text)}=1"):
        assert client.get(f"/sessions?{query}", token=token).status == 422
    assert client.delete(f"/sessions?all={quote(text)}", token=token).status == 422
    assert client.put(f"/user/{admin_id}", {"name": "x"}, token=token, headers={"If-Match": text}).status == 412
    assert client.get("/user", headers={"Authorization": f"Bearer {text}"}).status in {400, 401}
    assert client.get("/user", headers={"Cookie": f"authsvc_access={text}"}).status == 401
    for header in ("X-Request-Id", "User-Agent", "X-Forwarded-For"):
        assert client.post("/login", {"email": "admin@mail.com", "password": PASSWORD}, headers={header: text}).status == 200
    assert client.get("/user", token=token)["name"] is None
    assert len(rows(app, "SELECT 1 FROM users")) == 1


def test_f5_an_address_that_is_sql_and_valid_is_one_account(client: Client, app: App) -> None:
    """Quotes and wildcards are allowed before the @ and match nothing but themselves."""
    for email in ("o'brien'--@mail.com", "%@mail.com", "_@mail.com", "'or'1'='1@mail.com"):
        assert client.register(email)["user"]["email"] == email
        assert client.login(email).status == 200
    assert client.login("o'brien'--@mail.com", "wrong-password-1").status == 401
    assert client.login("a@mail.com").status == 401
    assert len(rows(app, "SELECT 1 FROM users")) == 4


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1", "HTTP/0.9", "HTTP/2"])
def test_f14_old_clients_get_whole_answers(client: Client, protocol: str) -> None:
    """Any protocol version, no Host, no headers at all: an answer with its length, and no chunking that 1.0 cannot read."""
    for path, status in (("/healthz", 200), ("/user", 401), ("/nowhere", 404)):
        answer = client.get(path, environ={"SERVER_PROTOCOL": protocol})
        assert (answer.status, answer.header("Content-Length")) == (status, str(len(answer.body)))
        assert answer.header("Transfer-Encoding") is None
        assert answer.header("Connection") is None


def test_f14_a_head_of_any_refusal_has_no_body(client: Client) -> None:
    """HEAD answers with GET's length and nothing behind it, also for 401, 404 and 405."""
    for path, status in (("/user", 401), ("/nowhere", 404), ("/reauthenticate", 405)):
        answer = client.call("HEAD", path)
        assert (answer.status, answer.body) == (status, b"")
        assert int(str(answer.header("Content-Length"))) > 0


SIGNED_IN = [route for route in ROUTES if route.who.signed_in]


@pytest.mark.parametrize("end", ["disabled", "deleted", "disabled and enabled"])
@pytest.mark.parametrize("route", SIGNED_IN, ids=lambda route: f"{route.method} {route.path}")
def test_e3_credentials_of_an_ended_account_are_refused_at_once(client: Client, app: App, route: Any, end: str) -> None:
    """Access token by header and cookie on every route: `invalid_token`, from the first request on, and nothing is done."""
    answer = client.register()
    user_id, token = answer["user"]["id"], answer["access_token"]
    end_account(app, user_id, end)
    before = actions(app)
    path = route.path.replace(":user_id", user_id).replace(":session_id", answer["session_id"])
    for credential in ({"token": token}, {"headers": {"Cookie": f"authsvc_access={token}"}}):
        refused = client.call(route.method, path, **credential)
        assert (refused.status, refused.code) == (401, "invalid_token")
    assert actions(app) == before


@pytest.mark.parametrize(
    ("end", "login"), [("disabled", (403, "account_disabled")), ("deleted", (401, "invalid_credentials")), ("disabled and enabled", None)]
)
def test_e3_an_ended_account_can_neither_refresh_nor_sign_in(client: Client, app: App, end: str, login: tuple[int, str] | None) -> None:
    """Refresh tokens are over for good; the password counts only once the account is enabled again."""
    answer = client.register()
    end_account(app, answer["user"]["id"], end)
    for _ in range(2):
        refused = client.refresh(answer["refresh_token"])
        assert (refused.status, refused.code) == (401, "invalid_token")
    again = client.login()
    assert again.status == 200 if login is None else (again.status, again.code) == login
    wrong = client.login(password="wrong-password-1")
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")


def test_e3_a_new_account_of_the_same_address_inherits_nothing(client: Client, app: App) -> None:
    """Old tokens stay refused after the address is registered again, and the new account has no roles."""
    old = client.register()
    users.change_roles(app.core, old["user"]["id"], CLI, grant=["admin"])
    old = client.login()
    client.register("second@mail.com")
    users.change_roles(app.core, client.login("second@mail.com")["user"]["id"], CLI, grant=["admin"])
    removal.delete(app.core, old["user"]["id"], CLI, EVERYTHING)
    new = client.register()
    assert new["user"]["id"] != old["user"]["id"]
    assert (new["user"]["roles"], new["user"]["caps"]) == (["user"], [])
    assert client.get("/user", token=old["access_token"]).code == "invalid_token"
    assert client.refresh(old["refresh_token"]).code == "invalid_token"
    assert [item["id"] for item in client.get("/sessions", token=new["access_token"])["items"]] == [new["session_id"]]


def end_account(app: App, user_id: str, end: str) -> None:
    """Disable or delete an account as an administrator would."""
    if end == "deleted":
        removal.delete(app.core, user_id, CLI, EVERYTHING)
        return
    users.set_status(app.core, user_id, "disabled", CLI)
    if end == "disabled and enabled":
        users.set_status(app.core, user_id, "active", CLI)


LOG_POISON = [
    "a\nforged 200 line",
    "a\r\nforged",
    "a\x1b[2J",
    "a\x00b",
    "a\u0085b",
    "a\x9b31m",
    "\t\t",
    "=cmd|'/c calc'!A1",
    "x" * 30_000,
    '","status":200,"x":"',
]


LOGGED: dict[str, Callable[[str], dict[str, str]]] = {
    "user agent": lambda value: {"HTTP_USER_AGENT": value},
    "request id": lambda value: {"HTTP_X_REQUEST_ID": value},
    "forwarded for": lambda value: {"HTTP_X_FORWARDED_FOR": value},
    "referer": lambda value: {"HTTP_REFERER": value},
    "cookie": lambda value: {"HTTP_COOKIE": f"authsvc_access={value}"},
    "path parameter": lambda value: {"PATH_INFO": "/user/" + value},
    "path": lambda value: {"PATH_INFO": value},
    "query": lambda value: {"QUERY_STRING": value},
    "method": lambda value: {"REQUEST_METHOD": value},
    "peer": lambda value: {"REMOTE_ADDR": value},
    "protocol": lambda value: {"SERVER_PROTOCOL": value},
}


@pytest.mark.parametrize("form", ["text", "json"])
def test_e5_one_request_is_one_clean_line(tmp_path: Path, form: str) -> None:
    """User agent, request id, path, method, address and query cannot add a line, a column, a control or bulk to the log."""
    with running(tmp_path, log=form, trusted_proxies="192.0.2.0/24") as app:
        for environ in (variable(value) for variable in LOGGED.values() for value in LOG_POISON):
            before = len(log(app))
            answer = Bare(app).call("GET", "/user", environ=environ)
            assert answer.status < 500
            (line,) = log(app)[before:]
            assert line.isascii()
            assert line.isprintable()
            assert len(line) < 400
            assert "forged" not in line
            if form == "json":
                assert list(json.loads(line)) == ["ts", "level", "event", "request_id", "status", "method", "route", "ms", "ip", "caller"]
                assert json.loads(line)["status"] == answer.status
            else:
                assert len(line.split(" ")) == 8
                assert line.split(" ")[1] == str(answer.status)


@pytest.mark.parametrize("value", LOG_POISON, ids=lambda value: ascii(value)[:20])
def test_e5_what_the_audit_keeps_is_clean_and_short(app: App, value: str) -> None:
    """User agent, request id and address of an event are printable, bounded, and in their own columns."""
    client = Bare(app)
    headers = {"User-Agent": value, "X-Request-Id": value, "X-Forwarded-For": value}
    client.post("/register", {"email": EMAIL, "password": PASSWORD}, headers=headers)
    client.call("POST", "/login", {"email": EMAIL, "password": "wrong-password-1"}, headers=headers)
    found = event_rows(app)
    assert [row["action"] for row in found] == ["user.registered", "login.failed"]
    for row in found:
        assert row["user_agent"].isprintable()
        assert row["user_agent"].isascii()
        assert len(row["user_agent"]) <= 256
        assert row["request_id"] != value
        assert row["ip"] == "192.0.2.1"
        assert json.loads(row["data"]) in ({}, {"reason": "credentials"})


def test_e5_the_log_holds_no_path_and_no_secret(client: Client, app: App) -> None:
    """Lines name the route's pattern; ids in paths, tokens, passwords, cookies and queries are not there."""
    answer = client.register(password="tangerine-sundial-8")
    token, refresh, user_id = answer["access_token"], answer["refresh_token"], answer["user"]["id"]
    client.get(f"/user/{UNKNOWN_USER}?token={token}", token=token)
    client.get(f"/nowhere/{token}")
    client.get("/token/refresh", headers={"Cookie": f"authsvc_refresh={refresh}"})
    client.post("/login", {"email": EMAIL, "password": "wrong-password-1"})
    client.get("/token/revoke", token=refresh)
    text = "\n".join(log(app))
    assert "/user/:user_id" in text
    assert user_id in text
    for secret in (token, refresh, refresh.split(".")[2], UNKNOWN_USER, "tangerine", "wrong-password", "nowhere", "token="):
        assert secret not in text
