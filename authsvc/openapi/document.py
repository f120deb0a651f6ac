"""The OpenAPI 3.1 document, made from the route table, the shapes and what is said of each operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import authsvc
from authsvc.http.cookies import Cookies
from authsvc.http.response import JSON, PROBLEM
from authsvc.openapi import accounts, administration, headers, objects, parameters, refusals, ways_in
from authsvc.openapi.examples import example_of
from authsvc.openapi.words import ON, PAGE, Answer, Family, Operation, Thing
from authsvc.pages.browser import SHOWN
from authsvc.problems import KINDS
from authsvc.routes import Route
from authsvc.rules.access import Who

FAMILIES: tuple[Family, ...] = (
    ways_in.SIGN_IN,
    ways_in.PASSWORDS,
    ways_in.ADDRESSES,
    ways_in.SESSION_TOKENS,
    ways_in.PROVIDERS,
    accounts.USERS,
    accounts.SESSIONS,
    accounts.FACTORS,
    administration.ADMINISTRATION,
    administration.WEBHOOKS,
    administration.AUDIT,
    administration.SERVICE,
)
OPERATIONS: Mapping[str, tuple[Operation, Family]] = {
    line: (operation, family) for family in FAMILIES for line, operation in family.operations.items()
}
THINGS: Mapping[str, Thing] = {
    value.name: value for module in (objects, ways_in, accounts, administration) for value in vars(module).values() if isinstance(value, Thing)
}  # fmt: skip
SCHEMAS = {name: one.schema for name, one in sorted(THINGS.items())}
INTRODUCTION = """\
Every refusal is `application/problem+json` (RFC 9457) with a stable `code` and a `request_id`. Bodies are JSON; where forms are
described too, they may have other fields as well, as OAuth has it, and everywhere else fields that are not described are
refused. Lists take `limit` and `cursor`. Times are RFC 3339 in UTC, durations seconds. Where a browser prefers HTML, an operation
marked `x-page` answers with a page or sends it on, and takes its forms. A head (the URL and the headers) beyond 32 KiB
is refused by 431. A service that holds `end_users:forward` may say with any operation, by the header `End-User-Address`, for whom
it calls; from others it is refused."""


def line(route: Route) -> str:
    """What stands for a route in the tables of operations."""
    return f"{route.method} {route.path}"


def described(route: Route) -> tuple[Operation, Family]:
    """What is said of a route; without it the document cannot be made."""
    if line(route) not in OPERATIONS:
        raise LookupError(f"{line(route)} is described nowhere: give it an Operation in a family of authsvc/openapi/")
    return OPERATIONS[line(route)]


def document(routes: Iterable[Route], *, name: str, public_url: str, cookies: Cookies) -> dict[str, Any]:
    """The whole document."""
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(parameters.template(route.path), {})[route.method.lower()] = _operation(route, routes)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{name} API", "version": authsvc.__version__, "description": INTRODUCTION, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": public_url}],
        "tags": [{"name": family.name, "description": family.about} for family in FAMILIES],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": dict(sorted({_shared(*one): _refusal(*one) for route in routes for one in _refusals(route)}.items())),
            "headers": headers.components(),
            "examples": {code: {"summary": kind.title, "value": _problem(code, public_url)} for code, kind in KINDS.items()},
            "securitySchemes": _schemes(cookies),
        },
    }  # fmt: skip


def _operation(route: Route, routes: Iterable[Route]) -> dict[str, Any]:
    operation, family = described(route)
    notes = [operation.about] if operation.about else []
    if route.who.cap:
        notes.append(f"Needs the cap `{route.who.cap}`{', but not for oneself' if route.who.own else ''}.")
    if route.who.fresh:
        notes.append("Needs a sign-in of the last 15 minutes: see `reauthenticate`.")
    return {
        "operationId": operation.id,
        "tags": [family.name],
        "summary": operation.summary,
        **({"description": " ".join(notes)} if notes else {}),
        "x-who": route.who.name,
        **({"x-caps": [route.who.cap]} if route.who.cap else {}),
        **({"x-limits": list(route.limits)} if route.limits else {}),
        **({"x-page": True} if route.page else {}),
        "security": _security(route.who),
        **({"parameters": found} if (found := parameters.of(route, operation)) else {}),
        **parameters.body(route, operation),
        "responses": {
            **_answers(route, operation, routes),
            **{str(one[0]): {"$ref": f"#/components/responses/{_shared(*one)}"} for one in _refusals(route)},
        },
    }


def _answers(route: Route, operation: Operation, routes: Iterable[Route]) -> dict[str, Any]:
    links = {**_links(route, routes), **operation.links}
    limited = bool(route.limits)
    found = {str(status): _answer(answer, links if status < 300 else {}, limited=limited) for status, answer in operation.answers.items()}
    if route.page:
        shown = _answer(Answer("A page, for a browser.", PAGE.content, () if route.page is SHOWN else ("Set-Cookie",)), {}, limited=limited)
        given = found.setdefault("200", shown)
        given.setdefault("content", {}).update(shown["content"])
        given["headers"] |= shown["headers"]
    if route.page not in (None, SHOWN):
        found.setdefault("303", _answer(Answer(ON, headers=("Location", "Set-Cookie")), {}, limited=limited))
    return found


def _answer(answer: Answer, links: Mapping[str, Mapping[str, str]], *, limited: bool) -> dict[str, Any]:
    content = {kind: {"schema": schema} | _example(kind, schema) for kind, schema in answer.content.items()}
    linked = {
        name: {"operationId": name, "parameters": {key: f"$response.body#/{place}" for key, place in members.items()}}
        for name, members in links.items()
        if JSON in answer.content
    }
    return {
        "description": answer.meaning,
        "headers": headers.of_answer(answer.headers, limited=limited),
        **({"content": content} if content else {}),
        **({"links": linked} if linked else {}),
    }


def _example(kind: str, schema: Any) -> dict[str, Any]:
    return {"example": example_of(schema, SCHEMAS)} if kind == JSON else {}


def _links(route: Route, routes: Iterable[Route]) -> dict[str, dict[str, str]]:
    """What can be done with what was just made: whatever stands below its path, by its id."""
    if route.method != "POST" or 201 not in described(route)[0].answers:
        return {}
    below = [other for other in routes if other.path.startswith(f"{route.path}/:") and len(list(parameters.names(other.path))) == 1]
    return {described(other)[0].id: {next(parameters.names(other.path)): "id"} for other in below}


def _refusals(route: Route) -> Iterable[tuple[int, tuple[str, ...]]]:
    """Each status of a route with its codes."""
    return refusals.statuses(route, described(route)[0]).items()


def _shared(status: int, codes: Iterable[str]) -> str:
    """The name of a refusal that many operations share."""
    return ".".join([str(status), *codes])


def _refusal(status: int, codes: Iterable[str]) -> dict[str, Any]:
    # The one that says more first: whoever reads by the first that fits, as generated clients do, loses nothing.
    either = {"anyOf": [objects.MFA_CHALLENGE.ref, objects.PROBLEM.ref]} if "mfa_required" in codes else objects.PROBLEM.ref
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "headers": headers.of_refusal(status, codes),
        "content": {PROBLEM: {"schema": either, "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes}}},
    }


def _problem(code: str, public_url: str) -> dict[str, Any]:
    kind = KINDS[code]
    told = {"type": f"{public_url}/problems/{code}", "title": kind.title, "status": kind.status, "detail": kind.meaning, "code": code}
    more = {"mfa_required": ("mfa_token", "factors"), "captcha_required": ("captcha",), "captcha_failed": ("captcha",)}.get(code, ())
    members = {**objects.PROBLEM.schema["properties"], **objects.MFA_CHALLENGE.schema["properties"]}
    return {**told, "request_id": "example-request", **{name: example_of(members[name], SCHEMAS) for name in more}}


def _schemes(cookies: Cookies) -> dict[str, Any]:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An access token (a JWT), or an API key (`ak_…`)."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": cookies.access.name, "description": "The access token; the header goes before it."},
        "refresh": {"type": "http", "scheme": "bearer", "description": "A refresh token (`rt_…`)."},
        "refreshCookie": {"type": "apiKey", "in": "cookie", "name": cookies.refresh.name, "description": "The refresh token."},
    }  # fmt: skip


def _security(who: Who) -> list[dict[str, list[str]]]:
    known: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]
    if who.token:
        return [{}, {"refresh": []}, {"refreshCookie": []}, *known]
    return known if who.signed_in else [{}, *known] if who.known else []
