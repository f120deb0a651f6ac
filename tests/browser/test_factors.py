"""Second factors in a browser, without scripts: enrolled, asked for, lost and taken away; an authenticator app is the phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp

from tests.browser.service import Letterbox, Service, Site, service_running
from tests.browser.test_walks import ask_for_link, click_in_mail, follow, press, register, says, shown, sign_in
from tests.support import EMAIL, actions

if TYPE_CHECKING:
    from playwright.sync_api import Page

STEP_SECONDS = 30


class App:
    """The authenticator app: what was typed into it, and the service's clock."""

    def __init__(self, key: str, service: Service) -> None:
        self._totp = pyotp.TOTP(key.replace(" ", ""))
        self._world = service.world

    def code(self) -> str:
        return self._totp.at(self._world.now() // 1000)

    def wrong(self) -> str:
        return f"{(int(self.code()) + 1) % 1_000_000:06}"

    def next(self) -> str:
        """A code that was not used yet."""
        self._world.advance(STEP_SECONDS)
        return self.code()


def enrol(page: Page, service: Service) -> tuple[App, list[str]]:
    """Add an authenticator from the account page; the app, and the recovery codes."""
    press(page, "Add an authenticator app")
    shown(page, "Add a second factor")
    app = App(page.locator(".key").inner_text(), service)
    page.get_by_label("Code").fill(app.code())
    press(page, "Confirm")
    shown(page, "Your recovery codes")
    codes = page.locator("ol.codes li").all_inner_texts()
    follow(page, "I have kept them")
    shown(page, "Your account")
    return app, codes


def answer(page: Page, code: str) -> None:
    page.get_by_label("Code").fill(code)
    press(page, "Continue")


def test_an_authenticator_is_enrolled_asked_for_and_removed(page: Page, service: Service, looked_at: Callable[[str], None]) -> None:
    """A wrong first code keeps the key, the right one gives recovery codes; then every sign-in asks, until it is removed."""
    register(page, service)
    press(page, "Add an authenticator app")
    shown(page, "Add a second factor")
    assert page.locator(".qr svg").bounding_box()["width"] > 150
    looked_at("factor-authenticator")
    key = page.locator(".key").inner_text()
    app = App(key, service)
    page.get_by_label("Code").fill(app.wrong())
    press(page, "Confirm")
    assert page.get_by_role("alert").count() == 1
    assert page.locator(".key").inner_text() == key
    page.get_by_label("Code").fill(app.code())
    press(page, "Confirm")
    shown(page, "Your recovery codes")
    looked_at("factor-recovery-codes")
    codes = page.locator("ol.codes li").all_inner_texts()
    assert len(set(codes)) == 10
    follow(page, "I have kept them")
    shown(page, "Your account")
    assert codes[0] not in page.content()
    says(page.locator("ul.factors"), "Authenticator app")
    looked_at("factor-account")

    press(page, "Sign out")
    sign_in(page)
    shown(page, "Second step")
    looked_at("factor-second-step")
    answer(page, app.wrong())
    shown(page, "Second step")
    assert page.get_by_role("alert").count() == 1
    answer(page, app.next())
    shown(page, "Your account")

    press(page, "Sign out")
    sign_in(page)
    answer(page, codes[7].upper())
    shown(page, "Your account")
    page.get_by_role("button", name="Remove Authenticator app").click()
    shown(page, "Your account")
    says(page.locator("ul.factors"), "None yet")
    press(page, "Sign out")
    sign_in(page)
    shown(page, "Your account")
    assert {"factor.added", "recovery.used", "factor.removed"} <= set(actions(service.app))


def test_a_mailed_code_is_asked_for_and_sent_by_its_button(
    page: Page, service: Service, letterbox: Letterbox, site: Site, looked_at: Callable[[str], None]
) -> None:
    """Codes by mail need a confirmed address; the second step sends one when asked."""
    register(page, service)
    assert page.get_by_role("button", name="Add codes by e-mail").count() == 0
    click_in_mail(page, site, letterbox.wait(EMAIL, "Confirm your e-mail address").link)
    shown(page, "Your account")
    press(page, "Add codes by e-mail")
    shown(page, "Add a second factor")
    looked_at("factor-email")
    page.get_by_label("Code").fill(letterbox.wait(EMAIL, "Your code for").code)
    press(page, "Confirm")
    shown(page, "Your recovery codes")
    follow(page, "I have kept them")
    press(page, "Sign out")
    sign_in(page)
    shown(page, "Second step")
    service.world.advance(60)
    press(page, "Send a code by E-mail")
    shown(page, "Second step")
    says(page.get_by_role("status"), "sent you a code")
    answer(page, letterbox.wait(EMAIL, "Your code for", 2).code)
    shown(page, "Your account")


def test_a_magic_link_leads_to_the_second_step(page: Page, service: Service, letterbox: Letterbox, site: Site) -> None:
    """The browser that asked is signed in by the click, once it has shown the factor too."""
    register(page, service)
    click_in_mail(page, site, letterbox.wait(EMAIL, "Confirm your e-mail address").link)
    app, _ = enrol(page, service)
    press(page, "Sign out")
    ask_for_link(page)
    click_in_mail(page, site, letterbox.wait(EMAIL, "Sign in to").link)
    shown(page, "Second step")
    answer(page, app.next())
    shown(page, "Your account")


def test_who_must_have_a_factor_can_do_nothing_else_before(page: Page, tmp_path: Path) -> None:
    """The account page is there, with the way to a factor; any other act says what to do first."""
    with service_running(tmp_path, mfa="required") as service:
        register(page, service)
        shown(page, "Your account")
        page.get_by_label("New name").fill("Marie")
        press(page, "Change the name")
        says(page.get_by_role("alert"), "second factor")
        enrol(page, service)
        page.get_by_label("New name").fill("Marie")
        press(page, "Change the name")
        says(page.locator("dl"), "Marie")
