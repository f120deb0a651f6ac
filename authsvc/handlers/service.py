"""/healthz, /readyz and /problems/:code: about the service itself."""

from __future__ import annotations

from authsvc.flows import health
from authsvc.flows.core import Core
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.problems import KINDS, Problem


def healthz(core: Core, request: Request) -> Response:
    return answer({"status": "ok"})


def readyz(core: Core, request: Request) -> Response:
    health.touch_store(core)
    return answer({"status": "ok"})


def problem(core: Core, request: Request) -> Response:
    kind = KINDS.get(request.params["code"])
    if kind is None:
        raise Problem("not_found")
    return answer({"code": kind.code, "status": kind.status, "title": kind.title, "detail": kind.meaning})
