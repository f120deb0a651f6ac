"""What is said of signing up and in: by a password, by a link, by a provider; and of tokens."""

from __future__ import annotations

from authsvc.http.negotiation import HTML
from authsvc.http.parsers import or_null
from authsvc.http.response import JSON
from authsvc.openapi.objects import IDENTITY, REGISTERED, SENT, TOKENS, USER, WARNINGS
from authsvc.openapi.words import (
    NOTHING,
    ON,
    PAGE,
    TIME,
    Answer,
    Family,
    Operation,
    data,
    flag,
    listed,
    many,
    number,
    one_of,
    sent_on,
    status,
    text,
    thing,
)

SIGNED_IN = data(TOKENS, "The tokens; as cookies too, where that was wanted.", headers=("Set-Cookie",))
SENT_OFF = data(SENT, "Taken; the same for known and unknown addresses.")
BUTTON = {HTML: {"type": "string"}}
_FIRST_STEP = ("mfa_required", "account_disabled", "email_not_verified")
_LINK = ("link_invalid", *_FIRST_STEP, "signup_closed")
_PROVIDER = ("oauth_denied", "oauth_state_invalid", "oauth_exchange_failed", "oauth_email_unverified", "oauth_not_linked", "conflict")
_BACK = (*_PROVIDER, "mfa_required", "account_disabled", "signup_closed", "not_found")
LINKED = thing("Linked", "An identity that is linked now.", {"status": {"type": "string", "const": "linked"}, "identity": IDENTITY.ref},
               {"redirect_to": text(example="https://app.example.com/")})  # fmt: skip
INTROSPECTION = thing(
    "Introspection",
    "What a credential is worth at this moment (RFC 7662). One that is worth nothing has `active` only.",
    {"active": flag(example=True)},
    {
        "token_type": one_of("Bearer", "refresh_token", "api_key"),
        "iss": text(example="https://auth.example.com"),
        "aud": {"description": "As in the token."},
        "sub": text("The account, or the API key.", "usr_…"),
        "iat": number("Seconds since 1970.", 1_900_000_000),
        "exp": number("Seconds since 1970.", 1_900_000_900),
        "jti": text(example="…"),
        "sid": text(example="ses_…"),
        "auth_time": number(example=1_900_000_000),
        "amr": many(text(example="pwd")),
        "acr": text(example="aal1"),
        "roles": many(text(example="user")),
        "email": or_null(text(example="ann@example.com")),
        "email_verified": flag(example=True),
        "scope": text("The caps, separated by spaces.", "invoices:read"),
        "username": or_null(text(example="ann@example.com")),
        "networks": many(text(example="10.0.0.0/8"), "Of an API key: from where it may be used."),
    },
    others="Claims of AUTHSVC_CLAIMS.",
)
CHALLENGE = thing(
    "CaptchaChallenge",
    "What the configured CAPTCHA has to be given; of the built-in one a challenge as ALTCHA's widget takes it.",
    {},
    {
        "provider": or_null(text("Null: none is configured.", "altcha")),
        "site_key": text("Of a vendor's.", "example"),
        "action": text(example="login"),
        "parameters": {"type": "object", "description": "Of the built-in one."},
        "signature": text("Of the built-in one.", "…"),
    },
)
_AUTHORIZE = listed({"authorize_url": text("Where the browser goes.", "https://provider.example/authorize?…")})
_RESET = listed({"valid": {"type": "boolean", "const": True}, "email": text(example="a•••@example.com"), "expires_at": TIME})

SIGN_IN = Family(
    "Sign-in",
    "Accounts are made, and people signed in.",
    {
        "GET /register": Operation("register_page", "The page with the form of registration.", {200: PAGE}, ("link_invalid",)),
        "POST /register": Operation(
            "register",
            "Make an account, and sign in to it.",
            {
                201: data(REGISTERED, "The account was made.", headers=("Set-Cookie",)),
                202: data(listed({"status": {"type": "string", "const": "verification_sent"}}), "The address has to be confirmed first."),
            },
            ("email_taken", "signup_closed", "link_invalid", "conflict"),
            "Without a password one is generated, unless a mail was asked for by which it is chosen.",
            example={"email": "ann@example.com", "password": "correct horse battery staple"},
        ),
        "GET /login": Operation("login_page", "The page with the form of sign-in.", {200: PAGE}),
        "POST /login": Operation(
            "login",
            "Sign in by e-mail address and password.",
            {200: SIGNED_IN},
            ("invalid_credentials", *_FIRST_STEP),
            "An unknown address, a wrong password and an account without one are one answer.",
        ),
        "POST /login/magic": Operation("ask_for_magic_link", "Have a link and a code mailed that sign in.", {202: data(SENT, SENT_OFF.meaning, headers=("Set-Cookie",))}),
        "GET /login/magic/:token": Operation(
            "open_magic_link",
            "Open a mailed link.",
            {200: Answer("The tokens for `Accept: application/json` exactly; a page with a button for all others.", {JSON: TOKENS.ref, **BUTTON}, ("Set-Cookie",))},
            _LINK,
            "Mail scanners spend nothing.",
        ),
        "POST /login/magic/:token": Operation("use_magic_link", "Sign in by a mailed link.", {200: SIGNED_IN}, _LINK),
        "GET /captcha": Operation("get_captcha", "A challenge to be solved before an act.", {200: data(CHALLENGE, "The challenge.")}),
        "POST /reauthenticate": Operation(
            "reauthenticate",
            "Confirm that it is you, for what needs a recent sign-in.",
            {200: SIGNED_IN},
            ("invalid_credentials", "code_invalid", "code_expired", "too_many_attempts", "not_found"),
            "Either the password, or a factor and its code.",
            example={"password": "correct horse battery staple"},
        ),
    },
)  # fmt: skip
PASSWORDS = Family(
    "Passwords",
    "Passwords are changed, and reset by mail.",
    {
        "POST /password/change": Operation(
            "change_password",
            "Set another password; all other sessions end.",
            {200: SIGNED_IN},
            ("invalid_credentials", "not_found"),
            example={"current_password": "correct horse battery staple", "new_password": "another horse battery staple"},
        ),
        "GET /password/forgot": Operation("forgot_password_page", "The page that asks for the address.", {200: PAGE}),
        "POST /password/forgot": Operation("forgot_password", "Have a link mailed that resets the password.", {202: status("sent")}),
        "GET /password/reset/:token": Operation(
            "look_at_reset_link", "Whether a reset link is good; spends nothing.", {200: data(_RESET, "It is good.")}, ("link_invalid",)
        ),
        "POST /password/reset/:token": Operation(
            "reset_password", "Set a password by a mailed link; all sessions end.",
            {200: data({"type": "object", "properties": {"status": {"type": "string", "const": "password_reset"}, "warnings": WARNINGS}, "required": ["status"]})},
            ("link_invalid",),
        ),
    },
)  # fmt: skip
ADDRESSES = Family(
    "E-mail addresses",
    "Addresses are confirmed, and changes of them taken back.",
    {
        "POST /email/verify": Operation(
            "ask_to_verify_email", "Have a link and a code mailed that confirm an address.", {202: SENT_OFF}, example={"email": "ann@example.com"}
        ),
        "GET /email/verify/:token": Operation(
            "open_verification_link",
            "Open a mailed link that confirms an address.",
            {200: Answer("For `Accept: application/json` exactly it is confirmed; all others get a page with a button.", {JSON: listed({"status": {"type": "string", "const": "email_verified"}, "user": USER.ref}), **BUTTON})},
            ("link_invalid", "email_taken"),
        ),
        "POST /email/verify/:token": Operation(
            "verify_email", "Confirm an address by a mailed link.", {200: status("email_verified", user=USER.ref)}, ("link_invalid", "email_taken")
        ),
        "GET /email/undo/:token": Operation(
            "open_undo_link",
            "Open the link that takes a change of the address back.",
            {200: Answer("For `Accept: application/json` exactly it is taken back; all others get a page with a button.", {JSON: listed({"status": {"type": "string", "const": "email_restored"}}), **BUTTON})},
            ("link_invalid", "email_taken"),
        ),
        "POST /email/undo/:token": Operation(
            "undo_email_change", "Take a change of the address back; all sessions end.", {200: status("email_restored")}, ("link_invalid", "email_taken")
        ),
    },
)  # fmt: skip
SESSION_TOKENS = Family(
    "Tokens",
    "Tokens are renewed, given back, and looked at.",
    {
        "GET /token/refresh": Operation(
            "refresh_token_by_cookie", "New tokens for a refresh token, by cookie or as the bearer.", {200: SIGNED_IN}, ("account_disabled", "email_not_verified")
        ),
        "POST /token/refresh": Operation(
            "refresh_token",
            "New tokens for a refresh token.",
            {200: SIGNED_IN},
            ("account_disabled", "email_not_verified"),
            "The one before is good for 30 seconds more and yields the same; an older one ends its session.",
            example={"refresh_token": "rt_…"},
        ),
        "GET /token/revoke": Operation("sign_out_by_cookie", "End the session, by cookie or bearer.", {200: status("revoked", headers=("Set-Cookie",))}, ("forbidden",)),
        "POST /token/revoke": Operation("sign_out", "End the session of a token (RFC 7009).", {200: status("revoked", headers=("Set-Cookie",))}, ("forbidden",)),
        "POST /token/introspect": Operation("introspect_token", "What a token is worth now (RFC 7662).", {200: data(INTROSPECTION)}),
    },
)  # fmt: skip
PROVIDERS = Family(
    "Providers",
    "Sign-in by OAuth and OpenID providers.",
    {
        "GET /oauth": Operation(
            "list_providers",
            "The providers that are offered.",
            {200: data(listed({"providers": many(listed({"name": text(example="github"), "title": text(example="GitHub")}))}), "The list.")},
        ),
        "GET /oauth/link": Operation("list_identities", "The identities that are linked to one's account.", {200: data(listed({"identities": many(IDENTITY)}), "The list.")}),
        "POST /oauth/link": Operation("link_identity", "Begin to link an identity.", {200: data(_AUTHORIZE, headers=("Set-Cookie",))}, ("not_found", "oauth_exchange_failed")),
        "DELETE /oauth/link/:provider": Operation("unlink_identity", "Unlink an identity; never the last way in.", {200: status("unlinked")}, ("conflict",)),
        "GET /oauth/:provider": Operation(
            "sign_in_by_provider",
            "Begin a sign-in at a provider.",
            {302: sent_on("To the provider.", "Set-Cookie"), 200: data(_AUTHORIZE, "For `Accept: application/json` exactly.", headers=("Set-Cookie",))},
            ("oauth_exchange_failed",),
        ),
        "GET /oauth/:provider/callback": Operation(
            "finish_sign_in_by_provider",
            "Where the provider sends the browser back to.",
            {200: data({"anyOf": [TOKENS.ref, LINKED.ref]}, "Signed in, or linked.", headers=("Set-Cookie",)), 204: NOTHING, 302: sent_on(ON, "Set-Cookie")},
            _BACK,
        ),
        "POST /oauth/:provider/callback": Operation(
            "finish_sign_in_by_form",
            "The same, for providers that post a form.",
            {200: data({"anyOf": [TOKENS.ref, LINKED.ref]}, "Signed in, or linked.", headers=("Set-Cookie",)), 302: sent_on(ON, "Set-Cookie"), 303: sent_on("To the same path by GET, where the cookie comes along.")},
            _BACK,
        ),
    },
)  # fmt: skip
