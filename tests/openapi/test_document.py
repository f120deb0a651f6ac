"""The document is whole, valid, and as true as the table that it is made from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from authsvc.events import CLI, SYSTEM, Cause
from authsvc.http.body import FORM
from authsvc.http.cookies import cookies
from authsvc.http.response import JSON, PROBLEM
from authsvc.openapi import parameters
from authsvc.openapi.document import OPERATIONS, document, line
from authsvc.pages.browser import SHOWN
from authsvc.problems import KINDS
from authsvc.routes import ROUTES, Route
from authsvc.rules.webhooks import payload
from tests.openapi.conformity import closed, described, operation, resolved

SECRET = re.compile(
    r"eyJ[\w-]{5,}|rt_\w{5,}|ak_\w{5,}|whsec_\w{5,}|(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{43,}"
)  # what a scanner would take for one


def media_of(node: Any) -> list[Any]:
    """Every content within the document."""
    if isinstance(node, dict):
        found = list(node["content"].items()) if isinstance(node.get("content"), dict) else []
        return found + [one for value in node.values() for one in media_of(value)]
    return [one for value in node for one in media_of(value)] if isinstance(node, list) else []


def success(route: Route) -> list[Any]:
    """The answers of a route that are no refusals."""
    return [resolved(answer) for status, answer in operation(route)["responses"].items() if int(status) < 300]


def test_the_document_is_valid() -> None:
    """By an independent validator, as OpenAPI 3.1, every schema and example in it included."""
    found = described()

    assert found["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(found).iter_errors()) == []
    for schema in found["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("route", ROUTES, ids=line)
def test_every_route_is_described(route: Route) -> None:
    """A route that is added without an Operation fails here, and says where to put one."""
    assert line(route) in OPERATIONS, f"{line(route)} is described nowhere: give it an Operation in a family of authsvc/openapi/"
    assert OPERATIONS[line(route)][0].summary.endswith(".")
    assert any(status < 400 for status in OPERATIONS[line(route)][0].answers)
    unknown = {name for name in parameters.names(route.path) if name != "name"} - parameters.PATHS.keys()
    assert unknown == set(), f"{line(route)}: say in authsvc/openapi/parameters.py what they are"


def test_nothing_is_described_that_is_no_route() -> None:
    """Each Operation belongs to a line of the table; ids are there once, and so are the lines."""
    ids = [operation.id for operation, _ in OPERATIONS.values()]

    assert OPERATIONS.keys() == {line(route) for route in ROUTES}
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in ids)


def test_a_route_without_a_description_is_named() -> None:
    """The document is not made with a hole in it."""
    stranger = replace(ROUTES[0], path="/nowhere")
    with pytest.raises(LookupError, match=r"GET /nowhere is described nowhere: .* authsvc/openapi/"):
        document([stranger], name="x", public_url="http://127.0.0.1:8000", cookies=cookies(secure=False, domain="", mount=""))


@pytest.mark.parametrize("route", ROUTES, ids=line)
def test_who_may_call_is_told(route: Route) -> None:
    """Routes for signed-in callers need a credential, those for anyone none; the cap stands beside it."""
    found = operation(route)
    needed = {name for way in found["security"] for name in way}

    assert ({} in found["security"] or not found["security"]) is not route.who.signed_in
    assert {"bearer", "cookie"} <= needed or not (route.who.signed_in or route.who.known)
    assert ("refresh" in needed) is route.who.token
    assert found.get("x-caps") == ([route.who.cap] if route.who.cap else None)
    assert ("401" in found["responses"]) is (bool(needed) or any(KINDS[code].status == 401 for code in OPERATIONS[line(route)][0].codes))


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method != "GET" and route.body.fields], ids=line)
def test_the_example_of_a_body_is_a_body(route: Route) -> None:
    """What a reader copies is taken by the route, and by its own schema."""
    content = operation(route)["requestBody"]["content"]

    assert content.keys() == ({JSON, FORM} if route.body.lenient else {JSON})
    Draft202012Validator(content[JSON]["schema"]).validate(content[JSON]["example"])
    route.body.parse(content[JSON]["example"])


def test_the_examples_of_answers_are_answers() -> None:
    """Each fits its schema, with no member too many; those of problems are what the service would say."""
    for kind, media in media_of(described()):
        if "example" in media:
            Draft202012Validator(closed(media["schema"])).validate(media["example"])
        elif kind == PROBLEM:
            for example in media["examples"].values():
                Draft202012Validator(closed(media["schema"])).validate(resolved(example)["value"])
    assert described()["components"]["examples"].keys() == KINDS.keys()


def test_who_reads_by_the_first_that_fits_loses_no_token() -> None:
    """As generated clients do: the problem that has more members stands first, and no other one passes for it."""
    asked, *others = (described()["components"]["examples"][code]["value"] for code in ("mfa_required", "invalid_credentials"))
    refusals = described()["components"]["responses"]
    first = [answer["content"][PROBLEM]["schema"]["anyOf"][0] for name, answer in refusals.items() if "mfa_required" in name]

    assert first
    for schema in map(resolved, first):
        assert Draft202012Validator(closed(schema)).is_valid(asked)
        assert not any(Draft202012Validator(schema).is_valid(other) for other in others)


@pytest.mark.parametrize("route", ROUTES, ids=line)
def test_what_a_browser_or_a_cache_does_is_told(route: Route) -> None:
    """303 where a form was posted, 304 where the version that one has can be named, and every header with its meaning."""
    found = operation(route)
    headers = {header for answer in found["responses"].values() for header in resolved(answer)["headers"]}

    assert ("303" in found["responses"]) >= (route.page not in (None, SHOWN))
    assert route.page is not SHOWN or "303" not in found["responses"]
    assert ("304" in found["responses"]) is ("If-None-Match" in [one["name"] for one in found.get("parameters", [])])
    assert headers <= described()["components"]["headers"].keys()
    assert {"X-Request-Id"} | ({"RateLimit", "RateLimit-Policy"} if route.limits else set()) <= headers


@pytest.mark.parametrize("route", [route for route in ROUTES if any("ETag" in answer["headers"] for answer in success(route))], ids=line)
def test_what_a_version_is_good_for_is_told(route: Route) -> None:
    """A change names it in If-Match, a second look in If-None-Match; no operation takes both."""
    told = {resolved(answer["headers"]["ETag"])["description"] for answer in success(route) if "ETag" in answer["headers"]}
    looks = "304" in operation(route)["responses"]

    assert [("`If-None-Match`" in one, "`If-Match`" in one) for one in told] == [(looks, not looks)]


@pytest.mark.parametrize("data", ['{"fields": ["name"]}', "no JSON"])
def test_events_are_described_as_they_are_sent(data: str) -> None:
    """All members and no other, whoever made it happen, and also where somebody has spoilt the row."""
    row = dict.fromkeys(("subject", "actor_id", "session_id")) | {
        "id": "evt_0",
        "action": "user.updated",
        "outcome": "success",
        "data": data,
    }
    by = [Cause(), CLI, SYSTEM, Cause().by_user("usr_0", ""), Cause().by_key("key_0", "")]
    schema = closed(described()["components"]["schemas"]["Event"])

    for cause in by:
        sent = {"id": "evt_0", **payload({**row, "actor_type": cause.actor_type}, "2030-01-31T12:30:00.000Z")}
        Draft202012Validator(schema).validate(sent)
        assert sent["data"].keys() == schema["properties"]["data"]["properties"].keys()
    assert set(schema["properties"]["data"]["properties"]["actor"]["properties"]["type"]["enum"]) == {cause.actor_type for cause in by}


def test_no_example_looks_like_a_secret() -> None:
    """B11: nothing that a scanner for leaked secrets would stop at, or a reader take for a real one."""
    assert SECRET.search("rt_01hv2c3d4e")
    assert SECRET.search("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")
    assert SECRET.findall(json.dumps(described(), ensure_ascii=False)) == []


def test_links_lead_somewhere() -> None:
    """What was made can be read, changed and deleted by what its answer says: the operations exist, with those parameters."""
    by_id = {one["operationId"]: one for methods in described()["paths"].values() for one in methods.values()}
    links = [
        (name, link)
        for one in by_id.values()
        for answer in one["responses"].values()
        for name, link in answer.get("links", {}).items()
    ]  # fmt: skip

    assert {"get_webhook", "revoke_key", "revoke_invite", "delete_user", "delete_role", "retry_delivery"} <= {name for name, _ in links}
    for name, link in links:
        known = {parameter["name"] for parameter in by_id[name]["parameters"] if parameter["in"] == "path"}
        assert (link["operationId"], link["parameters"].keys()) == (name, known)


def test_the_document_follows_the_settings() -> None:
    """Servers, problems and cookies are those of the public URL, below a mount too."""
    url = "https://example.com/auth"
    found = document(ROUTES, name="Example", public_url=url, cookies=cookies(secure=True, domain="", mount="/auth"))
    schemes = found["components"]["securitySchemes"]

    assert (found["info"]["title"], found["servers"]) == ("Example API", [{"url": url}])
    assert (schemes["cookie"]["name"], schemes["refreshCookie"]["name"]) == ("__Host-authsvc_access", "__Secure-authsvc_refresh")
    assert found["components"]["examples"]["not_found"]["value"]["type"] == f"{url}/problems/not_found"
    assert "/login" in found["paths"]
