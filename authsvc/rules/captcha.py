"""When a CAPTCHA is asked for, and how hard the built-in one is; decided by what the limits of the request have left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from authsvc.config.captcha import ALWAYS, RISK
from authsvc.config.limits import LIMITS
from authsvc.config.parse import Limit
from authsvc.http.shapes import Field, raw
from authsvc.primitives.buckets import Charge
from authsvc.primitives.captcha import MAX_BYTES
from authsvc.rules.limits import IN_MEMORY


class Charged(Protocol):
    """A limit that a request was charged to, and what it has left."""

    @property
    def name(self) -> str: ...
    @property
    def limit(self) -> Limit: ...
    @property
    def charge(self) -> Charge: ...


Charges = Iterable[Charged]

# Limits that say nothing about risk when they run low.
CALM = IN_MEMORY
LIMIT = "captcha"  # of GET /captcha: how far it is used up makes the next challenge harder
TOKEN = "captcha"
# The token as programs send it, as ALTCHA's widget does in a form, and as those of the vendors do.
_token = raw(most=MAX_BYTES).about("A solved CAPTCHA, where one is asked for.")
FIELDS = {name: Field(_token) for name in (
    TOKEN,
    "altcha",
    "cf-turnstile-response",
    "h-captcha-response",
    "g-recaptcha-response",
)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Guard:
    """What a route is guarded for. `unless`: fields of the body that make it no stranger's act, and so need none."""

    action: str
    unless: tuple[str, ...] = ()


def is_due(when: str, charged: Charges) -> bool:
    """Whether the setting of an action asks for one, for a request that was charged to these limits."""
    return when == ALWAYS or (when == RISK and is_risky(charged))


def is_risky(charged: Charges) -> bool:
    """Whether one of the limits is more than half used: by whoever shares its bucket. Of tries without a wait it is the last
    one: a password that was mistyped once or twice is no sign of anything."""
    return any(_is_low(item) for item in charged if item.name not in CALM)


def _is_low(item: Charged) -> bool:
    left = item.charge.remaining
    return left == 0 if LIMITS[item.name].delays else 2 * left < item.limit.burst


def tries(difficulty: int, charged: Charges) -> int:
    """The most tries that a challenge may need: twice as many when half of the network's challenges are used up, four times
    when three quarters are."""
    for item in charged:
        if item.name == LIMIT and 2 * item.charge.remaining <= item.limit.burst:
            return difficulty * (4 if 4 * item.charge.remaining <= item.limit.burst else 2)
    return difficulty
