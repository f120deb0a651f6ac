"""Examples of values, put together from the examples of their parts. None of them looks like a real secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.http.parsers import Schema

_OF_TYPE: Mapping[str, Any] = {"string": "…", "integer": 1, "boolean": False, "null": None, "object": {}}


def example_of(schema: Schema, things: Mapping[str, Schema] | None = None) -> Any:
    """A value that the schema takes; optional members are left out."""
    if "$ref" in schema:
        return example_of((things or {})[schema["$ref"].rpartition("/")[2]], things)
    shown = [*schema.get("examples", ()), *schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    if shown:
        return shown[0]
    return example_of(schema["anyOf"][0], things) if "anyOf" in schema else _made(schema, things)


def _made(schema: Schema, things: Mapping[str, Schema] | None) -> Any:
    kind = schema.get("type", "object")
    if kind == "object" and "properties" in schema:
        return {name: example_of(schema["properties"][name], things) for name in schema["required"]}
    if kind == "array":
        return [example_of(schema["items"], things)]
    return None if isinstance(kind, list) else _OF_TYPE[kind]
