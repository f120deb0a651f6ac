"""What is said of roles, keys, invites, webhooks, the audit trail, and the service itself."""

from __future__ import annotations

from authsvc.http.parsers import or_null
from authsvc.http.response import JSON
from authsvc.openapi.objects import AUDIT_ROW, CHECKS
from authsvc.openapi.words import (
    ANYTHING,
    NOTHING,
    PAGE,
    TEXT_OR_NONE,
    TIME,
    TIME_OR_NONE,
    Answer,
    Family,
    Operation,
    data,
    flag,
    identifier,
    listed,
    many,
    number,
    one_of,
    page_of,
    sent_on,
    status,
    streams,
    text,
    thing,
    whole_list_of,
)
from authsvc.pages.site import BUNDLED_TYPES
from authsvc.primitives import ids

ROLE = thing(
    "Role",
    "A name for a set of caps.",
    {
        "name": text(example="editor"),
        "description": TEXT_OR_NONE,
        "caps": many(text(example="invoices:read")),
        "built_in": flag("Whether it is of the service itself, and stays as it is."),
        "created_at": TIME_OR_NONE,
        "updated_at": TIME_OR_NONE,
    },
)
_KEY = {
    "id": identifier(ids.API_KEY),
    "name": text(example="billing"),
    "caps": many(text(example="users:read")),
    "networks": many(text(example="10.0.0.0/8"), "From where it may be used; empty: from everywhere."),
    "created_by": or_null(text(example="usr_…")),
    "created_at": TIME,
    "expires_at": TIME_OR_NONE,
    "revoked_at": TIME_OR_NONE,
    "last_used_at": TIME_OR_NONE,
}
API_KEY = thing("ApiKey", "A key for a service.", _KEY)
NEW_API_KEY = thing("NewApiKey", "A key that was just made.", {**_KEY, "key": text("Shown only here.", "ak_…")})
INVITE = thing(
    "Invite",
    "A link to a mailbox whose holder may sign up.",
    {
        "id": identifier(ids.CHALLENGE),
        "email": text(example="bob@example.com"),
        "name": TEXT_OR_NONE,
        "roles": many(text(example="editor")),
        "invited_by": TEXT_OR_NONE,
        "created_at": TIME,
        "expires_at": TIME,
    },
)
_WEBHOOK = {
    "id": identifier(ids.WEBHOOK),
    "url": text(example="https://hooks.example.com/authsvc"),
    "description": text(example="the billing service"),
    "events": many(text(example="user.*")),
    "enabled": flag(example=True),
    "status": one_of("active", "failing", "disabled"),
    "disabled_reason": TEXT_OR_NONE,
    "last_success_at": TIME_OR_NONE,
    "failing_since": TIME_OR_NONE,
    "created_at": TIME,
    "updated_at": TIME,
}
WEBHOOK = thing("Webhook", "Where events are sent.", _WEBHOOK)
NEW_WEBHOOK = thing("NewWebhook", "A webhook with its secret.", {**_WEBHOOK, "secret": text("Shown only here.", "whsec_…")})
DELIVERY = thing(
    "Delivery",
    "An event on its way to a webhook.",
    {
        "id": identifier(ids.DELIVERY),
        "webhook_id": identifier(ids.WEBHOOK),
        "event_id": TEXT_OR_NONE,
        "type": text(example="user.created"),
        "status": one_of("waiting", "delivered", "failed"),
        "attempts": number(),
        "status_code": or_null(number("What the receiver answered.", 204)),
        "error": TEXT_OR_NONE,
        "duration_ms": or_null(number(example=80)),
        "created_at": TIME,
        "last_at": TIME_OR_NONE,
        "delivered_at": TIME_OR_NONE,
    },
)
EVENT = thing(
    "Event",
    "What happened, as webhooks carry it: ids, and no personal data.",
    {
        "id": text(example="evt_…"),
        "type": text(example="user.created"),
        "timestamp": TIME,
        "data": {
            **listed(
                {
                    "id": text(example="evt_…"),
                    "subject": {**TEXT_OR_NONE, "description": "The id of whom or what it happened to."},
                    "actor": listed({"type": one_of("anonymous", "user", "key", "cli", "system"), "id": TEXT_OR_NONE}),
                    "outcome": one_of("success", "failure"),
                    "session_id": TEXT_OR_NONE,
                    "details": or_null(ANYTHING),
                }
            ),
            "description": "As webhooks carry it.",
        },
    },
)
VERDICT = thing(
    "AuditVerdict",
    "What a check of the trail has found.",
    {
        "ok": flag(example=True),
        "rows": number(example=1000),
        "sealed_through": number(example=1000),
        "first_bad": or_null({**listed({"seq": number(), "id": TEXT_OR_NONE, "reason": text()}), "description": "The first row that does not fit."}),
        "complete": flag("Whether that was all; else go on with `from_seq`.", example=True),
        "next_seq": or_null(number()),
    },
)  # fmt: skip

ADMINISTRATION = Family(
    "Roles, keys and invites",
    "Who may do what, and who may come in.",
    {
        "GET /roles": Operation("list_roles", "All roles.", {200: whole_list_of(ROLE)}),
        "PUT /roles/:name": Operation(
            "put_role",
            "Make a role, or change it; that counts at once.",
            {200: data(ROLE, "It was changed."), 201: data(ROLE, "It was made.")},
            ("conflict",),
            example={"description": "May read what was billed", "caps": ["invoices:read"]},
            links={"delete_role": {"name": "name"}},
        ),
        "DELETE /roles/:name": Operation("delete_role", "Delete a role, and take it from all who had it.", {204: NOTHING}, ("conflict",)),
        "GET /keys": Operation("list_keys", "API keys, newest first.", {200: page_of(API_KEY)}),
        "POST /keys": Operation(
            "create_key", "Make an API key.", {201: data(NEW_API_KEY, "The key; it is not shown again.")}, ("conflict",)
        ),
        "DELETE /keys/:key_id": Operation("revoke_key", "Revoke an API key.", {204: NOTHING}),
        "GET /invites": Operation("list_invites", "Invites that are open, newest first.", {200: page_of(INVITE)}),
        "POST /invites": Operation(
            "create_invite", "Invite an address to sign up.", {201: data(INVITE, "The mail is on its way.")}, ("email_taken", "signup_closed", "not_found")
        ),
        "DELETE /invites/:invite_id": Operation("revoke_invite", "Take an invite back.", {204: NOTHING}),
    },
)  # fmt: skip
WEBHOOKS = Family(
    "Webhooks and events",
    "Standard Webhooks: signed, in order, at least once. `GET /events` for whoever would rather ask.",
    {
        "GET /webhooks": Operation("list_webhooks", "All webhooks.", {200: whole_list_of(WEBHOOK)}),
        "POST /webhooks": Operation("create_webhook", "Make a webhook.", {201: data(NEW_WEBHOOK, "With its secret, which is not shown again.")}, ("conflict",)),
        "GET /webhooks/:webhook_id": Operation("get_webhook", "Read a webhook.", {200: data(WEBHOOK, "The webhook.")}),
        "PUT /webhooks/:webhook_id": Operation(
            "update_webhook", "Change a webhook: what is absent stays.", {200: data(WEBHOOK, "As it is now.")}, example={"enabled": False}
        ),
        "DELETE /webhooks/:webhook_id": Operation("delete_webhook", "Delete a webhook.", {204: NOTHING}),
        "POST /webhooks/:webhook_id/rotate-secret": Operation(
            "rotate_webhook_secret", "A new secret; the old one signs too, for a day.", {200: data(NEW_WEBHOOK, "With its new secret.")}
        ),
        "POST /webhooks/:webhook_id/test": Operation(
            "test_webhook", "Send a test event.", {202: data(DELIVERY, "It is on its way.")}, ("conflict",), links={"retry_delivery": {"delivery_id": "id"}}
        ),
        "GET /webhooks/:webhook_id/deliveries": Operation(
            "list_deliveries", "What was sent, newest first.", {200: page_of(DELIVERY)}, links={"retry_delivery": {"delivery_id": "items/0/id"}}
        ),
        "POST /deliveries/:delivery_id/retry": Operation("retry_delivery", "Send once more.", {202: data(DELIVERY, "It is on its way.")}, ("conflict",)),
        "GET /events": Operation(
            "list_events",
            "What happened after a place; there is always a next page, sooner or later.",
            {200: data(listed({"items": many(EVENT), "next_cursor": text("For `after`.", "after_1")}), "Events in their order.")},
        ),
    },
)  # fmt: skip
AUDIT = Family(
    "Audit",
    "Everything that happened, sealed.",
    {
        "GET /audit/logs": Operation(
            "list_audit_rows", "Search the trail, newest first; line by line for `Accept: application/x-ndjson` or `text/csv`.", {200: streams(page_of(AUDIT_ROW))}, ("forbidden",)
        ),
        "GET /audit/verify": Operation("verify_audit_trail", "Check the trail.", {200: data(VERDICT, "What was found.")}),
    },
)  # fmt: skip
KNOWN = Answer("`If-None-Match` names it.", headers=("ETag.cached",))
_URL = text(example="https://auth.example.com")
METADATA = thing(
    "ServerMetadata",
    "What RFC 8414 calls authorization server metadata.",
    {
        **dict.fromkeys(("issuer", "jwks_uri", "introspection_endpoint", "revocation_endpoint"), _URL),
        **dict.fromkeys(("response_types_supported", "grant_types_supported"), many(text())),
        "introspection_endpoint_auth_methods_supported": many(text(example="Bearer")),
        "revocation_endpoint_auth_methods_supported": many(text(example="none")),
    },
)
SERVICE = Family(
    "The service",
    "About the service itself.",
    {
        "GET /healthz": Operation("get_health", "Whether it is alive.", {200: status("ok")}),
        "GET /readyz": Operation(
            "get_readiness", "Whether it can serve: the store can be written to, it is the one of our key, and nobody is stopping us.",
            {200: status("ok", checks=CHECKS.ref)}, about="`busy` and `unavailable` say the same `checks`.",
        ),
        "GET /metrics": Operation("get_metrics", "How it does, in the text format of Prometheus.", {200: Answer("The metrics.", {"text/plain": {"type": "string"}})}),
        "GET /problems/:code": Operation(
            "explain_problem", "What a code means.",
            {200: data(listed({"code": text(example="not_found"), "status": number(example=404), "title": text(), "detail": text()}), "The code.")},
        ),
        "GET /assets/:name": Operation("get_asset", "A file of the pages.", {200: Answer("The file.", {kind.partition(";")[0]: {"type": "string"} for kind in BUNDLED_TYPES.values()})}),
        "GET /.well-known/jwks.json": Operation(
            "get_jwks", "The keys that verify our access tokens (RFC 7517); none under HS256.", {200: data(listed({"keys": many(ANYTHING)}), "The keys.", headers=("ETag.cached",)), 304: KNOWN}
        ),
        "GET /.well-known/oauth-authorization-server": Operation(
            "get_server_metadata", "Where things are (RFC 8414).", {200: data(METADATA, "The metadata.", headers=("ETag.cached",)), 304: KNOWN}
        ),
        "GET /.well-known/change-password": Operation("go_to_change_password", "Where a password is changed, for password managers.", {302: sent_on()}),
        "GET /openapi.json": Operation("get_openapi", "This description.", {200: Answer("An OpenAPI 3.1 document.", {JSON: ANYTHING}, ("ETag.cached",)), 304: KNOWN}),
        "GET /docs": Operation("docs_page", "This description as a page.", {200: PAGE}),
    },
)  # fmt: skip
