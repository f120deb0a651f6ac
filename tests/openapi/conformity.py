"""Holds every answer that a test gets against the description of the API; the client of tests/support.py asks here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from authsvc.app import App
from authsvc.http.cookies import cookies
from authsvc.http.negotiation import HTML
from authsvc.http.response import JSON, PROBLEM
from authsvc.http.router import Router
from authsvc.openapi import headers, parameters
from authsvc.openapi.document import document
from authsvc.primitives.times import milliseconds
from authsvc.problems import Problem
from authsvc.routes import ROUTES, Route

PAGE = "text/html; charset=utf-8"
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", ValueError)
def is_a_moment(value: Any) -> bool:
    """RFC 3339 in UTC, with its `Z`."""
    return not isinstance(value, str) or (value.endswith("Z") and isinstance(milliseconds(value), int))


_ROUTER = Router(ROUTES)


def check(app: Any, environ: Mapping[str, Any], status: int, given: list[tuple[str, str]], body: bytes) -> None:
    """Fail where an answer has a status, a header, a media type, a code or a member that its operation does not tell of."""
    if not isinstance(app, App) or environ["REQUEST_METHOD"] in ("HEAD", "OPTIONS") or "REQUEST_URI" in environ or "RAW_URI" in environ:
        return
    if "HTTP_END_USER_ADDRESS" in environ:
        return  # told once, for all operations: who sends it wrongly is refused everywhere
    if environ.get("QUERY_STRING", "").startswith("_method="):
        return  # a form that stands for another method; what it is answered is the page's business
    try:
        route, _ = _ROUTER.find(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    except Problem:
        return
    told = operation(route)["responses"].get(str(status))
    what = f"{route.method} {route.path} answered {status}"
    assert told, f"{what}, of which its description in authsvc/openapi/ does not tell: {body[:300]!r}"
    _check_headers(what, {name.lower() for name, _ in given}, resolved(told))
    _check_content(what, route, status, next((value for name, value in given if name == "Content-Type"), None), body)


def _check_headers(what: str, given: set[str], told: Mapping[str, Any]) -> None:
    known = {headers.name(use).lower() for use in described()["components"]["headers"]}
    declared = {name.lower(): resolved(header) for name, header in told["headers"].items()}
    untold = (given & known) - declared.keys()
    assert not untold, f"{what} with {untold}, of which its description in authsvc/openapi/ does not tell"
    absent = {name for name, header in declared.items() if header.get("required")} - given
    assert not absent, f"{what} without {absent}, which its description promises"


def _check_content(what: str, route: Route, status: int, kind: str | None, body: bytes) -> None:
    told = resolved(operation(route)["responses"][str(status)]).get("content", {})
    media = str(kind).partition(";")[0]
    if not body:
        assert not told or media in told.keys() - {JSON, PROBLEM, HTML}, f"{what} without the content that its description promises"
        return
    if kind == PAGE and (route.page or media in told):
        return
    assert media in told, f"{what} as {media}, of which its description in authsvc/openapi/ does not tell"
    if media not in (JSON, PROBLEM):
        return
    value = json.loads(body)
    fault = next(validator(route, status, media).iter_errors(value), None)
    assert fault is None, f"{what}, unlike its description in authsvc/openapi/: {fault.message}, at {fault.json_path}"
    if media == PROBLEM:
        assert value["code"] in told[PROBLEM]["examples"], f"{what} `{value['code']}`, which its Operation does not name"


@cache
def described() -> dict[str, Any]:
    return document(ROUTES, name="authsvc", public_url="http://127.0.0.1:8000", cookies=cookies(secure=False, domain="", mount=""))


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = described()["paths"][parameters.template(route.path)][route.method.lower()]
    return found


def resolved(node: Mapping[str, Any]) -> Any:
    """What a reference means."""
    found: Any = node
    while "$ref" in found:
        place: Any = described()
        for part in found["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        found = place
    return found


def closed(schema: Any) -> Any:
    """The schema with its references in place, and with no members beside those that it tells of: in the document objects
    are open, so that later releases can tell more."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    meant = {name: closed(value) for name, value in resolved(schema).items()}
    return {"additionalProperties": False, **meant} if "properties" in meant and meant.get("type") is not None else meant


@cache
def validator(route: Route, status: int, media: str) -> Draft202012Validator:
    schema = closed(resolved(operation(route)["responses"][str(status)])["content"][media]["schema"])
    return Draft202012Validator(schema, format_checker=FORMATS)
