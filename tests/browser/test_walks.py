"""People's ways through the pages, in a browser without JavaScript; only links from mails are opened, from a page elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import DESKTOP, opened
from tests.browser.service import HEAD, Letterbox, Service, Site, service_running
from tests.support import EMAIL, PASSWORD, Client, actions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

NEW_PASSWORD = "amber-lantern-47"
OTHER_EMAIL = "other@mail.com"


def shown(page: Page, title: str) -> None:
    """Wait for the page of this title."""
    from playwright.sync_api import expect

    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def says(place: Locator, words: str) -> None:
    """Wait for these words."""
    from playwright.sync_api import expect

    expect(place).to_contain_text(words)


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def follow(page: Page, link: str) -> None:
    page.get_by_role("link", name=link, exact=True).click()


def click_in_mail(page: Page, site: Site, link: str) -> None:
    """Open a mail's link from a page of another site (localhost is none of 127.0.0.1's)."""
    page.goto(site.put_link("/mail", link).replace("127.0.0.1", "localhost"))
    follow(page, "Go")


def register(page: Page, service: Service, email: str = EMAIL, password: str = PASSWORD) -> None:
    page.goto(service.url + "/login")
    follow(page, "Create an account")
    shown(page, "Create an account")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("New password").fill(password)
    press(page, "Create account")


def sign_in(page: Page, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Fill and send the form that is there."""
    page.locator("#email").fill(email)
    page.get_by_label("Password").fill(password)
    press(page, "Sign in")


def ask_for_link(page: Page, email: str = EMAIL) -> None:
    page.locator("#magic_email").fill(email)
    press(page, "E-mail me a sign-in link")
    shown(page, "Check your mail")


@contextmanager
def another(browser: Browser, errors: list[str]) -> Iterator[Page]:
    """A browser with cookies of its own."""
    with opened(browser, errors, java_script_enabled=False, **DESKTOP) as page:
        yield page


@pytest.mark.parametrize("mount", ["", "/auth"], ids=["at the root", "below a path"])
def test_everything_can_be_done_by_clicking(
    browser: Browser, page: Page, page_errors: list[str], site: Site, tmp_path: Path, mount: str
) -> None:
    """From registration to the last sign-out: no address is typed, and each step is done once."""
    with service_running(tmp_path, mount) as service:
        letterbox = Letterbox(service, page)
        confirm_the_address(page, service, letterbox, site)
        press(page, "Sign out")
        shown(page, "Sign in")
        sign_in_by_link(page, letterbox, site)
        press(page, "Sign out")
        choose_a_new_password(page, letterbox, site)
        sign_in(page, password=NEW_PASSWORD)
        shown(page, "Your account")
        change_the_account(browser, page, page_errors, service, letterbox, site)
        press(page, "Sign out")
        shown(page, "Sign in")
        assert not [cookie["name"] for cookie in page.context.cookies() if cookie["name"] in {"authsvc_access", "authsvc_refresh"}]
        names = actions(service.app)
    assert names.count("email.verified") == 2
    once = ("user.registered", "magic.used", "password.reset", "password.changed", "user.updated", "email.changed")
    assert {name: names.count(name) for name in once} == dict.fromkeys(once, 1)
    assert names.count("login.failed") == 0
    assert service.url.endswith(mount)


def confirm_the_address(page: Page, service: Service, letterbox: Letterbox, site: Site) -> None:
    """The link in a browser that is not signed in shows a button; pressed, the address is confirmed."""
    register(page, service)
    shown(page, "Your account")
    says(page.locator(".badge.warn"), "not confirmed")
    link = letterbox.wait(EMAIL, "Confirm your e-mail address").link
    assert link.startswith(service.url + "/email/verify/")
    press(page, "Sign out")
    click_in_mail(page, site, link)
    shown(page, "Confirm your address")
    says(page.get_by_role("main"), "e•••@mail.com")
    press(page, "Confirm")
    shown(page, "Address confirmed")
    follow(page, "Sign in")
    sign_in(page)
    shown(page, "Your account")
    assert page.locator(".badge.warn").count() == 0
    says(page.locator("dl"), "confirmed")


def sign_in_by_link(page: Page, letterbox: Letterbox, site: Site) -> None:
    """The browser that asked is signed in by the click alone."""
    ask_for_link(page)
    link = letterbox.wait(EMAIL, "Sign in to").link
    click_in_mail(page, site, link)
    shown(page, "Your account")
    assert page.url.endswith("/account")
    click_in_mail(page, site, link)
    shown(page, "This link is no longer valid")
    page.get_by_role("banner").get_by_role("link").click()
    shown(page, "Your account")


def choose_a_new_password(page: Page, letterbox: Letterbox, site: Site) -> None:
    """A password that is too short is refused beside its field, and the link still counts."""
    from playwright.sync_api import expect

    follow(page, "Forgotten your password?")
    shown(page, "Forgotten password")
    page.get_by_label("E-mail").fill(EMAIL)
    press(page, "Send the link")
    shown(page, "Check your mail")
    assert page.get_by_role("textbox").count() == 0
    link = letterbox.wait(EMAIL, "Choose a new password").link
    click_in_mail(page, site, link)
    shown(page, "Choose a new password")
    field = page.get_by_label("New password")
    field.fill("short")
    press(page, "Set the password")
    says(page.locator("#password-error"), "At least 8 characters")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("At least 8 characters.*At least 8 characters"))
    assert field.input_value() == ""
    field.fill(NEW_PASSWORD)
    press(page, "Set the password")
    shown(page, "Password set")
    letterbox.wait(EMAIL, "password")
    click_in_mail(page, site, link)
    shown(page, "This link is no longer valid")
    follow(page, "Sign in")
    shown(page, "Sign in")


def change_the_account(browser: Browser, page: Page, errors: list[str], service: Service, letterbox: Letterbox, site: Site) -> None:
    """Name, sessions, address and password, each from the account page, each with a word that it was done."""
    page.get_by_label("New name").fill("Zoë <Ex'ample>")
    press(page, "Change the name")
    says(page.get_by_role("status"), "Saved.")
    says(page.locator("dl"), "Zoë <Ex'ample>")
    with another(browser, errors) as elsewhere:
        elsewhere.goto(service.url + "/account")
        sign_in(elsewhere, password=NEW_PASSWORD)
        shown(elsewhere, "Your account")
        page.reload()
        page.get_by_role("button", name=re.compile("^End the session on ")).click()
        says(page.get_by_role("status"), "The session was ended.")
        assert page.get_by_role("button", name=re.compile("^End the session on ")).count() == 0
        elsewhere.reload()
        shown(elsewhere, "Sign in")
        sign_in(elsewhere, password=NEW_PASSWORD)
        shown(elsewhere, "Your account")
        press(page, "End all others")
        says(page.get_by_role("status"), "All other sessions were ended.")
        elsewhere.reload()
        shown(elsewhere, "Sign in")
    page.get_by_label("New address").fill(OTHER_EMAIL)
    press(page, "Change the address")
    says(page.get_by_role("status"), "mail to the new address")
    says(page.locator("dl"), EMAIL)
    click_in_mail(page, site, letterbox.wait(OTHER_EMAIL, "Confirm your new e-mail address").link)
    says(page.get_by_role("status"), "confirmed")
    says(page.locator("dl"), OTHER_EMAIL)
    assert "/email/undo/" in letterbox.wait(EMAIL, "The e-mail address of your account").link
    page.get_by_label("Present password").fill(NEW_PASSWORD)
    page.get_by_label("New password").fill(PASSWORD)
    press(page, "Change the password")
    says(page.get_by_role("status"), "Your password was changed")


def test_a_sign_in_of_long_ago_is_asked_for_the_password_again(service: Service, page: Page) -> None:
    """After 16 minutes the renewed session may not change the password until its own was typed once more; a wrong one says so."""
    register(page, service)
    shown(page, "Your account")
    service.world.advance(16 * 60)
    page.reload()
    shown(page, "Your account")
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_label("New password").fill(NEW_PASSWORD)
    press(page, "Change the password")
    shown(page, "Is it you?")
    page.get_by_label("Password").fill("not-this-one")
    press(page, "Continue")
    says(page.get_by_role("alert"), "not right")
    assert page.get_by_label("Password").input_value() == ""
    assert "password.changed" not in actions(service.app)
    page.get_by_label("Password").fill(PASSWORD)
    press(page, "Continue")
    says(page.get_by_role("status"), "You can go on now")
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_label("New password").fill(NEW_PASSWORD)
    press(page, "Change the password")
    says(page.get_by_role("status"), "Your password was changed")
    assert actions(service.app).count("password.changed") == 1


@pytest.mark.parametrize("from_elsewhere", [False, True], ids=["from our own page", "from another site"])
@pytest.mark.parametrize("kept", [True, False], ids=["token run out", "cookie run out"])
def test_a_session_is_renewed_when_the_access_cookie_has_run_out(
    service: Service, page: Page, site: Site, kept: bool, from_elsewhere: bool
) -> None:
    """The browser ends up on its account page without being asked anything, and the session is the same one."""
    register(page, service)
    shown(page, "Your account")
    service.world.advance(20 * 60)
    if not kept:
        page.context.clear_cookies(name="authsvc_access")
    if from_elsewhere:
        click_in_mail(page, site, service.url + "/account")
        page.wait_for_url(service.url + "/account")
    else:
        page.reload()
    shown(page, "Your account")
    assert page.locator("ul.sessions > li").count() == 1
    assert actions(service.app).count("login.succeeded") == 0
    says(page.locator("dl"), EMAIL)


def test_a_form_sent_after_the_access_cookie_has_run_out_leads_back_without_a_sign_in(service: Service, page: Page) -> None:
    """Nothing is changed; the page says so, and its link leads to the account, for the session still lives."""
    register(page, service)
    shown(page, "Your account")
    service.world.advance(20 * 60)
    page.get_by_label("New name").fill("Zoë")
    press(page, "Change the name")
    follow(page, "Your account")
    shown(page, "Your account")
    assert "user.updated" not in actions(service.app)


def test_a_session_that_is_over_ends_at_the_sign_in_page(service: Service, page: Page) -> None:
    """Also where the browser still has both cookies; they are taken from it."""
    register(page, service)
    shown(page, "Your account")
    service.world.advance(91 * 86_400)
    page.reload()
    shown(page, "Sign in")
    assert {cookie["name"] for cookie in page.context.cookies()} <= {"authsvc_device", "authsvc_magic"}


def test_a_link_opened_in_another_browser_signs_in_that_one_only(
    browser: Browser, service: Service, page: Page, page_errors: list[str], site: Site, letterbox: Letterbox
) -> None:
    """There it needs its button, and the browser that waits stays outside; the code is spent with the link."""
    page.goto(service.url + "/account")
    ask_for_link(page)
    mail = letterbox.wait(EMAIL, "Sign in to")
    with another(browser, page_errors) as elsewhere:
        click_in_mail(elsewhere, site, mail.link)
        shown(elsewhere, "Sign in")
        assert "magic.used" not in actions(service.app)
        assert elsewhere.context.cookies() == []
        press(elsewhere, "Sign in")
        shown(elsewhere, "Your account")
    assert "authsvc_access" not in {cookie["name"] for cookie in page.context.cookies()}
    page.get_by_label("Code of 6 digits").fill(mail.code)
    press(page, "Continue")
    says(page.get_by_role("alert"), "used or has run out")
    assert actions(service.app).count("magic.used") == 1


def test_a_code_signs_in_the_page_that_waits(
    browser: Browser, service: Service, page: Page, page_errors: list[str], site: Site, letterbox: Letterbox
) -> None:
    """Typed with a space, as people group digits; whoever looked at the link elsewhere comes too late."""
    page.goto(service.url + "/account")
    ask_for_link(page)
    mail = letterbox.wait(EMAIL, "Sign in to")
    with another(browser, page_errors) as elsewhere:
        click_in_mail(elsewhere, site, mail.link)
        shown(elsewhere, "Sign in")
        page.get_by_label("Code of 6 digits").fill(f"{mail.code[:3]} {mail.code[3:]}")
        press(page, "Continue")
        shown(page, "Your account")
        press(elsewhere, "Sign in")
        shown(elsewhere, "This link is no longer valid")
        assert elsewhere.context.cookies() == []
    assert actions(service.app).count("magic.used") == 1


def test_five_wrong_codes_end_the_code_and_not_the_link(service: Service, page: Page, site: Site, letterbox: Letterbox) -> None:
    """Each is refused on the page that waits; then the right one is too, and the link still signs in."""
    page.goto(service.url + "/login")
    ask_for_link(page)
    mail = letterbox.wait(EMAIL, "Sign in to")
    wrong = f"{(int(mail.code) + 1) % 1_000_000:06}"
    for number in range(1, 6):
        page.get_by_label("Code of 6 digits").fill(wrong)
        press(page, "Continue")
        says(page.get_by_role("alert"), "not the code that was sent")
        assert page.get_by_label("Code of 6 digits").input_value() == ""
        assert actions(service.app).count("otp.failed") == number
        shown(page, "Check your mail")
    page.get_by_label("Code of 6 digits").fill(mail.code)
    press(page, "Continue")
    says(page.get_by_role("alert"), "not accepted any more")
    assert "magic.used" not in actions(service.app)
    click_in_mail(page, site, mail.link)
    shown(page, "Your account")


@pytest.mark.parametrize("email", [EMAIL, "nobody@mail.com"], ids=["wrong password", "unknown address"])
def test_a_refused_sign_in_stays_on_its_page(service: Service, page: Page, email: str) -> None:
    """One message for both, the address is kept, the password is not, and nobody is signed in."""
    Client(service.app).register()
    page.goto(service.url + "/login")
    sign_in(page, email, "not-this-one")
    says(page.get_by_role("alert"), "The e-mail address or the password is not right.")
    shown(page, "Sign in")
    assert page.locator("#email").input_value() == email
    assert page.get_by_label("Password").input_value() == ""
    assert "not-this-one" not in page.content()
    assert page.context.cookies() == []


def test_a_refused_registration_stays_on_its_page(service: Service, page: Page) -> None:
    """A taken address and a faulty one: name and address are kept, the password is not."""
    Client(service.app).register()
    page.goto(service.url + "/register")
    page.get_by_label("Name").fill("Zoë")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("E-mail").fill(EMAIL)
    press(page, "Create account")
    says(page.get_by_role("alert"), "Sign in instead")
    shown(page, "Create an account")
    assert [page.get_by_label(label).input_value() for label in ("E-mail", "Name", "New password")] == [EMAIL, "Zoë", ""]
    for email, fault in (("zoe@mail", "#email-error"), ("zoe@mail.com", "#password-error")):
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("New password").fill("short")
        press(page, "Create account")
        page.locator(fault).wait_for()
        assert [page.get_by_label(label).input_value() for label in ("E-mail", "Name", "New password")] == [email, "Zoë", ""]
        assert page.locator(".error").count() == 1
    assert PASSWORD not in page.content()
    assert actions(service.app).count("user.registered") == 1


def test_a_faulty_address_is_told_beside_the_field_that_has_it(service: Service, page: Page) -> None:
    """The sign-in page has two; the one of the mailed link has its own message."""
    from playwright.sync_api import expect

    page.goto(service.url + "/login")
    page.locator("#magic_email").fill("zoe@mail")
    press(page, "E-mail me a sign-in link")
    says(page.get_by_role("alert"), "fields below")
    expect(page.locator("#magic_email")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#magic_email")).to_have_accessible_description("The part after the @ is not a domain name.")
    expect(page.locator("#email")).not_to_have_attribute("aria-invalid", "true")
    assert page.locator("#magic_email").input_value() == "zoe@mail"


def test_an_address_beyond_ascii_can_use_every_form(service: Service, page: Page) -> None:
    """What registration by the API takes, the forms let through: browsers would refuse it in a field of type email."""
    email = "zoë@mail.com"
    Client(service.app).register(email)
    page.goto(service.url + "/login")
    sign_in(page, email)
    shown(page, "Your account")
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_label("New password").fill(NEW_PASSWORD)
    press(page, "Change the password")
    says(page.get_by_role("status"), "Your password was changed")


@pytest.mark.parametrize("way", ["password", "registration", "link", "link elsewhere", "code"])
def test_a_browser_ends_up_at_the_app_that_sent_it(
    browser: Browser, tmp_path: Path, page: Page, page_errors: list[str], site: Site, way: str
) -> None:
    """At exactly the URL that the app gave, from another site, and the policy of the pages lets the form's answer lead there."""
    app = site.url.replace("127.0.0.1", "localhost")
    site.put("/welcome", HEAD.format('<link rel="icon" href="data:,">', "<h1>The app</h1>"))
    with service_running(tmp_path, app_origins=app) as service:
        letterbox = Letterbox(service, page)
        Client(service.app).register()
        target = "http%3A%2F%2F" + app.removeprefix("http://").replace(":", "%3A") + "%2Fwelcome%3Fa%3D1%26b%3D%2522"
        page.goto(site.put_link("/", f"{service.url}/login?redirect_to={target}").replace("127.0.0.1", "localhost"))
        follow(page, "Go")
        shown(page, "Sign in")
        if way == "password":
            sign_in(page, password="not-this-one")
            says(page.get_by_role("alert"), "not right")
            sign_in(page)
        elif way == "registration":
            follow(page, "Create an account")
            page.get_by_label("E-mail").fill(OTHER_EMAIL)
            page.get_by_label("New password").fill(PASSWORD)
            press(page, "Create account")
        else:
            ask_for_link(page)
            mail = letterbox.wait(EMAIL, "Sign in to")
            if way == "code":
                page.get_by_label("Code of 6 digits").fill(mail.code)
                press(page, "Continue")
            elif way == "link":
                click_in_mail(page, site, mail.link)
            else:
                with another(browser, page_errors) as elsewhere:
                    click_in_mail(elsewhere, site, mail.link)
                    press(elsewhere, "Sign in")
                    shown(elsewhere, "The app")
                return
        shown(page, "The app")
        assert page.url == app + "/welcome?a=1&b=%22"
        assert site.last("/welcome").get("HTTP_REFERER") in {None, service.url + "/"}


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_a_target_that_is_not_listed_is_refused(service: Service, page: Page, site: Site, path: str) -> None:
    """The page says what is wrong in words of its own, shows no form, and leads to the account."""
    page.goto(f"{service.url}{path}?redirect_to={site.url}/")
    says(page.get_by_role("main"), "origin")
    assert page.get_by_role("textbox").count() == 0
    assert "`errors`" not in page.content()
    assert site.requests == []


def test_where_accounts_are_hidden_registration_looks_alike(tmp_path: Path, page: Page, site: Site) -> None:
    """A free and a taken address get the same page and no cookies; the free one's link confirms it and leads to a sign-in."""
    with service_running(tmp_path, enumeration="hide") as service:
        letterbox, seen = Letterbox(service, page), []
        for _ in range(2):
            register(page, service)
            shown(page, "Check your mail")
            seen.append(page.content())
            assert page.context.cookies() == []
        assert seen[0] == seen[1]
        link = letterbox.wait(EMAIL, "Confirm your e-mail address").link
        letterbox.wait(EMAIL, "account")
        page.goto(service.url + "/login")
        sign_in(page)
        says(page.get_by_role("alert"), "not right")
        click_in_mail(page, site, link)
        press(page, "Confirm")
        follow(page, "Sign in")
        sign_in(page)
        shown(page, "Your account")
        assert actions(service.app).count("login.succeeded") == 1


def test_a_keyboard_is_enough_to_sign_in(service: Service, page: Page) -> None:
    """Tab to the fields, type, Enter; then Tab to the last button of the account page and Enter to leave."""
    Client(service.app).register()
    page.goto(service.url + "/login")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(EMAIL)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    shown(page, "Your account")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    shown(page, "Sign in")
    assert actions(service.app)[-2:] == ["login.succeeded", "session.revoked"]


def test_the_code_of_a_new_confirmation_counts_on_the_page_that_asked(service: Service, page: Page, letterbox: Letterbox) -> None:
    """Asked for from the account page, its code confirms the address there; the first link is replaced."""
    register(page, service)
    shown(page, "Your account")
    letterbox.wait(EMAIL, "Confirm your e-mail address")
    press(page, "Send me a link to confirm it")
    shown(page, "Check your mail")
    page.get_by_label("Code of 6 digits").fill(letterbox.wait(EMAIL, "Confirm your e-mail address", 2).code)
    press(page, "Continue")
    says(page.get_by_role("status"), "Your e-mail address is confirmed.")
    says(page.locator("dl"), "confirmed")
    assert actions(service.app).count("email.verified") == 1


def test_a_change_of_the_address_can_be_taken_back(service: Service, page: Page, site: Site, letterbox: Letterbox) -> None:
    """The former address gets a link whose button restores it; a new password is then chosen by a mail."""
    register(page, service)
    shown(page, "Your account")
    page.get_by_label("New address").fill(OTHER_EMAIL)
    press(page, "Change the address")
    says(page.get_by_role("status"), "mail to the new address")
    click_in_mail(page, site, letterbox.wait(OTHER_EMAIL, "Confirm your new").link)
    says(page.get_by_role("status"), "confirmed")
    click_in_mail(page, site, letterbox.wait(EMAIL, "The e-mail address of your account").link)
    shown(page, "Take the change back")
    assert actions(service.app).count("email.changed") == 1
    press(page, "Take it back")
    shown(page, "Your address is back")
    click_in_mail(page, site, letterbox.wait(EMAIL, "Your account at").link)
    page.get_by_label("New password").fill(NEW_PASSWORD)
    press(page, "Set the password")
    shown(page, "Password set")
    follow(page, "Sign in")
    sign_in(page, password=NEW_PASSWORD)
    shown(page, "Your account")
    says(page.locator("dl"), EMAIL)
