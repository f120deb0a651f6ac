"""When a CAPTCHA is asked for, and how hard it is: by what the limits have left."""

from __future__ import annotations

import pytest

from authsvc.config.parse import Limit
from authsvc.flows.limits import Charged
from authsvc.primitives.buckets import Charge
from authsvc.providers.captcha_vendors import VENDORS
from authsvc.rules.captcha import FIELDS, is_due, is_risky, tries


def left(remaining: int, burst: int = 10, name: str = "login") -> Charged:
    return Charged(name, "key", Limit(burst, 60), Charge(allowed=True, remaining=remaining, reset=1, retry_after=0))


@pytest.mark.parametrize(("remaining", "risky"), [(10, False), (6, False), (5, False), (4, True), (0, True)])
def test_more_than_half_used_is_risky(remaining: int, risky: bool) -> None:
    """Half is not yet more than half; one limit is enough."""
    assert is_risky([left(remaining)]) is risky
    assert is_risky([left(10), left(remaining), left(9)]) is risky


def test_what_counts_reads_is_no_risk() -> None:
    """The limits of one process say nothing, and without limits nothing is known."""
    assert not is_risky([left(0, name="read"), left(0, name="refresh")])
    assert not is_risky([])


def test_the_setting_decides() -> None:
    """Always, at risk, never."""
    calm, risky = [left(9)], [left(1)]
    assert [is_due(when, calm) for when in ("always", "risk", "off")] == [True, False, False]
    assert [is_due(when, risky) for when in ("always", "risk", "off")] == [True, True, False]


@pytest.mark.parametrize(("remaining", "times"), [(59, 1), (31, 1), (30, 2), (16, 2), (15, 4), (0, 4)], ids=str)
def test_challenges_get_harder_as_the_network_asks_for_more(remaining: int, times: int) -> None:
    """Twice as hard at half, four times at a quarter; other limits do not count."""
    assert tries(1000, [left(0), left(remaining, 60, "captcha")]) == 1000 * times
    assert tries(1000, [left(0)]) == 1000


def test_every_vendors_field_is_one_of_the_forms() -> None:
    """What a widget posts is known to every guarded route."""
    assert {vendor.form_field for vendor in VENDORS.values()} <= FIELDS.keys()
    assert {"captcha", "altcha"} <= FIELDS.keys()
