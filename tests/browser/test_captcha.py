"""The CAPTCHA in a browser: the built-in one solved by our own script, at sign-up and at risk, by keyboard alone, and in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.service import Service, service_running
from tests.browser.test_walks import press, says, shown, sign_in
from tests.support import EMAIL, PASSWORD, Client, actions

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

BUILT_IN = {"captcha": "altcha", "captcha_difficulty": "300"}
DONE = "has shown that you are no robot"
NARROW = {"width": 320, "height": 568}
ANSWERS = "**/captcha?action=*"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    """A service with the built-in CAPTCHA; signing up asks always."""
    with service_running(tmp_path, **BUILT_IN) as service:
        yield service


def fill(page: Page, email: str = EMAIL) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("New password").fill(PASSWORD)


def status(page: Page, words: str) -> None:
    says(page.get_by_role("status"), words)


def test_signing_up_takes_a_keyboard_and_nothing_else(
    scripted_page: Page, guarded: Service, accessible: Callable[[Page], None], shoot: Callable[[Page, str], None]
) -> None:
    """Tab, type, Enter: the browser computes meanwhile, says so, leaves the focus where it is, and the account is made once."""
    page = scripted_page
    page.goto(guarded.url + "/register")
    shown(page, "Create an account")
    status(page, "going to show")
    accessible(page)
    while page.evaluate("document.activeElement.id") != "email":
        page.keyboard.press("Tab")
    page.keyboard.type(EMAIL)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    status(page, DONE)
    assert page.evaluate("document.activeElement.id") == "password"
    accessible(page)
    shoot(page, "captcha-done")
    wide = page.viewport_size
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.set_viewport_size(wide)
    page.keyboard.press("Enter")
    shown(page, "Your account")
    assert actions(guarded.app).count("user.registered") == 1
    assert "captcha.failed" not in actions(guarded.app)


def test_who_is_faster_than_the_computing_waits_and_the_form_is_sent_once(
    scripted_page: Page, guarded: Service, shoot: Callable[[Page, str], None]
) -> None:
    """The button, pressed twice, says that the form will be sent; it is, when the browser is done."""
    page = scripted_page
    held: list[Route] = []
    page.route(ANSWERS, lambda route: held.append(route))  # noqa: PLW0108 - Playwright wants a function of its own
    page.goto(guarded.url + "/register")
    fill(page)
    press(page, "Create account")
    press(page, "Create account")
    status(page, "sent as soon as")
    shoot(page, "captcha-pressed")
    assert len(held) == 1
    assert actions(guarded.app) == []
    held[0].continue_()
    shown(page, "Your account")
    assert actions(guarded.app).count("user.registered") == 1


def test_a_challenge_that_does_not_come_is_told_and_tried_again(
    scripted_page: Page, guarded: Service, page_errors: list[str], shoot: Callable[[Page, str], None]
) -> None:
    """Nothing is lost: what was typed stays, and the same button tries again; being among the fields asks for nothing more."""
    page, asked = scripted_page, []
    page.route(ANSWERS, lambda route: (asked.append(route), route.fulfill(status=500, body="{}"))[1])
    page.goto(guarded.url + "/register")
    fill(page)
    status(page, "could not be shown")
    shoot(page, "captcha-failed")
    page.get_by_label("E-mail").focus()
    page.get_by_label("New password").focus()
    status(page, "could not be shown")
    assert len(asked) == 1
    page.unroute(ANSWERS)
    press(page, "Create account")
    shown(page, "Your account")
    assert [error for error in page_errors if "500" not in error] == []
    page_errors.clear()


def test_a_network_that_asked_too_often_is_told_to_wait(scripted_page: Page, tmp_path: Path, page_errors: list[str]) -> None:
    """In words of its own."""
    with service_running(tmp_path, **BUILT_IN, limit_captcha="1/60s") as service:
        Client(service.app, ip="127.0.0.1").get("/captcha?action=register")
        scripted_page.goto(service.url + "/register")
        fill(scripted_page)
        status(scripted_page, "Wait a minute")
    assert all("429" in error for error in page_errors)
    page_errors.clear()


def test_a_page_that_lay_open_for_long_gets_a_new_challenge(scripted_page: Page, guarded: Service) -> None:
    """Solved, then left for more than ten minutes: the button solves another one, and the account is made at the first try."""
    page = scripted_page
    page.clock.install()
    page.goto(guarded.url + "/register")
    fill(page)
    status(page, DONE)
    first = page.locator("input[name=captcha]").input_value()
    guarded.world.advance(660)
    page.clock.fast_forward(660_000)
    with page.expect_request(lambda request: request.method == "POST") as sent:
        press(page, "Create account")
    shown(page, "Your account")
    assert first
    assert first not in (sent.value.post_data or "")
    assert "captcha.failed" not in actions(guarded.app)


def test_going_back_to_a_form_that_was_sent_solves_a_new_one(scripted_page: Page, guarded: Service) -> None:
    """What was sent is used up."""
    page = scripted_page
    page.goto(guarded.url + "/register")
    fill(page)
    press(page, "Create account")
    shown(page, "Your account")
    page.go_back()
    shown(page, "Create an account")
    fill(page, "other@mail.com")
    press(page, "Create account")
    shown(page, "Your account")
    assert "captcha.failed" not in actions(guarded.app)


def test_at_risk_the_page_shows_it_once_it_was_asked_for(
    scripted_page: Page, tmp_path: Path, accessible: Callable[[Page], None], shoot: Callable[[Page, str], None]
) -> None:
    """After more than half of the tries: the address is kept, the password is not, and with both and the CAPTCHA one is in."""
    page = scripted_page
    with service_running(tmp_path, **BUILT_IN, limit_login="4/300s") as service:
        service_account(service)
        page.goto(service.url + "/login")
        assert page.locator("script").count() == 0
        for _ in range(2):
            sign_in(page, password="wrong-password-1")
            says(page.get_by_role("alert"), "not right")
            assert page.locator(".captcha").count() == 0
        sign_in(page)
        says(page.get_by_role("alert"), "no robot")
        assert page.locator(".captcha").count() == 1
        assert page.locator("#email").input_value() == EMAIL
        assert page.get_by_label("Password").input_value() == ""
        accessible(page)
        shoot(page, "captcha-risk")
        page.get_by_label("Password").fill(PASSWORD)
        press(page, "Sign in")
        shown(page, "Your account")
        assert "captcha.failed" not in actions(service.app)


def service_account(service: Service) -> None:
    """An account, made with a CAPTCHA that was solved elsewhere."""
    from tests.captchas import fresh

    client = Client(service.app)
    body = {"email": EMAIL, "password": PASSWORD, "captcha": fresh(client, "register")}
    assert client.post("/register", body).status == 201


def test_both_forms_of_a_page_may_have_one(scripted_page: Page, tmp_path: Path, accessible: Callable[[Page], None]) -> None:
    """Each solves its own, when somebody begins to fill it in; the forgotten password has one, too."""
    page = scripted_page
    with service_running(tmp_path, "/auth", **BUILT_IN, captcha_on="login:always,magic:always,forgot:always") as service:
        page.goto(service.url + "/login")
        accessible(page)
        page.locator("#magic_email").fill(EMAIL)
        says(page.get_by_role("status").nth(1), DONE)
        says(page.get_by_role("status").nth(0), "going to show")
        press(page, "E-mail me a sign-in link")
        shown(page, "Check your mail")
        page.goto(service.url + "/password/forgot")
        page.get_by_label("E-mail").fill(EMAIL)
        press(page, "Send the link")
        shown(page, "Check your mail")
        assert actions(service.app).count("magic.sent") == actions(service.app).count("password.reset_requested") == 1


def test_without_scripts_the_page_says_what_is_missing(page: Page, guarded: Service, looked_at: Callable[[str], None]) -> None:
    """The form can be sent, is refused, and says so again; nothing is made."""
    page.goto(guarded.url + "/register")
    says(page.locator(".captcha .error"), "allow JavaScript")
    looked_at("captcha-without-scripts")
    fill(page)
    press(page, "Create account")
    says(page.get_by_role("alert"), "no robot")
    says(page.locator(".captcha .error"), "allow JavaScript")
    assert page.get_by_label("E-mail").input_value() == EMAIL
    assert actions(guarded.app) == []


def test_where_the_browser_refuses_to_compute_the_page_says_why(scripted_page: Page, guarded: Service) -> None:
    """Plain http to another machine: no crypto.subtle, and no way around it."""
    page = scripted_page
    page.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined })")
    page.goto(guarded.url + "/register")
    fill(page)
    status(page, "did not come by https")
    press(page, "Create account")
    status(page, "did not come by https")
    assert actions(guarded.app) == []
