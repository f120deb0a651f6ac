"""One try to give an event to a webhook: where it goes, how it is signed, how it ended (Standard Webhooks 1.0.0)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from authsvc.http.outbound import AGENT, Call, Unreachable, call, resolved
from authsvc.http.response import dumps
from authsvc.primitives import signatures
from authsvc.primitives.keyring import Keyring
from authsvc.primitives.times import timestamp
from authsvc.problems import Invalid
from authsvc.rules import webhooks as rules
from authsvc.rules.destinations import destination, is_allowed
from authsvc.store.deliveries import Delivery
from authsvc.store.webhooks import Webhook, secrets_of
from authsvc.world import World

Row = Mapping[str, Any]

SECONDS = 10.0  # from the look-up of the name to the end of the answer


class Tried(NamedTuple):
    """How one try ended. `error` is None where it was delivered."""

    status: int | None
    error: str | None
    retry_after: str | None
    duration_ms: int


class Poster:
    """Posts to public addresses, and to those of the listed networks."""

    def __init__(self, networks: Collection[IPv4Network | IPv6Network], world: World, keyring: Keyring) -> None:
        self._networks = networks
        self._world = world
        self._keyring = keyring

    def post(self, webhook: Webhook, event_id: str, body: bytes) -> Tried:
        """One try. Refused here too where the address is not public: a name may resolve to another one each time."""
        began = self._world.monotonic()
        status = retry_after = None
        try:
            address = self._address(webhook.url)
            left = SECONDS - (self._world.monotonic() - began)
            wanted = Call("POST", webhook.url, self._headers(webhook, event_id, body), body, left, whole=False)
            answered = call(self._world, wanted, address=address)
            status, retry_after = answered.status, answered.headers.get("retry-after")
            error = None if answered.ok else f"answered {answered.status}"
        except (Unreachable, Invalid, OSError, LookupError) as failure:
            error = str(failure)[:300] or type(failure).__name__
        return Tried(status, error, retry_after, round((self._world.monotonic() - began) * 1000))

    def _address(self, url: str) -> str:
        """The one address that is called, after all that the name has were looked at."""
        to = destination(url)
        addresses = resolved(self._world, to.host, to.port, SECONDS)
        if not addresses or not all(is_allowed(address, to.clear, self._networks) for address in addresses):
            raise Invalid("not_allowed", "the address is not public (AUTHSVC_WEBHOOK_NETWORKS)")
        return addresses[0]

    def _headers(self, webhook: Webhook, event_id: str, body: bytes) -> dict[str, str]:
        now = self._world.now()
        return {
            "Content-Type": "application/json",
            **AGENT,
            "webhook-id": event_id,
            "webhook-timestamp": str(now // 1000),
            "webhook-signature": signatures.signed(secrets_of(webhook, self._keyring, now), event_id, now // 1000, body),
        }


def body_of(row: Row) -> bytes:
    """An event as it is sent: the same bytes each time."""
    return dumps(rules.payload(row, timestamp(row["at"]))).encode()


def body_again(delivery: Delivery, rows: Sequence[Row]) -> bytes:
    """What is sent again; a test has no event."""
    if delivery.event_type == rules.TEST:
        return dumps({"type": rules.TEST, "timestamp": timestamp(delivery.created_at), "data": {"id": delivery.event_id}}).encode()
    return body_of(rows[0]) if rows else b""
