"""Putting a page together: its content within the layout, the message of what went wrong or well, and the status."""

from __future__ import annotations

from authsvc.flows.core import Core
from authsvc.http.html import EMPTY, Safe
from authsvc.http.response import Headers, Response
from authsvc.pages.forms import alert
from authsvc.pages.site import Policy, respond, site
from authsvc.problems import Problem


def page(
    core: Core,
    title: str,
    content: Safe,
    problem: Problem | None = None,
    *,
    status: int = 200,
    headers: Headers | None = None,
    message: Safe | None = None,
    width: str = "",
    head: Safe = EMPTY,
    policy: Policy | None = None,
) -> Response:
    """The page, or with a problem the same page with its message and its status."""
    document = site(core.settings.pages).page(core, title, content, message=message or alert(problem), width=width, head=head)
    return respond(core, document, problem.status if problem else status, [*(headers or []), *retry_after(problem)], policy)


def piece(core: Core, template: str, /, **values: object) -> Safe:
    """A template filled, with `$base`, the path of the public URL."""
    return site(core.settings.pages).piece(template, **({"base": core.settings.public_url.path} | values))


def retry_after(problem: Problem | None) -> Headers:
    return [("Retry-After", str(problem.retry_after))] if problem and problem.retry_after is not None else []


def below(core: Core, path: str) -> str:
    """A path of ours as browsers see it."""
    return core.settings.public_url.path + path


def cookies_of(response: Response) -> Headers:
    """What an answer wants the browser to keep."""
    return [header for header in response.headers if header[0] == "Set-Cookie"]
