"""Fields of forms: label, input, what was typed, and what was wrong with it, as assistive technology wants them."""

from __future__ import annotations

from authsvc.flows.core import Core
from authsvc.http.html import EMPTY, Safe, join, text
from authsvc.http.request import Request
from authsvc.pages.site import site
from authsvc.problems import Fault, Problem


def field(
    core: Core,
    request: Request,
    problem: Problem | None,
    name: str,
    label: str,
    *,
    type: str = "text",  # noqa: A002 - HTML's own word
    autocomplete: str = "off",
    value: str | None = None,
    hint: str = "",
    id: str = "",  # noqa: A002 - HTML's own word
    code: bool = False,
    long_code: bool = False,
    optional: bool = False,
) -> Safe:
    """One field. Passwords and codes are never shown again."""
    fault = _fault(problem, name)
    own_id = id or name
    shown = value if value is not None else _given(request, name)
    notes = [(f"{own_id}-hint", "hint", hint)] if hint else []
    notes += [(f"{own_id}-error", "error", fault.detail)] if fault else []
    attributes = [' class="code" inputmode="numeric" maxlength="7"'] if code else []
    if type == "email":
        attributes += [' inputmode="email" autocapitalize="none" spellcheck="false"']
    attributes += [' class="code"'] if long_code else []  # of an app or, longer and not of digits alone, for recovery
    attributes += [] if optional else [" required"]
    attributes += [' aria-invalid="true"'] if fault else []
    attributes += [f' aria-describedby="{text(" ".join(note[0] for note in notes))}"'] if notes else []
    return site(core.settings.pages).piece(
        "field",
        id=own_id,
        name=name,
        label=label,
        type="text" if type == "email" else type,  # browsers take no address beyond ASCII in a field of that type; we do
        value="" if type == "password" or code or long_code else shown,
        autocomplete=autocomplete,
        attributes=Safe("".join(attributes)),
        notes=join(Safe(f'<p class="{kind}" id="{text(note_id)}">{text(words)}</p>') for note_id, kind, words in notes),
    )


def hidden(name: str, value: str | None) -> Safe:
    """A field that only carries something along."""
    return Safe(f'<input type="hidden" name="{text(name)}" value="{text(value)}">') if value else EMPTY


def username(address: str) -> Safe:
    """For password managers: whose password this is. Not sent, since it has no name."""
    return Safe(f'<input type="text" value="{text(address)}" autocomplete="username" hidden>')


def alert(problem: Problem | None) -> Safe:
    """What went wrong, read out at once; a field's own fault stands beside the field, and any other here."""
    if problem is None:
        return EMPTY
    lines = [words(problem)] if not problem.errors else [fault.detail for fault in problem.errors if not _is_shown(fault)]
    lines = lines or ["Please look at the fields below."]
    return Safe(f'<div class="alert" role="alert">{"".join(f"<p>{text(line)}</p>" for line in lines)}</div>')


def words(problem: Problem) -> str:
    """What a problem means, said to a person."""
    if problem.errors:
        return " ".join(fault.detail for fault in problem.errors)
    return WORDS.get(problem.code, problem.detail) if problem.detail == problem.kind.meaning else problem.detail


def of_a_factor(problem: Problem) -> Problem:
    """A refused code of a second factor, in words that hold for every kind of them."""
    plain = problem.code in FACTOR_WORDS and problem.detail == problem.kind.meaning
    return Problem(problem.code, FACTOR_WORDS[problem.code]) if plain else problem


def notice(words: str) -> Safe:
    """What went well."""
    return Safe(f'<div class="notice" role="status"><p>{text(words)}</p></div>') if words else EMPTY


# Instead of what problems.py says to programmers.
WORDS = {
    "invalid_credentials": "The e-mail address or the password is not right.",
    "email_not_verified": "Please confirm your e-mail address first, by the link in the mail that we have sent you.",
    "email_taken": "This address has an account already. Sign in instead.",
    "reauthentication_required": "Nothing was changed yet.",
    "mfa_enrolment_required": "Here everybody needs a second factor. Please add one on your account page first.",
    "captcha_required": "One more thing: your browser has to show that you are no robot. Please fill in what is missing, and send the form again.",
    "captcha_failed": "That you are no robot was not shown, or too long ago. Please fill in what is missing, and send the form again.",
    "csrf_failed": "This came from a page of a foreign site. Nothing was done.",
    "invalid_request": "We could not make sense of this request.",
    "precondition_failed": "It was changed meanwhile. Have a look, and do it again.",
    "method_not_allowed": "This address cannot be used in this way.",
    "rate_limited": "Too many tries. Please wait a little, and do it again.",
    "busy": "There is too much to do just now. Please do it again in a moment.",
}
# Of a second factor nothing may have been sent, and no mail has a link.
FACTOR_WORDS = {
    "code_invalid": "That is not the right code. After five wrong ones you have to begin again.",
    "too_many_attempts": "There were too many wrong codes. Please begin again, a little later.",
}
SHOWN = frozenset({"email", "name", "password", "current_password", "new_password", "code", "phone_number"})


def _is_shown(fault: Fault) -> bool:
    return fault.field in SHOWN


def _fault(problem: Problem | None, name: str) -> Fault | None:
    return next((fault for fault in problem.errors if fault.field == name), None) if problem else None


def _given(request: Request, name: str) -> str:
    value = request.given.get(name)
    return value if isinstance(value, str) else ""
