"""One line per request on standard error. It names the route's pattern, never the path, and never a token."""

from __future__ import annotations

from authsvc.flows.users import timestamp
from authsvc.http.request import Request
from authsvc.http.response import Response, dumps
from authsvc.routes import Route
from authsvc.world import World


class AccessLog:
    """Writes the lines, as text or as JSON."""

    def __init__(self, world: World, *, as_json: bool) -> None:
        self._world = world
        self._as_json = as_json

    def write(self, request: Request, route: Route | None, response: Response, seconds: float) -> None:
        at = timestamp(self._world.now())
        pattern = route.path if route else "-"
        method = route.method if route else "-"
        if request.method == "HEAD":
            method = "HEAD"
        user = request.caller.id if request.caller else "-"
        milliseconds = round(seconds * 1000, 1)
        if not self._as_json:
            self._world.log(f"{at} {response.status} {method} {pattern} {milliseconds}ms {request.client or '-'} {user} {request.id}")
            return
        line = {
            "at": at,
            "status": response.status,
            "method": method,
            "route": pattern,
            "ms": milliseconds,
            "ip": request.client or None,
            "user": None if user == "-" else user,
            "request_id": request.id,
        }
        self._world.log(dumps(line))
