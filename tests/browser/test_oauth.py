"""Signing in by a real OpenID provider in a browser without scripts: signing up, linking, unlinking, and coming back in vain."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.service import Service, service_running
from tests.browser.test_factors import answer, enrol
from tests.browser.test_walks import press, register, says, shown
from tests.faults.servers import free_port
from tests.openid.provider import OpenIdProvider, provider_running
from tests.support import EMAIL, actions

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECRET = "a-secret-that-the-provider-gave-us"
ADA = {"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada"}
BOB = {"sub": "bob", "email": EMAIL, "email_verified": False, "name": "Bob"}
TITLE = "Corp"


@contextmanager
def both_running(folder: Path, page: Page, mount: str = "", **settings: Any) -> Iterator[tuple[Service, OpenIdProvider]]:
    """A service that offers `corp`, and the provider behind it, each on a port of its own; both stay until the page is whole."""
    with ExitStack() as stack:
        port = free_port()
        given = {"oauth_corp_client_id": "authsvc", "oauth_corp_client_secret": SECRET, "oauth_corp_issuer": f"http://127.0.0.1:{port}"}
        service = stack.enter_context(service_running(folder, mount, oauth_corp_title=TITLE, **given | settings))
        client = {"client_id": "authsvc", "client_secret": SECRET, "redirect_uris": [f"{service.url}/oauth/corp/callback"]}
        yield service, stack.enter_context(provider_running([client], [ADA, BOB], port=port))
        page.wait_for_load_state()


@pytest.fixture
def both(tmp_path: Path, page: Page) -> Iterator[tuple[Service, OpenIdProvider]]:
    with both_running(tmp_path, page) as running:
        yield running


@pytest.fixture(autouse=True)
def without_fonts(page: Page) -> None:
    """The provider's own pages ask a public host for a font."""
    page.context.route(re.compile(r"https://fonts\."), lambda route: route.fulfill(body="", content_type="text/css"))


def go(page: Page, service: Service) -> None:
    """From the sign-in page to the provider; it asks for nothing where it still knows who it is."""
    page.goto(service.url + "/login")
    page.get_by_role("link", name=f"Continue with {TITLE}").click()


def there(page: Page, login: str) -> None:
    """Sign in at the provider, as its own pages want it."""
    page.locator("input[name=login]").fill(login)
    page.locator("input[name=password]").fill("anything")
    page.locator("button[type=submit]").click()
    page.locator("button[type=submit]", has_text="Continue").click()


def test_a_browser_signs_up_out_and_in_again(both: tuple[Service, OpenIdProvider], page: Page, looked_at: Callable[[str], None]) -> None:
    """One account, made at the first sign-in and found again at the second; it has no password and can set one."""
    service, _ = both
    page.goto(service.url + "/login")
    looked_at("login-with-a-provider")
    go(page, service)
    there(page, "ada")
    shown(page, "Your account")
    says(page.get_by_role("main"), "ada@example.com confirmed")
    says(page.get_by_role("main"), TITLE)
    looked_at("account-with-an-identity")
    press(page, "Sign out")
    shown(page, "Sign in")
    go(page, service)
    shown(page, "Your account")
    assert actions(service.app).count("user.registered") == 1
    assert actions(service.app).count("login.succeeded") == 2


def test_an_account_links_and_unlinks_the_provider(
    both: tuple[Service, OpenIdProvider], page: Page, looked_at: Callable[[str], None]
) -> None:
    """From the account page, over a page of our own that leads on (no policy stands in the way), back, and away again."""
    service, _ = both
    register(page, service)
    shown(page, "Your account")
    press(page, f"Add {TITLE}")
    there(page, "ada")
    shown(page, "Your account")
    says(page.get_by_role("status"), "You can sign in that way now.")
    says(page.get_by_role("main"), "ada@example.com")
    looked_at("account-linked")
    press(page, f"Remove {TITLE}")
    shown(page, "Your account")
    says(page.get_by_role("status"), "You cannot sign in that way any more.")
    assert [name for name in actions(service.app) if name.startswith("identity.")] == ["identity.linked", "identity.unlinked"]


def test_an_address_that_is_not_verified_links_to_nobodys_account(
    both: tuple[Service, OpenIdProvider], page: Page, looked_at: Callable[[str], None]
) -> None:
    """The page says what to do instead, and nobody is signed in."""
    service, _ = both
    register(page, service)
    press(page, "Sign out")
    shown(page, "Sign in")
    go(page, service)
    there(page, "bob")
    shown(page, "Not linked to your account")
    looked_at("not-linked")
    page.goto(service.url + "/account")
    shown(page, "Sign in")
    assert "identity.linked" not in actions(service.app)


def test_a_sign_in_that_is_cancelled_or_not_of_this_browser_says_so(
    both: tuple[Service, OpenIdProvider], page: Page, looked_at: Callable[[str], None]
) -> None:
    """Cancelled over there; come back without having gone."""
    service, _ = both
    go(page, service)
    page.get_by_role("link", name="[ Cancel ]").click()
    shown(page, "Sign-in cancelled")
    looked_at("cancelled")
    page.goto(service.url + "/oauth/corp/callback?code=x&state=y")
    shown(page, "Not a sign-in of this browser")
    looked_at("foreign-state")
    page.get_by_role("main").get_by_role("link", name="Sign in").click()
    shown(page, "Sign in")


def test_the_only_way_in_is_not_taken_away(tmp_path: Path, page: Page) -> None:
    """An account without a confirmed address and without a password keeps its identity."""
    with both_running(tmp_path, page) as (service, provider):
        provider.set_accounts([{"sub": "mia", "name": "Mia"}])
        go(page, service)
        there(page, "mia")
        shown(page, "Your account")
        press(page, f"Remove {TITLE}")
        shown(page, "Your account")
        says(page.get_by_role("alert"), "This is the last way into your account.")


def test_a_second_factor_is_asked_for_after_the_provider(both: tuple[Service, OpenIdProvider], page: Page) -> None:
    """The provider's word is the first step only."""
    service, _ = both
    go(page, service)
    there(page, "ada")
    shown(page, "Your account")
    app, _ = enrol(page, service)
    press(page, "Sign out")
    shown(page, "Sign in")
    go(page, service)
    shown(page, "Second step")
    answer(page, app.next())
    shown(page, "Your account")


def test_a_provider_that_answers_by_a_form_signs_in_too(tmp_path: Path, page: Page) -> None:
    """Its post comes from another site, without our cookie; sent on by GET, the browser brings it."""
    with both_running(tmp_path, page, "/auth", oauth_corp_response_mode="form_post") as (service, _):
        go(page, service)
        there(page, "ada")
        page.locator("form[action*=callback] [type=submit]").click()  # without scripts somebody has to press it
        shown(page, "Your account")
        assert actions(service.app)[-1] == "login.succeeded"


def test_an_old_session_is_made_fresh_by_the_provider(
    both: tuple[Service, OpenIdProvider], page: Page, looked_at: Callable[[str], None]
) -> None:
    """Whoever has no password proves by the provider that it is still they."""
    service, _ = both
    go(page, service)
    there(page, "ada")
    shown(page, "Your account")
    service.world.advance(905)
    page.goto(service.url + "/account")
    shown(page, "Your account")
    press(page, f"Remove {TITLE}")
    shown(page, "Is it you?")
    looked_at("is-it-you-by-a-provider")
    page.get_by_role("link", name=f"Continue with {TITLE}").click()
    shown(page, "Your account")
    says(page.get_by_role("status"), "Thank you. You can go on now.")
    press(page, f"Remove {TITLE}")
    shown(page, "Your account")
    says(page.get_by_role("status"), "You cannot sign in that way any more.")
