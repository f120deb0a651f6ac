"""The document as a page for people: no script, one anchor for each operation and object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from authsvc.flows.core import Core
from authsvc.http.body import FORM
from authsvc.http.html import EMPTY, Safe, join, text
from authsvc.http.parsers import Schema
from authsvc.http.response import JSON, PROBLEM
from authsvc.pages.layout import piece
from authsvc.pages.site import site

Json = Mapping[str, Any]


def page(core: Core, document: Json) -> Safe:
    """The whole page."""
    operations = [(method, path, one) for path, methods in document["paths"].items() for method, one in methods.items()]
    families = [(tag, [entry for entry in operations if tag["name"] in entry[2]["tags"]]) for tag in document["tags"]]
    shared = {f"#/components/responses/{name}": answer for name, answer in document["components"]["responses"].items()}
    schemas = document["components"]["schemas"]
    content = piece(
        core,
        "docs",
        introduction=_prose(document["info"]["description"]),
        version=document["openapi"],
        contents=join([*(_operations_of(tag, of_tag) for tag, of_tag in families), _contents("Objects", map(_link_to, schemas))]),
        families=join(_family(core, shared, tag, of_tag) for tag, of_tag in families),
        objects=join(_object(name, schema) for name, schema in schemas.items()),
    )
    return site(core.settings.pages).page(core, document["info"]["title"], content, width="wide docs")


def _operations_of(tag: Json, operations: Iterable[tuple[str, str, Json]]) -> Safe:
    links = (
        Safe(f'<a href="#{text(one["operationId"])}"><code>{text(method.upper())} {text(path)}</code></a>')
        for method, path, one in operations
    )
    return _contents(tag["name"], links)


def _contents(title: str, links: Iterable[Safe]) -> Safe:
    items = join(Safe(f"<li>{text(link)}</li>") for link in links)
    return Safe(f"<details><summary>{text(title)}</summary><ul>{items}</ul></details>")


def _family(core: Core, shared: Json, tag: Json, operations: Iterable[tuple[str, str, Json]]) -> Safe:
    entries = join(_operation(core, shared, *entry) for entry in operations)
    return Safe(f"<h2>{text(tag['name'])}</h2><p>{_prose(tag['description'])}</p>{entries}")


def _operation(core: Core, shared: Json, method: str, path: str, one: Json) -> Safe:
    limits = one.get("x-limits", [])
    return piece(
        core,
        "docs_operation",
        id=one["operationId"],
        method=method.upper(),
        path=path,
        summary=one["summary"],
        description=_prose(one.get("description", "")),
        who=one["x-who"],
        limits=f" · Limits: {', '.join(limits)}" if limits else "",
        parameters=_parameters(one.get("parameters", [])),
        body=_body(one.get("requestBody")),
        answers=_answers(core, {status: shared.get(answer.get("$ref"), answer) for status, answer in one["responses"].items()}),
    )


def _parameters(parameters: Iterable[Json]) -> Safe:
    rows = [(one["name"], one["schema"], f"in the {one['in']}" + (", needed" if one.get("required") else "")) for one in parameters]
    return _table("Parameters", (_member(*row) for row in rows))


def _body(body: Json | None) -> Safe:
    if body is None:
        return EMPTY
    media, forms = body["content"][JSON], FORM in body["content"]
    example = Safe(f"<pre>{text(json.dumps(media['example'], ensure_ascii=False, indent=2))}</pre>")
    return join([_table("Body, as JSON or as a form" if forms else "Body", _members(media["schema"])), example])


def _answers(core: Core, answers: Json) -> Safe:
    rows = []
    for status, answer in answers.items():
        content = answer.get("content", {})
        if PROBLEM in content:
            base = core.settings.public_url.path
            codes = content[PROBLEM]["examples"]
            meaning = Safe(", ".join(f'<a href="{text(base)}/problems/{text(code)}"><code>{text(code)}</code></a>' for code in codes))
        else:
            forms = [_shape(media["schema"]) if form == JSON else text(form) for form, media in content.items()]
            meaning = join([_prose(answer["description"]), Safe(f" ({', '.join(forms)})") if forms else EMPTY])
        rows.append(Safe(f'<tr><th scope="row">{text(status)}</th><td>{meaning}</td></tr>'))
    return _table("Answers", rows)


def _object(name: str, schema: Schema) -> Safe:
    return Safe(
        f'<section class="entry" id="object-{text(name)}"><h3>{_link_to(name)}</h3>'
        f"<p>{_prose(schema.get('description', ''))}</p>{_table('Members', _members(schema, answers=True))}</section>"
    )


def _members(schema: Schema, within: str = "", *, answers: bool = False) -> Iterable[Safe]:
    for name, member in schema.get("properties", {}).items():
        note = "" if (name in schema.get("required", ())) is answers else "needed" if not answers else "not always"
        yield _member(within + name, member, note)
        if "properties" in member:
            yield from _members(member, f"{within}{name}.", answers=answers)


def _member(name: str, schema: Schema, note: str) -> Safe:
    said = join([_prose(schema.get("description", "")), Safe(f' <span class="hint">{text(note)}</span>') if note else EMPTY])
    return Safe(f'<tr><th scope="row"><code>{text(name)}</code></th><td>{_kind(schema)}</td><td>{said}</td></tr>')


def _table(caption: str, rows: Iterable[Safe]) -> Safe:
    found = list(rows)
    return Safe(f"<table><caption>{text(caption)}</caption>{''.join(found)}</table>") if found else EMPTY


def _shape(schema: Schema) -> Safe:
    """The type of what stands nowhere else on the page: an object that has no name shows its members, `?` at those that are
    not always there."""
    if "properties" not in schema:
        return _kind(schema)
    members = (
        Safe(f"<code>{text(name)}</code>{'' if name in schema.get('required', ()) else '?'}: {_shape(member)}")
        for name, member in schema["properties"].items()
    )
    return Safe(f"{{ {', '.join(members)} }}")


def _link_to(name: str) -> Safe:
    """To an object."""
    return Safe(f'<a href="#object-{text(name)}">{text(name)}</a>')


def _kind(schema: Schema) -> Safe:
    """The type in a few words, objects as links."""
    if "const" in schema:
        return Safe(f"<code>{text(json.dumps(schema['const'], ensure_ascii=False))}</code>")
    if "$ref" in schema:
        return _link_to(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return Safe(" or ".join(_shape(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return Safe(" | ".join(f"<code>{text(json.dumps(word, ensure_ascii=False))}</code>" for word in schema["enum"]))
    if "items" in schema:
        return Safe(f"list of {_shape(schema['items'])}")
    kinds = schema.get("type", "any")
    words = " or ".join(kinds) if isinstance(kinds, list) else kinds
    return text(" ".join([words, *_bounds(schema)]))


def _bounds(schema: Schema) -> Iterable[str]:
    if "format" in schema:
        yield f"({schema['format']})"
    if "minimum" in schema:
        yield f"{schema['minimum']}–{schema['maximum']}"
    if "maxLength" in schema:
        yield f"≤ {schema['maxLength']}"


def _prose(words: str) -> Safe:
    """Text with `code` in it."""
    return Safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", text(words)))
