"""The route table: every method and path, who may call it, what it takes, and which limits it is charged to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from authsvc.config.settings import Settings
from authsvc.flows.core import Core
from authsvc.handlers import (
    addresses,
    admin,
    audit,
    captcha,
    introspection,
    invites,
    keys,
    login,
    magic,
    mfa,
    oauth,
    otp,
    pages,
    reference,
    resets,
    roles,
    service,
    sessions,
    tokens,
    users,
    webhooks,
    well_known,
)
from authsvc.handlers.redirects import REDIRECT
from authsvc.http.request import Request
from authsvc.http.response import Response
from authsvc.http.shapes import EMPTY, Shape
from authsvc.pages import browser
from authsvc.pages.browser import Page
from authsvc.rules.access import (
    ANY_CALLER,
    ANYBODY_KNOWN,
    ANYONE,
    ENROLLING,
    ENROLLING_LATELY,
    MONITOR,
    OWN_OR_AUDITOR,
    SIGNED_IN,
    SIGNED_IN_LATELY,
    TOKEN_HOLDER,
    Who,
    holder_of,
    self_or,
    user_holding,
)
from authsvc.rules.captcha import FIELDS, Guard
from authsvc.rules.limits import IN_MEMORY

Handler = Callable[[Core, Request], Response]
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. `changes` marks a GET that changes state by a cookie, and so is guarded like a POST; `waits`
    one that may wait, for the disk or for others, or work for long, though it is not. `foreign`: other sites may send forms here. `page` is
    how the route looks in a browser; without one, all get JSON. `charged` names its limits; without any it is its callers' own.
    `captcha`: what a CAPTCHA may be demanded for; the body then takes one."""

    method: str
    path: str
    handler: Handler
    who: Who
    charged: tuple[str, ...] | None = None
    body: Shape = EMPTY
    query: Shape | None = None
    page: Page | None = None
    changes: bool = False
    waits: bool = False
    foreign: bool = False
    captcha: Guard | None = None

    def __post_init__(self) -> None:
        if self.captcha:
            object.__setattr__(self, "body", self.body.with_fields(FIELDS))

    @property
    def limits(self) -> tuple[str, ...]:
        return (self.who.limit,) if self.charged is None else self.charged

    def under(self, settings: Settings) -> Route:
        """The route as these settings have it."""
        who = self.who.under(settings)
        return self if who is self.who else replace(self, who=who)

    @property
    def unsafe(self) -> bool:
        return self.changes or self.method in UNSAFE_METHODS

    @property
    def guarded(self) -> bool:
        """Whether a foreign site may not make a browser call it."""
        return self.unsafe and not self.foreign

    @property
    def quick(self) -> bool:
        """Whether answering it never waits for the disk to write, or for a password hash."""
        return not self.unsafe and not self.waits and all(limit in IN_MEMORY for limit in self.limits)


PASSWORD_TRY = ("login_delay", "login_network", "login", "login_account", "login_all")  # who has to wait uses up nothing
SIGN_UP = ("register", "register_all")
MAIL = ("mail_network",)  # and, where the mail is put into the outbox, mail_address
LINK = ("link",)
FACTOR = ("factor",)
OAUTH = ("oauth",)

CALLBACK = "/oauth/:provider/callback"

# A link in a mail is opened from foreign pages: who may use it up by GET is told by the handlers, not by `changes`.
ROUTES: tuple[Route, ...] = (
    Route("GET", "/register", pages.register, ANYONE, query=pages.REGISTER, page=browser.SHOWN),
    Route("POST", "/register", login.register, ANYONE, SIGN_UP, login.REGISTER, REDIRECT, browser.REGISTER_FORM, captcha=Guard("register")),
    Route("GET", "/login", pages.login, ANYONE, query=REDIRECT, page=browser.SHOWN),
    Route("POST", "/login", login.by_password, ANYONE, PASSWORD_TRY, login.LOGIN, REDIRECT, browser.LOGIN_FORM, captcha=Guard("login")),
    Route("POST", "/login/magic", magic.ask, ANYONE, MAIL, magic.MAGIC_ASK, page=browser.MAGIC_FORM, captcha=Guard("magic")),
    Route("GET", "/login/magic/:token", magic.look, ANYONE, LINK, page=browser.MAGIC_LINK, waits=True),
    Route("POST", "/login/magic/:token", magic.use, ANYONE, LINK, page=browser.MAGIC_LINK),
    Route("POST", "/reauthenticate", login.reauthenticate, ENROLLING, PASSWORD_TRY, login.REAUTHENTICATE, page=browser.REAUTHENTICATE_FORM),
    Route(
        "POST", "/password/change", login.change_password, SIGNED_IN_LATELY, PASSWORD_TRY, login.CHANGE_PASSWORD, page=browser.PASSWORD_FORM
    ),
    Route("GET", "/password/forgot", pages.forgot, ANYONE, page=browser.SHOWN),
    Route("POST", "/password/forgot", resets.forgot, ANYONE, MAIL, resets.FORGOT, page=browser.FORGOT_FORM, captcha=Guard("forgot")),
    Route("GET", "/password/reset/:token", resets.look, ANYONE, ("reset_token",), page=browser.RESET_LINK),
    Route("POST", "/password/reset/:token", resets.reset, ANYONE, ("reset_token",), resets.RESET_BODY, page=browser.RESET_FORM),
    Route("POST", "/email/verify", addresses.ask_to_verify, ANYBODY_KNOWN, MAIL, addresses.VERIFY_ASK, page=browser.VERIFY_ASKED),
    Route("GET", "/email/verify/:token", addresses.look_at_verification, ANYBODY_KNOWN, LINK, page=browser.VERIFY_LINK, waits=True),
    Route("POST", "/email/verify/:token", addresses.verify, ANYBODY_KNOWN, LINK, page=browser.VERIFY_LINK),
    Route("GET", "/email/undo/:token", addresses.look_at_undo, ANYONE, LINK, page=browser.UNDO_LINK, waits=True),
    Route("POST", "/email/undo/:token", addresses.undo, ANYONE, LINK, page=browser.UNDO_LINK),
    Route("GET", "/token/refresh", tokens.refresh, TOKEN_HOLDER, ("refresh",), page=browser.RENEWAL, changes=True),
    Route("POST", "/token/refresh", tokens.refresh, TOKEN_HOLDER, ("refresh",), tokens.REFRESH),
    Route("GET", "/token/revoke", tokens.revoke, TOKEN_HOLDER, ("refresh",), changes=True),
    Route("POST", "/token/revoke", tokens.revoke, TOKEN_HOLDER, ("refresh",), tokens.REVOKE, page=browser.SIGN_OUT),
    Route("POST", "/token/introspect", introspection.introspect, holder_of("tokens:introspect"), body=introspection.INTROSPECT),
    Route("GET", "/account", pages.account, ENROLLING, query=pages.ACCOUNT, page=browser.ACCOUNT_PAGE),
    Route("GET", "/mfa", mfa.listing, ENROLLING),
    Route("POST", "/mfa/setup", mfa.setup, ENROLLING_LATELY, FACTOR, mfa.SETUP, page=browser.SETUP_FORM),
    Route("POST", "/mfa/verify", mfa.verify, ANYBODY_KNOWN, LINK, mfa.VERIFY, page=browser.SECOND_STEP),
    Route("POST", "/mfa/remove", mfa.remove, SIGNED_IN_LATELY, FACTOR, mfa.REMOVE, page=browser.FACTOR_FORM),
    Route("POST", "/mfa/recovery-codes", mfa.recovery_codes, SIGNED_IN_LATELY, FACTOR, page=browser.RECOVERY_FORM),
    Route("POST", "/authenticator/setup", mfa.setup_authenticator, ENROLLING_LATELY, FACTOR, mfa.AUTHENTICATOR_SETUP),
    Route("POST", "/authenticator/verify", mfa.verify_authenticator, ANYBODY_KNOWN, LINK, mfa.VERIFY),
    Route(
        "POST",
        "/otp/send",
        otp.send,
        ANYBODY_KNOWN,
        MAIL,
        otp.SEND,
        page=browser.CODE_SENT,
        captcha=Guard("otp", unless=("mfa_token", "channel")),
    ),
    Route("POST", "/otp/verify", otp.verify, ANYBODY_KNOWN, LINK, otp.VERIFY_CODE, page=browser.CODE_FORM),
    Route("POST", "/otp/remove", otp.remove, SIGNED_IN_LATELY, FACTOR, otp.REMOVE),
    Route("GET", "/oauth", oauth.offered, ANYONE),
    Route("GET", "/oauth/link", oauth.linked, SIGNED_IN),
    Route("POST", "/oauth/link", oauth.link, SIGNED_IN_LATELY, OAUTH, oauth.LINK, page=browser.LINK_FORM),
    Route("DELETE", "/oauth/link/:provider", oauth.unlink, SIGNED_IN_LATELY, OAUTH, page=browser.UNLINK_FORM),
    Route("GET", "/oauth/:provider", oauth.start, ANYBODY_KNOWN, OAUTH, query=oauth.START, page=browser.OAUTH_START, waits=True),
    # Sent here by the provider: the single-use `state` and the browser's own cookie stand for what an origin would tell.
    Route("GET", CALLBACK, oauth.callback, ANYBODY_KNOWN, OAUTH, query=oauth.CALLBACK, page=browser.OAUTH_CALLBACK, waits=True),
    Route("POST", CALLBACK, oauth.callback_form, ANYBODY_KNOWN, OAUTH, oauth.CALLBACK, page=browser.OAUTH_CALLBACK, foreign=True),
    Route("GET", "/user", users.me, ANY_CALLER, query=users.INCLUDE),
    Route("POST", "/user", admin.create, holder_of("users:write"), body=admin.CREATE),
    Route("GET", "/users", admin.search, holder_of("users:read"), query=admin.SEARCH, waits=True),
    Route("GET", "/user/:user_id", users.get, self_or("users:read"), query=users.INCLUDE),
    Route("PUT", "/user/:user_id", users.put, self_or("users:write"), body=users.PROFILE, page=browser.PROFILE_FORM),
    Route("DELETE", "/user/:user_id", users.delete, self_or("users:delete", fresh=True), page=browser.DELETE_FORM),
    Route("GET", "/user/:user_id/export", users.export_all, self_or("users:read", fresh=True), waits=True),
    Route("DELETE", "/user/:user_id/factors", users.reset_factors, holder_of("users:write"), FACTOR),
    Route("GET", "/user/:user_id/sessions", sessions.page_of, holder_of("users:read"), query=sessions.PAGE),
    Route("DELETE", "/user/:user_id/sessions", sessions.end_all_of, holder_of("users:write")),
    Route("DELETE", "/user/:user_id/sessions/:session_id", sessions.end_of, holder_of("users:write")),
    Route("GET", "/invites", invites.page, holder_of("users:read"), query=invites.PAGE),
    Route("POST", "/invites", invites.invite, holder_of("users:write"), body=invites.INVITE),
    Route("DELETE", "/invites/:invite_id", invites.revoke, holder_of("users:write")),
    Route("GET", "/sessions", sessions.page, SIGNED_IN, query=sessions.PAGE),
    Route("DELETE", "/sessions", sessions.end_all, SIGNED_IN, query=sessions.END_ALL, page=browser.SESSIONS_FORM),
    Route("DELETE", "/sessions/:session_id", sessions.end, SIGNED_IN, page=browser.SESSION_FORM),
    Route("GET", "/audit/logs", audit.logs, OWN_OR_AUDITOR, query=audit.LOGS, waits=True),
    Route("GET", "/audit/verify", audit.verify, holder_of(audit.CAP), query=audit.VERIFY, waits=True),
    Route("GET", "/roles", roles.listing, holder_of("roles:read")),
    Route("PUT", "/roles/:name", roles.put, holder_of("roles:write", fresh=True), body=roles.PUT),
    Route("DELETE", "/roles/:name", roles.remove, holder_of("roles:write", fresh=True)),
    Route("GET", "/keys", keys.page, holder_of("keys:write"), query=keys.PAGE),
    Route("POST", "/keys", keys.create, user_holding("keys:write"), body=keys.NEW),
    Route("DELETE", "/keys/:key_id", keys.revoke, holder_of("keys:write")),
    Route("GET", "/webhooks", webhooks.listing, holder_of("webhooks:write")),
    Route("POST", "/webhooks", webhooks.create, holder_of("webhooks:write", fresh=True), body=webhooks.NEW),
    Route("GET", "/webhooks/:webhook_id", webhooks.get, holder_of("webhooks:write")),
    Route("PUT", "/webhooks/:webhook_id", webhooks.change, holder_of("webhooks:write"), body=webhooks.CHANGE),
    Route("DELETE", "/webhooks/:webhook_id", webhooks.remove, holder_of("webhooks:write")),
    Route("POST", "/webhooks/:webhook_id/rotate-secret", webhooks.rotate_secret, holder_of("webhooks:write", fresh=True)),
    Route("POST", "/webhooks/:webhook_id/test", webhooks.test, holder_of("webhooks:write")),
    Route("GET", "/webhooks/:webhook_id/deliveries", webhooks.deliveries, holder_of("webhooks:write"), query=webhooks.PAGE),
    Route("POST", "/deliveries/:delivery_id/retry", webhooks.retry, holder_of("webhooks:write")),
    Route("GET", "/events", webhooks.events, holder_of("events:read"), query=webhooks.FEED),
    Route("GET", "/captcha", captcha.challenge, ANYONE, ("captcha",), query=captcha.CHALLENGE),
    Route("GET", "/assets/:name", pages.file, ANYONE),
    Route("GET", "/healthz", service.healthz, ANYONE, ()),
    Route("GET", "/readyz", service.readyz, ANYONE, waits=True),
    Route("GET", "/metrics", service.metrics, MONITOR, waits=True),
    Route("GET", "/openapi.json", reference.document, ANYONE, waits=True),
    Route("GET", "/docs", reference.docs, ANYONE, page=browser.SHOWN, waits=True),
    Route("GET", "/problems/:code", service.problem, ANYONE),
    Route("GET", "/.well-known/jwks.json", well_known.jwks, ANYONE),
    Route("GET", "/.well-known/oauth-authorization-server", well_known.metadata, ANYONE),
    Route("GET", "/.well-known/change-password", well_known.change_password, ANYONE),
)
