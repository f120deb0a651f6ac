"""/audit/logs and /audit/verify."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import chain
from typing import Any

from authsvc.flows import audit, verification
from authsvc.flows.core import Core
from authsvc.handlers.fields import moment
from authsvc.handlers.listings import limit, place_by
from authsvc.http import lines
from authsvc.http.lines import CSV, NDJSON
from authsvc.http.negotiation import preferred
from authsvc.http.parsers import parser
from authsvc.http.request import Request
from authsvc.http.response import NEGOTIATED, Response, answer, dumps
from authsvc.http.shapes import Field, Shape, choice, matching, raw_text, text
from authsvc.primitives.ids import EVENT
from authsvc.problems import Invalid, Problem
from authsvc.rules.access import holds
from authsvc.store.trail import Filter, Row

CAP = "audit:read"
CELLS = ("id", "at", "action", "outcome", "actor_type", "actor_id", "actor_label", "subject", "session_id", "ip", "user_agent", "request_id", "data")  # fmt: skip
TYPES = {CSV: f"{CSV}; charset=utf-8; header=present", NDJSON: NDJSON}
ME = "me"
ROWS_PER_CALL = 100_000  # that one request checks: a second or three


@parser(type="string", maxLength=60, examples=["203.0.113.7"])
def _ip(value: Any) -> str:
    try:
        return str(ip_address(raw_text(value, most=60)))
    except ValueError:
        raise Invalid("invalid", "Use an IP address.") from None


@parser(type="string", maxLength=15, pattern="^0*[1-9][0-9]*$", description="The `next_seq` of the call before.", examples=["1"])
def _seq(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,15}", value) or not int(value):
        raise Invalid("invalid", "Use the `next_seq` of the call before.")
    return int(value)


LOGS = Shape(
    {
        "actor": Field(text(most=100).about("Who did it: an id, or the address that was given.")),
        "subject": Field(text(most=100).about("Whom it happened to; `me`: the caller.", example=ME)),
        "action": Field(matching(r"[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?", "Use the name of an event, or a prefix such as login.*", most=100)),
        "outcome": Field(choice("success", "failure")),
        "ip": Field(_ip),
        "after": Field(moment),
        "before": Field(moment),
        "limit": limit,
        "cursor": Field(place_by(EVENT)),
    }
)
VERIFY = Shape({"from_seq": Field(_seq)})


def logs(core: Core, request: Request) -> Response:
    me = _demand(request)
    wanted = _filter(core, request.query, me)
    kind = preferred(request.environ, NDJSON, CSV)
    if kind is not None:
        return _streamed(audit.export(core, wanted), kind, me)
    rows, cursor = audit.page(core, wanted, cursor=request.query["cursor"], limit=request.query["limit"])
    found = answer({"items": [audit.public(row, me) for row in rows], "next_cursor": cursor})
    found.security = NEGOTIATED
    return found


def verify(core: Core, request: Request) -> Response:
    verdict = verification.verify(core, from_seq=request.query["from_seq"], most=ROWS_PER_CALL)
    return answer(seen(verdict))


def seen(verdict: verification.Verdict) -> dict[str, Any]:
    """A verdict as a JSON object."""
    return {
        "ok": verdict.first_bad is None,
        "rows": verdict.rows,
        "sealed_through": verdict.sealed_through,
        "first_bad": verdict.first_bad._asdict() if verdict.first_bad else None,
        "complete": verdict.next_seq is None,
        "next_seq": verdict.next_seq,
    }


def _demand(request: Request) -> str | None:
    """The caller, where they ask for their own; all else needs the cap."""
    if request.query["subject"] == ME:
        user_id: str = request.caller.id
        return user_id
    if not holds(request.caller.caps, CAP):
        raise Problem("forbidden", f"This needs the cap {CAP}; your own events are at ?subject=me.")
    return None


def _filter(core: Core, query: dict[str, Any], me: str | None) -> Filter:
    return Filter(
        actor=query["actor"],
        subject=None if me else query["subject"],
        own=me,
        actions=audit.actions(core, query["action"]) if query["action"] else None,
        hidden=audit.INTERNAL if me else (),
        outcome=query["outcome"],
        ip=query["ip"],
        after=query["after"],
        before=query["before"],
    )


def _streamed(chunks: Iterator[list[Row]], kind: str, me: str | None) -> Response:
    """The first chunk is read before the answer begins: a store that is away is told as a problem."""
    first = next(chunks, [])
    stream = _lines(chain([first], chunks), kind, me)
    return Response(content_type=TYPES[kind], stream=stream, security=NEGOTIATED)


def _lines(chunks: Iterator[list[Row]], kind: str, me: str | None) -> Iterator[bytes]:
    if kind == CSV:
        yield lines.csv(CELLS)
    line = _record if kind == CSV else lines.ndjson
    for rows in chunks:
        if rows:
            yield b"".join([line(audit.public(row, me)) for row in rows])


def _record(item: dict[str, Any]) -> bytes:
    actor = {f"actor_{name}": value for name, value in item["actor"].items()}
    flat = item | actor | {"data": dumps(item["data"])}
    return lines.csv(flat[name] for name in CELLS)
