"""Who may pass: the same checks before every handler, in one order, so that no handler can forget one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVarTuple

from authsvc.config.limits import LIMITS
from authsvc.events import Cause
from authsvc.flows import alarms, authentication, captcha, known_devices, limits
from authsvc.flows.core import Core
from authsvc.handlers.tokens import presented
from authsvc.http import body, proxies
from authsvc.http.negotiation import language
from authsvc.http.origins import Origins
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.primitives import apikeys, refresh
from authsvc.problems import Problem
from authsvc.routes import Route
from authsvc.rules import access
from authsvc.rules.captcha import is_due
from authsvc.rules.limits import Facts

Given = TypeVarTuple("Given")


class Admission:
    """What stands between a matched route and its handler."""

    def __init__(self, core: Core, origins: Origins) -> None:
        self._core = core
        self._origins = origins

    def answer(self, request: Request, route: Route) -> Response:
        """Origin, credentials, body, limits, authority, a CAPTCHA, then the handler.

        What is wrong with the credentials or the body is told only after the limits were charged: a flood of bad
        requests is a flood too.
        """
        core = self._core
        request.client = proxies.client(request.environ, core.settings.trusted_proxies)
        unwarranted = _attempt(self._stand_in, request)
        request.cause = Cause(ip=request.client, user_agent=request.user_agent(), request_id=request.id)
        self._refuse_forged(request, route)
        malformed = _attempt(self._parse, request, route)
        unidentified = _attempt(self._identify, request, route)
        stranger = unwarranted or unidentified
        self._charge(request, route, tries=stranger is None and malformed is None)
        try:
            if stranger is not None:
                raise stranger
            self._demand(request, route)
            if malformed is not None:
                raise malformed
            self._demand_captcha(request, route)  # last: none is used up by what is refused anyway
        except Problem:
            limits.not_tried(core, request.charged)
            raise
        return self._handled(request, route)

    def _handled(self, request: Request, route: Route) -> Response:
        try:
            return route.handler(self._core, request)
        except Problem as problem:
            if problem.code == "busy":
                limits.not_tried(self._core, request.charged)
            raise

    def _demand(self, request: Request, route: Route) -> None:
        """Raise for a caller who may not do this; before what is wrong with their values is told."""
        if route.body.caps and request.caller is not None:
            caps = request.caller.caps
            route.body.refuse(name for name, cap in route.body.caps.items() if name in request.given and not access.holds(caps, cap))
        if route.who.signed_in:
            sensitive = bool(route.body.sensitive and route.body.sensitive & request.given.keys())
            presented_by = authentication.presented(self._core, request.caller)
            access.demand(route.who, presented_by, request.params, self._core.world.now(), sensitive=sensitive)

    def _stand_in(self, request: Request) -> None:
        """A service that may say for whom it calls has that address in place of its own, for the limits and the audit trail.
        From anybody else the header is an error: who sends it means it."""
        given = request.header("END_USER_ADDRESS")
        if given is None:
            return
        token = request.bearer()
        if token is None:
            raise Problem("unauthenticated", "End-User-Address is for services: it needs an API key.")
        if not token.startswith(apikeys.PREFIX):
            raise Problem("forbidden", "End-User-Address is for services: it needs an API key.")
        key = authentication.authenticate_key(self._core, token, request.client)
        if not access.holds(key.caps, access.FORWARD):
            raise Problem("forbidden", f"End-User-Address needs the cap {access.FORWARD}.")
        request.client = proxies.end_user(given)
        request.forwarder = key

    def _refuse_forged(self, request: Request, route: Route) -> None:
        """A foreign site may not make a browser act for its user: by its cookies, or by a form."""
        if not route.guarded:
            return
        environ = request.environ
        by_header = "HTTP_AUTHORIZATION" in environ
        by_cookie = not by_header and "authsvc_" in environ.get("HTTP_COOKIE", "")
        # Without a body the kind of form does not show: text/plain, or no type at all, may be a foreign page's (login CSRF).
        bodiless = not by_header and not (environ.get("CONTENT_LENGTH") or "").strip("0") and body.media_type(environ) != body.JSON
        by_form = body.media_type(environ) == body.FORM or bodiless
        if by_cookie or by_form:
            self._origins.refuse_foreign(environ)

    def _parse(self, request: Request, route: Route) -> None:
        if route.query is not None:
            request.query = route.query.parse(request.query_values(), textual=True)
        if request.method not in ("GET", "HEAD"):
            request.given = body.parse(request.environ)
            request.body = route.body.parse(request.given, textual=body.media_type(request.environ) == body.FORM)

    def _identify(self, request: Request, route: Route) -> None:
        if route.who.token:
            request.token = presented(self._core, request)
        elif route.who.known:
            if request.forwarder is None:  # its key is what the header holds, and no end user's credential
                self._recognise(request, route)
        elif route.who.signed_in:
            self._require(request, route)

    def _require(self, request: Request, route: Route) -> None:
        if request.forwarder is not None:  # checked already, where it really comes from
            request.caller = request.forwarder
            access.demand_account(route.who)
            request.cause = request.caller.caused(request.cause)
            return
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

    def _charge(self, request: Request, route: Route, *, tries: bool) -> None:
        """`tries`: whether there is something to try; what is malformed is a request, and no failure."""
        names = route.limits + route.body.limits_of(request.given) if route.body.limits else route.limits
        if not tries:
            names = tuple(name for name in names if not LIMITS[name].failures_only)
        if not names:
            return
        facts = _facts(request)
        email = request.body.get("email") if request.caller is None else None
        if email and any(LIMITS[name].on_known_device for name in names):
            with suppress(Problem):  # of two such cookies, none counts here; the handler refuses them
                token = request.cookie(self._core.cookies.device.name)
                facts = facts._replace(device=known_devices.name_of(self._core, token, email.key))
        request.charged = limits.charge(self._core, names, facts)
        request.limits = limits.headers(request.charged)
        if email:
            alarms.note(self._core, request.charged, email, request.cause, locale=language(request.environ))
        limits.refuse_empty(request.charged)

    def _demand_captcha(self, request: Request, route: Route) -> None:
        guard = route.captcha
        if guard is None or any(request.body[name] is not None for name in guard.unless):
            return
        if is_due(captcha.when(self._core, guard.action), request.charged):
            request.captcha = guard.action
            captcha.demand(self._core, guard.action, request.body, request.cause)


def _attempt(step: Callable[[*Given], None], *given: *Given) -> Problem | None:
    try:
        step(*given)
    except Problem as problem:
        return problem
    return None


def _facts(request: Request) -> Facts:
    """What the limits may be keyed by. The session that a refresh token claims is enough: its holder pays."""
    caller, forwarder = request.caller, request.forwarder.id if request.forwarder else None
    if caller is not None:
        facts: Facts = caller.facts(request.client)
        return facts._replace(forwarder=forwarder) if forwarder else facts
    email = request.body.get("email")
    claimed = refresh.parse(request.token) if request.token else None
    return Facts(request.client, email.key if email else None, claimed.session_id if claimed else None, forwarder=forwarder)
