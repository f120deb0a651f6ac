"""Invites: a link to a mailbox, whose holder may make an account for this address. Using one is flows/signup.py's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import challenges, letters
from authsvc.flows.core import Core
from authsvc.flows.users import refuse_unknown_roles
from authsvc.primitives.emails import Email
from authsvc.problems import Problem
from authsvc.rules.access import USER, Authority, demand_cover
from authsvc.rules.challenges import INVITE
from authsvc.rules.signup import CLOSED
from authsvc.store.challenges import Challenge


@dataclass(frozen=True, slots=True)
class Invitation:
    """Whom to invite, and what they find when they come."""

    email: Email
    name: str | None = None
    roles: Sequence[str] = ()
    redirect_to: str | None = None


def invite(core: Core, invitation: Invitation, cause: Cause, authority: Authority, *, locale: str | None) -> Challenge:
    """Mail a link; a former one to the same address ends. Raises email_taken, and signup_closed where nobody may come."""
    email, roles = invitation.email, sorted({*invitation.roles} - {USER})
    if core.settings.signup == CLOSED:
        raise Problem("signup_closed", "AUTHSVC_SIGNUP is `closed`: make the account by POST /user.")
    with core.store.read() as tx:
        refuse_unknown_roles(tx, roles, field="roles")
        demand_cover(authority, tx.roles.caps_of(roles))
    noted = {"name": invitation.name, "roles": roles, "redirect_to": invitation.redirect_to}
    made = challenges.make(core, INVITE, email, None, **noted, by=cause.actor_id, by_type=cause.actor_type)
    with core.store.write() as tx:
        if tx.users.by_email(email.key) is not None:
            raise Problem("email_taken", "This address has an account already.")
        may_send = letters.may_ask(tx, core, email.key, cause)
        if may_send:
            tx.challenges.supersede(email.key, INVITE.purpose, core.world.now())
            tx.challenges.add(made)
            letters.add(tx, "invitation", email.address, None, locale=locale, challenge=made)
            tx.events.record(events.INVITE_CREATED, cause, data={"invite_id": made.id, "roles": roles})
    if not may_send:
        raise Problem(
            "rate_limited",
            "This address has got too many mails. Try again later.",
            retry_after=core.settings.limits["mail_address"].seconds,
        )
    return made


def page(core: Core, *, before: str, limit: int) -> list[Challenge]:
    """The open invites, newest first."""
    with core.store.read() as tx:
        return tx.challenges.invites(before=before, limit=limit, now=core.world.now())


def revoke(core: Core, invite_id: str, cause: Cause, authority: Authority) -> None:
    """Take an invite back; raises not_found for what is no open one."""
    with core.store.write() as tx:
        known = tx.challenges.get(invite_id)
        if known is None or known.purpose != INVITE.purpose:
            raise Problem("not_found", "There is no such invite.")
        demand_cover(authority, tx.roles.caps_of(challenges.data_of(known)["roles"]))
        if tx.challenges.spend(invite_id, core.world.now()) is None:
            raise Problem("not_found", "There is no such invite.")
        tx.events.record(events.INVITE_REVOKED, cause, data={"invite_id": invite_id})
