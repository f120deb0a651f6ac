"""Promises of rules/linking.py: the whole table of whose account somebody is, what is two factors, and the last way in."""

from __future__ import annotations

from itertools import product

import pytest

from authsvc.rules.linking import Way, has_other_way_in, was_strong, way_in

BOTH = (False, True)
# Of an identity that is not linked: proved there, an account of the address, confirmed here.
TABLE = {
    (False, False, False): Way.NEW,
    (False, False, True): Way.NEW,
    (False, True, False): Way.FOREIGN,
    (False, True, True): Way.FOREIGN,
    (True, False, False): Way.NEW,
    (True, False, True): Way.NEW,
    (True, True, False): Way.RECLAIM,
    (True, True, True): Way.LINK,
}


@pytest.mark.parametrize(("proved", "account", "confirmed"), TABLE)
def test_the_one_rule_of_linking(*, proved: bool, account: bool, confirmed: bool) -> None:
    """D6: by itself only where both sides have verified the address; where only the provider has, what a squatter set up goes."""
    assert way_in(linked=False, proved=proved, account=account, confirmed=confirmed) is TABLE[proved, account, confirmed]


@pytest.mark.parametrize(("proved", "account", "confirmed"), TABLE)
def test_who_is_linked_is_known_whatever_the_address(*, proved: bool, account: bool, confirmed: bool) -> None:
    """D7: provider and subject are the key; an address that changed over there re-links nothing."""
    assert way_in(linked=True, proved=proved, account=account, confirmed=confirmed) is Way.KNOWN


def test_nobody_comes_into_an_account_by_an_address_that_is_not_proved() -> None:
    """D6: of all cases with an account and an unproved address, none leads into it."""
    for confirmed in BOTH:
        assert way_in(linked=False, proved=False, account=True, confirmed=confirmed) not in (Way.LINK, Way.RECLAIM, Way.KNOWN)


@pytest.mark.parametrize("others", [0, 1, 2])
@pytest.mark.parametrize(("password", "email", "phone"), list(product(BOTH, BOTH, BOTH)))
def test_the_last_way_in_stays(*, password: bool, email: bool, phone: bool, others: int) -> None:
    """A password, a confirmed address, a confirmed number, or an identity beside the one that goes: any one is enough, and
    without all of them there is none."""
    found = has_other_way_in(password=password, confirmed_email=email, confirmed_phone=phone, others=others)
    assert found is (password or email or phone or others > 0)


@pytest.mark.parametrize(
    ("amr", "acr"),
    [
        (["mfa"], ""),
        (["pwd", "mfa"], ""),
        (["pwd", "otp"], ""),
        (["pin", "hwk"], ""),
        (["kba", "sms"], ""),
        (["otp", "pwd", "unknown"], ""),
        (iter(["pwd", "sc"]), ""),
        ([], "urn:example:aal2"),
        ([], "aal3"),
        (["pwd"], "urn:example:ac:aal3"),
    ],
)
def test_two_factors_are_two_factors(amr: list[str], acr: str) -> None:
    """RFC 8176: said so, or something known and something had; or by the level."""
    assert was_strong(amr, acr)


@pytest.mark.parametrize(
    ("amr", "acr"),
    [
        ([], ""),
        (["pwd"], ""),
        (["pwd", "pwd"], ""),
        (["pwd", "pin", "kba"], ""),
        (["otp"], ""),
        (["hwk", "otp", "sms"], ""),
        (["MFA"], ""),
        (["mfa "], ""),
        (["fed"], ""),
        (["rba", "geo", "user"], ""),
        ([], "aal1"),
        ([], "urn:example:aal20"),
        ([], "not-aal2"),
        ([], "aal2:aal1"),
        ([], "AAL2"),
        ([], "0"),
        ("mfa", ""),
    ],
)
def test_one_factor_is_not_two(amr: list[str], acr: str) -> None:
    """Twice the same kind, or a word that only looks like one."""
    assert not was_strong(amr, acr)
