"""The parameters of paths, each once, and how queries and bodies of a route stand in the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from authsvc.http.body import FORM
from authsvc.http.parsers import Schema
from authsvc.http.response import JSON
from authsvc.http.shapes import Shape
from authsvc.openapi.examples import example_of
from authsvc.openapi.words import Operation, identifier, text
from authsvc.primitives import ids
from authsvc.routes import Route

PATHS: Mapping[str, Schema] = {
    "token": text("The token of a mailed link.", "…"),
    "provider": text("The name of a provider.", "github"),
    "user_id": identifier(ids.USER),
    "session_id": identifier(ids.SESSION),
    "invite_id": identifier(ids.CHALLENGE),
    "key_id": identifier(ids.API_KEY),
    "webhook_id": identifier(ids.WEBHOOK),
    "delivery_id": identifier(ids.DELIVERY),
    "code": text("A code of a problem.", "not_found"),
}
# What is called `name` in more than one family.
NAMES: Mapping[str, Schema] = {
    "/roles/:name": text("The name of a role.", "editor", pattern="^[a-z][a-z0-9_.-]{0,62}$"),
    "/assets/:name": text("The name of a file.", "style.css"),
}
IF_MATCH: dict[str, Any] = {"name": "If-Match", "in": "header", "schema": text("The ETag of the version that was read.", "*")}
IF_NONE_MATCH: dict[str, Any] = {"name": "If-None-Match", "in": "header", "schema": text("The ETag of what one has already.", "*")}


def of(route: Route, operation: Operation) -> list[dict[str, Any]]:
    """The parameters of a route: of its path, its query, and the conditions that it heeds."""
    found = [
        {"name": name, "in": "path", "required": True, "schema": NAMES[route.path] if name == "name" else PATHS[name]} for name in names(route.path)
    ]  # fmt: skip
    for name, field in (route.query.fields if route.query else {}).items():
        found.append({"name": name, "in": "query", "required": field.required, "schema": dict(field.parser.schema)})
    if 304 in operation.answers:
        found.append(IF_NONE_MATCH)
    return [*found, IF_MATCH] if "precondition_failed" in operation.codes else found


def names(path: str) -> Iterator[str]:
    """The parameters of a path."""
    return (part[1:] for part in path.split("/") if part.startswith(":"))


def template(path: str) -> str:
    """The path as OpenAPI writes it."""
    return "/".join(f"{{{part[1:]}}}" if part.startswith(":") else part for part in path.split("/"))


def body(route: Route, operation: Operation) -> dict[str, Any]:
    """The body of a route; nothing where it takes none. A form of the same fields is taken everywhere, and told of where
    a standard has its clients send one; those may also send more."""
    if route.method == "GET" or not route.body.fields:
        return {}
    media = {"schema": route.body.schema(), "example": body_example(route.body, operation)}
    required = any(field.required for field in route.body.fields.values())
    return {"requestBody": {"required": required, "content": {JSON: media} | ({FORM: media} if route.body.lenient else {})}}


def body_example(shape: Shape, operation: Operation) -> Any:
    """The example that is declared, or one of the fields that are needed."""
    if operation.example is not None:
        return dict(operation.example)
    return {name: example_of(field.parser.schema) for name, field in shape.fields.items() if field.required}
