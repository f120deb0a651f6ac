"""/sessions: the caller's own."""

from __future__ import annotations

from typing import Any

from authsvc.flows import sessions
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, nothing
from authsvc.http.shapes import Field, Shape, flag, whole
from authsvc.primitives.ids import SESSION, is_id
from authsvc.problems import Invalid, Problem
from authsvc.store.sessions import NEWEST, Session

DEFAULT_LIMIT = 50
MOST = 200


def _cursor(value: Any) -> str:
    """A cursor is the id of the last item of the page before."""
    if not isinstance(value, str) or not is_id(value, SESSION):
        raise Invalid("invalid", "Use the `next_cursor` of the page before.")
    return value


PAGE = Shape({"limit": Field(whole(1, MOST), default=DEFAULT_LIMIT), "cursor": Field(_cursor, default=NEWEST)})
END_ALL = Shape({"all": Field(flag, default=False)})


def page(core: Core, request: Request) -> Response:
    limit, current = request.query["limit"], request.caller.session.id
    found = sessions.page(core, request.caller.user.id, before=request.query["cursor"], limit=limit + 1)
    items = [_public(session, current) for session in found[:limit]]
    return answer({"items": items, "next_cursor": found[limit - 1].id if len(found) > limit else None})


def end(core: Core, request: Request) -> Response:
    session_id = request.params["session_id"]
    if not sessions.revoke(core, session_id=session_id, user_id=request.caller.user.id, cause=request.cause):
        raise Problem("not_found")
    return nothing()


def end_all(core: Core, request: Request) -> Response:
    but = None if request.query["all"] else request.caller.session.id
    sessions.revoke_all(core, request.caller.user, request.cause, but=but)
    return nothing()


def _public(session: Session, current: str) -> dict[str, Any]:
    return {
        "id": session.id,
        "created_at": timestamp(session.created_at),
        "last_seen_at": timestamp(session.last_seen_at),
        "ip": session.ip,
        "user_agent": session.user_agent,
        "label": session.label,
        "amr": session.amr.split(),
        "current": session.id == current,
    }
