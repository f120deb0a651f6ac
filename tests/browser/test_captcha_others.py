"""CAPTCHAs that are not our own script's: ALTCHA's widget in an app of another origin, and the vendors' in our pages.

What a vendor serves is stood in for by a script that does what theirs does to the page; no test calls them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from authsvc.providers.captcha_vendors import VENDORS
from tests.altcha.test_solver import HERE
from tests.browser.service import HEAD, Service, Site, service_running
from tests.browser.test_walks import press, says, shown
from tests.captchas import SITE_KEY, TOKEN, good, vendor
from tests.node import modules
from tests.smsgateway import SmsGateway, sms_gateway
from tests.support import EMAIL, PASSWORD, actions

if TYPE_CHECKING:
    from playwright.sync_api import Page

# As a vendor's script finds its element and puts the token into the form around it.
WIDGET = """for (const box of document.querySelectorAll(".%s")) {
  const field = Object.assign(document.createElement("input"), {type: "hidden", name: "%s", value: "%s"});
  box.append(field, `${box.dataset.sitekey} ${box.dataset.action}`);
}"""
V3 = """globalThis.grecaptcha = {
  ready: (act) => setTimeout(act),
  execute: async (key, {action}) => `${key}.${action}.token`,
};"""
APP = """<form><label>Mail <input name="email"></label><label>Password <input name="password" type="password"></label>
<altcha-widget challenge="%s/captcha?action=register" auto="onfocus"></altcha-widget><button>Sign up</button></form><p role="status"></p>
<script src="/altcha.js" type="module"></script><script src="/app.js" type="module"></script>"""
APP_SCRIPT = """document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { altcha, ...rest } = Object.fromEntries(new FormData(event.target));
  const answer = await fetch("%s/register", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...rest, captcha: altcha }),
  });
  document.querySelector("[role=status]").textContent = `${answer.status} ${(await answer.json()).code ?? ""}`;
});"""


def test_an_app_signs_people_up_with_altchas_own_widget(scripted_page: Page, site: Site, tmp_path: Path) -> None:
    """In a page of another origin, with the packaged widget: it fetches the challenge, solves it, and the service takes it once."""
    page = scripted_page
    with service_running(tmp_path, captcha="altcha", captcha_difficulty="200", app_origins=site.url) as service:
        site.put("/altcha.js", (modules(HERE, "altcha") / "node_modules/altcha/dist/main/altcha.js").read_text("utf-8"))
        site.put("/app.js", APP_SCRIPT % service.url)
        page.goto(site.put("/", HEAD.format('<link rel="icon" href="data:,">', APP % service.url)))
        page.get_by_label("Mail").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("checkbox", name="Verified", checked=True).wait_for()
        page.get_by_role("button", name="Sign up").click()
        says(page.locator("form + [role=status]"), "201")
        assert actions(service.app).count("user.registered") == 1
        assert "captcha.failed" not in actions(service.app)


@pytest.fixture
def server() -> Iterator[SmsGateway]:
    with sms_gateway() as server:
        server.behaviours = [good()]
        yield server


def sign_up(page: Page, service: Service) -> None:
    page.goto(service.url + "/register")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("New password").fill(PASSWORD)


@pytest.mark.parametrize("name", ["turnstile", "hcaptcha", "recaptcha"])
def test_a_vendors_widget_stands_in_the_form(
    scripted_page: Page, tmp_path: Path, server: SmsGateway, name: str, accessible: Callable[[Page], None]
) -> None:
    """Its script may load, and nobody else's; its element has our site key and the action; what it puts into the form counts."""
    page, known = scripted_page, VENDORS[name]
    script = WIDGET % (known.widget, known.form_field, TOKEN)
    page.route(known.script, lambda route: route.fulfill(body=script, content_type="text/javascript"))
    with service_running(tmp_path, **vendor(name, server.url())) as service:
        sign_up(page, service)
        says(page.locator(f".{known.widget}"), f"{SITE_KEY} register")
        accessible(page)
        press(page, "Create account")
        shown(page, "Your account")
        assert server.asked[0].form()["response"] == TOKEN


def test_recaptcha_v3_is_asked_when_the_form_is_sent(scripted_page: Page, tmp_path: Path, server: SmsGateway) -> None:
    """Not before: its tokens live for two minutes. The site key and the action are what the script is told."""
    page = scripted_page
    script = f"{VENDORS['recaptcha_v3'].script}{SITE_KEY}"
    page.route(script, lambda route: route.fulfill(body=V3, content_type="text/javascript"))
    with service_running(tmp_path, **vendor("recaptcha_v3", server.url())) as service:
        sign_up(page, service)
        says(page.get_by_role("status"), "going to show")
        press(page, "Create account")
        shown(page, "Your account")
        assert server.asked[0].form()["response"] == f"{SITE_KEY}.register.token"


def test_a_vendors_script_that_does_not_load_is_told(
    scripted_page: Page, tmp_path: Path, server: SmsGateway, page_errors: list[str]
) -> None:
    """By ourselves where it shows nothing of its own; nothing is sent."""
    page = scripted_page
    page.route("https://www.google.com/**", lambda route: route.abort())
    with service_running(tmp_path, **vendor("recaptcha_v3", server.url())) as service:
        sign_up(page, service)
        press(page, "Create account")
        says(page.get_by_role("status"), "could not be shown")
        assert actions(service.app) == []
    assert page_errors
    assert all("google" in error for error in page_errors), json.dumps(page_errors)
    page_errors.clear()
