"""One request in, one answer out (PEP 3333): the same steps for every route, so that no handler can forget one."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import Any

from authsvc.access_log import AccessLog
from authsvc.events import Cause
from authsvc.flows import authentication, limits
from authsvc.flows.core import Core
from authsvc.handlers.tokens import presented
from authsvc.http import body, proxies
from authsvc.http.negotiation import wants_page
from authsvc.http.origins import Origins
from authsvc.http.request import Request, request_id
from authsvc.http.response import STATUS_LINES, Response, Streamed, challenge, nothing, refusal
from authsvc.http.router import Router
from authsvc.pages.browser import problem_page
from authsvc.primitives import apikeys, refresh
from authsvc.problems import Problem
from authsvc.routes import Route
from authsvc.rules import access
from authsvc.rules.limits import Facts

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Wsgi:
    """The WSGI callable over one Core and one route table."""

    def __init__(self, core: Core, routes: Iterable[Route]) -> None:
        self._core = core
        self._router = Router(routes)
        self._base_url = str(core.settings.public_url)
        self._mount = core.settings.public_url.path
        self._origins = Origins(core.settings.public_url.origin, core.settings.app_origins)
        self._access_log = AccessLog(core.world, as_json=core.settings.log == "json")

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        started = self._core.world.monotonic()
        request = Request(environ, request_id(environ, self._core.world.random_bytes))
        route, response = self._guarded(request)
        streamed = self._streamed(request, route, response, started) if response.stream is not None else None
        start_response(STATUS_LINES[response.status], self._headers(request, response))
        if streamed and request.method != "HEAD":
            return streamed
        if streamed:
            streamed.close()
        else:
            self._access_log.write(request, route, response, self._core.world.monotonic() - started)
        return [b"" if request.method == "HEAD" else response.body]

    def _streamed(self, request: Request, route: Route | None, response: Response, started: float) -> Streamed:
        """The body of a streamed answer; its line goes into the access log when it ends."""
        core = self._core
        return Streamed(
            response.stream or iter(()),
            lambda: core.world.log(f"{request.id}: the stream broke off\n{traceback.format_exc()}"),
            lambda: self._access_log.write(request, route, response, core.world.monotonic() - started),
        )

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
            path = request.path if request.environ.get("SCRIPT_NAME") else self._below_mount(request.path)
            if request.method == "OPTIONS":
                return None, self._options(request, path)
            route, request.params = self._router.find(request.method, path)
            return route, self._as_asked(request, route)
        except Problem as problem:
            if problem.reason:
                self._core.world.log(f"{request.id}: {problem.code}: {problem.reason}")
            if route is None and wants_page(request.environ):
                return route, problem_page(self._core, request, problem)
            return route, refusal(problem, self._base_url, request.id)
        except Exception:  # noqa: BLE001 - the last resort: whatever it is, the caller gets an answer and the log the fault
            self._core.world.log(f"{request.id}: internal error\n{traceback.format_exc()}")
            return route, refusal(Problem("internal"), self._base_url, request.id)

    def _as_asked(self, request: Request, route: Route) -> Response:
        """The answer as data, or as the page that the route names."""
        if route.page is None or not wants_page(request.environ) or _shows_key(request):
            return self._answer(request, route)
        try:
            response = self._answer(request, route)
        except Problem as problem:
            if problem.reason:
                self._core.world.log(f"{request.id}: {problem.code}: {problem.reason}")
            refused = route.page.refused(self._core, request, problem)
            if refused.status == 401:
                refused.headers.append(("WWW-Authenticate", challenge(problem.code)))
            return refused
        return response if response.value is None and response.body else route.page.done(self._core, request, response)

    def _below_mount(self, path: str) -> str:
        """The path below AUTHSVC_PUBLIC_URL, where neither the host nor a proxy has taken off the path of that URL."""
        return path.removeprefix(self._mount) if self._mount and path.startswith(self._mount + "/") else path

    def _answer(self, request: Request, route: Route) -> Response:
        """Origin, credentials, body, limits, authority, then the handler.

        What is wrong with the credentials or the body is told only after the limits were charged: a flood of bad
        requests is a flood too.
        """
        core = self._core
        request.client = proxies.client(request.environ, core.settings.trusted_proxies)
        request.cause = Cause(ip=request.client, user_agent=request.user_agent(), request_id=request.id)
        self._refuse_forged(request, route)
        malformed = _attempt(self._parse, request, route)
        unidentified = _attempt(self._identify, request, route)
        self._charge(request, route)
        if unidentified is not None:
            raise unidentified
        if route.body.caps and request.caller is not None:  # before what is wrong with their values is told
            caps = request.caller.caps
            route.body.refuse(name for name, cap in route.body.caps.items() if name in request.given and not access.holds(caps, cap))
        if route.who.signed_in:
            sensitive = bool(route.body.sensitive & request.given.keys())
            access.demand(route.who, authentication.presented(core, request.caller), request.params, core.world.now(), sensitive=sensitive)
        if malformed is not None:
            raise malformed
        return route.handler(core, request)

    def _refuse_forged(self, request: Request, route: Route) -> None:
        """A foreign site may not make a browser act for its user: by its cookies, or by a form."""
        environ = request.environ
        by_header = "HTTP_AUTHORIZATION" in environ
        by_cookie = not by_header and "authsvc_" in environ.get("HTTP_COOKIE", "")
        # Without a body the kind of form does not show: text/plain, or no type at all, may be a foreign page's (login CSRF).
        bodiless = not by_header and not (environ.get("CONTENT_LENGTH") or "").strip("0") and body.media_type(environ) != body.JSON
        by_form = body.media_type(environ) == body.FORM or bodiless
        if route.guarded and (by_cookie or by_form):
            self._origins.refuse_foreign(environ)

    def _parse(self, request: Request, route: Route) -> None:
        if route.query is not None:
            request.query = route.query.parse(request.query_values())
        if request.method not in ("GET", "HEAD"):
            request.given = body.parse(request.environ)
            request.body = route.body.parse(request.given)

    def _identify(self, request: Request, route: Route) -> None:
        if route.who.token:
            request.token = presented(self._core, request)
        elif route.who.known:
            self._recognise(request, route)
        elif route.who.signed_in:
            self._require(request, route)

    def _require(self, request: Request, route: Route) -> None:
        token = request.bearer()
        if token is None:
            token = request.cookie(self._core.cookies.access.name)
            request.by_cookie = True
        if token is None:
            raise Problem("unauthenticated")
        if token.startswith(apikeys.PREFIX) and not request.by_cookie:
            request.caller = authentication.authenticate_key(self._core, token, request.client)
            access.demand_account(route.who)  # here, since `known` routes go by no other rule
        else:
            request.caller = authentication.authenticate(self._core, token)
        request.cause = request.caller.caused(request.cause)

    def _recognise(self, request: Request, route: Route) -> None:
        """The caller, if there is one. A header is meant, and so must be good; a cookie may just be old."""
        by_header = request.header("AUTHORIZATION") is not None
        try:
            self._require(request, route)
        except Problem as problem:
            if by_header or problem.status != 401:
                raise
            request.by_cookie = False

    def _charge(self, request: Request, route: Route) -> None:
        names = route.limits + route.body.limits_of(request.given) if route.body.limits else route.limits
        if not names:
            return
        charged = limits.charge(self._core, names, _facts(request))
        request.limits = limits.headers(charged)
        limits.refuse_empty(charged)

    def _options(self, request: Request, path: str) -> Response:
        allowed = self._router.allowed(path)
        return nothing([("Allow", allowed), *self._origins.preflight(request.environ, allowed)])

    def _headers(self, request: Request, response: Response) -> list[tuple[str, str]]:
        headers = [("X-Request-Id", request.id), *response.security, *request.limits, *response.headers]
        headers += self._origins.headers(request.environ)
        if response.content_type is not None:
            headers.append(("Content-Type", response.content_type))
            if response.stream is None:
                headers.append(("Content-Length", str(len(response.body))))
        return headers


def _attempt(step: Callable[[Request, Route], None], request: Request, route: Route) -> Problem | None:
    try:
        step(request, route)
    except Problem as problem:
        return problem
    return None


def _shows_key(request: Request) -> bool:
    """Whether the credential is an API key: a service gets data, since pages show an account and a key has none."""
    return apikeys.are_in(request.header("AUTHORIZATION"))


def _facts(request: Request) -> Facts:
    """What the limits may be keyed by. The session that a refresh token claims is enough: its holder pays."""
    caller = request.caller
    if caller is not None:
        facts: Facts = caller.facts(request.client)
        return facts
    email = request.body.get("email")
    claimed = refresh.parse(request.token) if request.token else None
    return Facts(request.client, email.key if email else None, claimed.session_id if claimed else None)
