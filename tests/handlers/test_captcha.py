"""CAPTCHAs as a caller meets them: GET /captcha, and the demand before each act that is guarded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.flows import captcha as flow
from authsvc.routes import ROUTES
from tests.captchas import EASY, SECRET, SITE_KEY, TOKEN, fresh, good, refused, says, solved, vendor
from tests.smsgateway import SmsGateway, sms_gateway
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

FORM = "application/x-www-form-urlencoded"
HTML = {"Accept": "text/html"}
KEY, OTHER_KEY = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
# Each guarded act: its path and a body that is good.
ACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "register": ("/register", {"email": "new@mail.com", "password": PASSWORD}),
    "login": ("/login", {"email": EMAIL, "password": PASSWORD}),
    "forgot": ("/password/forgot", {"email": EMAIL}),
    "magic": ("/login/magic", {"email": EMAIL}),
    "otp": ("/otp/send", {"email": EMAIL}),
}
ALWAYS = EASY | {"captcha_on": ",".join(f"{action}:always" for action in ACTS)}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **ALWAYS) as app:
        yield app


@pytest.fixture
def server() -> Iterator[SmsGateway]:
    with sms_gateway() as server:
        server.behaviours = [good()]
        yield server


def act(client: Client, action: str, **more: Any) -> Answer:
    path, body = ACTS[action]
    return client.post(path, {**body, **more})


def account(app: App) -> None:
    """An account for those acts that need one."""
    client = Client(app, ip="203.0.113.9")
    assert client.post("/register", {"email": EMAIL, "password": PASSWORD, "captcha": fresh(client, "register")}).status == 201


def reasons(app: App) -> list[str]:
    return [json.loads(row["data"])["reason"] for row in event_rows(app) if row["action"] == "captcha.failed"]


def used(app: App) -> int:
    with closing(sqlite3.connect(app.core.store.path)) as connection:
        return int(connection.execute("SELECT count(*) FROM captchas").fetchone()[0])


def test_the_guarded_routes_are_these() -> None:
    """One action each, and the code that is sent to who is known already needs none."""
    guarded = {(route.method, route.path): route.captcha for route in ROUTES if route.captcha}
    assert {guard.action: path for (_, path), guard in guarded.items()} == {action: path for action, (path, _) in ACTS.items()}
    assert [guard.action for guard in guarded.values() if guard.unless] == ["otp"]


@pytest.mark.parametrize("action", ACTS)
def test_an_act_that_is_guarded_needs_a_captcha_once(app: App, client: Client, action: str) -> None:
    """Without one, the answer says all that is needed to solve one; with one it is done; a second time it is refused."""
    account(app)
    before = actions(app)
    asked = act(client, action)
    assert (asked.status, asked.code) == (403, "captcha_required")
    assert asked["captcha"] == {
        "provider": "altcha",
        "action": action,
        "challenge_url": f"http://127.0.0.1:8000/captcha?action={action}",
    }
    assert actions(app) == before, "nothing was done, and nothing failed"

    payload = fresh(client, action)
    done = act(client, action, captcha=payload)
    assert done.status in (200, 201, 202), done.body
    again = act(client, action, captcha=payload)
    assert (again.status, again.code) == (403, "captcha_failed")
    assert again["captcha"] == asked["captcha"]
    assert reasons(app) == ["used"]


def test_another_actions_captcha_is_refused_and_stays_good(app: App, client: Client) -> None:
    """What was solved for one act does another; unspent, it does its own."""
    account(app)
    payload = fresh(client, "forgot")
    assert act(client, "register", captcha=payload).code == "captcha_failed"
    assert act(client, "forgot", captcha=payload).status == 202
    assert reasons(app) == ["action"]


def test_a_captcha_runs_out_after_ten_minutes(app: App, client: Client, world: FakeWorld) -> None:
    """Not a second earlier."""
    first, second = fresh(client, "register"), fresh(client, "forgot")
    world.advance(599)
    assert act(client, "register", captcha=first).status == 201
    world.advance(1)
    assert act(client, "forgot", captcha=second).code == "captcha_failed"
    assert reasons(app) == ["expired"]


def test_of_many_at_once_one_uses_it(app: App, client: Client) -> None:
    """Thirty-two threads with the same payload: one account, and as many refusals as others."""
    payload = fresh(client, "register")

    def sign_up(turn: int) -> int:
        body = {"email": f"user{turn}@mail.com", "password": PASSWORD, "captcha": payload}
        return Client(app, ip=f"198.51.{turn}.1").post("/register", body).status

    statuses = together(32, sign_up)
    assert sorted(statuses) == [201] + [403] * 31
    assert actions(app).count("user.registered") == 1
    assert reasons(app) == ["used"] * 31


def test_what_is_refused_before_uses_no_captcha(app: App, client: Client, tmp_path: Path) -> None:
    """A body that is not well formed, a limit that is empty, a foreign site: the payload is still good."""
    payload = fresh(client, "register")
    assert act(client, "register", captcha=payload, email="nobody").status == 422
    assert act(client, "register", captcha=payload, more=1).status == 422
    foreign = client.post(
        "/register", {**ACTS["register"][1], "captcha": payload}, headers={"Origin": "https://evil.example", "Cookie": "authsvc_x=1"}
    )
    assert foreign.code == "csrf_failed"
    crowd = Client(app, ip="198.51.100.1")
    while crowd.post("/register", {}).status != 429:
        pass
    assert crowd.post("/register", {**ACTS["register"][1], "captcha": payload}).status == 429
    assert used(app) == 0
    assert act(client, "register", captcha=payload).status == 201
    assert used(app) == 1


def test_a_wrong_password_uses_the_captcha(app: App, client: Client) -> None:
    """Each try costs one."""
    account(app)
    payload = fresh(client, "login")
    assert client.post("/login", {"email": EMAIL, "password": "wrong-password-1", "captcha": payload}).code == "invalid_credentials"
    assert act(client, "login", captcha=payload).code == "captcha_failed"
    assert act(client, "login", captcha=fresh(client, "login")).status == 200


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_captcha_is_none(app: App, client: Client, value: str | None) -> None:
    """It is asked for, not refused; nothing is recorded."""
    assert act(client, "register", captcha=value).code == "captcha_required"
    assert reasons(app) == []


@pytest.mark.parametrize("value", [1, True, [], {}, "x" * 8_193])
def test_a_captcha_that_is_no_text_or_too_long_is_malformed(app: App, client: Client, value: Any) -> None:
    """Told like any other field, before anything is looked at."""
    answer = act(client, "register", captcha=value)
    assert (answer.status, answer["errors"][0]["field"]) == (422, "captcha")
    assert reasons(app) == []


@pytest.mark.parametrize("value", ["x", "A" * 8_192, "é", "e30=", "\u2028"])
def test_any_text_is_refused_and_recorded_without_itself(app: App, client: Client, value: str) -> None:
    """The trail says that it was malformed, for which act and where; never what was sent."""
    assert act(client, "register", captcha=value).code == "captcha_failed"
    (row,) = [row for row in event_rows(app) if row["action"] == "captcha.failed"]
    assert json.loads(row["data"]) == {"action": "register", "passed": False, "provider": "altcha", "reason": "malformed"}
    assert (row["outcome"], row["ip"]) == ("failure", "192.0.2.1")


def test_a_form_brings_it_under_the_widgets_name(app: App, client: Client) -> None:
    """ALTCHA's widget calls its field altcha; `captcha` does as well, and is taken first."""
    fields = ACTS["register"][1]
    for name in ("altcha", "captcha"):
        body = urlencode({**fields, "email": f"{name}@mail.com", name: fresh(client, "register")}).encode()
        assert client.post("/register", raw=body, content_type=FORM).status == 201
    body = urlencode({**fields, "captcha": "x", "altcha": fresh(client, "register")}).encode()
    assert client.post("/register", raw=body, content_type=FORM).code == "captcha_failed"


def test_at_risk_it_is_asked_for_when_a_limit_is_more_than_half_used(tmp_path: Path, world: FakeWorld) -> None:
    """Ten tries of a network on an address: five pass freely, from the sixth on one is needed; another network sees nothing."""
    with running(tmp_path, world, **EASY, limit_login_delay="0") as app:
        client = Client(app)
        account(app)
        for _ in range(5):
            assert client.login(password="wrong-password-1").code == "invalid_credentials"
        assert client.login().code == "captcha_required"
        assert client.login(captcha=fresh(client, "login")).status == 200
        assert Client(app, ip="198.51.100.1").login().status == 200
        world.advance(3600)
        assert client.login().status == 200


def test_what_the_settings_do_not_name_needs_none(tmp_path: Path, world: FakeWorld) -> None:
    """Off for sign-up, always for mails: the rest is as ever."""
    with running(tmp_path, world, **EASY | {"captcha_on": "register:off,forgot:always"}) as app:
        client = Client(app)
        client.register()
        assert client.login().status == 200
        assert act(client, "forgot").code == "captcha_required"


@pytest.mark.parametrize("action", ACTS)
def test_where_there_is_none_it_is_taken_and_ignored(tmp_path: Path, world: FakeWorld, action: str) -> None:
    """Clients need not know whether one is asked for; a field that nobody knows is still a fault, as it is elsewhere."""
    with running(tmp_path, world) as app:
        client = Client(app)
        client.register()
        assert act(client, action, captcha="anything").status in (200, 201, 202)
        assert act(client, action, **{"g-recaptcha-response": "x", "email": "other@mail.com"}).status in (200, 201, 202, 401)
        assert act(client, action, recaptcha="x").status == 422
        assert client.post("/email/verify", {"email": EMAIL, "captcha": "x"}).status == 422
        assert client.get(f"/captcha?action={action}").json() == {"provider": None}
        assert used(app) == 0


def test_a_code_for_who_is_known_needs_none(app: App, client: Client) -> None:
    """With an mfa_token, or signed in with a channel; a stranger who says so gets no further, and a signed-in one without a
    channel is treated as a stranger."""
    account(app)
    tokens = act(client, "login", captcha=fresh(client, "login")).json()
    assert act(client, "otp").code == "captcha_required"
    assert client.post("/otp/send", {"mfa_token": "mfa_x"}).code == "invalid_token"
    assert client.post("/otp/send", {"mfa_token": "mfa_x", "email": EMAIL}).code == "invalid_token"
    assert client.post("/otp/send", {"channel": "email"}).code == "unauthenticated"
    assert client.post("/otp/send", {"channel": "email", "email": EMAIL}).code == "unauthenticated"
    assert client.post("/otp/send", {"email": EMAIL}, token=tokens["access_token"]).code == "captcha_required"
    assert client.post("/otp/send", {"channel": "email"}, token=tokens["access_token"]).code not in ("captcha_required", "unauthenticated")
    assert actions(app).count("magic.sent") == actions(app).count("otp.sent") == 0


def test_a_challenge_outlives_a_new_secret_key(tmp_path: Path, world: FakeWorld) -> None:
    """As long as the old one is kept."""
    with running(tmp_path, world, **ALWAYS, secret_key=KEY) as app:
        first, second = fresh(Client(app), "register"), fresh(Client(app), "register")
    with running(tmp_path, world, **ALWAYS, secret_key=OTHER_KEY, secret_key_previous=KEY) as app:
        assert act(Client(app), "register", captcha=first).status == 201
    with running(tmp_path, world, **ALWAYS, secret_key=OTHER_KEY) as app:
        assert act(Client(app), "register", captcha=second, email="third@mail.com").code == "captcha_failed"
        assert reasons(app) == ["forged"]


def test_a_used_one_stays_used_over_restarts_and_beyond_its_time(tmp_path: Path, world: FakeWorld) -> None:
    """It is in the database, and goes a day after it would have run out: a clock that is set back brings nothing back."""
    with running(tmp_path, world, **ALWAYS) as app:
        payload = fresh(Client(app), "register")
        assert act(Client(app), "register", captcha=payload).status == 201
    with running(tmp_path, world, **ALWAYS) as app:
        world.advance(700)
        app.deliveries.housekeeping.run_once()
        world.advance(-700)
        assert act(Client(app), "register", captcha=payload, email="other@mail.com").code == "captcha_failed"
        world.advance(86_400 + 700)
        app.deliveries.housekeeping.run_once()
        assert used(app) == 0


def test_a_challenge_says_what_the_widget_wants(app: App, client: Client) -> None:
    """ALTCHA's version 2 as JSON that nobody keeps, for an app of ours too, each time another."""
    answer = client.get("/captcha?action=register")
    assert (answer.status, answer.header("Content-Type"), answer.header("Cache-Control")) == (200, "application/json", "no-store")
    assert answer.header("X-Altcha-Config") is None
    assert answer["parameters"]["algorithm"] == "PBKDF2/SHA-256"
    assert (answer["parameters"]["cost"], answer["parameters"]["keyLength"]) == (100, 32)
    assert answer["parameters"]["data"] == {"action": "register"}
    assert answer["parameters"]["expiresAt"] == app.core.world.now() // 1000 + 600
    assert client.get("/captcha?action=register")["parameters"]["nonce"] != answer["parameters"]["nonce"]
    for query in ("", "?action=", "?action=logout", "?action=register&more=1"):
        assert client.get("/captcha" + query).status == 422


def test_an_app_may_fetch_challenges(tmp_path: Path, world: FakeWorld) -> None:
    """From a browser, by CORS; another site may not read them."""
    with running(tmp_path, world, **ALWAYS, app_origins="https://app.example.com") as app:
        ours = Client(app).get("/captcha?action=login", headers={"Origin": "https://app.example.com"})
        assert ours.header("Access-Control-Allow-Origin") == "https://app.example.com"
        other = Client(app).get("/captcha?action=login", headers={"Origin": "https://evil.example"})
        assert other.header("Access-Control-Allow-Origin") is None


def test_the_more_a_network_asks_the_more_it_computes(tmp_path: Path, world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its challenges used up: twice the tries at most; three quarters: four times; all: none until some time has passed."""
    seen: list[int] = []
    rules_tries = flow.rules.tries

    def tries(difficulty: int, charged: Any) -> int:
        seen.append(rules_tries(difficulty, charged))
        return seen[-1]

    monkeypatch.setattr(flow.rules, "tries", tries)
    with running(tmp_path, world, **ALWAYS) as app:
        statuses = [Client(app).get("/captcha?action=login").status for _ in range(61)]
        assert statuses == [200] * 60 + [429]
        assert seen == [8] * 29 + [16] * 15 + [32] * 16
        assert Client(app, ip="198.51.100.1").get("/captcha?action=login").status == 200
        assert seen[-1] == 8


def test_every_counter_is_below_the_bound(tmp_path: Path, world: FakeWorld) -> None:
    """And every one occurs: the client cannot begin somewhere in the middle."""
    from tests.captchas import opened

    with running(tmp_path, world, **EASY | {"captcha_difficulty": "3", "limit_captcha": "0", "limit_read": "0"}) as app:
        found = {opened(fresh(Client(app), "register"))["solution"]["counter"] for _ in range(60)}
    assert found == {0, 1, 2}


# Vendors, through the whole service.


@pytest.mark.parametrize(("name", "field"), [("turnstile", "cf-turnstile-response"), ("hcaptcha", "h-captcha-response"), ("recaptcha", "g-recaptcha-response"), ("recaptcha_v3", "g-recaptcha-response")])  # fmt: skip
def test_a_vendors_token_is_taken_once_by_json_and_by_form(
    tmp_path: Path, world: FakeWorld, server: SmsGateway, name: str, field: str
) -> None:
    """Though the vendor would say yes for ever. What a widget needs is told; the token is kept nowhere."""
    with running(tmp_path, world, **vendor(name, server.url())) as app:
        client = Client(app)
        asked = act(client, "register")
        assert asked["captcha"] == {
            "provider": name,
            "action": "register",
            "site_key": SITE_KEY,
            "challenge_url": "http://127.0.0.1:8000/captcha?action=register",
        }
        assert client.get("/captcha?action=register").json() == {"provider": name, "site_key": SITE_KEY, "action": "register"}
        assert server.asked == []
        assert act(client, "register", captcha=TOKEN).status == 201
        assert act(client, "register", captcha=TOKEN, email="b@mail.com").code == "captcha_failed"
        more = {"g-recaptcha-response": "another-token"} if name == "hcaptcha" else {}
        form = {**ACTS["register"][1], "email": "c@mail.com", field: "another-token", **more}
        assert client.post("/register", raw=urlencode(form).encode(), content_type=FORM).status == 201
        assert reasons(app) == ["used"]
        database = b"".join(path.read_bytes() for path in tmp_path.glob("authsvc.db*"))
        assert TOKEN.encode() not in database
        assert SECRET.encode() not in database
        assert not [line for line in world.lines if TOKEN in line or SECRET in line]


def test_a_token_that_the_vendor_refuses_is_not_used_up(tmp_path: Path, world: FakeWorld, server: SmsGateway) -> None:
    """The caller hears captcha_failed, and the trail why."""
    server.behaviours = [refused("timeout-or-duplicate"), good(hostname="evil.example"), good(action="login"), good()]
    with running(tmp_path, world, **vendor("turnstile", server.url())) as app:
        codes = [act(Client(app), "register", captcha=TOKEN).status for _ in range(4)]
        assert codes == [403, 403, 403, 201]
        assert reasons(app) == ["refused", "hostname", "action"]


@pytest.mark.parametrize("code", ["", "invalid-input-secret"])
def test_a_vendor_that_is_down_keeps_people_out_by_default(tmp_path: Path, world: FakeWorld, server: SmsGateway, code: str) -> None:
    """503, to be tried again; the log says what is wrong with it, or with us."""
    server.behaviours = [refused(code) if code else says(502)]
    with running(tmp_path, world, **vendor("turnstile", server.url())) as app:
        answer = act(Client(app), "register", captcha=TOKEN)
        assert (answer.status, answer.code, answer.header("Retry-After")) == (503, "unavailable", "30")
        assert reasons(app) == ["vendor_down"]
        assert actions(app) == ["captcha.failed"]
        assert used(app) == 0
    (line,) = [line for line in world.lines if "captcha" in line]
    assert (code or "502") in line
    assert ("AUTHSVC_CAPTCHA_SECRET" in line) is bool(code)


@pytest.mark.parametrize("code", ["", "invalid-input-secret"])
def test_a_vendor_that_is_down_lets_people_in_where_that_is_wished(tmp_path: Path, world: FakeWorld, server: SmsGateway, code: str) -> None:
    """Once for each token, which there must be; logged and recorded each time."""
    server.behaviours = [refused(code) if code else says(502)]
    with running(tmp_path, world, **vendor("turnstile", server.url(), captcha_down="open")) as app:
        assert act(Client(app), "register").code == "captcha_required"
        assert act(Client(app), "register", captcha=TOKEN).status == 201
        assert act(Client(app), "register", captcha=TOKEN, email="b@mail.com").code == "captcha_failed"
        rows = [json.loads(row["data"]) for row in event_rows(app) if row["action"] == "captcha.failed"]
        assert [(row["reason"], row["passed"]) for row in rows] == [("vendor_down", True), ("used", False)]
    assert len([line for line in world.lines if "let through unchecked" in line]) == 2


@pytest.mark.parametrize("behaviour", [refused("bad-request"), says(403), refused("invalid-input-response"), good(hostname="x")])
def test_what_a_token_may_have_provoked_lets_nobody_in(tmp_path: Path, world: FakeWorld, server: SmsGateway, behaviour: Any) -> None:
    """An open door for a vendor that is down is no door for tokens that make it complain."""
    server.behaviours = [behaviour]
    with running(tmp_path, world, **vendor("turnstile", server.url(), captcha_down="open")) as app:
        assert act(Client(app), "register", captcha=TOKEN).status in (403, 503)
        assert "user.registered" not in actions(app)


def test_solving_needs_no_account_to_be_there(app: App, client: Client) -> None:
    """The demand is the same for addresses that have an account and those that have none, before anything is read of either."""
    account(app)
    known, unknown = act(client, "forgot"), client.post("/password/forgot", {"email": "nobody@mail.com"})
    assert {**known.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert solved(client.get("/captcha?action=forgot").json())
