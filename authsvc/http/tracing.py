"""W3C Trace Context (level 1, and the random flag of level 2): which trace a request belongs to, and its calls after it."""

from __future__ import annotations

import re

from authsvc.world import Trace, World

SPAN_BYTES = 8
KNOWN_FLAGS = 0x03  # sampled and random; others mean nothing yet, and are not passed on
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")


def parse(header: str) -> Trace | None:
    """The trace that a `traceparent` names; None for one that is not well-formed, which counts as none."""
    found = _PARENT.fullmatch(header)
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not parent_id.strip("0"):
        return None  # a later version may have more fields at its end
    return Trace(trace_id, int(flags, 16) & KNOWN_FLAGS)


def headers(world: World) -> dict[str, str]:
    """What a call carries that is made for a traced request: the same trace, and a span of its own. `tracestate` is not passed
    on: it is the caller's and their vendors' business, none of whom we call."""
    errand = world.mine.errand
    trace = errand.trace if errand else None
    if trace is None:
        return {}
    return {"traceparent": f"00-{trace.id}-{world.random_bytes(SPAN_BYTES).hex()}-{trace.flags:02x}"}
