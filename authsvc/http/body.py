"""From the bytes of a body to one dict: strict JSON (RFC 8259, I-JSON RFC 7493) or a plain form, within limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from authsvc.problems import Problem

MAX_BYTES = 65_536
MAX_DEPTH = 32
MAX_FORM_FIELDS = 100
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def read(environ: Mapping[str, Any]) -> bytes:
    """The whole body. Without a length it is read only where the host says that it ends the input itself."""
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared:
        if not declared.isascii() or not declared.isdigit():
            raise Problem("invalid_request", "Content-Length is not a number.", status=400)
        digits = declared.lstrip("0")
        wanted = int(digits[:10] or "0")
        if wanted > MAX_BYTES:
            raise Problem("body_too_large")
        if environ.get("HTTP_TRANSFER_ENCODING"):  # hosts that let this through read it in different ways (RFC 9112 section 6.1)
            raise Problem("invalid_request", "Content-Length beside Transfer-Encoding.", status=400)
        raw = _taken(environ, wanted) if wanted else b""
        if len(raw) < wanted:
            raise Problem("invalid_request", "The body ended before its Content-Length.", status=400)
        return raw
    if not environ.get("wsgi.input_terminated"):
        if environ.get("HTTP_TRANSFER_ENCODING"):  # a host that leaves chunks to the app: to overlook a body is to misread the request
            raise Problem("length_required")
        return b""
    raw = _taken(environ, MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise Problem("body_too_large")
    return raw


def _taken(environ: Mapping[str, Any], most: int) -> bytes:
    """What the host gives. That a body is malformed or broke off each host says by an exception of its own."""
    try:
        raw: bytes = environ["wsgi.input"].read(most)
    except Exception as error:  # noqa: BLE001 - OSError, ValueError, and classes that only the host knows
        raise Problem(
            "invalid_request", "The body is malformed, or broke off.", status=400, reason=f"body: {type(error).__name__}"
        ) from None
    return raw


def media_type(environ: Mapping[str, Any]) -> str:
    """The Content-Type without its parameters, lower case."""
    return str(environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()


def parse(environ: Mapping[str, Any]) -> dict[str, Any]:
    """The members of the body. An absent body is an empty object."""
    raw = read(environ)
    if not raw:
        return {}
    kind = media_type(environ)
    if kind == JSON:
        return parse_json(raw)
    if kind == FORM:
        return parse_form(raw)
    raise Problem("unsupported_media_type", headers=[("Accept", JSON)])


def parse_json(raw: bytes) -> dict[str, Any]:
    """One JSON object: no duplicate keys, no NaN or Infinity, at most 32 levels."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Problem("invalid_json", _why(error)) from None
    if not isinstance(value, dict):
        raise Problem("invalid_json", "The body must be one object.")
    if _too_deep(value):
        raise Problem("invalid_json", f"At most {MAX_DEPTH} levels.")
    return value


def parse_form(raw: bytes) -> dict[str, Any]:
    """Form fields; `options.setCookie=on` becomes a member of `options`. A field that was left empty is absent."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise Problem("invalid_request", "The form is malformed.", status=400) from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        outer, dot, inner = name.partition(".")
        target = fields.setdefault(outer, {}) if dot else fields
        key = inner if dot else outer
        if not isinstance(target, dict) or key in target:
            raise Problem("invalid_request", "The form repeats a field.", status=400)
        target[key] = value
    return {name: kept for name, value in fields.items() if (kept := _filled(value))}


def _filled(value: Any) -> Any:
    """What is left of a field or group without what was left empty."""
    return {name: inner for name, inner in value.items() if inner} if isinstance(value, dict) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("An object repeats a key.")
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("A number is too large.")
    return number


def _why(error: Exception) -> str | None:
    """Our own sentences may be shown, and the parser's position too; a decoder's message may quote the body."""
    if isinstance(error, json.JSONDecodeError):
        return f"The JSON is malformed at line {error.lineno}, column {error.colno}."
    return str(error) if type(error) is ValueError and str(error).endswith(".") else None


def _too_deep(value: Any) -> bool:
    """Breadth-first, so that the depth of hostile input is never the depth of our stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _children(item: Any) -> list[Any]:
    children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [child for child in children if isinstance(child, dict | list)]
