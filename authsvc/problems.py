"""Every error a caller can see: one exception, one table of codes. How a Problem becomes bytes is http's business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One stable error code: its HTTP status, its title, and what a caller should make of it."""

    code: str
    status: int
    title: str
    meaning: str


KINDS: Mapping[str, Kind] = {
    kind.code: kind
    for kind in (
        Kind("invalid_json", 400, "Not valid JSON", "The body is not one strict JSON object in UTF-8: it is malformed, too deep, or repeats a key."),
        Kind("invalid_request", 422, "Invalid request", "Some values of the request are not acceptable (`errors` names each), or it can be read in two ways (status 400)."),
        Kind("unsupported_media_type", 415, "Unsupported media type", "Send `application/json`."),
        Kind("body_too_large", 413, "Body too large", "Bodies may have at most 64 KiB."),
        Kind("length_required", 411, "Length needed", "This server takes no chunked bodies: send a Content-Length (RFC 9110 section 15.5.12)."),
        Kind("not_found", 404, "Not found", "There is nothing here, or nothing that you may see."),
        Kind("method_not_allowed", 405, "Method not allowed", "The `Allow` header lists the methods of this path."),
        Kind("unauthenticated", 401, "Sign-in needed", "The request carried no credentials."),
        Kind("invalid_token", 401, "Invalid token", "The credentials are malformed, revoked, or not meant for this use. Refresh or sign in again."),
        Kind("token_expired", 401, "Token expired", "The access token has run out. Refresh it."),
        Kind("invalid_credentials", 401, "Wrong e-mail address or password", "The e-mail address or the password is not right. An unknown address, a wrong password and an account without a password get the same answer."),
        Kind("mfa_required", 401, "Second step needed", "The first step is done. Send a code of one of `factors` with the `mfa_token` to POST /mfa/verify."),
        Kind("reauthentication_required", 401, "Confirm that it is you", "This act needs a recent sign-in: call POST /reauthenticate, then repeat it."),
        Kind("forbidden", 403, "Forbidden", "You are signed in but may not do this. Nothing was done."),
        Kind("signup_closed", 403, "Sign-up not open", "Accounts are made for invited addresses, for some domains, or by an administrator only."),
        Kind("mfa_enrolment_required", 403, "Second factor needed", "Here everybody needs a second factor. Add one by POST /mfa/setup; until then nothing else can be done."),
        Kind("csrf_failed", 403, "Request from a foreign site", "The request came from an origin that is neither ours nor listed in AUTHSVC_APP_ORIGINS."),
        Kind("captcha_required", 403, "CAPTCHA needed", "Send a solved CAPTCHA as `captcha`; the member `captcha` says of which provider, and where a challenge is."),
        Kind("captcha_failed", 403, "CAPTCHA not passed", "The CAPTCHA is not right, was used already, has run out, or was solved for something else. Solve a new one."),
        Kind("account_disabled", 403, "Account disabled", "The password is right, but the account has been disabled."),
        Kind("email_not_verified", 403, "E-mail address not confirmed", "The password is right, but the address must be confirmed first: use the link in the mail, or ask for a new one by POST /email/verify."),
        Kind("oauth_denied", 403, "Sign-in cancelled", "The sign-in at the provider was cancelled there. Nothing was done."),
        Kind("oauth_state_invalid", 400, "Not a sign-in of this browser", "The sign-in at the provider was not begun in this browser, has been used, has run out, or was another provider's. Begin again."),
        Kind("oauth_exchange_failed", 502, "The provider did not answer as it should", "What the provider answered cannot be used; the log has the reason under the request id. Try again later."),
        Kind("oauth_email_unverified", 403, "E-mail address not confirmed", "The provider does not vouch for the address, and here it must be confirmed. A mail was sent to it, if there is one: use the link, then sign in again."),
        Kind("oauth_not_linked", 409, "Not linked to your account", "The address has an account here that is not linked to this identity. Sign in another way, then link it by POST /oauth/link."),
        Kind("email_taken", 409, "E-mail address already registered", "Sign in instead."),
        Kind("conflict", 409, "Conflict", "The act would break a rule that holds over several objects, such as the last admin."),
        Kind("link_invalid", 410, "Link no longer valid", "The link was used, has run out, was replaced by a newer one, or is not whole. Ask for a new one."),
        Kind("code_expired", 410, "Code no longer valid", "The code was used or has run out. Ask for a new one."),
        Kind("code_invalid", 422, "Wrong code", "That is not the code that was sent. After five wrong ones a new one is needed."),
        Kind("too_many_attempts", 429, "Too many wrong codes", "This code is not accepted any more. Ask for a new one, or use the link in the mail."),
        Kind("precondition_failed", 412, "Changed meanwhile", "`If-Match` does not name the current version (RFC 9110 section 13.1.1). Read it again."),
        Kind("rate_limited", 429, "Too many requests", "Wait as many seconds as `Retry-After` says."),
        Kind("internal", 500, "Internal error", "The fault is ours; the log has it under the request id."),
        Kind("busy", 503, "Busy", "Too much at once. Repeat the request after `Retry-After` seconds."),
        Kind("unavailable", 503, "Unavailable", "The store cannot be used just now. Nothing was acknowledged that is not durable."),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field of a request."""

    field: str
    code: str
    detail: str


class Invalid(Exception):
    """Raised by the parser of one value; whoever knows the field's name turns it into a Fault."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Problem(Exception):
    """A refusal, raised anywhere, answered once (RFC 9457).

    `detail` and `members`, which stand beside the usual ones, may be shown to anyone. `reason` goes to the log only; `state` is a
    fixed word for what is wrong with the service, which /readyz shows.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        status: int | None = None,
        errors: Iterable[Fault] = (),
        retry_after: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
        reason: str | None = None,
        members: Mapping[str, Any] | None = None,
        state: str | None = None,
    ) -> None:
        self.kind = KINDS[code]
        super().__init__(detail or self.kind.title)
        self.status = status or self.kind.status
        self.detail = detail or self.kind.meaning
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.headers = tuple(headers)
        self.reason = reason
        self.members = members or {}
        self.state = state

    @property
    def code(self) -> str:
        return self.kind.code


class Refused(Exception):
    """Raised when the service cannot start; the message says what to do about it."""


def invalid(field: str, code: str, detail: str) -> Problem:
    """The commonest refusal: one field is wrong."""
    return Problem("invalid_request", errors=(Fault(field, code, detail),))


def ambiguous(detail: str) -> Problem:
    """A request that can be read in two ways is read in none."""
    return Problem("invalid_request", detail, status=400)


def busy(reason: str, retry_after: int = 1, *, state: str | None = None) -> Problem:
    return Problem("busy", retry_after=retry_after, reason=reason, state=state)


def unavailable(reason: str, *, state: str | None = None) -> Problem:
    return Problem("unavailable", retry_after=5, reason=reason, state=state)
