"""The limits: each declared once, with its default and what its buckets are keyed by. The keys are made by rules/limits.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LimitDeclaration:
    """One named limit: its default and what its buckets are keyed by (rules/limits.py makes the keys).

    `on_known_device`: the limit that takes its place on a device that the account is known to use, so that strangers use up
    nothing of what its owner has. `failures_only`: what turned out to be right costs nothing. `delays`: no bucket, but tries
    without a wait, and then waits that double up to so many seconds.
    """

    default: str
    keyed_by: str
    doc: str
    on_known_device: str | None = None
    failures_only: bool = False
    delays: bool = False


LIMITS: Mapping[str, LimitDeclaration] = {
    "login": LimitDeclaration("10/300s", "address+network", "tries for one e-mail address from one network (/24 or /64)", on_known_device="login_device"),
    "login_account": LimitDeclaration("30/3600s", "account", "password tries for one account, from everywhere", on_known_device="login_device"),
    "login_network": LimitDeclaration("100/300s", "network", "tries from one network, over all accounts", on_known_device="login_device"),
    "login_device": LimitDeclaration("10/300s", "device", "tries on a device that the account is known to use, or in a session; these and no others count there"),
    "login_all": LimitDeclaration("3000/3600s", "everyone", "failed tries over all accounts and networks, but for known devices", on_known_device="login_device", failures_only=True),
    "login_delay": LimitDeclaration("3/300s", "device, or address+network", "failed tries in a row without a wait, which then doubles from 1 s up to so many", failures_only=True, delays=True),
    "login_alarm": LimitDeclaration("1/86400s", "account", "mails to an owner whose `login_account` was used up"),
    "register": LimitDeclaration("10/3600s", "network", "registrations from one network"),
    "register_all": LimitDeclaration("500/3600s", "everyone", "registrations in all"),
    "mail_address": LimitDeclaration("5/3600s", "address", "mails that somebody asked for, to one address; more are not sent"),
    "mail_network": LimitDeclaration("30/3600s", "network", "requests for mail from one network"),
    "sms_pace": LimitDeclaration("1/30s", "number", "SMS to one number, in a row"),
    "sms_number": LimitDeclaration("5/3600s", "number", "SMS to one number; more are not sent"),
    "sms_number_day": LimitDeclaration("10/86400s", "number", "SMS to one number, in a day"),
    "sms_network": LimitDeclaration("10/3600s", "network", "SMS asked for from one network"),
    "sms_prefix": LimitDeclaration("100/3600s", "number range", "SMS to one calling code and the next four digits"),
    "sms_day": LimitDeclaration("1000/86400s", "everyone", "SMS in all"),
    "link": LimitDeclaration("20/60s", "network", "uses of links and codes from one network"),
    "reset_token": LimitDeclaration("20/60s", "network", "uses of password-reset links from one network"),
    "oauth": LimitDeclaration("30/60s", "network", "sign-ins by a provider, begun or ended, from one network"),
    "captcha": LimitDeclaration("60/60s", "network", "CAPTCHA challenges for one network; the built-in one gets harder as they are used up"),
    "factor": LimitDeclaration("30/3600s", "session", "changes of second factors by one session"),
    "code_account": LimitDeclaration("20/86400s", "account", "codes tried for one account, from everywhere; right ones cost nothing", failures_only=True),
    "refresh": LimitDeclaration("60/60s", "session", "refreshes of one session (per process)"),
    "read": LimitDeclaration("600/60s", "caller", "requests of one session, or of one network without one (per process)"),
    "admin": LimitDeclaration("600/60s", "caller", "requests of one session or API key that need a cap, or are made for an end user (per process)"),
}  # fmt: skip
