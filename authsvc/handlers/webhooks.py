"""/webhooks and /deliveries, and /events for whoever would rather ask."""

from __future__ import annotations

import json
from typing import Any

from authsvc.flows import feed, webhooks
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.flows.webhooks import Wanted
from authsvc.handlers import listings
from authsvc.http.parsers import parser
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, nothing
from authsvc.http.shapes import Field, Shape, flag, raw, raw_text, several, text
from authsvc.primitives.ids import DELIVERY
from authsvc.problems import Invalid
from authsvc.rules import destinations
from authsvc.rules.webhooks import EVERYTHING, MOST_PATTERNS, is_known
from authsvc.store.deliveries import Delivery
from authsvc.store.webhooks import Webhook

MAX_PATTERN = 60


@parser(type="string", format="uri", maxLength=destinations.MAX_LENGTH, examples=["https://hooks.example.com/authsvc"])
def _url(value: Any) -> str:
    url = raw_text(value, most=destinations.MAX_LENGTH)
    destinations.destination(url)
    return url


@parser(type="string", maxLength=MAX_PATTERN, description="The name of an event, `prefix.*`, or `*`.", examples=["user.*"])
def _pattern(value: Any) -> str:
    pattern = raw_text(value, most=MAX_PATTERN)
    if not is_known(pattern):
        raise Invalid("not_allowed", f"No event is meant by {pattern!a}.")
    return pattern


_patterns = several(_pattern, least=1, most=MOST_PATTERNS)


@parser(
    type="string", maxLength=MOST_PATTERNS * MAX_PATTERN, description="Names of events, or `prefix.*`, with commas.", examples=["user.*"]
)
def _types(value: Any) -> list[str]:
    return _patterns(raw_text(value, most=MOST_PATTERNS * MAX_PATTERN).split(","))


_description = text(most=200, least=0).about(example="the billing service")


NEW = Shape(
    {
        "url": Field(_url, required=True),
        "events": Field(_patterns, required=True),
        "description": Field(_description, default=""),
        "enabled": Field(flag, default=True),
    }
)
CHANGE = Shape(
    {"url": Field(_url), "events": Field(_patterns), "description": Field(_description), "enabled": Field(flag)},
    partial=True,
)
PAGE = listings.by_id(DELIVERY)
FEED = Shape(
    {
        "after": Field(raw(most=60).about("The id of an event, or the `next_cursor` of a page before.")),
        "limit": listings.limit,
        "types": Field(_types, default=[EVERYTHING]),
    }
)


def listing(core: Core, request: Request) -> Response:
    return answer({"items": [_public(webhook) for webhook in webhooks.every(core)], "next_cursor": None})


def get(core: Core, request: Request) -> Response:
    return answer(_public(webhooks.get(core, request.params["webhook_id"])))


def create(core: Core, request: Request) -> Response:
    """201, with the secret: it is not shown again."""
    body = request.body
    made = webhooks.create(core, Wanted(body["url"], body["events"], body["description"], body["enabled"]), request.cause)
    return answer(_public(made) | {"secret": webhooks.secret(core, made)}, 201)


def change(core: Core, request: Request) -> Response:
    return answer(_public(webhooks.change(core, request.params["webhook_id"], request.body, request.cause)))


def rotate_secret(core: Core, request: Request) -> Response:
    rotated = webhooks.rotate(core, request.params["webhook_id"], request.cause)
    return answer(_public(rotated) | {"secret": webhooks.secret(core, rotated)})


def remove(core: Core, request: Request) -> Response:
    webhooks.remove(core, request.params["webhook_id"], request.cause)
    return nothing()


def test(core: Core, request: Request) -> Response:
    return answer(_delivery(webhooks.test(core, request.params["webhook_id"])), 202)


def deliveries(core: Core, request: Request) -> Response:
    limit = request.query["limit"]
    found = webhooks.deliveries(core, request.params["webhook_id"], before=request.query["cursor"], limit=limit + 1)
    return listings.page(found, limit, _delivery)


def retry(core: Core, request: Request) -> Response:
    return answer(_delivery(webhooks.retry(core, request.params["delivery_id"])), 202)


def events(core: Core, request: Request) -> Response:
    query = request.query
    found = feed.page(core, query["after"], query["types"], query["limit"])
    return answer({"items": found.items, "next_cursor": found.next_cursor})


def _public(webhook: Webhook) -> dict[str, Any]:
    status = "disabled" if not webhook.enabled else "failing" if webhook.failing_since is not None else "active"
    return {
        "id": webhook.id,
        "url": webhook.url,
        "description": webhook.description,
        "events": json.loads(webhook.events),
        "enabled": bool(webhook.enabled),
        "status": status,
        "disabled_reason": webhook.disabled_reason,
        "last_success_at": timestamp(webhook.last_success_at),
        "failing_since": timestamp(webhook.failing_since),
        "created_at": timestamp(webhook.created_at),
        "updated_at": timestamp(webhook.updated_at),
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    status = "delivered" if delivery.delivered_at is not None else "failed" if delivery.attempts and delivery.error else "waiting"
    return {
        "id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "event_id": delivery.event_id,
        "type": delivery.event_type,
        "status": status,
        "attempts": delivery.attempts,
        "status_code": delivery.status_code,
        "error": delivery.error,
        "duration_ms": delivery.duration_ms,
        "created_at": timestamp(delivery.created_at),
        "last_at": timestamp(delivery.last_at),
        "delivered_at": timestamp(delivery.delivered_at),
    }
