"""One request in, one answer out (PEP 3333): the same steps for every route, so that no handler can forget one."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from authsvc.access_log import AccessLog
from authsvc.admission import Admission
from authsvc.flows.core import Core
from authsvc.http.negotiation import wants_page
from authsvc.http.origins import Origins
from authsvc.http.request import Request, request_id
from authsvc.http.response import PUBLIC, STATUS_LINES, Response, Streamed, challenge, nothing, refusal
from authsvc.http.router import Router
from authsvc.pages.browser import problem_page
from authsvc.primitives import apikeys
from authsvc.problems import Problem
from authsvc.routes import Route
from authsvc.world import ERROR, WARNING

WELL_KNOWN = "/.well-known/"
# Labels have few values, whatever strangers send.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
NO_ROUTE = "none"

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Wsgi:
    """The WSGI callable over one Core and one route table."""

    def __init__(self, core: Core, routes: Iterable[Route]) -> None:
        self._core = core
        self._router = Router(route.under(core.settings) for route in routes)
        self._base_url = str(core.settings.public_url)
        self._mount = core.settings.public_url.path
        self._origins = Origins(core.settings.public_url.origin, core.settings.app_origins)
        self._admission = Admission(core, self._origins)
        self._access_log = AccessLog(core.world)
        self._requests = core.metrics.tally(self._count)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        world = self._core.world
        started = world.monotonic()
        request = Request(environ, request_id(environ, world.random_bytes))
        world.mine.errand = request
        try:
            route, response = self._guarded(request)
            streamed = self._streamed(request, route, response, started) if response.stream is not None else None
            start_response(STATUS_LINES[response.status], self._headers(request, response))
            if streamed and request.method != "HEAD":
                return streamed
            if streamed:
                streamed.close()
            else:
                self._ended(request, route, response, started)
            return [b"" if request.method == "HEAD" else response.body]
        finally:
            world.mine.errand = None

    def _streamed(self, request: Request, route: Route | None, response: Response, started: float) -> Streamed:
        """The body of a streamed answer; it is counted, and logged, when it ends."""
        world = self._core.world

        def told(act: Callable[[], None]) -> None:
            world.mine.errand = request  # a host reads the body when the thread that has made it has long gone on
            try:
                act()
            finally:
                world.mine.errand = None

        return Streamed(
            response.stream or iter(()),
            lambda: told(lambda: world.log(f"the stream broke off\n{traceback.format_exc()}", ERROR)),
            lambda: told(lambda: self._ended(request, route, response, started)),
        )

    def _ended(self, request: Request, route: Route | None, response: Response, started: float) -> None:
        """Count the request, and tell the log of it: the one place for both."""
        seconds = self._core.world.monotonic() - started
        self._requests.note((request.method, route.path if route else NO_ROUTE, response.status, seconds))
        self._access_log.write(request, route, response, seconds)

    def _count(self, requests: list[tuple[str, str, int, float]]) -> None:
        metrics = self._core.metrics
        for (method, route, status), number in Counter((method, route, status) for method, route, status, _ in requests).items():
            known = method if method in METHODS else OTHER_METHOD
            metrics.count("http_requests_total", number, method=known, route=route, status=str(status))
        durations: dict[str, list[float]] = {}
        for _, route, _, seconds in requests:
            durations.setdefault(route, []).append(seconds)
        for route, seen in durations.items():
            metrics.observe("http_request_duration_seconds", *seen, route=route)

    def is_quick(self, method: str, path: str, authorization: str | None = None) -> bool:
        """Whether the route of this path never waits. A path that is no route may be one after the host has cleaned it; the
        use of an API key is written down."""
        try:
            return self._router.find(method, self._below_mount(path))[0].quick and not apikeys.are_in(authorization)
        except Problem:
            return False

    def _guarded(self, request: Request) -> tuple[Route | None, Response]:
        """The answer, whatever happens."""
        route = None
        try:
            path = self._below_mount(request.path, request.environ.get("SCRIPT_NAME", ""))
            if request.method == "OPTIONS":
                return None, self._options(request, path)
            route, request.params = self._router.find(request.method, path)
            return route, self._as_asked(request, route)
        except Problem as problem:
            if problem.reason:
                self._core.world.log(f"{problem.code}: {problem.reason}", WARNING)
            if route is None and wants_page(request.environ):
                return route, problem_page(self._core, request, problem)
            return route, refusal(problem, self._base_url, request.id)
        except Exception:  # noqa: BLE001 - the last resort: whatever it is, the caller gets an answer and the log the fault
            self._core.world.log(f"internal error\n{traceback.format_exc()}", ERROR)
            return route, refusal(Problem("internal"), self._base_url, request.id)

    def _as_asked(self, request: Request, route: Route) -> Response:
        """The answer as data, or as the page that the route names."""
        if route.page is None or not wants_page(request.environ) or _shows_key(request):
            return self._admission.answer(request, route)
        try:
            response = self._admission.answer(request, route)
        except Problem as problem:
            if problem.reason:
                self._core.world.log(f"{problem.code}: {problem.reason}", WARNING)
            refused = route.page.refused(self._core, request, problem)
            if refused.status == 401:
                refused.headers.append(("WWW-Authenticate", challenge(problem.code)))
            return refused
        return response if response.value is None and response.body else route.page.done(self._core, request, response)

    def _below_mount(self, path: str, taken: str = "") -> str:
        """The path below AUTHSVC_PUBLIC_URL, where neither the host nor a proxy has taken off the path of that URL, or the host
        only the beginning of it, `taken`. RFC 8414 section 3.1 puts that path behind the well-known one."""
        if not self._mount:
            return path
        taken = taken.rstrip("/")
        if not self._mount.startswith(taken + "/"):
            return path
        if path.startswith(WELL_KNOWN):
            return path.removesuffix(self._mount)
        rest = self._mount[len(taken) :]
        return path.removeprefix(rest) if path.startswith(rest + "/") else path

    def _options(self, request: Request, path: str) -> Response:
        allowed = self._router.allowed(path)
        return nothing([("Allow", allowed), *self._origins.preflight(request.environ, allowed)])

    def _headers(self, request: Request, response: Response) -> list[tuple[str, str]]:
        headers = [("X-Request-Id", request.id), *response.security, *request.limits, *response.headers]
        if response.security is not PUBLIC:
            headers += self._origins.headers(request.environ)
        if response.content_type is not None:
            headers.append(("Content-Type", response.content_type))
            if response.stream is None:
                headers.append(("Content-Length", str(len(response.body))))
        return headers


def _shows_key(request: Request) -> bool:
    """Whether the credential is an API key: a service gets data, since pages show an account and a key has none."""
    return apikeys.are_in(request.header("AUTHORIZATION"))
