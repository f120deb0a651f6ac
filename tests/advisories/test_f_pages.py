"""F6 and B9 as a browser meets them: files, templates, markup, frames and forged forms of the pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.routes import ROUTES
from tests.http.bare import Bare
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, event_rows, running

FORM = "application/x-www-form-urlencoded"
HTML = {"Accept": "text/html"}
FOREIGN: list[dict[str, str]] = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
# What a form of another site can send without asking: the three types of forms, and beacons without one.
ENCODINGS: dict[str, bytes] = {
    FORM: urlencode({"email": EMAIL, "password": PASSWORD}).encode(),
    "text/plain": b'{"email":"' + EMAIL.encode() + b'","password":"' + PASSWORD.encode() + b'","name":"="}',
    "multipart/form-data; boundary=x": b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\n' + EMAIL.encode() + b"\r\n--x--\r\n",
    "": b'{"email":"' + EMAIL.encode() + b'","password":"' + PASSWORD.encode() + b'"}',
}


def concrete(path: str, user_id: str) -> str:
    """A path with something in the place of each parameter."""
    return re.sub(r":\w+", "x", path.replace(":user_id", user_id))


def victim(app: App) -> tuple[Client, str]:
    """A browser that is signed in, and its user's id."""
    client = Client(app, keep_cookies=True)
    user = client.register(options={"setCookie": True})["user"]
    return client, user["id"]


def check_page(answer: Answer) -> None:
    """The headers that keep a page from being framed, scripted or sniffed."""
    policy = dict(part.split(" ", 1) for part in str(answer.header("Content-Security-Policy")).split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    if str(answer.header("Content-Type")).startswith("text/html"):
        assert policy["base-uri"] == "'none'"
        assert policy["style-src"] == "'self'"
        assert "script-src" not in policy
        assert "unsafe" not in str(policy)
        assert "*" not in str(policy)


def test_f6_no_answer_to_a_browser_can_be_framed_or_run_scripts(app: App) -> None:
    """Every route, good or refused, signed in or not: the policy allows nothing but our stylesheet and our forms."""
    browser, user_id = victim(app)
    pages = 0
    for route in sorted(ROUTES, key=lambda route: route.path == "/token/revoke"):
        for client in (Client(app), browser):
            path = concrete(route.path, user_id)
            answer = client.call(route.method, path, headers=HTML | {"Origin": "http://127.0.0.1:8000"})
            check_page(answer)
            pages += str(answer.header("Content-Type")).startswith("text/html")
            assert b"<script" not in answer.body
            assert not re.search(rb"\son[a-z]+=|\sstyle=|javascript:", answer.body)
    assert pages > 30


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../authsvc.db",
        "/assets/..",
        "/assets/%2e%2e/x",
        "/assets/..%2fauthsvc.db.key",
        "/assets//etc/passwd",
        "/assets/\0",
        "/assets/a\0.css",
    ],
    ids=ascii,
)
def test_f6_no_file_is_served_but_the_assets(app: App, path: str) -> None:
    """Traversal in any spelling is a 404."""
    answer = Bare(app).get("/", environ={"PATH_INFO": path}, headers=HTML)
    assert answer.status == 404
    assert b"SQLite" not in answer.body
    assert b"root:" not in answer.body


def test_f6_a_link_in_the_own_folder_is_the_only_way_out_of_it(tmp_path: Path) -> None:
    """The folder is read once, at the start, by the names in it: what appears later is not served."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "logo.svg").write_text("<svg/>", "utf-8")
    with running(tmp_path, pages=str(own)) as app:
        (own / "later.svg").write_text("<svg/>", "utf-8")
        assert Client(app).get("/assets/logo.svg").status == 200
        assert Client(app).get("/assets/later.svg").status == 404


@pytest.mark.parametrize("value", ["${password}", "$content", "{{7*7}}", "{0.__class__}", "%(x)s", "<%= 1 %>", "#{1}", "$$"])
def test_f6_a_user_value_is_never_a_template(app: App, value: str) -> None:
    """What looks like a placeholder of any language stands on the page as it was written."""
    client, user_id = victim(app)
    client.put(f"/user/{user_id}", {"name": value})
    body = client.get("/account", headers=HTML).body.decode()
    escaped = value.replace("<", "&lt;").replace(">", "&gt;")
    assert f"<dd>{escaped}</dd>" in body
    assert body.count("<h1>") == 1
    assert "49" not in re.sub(r"usr_\w+|ses_\w+|v=\w+", "", body)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("kind", ENCODINGS)
def test_b9_no_form_of_another_site_acts_for_a_signed_in_user(app: App, kind: str, headers: dict[str, str]) -> None:
    """Every changing route, in each encoding that a form can have: csrf_failed, nothing done, the session goes on."""
    browser, user_id = victim(app)
    before, held = event_rows(app), dict(browser.cookies)
    targets = {concrete(route.path, user_id) for route in ROUTES if route.method == "POST" and not route.foreign}
    targets |= {f"{concrete(route.path, user_id)}?_method={route.method}" for route in ROUTES if route.method in ("PUT", "DELETE")}
    for path in sorted(targets):
        answer = browser.call("POST", path, raw=ENCODINGS[kind], content_type=kind, headers=HTML | headers)
        assert answer.status == 403 or ("_method" in path and kind != FORM and answer.status in (404, 405)), (path, answer.body)
        assert not answer.header_list("Set-Cookie")
    assert event_rows(app) == before
    assert browser.cookies == held
    assert browser.get("/user").status == 200


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("kind", ENCODINGS)
def test_b9_no_form_of_another_site_signs_a_browser_in(app: App, kind: str, headers: dict[str, str]) -> None:
    """Login CSRF: without any cookie, the browser gets none; what no form of ours would send is refused anyhow."""
    Client(app).register()
    before = event_rows(app)
    for path in ("/login", "/register", "/login/magic", "/otp/verify"):
        answer = Client(app).call("POST", path, raw=ENCODINGS[kind], content_type=kind, headers=HTML | headers)
        assert answer.status in ((403,) if kind == FORM else (403, 415))
        assert not answer.header_list("Set-Cookie")
    assert event_rows(app) == before


@pytest.mark.parametrize("headers", [*FOREIGN, {"Sec-Fetch-Site": "same-site"}], ids=str)
@pytest.mark.parametrize("path", ["/token/refresh", "/token/revoke"])
def test_b9_a_foreign_link_neither_renews_nor_ends_a_session(app: App, path: str, headers: dict[str, str]) -> None:
    """A GET that changes state by a cookie is guarded like a POST; also where it has a page."""
    browser, _ = victim(app)
    before, held = event_rows(app), dict(browser.cookies)
    answer = browser.get(path, headers=HTML | headers)
    assert answer.status == 403
    assert not answer.header_list("Set-Cookie")
    assert event_rows(app) == before
    assert browser.cookies == held


def test_b9_a_link_of_the_attacker_shows_a_button_first(app: App, world: FakeWorld) -> None:
    """A magic link put before a stranger's browser signs it in to nothing; a foreign form cannot press the button."""
    attacker = Client(app)
    attacker.post("/login/magic", {"email": "attacker@mail.com"})
    app.deliveries.run_once()
    (path,) = re.findall(r"/login/magic/\S+", "\n".join(world.lines))
    stranger: Any = Client(app, keep_cookies=True)
    assert stranger.get(path, headers=HTML | {"Sec-Fetch-Site": "cross-site"}).status == 200
    for headers in FOREIGN:
        answer = stranger.call("POST", path, headers=HTML | headers, environ={"CONTENT_TYPE": FORM})
        assert answer.status == 403
    assert stranger.cookies == {}
    assert "magic.used" not in {row["action"] for row in event_rows(app)}


def test_b11_no_page_tells_a_foreign_site_its_own_address(client: Client) -> None:
    """Pages whose address holds a token tell other sites nothing of it, and have no link to one."""
    answer = client.get("/password/reset/x", headers=HTML)
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert re.findall(rb'<meta name="referrer" content="([^"]*)">', answer.body) == [b"strict-origin"]
    assert b"//" not in answer.body.replace(b"<!doctype", b"")
