"""The files of the pages: bundled, replaced by an own folder, and served as assets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.pages.site import ASSET_TYPES, Site
from authsvc.problems import Refused
from tests.http.bare import Bare
from tests.support import Client, make_app, running

HTML = {"Accept": "text/html"}
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
}
TEMPLATES = {
    "captcha",
    "captcha_widget",
    "docs",
    "docs_operation",
    "identities",
    "identity",
    "leave",
    "link",
    "provider",
    "providers",
    "sign_in_again",
    "add_sms",
    "add_email",
    "renew",
    "factor",
    "factors",
    "prove",
    "recovery",
    "authenticator",
    "enrol",
    "send_code",
    "second_step",
    "account",
    "code",
    "confirm",
    "end",
    "field",
    "forgot",
    "layout",
    "login",
    "message",
    "reauthenticate",
    "register",
    "reset",
    "resume",
    "sent",
    "unconfirmed",
    "session",
    "verify",
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An empty folder of one's own."""
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def page(app: App, path: str = "/login") -> str:
    """A page as text."""
    answer = Client(app).get(path, headers=HTML)
    assert answer.status == 200
    return answer.body.decode()


def test_an_own_template_replaces_the_bundled_one_and_no_other(own: Path, tmp_path: Path) -> None:
    """One file in the folder changes one page; `$$` is a dollar."""
    (own / "forgot.html").write_text("<p>Ours, for $$0</p>$email", "utf-8")
    with running(tmp_path, pages=str(own)) as app:
        assert '<p>Ours, for $0</p><label for="email">' in page(app, "/password/forgot")
        assert "Ours" not in page(app)


def test_the_folder_may_have_folders(own: Path, tmp_path: Path) -> None:
    """Files count by their names, wherever they lie; hidden ones do not."""
    (own / "html").mkdir()
    (own / "html" / "layout.html").write_text("<h1>$title</h1>$content", "utf-8")
    (own / ".swp").write_text("$", "utf-8")
    with running(tmp_path, pages=str(own)) as app:
        assert page(app).startswith("<h1>Sign in</h1><form")


def test_an_own_stylesheet_is_served_under_an_address_of_its_own(own: Path, tmp_path: Path) -> None:
    """Browsers that hold the bundled one fetch the new one."""
    (own / "style.css").write_text("h1 { color: red }", "utf-8")
    with running(tmp_path, pages=str(own)) as app:
        (href,) = re.findall(r'<link rel="stylesheet" href="([^"]*)">', page(app))
        answer = Client(app).get(href)
        assert (answer.status, answer.body) == (200, b"h1 { color: red }")
        assert answer.header("Content-Type") == "text/css; charset=utf-8"
        with running(tmp_path / "own", pages="") as bundled:
            assert href not in page(bundled)
            assert b"color-scheme" in Client(bundled).get("/assets/style.css").body


@pytest.mark.parametrize(("suffix", "kind"), KINDS.items())
def test_an_own_asset_is_served_with_its_type(own: Path, tmp_path: Path, suffix: str, kind: str) -> None:
    """Each kind of picture, as bytes, to be kept for an hour, and harmless when opened by itself."""
    (own / f"logo{suffix}").write_bytes(b"\x00<script>\xff")
    with running(tmp_path, pages=str(own)) as app:
        answer = Client(app).get(f"/assets/logo{suffix}")
    assert (answer.status, answer.body) == (200, b"\x00<script>\xff")
    assert answer.header("Content-Type") == kind
    assert answer.header("Cache-Control") == "public, max-age=3600"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Content-Security-Policy") == "default-src 'none'; sandbox; frame-ancestors 'none'"
    assert answer.header("Set-Cookie") is None
    assert ASSET_TYPES == KINDS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nothing.html", b"", "no page has this template"),
        ("LOGIN.html", b"", "no page has this template"),
        ("script.js", b"", "no page has this template, and it is no asset"),
        ("logo.PNG", b"", "no page has this template"),
        ("login.html", b"$user_id", "this page has no $user_id"),
        ("layout.html", b"${password}", "this page has no $password"),
        ("field.html", b"$LABEL", "this page has no $LABEL"),
        ("sent.html", b"costs $5", "a $ that is no placeholder"),
        ("sent.html", b"$code ${", "a $ that is no placeholder"),
        ("sent.html", b"$", "a $ that is no placeholder"),
        ("sent.html", b"\xff", "sent.html"),
        ("sent.html", "é".encode("utf-16"), "sent.html"),
    ],
)
def test_a_fault_in_an_own_file_stops_the_start(own: Path, tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """The message names the setting, the file and the fault; nobody finds it later on a page."""
    (own / name).write_bytes(content)
    with pytest.raises(Refused) as caught:
        make_app(tmp_path, pages=str(own))
    assert "AUTHSVC_PAGES" in str(caught.value)
    assert name in str(caught.value)
    assert words in str(caught.value)


def test_all_faults_are_told_at_once(own: Path) -> None:
    """Every faulty file is in one message, and no good one."""
    for name in ("a.html", "b.js", "login.html", "sent.html"):
        (own / name).write_text("$nothing $", "utf-8")
    (own / "code.html").write_text("$challenge_id", "utf-8")
    with pytest.raises(Refused) as caught:
        Site(str(own))
    assert str(caught.value).count("\n") == 6
    assert "code.html" not in str(caught.value)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """Rather than pages that quietly look like the bundled ones; and a file is no folder."""
    (tmp_path / "file").write_text("", "utf-8")
    for name in ("none", "file"):
        with pytest.raises(Refused, match=f"AUTHSVC_PAGES.*{name}"):
            make_app(tmp_path, pages=str(tmp_path / name))


def test_the_bundled_templates_are_the_ones_that_can_be_replaced() -> None:
    """Each can be replaced by itself, unchanged."""
    bundled = Site("")
    assert {name.removesuffix(".html") for name in bundled._templates} == TEMPLATES
    assert set(bundled.assets) == {"style.css", "captcha.js"}


def test_the_bundled_pages_load_nothing_from_elsewhere() -> None:
    """No address of another host, no script, no style outside of the stylesheet, no picture that is fetched."""
    bundled = Site("")
    for name, template in bundled._templates.items():
        assert not re.search(r"<script|<style|\bstyle=|\bon[a-z]+=|https?://|src=", template.template), name
    assert not re.search(r"@import|url\(", bundled.assets["style.css"].decode())


def test_a_placeholder_is_filled_once_and_never_read_again(own: Path, tmp_path: Path) -> None:
    """A value that looks like a placeholder stays what it is."""
    with running(tmp_path, pages=str(own), name="$title ${content} $$") as app:
        text = page(app)
    assert "<title>Sign in · $title ${content} $$</title>" in text
    assert text.count("<form") == 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app with an own folder, beside which there is a secret."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "own").mkdir()
    (folder / "own" / "logo.svg").write_text("<svg/>", "utf-8")
    (folder / "secret.css").write_text("secret", "utf-8")
    (folder / "own" / "login.html").write_text("secret $email", "utf-8")
    with running(folder, pages=str(folder / "own"), limit_read="0") as app:
        yield app


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "",
        "../secret.css",
        "..\\secret.css",
        "/etc/passwd",
        "//etc/passwd",
        "%2e%2e",
        "%2e%2e%2fsecret.css",
        "..%2fsecret.css",
        "style.css\0",
        "style.css\0.png",
        "\0",
        "style.css/",
        "./style.css",
        "own/logo.svg",
        "STYLE.CSS",
        "style.css ",
        "style",
        "login.html",
        "layout.html",
        "site.py",
        "authsvc.db",
        "authsvc.db.key",
        "secret.css",
        "style.css;a",
        "style.css%00",
        "stylé.css",
        "x" * 5_000,
    ],
    ids=lambda name: ascii(name)[:30],
)
def test_only_the_assets_are_under_assets(shared: App, name: str) -> None:
    """Any other name, however it is spelled, is a 404 that says nothing; templates are no assets."""
    for method in ("GET", "HEAD"):
        answer = Bare(shared).call(method, "/", environ={"PATH_INFO": f"/assets/{name}"})
        assert answer.status == 404, name
        assert b"secret" not in answer.body
        assert answer.header("Cache-Control") == "no-store"
    assert Client(shared).get("/assets/logo.svg").body == b"<svg/>"


@pytest.mark.parametrize("raw", ["/assets/..%2fstyle.css", "/assets/%2e%2e/style.css", "//assets/style.css", "/assets//style.css"])
def test_a_path_that_the_host_has_cleaned_is_no_asset(shared: App, raw: str) -> None:
    """What was sent counts, where the host tells it, and dot segments are no way to anything."""
    answer = Bare(shared).call("GET", "/", environ={"PATH_INFO": "/assets/style.css", "REQUEST_URI": raw})
    assert answer.status == 404


def test_assets_are_only_read(shared: App) -> None:
    """Other methods are refused, and HEAD has the headers of GET."""
    for method in ("POST", "PUT", "DELETE"):
        assert Client(shared).call(method, "/assets/style.css").status == 405
    head, get = (Client(shared).call(method, "/assets/style.css") for method in ("HEAD", "GET"))
    assert head.body == b""
    assert [(name, value) for name, value in head.headers if name != "X-Request-Id"] == [
        (name, value) for name, value in get.headers if name != "X-Request-Id"
    ]
