"""Who may call what: roles, caps and the `who` of the route table, as pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from authsvc.config.settings import Settings
from authsvc.primitives.caps import holds as holds  # noqa: PLC0414 - one rule, also for who trusts our tokens
from authsvc.problems import Problem

FRESH_SECONDS = 900  # how old a sign-in may be for sensitive acts
CLOCK_STEP_SECONDS = 60  # how far in the future it may seem to be; beyond, the clock was set back and nobody knows

ADMIN = "admin"
USER = "user"
BUILT_IN_ROLES: Mapping[str, tuple[str, ...]] = {ADMIN: ("*",), USER: ()}


# `resource:action`; of authsvc or of any other service.
CAP = re.compile(r"\*|[A-Za-z0-9._/-]{1,64}:(\*|[A-Za-z0-9._/:-]{1,64})")
MOST_CAPS = 50  # of one role or key
FORWARD = "end_users:forward"  # of a service that calls for end users and says where they are


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a route lets in. `own` is the path parameter that must name the caller, unless they hold `cap`.

    `token`: the handler works on the credential itself, whatever it is worth (refresh, logout). `fresh`: only a
    caller who proved a short while ago who they are. `known`: anyone, and the handler is told who, if it is somebody. `enrols`: open too
    for a caller who must have a second factor and has not shown one yet. `keys`: open to API keys too, which prove who they
    are each time anew. `limit`: what a route of such callers is charged to unless it says otherwise.
    `open_if`: the settings may open the route to anyone.
    """

    name: str
    signed_in: bool = True
    known: bool = False
    enrols: bool = False
    token: bool = False
    fresh: bool = False
    own: str | None = None
    cap: str | None = None
    keys: bool = False
    limit: str = "read"
    open_if: Callable[[Settings], bool] | None = None

    def under(self, settings: Settings) -> Who:
        """Whom the route lets in where these settings hold."""
        return ANYONE if self.open_if is not None and self.open_if(settings) else self


class Presented(NamedTuple):
    """What a caller shows: who they are, what they may do, and when they last proved it (ms). `lacks_factor`: they must
    have a second factor and have not shown one; `owes_factor`: they have one and have not shown it."""

    user_id: str
    caps: Sequence[str]
    auth_time: int
    lacks_factor: bool = False
    owes_factor: bool = False


class Authority(NamedTuple):
    """What somebody may hand on, and over whom they stand: the caps they hold."""

    caps: Sequence[str]


EVERYTHING = Authority(("*",))  # the command line's: whoever has the database has everything

ANYONE = Who("anyone", signed_in=False)
ANYBODY_KNOWN = Who("anyone", signed_in=False, known=True)
SIGNED_IN = Who("signed in")
SIGNED_IN_LATELY = Who("signed in, lately", fresh=True)
ANY_CALLER = Who("signed in, or an API key", enrols=True, keys=True)
ENROLLING = Who("signed in", enrols=True)
ENROLLING_LATELY = Who("signed in, lately", enrols=True, fresh=True)
OWN_OR_AUDITOR = Who("signed in: own events; audit:read: all", keys=True)  # which of the two it is, the handler sees by the query
MONITOR = Who(
    "metrics:read; anyone where AUTHSVC_METRICS is open", cap="metrics:read", keys=True, limit="admin", open_if=lambda s: s.metrics_open
)
TOKEN_HOLDER = Who("holder of a token", signed_in=False, token=True)


def self_or(cap: str, *, fresh: bool = False) -> Who:
    """The user that the path names, or a holder of the cap (lately). To all others the path does not exist."""
    return Who(f"self or {cap}{', lately' if fresh else ''}", own="user_id", cap=cap, fresh=fresh, keys=True)


def holder_of(cap: str, *, fresh: bool = False) -> Who:
    """A holder of the cap (lately)."""
    return Who(f"{cap}{', lately' if fresh else ''}", cap=cap, fresh=fresh, keys=True, limit="admin")


def user_holding(cap: str) -> Who:
    """A holder of the cap who has an account, and signed in lately: what a key makes could outlive the key."""
    return Who(f"{cap}, lately, no API key", cap=cap, fresh=True, limit="admin")


def covers(held: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether who holds the ones has all that the others give."""
    held = list(held)
    return all(holds(held, cap) for cap in wanted)


def is_admin(roles: Iterable[str], caps: Iterable[str]) -> bool:
    """Whether somebody is one by role, or by another role that gives as much."""
    return ADMIN in roles or "*" in caps


def demand_cover(authority: Authority, wanted: Iterable[str]) -> None:
    """Nobody grants, or takes away, what they do not hold."""
    if not covers(authority.caps, wanted):
        raise Problem("forbidden", "Nobody grants or takes away what they do not hold themselves. Nothing was done.")


def demand_outranks(authority: Authority, caps_of_target: Iterable[str]) -> None:
    """Who acts on another account holds all that it may do; else a cap on accounts would be a way to every other."""
    if not covers(authority.caps, caps_of_target):
        raise Problem("forbidden", "This account has more caps than you. Nothing was done.")


def demand_account(who: Who) -> None:
    """Raise, for a caller who is an API key, unless keys may call the route: one for people, or that may recognise them."""
    if not who.keys:
        raise Problem("forbidden", "An API key has no account; this needs somebody who is signed in.")


def demand(who: Who, caller: Presented, params: Mapping[str, str], now: int, *, sensitive: bool = False) -> None:
    """Raise unless this signed-in caller may use the route now (ms). `sensitive`: what they do needs a fresh sign-in."""
    if caller.lacks_factor and not who.enrols:
        raise Problem("mfa_enrolment_required")
    own = who.own is not None and params.get(who.own) == caller.user_id
    if who.cap and not own and not holds(caller.caps, who.cap):
        raise Problem("not_found" if who.own else "forbidden")
    age = now - caller.auth_time
    if (who.fresh or sensitive) and caller.owes_factor:
        raise Problem("reauthentication_required", "This act needs your second factor: call POST /reauthenticate with it, then repeat it.")
    if (who.fresh or sensitive) and not -CLOCK_STEP_SECONDS * 1000 <= age <= FRESH_SECONDS * 1000:
        raise Problem("reauthentication_required")
