"""Signing in by a real OpenID provider in a browser without scripts: signing up, linking, unlinking, and coming back in vain."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import NARROW, PHONE
from tests.browser.service import HEAD, Letterbox, Service, Site, service_running
from tests.browser.test_every_page import SMALL, check_keyboard
from tests.browser.test_factors import answer, enrol
from tests.browser.test_walks import another, follow, press, register, says, shown
from tests.faults.servers import free_port
from tests.openid.provider import OpenIdProvider, provider_running
from tests.openid.provider import sign_in as over_there
from tests.support import actions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SECRET = "a-secret-that-the-provider-gave-us"
TITLE = "Corp"
WAY_IN = f"Continue with {TITLE}"
NUMBERS = count()
CALLBACK = re.compile(r"/oauth/corp/callback")
LOW = "all => all.filter((one) => one.getBoundingClientRect().height < 44).length"
CLOSE = """all => all.filter((one) => { const style = getComputedStyle(one);
  return parseFloat(style.paddingTop) < 4 || parseFloat(style.paddingBottom) < 4; }).length"""


class Both:
    """A service that offers `corp`, and the provider behind it, where one person is known that nobody has met yet."""

    def __init__(self, service: Service, provider: OpenIdProvider) -> None:
        self.service, self.provider, self.url = service, provider, service.url
        self.login = f"person{next(NUMBERS)}"
        self.email = f"{self.login}@example.com"
        self.tell(email=self.email, email_verified=True)
        self._before = len(actions(service.app))

    def tell(self, **claims: Any) -> None:
        """From now on the provider tells this of the person, and nothing else."""
        self.provider.set_accounts([{"sub": self.login, **claims}])

    @property
    def actions(self) -> list[str]:
        """What was recorded meanwhile."""
        return actions(self.service.app)[self._before :]


@contextmanager
def running(folder: Path, mount: str = "", **settings: Any) -> Iterator[tuple[Service, OpenIdProvider]]:
    """The service and the provider: two sites to a browser, or SameSite would mean nothing."""
    with ExitStack() as stack:
        port = free_port()
        given = {"oauth_corp_client_id": "authsvc", "oauth_corp_client_secret": SECRET, "oauth_corp_issuer": f"http://127.0.0.1:{port}"}
        named = {"oauth_corp_title": TITLE}
        service = stack.enter_context(service_running(folder, mount, host="localhost", **given | named | settings))
        client = {"client_id": "authsvc", "client_secret": SECRET, "redirect_uris": [f"{service.url}/oauth/corp/callback"]}
        yield service, stack.enter_context(provider_running([client], [], port=port))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, OpenIdProvider]]:
    """One pair for all whose clock stays as it is."""
    with running(tmp_path_factory.mktemp("oauth")) as pair:
        yield pair


@pytest.fixture
def both(shared: tuple[Service, OpenIdProvider]) -> Both:
    return Both(*shared)


@pytest.fixture
def later(tmp_path: Path, page: Page) -> Iterator[Both]:
    """A pair of one's own, whose service's clock may be turned on."""
    with running(tmp_path) as pair:
        yield Both(*pair)
        page.wait_for_load_state()


@pytest.fixture(autouse=True)
def no_fonts(page: Page) -> None:
    without_fonts(page.context)


@pytest.fixture
def looked_over(page: Page, looked_at: Callable[[str], None], shoot: Callable[[Page, str], None]) -> Callable[[str], None]:
    """Checks the page for everybody's use, by keyboard and by thumb too; with pictures of it in both schemes and on a phone."""

    def look(name: str) -> None:
        page.emulate_media(reduced_motion="reduce")
        looked_at(name)
        check_keyboard(page)
        wide = page.viewport_size
        page.set_viewport_size(NARROW)
        assert page.evaluate(SMALL) == 0
        assert page.locator(".providers a").evaluate_all(LOW) == 0
        page.set_viewport_size(PHONE["viewport"])
        shoot(page, f"{name}-phone")
        page.set_viewport_size(wide)
        page.emulate_media(color_scheme="dark")
        shoot(page, f"{name}-dark")
        page.emulate_media(color_scheme="light")

    return look


def without_fonts(context: BrowserContext) -> None:
    """The provider's own pages ask a public host for a font."""
    context.route(re.compile(r"https://fonts\."), lambda route: route.fulfill(body="", content_type="text/css"))


def go(page: Page, url: str) -> None:
    """From the sign-in page to the provider; it asks for nothing where it still knows who it is."""
    page.goto(url + "/login")
    follow(page, WAY_IN)


def there(page: Page, login: str) -> None:
    """Sign in at the provider, as its own pages want it."""
    page.locator("input[name=login]").fill(login)
    page.locator("input[name=password]").fill("anything")
    page.locator("button[type=submit]").click()
    page.locator("button[type=submit]", has_text="Continue").click()


def is_there(page: Page) -> None:
    """Wait until the provider asks who it is."""
    page.locator("input[name=login]").wait_for()


def came_in(page: Page, both: Both) -> None:
    """The account, made by the provider's word."""
    go(page, both.url)
    there(page, both.login)
    shown(page, "Your account")


def asked_again(page: Page, both: Both, button: str, seconds: int = 905) -> None:
    """So much later, whoever presses this is asked whether it is they."""
    both.service.world.advance(seconds)
    page.goto(both.url + "/account")
    press(page, button)
    shown(page, "Is it you?")


def on(page: Page, link: str) -> None:
    """A way on from a page that only says something."""
    page.get_by_role("main").get_by_role("link", name=link, exact=True).click()


def test_a_browser_signs_up_out_and_in_again(both: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """One account, made at the first sign-in and found again at the second; it has no password and can set one."""
    page.goto(both.url + "/register")
    looked_over("register-with-a-provider")
    follow(page, WAY_IN)
    there(page, both.login)
    shown(page, "Your account")
    says(page.get_by_role("main"), f"{both.email} confirmed")
    page.get_by_role("button", name="Set a password").wait_for()
    press(page, "Sign out")
    shown(page, "Sign in")
    looked_over("login-with-a-provider")
    follow(page, WAY_IN)
    shown(page, "Your account")
    assert both.actions.count("user.registered") == 1
    assert both.actions.count("login.succeeded") == 2
    assert "login.failed" not in both.actions


def test_an_account_links_and_unlinks_the_provider(both: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """From the account page, over a page of our own that leads on (no policy stands in the way), back, and away again."""
    register(page, both.service, f"own-{both.email}")
    shown(page, "Your account")
    press(page, f"Add {TITLE}")
    there(page, both.login)
    shown(page, "Your account")
    says(page.get_by_role("status"), "You can sign in that way now.")
    says(page.get_by_role("main"), both.email)
    assert page.get_by_role("button", name=f"Add {TITLE}").count() == 0
    looked_over("account-linked")
    press(page, f"Remove {TITLE}")
    shown(page, "Your account")
    says(page.get_by_role("status"), "You cannot sign in that way any more.")
    page.get_by_role("button", name=f"Add {TITLE}").wait_for()
    assert [name for name in both.actions if name.startswith("identity.")] == ["identity.linked", "identity.unlinked"]
    assert both.actions.count("user.registered") == 1


def test_the_page_on_the_way_to_the_provider_can_be_used_and_left(both: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """It goes on by itself; where a browser does not, its link does. Who comes back over it is not sent there again."""
    register(page, both.service, f"own-{both.email}")
    shown(page, "Your account")
    page.route(both.provider.issuer + "/auth*", lambda route: route.fulfill(status=204))
    press(page, f"Add {TITLE}")
    shown(page, "One moment")
    page.wait_for_load_state()
    looked_over("leave")
    page.unroute(both.provider.issuer + "/auth*")
    follow(page, "Continue")
    is_there(page)
    page.goto(both.url + "/account")
    press(page, f"Add {TITLE}")
    is_there(page)
    page.go_back()
    shown(page, "Your account")
    assert "identity.linked" not in both.actions


def test_an_address_that_is_not_verified_links_to_nobodys_account(both: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """The page says what to do instead, and nobody is signed in."""
    both.tell(email=both.email, email_verified=False)
    register(page, both.service, both.email)
    press(page, "Sign out")
    shown(page, "Sign in")
    go(page, both.url)
    there(page, both.login)
    shown(page, "Not linked to your account")
    looked_over("not-linked")
    page.goto(both.url + "/account")
    shown(page, "Sign in")
    assert "identity.linked" not in both.actions


def test_an_identity_of_somebody_elses_account_is_refused_with_a_way_on(both: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """Linking it once more says why not, and both accounts stay as they are."""
    came_in(page, both)
    press(page, "Sign out")
    register(page, both.service, f"own-{both.email}")
    press(page, f"Add {TITLE}")
    says(page.get_by_role("main"), f"This identity at {TITLE} is linked to another account.")
    looked_over("linked-elsewhere")
    on(page, "Your account")
    shown(page, "Your account")
    says(page.get_by_role("main"), f"own-{both.email}")
    page.get_by_role("button", name=f"Add {TITLE}").wait_for()
    assert both.actions.count("user.registered") == 2
    assert both.actions.count("identity.linked") == 1


def test_a_sign_in_that_is_cancelled_or_not_of_this_browser_says_so(both: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """Cancelled over there; come back without having gone; sent to an address that is no app's."""
    go(page, both.url)
    follow(page, "[ Cancel ]")
    shown(page, "Sign-in cancelled")
    looked_over("cancelled")
    on(page, "Sign in")
    shown(page, "Sign in")
    page.goto(both.url + "/oauth/corp/callback?code=x&state=y")
    shown(page, "Not a sign-in of this browser")
    looked_over("foreign-state")
    page.goto(both.url + "/oauth/corp?redirect_to=https://evil.example/")
    shown(page, "Invalid request")
    assert "evil.example" not in page.content()
    on(page, "Sign in")
    shown(page, "Sign in")
    assert both.actions == ["login.failed"]


def test_a_way_back_counts_once_and_in_its_own_browser_only(both: Both, browser: Browser, page: Page, page_errors: list[str]) -> None:
    """Given to another browser it signs nobody in there, and spends nothing; used once, it is over, and the session stays."""
    with page.expect_request(both.provider.issuer + "/auth*") as began:
        go(page, both.url)
    is_there(page)
    back = over_there(began.value.url, both.login)
    with another(browser, page_errors) as stranger:
        stranger.goto(back)
        shown(stranger, "Not a sign-in of this browser")
        stranger.goto(both.url + "/account")
        shown(stranger, "Sign in")
        assert stranger.context.cookies() == []
    page.goto(back)
    shown(page, "Your account")
    page.goto(back)
    shown(page, "Not a sign-in of this browser")
    on(page, "Your account")
    shown(page, "Your account")
    assert both.actions.count("login.succeeded") == 1


def test_the_only_way_in_is_not_taken_away(both: Both, page: Page) -> None:
    """An account without a confirmed address and without a password keeps its identity."""
    both.tell(name="Mia")
    came_in(page, both)
    press(page, f"Remove {TITLE}")
    shown(page, "Your account")
    says(page.get_by_role("alert"), "This is the last way into your account.")
    page.get_by_role("button", name=f"Remove {TITLE}").wait_for()
    assert "identity.unlinked" not in both.actions


def test_where_addresses_must_be_confirmed_a_mail_leads_in(
    tmp_path: Path, page: Page, site: Site, looked_over: Callable[[str], None]
) -> None:
    """The provider does not vouch for the address: the page tells of a mail; once its link was used, the same way opens."""
    with running(tmp_path, email_verification="required") as pair:
        both = Both(*pair)
        both.tell(email=both.email, email_verified=False)
        go(page, both.url)
        there(page, both.login)
        shown(page, "E-mail address not confirmed")
        says(page.get_by_role("main"), "we have sent you a mail")
        looked_over("not-confirmed")
        page.goto(both.url + "/account")
        shown(page, "Sign in")
        page.goto(site.put_link("/mail", Letterbox(both.service, page).wait(both.email, "Confirm your e-mail address").link))
        follow(page, "Go")
        press(page, "Confirm")
        shown(page, "Address confirmed")
        go(page, both.url)
        shown(page, "Your account")
        says(page.get_by_role("main"), f"{both.email} confirmed")
        assert both.actions.count("user.registered") == 1


def test_a_provider_that_does_not_answer_as_it_should_has_a_page(tmp_path: Path, page: Page, looked_over: Callable[[str], None]) -> None:
    """When it refuses the code, and when it is gone altogether: no word of what went wrong inside, and a way on."""
    with running(tmp_path, oauth_corp_client_secret="another-one") as pair:
        both = Both(*pair)
        go(page, both.url)
        there(page, both.login)
        shown(page, "The provider did not answer as it should")
        says(page.get_by_role("main"), "sign in another way")
        assert not [word for word in ("another-one", "invalid_client", "request id") if word in page.content()]
        looked_over("exchange-failed")
        on(page, "Sign in")
        shown(page, "Sign in")
        assert both.actions == ["login.failed"]
        both.provider.process.kill()
        both.provider.process.wait()
        both.service.world.advance(90_000)
        follow(page, WAY_IN)
        shown(page, "The provider did not answer as it should")


def test_the_browser_ends_where_an_app_wants_it_after_both_steps(tmp_path: Path, page: Page, site: Site) -> None:
    """An app's own address goes along to the provider and through the second step, which the provider's word does not replace."""
    home = site.put("/home", HEAD.format('<link rel="icon" href="data:,">', "<h1>App</h1>"))
    wanted = f"?redirect_to={home}%3Fa%3Db%26c"
    with running(tmp_path, app_origins=site.url) as pair:
        both = Both(*pair)
        page.goto(f"{both.url}/login{wanted}")
        follow(page, WAY_IN)
        there(page, both.login)
        shown(page, "App")
        assert page.url == f"{home}?a=b&c"
        page.goto(both.url + "/account")
        app, _ = enrol(page, both.service)
        press(page, "Sign out")
        page.goto(f"{both.url}/register{wanted}")
        follow(page, WAY_IN)
        shown(page, "Second step")
        page.goto(both.url + "/account")
        shown(page, "Sign in")
        page.goto(f"{both.url}/login{wanted}")
        follow(page, WAY_IN)
        answer(page, app.wrong())
        says(page.get_by_role("alert"), "not the right code")
        answer(page, app.next())
        shown(page, "App")
        assert page.url == f"{home}?a=b&c"
        page.goto(both.url + "/account")
        shown(page, "Your account")


@pytest.mark.parametrize("scripts", [False, True], ids=["by a button", "by a script"])
def test_a_provider_that_answers_by_a_form_signs_in_too(tmp_path: Path, page: Page, scripted_page: Page, *, scripts: bool) -> None:
    """Its post comes from another site, and so without our cookies; sent on by GET, the browser brings them."""
    used, sent = scripted_page if scripts else page, []
    without_fonts(used.context)
    used.on("request", lambda request: sent.append(request) if CALLBACK.search(request.url) else None)
    with running(tmp_path, "/auth", oauth_corp_response_mode="form_post") as pair:
        both = Both(*pair)
        go(used, both.url)
        there(used, both.login)
        if not scripts:
            used.locator("form[action*=callback] [type=submit]").click()
        shown(used, "Your account")
        assert used.url == f"{both.url}/account"
        assert [request.method for request in sent] == ["POST", "GET"]
        assert ["authsvc_oauth" in request.all_headers().get("cookie", "") for request in sent] == [False, True]
        assert {urlsplit(request.url).path for request in sent} == {"/auth/oauth/corp/callback"}
        assert both.actions[-1] == "login.succeeded"


def test_whoever_took_their_time_over_there_is_linked_all_the_same(later: Both, page: Page) -> None:
    """The access cookie ran out meanwhile: the session that began it still counts, and the way to the account renews it."""
    register(page, later.service, f"own-{later.email}")
    later.service.world.advance(890)
    press(page, f"Add {TITLE}")
    is_there(page)
    later.service.world.advance(590)
    there(page, later.login)
    shown(page, "Your account")
    page.get_by_role("button", name=f"Remove {TITLE}").wait_for()
    assert later.actions.count("identity.linked") == 1


def test_an_old_session_is_made_fresh_by_the_provider(later: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """Whoever has no password proves by the provider that it is still they; no second session stands beside the first for weeks."""
    came_in(page, later)
    asked_again(page, later, f"Remove {TITLE}")
    assert page.get_by_label("Password").count() == 0
    looked_over("is-it-you-by-a-provider")
    follow(page, WAY_IN)
    shown(page, "Your account")
    says(page.get_by_role("status"), "Thank you. You can go on now.")
    assert page.locator("ul.sessions li").count() == 1
    press(page, f"Remove {TITLE}")
    shown(page, "Your account")
    says(page.get_by_role("status"), "You cannot sign in that way any more.")


def test_with_a_password_either_makes_an_old_session_fresh(later: Both, page: Page, looked_over: Callable[[str], None]) -> None:
    """The page asks for the password and offers the provider that is linked; one that is not is no proof."""
    register(page, later.service, f"own-{later.email}")
    shown(page, "Your account")
    asked_again(page, later, f"Add {TITLE}")
    assert page.get_by_role("link", name=WAY_IN).count() == 0
    page.get_by_label("Password").fill("violet-harbour-91")
    press(page, "Continue")
    press(page, f"Add {TITLE}")
    there(page, later.login)
    shown(page, "Your account")
    asked_again(page, later, f"Remove {TITLE}")
    page.get_by_label("Password").wait_for()
    looked_over("is-it-you-by-both")
    follow(page, WAY_IN)
    says(page.get_by_role("status"), "Thank you. You can go on now.")


def test_another_person_at_the_provider_is_not_you(later: Both, page: Page) -> None:
    """It was somebody else: no account is made or entered, the session stays whose it was, and it is as old as before."""
    came_in(page, later)
    later.provider.set_accounts([*later.provider.accounts, {"sub": "eve", "email": "eve@example.com", "email_verified": True}])
    asked_again(page, later, f"Remove {TITLE}")
    page.context.clear_cookies(domain="127.0.0.1")
    follow(page, WAY_IN)
    there(page, "eve")
    page.get_by_role("link", name="authsvc").wait_for()
    assert "You can go on now." not in page.content()
    assert later.actions.count("user.registered") == 1
    page.goto(later.url + "/account")
    says(page.get_by_role("main"), later.email)
    press(page, f"Remove {TITLE}")
    shown(page, "Is it you?")


def test_many_providers_with_long_names_fit_a_narrow_screen(tmp_path: Path, page: Page, looked_over: Callable[[str], None]) -> None:
    """Long, in one word, with every letter that HTML knows: they break into lines that do not touch their frame."""
    titles = {"a": "W" * 60, "b": '<b>"Söhne" & Co</b>', "c": "Gesellschaft für Anmeldung und dergleichen mit beschränkter Haftung"}
    given = {
        f"oauth_{name}_{part}": value
        for name, title in titles.items()
        for part, value in {"client_id": "x", "client_secret": "y", "issuer": "https://unused.example", "title": title}.items()
    }
    with service_running(tmp_path, **given) as service:
        page.goto(service.url + "/login")
        for title in titles.values():
            page.get_by_role("link", name=f"Continue with {title}", exact=True).wait_for()
        looked_over("login-with-many")
        assert page.locator(".providers a").evaluate_all(CLOSE) == 0
        register(page, service)
        for title in titles.values():
            page.get_by_role("button", name=f"Add {title}", exact=True).wait_for()
        looked_over("account-with-many")
