"""What is mailed as a link and perhaps a code: for what, how long it counts, and how often a code may be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_ATTEMPTS = 5  # codes tried for one challenge, over all its sendings

SEND_SECONDS = 30  # between two codes for the same thing

EMAIL = "email"
SMS = "sms"
PROVIDER = "oauth"

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Kind:
    """One purpose. `path` is where its link leads, below the public URL, and `joint` stands between that and its token;
    `seconds` how long it counts."""

    purpose: str
    path: str
    seconds: int
    has_code: bool = False
    joint: str = "/"


VERIFY = Kind("verify", "/email/verify", DAY, has_code=True)
CHANGE = Kind("email_change", "/email/verify", DAY, has_code=True)
UNDO = Kind("email_undo", "/email/undo", 7 * DAY)
MAGIC = Kind("magic", "/login/magic", 10 * MINUTE, has_code=True)
RESET = Kind("reset", "/password/reset", 30 * MINUTE)
SET_PASSWORD = Kind("set_password", "/password/reset", DAY)
FIRST_PASSWORD_SECONDS = 7 * DAY  # of a SET_PASSWORD for an account that somebody else made
# A sign-in whose first step is done; its token is the `mfa_token`.
LOGIN = Kind("login", "", 5 * MINUTE)
# A code that was sent to a second factor, and the first code of a new one.
FACTOR = Kind("factor", "", 10 * MINUTE, has_code=True)
# To an address that has no account: whoever holds the link may make one.
INVITE = Kind("invite", "/register", 7 * DAY, joint="?invite=")
SMS_SECONDS = 5 * MINUTE  # an SMS code counts for less long

# Somebody is at an OAuth provider and will come back; its token is the `state`, its target the provider.
OAUTH = Kind("oauth", "", 10 * MINUTE)

# Somebody registers an address that has an account: no link, only the same work as for one that has none.
TAKEN = Kind("taken", "", 10 * MINUTE)
# Somebody who was invited registers where nothing may tell who has an account: the same work, and a word of welcome.
WELCOME = Kind("welcome", "", 10 * MINUTE)

KINDS: Mapping[str, Kind] = {
    kind.purpose: kind for kind in (VERIFY, CHANGE, UNDO, MAGIC, RESET, SET_PASSWORD, TAKEN, WELCOME, LOGIN, FACTOR, INVITE, OAUTH)
}

# What lets somebody in or sets a password: it ends when the password is set.
WAYS_IN = (MAGIC, RESET, SET_PASSWORD, LOGIN)
