"""The browser fixtures do what they say, shown on a tiny site of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser import conftest
from tests.browser.conftest import faults, opened
from tests.browser.service import HEAD, Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STRICT = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'"
FORM = '<form method="post" action="/form"><label>Name <input name="name"></label><button>Send</button></form>'
GOOD = HEAD.format(
    "", f'<h1>Tiny</h1>{FORM}<label for="b">B</label><input id="b" aria-describedby="h"><p id="h">Help</p><input type="hidden">'
)


def test_javascript_is_off_unless_asked_for(site: Site, page: Page, scripted_page: Page, phone_page: Page) -> None:
    """The same page, with a script of its own file, is changed only where scripts run."""
    site.put("/a.js", "document.title = 'Scripted'")
    url = site.put("/", HEAD.format('<script src="/a.js" defer></script>', "<h1>Tiny</h1>"), Content_Security_Policy=STRICT)
    for one in (page, scripted_page, phone_page):
        one.goto(url)

    assert [one.title() for one in (page, scripted_page, phone_page)] == ["Tiny", "Scripted", "Tiny"]


def test_the_status_of_a_page_itself_is_no_error(site: Site, page: Page, page_errors: list[str]) -> None:
    """Neither when it is gone to nor when a form's answer has it; nothing has to be cleared."""
    site.put("/form", HEAD.format("", "<h1>No</h1>" + FORM), "422 Unprocessable Content")
    page.goto(site.put("/", GOOD, "401 Unauthorized") + "#there")
    page.get_by_role("button").click()
    page.get_by_role("heading", name="No").wait_for()
    page.get_by_role("button").click()
    page.get_by_role("heading", name="No").wait_for()

    assert page_errors == []


@pytest.mark.parametrize(
    ("head", "body", "error"),
    [
        ('<link rel="stylesheet" href="/none.css">', "", "Failed to load resource: the server responded with a status of 404"),
        ("", '<p style="color: red">', "Content Security Policy directive"),
        ("", '<iframe src="/form"></iframe>', "Content Security Policy directive"),
    ],
)
def test_what_a_page_may_not_load_is_reported(site: Site, page: Page, page_errors: list[str], head: str, body: str, error: str) -> None:
    """Also with JavaScript off: a status of something in the page, and what its policy blocks."""
    page.goto(site.put("/", HEAD.format(head, f"<h1>Tiny</h1>{body}"), Content_Security_Policy=STRICT))

    assert page_errors
    assert any(error in one for one in page_errors), page_errors
    page_errors.clear()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("console.error('oh')", "oh"),
        ("throw new TypeError('oh')", "TypeError: oh"),
    ],
)
def test_a_script_that_fails_is_reported(site: Site, browser: Browser, script: str, error: str) -> None:
    """By its own words, at the latest when the page closes; a fetch is no document, though its address is one's."""
    errors: list[str] = []
    site.put("/a.js", script)
    policy = STRICT + "; connect-src 'self'"
    url = site.put(
        "/", HEAD.format('<script src="/a.js"></script>', "<h1>Tiny</h1>"), "422 Unprocessable Content", Content_Security_Policy=policy
    )
    with opened(browser, errors) as page:
        page.goto(url)
        page.wait_for_load_state("networkidle")

    assert [one for one in errors if error in one], errors


def test_a_server_that_is_gone_is_reported(browser: Browser, site: Site) -> None:
    """A request without an answer is an error of its own, beside what the driver raises."""
    errors: list[str] = []
    site.put("/", HEAD.format(f'<link rel="stylesheet" href="{site.url.replace("127.0.0.1", "127.0.0.2")}">', "<h1>Tiny</h1>"))
    with opened(browser, errors, java_script_enabled=False) as page:
        page.goto(site.url)

    assert any(one.startswith("GET ") and one.endswith("net::ERR_CONNECTION_REFUSED") for one in errors), errors


def test_a_browser_that_is_not_there_is_skipped_or_fails_where_it_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either way the message says how to install it."""
    for promised, outcome in (("", pytest.skip.Exception), ("1", pytest.fail.Exception)):
        monkeypatch.setenv("CI_HAS_BROWSER", promised)
        with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match="--no-install-recommends chromium") as caught:
            conftest.absent("Chromium")
        assert caught.type is outcome


PLANTED = [
    ("<label>Name <input", "<label><input", "<input name=name>: no label"),
    ('<label for="b">', '<label for="c">', "<input id=b>: no label"),
    ("<h1>", "<select name=s></select><h1>", "<select name=s>: no label"),
    ("<h1>", "<textarea id=t></textarea><h1>", "<textarea id=t>: no label"),
    ("<button>Send", "<button> ", "<button>: no text"),
    ("<h1>", "<input type=submit value=''><h1>", "<input type=submit>: no text"),
    ("h1>", "h2>", "<h1>: 0 of them"),
    ("<h1>", "<h1>More</h1><h1>", "<h1>: 2 of them"),
    (' lang="en"', "", "<html>: no lang"),
    ("<title>Tiny", "<title> ", "<title>: empty"),
    ('name="viewport"', 'name="other"', "<meta name=viewport>: not there"),
    ("<h1>", "<h1 id=h>", "#h: more than once"),
    ("<h1>", "<h1 style='color: red'>", "<h1>: inline style"),
    ("</head>", "<style></style></head>", "<style>: inline style"),
    ("</head>", "<script></script></head>", "<script>: inline script"),
    ("<h1>", "<h1 onclick='x()'>", "<h1>: inline handler"),
    ('aria-describedby="h"', 'aria-describedby="h gone"', "<input id=b>: described by #gone, which is not there"),
]


def test_each_fault_is_found(site: Site, page: Page, accessible: Callable[[Page], None]) -> None:
    """A good page has none; one fault planted, that one is found, and no other."""
    page.goto(site.put("/", GOOD, Content_Security_Policy="default-src 'none'; sandbox"))
    accessible(page)
    for good, bad, fault in PLANTED:
        page.goto(site.put("/", GOOD.replace(good, bad)))
        assert faults(page) == [fault]
        with pytest.raises(AssertionError, match=r"http:.*/"):
            accessible(page)
