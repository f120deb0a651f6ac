"""What a browser sees where a program gets JSON: for each act the page that follows it, and the one that shows a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authsvc.flows import enrolment
from authsvc.flows.core import Core
from authsvc.http.origins import CROSS_SITE
from authsvc.http.request import Request
from authsvc.http.response import Response, see_other
from authsvc.pages import factors, forms, identities, views
from authsvc.pages.layout import below, cookies_of, retry_after
from authsvc.problems import Problem

Refusal = Callable[[Core, Request, Problem], Response]

ACCOUNT = "/account"
LOGIN = "/login"


@dataclass(frozen=True, slots=True)
class Page:
    """How a route looks in a browser. `done` gets the answer that a program would have got, cookies included."""

    done: Callable[[Core, Request, Response], Response]
    refused: Callable[[Core, Request, Problem], Response]


def problem_page(core: Core, request: Request, problem: Problem) -> Response:
    """A refusal that no form can show."""
    ways = [(ACCOUNT, "Your account"), (LOGIN, "Sign in")]
    if problem.code in ("unauthenticated", "invalid_token", "token_expired"):
        # Perhaps only the access cookie has run out: the way to the account renews it.
        words = "Nothing was done, for you may not be signed in any more. Go on from your account."
        return views.message(core, "Please sign in", words, ways, status=problem.status)
    response = views.message(core, problem.kind.title, forms.words(problem), ways, status=problem.status)
    response.headers += [*problem.headers, *retry_after(problem)]
    return response


def link_page(core: Core, request: Request, problem: Problem) -> Response:
    """A link that cannot be used."""
    if problem.code != "link_invalid":
        return problem_page(core, request, problem)
    words = "It was used already, has run out, or was replaced by a newer one. Ask for a new one."
    ways = [(LOGIN, "Sign in"), ("/password/forgot", "Forgotten your password?")]
    return views.message(core, "This link is no longer valid", words, ways, status=problem.status)


def _as_is(core: Core, request: Request, response: Response) -> Response:
    """The handler made the page itself."""
    return response


def _signed_in(core: Core, request: Request, response: Response) -> Response:
    """On to where the browser wanted to go, with its cookies."""
    return see_other(response.value.get("redirect_to") or below(core, ACCOUNT), response.headers)


def _login_refused(core: Core, request: Request, problem: Problem) -> Response:
    show = views.unconfirmed if problem.code == "email_not_verified" else views.login
    return show(core, request, problem)


def _registered(core: Core, request: Request, response: Response) -> Response:
    if response.status == 202:
        return views.sent(core, request, None)
    return _signed_in(core, request, response)


def _sent(core: Core, request: Request, response: Response) -> Response:
    return views.sent(core, request, response.value.get("challenge_id"), headers=response.headers)


def _code_used(core: Core, request: Request, response: Response) -> Response:
    return _signed_in(core, request, response) if "access_token" in response.value else _verified(core, request, response)


def _code_refused(core: Core, request: Request, problem: Problem) -> Response:
    challenge_id = request.given.get("challenge_id")
    return views.sent(core, request, challenge_id if isinstance(challenge_id, str) else None, problem)


def _verified(core: Core, request: Request, response: Response) -> Response:
    if request.caller is not None and request.caller.user.id == response.value["user"]["id"]:
        return see_other(below(core, f"{ACCOUNT}?done=verified"))
    return views.message(core, "Address confirmed", "Thank you. Your e-mail address is confirmed.", [(LOGIN, "Sign in")])


def _undone(core: Core, request: Request, response: Response) -> Response:
    words = "The change was taken back, and everybody was signed out. We have sent you a mail with which to choose a new password."
    return views.message(core, "Your address is back", words, [(LOGIN, "Sign in")])


def _reset_shown(core: Core, request: Request, response: Response) -> Response:
    return views.reset(core, request, f"For the account of {response.value['email']}.")


def _reset(core: Core, request: Request, response: Response) -> Response:
    words = "Your password was changed, and all sessions were ended. You can sign in with it now."
    return views.message(core, "Password set", words, [(LOGIN, "Sign in")])


def _reset_refused(core: Core, request: Request, problem: Problem) -> Response:
    if problem.code == "link_invalid":
        return link_page(core, request, problem)
    return views.reset(core, request, "Nothing was changed yet.", problem)


def _to_account(word: str) -> Callable[[Core, Request, Response], Response]:
    return lambda core, _request, response: see_other(below(core, f"{ACCOUNT}?done={word}"), cookies_of(response))


def _changed(core: Core, request: Request, response: Response) -> Response:
    email = request.body.get("email")
    mailed = email is not None and email.address != request.caller.user.email
    return _to_account("mail" if mailed else "saved")(core, request, response)


def _account_refused(core: Core, request: Request, problem: Problem) -> Response:
    """Not signed in (any more): renew the session, if there is one. Not lately: ask. Else the page with the message."""
    if problem.code == "reauthentication_required":
        return views.reauthenticate(core, request, Problem(problem.code))
    if problem.status == 401 and problem.code != "invalid_credentials":
        return _renewing(core, request) if request.method == "GET" else problem_page(core, request, problem)
    if request.caller is None:
        return problem_page(core, request, problem)
    return views.account(core, request, problem)


def _renewing(core: Core, request: Request) -> Response:
    """The cookie that renews a session goes along only where the browser came from ourselves."""
    if str(request.header("SEC_FETCH_SITE")).lower() in CROSS_SITE:
        return views.resume(core)
    return see_other(below(core, "/token/refresh"))


def _reauthentication_refused(core: Core, request: Request, problem: Problem) -> Response:
    shown = problem.code == "invalid_credentials" or problem.status in (422, 429)
    problem = forms.of_a_factor(problem)
    return views.reauthenticate(core, request, problem) if shown else problem_page(core, request, problem)


def _renewed(core: Core, request: Request, response: Response) -> Response:
    return see_other(below(core, ACCOUNT), cookies_of(response))


def _not_renewed(core: Core, request: Request, problem: Problem) -> Response:
    if problem.status != 401:
        return problem_page(core, request, problem)
    return see_other(below(core, LOGIN), [core.cookies.access.clear(), core.cookies.refresh.clear()])


def _left(core: Core, request: Request, response: Response) -> Response:
    return see_other(below(core, LOGIN), cookies_of(response))


def _deleted(core: Core, request: Request, response: Response) -> Response:
    words = "Your account and everything that belonged to it was deleted."
    return views.message(core, "Goodbye", words, [(LOGIN, "Sign in")], headers=cookies_of(response))


def _or_second_step(refused: Refusal) -> Refusal:
    """A sign-in whose first step is done goes on to the second."""

    def shown(core: Core, request: Request, problem: Problem) -> Response:
        if problem.code == "mfa_required":
            return factors.step(core, request, problem.members["mfa_token"])
        return refused(core, request, problem)

    return shown


def _stepped(core: Core, request: Request, response: Response) -> Response:
    """A sign-in that is complete, or a factor that counts from now on."""
    if "access_token" in response.value:
        return _signed_in(core, request, response)
    codes = response.value.get("recovery_codes")
    return factors.recovery(core, codes) if codes else see_other(below(core, f"{ACCOUNT}?done=factor"))


def _step_refused(core: Core, request: Request, problem: Problem) -> Response:
    mfa_token, factor_id = _text(request, "mfa_token"), _text(request, "factor_id")
    problem = forms.of_a_factor(problem)
    if mfa_token and problem.code != "invalid_token":
        return factors.step(core, request, mfa_token, problem)
    waiting = enrolment.waiting(core, request.caller.user, factor_id) if request.caller and factor_id else None
    if waiting is None:
        return problem_page(core, request, problem)
    return factors.enrol(core, request, waiting.factor.id, waiting.details, problem)


def _enrol(core: Core, request: Request, response: Response) -> Response:
    return factors.enrol(core, request, response.value["factor_id"], response.value)


def _code_sent(core: Core, request: Request, response: Response) -> Response:
    mfa_token = _text(request, "mfa_token")
    if mfa_token:
        return factors.step(core, request, mfa_token, sent=True)
    return _sent(core, request, response)


def _recovery(core: Core, request: Request, response: Response) -> Response:
    return factors.recovery(core, response.value["recovery_codes"])


def _text(request: Request, name: str) -> str:
    value = request.given.get(name)
    return value if isinstance(value, str) else ""


OAUTH_START = Page(_as_is, identities.refused)
OAUTH_CALLBACK = Page(identities.came_back, _or_second_step(identities.refused))
LINK_FORM = Page(identities.leave, _account_refused)
UNLINK_FORM = Page(_to_account("unlinked"), _account_refused)
SHOWN = Page(_as_is, problem_page)
LOGIN_FORM = Page(_signed_in, _or_second_step(_login_refused))
REGISTER_FORM = Page(_registered, views.register)
FORGOT_FORM = Page(_sent, views.forgot)
MAGIC_FORM = Page(_sent, views.login_by_link)
CODE_FORM = Page(_code_used, _or_second_step(_code_refused))
CODE_SENT = Page(_code_sent, _step_refused)
SECOND_STEP = Page(_stepped, _step_refused)
SETUP_FORM = Page(_enrol, _account_refused)
FACTOR_FORM = Page(_to_account("removed"), _account_refused)
RECOVERY_FORM = Page(_recovery, _account_refused)
MAGIC_LINK = Page(_signed_in, _or_second_step(link_page))
VERIFY_ASKED = Page(_sent, problem_page)
VERIFY_LINK = Page(_verified, link_page)
UNDO_LINK = Page(_undone, link_page)
RESET_LINK = Page(_reset_shown, link_page)
RESET_FORM = Page(_reset, _reset_refused)
ACCOUNT_PAGE = Page(_as_is, _account_refused)
PROFILE_FORM = Page(_changed, _account_refused)
PASSWORD_FORM = Page(_to_account("password"), _account_refused)
DELETE_FORM = Page(_deleted, _account_refused)
SESSION_FORM = Page(_to_account("session"), _account_refused)
SESSIONS_FORM = Page(_to_account("sessions"), _account_refused)
REAUTHENTICATE_FORM = Page(_to_account("again"), _reauthentication_refused)
RENEWAL = Page(_renewed, _not_renewed)
SIGN_OUT = Page(_left, problem_page)
