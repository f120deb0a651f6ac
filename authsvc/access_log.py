"""One line per request on standard error. It names the route's pattern, never the path, and never a token."""

from __future__ import annotations

from authsvc.flows.users import timestamp
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.routes import Route
from authsvc.world import World


class AccessLog:
    """Writes the lines."""

    def __init__(self, world: World) -> None:
        self._world = world

    def write(self, request: Request, route: Route | None, response: Response, seconds: float) -> None:
        at = timestamp(self._world.now())
        pattern = route.path if route else "-"
        method = route.method if route else "-"
        if request.method == "HEAD":
            method = "HEAD"
        caller = request.caller.id if request.caller else None
        milliseconds = round(seconds * 1000, 1)
        self._world.log(
            f"{at} {response.status} {method} {pattern} {milliseconds}ms {request.client or '-'} {caller or '-'} {request.id}",
            event="request",
            status=response.status,
            method=method,
            route=pattern,
            ms=milliseconds,
            ip=request.client or None,
            caller=caller,
        )
