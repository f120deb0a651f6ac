"""The box of the CAPTCHA on pages: where it stands, and that only a page with one may run scripts, and only those."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.providers.captcha_vendors import VENDORS
from tests.captchas import EASY, SITE_KEY, vendor
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, running

HTML = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"
PLAIN = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
G, S = "https://www.google.com/recaptcha/", "https://www.gstatic.com/recaptcha/"
H = "https://hcaptcha.com https://*.hcaptcha.com"
C = "https://challenges.cloudflare.com"
FRAMES = f"{G} https://recaptcha.google.com/recaptcha/"
POLICIES = {
    "altcha": {"script-src": "'self'", "connect-src": "'self'"},
    "turnstile": {"script-src": C, "frame-src": C},
    "hcaptcha": {"script-src": H, "frame-src": H, "connect-src": H, "style-src": f"'self' {H}"},
    "recaptcha": {"script-src": f"{G} {S}", "frame-src": FRAMES, "connect-src": G},
    "recaptcha_v3": {"script-src": f"'self' {G} {S}", "frame-src": FRAMES, "connect-src": f"'self' {G}"},
}


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **EASY) as app:
        yield app


def page(app: App, path: str) -> Answer:
    return Client(app).get(path, headers=HTML)


def policy(answer: Answer) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in str(answer.header("Content-Security-Policy")).split("; "))


def sent(app: App, path: str, **fields: str) -> Answer:
    return Client(app).post(path, raw=urlencode(fields).encode(), content_type=FORM, headers=HTML)


@pytest.mark.parametrize("name", POLICIES)
def test_a_page_with_a_captcha_may_load_what_that_one_needs(tmp_path: Path, world: FakeWorld, name: str) -> None:
    """Our own script, or the vendor's; nothing inline; all else of the policy stays. Pages without one stay as they are."""
    settings = EASY if name == "altcha" else vendor(name, "https://vendor.example/verify", captcha_on="register:always,login:risk")
    with running(tmp_path, world, **settings) as app:
        answer = page(app, "/register")
        plain = dict(part.split(" ", 1) for part in PLAIN.split("; "))
        assert policy(answer) == plain | POLICIES[name]
        assert "unsafe" not in str(answer.header("Content-Security-Policy"))
        for path in ("/login", "/password/forgot"):
            assert page(app, path).header("Content-Security-Policy") == PLAIN
            assert b"<script" not in page(app, path).body
            assert b"captcha" not in page(app, path).body
    scripts = re.findall(r'<script src="([^"]*)" defer></script>', answer.body.decode())
    assert answer.body.count(b"<script") == len(scripts)
    ours = [script for script in scripts if re.fullmatch(r"/assets/captcha\.js\?v=[0-9a-f]{12}", script)]
    theirs = [] if name == "altcha" else [VENDORS[name].script + (SITE_KEY if name == "recaptcha_v3" else "")]
    assert scripts == theirs + ours
    assert bool(ours) is (name in ("altcha", "recaptcha_v3"))
    assert b"<noscript>" in answer.body


def test_where_it_is_always_asked_for_the_page_has_it_from_the_start(tmp_path: Path, world: FakeWorld) -> None:
    """Each form its own, with the action and the address of its challenges, below a mount too."""
    on = "register:always,login:always,magic:always,forgot:always"
    with running(tmp_path, world, **EASY | {"captcha_on": on, "public_url": "http://127.0.0.1:8000/auth"}) as app:
        found = [
            re.findall(r'data-challenge="([^"]*)"', page(app, path).body.decode()) for path in ("/register", "/login", "/password/forgot")
        ]
        assert re.findall(r'<script src="([^?"]*)', page(app, "/login").body.decode()) == ["/auth/assets/captcha.js"]
    assert found == [
        ["/auth/captcha?action=register"],
        ["/auth/captcha?action=login", "/auth/captcha?action=magic"],
        ["/auth/captcha?action=forgot"],
    ]


def test_a_page_that_was_refused_for_want_of_one_keeps_what_was_typed(tmp_path: Path, world: FakeWorld) -> None:
    """But for passwords and the CAPTCHA itself; the status is that of the refusal, and so with one that does not pass."""
    with running(tmp_path, world, **EASY | {"captcha_on": "login:always,register:always"}) as app:
        for more in ({}, {"captcha": "not-a-captcha"}):
            answer = sent(app, "/register", email=EMAIL, name="Marie", password=PASSWORD, **more)
            text = answer.body.decode()
            assert answer.status == 403
            assert 'role="alert"' in text
            assert f'value="{EMAIL}"' in text
            assert 'value="Marie"' in text
            assert PASSWORD not in text
            assert "not-a-captcha" not in text
            assert 'data-action="register"' in text


def test_at_risk_the_box_stays_until_the_risk_is_over(tmp_path: Path, world: FakeWorld) -> None:
    """Asked for once, it is there at the next refusal too, whatever that is for; in the form that it is asked for only."""
    from tests.captchas import fresh

    with running(tmp_path, world, **EASY | {"captcha_on": "login:risk,magic:risk", "limit_login_delay": "0"}) as app:
        client = Client(app)
        client.register()
        for _ in range(5):
            assert b"captcha" not in sent(app, "/login", email=EMAIL, password="wrong-password-1").body
        asked = sent(app, "/login", email=EMAIL, password=PASSWORD)
        assert re.findall(r'data-action="([a-z]*)"', asked.body.decode()) == ["login"]
        wrong = sent(app, "/login", email=EMAIL, password="wrong-password-1", captcha=fresh(client, "login"))
        assert wrong.status == 401
        assert re.findall(r'data-action="([a-z]*)"', wrong.body.decode()) == ["login"]
        assert policy(wrong)["script-src"] == "'self'"
        assert sent(app, "/login", email=EMAIL, password=PASSWORD, captcha=fresh(client, "login")).status == 303


def test_the_script_is_an_asset_that_no_folder_replaces(tmp_path: Path, world: FakeWorld, app: App) -> None:
    """Served with its type, to be kept, under an address that changes with it."""
    answer = Client(app).get("/assets/captcha.js")
    assert (answer.status, answer.header("Content-Type")) == (200, "text/javascript; charset=utf-8")
    assert answer.header("Cache-Control") == "public, max-age=3600"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    text = answer.body.decode()
    assert "eval" not in text
    assert "innerHTML" not in text
    assert not re.search(r"https?://", text)


def test_a_refusal_that_cannot_be_checked_is_told_in_words(tmp_path: Path, world: FakeWorld) -> None:
    """A vendor that is down: 503 on the same page, with when to come again."""
    with running(tmp_path, world, **vendor("turnstile", "http://127.0.0.1:9/verify")) as app:
        answer = sent(app, "/register", email=EMAIL, password=PASSWORD, **{"cf-turnstile-response": "token"})
        assert (answer.status, answer.header("Retry-After")) == (503, "30")
        assert b"The CAPTCHA cannot be checked just now." in answer.body
        assert f'value="{EMAIL}"'.encode() in answer.body
