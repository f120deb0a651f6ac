"""Telling an owner that somebody tries passwords on their account until none is looked at: a mail with a way in for them."""

from __future__ import annotations

from collections.abc import Iterable

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import challenges, limits, magic
from authsvc.flows.core import Core
from authsvc.flows.limits import Charged
from authsvc.primitives.emails import Email
from authsvc.rules.challenges import MAGIC

WATCHED = "login_account"


def note(core: Core, charged: Iterable[Charged], email: Email, cause: Cause, *, locale: str | None) -> None:
    """Where the tries of an address have been used up, mail its owner a sign-in link, once a day. The same writes whether or
    not the address has an account; one without gets no mail, since the link would lead nowhere."""
    if not any(item.name == WATCHED and not item.charge.allowed for item in charged) or not limits.is_on(core, "login_alarm"):
        return
    cause = cause.labelled(email.address)
    noted = magic.Request(locale=locale, create_user=False).noted(core, email)
    with core.store.write() as tx:
        if limits.may(tx, core, "login_alarm", email.key, None):
            user = tx.users.by_email(email.key)
            challenges.ask(tx, core, MAGIC, "login_trouble", email, user, cause, locale=locale, **noted)
            tx.events.record(events.LIMIT_HIT, cause, subject=user.id if user else None, outcome="failure", data={"limit": WATCHED})
