"""/sessions, the caller's own, and /user/:user_id/sessions for an administrator."""

from __future__ import annotations

from typing import Any

from authsvc.flows import sessions, users
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.handlers import listings
from authsvc.http.request import Request
from authsvc.http.response import Response, nothing
from authsvc.http.shapes import Field, Shape, flag
from authsvc.primitives.ids import SESSION
from authsvc.problems import Problem
from authsvc.store.sessions import Session

PAGE = listings.by_id(SESSION)
END_ALL = Shape({"all": Field(flag.about("Also the session that asks."), default=False)})


def page(core: Core, request: Request) -> Response:
    return _page(core, request, request.caller.user.id, request.caller.session.id)


def page_of(core: Core, request: Request) -> Response:
    user_id = request.params["user_id"]
    users.find_outranked(core, user_id, request.cause, request.caller.authority)
    return _page(core, request, user_id, request.cause.session_id)


def end(core: Core, request: Request) -> Response:
    session_id = request.params["session_id"]
    if not sessions.revoke(core, session_id=session_id, user_id=request.caller.user.id, cause=request.cause):
        raise Problem("not_found")
    return nothing()


def end_all(core: Core, request: Request) -> Response:
    but = None if request.query["all"] else request.caller.session.id
    sessions.revoke_all(core, request.caller.user, request.cause, but=but)
    return nothing()


def end_of(core: Core, request: Request) -> Response:
    user_id, session_id = request.params["user_id"], request.params["session_id"]
    users.find_outranked(core, user_id, request.cause, request.caller.authority)
    if not sessions.revoke(core, session_id=session_id, user_id=user_id, cause=request.cause):
        raise Problem("not_found")
    return nothing()


def end_all_of(core: Core, request: Request) -> Response:
    user = users.find_outranked(core, request.params["user_id"], request.cause, request.caller.authority)
    sessions.revoke_all(core, user, request.cause, but=None)
    return nothing()


def _page(core: Core, request: Request, user_id: str, current: str | None) -> Response:
    most = request.query["limit"]
    found = sessions.page(core, user_id, before=request.query["cursor"], limit=most + 1)
    return listings.page(found, most, lambda session: _public(session, current))


def _public(session: Session, current: str | None) -> dict[str, Any]:
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
