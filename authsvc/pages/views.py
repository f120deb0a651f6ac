"""Each page: what is on it. When it is shown is browser.py's business."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from authsvc.flows import sessions
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp
from authsvc.http.html import EMPTY, Safe, join, text
from authsvc.http.request import Request
from authsvc.http.response import Headers, Response
from authsvc.pages import captcha, identities
from authsvc.pages.factors import prove, section
from authsvc.pages.forms import field, hidden, notice, username
from authsvc.pages.layout import page, piece
from authsvc.pages.site import respond, site
from authsvc.primitives.ids import NEWEST
from authsvc.problems import Problem
from authsvc.rules.devices import describe
from authsvc.store.sessions import Session

MOST_SESSIONS = 50
# What /account may say after an act, by the word in its query.
DONE = {
    "saved": "Saved.",
    "mail": "We have sent a mail to the new address. The change counts once you use the link in it.",
    "password": "Your password was changed, and all other sessions were ended.",
    "session": "The session was ended.",
    "sessions": "All other sessions were ended.",
    "verified": "Your e-mail address is confirmed.",
    "again": "Thank you. You can go on now.",
    "factor": "The second factor is set up.",
    "removed": "The second factor was removed.",
    "linked": "You can sign in that way now.",
    "unlinked": "You cannot sign in that way any more.",
}


def login(core: Core, request: Request, problem: Problem | None = None, *, by_link: bool = False) -> Response:
    redirect_to = _redirect(request)
    boxes = captcha.box(core, request, "login"), captcha.box(core, request, "magic")
    content = piece(
        core,
        "login",
        query=_query(redirect_to),
        email=_email(core, request, None if by_link else problem),
        password=field(core, request, problem, "password", "Password", type="password", autocomplete="current-password"),
        magic_email=_email(core, request, problem if by_link else None, id="magic_email"),
        redirect_to=hidden("redirect_to", redirect_to),
        captcha=boxes[0],
        magic_captcha=boxes[1],
        providers=identities.buttons(core, _query(redirect_to)),
    )
    return captcha.page(core, "Sign in", content, problem, *boxes)


def login_by_link(core: Core, request: Request, problem: Problem) -> Response:
    """The same page, when its second form was refused."""
    return login(core, request, problem, by_link=True)


def register(core: Core, request: Request, problem: Problem | None = None, *, invited: str | None = None) -> Response:
    """`invited`: the address that an invite was sent to, whose token is carried along."""
    token = request.query.get("invite") or request.given.get("invite")
    box = captcha.box(core, request, "register")
    content = piece(
        core,
        "register",
        query=_query(_redirect(request)),
        invite=hidden("invite", token if isinstance(token, str) else None),
        email=_email(core, request, problem, value=invited),
        name=field(core, request, problem, "name", "Name (if you like)", autocomplete="name", optional=True),
        password=_new_password(core, request, problem, "password"),
        captcha=box,
        providers=identities.buttons(core, _query(_redirect(request))),
    )
    return captcha.page(core, "Create an account", content, problem, box)


def forgot(core: Core, request: Request, problem: Problem | None = None) -> Response:
    box = captcha.box(core, request, "forgot")
    content = piece(core, "forgot", email=_email(core, request, problem), captcha=box)
    return captcha.page(core, "Forgotten password", content, problem, box)


def sent(
    core: Core, request: Request, challenge_id: str | None, problem: Problem | None = None, headers: Headers | None = None
) -> Response:
    """Check your mail; with a challenge, also the place for its code."""
    code = EMPTY
    if challenge_id:
        box = field(core, request, problem, "code", "Code of 6 digits", autocomplete="one-time-code", code=True)
        code = piece(core, "code", challenge_id=challenge_id, code=box)
    return page(core, "Check your mail", piece(core, "sent", code=code), problem, status=202, headers=headers)


def unconfirmed(core: Core, request: Request, problem: Problem) -> Response:
    """The password was right, but the address must be confirmed first: here is where to ask for another mail."""
    content = piece(core, "unconfirmed", email=hidden("email", request.given["email"]))
    return page(core, "Confirm your address", content, problem)


def confirm(core: Core, title: str, words: str, button: str, hint: str) -> Response:
    """What a link will do, and the button that does it: looking at a link does nothing."""
    return page(core, title, piece(core, "confirm", text=words, button=button, hint=hint))


def reset(core: Core, request: Request, intro: str, problem: Problem | None = None) -> Response:
    content = piece(core, "reset", intro=intro, password=_new_password(core, request, problem, "password"))
    return page(core, "Choose a new password", content, problem)


def message(
    core: Core, title: str, words: str, links: Sequence[tuple[str, str]], *, status: int = 200, headers: Headers | None = None
) -> Response:
    """A few words and where to go from there. `links` are paths below the public URL with their texts."""
    base = core.settings.public_url.path
    anchors = join(Safe(f'<a href="{text(base + path)}">{text(label)}</a> ') for path, label in links)
    return page(core, title, piece(core, "message", text=words, links=anchors), status=status, headers=headers)


def resume(core: Core) -> Response:
    """From here, and not from the foreign page that led to us, the browser sends the cookie that renews the session."""
    base = core.settings.public_url.path
    head = Safe(f'<meta http-equiv="refresh" content="0; url={text(base)}/token/refresh">\n')
    return respond(core, site(core.settings.pages).page(core, "Your account", piece(core, "resume"), head=head))


def reauthenticate(core: Core, request: Request, problem: Problem | None = None) -> Response:
    caller = request.caller
    if caller and caller.user.mfa_enabled and caller.session.acr == sessions.AAL1:
        return page(core, "Is it you?", prove(core, request, problem), problem)
    if caller and caller.user.password_hash is None:
        return page(core, "Is it you?", piece(core, "sign_in_again", providers=identities.again(core, request)), problem)
    content = piece(
        core,
        "reauthenticate",
        username=username(request.caller.user.email if request.caller else ""),
        password=field(core, request, problem, "password", "Password", type="password", autocomplete="current-password"),
        providers=identities.or_else(core, identities.again(core, request)),
    )
    return page(core, "Is it you?", content, problem)


def account(core: Core, request: Request, problem: Problem | None = None) -> Response:
    user, done = request.caller.user, DONE.get(request.query.get("done") or "", "")
    verified = user.email_verified_at is not None
    current = user.password_hash is not None
    content = piece(
        core,
        "account",
        user_id=user.id,
        name=user.name or "—",
        email=user.email,
        badge=Safe('<span class="badge">confirmed</span>' if verified else '<span class="badge warn">not confirmed</span>'),
        verify=EMPTY if verified else piece(core, "verify"),
        name_field=field(core, request, problem, "name", "New name", autocomplete="name"),
        email_field=_email(core, request, problem, label="New address", autocomplete="email"),
        username=username(user.email),
        current_password=field(
            core, request, problem, "current_password", "Present password", type="password", autocomplete="current-password"
        )
        if current
        else EMPTY,
        new_password=_new_password(core, request, problem, "new_password"),
        factors=section(core, request, problem),
        identities=identities.section(core, request),
        password_button="Change the password" if current else "Set a password",
        sessions=join(_session(core, session, request) for session in sessions.page(core, user.id, before=NEWEST, limit=MOST_SESSIONS)),
    )
    return page(core, "Your account", content, problem, message=notice(done) if problem is None else None, width="wide")


def _session(core: Core, session: Session, request: Request) -> Safe:
    current = session.id == request.caller.session.id
    seen = (timestamp(session.last_seen_at) or "")[:16].replace("T", " ") + " UTC"
    device = describe(session.user_agent)
    return piece(
        core,
        "session",
        device=device[:1].upper() + device[1:],
        current=Safe('<span class="badge">this one</span>') if current else EMPTY,
        ip=session.ip or "an unknown address",
        seen=seen,
        end=EMPTY if current else piece(core, "end", session_id=session.id, device=device, seen=seen),
    )


def _email(
    core: Core,
    request: Request,
    problem: Problem | None,
    *,
    label: str = "E-mail",
    id: str = "",  # noqa: A002 - HTML's own word
    autocomplete: str = "username",
    value: str | None = None,
) -> Safe:
    return field(core, request, problem, "email", label, type="email", autocomplete=autocomplete, id=id, value=value)


def _new_password(core: Core, request: Request, problem: Problem | None, name: str) -> Safe:
    hint = f"At least {core.settings.password_min} characters; a few words that nobody would guess are best."
    return field(core, request, problem, name, "New password", type="password", autocomplete="new-password", hint=hint)


def _redirect(request: Request) -> str | None:
    """Where the browser wants to go afterwards; checked by the handler before it is done."""
    wanted = request.query.get("redirect_to") or request.given.get("redirect_to")
    return wanted if isinstance(wanted, str) else None


def _query(redirect_to: str | None) -> str:
    return "?" + urlencode({"redirect_to": redirect_to}, errors="replace") if redirect_to else ""
