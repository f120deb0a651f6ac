"""Debian's Chromium, driven by Playwright: pages that tell of their errors, pictures, and what everyone must be able to use.

Playwright is imported when first needed: without it, or without Chromium, these tests are skipped and the others still run.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urldefrag, urlsplit

import pytest

from tests.browser.service import Letterbox, Service, Site, service_running, site_running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, WebError

ROOT = Path(__file__).parents[2]
PICTURES = os.environ.pop("AUTHSVC_SCREENSHOTS", None)  # taken out: authsvc refuses settings that it does not know
PATIENCE_MS = 10_000
DESKTOP: dict[str, Any] = {"viewport": {"width": 1000, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
NARROW: dict[str, Any] = {"width": 320, "height": 568}
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-gpu")  # root in a container, without a screen
STATUS = re.compile(r"Failed to load resource: the server responded with a status of \d{3} \(.*\)")
CUT_OFF = "net::ERR_ABORTED"  # by a navigation, a download or an answer without content; what a policy stops is on the console too
FAULTS = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (element) => element.textContent.trim();
  const tag = (element) => `<${element.localName}${["id", "name", "type"].map(
    (key) => element.hasAttribute(key) ? ` ${key}=${element.getAttribute(key)}` : "").join("")}>`;
  const pressed = "input[type=submit], input[type=button], input[type=reset]";
  const faults = [];
  const check = (elements, fault) => elements.forEach((element) => faults.push(`${tag(element)}: ${fault}`));

  check(all("input:not([type=hidden]), select, textarea").filter(
    (field) => !field.matches(pressed) && field.checkVisibility() && ![...field.labels].some(text)), "no label");
  check(all("button").filter((button) => !text(button)), "no text");
  check(all(pressed).filter((button) => !button.value.trim()), "no text");
  check(all("[style]"), "inline style");
  check(all("style"), "inline style");
  check(all("script:not([src])"), "inline script");
  check(all("*").filter((element) => element.getAttributeNames().some((name) => name.startsWith("on"))), "inline handler");
  for (const element of all("[aria-describedby]"))
    for (const id of element.getAttribute("aria-describedby").split(/\\s+/).filter(Boolean))
      if (!document.getElementById(id)) check([element], `described by #${id}, which is not there`);
  const ids = all("[id]").map((element) => element.id);
  for (const id of new Set(ids.filter((id, index) => ids.indexOf(id) !== index))) faults.push(`#${id}: more than once`);
  const headings = all("h1").length;
  if (headings !== 1) faults.push(`<h1>: ${headings} of them`);
  if (!document.documentElement.lang.trim()) faults.push("<html>: no lang");
  if (!document.title.trim()) faults.push("<title>: empty");
  if (!all("meta[name=viewport][content]").length) faults.push("<meta name=viewport>: not there");
  return faults;
}"""


class Watch:
    """Writes what goes wrong in a context's pages into a list; a document's own status (401, 422) is not wrong.

    Nor is that of /favicon.ico, which Chromium asks for unasked, at its own time.
    """

    def __init__(self, context: BrowserContext, errors: list[str]) -> None:
        self._errors = errors
        self._documents: Counter[str] = Counter()  # asked for, and their answer not yet seen to be a success
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("requestfailed", self._on_failed)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)

    def _on_request(self, request: Request) -> None:
        if is_document(request):
            self._documents[urldefrag(request.url).url] += 1

    def _on_response(self, response: Response) -> None:
        if response.status < 400 and is_document(response.request):
            self._documents[urldefrag(response.url).url] -= 1

    def _on_failed(self, request: Request) -> None:
        if is_document(request):
            self._documents[urldefrag(request.url).url] -= 1
        if request.failure != CUT_OFF:
            self._errors.append(f"{request.method} {request.url}: {request.failure}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "assert"):
            return
        url = urldefrag(message.location["url"]).url
        of_status = STATUS.fullmatch(message.text)
        if of_status and self._documents[url] > 0:
            self._documents[url] -= 1
        elif not (of_status and urlsplit(url).path == "/favicon.ico"):
            self._errors.append(f"{message.text.strip()} ({url})")

    def _on_error(self, error: WebError) -> None:
        self._errors.append(f"{error.error.name}: {error.error.message}")


def is_document(request: Request) -> bool:
    """Whether a window's own page is asked for, not something in it."""
    from playwright.sync_api import Error

    try:
        return request.is_navigation_request() and request.frame.parent_frame is None
    except Error:  # the frame of a window that is just opening has no name yet
        return True


@contextmanager
def opened(browser: Browser, errors: list[str], **options: Any) -> Iterator[Page]:
    """A page with a cookie jar of its own; when it closes, all that went wrong is in `errors`."""
    from playwright.sync_api import Error

    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    Watch(context, errors)
    try:
        yield context.new_page()
        for page in context.pages:
            with suppress(Error):  # gone, or never there
                page.wait_for_load_state()
                page.evaluate("0")  # an answer comes after the messages that were on their way
    finally:
        context.close()


def complain(errors: list[str]) -> None:
    """Fail with what the pages reported, if anything."""
    if errors:
        pytest.fail("the browser reported:\n" + "\n".join(f"  - {error}" for error in errors), pytrace=False)


def faults(page: Page) -> list[str]:
    """What keeps somebody from using the page, or needs a laxer Content-Security-Policy; asked without the page's JavaScript."""
    found: list[str] = page.evaluate(FAULTS)
    return found


def absent(what: str) -> NoReturn:
    """Skip; but fail where CI has promised a browser."""
    message = (
        f"{what} is not on this machine (scripts/test installs Playwright; Chromium: apt-get install --no-install-recommends chromium)"
    )
    if os.environ.get("CI_HAS_BROWSER") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of the process."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        absent("Playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        absent("Chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page_errors() -> Iterator[list[str]]:
    """What went wrong in the test's pages fails it at its end; a test that expects something looks, and clears the list."""
    errors: list[str] = []
    yield errors
    complain(errors)


@pytest.fixture
def page(browser: Browser, page_errors: list[str]) -> Iterator[Page]:
    """A page without JavaScript."""
    with opened(browser, page_errors, java_script_enabled=False, **DESKTOP) as page:
        yield page


@pytest.fixture
def scripted_page(browser: Browser, page_errors: list[str]) -> Iterator[Page]:
    """A page with JavaScript."""
    with opened(browser, page_errors, **DESKTOP) as page:
        yield page


@pytest.fixture
def phone_page(browser: Browser, page_errors: list[str]) -> Iterator[Page]:
    """A page on a phone, without JavaScript."""
    with opened(browser, page_errors, java_script_enabled=False, **PHONE) as page:
        yield page


@pytest.fixture
def site() -> Iterator[Site]:
    """A tiny site of other pages."""
    with site_running() as site:
        yield site


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with the settings of a workbench."""
    with service_running(tmp_path) as service:
        yield service


@pytest.fixture
def letterbox(service: Service, page: Page) -> Letterbox:
    """The service's mail."""
    return Letterbox(service, page)


@pytest.fixture
def shoot() -> Callable[[Page, str], None]:
    """Takes a picture of the whole page into the folder that AUTHSVC_SCREENSHOTS names; without one, none is taken."""
    folder = Path(PICTURES).resolve() if PICTURES else None

    def take(page: Page, name: str) -> None:
        if folder is not None:
            assert not folder.is_relative_to(ROOT), "no pictures in the repository"
            page.screenshot(path=folder / f"{name}.png", full_page=True)

    return take


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Fails with the faults of a page."""

    def check(page: Page) -> None:
        found = faults(page)
        assert not found, "\n".join([page.url, *found])

    return check


@pytest.fixture
def looked_at(page: Page, accessible: Callable[[Page], None], shoot: Callable[[Page, str], None]) -> Callable[[str], None]:
    """Checks the page that is there for everybody's use, on a narrow screen too."""

    def look(name: str) -> None:
        accessible(page)
        shoot(page, name)
        wide = page.viewport_size
        page.set_viewport_size(NARROW)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], name
        page.set_viewport_size(wide)

    return look
