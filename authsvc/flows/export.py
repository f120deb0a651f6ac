"""Everything that is stored of an account, as one object."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from authsvc.events import Cause
from authsvc.factors import recovery
from authsvc.flows import identities
from authsvc.flows.core import Core
from authsvc.flows.users import account_of, outranked, public, timestamp
from authsvc.rules.access import Authority
from authsvc.store.challenges import Challenge
from authsvc.store.factors import Factor
from authsvc.store.outbox import Message
from authsvc.store.sessions import Session

MOST_EVENTS = 10_000
MOST_ROWS = 1_000  # of all else that comes and goes; the newest


def export(core: Core, user_id: str, cause: Cause, authority: Authority) -> dict[str, Any]:
    """For the owner, or for somebody who may see all that the account may do. No secret is stored, so none is in it."""
    with core.store.read() as tx:
        user = outranked(tx, user_id, cause, authority)
        account = account_of(tx, user)
        batch = tx.factors.batch(user_id)
        return {
            "exported_at": timestamp(core.world.now()),
            "user": public(user, account.all_roles, account.caps),
            "roles": [{"role": role, "granted_at": timestamp(at)} for role, at in tx.users.grants(user_id)],
            "identities": [identities.public(core, row) for row in tx.identities.of(user_id)],
            "factors": [shown_factor(factor) for factor in tx.factors.of(user_id)],
            "recovery_codes_left": recovery.left_of(batch),
            "sessions": [_session(session) for session in tx.sessions.recent(user_id, MOST_ROWS)],
            "links_and_codes": [_challenge(challenge) for challenge in tx.challenges.of(user_id, MOST_ROWS)],
            "messages": [_message(message) for message in tx.outbox.of(user_id, MOST_ROWS)],
            "events": [_event(row, user_id) for row in tx.events.of_user(user_id, MOST_EVENTS)],
        }


def include(core: Core, user_id: str, names: Iterable[str]) -> dict[str, Any]:
    """The lists that a User object may have beside its own members."""
    lists: dict[str, Any] = {}
    if "factors" in names:
        with core.store.read() as tx:
            lists["factors"] = [shown_factor(factor) for factor in tx.factors.of(user_id)]
    if "identities" in names:
        lists["identities"] = [identities.public(core, row) for row in identities.every(core, user_id)]
    return lists


def shown_factor(factor: Factor) -> dict[str, Any]:
    return {
        "id": factor.id,
        "type": factor.type,
        "label": factor.label,
        "created_at": timestamp(factor.created_at),
        "last_used_at": timestamp(factor.last_used_at),
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "created_at": timestamp(session.created_at),
        "last_seen_at": timestamp(session.last_seen_at),
        "expires_at": timestamp(session.expires_at),
        "ended_at": timestamp(session.ended_at),
        "ip": session.ip,
        "user_agent": session.user_agent,
        "label": session.label,
        "amr": session.amr.split(),
    }


def _challenge(challenge: Challenge) -> dict[str, Any]:
    return {
        "id": challenge.id,
        "purpose": challenge.purpose,
        "channel": challenge.channel,
        "target": challenge.target,
        "created_at": timestamp(challenge.created_at),
        "expires_at": timestamp(challenge.expires_at),
        "used_at": timestamp(challenge.used_at),
    }


def _message(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "kind": message.kind,
        "content": json.loads(message.payload),
        "created_at": timestamp(message.created_at),
        "done_at": timestamp(message.done_at),
        "outcome": message.outcome,
    }


def _event(row: dict[str, Any], user_id: str) -> dict[str, Any]:
    """A row of the trail. Where somebody else acted on the account, who that was and from where is their own affair."""
    others = row["actor_id"] not in (None, user_id)
    hidden = dict.fromkeys(("actor_label", "ip", "user_agent")) if others else {}
    return {**row, **hidden, "at": timestamp(row["at"]), "data": json.loads(row["data"])}
