"""The CAPTCHA as the operator declares it: parsers of AUTHSVC_CAPTCHA_…, and what contradicts itself. Vendors are providers' business."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authsvc.config.parse import items

if TYPE_CHECKING:
    from authsvc.config.settings import Settings

OFF = "off"
BUILT_IN = "altcha"
CHOICES = (OFF, BUILT_IN, "turnstile", "hcaptcha", "recaptcha", "recaptcha_v3")
ACTIONS = ("register", "login", "forgot", "magic", "otp")
ALWAYS, RISK = "always", "risk"
DEFAULT_ON = "register:always,login:risk,forgot:risk,magic:risk,otp:risk"
MAX_SITE_KEY = 200

# The vendors print these in their documentation; whoever has one passes, or nobody does.
TEST_SECRETS = frozenset(
    {
        "0x0000000000000000000000000000000000000000",
        "6LeIxAcTAAAAAGG-vFI1TnRWxMZNFuojJ4WifJWe",
        "1x0000000000000000000000000000000AA",
        "2x0000000000000000000000000000000AA",
        "3x0000000000000000000000000000000AA",
    }
)


@dataclass(frozen=True, slots=True)
class Demand:
    """When one action asks for a CAPTCHA: `always`, `risk` or `off`."""

    action: str
    when: str

    def __str__(self) -> str:
        return f"{self.action}:{self.when}"


def demands(value: str) -> tuple[Demand, ...]:
    """What is not named is off."""
    found: dict[str, Demand] = {}
    for item in items(value):
        action, _, when = item.partition(":")
        if action not in ACTIONS or when not in (ALWAYS, RISK, OFF) or action in found:
            raise ValueError(f"{item}: use ACTION:WHEN, each action once, of {', '.join(ACTIONS)} and always, risk, off")
        found[action] = Demand(action, when)
    return tuple(found.values())


def site_key(value: str) -> str:
    """It stands in a page and in the address of a script."""
    stripped = value.strip()
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{0,{MAX_SITE_KEY}}}", stripped):
        raise ValueError("use the site key as the vendor shows it: letters, digits, - and _")
    return stripped


def score(value: str) -> float:
    if not re.fullmatch(r"0(\.\d{1,3})?|1(\.0{1,3})?", value.strip(), re.ASCII):
        raise ValueError("use a number from 0 to 1, such as 0.5")
    return float(value)


def contradictions(settings: Settings) -> tuple[tuple[bool, tuple[str, ...], str], ...]:
    """Whether each is so, the settings that it is between, and what to say."""
    by_vendor = settings.captcha not in (OFF, BUILT_IN)
    return (
        (by_vendor and not settings.captcha_secret, ("captcha_secret", "captcha"), f"{settings.captcha} needs the secret that it gave you"),
        (
            by_vendor and not settings.captcha_site_key,
            ("captcha_site_key", "captcha"),
            f"{settings.captcha} needs the site key that it gave you",
        ),
        (
            by_vendor and settings.captcha_secret in TEST_SECRETS and not settings.workbench,
            ("captcha_secret", "public_url"),
            "this is a secret for tests, which the vendor tells everybody",
        ),
    )
