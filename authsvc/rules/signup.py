"""Who may make an account for themselves, as pure functions."""

from __future__ import annotations

from collections.abc import Collection

OPEN, DOMAINS, INVITE, CLOSED = "open", "domains", "invite", "closed"


def is_open(policy: str, domains: Collection[str], email_key: str | None, *, invited: bool, disposable: bool = False) -> bool:
    """Whether the holder of this address (None: of a phone number only) may. `invited`: they hold an invite for it, and so
    somebody vouches for a `disposable` one."""
    if disposable and not invited:
        return False
    if policy == OPEN:
        return True
    if policy == CLOSED:
        return False
    return invited or (policy == DOMAINS and email_key is not None and email_key.rpartition("@")[2] in domains)
