"""Providers that are dead, that die or hang half-way, and ourselves killed between going there and coming back."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.servers import PATIENCE_SECONDS, PORT_TRIES, Reply, Server, free_port, in_threads, serving
from tests.letterbox import counts
from tests.openid import peers
from tests.openid.conftest import ADA, clients, settings
from tests.openid.peers import Fake, fake_provider, hangs
from tests.openid.provider import OpenIdProvider, provider_running, sign_in
from tests.openid.walks import HTML, JSON_ONLY, back, begin, browser, enter
from tests.phone import refused
from tests.support import Client, FakeWorld, actions, running

CLIENT, SECRET = peers.CLIENT, peers.SECRET


@pytest.fixture
def real_time() -> FakeWorld:
    world = FakeWorld()
    world.time = time.time_ns() // 1_000_000
    return world


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with fake_provider() as fake:
        yield fake


def nowhere(name: str = "corp") -> dict[str, Any]:
    """A provider at a port where nobody listens."""
    stem = f"oauth_{name}_"
    return {f"{stem}client_id": CLIENT, f"{stem}client_secret": SECRET, f"{stem}issuer": f"http://127.0.0.1:{free_port()}"}


def test_a_provider_that_is_dead_at_the_start(tmp_path: Path, real_time: FakeWorld, fake: Fake) -> None:
    """502 in JSON and on a page that leads on; no attempt begins, nothing else of the service minds, nor does another provider."""
    with running(tmp_path, real_time, **nowhere(), **fake.settings("other")) as app:
        client = browser(app)
        for _ in range(2):
            refused(client.get("/oauth/corp", headers=JSON_ONLY), 502, "oauth_exchange_failed")
            page = client.get("/oauth/corp", headers=HTML)
            assert (page.status, page.header("Location"), page.header_list("Set-Cookie")) == (502, None, [])
            assert b"/login" in page.body
            assert b"127.0.0.1:" not in page.body.replace(b"127.0.0.1:8000", b"")
        assert counts(app, "challenges", "events") == [0, 0]
        assert client.get("/oauth").status == 200
        assert client.get("/login", headers=HTML).status == 200
        assert client.register().status == 201
        assert client.get(fake.callback(begin(client, "other")), headers=JSON_ONLY).status == 200
        assert not [line for line in real_time.lines if "Traceback" in line]


def test_a_provider_that_comes_up_later_is_found_without_a_restart(tmp_path: Path, real_time: FakeWorld) -> None:
    """Within a pause it is not asked again; after it a sign-in works."""
    values = nowhere()
    with running(tmp_path, real_time, **values) as app:
        refused(browser(app).get("/oauth/corp", headers=JSON_ONLY), 502, "oauth_exchange_failed")
        port = int(values["oauth_corp_issuer"].rpartition(":")[2])
        with provider_running(clients(), [ADA], port=port):
            refused(browser(app).get("/oauth/corp", headers=JSON_ONLY), 502, "oauth_exchange_failed")
            real_time.advance(10)
            assert enter(browser(app), "ada").status == 200


def test_a_provider_that_dies_between_start_and_callback(tmp_path: Path, real_time: FakeWorld) -> None:
    """502 in JSON and on a page; the attempts are spent and on record, nothing is made; when it is back a new one works."""
    with running_provider() as first, running(tmp_path, real_time, **settings(first), limit_oauth="0") as app:
        client = browser(app)
        paths = [back(sign_in(begin(client), "ada")) for _ in range(2)]
        first.process.kill()
        first.process.wait()
        refused(client.get(paths[0], headers=JSON_ONLY), 502, "oauth_exchange_failed")
        page = client.get(paths[1], headers=HTML)
        assert (page.status, page.header_list("Set-Cookie"), page.header("Location")) == (502, [], None)
        assert actions(app) == ["login.failed", "login.failed"]
        assert counts(app, "users", "identities", "sessions") == [0, 0, 0]
        assert client.get("/oauth/corp", headers=HTML).status == 302, "where it is was told before"
        refused(client.get(paths[0], headers=JSON_ONLY), 400, "oauth_state_invalid")
        with running_provider(int(first.issuer.rpartition(":")[2])):
            real_time.advance(31)
            assert enter(client, "ada").status == 200


def test_an_attempt_survives_kill_9_of_the_service(tmp_path: Path) -> None:
    """F9: gone to the provider, the service is killed and started anew on the same database: the browser comes back and is
    signed in; a second time it is not."""
    with provider_of_a_server(tmp_path) as (provider, port, values):
        server = up(tmp_path, port, values)
        try:
            status, told, cookie = ask(port, "/oauth/corp")
            assert status == 200
            path = back(sign_in(told["authorize_url"], "ada"))
            server.kill()
            server = up(tmp_path, port, values)
            assert ask(port, path)[0] == 400
            status, told, _ = ask(port, path, cookie)
            assert (status, told.get("user", {}).get("email")) == (200, "ada@example.com"), told
            status, told, _ = ask(port, path, cookie)
            assert (status, told["code"]) == (400, "oauth_state_invalid")
            assert server.crashes() == []
        finally:
            server.kill()
        assert provider.issuer


def test_kill_9_while_the_provider_is_asked_leaves_nothing_half_done(tmp_path: Path, fake: Fake) -> None:
    """F9: the attempt stays spent, there is no account and no session, and the database is whole."""
    good = dict(fake.behaviours)
    fake.behaviours["/token"] = hangs
    asked = len(fake.at("/token"))
    with serving(tmp_path, **fake.settings()) as server:
        _, told, cookie = ask(server.port, "/oauth/corp")
        path = fake.callback(told["authorize_url"])

        def act(number: int) -> None:
            if number:
                with pytest.raises((OSError, http.client.HTTPException)):
                    ask(server.port, path, cookie)
            else:
                fake.wait_for("/token", asked + 1)
                server.kill()

        in_threads(2, act)
        fake.released.set()
        fake.behaviours = good
        again = up(tmp_path, server.port, fake.settings())
        status, told, _ = ask(again.port, path, cookie)
        assert (status, told["code"]) == (400, "oauth_state_invalid")
        again.kill()
    fake.released.clear()
    with closing(sqlite3.connect(tmp_path / "authsvc.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("users", "identities", "sessions")]
        assert found == [0, 0, 0]


def test_a_provider_that_hangs_keeps_no_other_request_waiting(tmp_path: Path, fake: Fake) -> None:
    """D8, F11: with four threads, of which two wait for it, further ones are told to come again, and all else is answered."""
    good = dict(fake.behaviours)
    asked = len(fake.at("/token"))
    with serving(tmp_path, **fake.settings(), threads=4) as server:
        paths = []
        for _ in range(6):
            _, told, cookie = ask(server.port, "/oauth/corp")
            paths.append((fake.callback(told["authorize_url"]), cookie))
        fake.behaviours["/token"] = hangs

        def act(number: int) -> Any:
            if number < 2:
                return ask(server.port, *paths[number])[0]
            fake.wait_for("/token", asked + 2)
            seen: list[Any] = [ask(server.port, *paths[index])[0] for index in (2, 3, 4, 5)]
            caller = server.caller()
            replies: list[Reply | None] = [caller.register("a@mail.com"), caller.login("a@mail.com"), caller.call("GET", "/healthz")]
            fake.released.set()
            return seen + [reply.status for reply in replies if reply]

        assert in_threads(3, act) == [502, 502, [503, 503, 503, 503, 201, 200, 200]]
        assert server.crashes() == []
    fake.behaviours = good
    fake.released.clear()


@contextmanager
def provider_of_a_server(folder: Path) -> Iterator[tuple[OpenIdProvider, int, dict[str, Any]]]:
    """A real provider whose client is a service at a port that is free now."""
    port = free_port()
    ours = clients(())
    ours[0]["redirect_uris"] = [f"http://127.0.0.1:{port}/oauth/corp/callback"]
    with provider_running(ours, [ADA]) as provider:
        yield provider, port, settings(provider)


def running_provider(port: int = 0) -> Any:
    return provider_running(clients(), [ADA], port=port)


def up(folder: Path, port: int, values: dict[str, Any]) -> Server:
    """A service at this port, which a process that was just killed may hold for a moment."""
    for _ in range(PORT_TRIES):
        server = Server(folder, port, values)
        if server.is_up():
            return server
        server.wait()
        assert server.log("cannot listen"), server.lines
    raise AssertionError(server.lines)


def ask(port: int, path: str, cookie: str = "") -> tuple[int, Any, str]:
    """The status, the JSON and the cookie of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path, headers={**JSON_ONLY, **({"Cookie": cookie} if cookie else {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}"), (answer.headers["Set-Cookie"] or "").partition(";")[0]
    finally:
        connection.close()


def test_a_client_of_the_service_sees_no_crash_of_a_dead_provider_under_load(tmp_path: Path, real_time: FakeWorld) -> None:
    """Many at once at a dead provider: 502 or 503 for each, never a 500, and no attempt is left open."""
    from tests.support import together

    with running(tmp_path, real_time, **nowhere(), threads="4", limit_oauth="0") as app:
        answers = together(12, lambda number: Client(app, ip=f"10.0.{number}.1").get("/oauth/corp", headers=JSON_ONLY))
        assert {answer.status for answer in answers} <= {502, 503}
        assert counts(app, "challenges") == [0]
