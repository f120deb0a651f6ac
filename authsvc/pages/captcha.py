"""The CAPTCHA in forms: the box, and what a page with one needs that no other page has: scripts, and leave to run them."""

from __future__ import annotations

from urllib.parse import urlencode

from authsvc.config.captcha import ALWAYS
from authsvc.flows import captcha
from authsvc.flows.core import Core
from authsvc.http.html import EMPTY, Safe, text
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.pages import layout
from authsvc.pages.layout import below, piece
from authsvc.pages.site import Policy, site
from authsvc.problems import Problem

SCRIPT = "captcha.js"


def box(core: Core, request: Request, action: str) -> Safe:
    """The part of a form, where its action always asks for a CAPTCHA, or has just asked for one."""
    if captcha.when(core, action) != ALWAYS and request.captcha != action:
        return EMPTY
    site_key = core.settings.captcha_site_key
    if core.captcha and core.captcha.vendor.widget:
        return piece(core, "captcha_widget", widget=core.captcha.vendor.widget, site_key=site_key, action=action)
    url = f"{below(core, '/captcha')}?{urlencode({'action': action})}"
    return piece(core, "captcha", provider=core.settings.captcha, challenge=url, site_key=site_key, action=action)


def page(core: Core, title: str, content: Safe, problem: Problem | None, *boxes: Safe) -> Response:
    """A page whose forms have these boxes; without any, a page like all others."""
    if not any(boxes):
        return layout.page(core, title, content, problem)
    return layout.page(core, title, content, problem, head=_scripts(core), policy=_policy(core))


def _scripts(core: Core) -> Safe:
    ours = f"{below(core, '/assets/')}{SCRIPT}?v={site(core.settings.pages).version(SCRIPT)}"
    if not core.captcha:
        return _script(ours)
    vendor = core.captcha.vendor
    if vendor.widget:
        return _script(vendor.script)
    return Safe(_script(vendor.script + core.settings.captcha_site_key) + _script(ours))


def _script(url: str) -> Safe:
    return Safe(f'<script src="{text(url)}" defer></script>\n')


def _policy(core: Core) -> Policy:
    """Of a vendor, its hosts; of our own script, ourselves."""
    policy = dict(core.captcha.vendor.policy) if core.captcha else {}
    if not (core.captcha and core.captcha.vendor.widget):
        for directive in ("script-src", "connect-src"):
            policy[directive] = f"'self' {policy.get(directive, '')}".strip()
    return policy
