"""Rate limits as a caller meets them: the refusal, its headers, its end, and the settings that adjust them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.config.settings import LIMITS
from authsvc.routes import ROUTES
from tests.support import PASSWORD, Answer, Client, FakeWorld, actions, running

WRONG = "wrong-password-1"
REQUESTS: dict[str, Callable[[Client, int], Answer]] = {
    "login": lambda client, _: client.login(password=WRONG),
    "login_account": lambda client, turn: Client(client.app, ip=f"198.51.{turn}.1").login(password=WRONG),
    "login_network": lambda client, turn: client.login(f"user{turn}@mail.com", WRONG),
    "register": lambda client, turn: client.post("/register", {"email": f"user{turn}@mail.com"}),
    "register_all": lambda client, turn: Client(client.app, ip=f"198.51.{turn}.1").post("/register", {"email": f"user{turn}@mail.com"}),
    "refresh": lambda client, _: client.refresh("rt_" + "0" * 26 + ".0." + "A" * 43),
    "read": lambda client, _: client.get("/problems/not_found"),
}


def test_every_limit_is_tried_here_and_used_somewhere() -> None:
    """No named limit is without a route, and none escapes the tests below."""
    assert REQUESTS.keys() == LIMITS.keys() == {name for route in ROUTES for name in route.limits}


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_adjustable_and_refuses_beyond_its_burst(tmp_path: Path, name: str) -> None:
    """`limit_<name> = 2/60s`: two pass, the third is 429 and nothing of it is done."""
    with running(tmp_path, **{f"limit_{name}": "2/60s"}) as app:
        client = Client(app)
        answers = [REQUESTS[name](client, turn) for turn in range(3)]
        assert [answer.status == 429 for answer in answers] == [False, False, True]
        assert answers[2].code == "rate_limited"
        assert len(actions(app)) == (0 if name in {"refresh", "read"} else 2)


@pytest.mark.parametrize("name", LIMITS)
def test_zero_turns_a_limit_off(tmp_path: Path, name: str) -> None:
    """`limit_<name> = 0` refuses nothing and is not told of in the headers."""
    off = dict.fromkeys((f"limit_{other}" for other in LIMITS), "0")
    with running(tmp_path, **off) as app:
        client = Client(app)
        answers = [REQUESTS[name](client, turn) for turn in range(15)]
        assert {answer.status for answer in answers} <= {200, 201, 401}
        assert {answer.header("RateLimit") for answer in answers} == {None}
        assert {answer.header("RateLimit-Policy") for answer in answers} == {None}


def test_a_refusal_says_when_to_come_back(tmp_path: Path, world: FakeWorld) -> None:
    """429 `rate_limited`: Retry-After in whole seconds, the same in the problem, and RateLimit shows the empty bucket."""
    with running(tmp_path, world, limit_register="2/60s") as app:
        client = Client(app)
        for turn in range(2):
            client.register(f"user{turn}@mail.com")
        answer = client.post("/register", {"email": "third@mail.com"})
        assert (answer.status, answer.code) == (429, "rate_limited")
        assert (answer.header("Retry-After"), answer["retry_after"]) == ("30", 30)
        assert '"register";q=2;w=60' in str(answer.header("RateLimit-Policy"))
        assert '"register";r=0;t=30' in str(answer.header("RateLimit"))
        assert answer.header("Content-Type") == "application/problem+json"


def test_a_bucket_refills_evenly(tmp_path: Path, world: FakeWorld) -> None:
    """One token comes back in its share of the time, not all at the end; and Retry-After was the truth."""
    with running(tmp_path, world, limit_register="2/60s") as app:
        client = Client(app)

        def try_once(name: str) -> int:
            return client.post("/register", {"email": f"{name}@mail.com"}).status

        assert [try_once(name) for name in "abc"] == [201, 201, 429]
        world.advance(29)
        assert try_once("d") == 429
        world.advance(1)
        assert [try_once(name) for name in "ef"] == [201, 429]
        world.advance(600)
        assert [try_once(name) for name in "ghi"] == [201, 201, 429]


def test_a_refused_try_costs_no_token(tmp_path: Path, world: FakeWorld) -> None:
    """Hammering on an empty bucket does not keep it empty."""
    with running(tmp_path, world, limit_login="1/60s") as app:
        client = Client(app)
        client.register()
        client.login()
        assert {client.login().status for _ in range(20)} == {429}
        world.advance(60)
        assert client.login().status == 200


def test_a_passing_answer_tells_what_is_left(tmp_path: Path) -> None:
    """RateLimit counts down with each request."""
    with running(tmp_path, limit_register="3/60s") as app:
        client = Client(app)
        left = []
        for turn in range(3):
            answer = client.register(f"user{turn}@mail.com")
            match = re.search(r'"register";r=(\d+);t=(\d+)', str(answer.header("RateLimit")))
            assert match
            left.append(int(match[1]))
        assert left == [2, 1, 0]


def test_failures_and_successes_are_charged_alike(tmp_path: Path) -> None:
    """The limit is charged before the handler: a right password does not pass where a wrong one would not."""
    with running(tmp_path, limit_login="3/60s") as app:
        client = Client(app)
        client.register()
        assert [client.login(password=WRONG).status for _ in range(3)] == [401] * 3
        assert client.login().status == 429
        assert actions(app) == ["user.registered", *["login.failed"] * 3]


@pytest.mark.parametrize("spoiled", [{"raw": b"{"}, {"body": {}}, {"body": {"email": 1}}, {"raw": b"x", "content_type": "text/plain"}])
def test_a_flood_of_bad_requests_is_a_flood_too(tmp_path: Path, spoiled: dict[str, Any]) -> None:
    """What is wrong with a body is told only after the limit was charged."""
    with running(tmp_path, limit_login_network="2/60s") as app:
        client = Client(app)
        statuses = [client.call("POST", "/login", **spoiled).status for _ in range(3)]
        assert statuses[2] == 429
        assert 429 not in statuses[:2]


def test_networks_do_not_share_a_bucket(tmp_path: Path) -> None:
    """A /24 is one network; its neighbour is another."""
    with running(tmp_path, limit_register="1/60s") as app:
        statuses = [
            Client(app, ip=ip).post("/register", {"email": f"user{turn}@mail.com"}).status
            for turn, ip in enumerate(("192.0.2.1", "192.0.2.200", "192.0.3.1", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"))
        ]
        assert statuses == [201, 429, 201, 201, 429, 201]


def test_addresses_do_not_share_a_bucket(tmp_path: Path) -> None:
    """Tries for one account from one network leave its neighbours alone; spellings of one address are one account."""
    with running(tmp_path, limit_login="1/60s") as app:
        client = Client(app)
        emails = ("a@mail.com", "A@MAIL.com", "b@mail.com")
        assert [client.login(email, WRONG).status for email in emails] == [401, 429, 401]


def test_an_accounts_own_bucket_is_not_shown(tmp_path: Path) -> None:
    """Its state would tell a stranger that somebody else is trying the account; the refusal itself names no account."""
    with running(tmp_path, limit_login_account="1/60s") as app:
        client = Client(app)
        answers = [Client(app, ip=f"198.51.{turn}.1").login(password=WRONG) for turn in range(2)]
        assert [answer.status for answer in answers] == [401, 429]
        assert "login_account" not in f"{[answer.headers for answer in answers]}"
        assert client.login("other@mail.com", PASSWORD).status == 401


def test_sessions_do_not_share_the_refresh_bucket(tmp_path: Path, world: FakeWorld) -> None:
    """One client gone wild does not stop another's refresh."""
    with running(tmp_path, world, limit_refresh="2/60s") as app:
        client = Client(app)
        wild, calm = client.register(), client.login()
        assert [client.refresh(wild["refresh_token"]).status for _ in range(3)] == [200, 200, 429]
        assert client.refresh(calm["refresh_token"]).status == 200


def test_signed_in_callers_do_not_share_the_read_bucket(tmp_path: Path, world: FakeWorld) -> None:
    """Each session reads on its own account; those without one share their network's."""
    with running(tmp_path, world, limit_read="2/60s") as app:
        client = Client(app)
        busy, calm = client.register()["access_token"], client.login()["access_token"]
        assert [client.get("/user", token=busy).status for _ in range(3)] == [200, 200, 429]
        assert [client.get("/user", token=calm).status for _ in range(2)] == [200, 200]
        assert [client.get("/user").status for _ in range(3)] == [401, 401, 429]
        assert Client(app, ip="198.51.100.1").get("/user").status == 401
        world.advance(30)
        assert client.get("/user", token=busy).status == 200


def test_the_defaults_let_an_ordinary_user_through(app: App, client: Client) -> None:
    """Ten sign-ins in a row are within the defaults; the eleventh waits half a minute."""
    client.register()
    assert [client.login().status for _ in range(11)] == [200] * 10 + [429]
    assert client.login()["retry_after"] == 30
