"""Webhooks: made, changed, tested and deleted. Sending to them is delivery's business."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from authsvc import events
from authsvc.events import Cause, Event
from authsvc.flows.core import Core
from authsvc.http import outbound
from authsvc.primitives import ids, signatures
from authsvc.problems import Problem, invalid
from authsvc.rules import webhooks as rules
from authsvc.rules.destinations import destination, is_allowed
from authsvc.store.deliveries import Delivery
from authsvc.store.tx import Tx
from authsvc.store.webhooks import Webhook, secrets_of

RESOLVE_SECONDS = 5.0


class Wanted(NamedTuple):
    """What a webhook is to be."""

    url: str
    events: Sequence[str]
    description: str = ""
    enabled: bool = True


def every(core: Core) -> list[Webhook]:
    with core.store.read() as tx:
        return tx.webhooks.every()


def get(core: Core, webhook_id: str) -> Webhook:
    """Raises not_found."""
    with core.store.read() as tx:
        return _existing(tx.webhooks.get(webhook_id))


def create(core: Core, wanted: Wanted, cause: Cause) -> Webhook:
    """A webhook that gets what happens from now on."""
    _refuse_private(core, wanted.url)
    now = core.world.now()
    with core.store.write() as tx:
        if tx.webhooks.count() >= rules.MOST:
            raise Problem("conflict", f"There may be {rules.MOST} webhooks.")
        webhook = Webhook(
            id=ids.new(ids.WEBHOOK, core.world),
            kid=core.keyring.current.kid,
            version=1,
            former_kid=None,
            rotated_at=None,
            url=wanted.url,
            description=wanted.description,
            events=json.dumps(sorted(set(wanted.events))),
            enabled=int(wanted.enabled),
            disabled_reason=None if wanted.enabled else "asked",
            next_seq=(tx.trail.last() or 0) + 1,
            failures=0,
            due_at=0,
            failing_since=None,
            last_success_at=None,
            lease_id=None,
            lease_until=0,
            created_at=now,
            updated_at=now,
        )
        tx.webhooks.add(webhook)
        _record(tx, events.WEBHOOK_CREATED, webhook, cause)
    return webhook


def change(core: Core, webhook_id: str, values: Mapping[str, Any], cause: Cause) -> Webhook:
    """Set what is given. One that is enabled again goes on where it stopped, or with the oldest event that is still kept; how
    many are not is on record."""
    if "url" in values:
        _refuse_private(core, values["url"])
    changed: dict[str, Any] = {name: values[name] for name in ("url", "description") if name in values}
    if "events" in values:
        changed["events"] = json.dumps(sorted(set(values["events"])))
    if "enabled" in values:
        changed |= {"enabled": int(values["enabled"]), "disabled_reason": None if values["enabled"] else "asked"}
    if "url" in values or values.get("enabled"):
        changed |= {"failures": 0, "failing_since": None, "due_at": 0}
    with core.store.write() as tx:
        present = _existing(tx.webhooks.get(webhook_id))
        if "events" in values:  # what it wants more counts from now on
            changed["next_seq"] = _standing(tx, present)
        told: dict[str, Any] = {"fields": sorted(values)}
        if ("events" in values or values.get("enabled")) and (forgotten := tx.trail.forgotten(present.next_seq)):
            told["forgotten"] = forgotten
            changed.setdefault("next_seq", present.next_seq + forgotten)
        webhook = _existing(tx.webhooks.change(webhook_id, core.world.now(), **changed))
        _record(tx, events.WEBHOOK_UPDATED, webhook, cause, **told)
    return webhook


def rotate(core: Core, webhook_id: str, cause: Cause) -> Webhook:
    """A new secret. The former one signs beside it for a day."""
    with core.store.write() as tx:
        webhook = _existing(tx.webhooks.rotate(webhook_id, core.keyring.current.kid, core.world.now()))
        _record(tx, events.WEBHOOK_UPDATED, webhook, cause, fields=["secret"])
    return webhook


def remove(core: Core, webhook_id: str, cause: Cause) -> None:
    with core.store.write() as tx:
        webhook = _existing(tx.webhooks.remove(webhook_id))
        _record(tx, events.WEBHOOK_DELETED, webhook, cause)


def test(core: Core, webhook_id: str) -> Delivery:
    """Have a test event sent, out of turn."""
    now = core.world.now()
    event_id = ids.new(ids.EVENT, core.world)
    delivery = Delivery(ids.new(ids.DELIVERY, core.world), webhook_id, event_id, rules.TEST, now, wanted_at=now)
    with core.store.write() as tx:
        _existing(tx.webhooks.get(webhook_id))
        tx.deliveries.note(delivery)
        tx.note_work()
    return delivery


def deliveries(core: Core, webhook_id: str, *, before: str, limit: int) -> list[Delivery]:
    """What was tried for it, newest first."""
    with core.store.read() as tx:
        _existing(tx.webhooks.get(webhook_id))
        return tx.deliveries.page(webhook_id, before=before, limit=limit)


def retry(core: Core, delivery_id: str) -> Delivery:
    """Have it tried once more, out of turn, whatever became of it."""
    with core.store.write() as tx:
        delivery = tx.deliveries.want(delivery_id, core.world.now())
        tx.note_work()
    if delivery is None:
        raise Problem("not_found")
    return delivery


def secret(core: Core, webhook: Webhook) -> str:
    """What its receiver checks signatures by."""
    return signatures.shown(secrets_of(webhook, core.keyring, core.world.now())[0])


def _refuse_private(core: Core, url: str) -> None:
    """Raise where its name leads to what is not public; it is looked at again whenever something is sent."""
    to = destination(url)
    core.world.slow(f"looking up {to.host}")
    try:
        addresses = outbound.resolved(core.world, to.host, to.port, RESOLVE_SECONDS)
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise invalid("url", "invalid", "This name has no address.")
    if not all(is_allowed(address, to.clear, core.settings.webhook_networks) for address in addresses):
        raise invalid("url", "not_allowed", "This is not a public https address; AUTHSVC_WEBHOOK_NETWORKS can list others.")


def _standing(tx: Tx, webhook: Webhook) -> int:
    """The first event that it has wanted up to now and has not had; the one to come, where there is none. By index: what it
    does not want may be the whole trail, and others wait to write."""
    return tx.trail.next_of(rules.wanted(json.loads(webhook.events)), webhook.next_seq - 1) or max(
        webhook.next_seq, (tx.trail.last() or 0) + 1
    )


def _record(tx: Tx, event: Event, webhook: Webhook, cause: Cause, **data: Any) -> None:
    """Of the URL only where it goes: the path may hold a secret of the receiver's."""
    tx.events.record(event, cause, subject=webhook.id, data={"url": urlsplit(webhook.url).netloc, **data})


def _existing(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise Problem("not_found")
    return webhook
