"""The check that holds answers against the description sees what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from authsvc.app import App
from authsvc.http.response import JSON, PROBLEM
from tests.openapi.conformity import FORMATS, check, described
from tests.support import Client

ID = ("X-Request-Id", "a")
HTML = ("Content-Type", "text/html; charset=utf-8")
OF_JSON = ("Content-Type", JSON)
OF_PROBLEM = ("Content-Type", PROBLEM)
HEALTHY = {"status": "ok"}
ROLES = {
    "items": [
        {"name": "editor", "description": None, "caps": [], "built_in": False, "created_at": "2030-01-31T12:30:00.000Z", "updated_at": None}
    ],
    "next_cursor": None,
}


def refused(code: str, status: int) -> dict[str, Any]:
    return {"type": "x", "title": "x", "status": status, "detail": "x", "code": code, "request_id": "a"}


def at(moment: str) -> dict[str, Any]:
    return {**ROLES, "items": [{**ROLES["items"][0], "created_at": moment}]}  # type: ignore[index]


GOOD = {
    "JSON": ("GET /healthz", 200, [ID, OF_JSON], HEALTHY),
    "a moment": ("GET /roles", 200, [ID, OF_JSON], ROLES),
    "cookies where they are told of": ("GET /token/revoke", 200, [ID, OF_JSON, ("Set-Cookie", "a=")], {"status": "revoked"}),
    "401": ("GET /roles", 401, [ID, OF_PROBLEM, ("WWW-Authenticate", "Bearer")], refused("unauthenticated", 401)),
    "429 that says when": ("GET /roles", 429, [ID, OF_PROBLEM, ("Retry-After", "9")], refused("rate_limited", 429)),
    "429 that need not": ("POST /mfa/verify", 429, [ID, OF_PROBLEM], refused("too_many_attempts", 429)),
    "304": ("GET /openapi.json", 304, [ID, ("ETag", '"a"')], None),
    "303": ("POST /login", 303, [ID, ("Location", "/"), ("Set-Cookie", "a=")], None),
    "an API key has no version": (
        "GET /user", 200, [ID, OF_JSON],
        {"id": f"key_{'0' * 26}", "name": "a", "caps": [], "networks": [], "created_by": None, "created_at": "2030-01-31T12:30:00Z", "expires_at": None, "revoked_at": None, "last_used_at": None},
    ),
    "no line at all": ("GET /audit/logs", 200, [ID, ("Content-Type", "application/x-ndjson")], None),
}  # fmt: skip
BAD = {
    "no request id": ("x-request-id", "GET /healthz", 200, [OF_JSON], HEALTHY),
    "a cookie": ("set-cookie", "GET /healthz", 200, [ID, OF_JSON, ("Set-Cookie", "a=")], HEALTHY),
    "a cookie in another spelling": ("set-cookie", "GET /healthz", 200, [ID, OF_JSON, ("set-cookie", "a=")], HEALTHY),
    "a page that sets a cookie": ("set-cookie", "GET /docs", 200, [ID, HTML, ("Set-Cookie", "a=")], None),
    "a tag": ("etag", "GET /healthz", 200, [ID, OF_JSON, ("ETag", '"a"')], HEALTHY),
    "401 without a challenge": ("www-authenticate", "GET /roles", 401, [ID, OF_PROBLEM], refused("unauthenticated", 401)),
    "429 that does not say when": ("retry-after", "GET /roles", 429, [ID, OF_PROBLEM], refused("rate_limited", 429)),
    "503 that does not say when": ("retry-after", "GET /roles", 503, [ID, OF_PROBLEM], refused("busy", 503)),
    "304 without the tag": ("etag", "GET /openapi.json", 304, [ID], None),
    "303 without a place": ("location", "POST /login", 303, [ID], None),
    "302 without a place": ("location", "GET /oauth/github", 302, [ID], None),
    "a user without the version": ("etag", "GET /user/usr_0", 200, [ID, OF_JSON], {}),
    "a shown page that sends on": ("answered 303", "GET /login", 303, [ID, ("Location", "/")], None),
    "nothing": ("without the content", "GET /healthz", 200, [ID, OF_JSON], None),
    "nothing, of no type": ("without the content", "GET /healthz", 200, [ID], None),
    "no refusal": ("without the content", "GET /roles", 403, [ID, OF_PROBLEM], None),
    "no page": ("without the content", "GET /docs", 200, [ID], None),
    "something where nothing was promised": ("as application/json", "DELETE /roles/editor", 204, [ID, OF_JSON], {}),
    "yesterday": ("date-time", "GET /roles", 200, [ID, OF_JSON], at("yesterday")),
    "a moment without its zone": ("date-time", "GET /roles", 200, [ID, OF_JSON], at("2030-01-31T12:30:00")),
    "a moment in another zone": ("date-time", "GET /roles", 200, [ID, OF_JSON], at("2030-01-31T12:30:00+01:00")),
    "no such day": ("date-time", "GET /roles", 200, [ID, OF_JSON], at("2030-02-31T12:30:00Z")),
    "a member too many": ("'x' was unexpected", "GET /healthz", 200, [ID, OF_JSON], {**HEALTHY, "x": 1}),
    "a code too many": ("email_taken", "GET /healthz", 422, [ID, OF_PROBLEM], refused("email_taken", 422)),
    "a status too many": ("answered 201", "GET /healthz", 201, [ID, OF_JSON], HEALTHY),
}  # fmt: skip


def held(app: App, line: str, status: int, headers: list[tuple[str, str]], value: Any) -> None:
    method, path = line.split()
    check(app, {"REQUEST_METHOD": method, "PATH_INFO": path}, status, headers, b"" if value is None else json.dumps(value).encode())


@pytest.mark.parametrize("name", GOOD)
def test_what_is_described_passes(app: App, name: str) -> None:
    """So that what follows is not refused for something else."""
    held(app, *GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_described_is_seen(app: App, name: str) -> None:
    """Statuses, headers too many and too few, bodies that are not there, moments that are none."""
    why, *answer = BAD[name]
    with pytest.raises(AssertionError, match=why):
        held(app, *answer)


def formats(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("format"), str):
            yield schema["format"]
        for one in schema.values():
            yield from formats(one)
    if isinstance(schema, list):
        for one in schema:
            yield from formats(one)


def test_no_format_of_an_answer_is_merely_told() -> None:
    """A validator passes over the formats that it does not know."""
    answers = [answer for methods in described()["paths"].values() for one in methods.values() for answer in one["responses"].values()]

    assert set(formats([described()["components"]["schemas"], answers])) == {"date-time"} <= FORMATS.checkers.keys()


def test_who_deletes_their_own_account_loses_the_cookies_by_the_description(client: Client) -> None:
    """An answer that has cookies though it has no body."""
    user = client.register(options={"setCookie": True})["user"]["id"]
    client.keep_cookies = True
    client.login(options={"setCookie": True})
    answer = client.call("DELETE", f"/user/{user}")

    assert answer.status == 204
    assert len(answer.header_list("Set-Cookie")) == 2
