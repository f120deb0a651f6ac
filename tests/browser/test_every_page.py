"""Every page there is: usable by everyone, at 320 pixels and by keyboard alone, with a picture of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.service import Letterbox, Service, service_running
from tests.browser.test_walks import NEW_PASSWORD, ask_for_link, click_in_mail, press, register, says, shown, sign_in
from tests.support import PASSWORD, Client

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.service import Site

NARROW = {"width": 320, "height": 568}
PHONE = {"width": 360, "height": 740}
AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1",
    "curl/8.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0",
)
REACHED = """() => {
  const all = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")].filter((one) => one.checkVisibility());
  const one = document.activeElement;
  const style = getComputedStyle(one);
  return [all.indexOf(one), all.length, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""
SMALL = """() => [...document.querySelectorAll("button, input:not([type=hidden])")].filter((one) => one.checkVisibility())
  .map((one) => (one.closest("label") ?? one).getBoundingClientRect()).filter((box) => box.height < 44 || box.width < 44).length"""


class Visit:
    """One browser on its way to a page, with an account of its own."""

    def __init__(self, page: Page, service: Service, letterbox: Letterbox, site: Site, email: str) -> None:
        self.page, self.service, self.letterbox, self.site, self.email = page, service, letterbox, site, email

    def open(self, path: str) -> None:
        self.page.goto(self.service.url + path)

    def register(self) -> None:
        """By the form; the browser is signed in."""
        register(self.page, self.service, self.email)
        shown(self.page, "Your account")

    def made(self, **more: Any) -> None:
        """By the API; the browser is not signed in."""
        Client(self.service.app).register(self.email, **more)

    def mailed(self, subject: str) -> None:
        """Open the link of a mail."""
        click_in_mail(self.page, self.site, self.letterbox.wait(self.email, subject).link)


def login_refused(visit: Visit) -> None:
    visit.open("/login")
    sign_in(visit.page, visit.email)
    says(visit.page.get_by_role("alert"), "not right")


def register_refused(visit: Visit) -> None:
    visit.open("/register")
    visit.page.get_by_label("E-mail").fill(visit.email)
    visit.page.get_by_label("New password").fill("short")
    press(visit.page, "Create account")
    says(visit.page.get_by_role("alert"), "fields below")


def check_your_mail(visit: Visit) -> None:
    visit.open("/password/forgot")
    visit.page.get_by_label("E-mail").fill(visit.email)
    press(visit.page, "Send the link")


def code(visit: Visit) -> None:
    visit.open("/login")
    ask_for_link(visit.page, visit.email)


def code_refused(visit: Visit) -> None:
    code(visit)
    visit.page.get_by_label("Code of 6 digits").fill("0")
    press(visit.page, "Continue")
    says(visit.page.get_by_role("alert"), "not the code")


def verify(visit: Visit) -> None:
    visit.made(options={"verifyEmail": True})
    visit.mailed("Confirm your e-mail address")


def verified(visit: Visit) -> None:
    verify(visit)
    press(visit.page, "Confirm")


def magic(visit: Visit) -> None:
    Client(visit.service.app).post("/login/magic", {"email": visit.email})
    visit.mailed("Sign in to")


def undo(visit: Visit) -> None:
    visit.register()
    other = "new-" + visit.email
    visit.page.get_by_label("New address").fill(other)
    press(visit.page, "Change the address")
    says(visit.page.get_by_role("status"), "new address")
    click_in_mail(visit.page, visit.site, visit.letterbox.wait(other, "Confirm your new").link)
    says(visit.page.get_by_role("status"), "confirmed")
    visit.mailed("The e-mail address of your account")


def undone(visit: Visit) -> None:
    undo(visit)
    press(visit.page, "Take it back")


def reset(visit: Visit) -> None:
    visit.made()
    Client(visit.service.app).post("/password/forgot", {"email": visit.email})
    visit.mailed("Choose a new password")


def reset_refused(visit: Visit) -> None:
    reset(visit)
    visit.page.get_by_label("New password").fill("short")
    press(visit.page, "Set the password")
    says(visit.page.get_by_role("alert"), "fields below")


def reset_done(visit: Visit) -> None:
    reset(visit)
    visit.page.get_by_label("New password").fill(NEW_PASSWORD)
    press(visit.page, "Set the password")


def account_full(visit: Visit) -> None:
    """A long name, a confirmed address, several sessions."""
    visit.email = f"{'long-' * 12}{visit.email[:4]}@{'sub-domain.' * 6}example.com"
    verified(visit)
    visit.open("/login")
    for agent in AGENTS:
        Client(visit.service.app).post("/login", {"email": visit.email, "password": PASSWORD}, headers={"User-Agent": agent})
    sign_in(visit.page, visit.email)
    shown(visit.page, "Your account")
    visit.page.get_by_label("New name").fill("Zoë" + "ë" * 80)
    press(visit.page, "Change the name")
    says(visit.page.get_by_role("status"), "Saved")


def account_refused(visit: Visit) -> None:
    visit.register()
    visit.page.get_by_label("Present password").fill(PASSWORD)
    visit.page.get_by_label("New password").fill("short")
    press(visit.page, "Change the password")
    says(visit.page.get_by_role("alert"), "fields below")


def account_without_password(visit: Visit) -> None:
    magic(visit)
    press(visit.page, "Sign in")
    shown(visit.page, "Your account")
    visit.page.get_by_role("button", name="Set a password").wait_for()


def reauthenticate(visit: Visit) -> None:
    visit.register()
    visit.service.world.advance(14 * 60)
    visit.open("/token/refresh")
    visit.service.world.advance(2 * 60)
    visit.page.get_by_label("New address").fill("new-" + visit.email)
    press(visit.page, "Change the address")


def not_signed_in(visit: Visit) -> None:
    visit.register()
    visit.page.context.clear_cookies()
    visit.page.get_by_label("New name").fill("Zoë")
    press(visit.page, "Change the name")


def login(visit: Visit) -> None:
    visit.open("/login")


def registration(visit: Visit) -> None:
    visit.open("/register")


def forgot(visit: Visit) -> None:
    visit.open("/password/forgot")


def link_invalid(visit: Visit) -> None:
    visit.open("/login/magic/none")


def redirect_refused(visit: Visit) -> None:
    visit.open("/login?redirect_to=https://example.com/")


PAGES: dict[Callable[[Visit], None], str] = {
    login: "Sign in",
    login_refused: "Sign in",
    registration: "Create an account",
    register_refused: "Create an account",
    forgot: "Forgotten password",
    check_your_mail: "Check your mail",
    code: "Check your mail",
    code_refused: "Check your mail",
    verify: "Confirm your address",
    verified: "Address confirmed",
    magic: "Sign in",
    link_invalid: "This link is no longer valid",
    undo: "Take the change back",
    undone: "Your address is back",
    reset: "Choose a new password",
    reset_refused: "Choose a new password",
    reset_done: "Password set",
    Visit.register: "Your account",
    account_full: "Your account",
    account_refused: "Your account",
    account_without_password: "Your account",
    reauthenticate: "Is it you?",
    not_signed_in: "Please sign in",
    redirect_refused: "Invalid request",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all pages; each has an account of its own."""
    with service_running(tmp_path_factory.mktemp("pages")) as service:
        yield service


@pytest.mark.parametrize("way", PAGES, ids=lambda way: way.__name__)
def test_everyone_can_use_the_page(
    way: Callable[[Visit], None],
    shared: Service,
    page: Page,
    site: Site,
    accessible: Callable[[Page], None],
    shoot: Callable[[Page, str], None],
) -> None:
    """Nothing of the page is out of reach: not for a screen reader, not on the narrowest phone, not for a keyboard."""
    way(Visit(page, shared, Letterbox(shared, page), site, f"{way.__name__.replace('_', '-')}@mail.com"))
    shown(page, PAGES[way])
    page.wait_for_load_state()
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    accessible(page)
    check_keyboard(page)
    shoot(page, f"{way.__name__}-light")
    page.emulate_media(color_scheme="dark")
    shoot(page, f"{way.__name__}-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    shoot(page, f"{way.__name__}-phone")
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 320
    assert page.evaluate(SMALL) == 0


def check_keyboard(page: Page) -> None:
    """From the top, Tab goes to every control once, in the order in which they are read, and each shows that it has the focus."""
    page.evaluate("() => { document.activeElement.blur(); getSelection().setPosition(document.body.firstChild, 0); }")
    reached = []
    while True:
        page.keyboard.press("Tab")
        index, count, visible = page.evaluate(REACHED)
        if index < 0 or index in reached:
            break
        assert visible, f"{page.url}: control {index} does not show its focus"
        reached.append(index)
    assert reached == list(range(count))


def test_the_page_between_another_site_and_the_account_is_accessible(
    shared: Service, page: Page, site: Site, accessible: Callable[[Page], None], shoot: Callable[[Page, str], None]
) -> None:
    """It goes on by itself; where the browser is told not to, its link does."""
    page.route("**/token/refresh", lambda route: route.fulfill(status=204))
    page.goto(site.put_link("/", shared.url + "/account").replace("127.0.0.1", "localhost"))
    page.get_by_role("link", name="Go").click()
    page.get_by_role("link", name="Continue").wait_for()
    page.wait_for_load_state()
    accessible(page)
    check_keyboard(page)
    shoot(page, "resume-light")
