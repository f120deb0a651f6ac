"""What pages show of OAuth providers: buttons, the part of the account page, going there, and coming back in vain."""

from __future__ import annotations

from urllib.parse import urlencode

from authsvc.flows import identities
from authsvc.flows.core import Core
from authsvc.http.html import EMPTY, Safe, join, text
from authsvc.http.request import Request
from authsvc.http.response import Response, found
from authsvc.pages.forms import words
from authsvc.pages.layout import below, cookies_of, page, piece, retry_after
from authsvc.pages.site import respond, site
from authsvc.problems import Problem

# Instead of what problems.py says to programmers.
WORDS = {
    "oauth_denied": "You have cancelled the sign-in over there. Nothing was done.",
    "oauth_state_invalid": "This sign-in was not begun in this browser, has been used already, or was too long ago. Please begin again.",
    "oauth_exchange_failed": "The provider did not answer as it should. Please try again a little later, or sign in another way.",
    "oauth_email_unverified": "Please confirm your e-mail address first: we have sent you a mail, if the provider told us an address. Then sign in again.",
    "oauth_not_linked": "Your e-mail address has an account here already. Please sign in as you are used to, and add this way on your account page.",
    "account_disabled": "This account has been disabled.",
}
ACCOUNT = "/account"
WAYS = (("/login", "Sign in"), (ACCOUNT, "Your account"))


def buttons(core: Core, query: str) -> Safe:
    """A way to each provider. `query` says where to go afterwards."""
    return or_else(core, join(piece(core, "provider", name=one.name, title=one.title, query=query) for one in core.providers.every()))


def or_else(core: Core, links: Safe) -> Safe:
    """The links after another way, if there are any."""
    return piece(core, "providers", providers=links) if links else EMPTY


def again(core: Core, request: Request) -> Safe:
    """For an account that has no password, perhaps: signing in once more by what is linked."""
    linked = {row.provider for row in identities.every(core, request.caller.user.id)} if request.caller else set()
    query = "?" + urlencode({"again": "on", "redirect_to": f"{core.settings.public_url}/account?done=again"})
    return join(
        piece(core, "provider", name=one.name, title=one.title, query=query) for one in core.providers.every() if one.name in linked
    )


def section(core: Core, request: Request) -> Safe:
    """The part of the account page; nothing where no provider is offered and none is linked."""
    rows = identities.every(core, request.caller.user.id)
    linked = [
        piece(core, "identity", provider=row.provider, title=identities.title_of(core, row.provider), email=row.email or "") for row in rows
    ]
    open_ones = [one for one in core.providers.every() if one.name not in {row.provider for row in rows}]
    others = [piece(core, "link", provider=one.name, title=one.title) for one in open_ones]
    if not linked and not others:
        return EMPTY
    none = Safe('<li><p class="hint">None yet.</p></li>')
    return piece(core, "identities", identities=join(linked) or none, others=join(others))


def leave(core: Core, request: Request, response: Response) -> Response:
    """Off to the provider. Not by a redirect: browsers hold the redirects of a form to our own policy (form-action)."""
    url = response.value["authorize_url"]
    head = Safe(f'<meta http-equiv="refresh" content="0; url={text(url)}">\n')
    document = site(core.settings.pages).page(
        core, "One moment", piece(core, "leave", url=url, title=core.providers.get(request.body["provider"]).title), head=head
    )
    return respond(core, document, headers=cookies_of(response))


def came_back(core: Core, request: Request, response: Response) -> Response:
    """To where the browser wanted to go, signed in or linked."""
    if response.status != 200:
        return response
    after = ACCOUNT if "access_token" in response.value else f"{ACCOUNT}?done=linked"
    return found(response.value.get("redirect_to") or below(core, after), cookies_of(response))


def refused(core: Core, request: Request, problem: Problem) -> Response:
    """Nobody was signed in."""
    links = join(Safe(f'<a href="{text(below(core, path))}">{text(label)}</a> ') for path, label in WAYS)
    plain = problem.detail == problem.kind.meaning  # or this very refusal has words of its own
    content = piece(core, "message", text=(WORDS.get(problem.code) if plain else None) or words(problem), links=links)
    headers = [*problem.headers, *retry_after(problem)]
    return page(core, problem.kind.title, content, status=problem.status, headers=headers)
