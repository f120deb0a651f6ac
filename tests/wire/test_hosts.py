"""The same session under every host: `authsvc serve`, others with several workers, a mount point, inside another app."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from waitress.server import create_server

from authsvc import create_app
from authsvc.world import World
from tests.delivery import FROM, crowd, recipients
from tests.letterbox import BROWSER, UNLIMITED
from tests.mailserver import MailServer, Slow, mail_server
from tests.support import CHEAP, EMAIL, PASSWORD, Answer, Client, actions, running
from tests.wire.hosts import HOSTS, MOUNT, TIMER, hosted, links
from tests.wire.servers import HOST, Server, one_answer, received

LOGIN = b'{"email":"nobody@mail.com","password":"wrong-password-1"}'
WELCOME = {"password": PASSWORD, "options": {"sendEmail": True}}
ENDS = ("serve", "gunicorn", "gunicorn, preloaded", "granian", "uwsgi", "cheroot")  # each ends its processes in its own way


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Where the mail of all hosts goes."""
    with mail_server(tmp_path_factory.mktemp("mail")) as mailbox:
        yield mailbox


@pytest.fixture(scope="module", params=HOSTS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mailbox: MailServer) -> Iterator[Server]:
    """Each host in turn."""
    settings = {"AUTHSVC_LIMIT_REGISTER": "0", "AUTHSVC_LIMIT_LOGIN_DELAY": "0", "AUTHSVC_MAIL": mailbox.url(), "AUTHSVC_MAIL_FROM": FROM}
    with hosted(HOSTS[request.param], tmp_path_factory.mktemp("host"), **settings) as server:
        yield server


def signed_up(server: Server, email: str) -> str:
    """The access token of a new account."""
    token: str = server.call("POST", "/register", {"email": email, "password": PASSWORD}).json()["access_token"]
    return token


def cookies_of(answer: Answer) -> dict[str, tuple[str, str]]:
    """The cookies that an answer sets: name to value and path."""
    parsed: SimpleCookie = SimpleCookie()
    for value in answer.header_list("Set-Cookie"):
        parsed.load(value)
    return {name: (morsel.value, morsel["path"]) for name, morsel in parsed.items()}


def test_no_log_tells_the_token_of_a_link(server: Server) -> None:
    """Neither ours nor the host's, which may write down whole paths."""
    for _ in range(3):
        assert server.call("GET", "/login/magic/lnk_OFSOMEBODY?token=OFANOTHER").status == 410
    assert [word for word in ("OFSOMEBODY", "OFANOTHER") if word in server.lines()] == []


def test_an_ordinary_session_runs(server: Server) -> None:
    """Register, log in, read, refresh, change, log out; and what was logged out is refused by every worker."""
    email = "ordinary@mail.com"
    assert server.call("POST", "/register", {"email": email, "password": PASSWORD}).status == 201
    login = server.call("POST", "/login", {"email": email, "password": PASSWORD})
    user = login.json()["user"]
    token = login.json()["access_token"]
    assert {server.call("GET", "/user", token=token).json()["id"] for _ in range(6)} == {user["id"]}
    fresh = server.call("POST", "/token/refresh", {"refresh_token": login.json()["refresh_token"]}).json()
    changed = server.call("PUT", f"/user/{user['id']}", {"name": "Ann"}, token=fresh["access_token"])
    assert (changed.status, changed.json()["name"]) == (200, "Ann")
    assert server.call("GET", "/token/revoke", token=fresh["refresh_token"]).json() == {"status": "revoked"}
    for _ in range(6):
        assert server.call("GET", "/user", token=token).status == 401
        assert server.call("POST", "/token/refresh", {"refresh_token": fresh["refresh_token"]}).status == 401
    assert server.call("POST", "/login", {"email": email, "password": PASSWORD}).status == 200


def test_a_browsers_session_runs_by_cookies(server: Server) -> None:
    """The cookies' paths are where the app is mounted, so that a browser sends each where it is wanted."""
    assert server.call("POST", "/register", {"email": "browser@mail.com", "password": PASSWORD}).status == 201
    login = server.call("POST", "/login", {"email": "browser@mail.com", "password": PASSWORD})
    cookies = cookies_of(login)
    assert cookies["authsvc_access"][1] == "/"
    assert cookies["authsvc_refresh"][1] == f"{server.prefix}/token"
    assert cookies["authsvc_device"][1] == f"{server.prefix}/login"
    assert len(cookies) == 3
    access, refresh = ({"Cookie": f"{name}={cookies[name][0]}"} for name in ("authsvc_access", "authsvc_refresh"))
    assert server.call("GET", "/user", headers=access).status == 200
    origin = {"Origin": f"http://{HOST}:{server.port}"}
    assert server.call("GET", "/token/refresh", headers=refresh | {"Origin": "https://evil.example"}).status == 403
    refreshed = server.call("GET", "/token/refresh", headers=refresh | origin)
    assert (refreshed.status, cookies_of(refreshed).keys()) == (200, cookies.keys())


def test_a_problem_names_its_page_below_the_public_url(server: Server) -> None:
    """`type` is an address that answers."""
    problem = server.call("GET", "/nowhere")
    assert problem.status == 404
    base = f"http://{HOST}:{server.port}{server.prefix}"
    assert problem.json()["type"] == f"{base}/problems/not_found"
    assert server.call("GET", "/problems/not_found").status == 200


def test_workers_share_their_limits_and_sessions(server: Server) -> None:
    """Whichever worker answers, tries for one account are counted together."""
    answers = [server.call("POST", "/login", {"email": "limited@mail.com", "password": "wrong-password-1"}) for _ in range(12)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
    assert str(answers[-1].header("Retry-After")).isdigit()


def test_many_clients_at_once_are_all_served(server: Server) -> None:
    """Sixteen threads that register, read and log out at the same time disturb nobody."""
    failures: list[object] = []

    def one(number: int) -> None:
        try:
            registered = server.call("POST", "/register", {"email": f"at-once-{number}@mail.com", "password": PASSWORD})
            token = registered.json()["access_token"]
            seen = [server.call("GET", "/user", token=token).status, server.call("GET", "/token/revoke", token=token).status]
            seen.append(server.call("GET", "/user", token=token).status)
            if (registered.status, seen) != (201, [200, 200, 401]):
                failures.append((registered.status, seen))
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_head_and_an_early_refusal_leave_the_host_in_order(server: Server) -> None:
    """HEAD, a refused body and an unknown path come back whole from any host."""
    assert server.call("HEAD", "/healthz").body == b""
    assert server.call("POST", "/login", {"email": "x" * 70_000}).status == 413
    assert server.call("POST", "/nowhere", {"a": 1}).status == 404
    assert server.call("DELETE", "/healthz").header("Allow") == "GET, HEAD, OPTIONS"


def test_a_chunked_body_is_read_or_refused_but_never_overlooked(server: Server) -> None:
    """In chunks, and slowly, it is the same request. Where the host gives no such body to the app, it is told 411."""
    with server.connect() as connection:
        connection.sendall(b"POST %b/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" % server.prefix.encode())
        connection.sendall(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for piece in (LOGIN[:7], LOGIN[7:], b"") if server.host.chunked else ():
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        answer = one_answer(connection)
    assert (answer.status, answer.code) == ((401, "invalid_credentials") if server.host.chunked else (411, "length_required"))


def test_a_body_over_the_cap_is_413_and_the_next_request_is_served(server: Server) -> None:
    """Declared and not yet sent, or in chunks without an end."""
    head = b"POST %b/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" % server.prefix.encode()
    with server.connect() as connection:
        connection.sendall(head + b"Content-Length: 70000\r\n\r\n" + b" " * 70_000)
        assert one_answer(connection).status == 413
    if server.host.chunked:
        with server.connect() as connection:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b" " * 4_096 + b"\r\n") * 35 + b"0\r\n\r\n")
            assert one_answer(connection).status == 413
    assert server.call("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"Content-Length: -1\r\n\r\n" + LOGIN,
        b"Content-Length: 999\r\n\r\n" + LOGIN,
    ],
    ids=["two framings", "no size", "another size", "no length", "cut off"],
)
def test_f1_a_body_that_is_malformed_or_broke_off_is_nobodys_fault_but_the_clients(server: Server, rest: bytes) -> None:
    """F1: by the host or by the app, 4xx or no answer at all; never a 500, and the next client is served."""
    with server.connect() as connection:
        connection.sendall(b"POST %b/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" % server.prefix.encode() + rest)
        connection.shutdown(socket.SHUT_WR)
        statuses = re.findall(rb"^HTTP/1\.[01] (\d)", received(connection), re.MULTILINE)
    assert set(statuses) <= {b"4"}
    assert server.call("GET", "/healthz").status == 200


@pytest.mark.parametrize("path", ["/./user", "/x/../user", "/x/%2e%2e/user", "//user", "/user%2f", "/user/", "/user%00"])
def test_f2_no_other_spelling_of_a_path_is_a_route(server: Server, path: str) -> None:
    """F2: whatever the host makes of it before the app sees it, what a proxy would not take for /user is not /user here."""
    token = signed_up(server, f"path-{path.encode().hex()}@mail.com")
    assert server.call("GET", "/user", token=token).status == 200
    assert server.call("GET", path, token=token).status in {400, 404}


def test_pages_and_what_they_point_to_are_below_the_mount(server: Server) -> None:
    """A browser gets a page whose every link, form and file is found where the app is mounted."""
    page = server.call("GET", "/login", headers=BROWSER)
    assert (page.status, str(page.header("Content-Type")).partition(";")[0]) == (200, "text/html")
    found = [link for link in links(page) if not link.startswith("data:")]
    assert [link for link in found if not link.startswith(f"{server.prefix}/")] == []
    paths = {link.removeprefix(server.prefix).partition("?")[0] for link in found}
    assert {"/login", "/register", "/password/forgot", "/assets/style.css"} <= paths
    assert {server.call("GET", path, headers=BROWSER).status for path in paths} <= {200, 303, 401, 405}, "and none is 404"


def test_a_page_sends_a_browser_on_below_the_mount(server: Server) -> None:
    """A form is answered by a redirect to a place that exists, with cookies that are sent there."""
    assert server.call("POST", "/register", {"email": "form@mail.com", "password": PASSWORD}).status == 201
    form = f"email=form%40mail.com&password={PASSWORD}".encode()
    headers = BROWSER | {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{HOST}:{server.port}"}
    sent = server.send("POST", "/login", form, headers)
    assert (sent.status, sent.header("Location")) == (303, f"{server.prefix}/account")
    cookies = "; ".join(f"{name}={value}" for name, (value, path) in cookies_of(sent).items() if path == "/")
    assert server.call("GET", "/account", headers=BROWSER | {"Cookie": cookies}).status == 200


def test_a_stream_comes_whole_and_in_a_coding_that_shows_when_it_does_not(server: Server) -> None:
    """The trail as lines has no length, so it comes in chunks."""
    made = server.call("POST", "/register", {"email": "lines@mail.com", "password": PASSWORD}).json()
    token = made["access_token"]
    for number in range(5):
        assert server.call("PUT", f"/user/{made['user']['id']}", {"name": f"Ann {number}"}, token=token).status == 200
    answer = server.call("GET", "/audit/logs?subject=me", token=token, headers={"Accept": "application/x-ndjson"})
    seen = [json.loads(line)["action"] for line in answer.body.splitlines()]
    assert seen == ["user.registered"] + ["user.updated"] * 5
    assert str(answer.header("Transfer-Encoding")).lower() == "chunked"
    assert answer.header("Content-Length") is None
    head = server.call("HEAD", "/audit/logs?subject=me", token=token, headers={"Accept": "application/x-ndjson"})
    assert (head.status, head.body) == (200, b"")


def test_mail_goes_out_once(server: Server, mailbox: MailServer) -> None:
    """Whichever workers took the requests, and however many of them deliver."""
    before = len(mailbox.messages)
    wanted = [f"{server.port}-{to}" for to in crowd(6)]
    for to in wanted:
        assert server.call("POST", "/register", {"email": to, **WELCOME}).status == 201
    mailbox.wait_for(before + 6)
    assert server.call("GET", "/readyz").status == 200
    assert recipients(mailbox.messages[before:]) == dict.fromkeys(wanted, 1)


def test_what_else_a_host_serves_stays_as_it_was(server: Server) -> None:
    """An app around ours keeps its own paths, and ours has none outside its mount."""
    if server.host.site is not None:
        assert server.send("GET", server.host.site, below=False).body == b"the shop"
        assert server.send("GET", "/user", below=False).status == 404
    assert server.call("GET", f"{MOUNT}/user").status == 404


@pytest.mark.parametrize("name", ENDS)
def test_a_stop_ends_deliveries_and_closes_the_database(name: str, tmp_path: Path) -> None:
    """SIGTERM while mail is under way: what was sent is noted, what was not is free at once, and all arrives once."""
    unlimited = {f"AUTHSVC_{name.upper()}": value for name, value in UNLIMITED.items()}
    with mail_server(tmp_path, behaviour=Slow(0.02)) as mailbox:
        settings = unlimited | {"AUTHSVC_MAIL": mailbox.url(), "AUTHSVC_MAIL_FROM": FROM}
        with hosted(HOSTS[name], tmp_path, **settings) as server:
            for to in crowd(20):
                assert server.call("POST", "/register", {"email": to, **WELCOME}).status == 201
        assert sorted(path.name for path in tmp_path.glob("authsvc.db-*")) == []
        with closing(sqlite3.connect(tmp_path / "authsvc.db")) as database:
            assert database.execute("SELECT count(*) FROM outbox WHERE done_at IS NULL AND lease_until > 0").fetchone() == (0,)
        with running(tmp_path, World(), mail=mailbox.url(), mail_from=FROM) as app:
            while app.tick():
                pass
        assert recipients(mailbox.messages) == dict.fromkeys(crowd(20), 1)


def test_a_hosts_timer_delivers_where_there_are_no_threads(tmp_path: Path) -> None:
    """`AUTHSVC_DELIVERY=off` and `app.tick()` from uWSGI's timer, as the README has it."""
    with mail_server(tmp_path) as mailbox:
        settings = {"AUTHSVC_DELIVERY": "off", "AUTHSVC_MAIL": mailbox.url(), "AUTHSVC_MAIL_FROM": FROM}
        with hosted(TIMER, tmp_path, **settings) as server:
            for to in crowd(3):
                assert server.call("POST", "/register", {"email": to, **WELCOME}).status == 201
            mailbox.wait_for(3)
            assert server.call("GET", "/readyz").status == 200
        assert recipients(mailbox.messages) == dict.fromkeys(crowd(3), 1)


def test_a_mounted_app_serves_below_its_mount_only(tmp_path: Path) -> None:
    """SCRIPT_NAME is not part of the path: /auth/user is /user there, and /auth/auth/user is nothing."""
    with running(tmp_path, public_url="http://127.0.0.1:8000/auth") as app:
        client = Client(app)
        mount = {"SCRIPT_NAME": "/auth"}
        answer = client.post("/register", {"email": EMAIL, "options": {"setCookie": True}}, environ=mount)
        assert cookies_of(answer)["authsvc_refresh"][1] == "/auth/token"
        assert client.get("/user", token=answer["access_token"], environ=mount)["email"] == EMAIL
        problem = client.get("/auth/user", token=answer["access_token"], environ=mount)
        assert (problem.status, problem["type"]) == (404, "http://127.0.0.1:8000/auth/problems/not_found")
        cleared = client.get("/token/revoke", token=answer["access_token"], environ=mount)
        assert "authsvc_refresh=; Max-Age=0; Path=/auth/token; HttpOnly; SameSite=Strict" in cleared.header_list("Set-Cookie")


@pytest.mark.parametrize(
    ("script", "path", "status"),
    [
        ("", "/site/auth/healthz", 200),
        ("/site", "/auth/healthz", 200),
        ("/site", "/healthz", 200),  # a proxy has taken off the rest
        ("/site/auth", "/healthz", 200),
        ("/site/auth", "/auth/healthz", 404),
        ("/site", "/site/auth/healthz", 404),
        ("/site", "/authhealthz", 404),
        ("/sit", "/e/auth/healthz", 404),
        ("/auth", "/auth/healthz", 404),
        ("/site/", "/auth/healthz", 200),
        ("/site", "/auth/.well-known/jwks.json", 200),
        ("", "/.well-known/oauth-authorization-server/site/auth", 200),
        ("/site", "/auth", 404),
    ],
)
def test_a_host_may_take_off_the_beginning_of_the_mount(tmp_path: Path, script: str, path: str, status: int) -> None:
    """By whole segments; what is left of the public URL's path is taken off, and nothing else."""
    with running(tmp_path, public_url="http://127.0.0.1:8000/site/auth") as app:
        assert Client(app).get(path, environ={"SCRIPT_NAME": script}).status == status
        assert not (script == "" and status == 200 and "health" in path and not app.is_quick("GET", path))


def test_two_apps_in_one_process_share_nothing(tmp_path: Path) -> None:
    """Different databases, keys, settings and accounts: a token of one is nothing to the other."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with running(folders[0], access_seconds=100) as one, running(folders[1], limit_register="1/60s") as two:
        first, second = Client(one), Client(two)
        mine = first.register()
        assert second.login().status == 401
        theirs = second.register()
        assert (mine["expires_in"], theirs["expires_in"]) == (100, 900)
        assert [first.get("/user", token=each["access_token"]).status for each in (mine, theirs)] == [200, 401]
        assert [second.get("/user", token=each["access_token"]).status for each in (mine, theirs)] == [401, 200]
        assert second.refresh(mine["refresh_token"]).status == 401
        assert (second.post("/register", {"email": "x@mail.com"}).status, first.register("x@mail.com").status) == (429, 201)
        assert (actions(one), actions(two)) == (["user.registered"] * 2, ["login.failed", "user.registered"])


@contextmanager
def in_thread(folder: Path, **settings: str) -> Iterator[Server]:
    """An app from `create_app`, served by a waitress of its own in a thread of this process."""
    app = create_app({"database": str(folder / "authsvc.db"), **CHEAP, **settings})
    sockets: dict[int, object] = {}
    waitress = create_server(app, map=sockets, host=HOST, port=0, threads=4)
    stop = threading.Event()

    def loop() -> None:
        from waitress import wasyncore

        while not stop.is_set():
            wasyncore.loop(timeout=1.0, map=sockets, count=1)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield Server(int(waitress.effective_port), None, folder / "none")  # type: ignore[arg-type]
    finally:
        stop.set()
        waitress.pull_trigger()
        thread.join()
        waitress.task_dispatcher.shutdown()
        wasclose(sockets)
        app.close()


def wasclose(sockets: dict[int, object]) -> None:
    """Close every socket of a loop."""
    from waitress import wasyncore

    wasyncore.close_all(sockets)


def test_two_apps_serve_from_one_process_over_the_wire(tmp_path: Path) -> None:
    """`create_app` twice, two ports, two databases: each knows its own accounts only."""
    with ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            servers.append(stack.enter_context(in_thread(tmp_path / name)))
        first, second = servers
        token = first.call("POST", "/register", {"email": EMAIL, "password": PASSWORD}).json()["access_token"]
        assert second.call("POST", "/login", {"email": EMAIL, "password": PASSWORD}).status == 401
        assert (first.call("GET", "/user", token=token).status, second.call("GET", "/user", token=token).status) == (200, 401)
