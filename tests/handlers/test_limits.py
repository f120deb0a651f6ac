"""Rate limits as a caller meets them: the refusal, its headers, its end, and the settings that adjust them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.primitives import codes
from authsvc.routes import ROUTES
from tests.staff import admin
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running

WRONG = "wrong-password-1"
NO_DELAY = {"limit_login_delay": "0"}


def on_known_device(client: Client, _: int) -> Answer:
    """A wrong try in a browser in which the account has signed in before."""
    if not client.keep_cookies:
        client.register()
        client.keep_cookies = True
        assert client.login().status == 200
        client.cookies.pop("authsvc_access")
    return client.login(password=WRONG)


def by_admin(client: Client, _: int) -> Answer:
    """A request that needs a cap, by somebody who holds it."""
    if not hasattr(client, "staff"):
        client.staff = admin(client.app)  # type: ignore[attr-defined]
    answer: Answer = client.staff.get("/roles")  # type: ignore[attr-defined]
    return answer


REQUESTS: dict[str, Callable[[Client, int], Answer]] = {
    "login": lambda client, _: client.login(password=WRONG),
    "login_account": lambda client, turn: Client(client.app, ip=f"198.51.{turn}.1").login(password=WRONG),
    "login_network": lambda client, turn: client.login(f"user{turn}@mail.com", WRONG),
    "register": lambda client, turn: client.post("/register", {"email": f"user{turn}@mail.com"}),
    "register_all": lambda client, turn: Client(client.app, ip=f"198.51.{turn}.1").post("/register", {"email": f"user{turn}@mail.com"}),
    "refresh": lambda client, _: client.refresh("rt_" + "0" * 26 + ".0." + "A" * 43),
    "read": lambda client, _: client.get("/problems/not_found"),
    "mail_network": lambda client, turn: client.post("/password/forgot", {"email": f"user{turn}@mail.com"}),
    "link": lambda client, _: client.post("/login/magic/x"),
    "reset_token": lambda client, _: client.get("/password/reset/x"),
    "oauth": lambda client, _: client.get("/oauth/none/callback"),
    "captcha": lambda client, _: client.get("/captcha?action=login"),
    "factor": lambda client, _: client.post("/mfa/setup", {"type": "totp"}),
    "login_delay": lambda client, _: client.login(password=WRONG),
    "login_all": lambda client, turn: Client(client.app, ip=f"198.51.{turn}.1").login(f"user{turn}@mail.com", WRONG),
    "login_device": on_known_device,
    "admin": by_admin,
}
# Charged where the effect is, not at the route: what is beyond is not done, but the answer may be the same.
EFFECTS: dict[str, Callable[[Client, int], Answer]] = {
    "mail_address": lambda client, _: client.post("/password/forgot", {"email": EMAIL}),
    "code_account": lambda client, _: try_code(client, client.post("/login/magic", {"email": EMAIL})["challenge_id"]),
}
# Tried in tests/advisories/test_a_lockout.py.
EFFECTS["login_alarm"] = lambda client, _: client.login(password=WRONG)
# Tried in tests/flows/test_texts.py; here SMS is off.
EFFECTS |= dict.fromkeys(
    ("sms_pace", "sms_number", "sms_number_day", "sms_network", "sms_prefix", "sms_day"),
    lambda client, _: client.post("/otp/send", {"phone_number": "+14155550123"}),
)
NOTHING_RECORDED = {"captcha", "refresh", "read", "admin", "link", "reset_token", "factor", "oauth"}
# Each way to ask for a mail to an address, and what its answer says beside what differs each time.
ASKING = {
    "/password/forgot": {"status": "sent"},
    "/login/magic": {"status": "sent", "expires_in": 600},
    "/email/verify": {"status": "sent", "expires_in": 86_400},
}


def try_code(client: Client, challenge_id: str, code: str = "no code") -> Answer:
    return client.post("/otp/verify", {"challenge_id": challenge_id, "code": code})


def mails(app: App) -> list[str]:
    """Whom the letters in the outbox are for, oldest first."""
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        return [json.loads(row[0])["to"] for row in connection.execute("SELECT payload FROM outbox ORDER BY rowid")]


def limits_hit(app: App) -> list[str]:
    """The limits on effects that are on record as hit."""
    return [json.loads(row["data"])["limit"] for row in event_rows(app) if row["action"] == "limit.hit"]


def test_every_limit_is_tried_here_and_used_somewhere() -> None:
    """No named limit is without a route or an effect, and none escapes the tests below."""
    named = {name for route in ROUTES for name in route.limits}
    assert REQUESTS.keys() == named | {instead for name in named if (instead := LIMITS[name].on_known_device)}
    assert REQUESTS.keys() | EFFECTS.keys() == LIMITS.keys()
    assert REQUESTS.keys() & EFFECTS.keys() == set()


@pytest.mark.parametrize("name", REQUESTS)
def test_each_limit_is_adjustable_and_refuses_beyond_its_burst(tmp_path: Path, name: str) -> None:
    """`limit_<name> = 2/60s`: two pass, the third is 429 and nothing of it is done."""
    with running(tmp_path, **NO_DELAY | {f"limit_{name}": "2/60s"}) as app:
        client = Client(app)
        REQUESTS[name](client, 0)
        before = len(actions(app))
        answers = [REQUESTS[name](client, turn) for turn in (1, 2)]
        assert [answer.status == 429 for answer in answers] == [False, True]
        assert answers[1].code == "rate_limited"
        alarm = ["limit.hit"] if name == "login_account" else []
        assert len(actions(app)[before:]) == (0 if name in NOTHING_RECORDED else 1) + len(alarm)
        assert len(mails(app)) == {"mail_network": 2, "login_account": 1}.get(name, 0)


@pytest.mark.parametrize("path", ASKING)
@pytest.mark.parametrize("known", [True, False])
def test_beyond_the_mails_of_an_address_nothing_is_sent_and_nothing_tells(tmp_path: Path, path: str, known: bool) -> None:
    """`limit_mail_address = 2/60s`: the third request from anywhere gets the same 202, adds no mail, and is on record once."""
    with running(tmp_path, limit_mail_address="2/60s") as app:
        if known:
            Client(app).register()
        answers = [Client(app, ip=f"198.51.{turn}.1").post(path, {"email": EMAIL.upper() if turn else EMAIL}) for turn in range(3)]
        assert [answer.status for answer in answers] == [202] * 3
        assert [{name: value for name, value in answer.json().items() if name != "challenge_id"} for answer in answers] == [
            ASKING[path]
        ] * 3
        assert len({tuple(name for name, _ in answer.headers) for answer in answers}) == 1
        assert "mail_address" not in f"{[answer.headers for answer in answers]}"
        assert [to.casefold() for to in mails(app)] == [EMAIL] * 2
        assert limits_hit(app) == ["mail_address"]


def test_the_mails_of_an_address_are_counted_over_all_ways_to_ask(tmp_path: Path, world: FakeWorld) -> None:
    """Who asks at every door does not fill the mailbox any more than who asks at one; others' mailboxes have their own."""
    with running(tmp_path, world, limit_mail_address="2/60s") as app:
        client = Client(app)
        for path in ASKING:
            client.post(path, {"email": EMAIL})
        client.post("/login/magic", {"email": "other@mail.com"})
        assert mails(app) == [EMAIL, EMAIL, "other@mail.com"]
        world.advance(30)
        client.post("/login/magic", {"email": EMAIL})
        assert mails(app) == [EMAIL, EMAIL, "other@mail.com", EMAIL]
        assert limits_hit(app) == ["mail_address"]


def test_a_link_counts_on_when_no_more_are_sent(tmp_path: Path, world: FakeWorld) -> None:
    """Beyond the limit the last link that was sent is not replaced: a stranger who asks too often locks nobody out."""
    with running(tmp_path, world, limit_mail_address="1/3600s") as app:
        client = Client(app)
        client.post("/login/magic", {"email": EMAIL})
        client.post("/login/magic", {"email": EMAIL})
        assert app.deliveries.run_once() == 1
        (link,) = re.findall(r"http://\S+/login/magic/\S+", "\n".join(world.lines))
        assert client.post(urlsplit(link).path).status == 200


def test_beyond_the_codes_of_an_account_none_is_looked_at(tmp_path: Path, world: FakeWorld) -> None:
    """`limit_code_account = 2/60s`: over all challenges and networks the third try is 429 `too_many_attempts`, even if right;
    other accounts, and the link in the mail, are as before."""
    with running(tmp_path, world, limit_code_account="2/60s") as app:
        client = Client(app)
        tried = [EFFECTS["code_account"](Client(app, ip=f"198.51.{turn}.1"), turn) for turn in range(3)]
        assert [(answer.status, answer.code) for answer in tried] == [(422, "code_invalid")] * 2 + [(429, "too_many_attempts")]
        challenge_id = client.post("/login/magic", {"email": EMAIL})["challenge_id"]
        right = codes.code(app.core.keyring.current, challenge_id, 1)
        assert (refused := try_code(client, challenge_id, right)).code == "too_many_attempts"
        assert "code_account" not in f"{refused.headers}"
        other = client.post("/login/magic", {"email": "other@mail.com"})["challenge_id"]
        assert try_code(client, other, codes.code(app.core.keyring.current, other, 1)).status == 200
        world.advance(30)
        assert try_code(client, challenge_id, right).status == 200
        assert actions(app).count("otp.failed") == 4
        assert limits_hit(app) == ["code_account"] * 2
        assert actions(app).count("login.succeeded") == 2


@pytest.mark.parametrize("name", LIMITS)
def test_zero_turns_a_limit_off(tmp_path: Path, name: str) -> None:
    """`limit_<name> = 0` refuses nothing and is not told of in the headers."""
    off = dict.fromkeys((f"limit_{other}" for other in LIMITS), "0")
    with running(tmp_path, **off) as app:
        client = Client(app)
        answers = [(REQUESTS | EFFECTS)[name](client, turn) for turn in range(40)]
        assert {answer.status for answer in answers} <= {200, 201, 202, 401, 404, 410, 422}
        assert limits_hit(app) == []
        assert len(mails(app)) == (40 if name in {"mail_address", "mail_network", "code_account"} else 0)
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
    with running(tmp_path, limit_login="3/60s", **NO_DELAY) as app:
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
