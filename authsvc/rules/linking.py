"""Whose account somebody is who comes from an OAuth provider: the one rule of linking, and the last way in."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

# Methods that a provider's id_token may name (RFC 8176) and that together are two factors.
KNOWLEDGE = frozenset({"pwd", "pin", "kba"})
POSSESSION = frozenset({"otp", "sms", "tel", "hwk", "swk", "sc", "pop"})
STRONG_ACR = ("aal2", "aal3")


class Way(Enum):
    """What becomes of them."""

    KNOWN = auto()  # the identity is linked: sign in there
    NEW = auto()  # an account of their own
    LINK = auto()  # to the account of the same address, for both sides have verified it
    RECLAIM = auto()  # the same, but nobody had proved the address here: what was set up before goes
    FOREIGN = auto()  # the address has an account, and nothing shows that it is theirs


def way_in(*, linked: bool, proved: bool, account: bool, confirmed: bool) -> Way:
    """`proved`: the provider has verified the address. `account`: the address has one here; `confirmed`: it was proved here."""
    if linked:
        return Way.KNOWN
    if not account:
        return Way.NEW
    if not proved:
        return Way.FOREIGN
    return Way.LINK if confirmed else Way.RECLAIM


def was_strong(amr: Iterable[str], acr: str) -> bool:
    """Whether a provider tells of two factors."""
    methods = set(amr)
    return "mfa" in methods or bool(methods & KNOWLEDGE and methods & POSSESSION) or acr.rpartition(":")[2] in STRONG_ACR


def has_other_way_in(*, password: bool, confirmed_email: bool, confirmed_phone: bool, others: int) -> bool:
    """Whether the owner of an account can still sign in without one of its identities. `others`: identities beside it, at
    providers that are offered."""
    return password or confirmed_email or confirmed_phone or others > 0
