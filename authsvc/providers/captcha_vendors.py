"""CAPTCHA vendors as values: where tokens are checked, what the answers mean, and what their widgets need on a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

Policy = Mapping[str, str]

GOOGLE = "https://www.google.com/recaptcha/"
GSTATIC = "https://www.gstatic.com/recaptcha/"
CLOUDFLARE = "https://challenges.cloudflare.com"
HCAPTCHA = "https://hcaptcha.com https://*.hcaptcha.com"


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor. `our_fault`: codes by which it says that we ask in the wrong way; `its_fault`: that it has trouble; any
    other code means the token. `form_field`: what its widget calls the token. `life_seconds`: of a token, at most."""

    name: str
    verify_url: str
    form_field: str
    script: str
    widget: str  # the class of the element that becomes one; empty: it shows none
    policy: Policy  # what the widget needs of a page's Content-Security-Policy
    life_seconds: int
    our_fault: frozenset[str]
    its_fault: frozenset[str] = frozenset()
    tells_action: bool = False
    tells_score: bool = False
    takes_site_key: bool = False
    most_token: int = 8_192


_SECRET = frozenset({"missing-input-secret", "invalid-input-secret"})
_BAD = frozenset({"bad-request"})
_RECAPTCHA = Vendor(
    "recaptcha",
    f"{GOOGLE}api/siteverify",
    "g-recaptcha-response",
    f"{GOOGLE}api.js",
    "g-recaptcha",
    {"script-src": f"{GOOGLE} {GSTATIC}", "frame-src": f"{GOOGLE} https://recaptcha.google.com/recaptcha/", "connect-src": GOOGLE},
    life_seconds=120,
    our_fault=_SECRET | _BAD,
)

VENDORS: Mapping[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            "turnstile",
            f"{CLOUDFLARE}/turnstile/v0/siteverify",
            "cf-turnstile-response",
            f"{CLOUDFLARE}/turnstile/v0/api.js",
            "cf-turnstile",
            {"script-src": CLOUDFLARE, "frame-src": CLOUDFLARE},
            life_seconds=300,
            our_fault=_SECRET | _BAD,
            its_fault=frozenset({"internal-error"}),
            tells_action=True,
            most_token=2_048,
        ),
        # It also posts the token as g-recaptcha-response.
        Vendor(
            "hcaptcha",
            "https://api.hcaptcha.com/siteverify",
            "h-captcha-response",
            "https://js.hcaptcha.com/1/api.js",
            "h-captcha",
            {"script-src": HCAPTCHA, "frame-src": HCAPTCHA, "style-src": HCAPTCHA, "connect-src": HCAPTCHA},
            life_seconds=120,
            our_fault=_SECRET
            | _BAD
            | {"sitekey-secret-mismatch", "missing-remoteip", "invalid-remoteip", "not-using-dummy-passcode", "not-using-dummy-secret"},
            takes_site_key=True,
        ),
        _RECAPTCHA,
        # It shows nothing, and is loaded with the site key.
        replace(_RECAPTCHA, name="recaptcha_v3", script=f"{GOOGLE}api.js?render=", widget="", tells_action=True, tells_score=True),
    )
}
