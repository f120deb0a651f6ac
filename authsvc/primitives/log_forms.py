"""The forms of the log: text for people, or one JSON object a line for programs. Where lines go is world.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from authsvc.primitives.times import timestamp
from authsvc.world import LogForm, World, as_text

_dumps = json.JSONEncoder(separators=(",", ":"), default=str).encode  # ASCII: whatever a line holds, it is one line


def as_json(world: World, level: str, message: str, event: str | None, fields: Mapping[str, Any]) -> str:
    """One object: when, how grave, what, for which request, and what else is known. An event has fields instead of a message."""
    line: dict[str, Any] = {"ts": timestamp(world.now()), "level": level}
    line |= {"message": message} if event is None else {"event": event}
    errand = world.mine.errand
    if errand is not None:
        line["request_id"] = errand.id
        if errand.trace is not None:
            line["trace_id"] = errand.trace.id
    return _dumps(line | dict(fields))


FORMS: Mapping[str, LogForm] = {"text": as_text, "json": as_json}
