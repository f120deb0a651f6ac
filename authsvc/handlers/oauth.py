"""/oauth: signing in by a provider and coming back from it; /oauth/link: what is linked to one's account."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from authsvc.flows import identities, oauth
from authsvc.flows.core import Core
from authsvc.flows.identities import Linked
from authsvc.flows.oauth import Returned
from authsvc.handlers.answers import token_response
from authsvc.handlers.redirects import REDIRECT, checked
from authsvc.http.body import FORM, media_type
from authsvc.http.negotiation import language, only_looks, wants_json_only, wants_page
from authsvc.http.request import Request
from authsvc.http.response import Response, answer, found, nothing, see_other
from authsvc.http.shapes import Field, Shape, flag, raw
from authsvc.primitives.keyring import encode
from authsvc.problems import Invalid, Problem
from authsvc.rules import profiles
from authsvc.rules.challenges import OAUTH

BROWSER_BYTES = 32
MAX_CODE = 4_096

_BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")
_PARAMETERS = ("state", "code", "iss", "error", "user")

START = Shape({**REDIRECT.fields, "again": Field(flag.about("Renew the session that there is, as /reauthenticate does."), default=False)})
CALLBACK = Shape(
    {
        "state": Field(raw(most=200)),
        "code": Field(raw(most=MAX_CODE)),
        "iss": Field(raw(most=500)),
        "error": Field(raw(most=200)),
        "user": Field(raw(most=2_000)),
    },
    lenient=True,
)
LINK = Shape({"provider": Field(raw(most=100).about(example="github"), required=True), **REDIRECT.fields})


def offered(core: Core, request: Request) -> Response:
    return answer({"providers": [{"name": one.name, "title": one.title} for one in core.providers.every()]})


def start(core: Core, request: Request) -> Response:
    """302 to the provider; for a program that says so, the URL. The cookie makes sure that the same browser comes back.
    `again`: to renew the session that there is, by an identity that is linked."""
    provider = core.providers.get(request.params["provider"])
    redirect_to = checked(core, request.query)
    again = request.query["again"]
    if again and request.caller is None:
        raise Problem("unauthenticated")
    browser = _browser(core, request)
    caller = request.caller if again else None
    url = oauth.begin(core, provider, browser, redirect_to=redirect_to, locale=language(request.environ), caller=caller, again=again)
    cookie = [core.cookies.oauth.set(browser, OAUTH.seconds)]
    return answer({"authorize_url": url}, headers=cookie) if wants_json_only(request.environ) else found(url, cookie)


def link(core: Core, request: Request) -> Response:
    """The URL at which the caller shows who they are at the provider; coming back links that."""
    provider = core.providers.get(request.body["provider"])
    redirect_to = checked(core, request.body)
    browser = _browser(core, request)
    url = oauth.begin(core, provider, browser, redirect_to=redirect_to, locale=language(request.environ), caller=request.caller)
    return answer({"authorize_url": url}, headers=[core.cookies.oauth.set(browser, OAUTH.seconds)])


def callback(core: Core, request: Request) -> Response:
    core.providers.get(request.params["provider"])
    if only_looks(request.environ):
        return nothing()
    return _finish(core, request, request.query)


def callback_form(core: Core, request: Request) -> Response:
    """A provider that answers by a form (Apple): its post comes from a foreign site, and so without our cookie. Sent on
    by GET, the browser brings it along."""
    if media_type(request.environ) != FORM:
        return _finish(core, request, request.body)
    back = {name: request.body[name] for name in _PARAMETERS if request.body[name] is not None}
    provider = core.providers.get(request.params["provider"])
    return see_other(f"{core.settings.public_url.path}/oauth/{provider.name}/callback?{urlencode(back)}")


def linked(core: Core, request: Request) -> Response:
    return answer({"identities": [identities.public(core, row) for row in identities.every(core, request.caller.user.id)]})


def unlink(core: Core, request: Request) -> Response:
    identities.unlink(core, request.caller.user, request.params["provider"], request.cause)
    return answer({"status": "unlinked"})


def _finish(core: Core, request: Request, brought: dict[str, Any]) -> Response:
    provider = core.providers.get(request.params["provider"])
    returned = Returned(brought["state"] or "", brought["code"], brought["iss"], brought["error"], _name(brought["user"]))
    browser = request.cookie(core.cookies.oauth.name)
    done = oauth.finish(core, provider, returned, browser, request.caller, request.cause, set_cookie=wants_page(request.environ))
    if isinstance(done, Linked):
        more = {"redirect_to": done.redirect_to} if done.redirect_to else {}
        return answer({"status": "linked", "identity": identities.public(core, done.row), **more})
    return token_response(core, done.tokens, cookies=wants_page(request.environ), redirect_to=done.redirect_to)


def _browser(core: Core, request: Request) -> str:
    """What this browser keeps; the same for all that it has begun, so that two tabs do not spoil each other's."""
    kept = request.cookie(core.cookies.oauth.name)
    return kept if kept and _BROWSER.fullmatch(kept) else encode(core.world.random_bytes(BROWSER_BYTES))


def _name(user: str | None) -> str | None:
    """The name in Apple's `user`, which it sends once."""
    try:
        told = json.loads(user or "null")
        name = told["name"]
        return profiles.name(f"{name.get('firstName') or ''} {name.get('lastName') or ''}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Invalid):
        return None
