"""/healthz, /readyz, /metrics and /problems/:code: about the service itself."""

from __future__ import annotations

from authsvc.flows import health, measures
from authsvc.flows.core import Core
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.primitives.exposition import CONTENT_TYPE
from authsvc.problems import KINDS, Problem


def healthz(core: Core, request: Request) -> Response:
    return answer({"status": "ok"})


def readyz(core: Core, request: Request) -> Response:
    return answer({"status": "ok", "checks": health.checks(core)})


def metrics(core: Core, request: Request) -> Response:
    return Response(200, measures.exposition(core).encode(), CONTENT_TYPE)


def problem(core: Core, request: Request) -> Response:
    kind = KINDS.get(request.params["code"])
    if kind is None:
        raise Problem("not_found")
    return answer({"code": kind.code, "status": kind.status, "title": kind.title, "detail": kind.meaning})
