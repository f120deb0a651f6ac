"""Which problems a route can answer with: those of the checks that stand before every handler, and its own."""

from __future__ import annotations

from collections.abc import Iterable

from authsvc.openapi.words import Operation
from authsvc.problems import KINDS
from authsvc.routes import Route

ALWAYS = ("invalid_request", "internal", "busy", "unavailable")
TWO_WAYS = 400  # the status of an invalid_request that can be read in two ways
BODY = ("invalid_json", "unsupported_media_type", "body_too_large", "length_required")
CREDENTIALS = ("unauthenticated", "invalid_token", "token_expired")


def codes(route: Route, operation: Operation) -> list[str]:
    """Every code, each once, in the order of the table of problems."""
    found = {*ALWAYS, *operation.codes, *_of_admission(route)}
    return [code for code in KINDS if code in found]


def statuses(route: Route, operation: Operation) -> dict[int, tuple[str, ...]]:
    """The codes by their status, rising."""
    by_status: dict[int, list[str]] = {TWO_WAYS: ["invalid_request"]}
    takes = route.method != "GET" or route.query is not None or "invalid_request" in operation.codes
    for code in codes(route, operation):
        if code != "invalid_request" or takes:
            by_status.setdefault(KINDS[code].status, []).append(code)
    return {status: tuple(of_status) for status, of_status in sorted(by_status.items())}


def _of_admission(route: Route) -> Iterable[str]:
    """What admission.py refuses, by what the route declares."""
    who, body = route.who, route.body
    if route.limits:
        yield "rate_limited"
    if route.guarded:
        yield "csrf_failed"
    if route.method != "GET":
        yield from BODY
    if who.signed_in or who.known or who.token:
        yield from CREDENTIALS
    if ":" in route.path:
        yield "not_found"
    if who.signed_in and not who.enrols:
        yield "mfa_enrolment_required"
    if (who.signed_in and (who.cap or not who.keys)) or who.known or body.caps or body.reserved:
        yield "forbidden"
    if route.captcha:
        yield from ("captcha_required", "captcha_failed")
    if who.fresh or body.sensitive:
        yield "reauthentication_required"
