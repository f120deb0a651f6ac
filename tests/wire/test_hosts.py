"""The same session under every host: `authsvc serve`, gunicorn with two workers, a mount point, two apps in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from waitress.server import create_server

from authsvc import create_app
from tests.support import CHEAP, EMAIL, PASSWORD, Answer, Client, actions, running
from tests.wire.servers import GUNICORN, HOST, SERVE, Server, serving

MOUNTED = "/auth"
HOSTS: dict[str, tuple[tuple[str, ...], str, dict[str, str]]] = {
    "serve": (SERVE, "", {}),
    "serve under a path": (SERVE, MOUNTED, {"AUTHSVC_PUBLIC_URL": f"http://{HOST}:{{port}}{MOUNTED}"}),
    "gunicorn": (GUNICORN, "", {}),
    "gunicorn under a path": (GUNICORN, MOUNTED, {"AUTHSVC_PUBLIC_URL": f"http://{HOST}:{{port}}{MOUNTED}", "SCRIPT_NAME": MOUNTED}),
}


@pytest.fixture(scope="module", params=HOSTS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each host in turn."""
    command, prefix, environment = HOSTS[request.param]
    folder = tmp_path_factory.mktemp("host")
    with serving(
        folder, command, prefix=prefix, AUTHSVC_LIMIT_REGISTER="0", AUTHSVC_LIMIT_LOGIN_DELAY="0", **environment
    ) as running_server:
        yield running_server


def cookies_of(answer: Answer) -> dict[str, tuple[str, str]]:
    """The cookies that an answer sets: name to value and path."""
    parsed: SimpleCookie = SimpleCookie()
    for value in answer.header_list("Set-Cookie"):
        parsed.load(value)
    return {name: (morsel.value, morsel["path"]) for name, morsel in parsed.items()}


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
