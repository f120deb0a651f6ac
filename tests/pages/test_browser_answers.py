"""What a browser gets where a program gets JSON: the same acts, statuses and cookies, and pages to go on from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.problems import KINDS
from authsvc.routes import ROUTES
from tests.phone import enrol_totp
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running

FORM = "application/x-www-form-urlencoded"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
HTML = {"Accept": BROWSER}
OWN = "http://127.0.0.1:8000"
NEW_PASSWORD = "amber-lantern-47"
LINK = re.compile(r"/(?:login/magic|email/verify|email/undo|password/reset)/[\w.-]+")


def send(client: Client, path: str, headers: dict[str, str] | None = None, **fields: str) -> Answer:
    """Post a form as a browser does from our own page."""
    raw = urlencode(fields).encode()
    typed = {"CONTENT_TYPE": FORM}  # also where the form has no fields
    return client.call("POST", path, raw=raw, environ=typed, headers={**HTML, "Origin": OWN, **(headers or {})})


def look(client: Client, path: str, **headers: str) -> Answer:
    """Go to a page."""
    return client.get(path, headers=HTML | {name.replace("_", "-"): value for name, value in headers.items()})


def signed_in(app: App, **more: Any) -> tuple[Client, Any]:
    """A browser with the cookies of a new account, and the account."""
    client = Client(app, keep_cookies=True)
    return client, client.register(options={"setCookie": True}, **more)["user"]


def links(app: App, world: FakeWorld) -> list[str]:
    """The paths of all links that were mailed, oldest first."""
    while app.deliveries.run_once():
        pass
    return [found for line in world.lines for found in LINK.findall(line)]


def cookies(answer: Answer) -> list[str]:
    """The names, paths and attributes of the cookies that an answer sets, without their values."""
    return sorted(re.sub(r"=[^;]*", "", cookie, count=1) for cookie in answer.header_list("Set-Cookie"))


def title(answer: Answer) -> str:
    """The heading of a page."""
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    (found,) = re.findall(r"<h1>(.*?)</h1>", answer.body.decode())
    return str(found)


def test_every_page_has_the_strict_policy_and_is_kept_by_nobody(client: Client) -> None:
    """Scripts, frames and other sites' forms have no way in; the answer depends on Accept."""
    answer = look(client, "/login")
    assert answer.header("Content-Security-Policy") == (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("Vary") == "Accept, Origin"
    assert answer.header("X-Request-Id")


def test_the_policy_lets_forms_end_at_the_listed_apps_only(tmp_path: Path) -> None:
    """Chromium checks where the answer to a form leads."""
    with running(tmp_path, app_origins="https://app.example.com,https://b.example.com:8443") as app:
        policy = str(look(Client(app), "/login").header("Content-Security-Policy"))
    assert "form-action 'self' https://app.example.com https://b.example.com:8443;" in policy


@pytest.mark.parametrize(
    ("path", "fields", "target"),
    [
        ("/login", {"email": EMAIL, "password": PASSWORD}, "/account"),
        ("/register", {"email": "b@mail.com", "password": PASSWORD, "options.setCookie": "on"}, "/account"),
    ],
)
def test_the_cookies_of_the_json_answer_are_on_the_redirect(
    app: App, client: Client, path: str, fields: dict[str, str], target: str
) -> None:
    """All three, with the same attributes, and no token stands in the address or the body."""
    client.register()
    body: dict[str, Any] = {name: value for name, value in fields.items() if "." not in name} | {"options": {"setCookie": True}}
    program = client.post(path, body | ({"email": "c@mail.com"} if path == "/register" else {}))
    answer = send(client, path, **fields)
    assert (answer.status, answer.header("Location"), answer.body) == (303, target, b"")
    assert cookies(answer) == cookies(program)
    assert {cookie.partition(";")[0] for cookie in cookies(answer)} == {"authsvc_access", "authsvc_device", "authsvc_refresh"}


def test_the_cookie_of_a_mailed_link_is_on_its_page(app: App, client: Client) -> None:
    """The browser that asked is known again."""
    program = client.post("/login/magic", {"email": EMAIL})
    answer = send(client, "/login/magic", email=EMAIL)
    assert (answer.status, title(answer)) == (202, "Check your mail")
    assert cookies(answer) == cookies(program) == ["authsvc_magic; Max-Age=600; Path=/login/magic; HttpOnly; SameSite=Lax"]


def test_signing_out_clears_both_cookies_and_ends_the_session(app: App) -> None:
    """As for a program; then the sign-in page."""
    browser, _ = signed_in(app)
    answer = send(browser, "/token/revoke")
    assert (answer.status, answer.header("Location")) == (303, "/login")
    assert [cookie.split("; ")[:2] for cookie in sorted(answer.header_list("Set-Cookie"))] == [
        ["authsvc_access=", "Max-Age=0"],
        ["authsvc_refresh=", "Max-Age=0"],
    ]
    assert actions(app)[-1] == "session.revoked"


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        ("/login", {"email": EMAIL, "password": "not-this-one"}, "invalid_credentials"),
        ("/login", {"email": "x"}, "invalid_request"),
        ("/login", {"email": EMAIL, "password": PASSWORD, "nothing": "1"}, "invalid_request"),
        ("/register", {"email": EMAIL, "password": PASSWORD}, "email_taken"),
        ("/register", {"email": "b@mail.com", "password": "short"}, "invalid_request"),
        ("/register", {"email": "b@mail.com", "password": PASSWORD, "roles": "admin"}, "forbidden"),
        ("/login/magic", {"email": EMAIL, "redirect_to": "https://evil.example/"}, "invalid_request"),
        ("/password/forgot", {"email": "x"}, "invalid_request"),
        ("/otp/verify", {"challenge_id": "chl_x", "code": "123456"}, "code_invalid"),
        ("/password/reset/none", {"password": NEW_PASSWORD}, "link_invalid"),
        ("/email/verify/none", {}, "link_invalid"),
        ("/email/undo/none", {}, "link_invalid"),
        ("/login/magic/none", {}, "link_invalid"),
        ("/email/verify", {}, "invalid_request"),
        ("/reauthenticate", {"password": PASSWORD}, "unauthenticated"),
        ("/password/change", {"new_password": NEW_PASSWORD}, "unauthenticated"),
        ("/sessions?_method=DELETE", {}, "unauthenticated"),
        ("/sessions/ses_x?_method=DELETE", {}, "unauthenticated"),
        ("/user/usr_x?_method=PUT", {"name": "x"}, "unauthenticated"),
    ],
)
def test_a_refused_form_has_the_status_of_its_problem(app: App, client: Client, path: str, fields: dict[str, str], code: str) -> None:
    """A page, no cookie, no redirect; a 401 names the scheme (RFC 9110 section 15.5.2), as the contract says of each."""
    client.register()
    before = len([row for row in event_rows(app) if row["outcome"] == "success"])
    answer = send(client, path, **fields)
    assert answer.status == KINDS[code].status
    assert title(answer)
    assert answer.header("Location") is None
    assert not answer.header_list("Set-Cookie")
    assert len([row for row in event_rows(app) if row["outcome"] == "success"]) == before
    challenge = answer.header("WWW-Authenticate")
    assert (challenge or "").startswith("Bearer") is (answer.status == 401)


def test_a_page_that_refuses_by_a_limit_says_when_to_come_again(tmp_path: Path) -> None:
    """429 with Retry-After, on the form's own page."""
    with running(tmp_path, limit_login_network="1/60s") as app:
        client = Client(app)
        send(client, "/login", email=EMAIL, password=PASSWORD)
        answer = send(client, "/login", email=EMAIL, password=PASSWORD)
    assert (answer.status, title(answer), answer.header("Retry-After")) == (429, "Sign in", "60")


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": OWN + ".evil.example"},
    {"Origin": "http://127.0.0.1:8001"},
    {"Origin": OWN + "/"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
POSTS = [route.path for route in ROUTES if route.method == "POST" and not route.foreign]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_no_form_of_a_foreign_site_does_anything(app: App, world: FakeWorld, headers: dict[str, str]) -> None:
    """Every path that takes a form answers csrf_failed, with a page where it has one; the body is not even read."""
    client, user = signed_in(app)
    before, held = event_rows(app), dict(client.cookies)
    params = {":token": "x", ":user_id": user["id"], ":session_id": "ses_x"}
    targets = POSTS + [f"{route.path}?_method={route.method}" for route in ROUTES if route.method in ("PUT", "DELETE")]
    for path in targets:
        for name, value in params.items():
            path = path.replace(name, value)  # noqa: PLW2901
        raw = urlencode({"email": EMAIL, "password": PASSWORD}).encode()
        for cookies_sent in (True, False):
            client.keep_cookies = cookies_sent
            answer = client.call("POST", path, raw=raw, content_type=FORM, headers=HTML | headers)
            assert answer.status == 403, path
            assert b"foreign" in answer.body or b"origin" in answer.body
            assert not answer.header_list("Set-Cookie")
            assert PASSWORD.encode() not in answer.body
    assert event_rows(app) == before
    assert client.cookies == held
    assert world.lines.count("Traceback") == 0


def test_forms_from_here_from_listed_apps_and_from_no_browser_pass(tmp_path: Path) -> None:
    """The origins that are trusted, same-origin and typed addresses, and curl."""
    trusted: list[dict[str, str]] = [
        {"Origin": OWN},
        {"Origin": "https://app.example.com"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {},
    ]
    with running(tmp_path, app_origins="https://app.example.com") as app:
        client = Client(app)
        client.register()
        for headers in trusted:
            raw = urlencode({"email": EMAIL, "password": PASSWORD}).encode()
            assert client.call("POST", "/login", raw=raw, content_type=FORM, headers=HTML | headers).status == 303


def test_the_account_page_of_nobody_leads_to_the_sign_in(app: App) -> None:
    """First to the renewal, whose cookie may still be good; from there, without one, to the sign-in, and no loop."""
    client = Client(app, keep_cookies=True)
    first = look(client, "/account")
    assert (first.status, first.header("Location")) == (303, "/token/refresh")
    second = look(client, "/token/refresh")
    assert (second.status, second.header("Location")) == (303, "/login")
    assert all("Max-Age=0" in cookie for cookie in second.header_list("Set-Cookie"))
    assert look(client, "/login").status == 200
    assert actions(app) == []


def test_a_session_is_renewed_on_the_way_to_its_page(app: App, world: FakeWorld) -> None:
    """Once the access token has run out, two redirects later the page is there, with new cookies of the same session."""
    client, _ = signed_in(app)
    old = dict(client.cookies)
    world.advance(1_000)
    assert look(client, "/account").header("Location") == "/token/refresh"
    renewed = look(client, "/token/refresh", Sec_Fetch_Site="same-origin")
    assert (renewed.status, renewed.header("Location"), renewed.body) == (303, "/account", b"")
    page = look(client, "/account")
    assert (page.status, title(page)) == (200, "Your account")
    assert client.cookies["authsvc_refresh"] != old["authsvc_refresh"]
    assert page.body.count(b"this one") == page.body.count(b"last seen") == 1


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site"])
def test_a_foreign_link_to_the_account_does_not_renew_by_itself(app: App, world: FakeWorld, site: str) -> None:
    """The browser would leave out its cookie, and a foreign site may not trigger it: a page of ours goes on from there."""
    client, _ = signed_in(app)
    world.advance(1_000)
    answer = look(client, "/account", Sec_Fetch_Site=site)
    assert (answer.status, title(answer), answer.header("Location")) == (200, "Your account", None)
    assert b'<meta http-equiv="refresh" content="0; url=/token/refresh">' in answer.body
    assert b'<a href="/token/refresh">' in answer.body
    assert EMAIL.encode() not in answer.body
    held = dict(client.cookies)
    assert look(client, "/token/refresh", Sec_Fetch_Site=site).status == 403
    assert client.cookies == held
    assert "session.refreshed" not in actions(app)


def test_a_browser_of_a_live_session_sees_its_account_from_anywhere(app: App) -> None:
    """With a good access cookie there is nothing to renew."""
    client, user = signed_in(app, name="Zoë")
    answer = look(client, "/account", Sec_Fetch_Site="cross-site")
    assert (answer.status, title(answer)) == (200, "Your account")
    assert "Zoë" in answer.body.decode()
    assert f'action="/user/{user["id"]}?_method=PUT"' in answer.body.decode()


@pytest.mark.parametrize(
    ("path", "fields", "done"),
    [
        ("/user/:id?_method=PUT", {"name": "Zoë"}, "saved"),
        ("/user/:id?_method=PUT", {"email": "new@mail.com"}, "mail"),
        ("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, "password"),
        ("/sessions?_method=DELETE", {}, "sessions"),
        ("/sessions/:other?_method=DELETE", {}, "session"),
        ("/reauthenticate", {"password": PASSWORD}, "again"),
    ],
)
def test_each_form_of_the_account_leads_back_to_it(app: App, path: str, fields: dict[str, str], done: str) -> None:
    """With a word in the query, which the page tells in a sentence of its own; the browser stays signed in."""
    client, user = signed_in(app)
    other = Client(app).login()["session_id"]
    answer = send(client, path.replace(":id", user["id"]).replace(":other", other), **fields)
    assert (answer.status, answer.header("Location"), answer.body) == (303, f"/account?done={done}", b"")
    page = look(client, f"/account?done={done}")
    assert page.status == 200
    assert page.body.count(b'role="status"') == 1


@pytest.mark.parametrize("done", ["", "nothing", "<b>", "saved%20"])
def test_an_unknown_word_says_nothing(app: App, done: str) -> None:
    """The query chooses one of our own sentences; nobody else's gets onto the page."""
    client, _ = signed_in(app)
    answer = look(client, f"/account?done={done}")
    assert answer.status == 200
    assert b'role="status"' not in answer.body
    assert b"nothing" not in answer.body


def test_an_act_that_needs_a_recent_sign_in_asks_for_the_password(app: App, world: FakeWorld) -> None:
    """Nothing is done; the page says why in words for people."""
    client, user = signed_in(app)
    world.advance(800)
    look(client, "/token/refresh")
    world.advance(200)
    answer = send(client, f"/user/{user['id']}?_method=PUT", email="new@mail.com")
    assert (answer.status, title(answer)) == (401, "Is it you?")
    assert f'value="{EMAIL}"' in answer.body.decode()
    assert "POST" not in answer.body.decode()
    assert "email.verification_sent" not in actions(app)


@pytest.mark.parametrize(
    ("setting", "fields"),
    [
        ({"email_verification": "required"}, {"email": EMAIL, "password": PASSWORD}),
        ({}, {"email": EMAIL, "password": "not-this-one"}),
    ],
)
def test_what_a_form_says_is_for_people(tmp_path: Path, setting: dict[str, str], fields: dict[str, str]) -> None:
    """No paths of the API, no names of settings, no markup of its documentation."""
    with running(tmp_path, **setting) as app:
        client = Client(app)
        client.post("/register", {"email": EMAIL, "password": PASSWORD})
        body = send(client, "/login", **fields).body.decode()
    (alert,) = re.findall(r'role="alert">(.*?)</div>', body)
    assert not re.search(r"POST |GET |/email/|AUTHSVC_|`|get the same answer", alert), alert


def test_a_method_in_the_query_counts_for_forms_only(app: App) -> None:
    """JSON, GET, and bodies of other kinds have the method that they were sent with."""
    client, user = signed_in(app)
    path = f"/user/{user['id']}?_method=PUT"
    assert client.post(path, {"name": "Zoë"}).status == 405
    assert client.get(path).status == 422
    assert client.post("/sessions?_method=DELETE", {}).status == 405
    assert client.call("POST", "/sessions?_method=DELETE").status == 405
    assert client.call("POST", path, raw=b"name=x", content_type="text/plain").status == 405
    assert client.call("POST", path, raw=b"name=x", content_type="multipart/form-data").status == 405
    assert client.get("/user")["name"] is None
    assert "user.updated" not in actions(app)
    assert send(client, path, name="Zoë").status == 303
    assert client.get("/user")["name"] == "Zoë"


@pytest.mark.parametrize(
    "query",
    [
        "_method=GET",
        "_method=PATCH",
        "_method=put",
        "_method=",
        "_method=PUT%20",
        "_method=OPTIONS",
        "x=1&_method=PUT",
        "method=PUT",
        "_method=PUT;",
        "_METHOD=PUT",
    ],
)
def test_no_other_method_can_be_meant(app: App, query: str) -> None:
    """Only PUT and DELETE, so spelled, first in the query."""
    client, user = signed_in(app)
    assert send(client, f"/user/{user['id']}?{query}", name="Zoë").status == 405
    assert "user.updated" not in actions(app)


def test_a_method_in_the_query_leaves_the_rest_of_it(app: App) -> None:
    """`all=true` behind it still ends every session, and an unknown name is still refused."""
    client, _ = signed_in(app)
    assert send(client, "/sessions?_method=DELETE&none=1").status == 422
    assert send(client, "/sessions?_method=DELETE&all=true").status == 303
    assert actions(app).count("session.revoked") == 1
    assert look(client, "/account").header("Location") == "/token/refresh"


def test_programs_get_json_and_browsers_pages(world: FakeWorld, client: Client) -> None:
    """By what Accept likes best; no Accept, or `*/*` alone, is a program's."""
    client.register()
    body = {"email": EMAIL, "password": "not-this-one"}
    for accept, page in (("application/json", False), ("*/*", False), (BROWSER, True), ("text/html", True), ("text/html;q=0", False)):
        world.advance(60)  # nobody waits for the failure before
        answer = client.post("/login", body, headers={"Accept": accept})
        assert answer.status == 401
        assert (answer.header("Content-Type") == "text/html; charset=utf-8") is page
    world.advance(60)
    assert client.post("/login", body).code == "invalid_credentials"


def test_a_mailed_link_is_not_spent_by_looking(app: App, world: FakeWorld, client: Client) -> None:
    """A scanner, a HEAD and a browser that loads ahead see the button; the button's post signs in, once."""
    client.post("/login/magic", {"email": EMAIL})
    (path,) = links(app, world)
    for headers in ({}, HTML, {"Accept": "*/*"}, HTML | {"Sec-Purpose": "prefetch;prerender"}, HTML | {"Purpose": "prefetch"}):
        answer = client.get(path, headers=headers)
        assert (answer.status, title(answer)) == (200, "Sign in")
        assert EMAIL not in answer.body.decode()
    assert client.call("HEAD", path, headers={"Accept": "application/json"}).status == 200
    assert "magic.used" not in actions(app)
    first, second = send(client, path), send(client, path)
    assert (first.status, first.header("Location")) == (303, "/account")
    assert (second.status, title(second)) == (410, "This link is no longer valid")
    assert not second.header_list("Set-Cookie")
    assert actions(app).count("magic.used") == 1


def test_a_reset_form_keeps_its_link_until_it_is_used(app: App, world: FakeWorld, client: Client) -> None:
    """A refused password spends nothing and changes nothing; the token is in no link or field of the page."""
    client.register()
    client.post("/password/forgot", {"email": EMAIL})
    (path,) = links(app, world)
    token = path.rpartition("/")[2]
    shown = look(client, path)
    assert (shown.status, title(shown)) == (200, "Choose a new password")
    assert token not in shown.body.decode()
    refused = send(client, path, password="short")
    assert (refused.status, title(refused)) == (422, "Choose a new password")
    assert token not in refused.body.decode()
    assert "password.reset" not in actions(app)
    done = send(client, path, password=NEW_PASSWORD)
    assert (done.status, title(done)) == (200, "Password set")
    assert not done.header_list("Set-Cookie")
    assert send(client, path, password=PASSWORD).status == 410
    assert client.login(password=NEW_PASSWORD).status == 200
    assert client.login().status == 401


def test_pages_below_a_path_stay_below_it(tmp_path: Path, world: FakeWorld) -> None:
    """Every link, form, stylesheet, redirect and cookie path begins with the path of the public URL."""
    with running(tmp_path, world, public_url="http://127.0.0.1:8000/auth") as app:
        client, _ = signed_in(app)
        pages = [look(client, f"/auth{path}") for path in ("/login", "/register", "/password/forgot", "/account")]
        found = [value for page in pages for value in re.findall(r'(?:href|action)="([^"]*)"', page.body.decode())]
        assert {value for value in found if not value.startswith("/auth/")} == {"data:,"}
        assert client.get("/auth/assets/style.css").status == 200
        world.advance(1_000)
        assert look(client, "/auth/account").header("Location") == "/auth/token/refresh"
        assert send(client, "/auth/token/revoke").header("Location") == "/auth/login"
        asked = send(Client(app), "/auth/login/magic", email=EMAIL)
        assert "Path=/auth/login/magic" in str(asked.header("Set-Cookie"))


def test_a_fault_of_ours_is_not_shown(app: App, world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template that fails is a 500 that says nothing; the log has it."""
    monkeypatch.setattr("authsvc.pages.views.login", lambda *_: 1 / 0)
    answer = look(Client(app), "/login")
    assert (answer.status, answer.code) == (500, "internal")
    assert b"division" not in answer.body
    assert any("ZeroDivisionError" in line for line in world.lines)


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/login", 405), ("PUT", "/account", 405), ("GET", "/nowhere", 404)])
def test_what_is_no_page_is_told_on_one(client: Client, method: str, path: str, status: int) -> None:
    """A wrong path or method looks like the rest in a browser, and a 405 still lists what is allowed (RFC 9110 section 15.5.6)."""
    answer = client.call(method, path, headers=HTML | {"Origin": OWN})
    program = client.call(method, path)
    assert (answer.status, answer.header("Allow")) == (status, program.header("Allow"))
    assert program.code == {404: "not_found", 405: "method_not_allowed"}[status]
    assert title(answer)
    assert (answer.header("Allow") is not None) is (status == 405)


def test_a_change_to_the_present_address_promises_no_mail(app: App) -> None:
    """Nothing is sent, and so nothing is said to have been."""
    client, user = signed_in(app)
    answer = send(client, f"/user/{user['id']}?_method=PUT", email=EMAIL)
    assert (answer.status, answer.header("Location")) == (303, "/account?done=saved")
    assert app.deliveries.run_once() == 0


def test_who_must_confirm_first_can_ask_for_another_mail(tmp_path: Path) -> None:
    """The right password of an unconfirmed account leads to a page whose button sends one, and not into the dark."""
    with running(tmp_path, email_verification="required") as app:
        client = Client(app)
        client.post("/register", {"email": EMAIL, "password": PASSWORD})
        refused = send(client, "/login", email=EMAIL, password=PASSWORD)
        assert refused.status == 403
        assert b'action="/email/verify"' in refused.body
        assert b'name="email" value="example@mail.com"' in refused.body
        assert send(client, "/email/verify", email=EMAIL).status == 202
        app.deliveries.run_once()
        assert sum("--- mail to" in line for line in app.core.world.lines) == 1, "the newer ends the older"


def test_a_session_older_than_the_factor_is_asked_for_the_factor(tmp_path: Path, world: FakeWorld) -> None:
    """The password alone would be accepted and lead nowhere; after a code of the factor the same act is done."""
    with running(tmp_path, world) as app:
        older, _ = signed_in(app)
        newer = Client(app).login()["access_token"]
        owner = enrol_totp(Client(app), newer)
        asked = send(older, "/mfa/recovery-codes")
        assert (asked.status, title(asked)) == (401, "Is it you?")
        assert owner.factor_id.encode() in asked.body
        assert b"POST /" not in asked.body
        assert b'name="password"' not in asked.body
        wrong = send(older, "/reauthenticate", factor_id=owner.factor_id, code=owner.wrong())
        assert (wrong.status, title(wrong)) == (422, "Is it you?")
        assert b"not the right code" in wrong.body
        right = send(older, "/reauthenticate", factor_id=owner.factor_id, code=owner.next())
        assert (right.status, right.header("Location")) == (303, "/account?done=again")
        assert title(send(older, "/mfa/recovery-codes")) == "Your recovery codes"


def test_a_refused_code_of_an_app_is_not_called_sent(app: App) -> None:
    """Nothing was sent, and there is no mail with a link."""
    client = Client(app)
    owner = enrol_totp(client, client.register()["access_token"])
    mfa_token = client.login()["mfa_token"]
    bodies = [send(client, "/mfa/verify", mfa_token=mfa_token, code=owner.wrong()).body for _ in range(6)]
    assert b"not the right code" in bodies[0]
    assert b"too many wrong codes" in bodies[5]
    assert not any(words in body for body in bodies for words in (b"was sent", b"the mail"))
