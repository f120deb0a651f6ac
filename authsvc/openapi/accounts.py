"""What is said of accounts and of what belongs to them: second factors, sessions."""

from __future__ import annotations

from authsvc.http.parsers import or_null
from authsvc.openapi.administration import API_KEY
from authsvc.openapi.objects import FACTOR, NEW_USER, SENT, SESSION, TOKENS, USER
from authsvc.openapi.ways_in import SIGNED_IN
from authsvc.openapi.words import (
    ANYTHING,
    NOTHING,
    PAGE,
    TEXT_OR_NONE,
    TIME,
    Answer,
    Family,
    Operation,
    data,
    identifier,
    listed,
    many,
    number,
    one_of,
    page_of,
    status,
    text,
    thing,
)
from authsvc.primitives import ids

CODES = many(text(example="example-code"), "Each good once, and shown only here.")
NEW_FACTOR = thing(
    "NewFactor",
    "A factor that waits for its first code.",
    {"factor_id": identifier(ids.FACTOR), "type": one_of("totp", "sms", "email"), "label": TEXT_OR_NONE},
    {
        "secret": text("Of an authenticator app; shown only here.", "…"),
        "otpauth_uri": text("The same, for the app.", "otpauth://totp/…"),
        "qr_svg": or_null(text("The same, to be scanned; null without the extra `qr`.")),
        "target": text("Where the code went.", "ann@example.com"),
        "challenge_id": identifier(ids.CHALLENGE),
        "channel": one_of("email", "sms"),
        "expires_in": number("Seconds that the code lasts.", 600),
    },
)
CONFIRMED = thing("FactorConfirmed", "A factor that counts from now on.", {"factor": FACTOR.ref}, {"recovery_codes": CODES})
VERIFIED = thing(
    "EmailVerified", "An address that is confirmed.", {"status": {"type": "string", "const": "email_verified"}, "user": USER.ref}
)
_STEP = ("code_invalid", "code_expired", "too_many_attempts", "not_found", "account_disabled", "conflict", "mfa_enrolment_required")
_STEPPED = data({"anyOf": [TOKENS.ref, CONFIRMED.ref]}, "The tokens of a sign-in that is complete, or the factor that is confirmed.", headers=("Set-Cookie",))  # fmt: skip
EXPORT = thing(
    "Export",
    "Everything that is stored of an account.",
    {
        "exported_at": TIME,
        "user": USER.ref,
        "roles": many(listed({"role": text(example="editor"), "granted_at": TIME})),
        "identities": many(ANYTHING),
        "factors": many(FACTOR),
        "recovery_codes_left": or_null(number(example=10)),
        "sessions": many(ANYTHING),
        "links_and_codes": many(ANYTHING),
        "messages": many(ANYTHING),
        "events": many(ANYTHING),
    },
)

USERS = Family(
    "Users",
    "Accounts: one's own, and for administrators those of others.",
    {
        "GET /account": Operation("account_page", "One's account as a page.", {200: PAGE}),
        "GET /user": Operation("get_caller", "Who is asking.", {200: data({"anyOf": [USER.ref, API_KEY.ref]}, "The account, or the API key.", headers=("ETag.unless-key",))}),
        "POST /user": Operation(
            "create_user",
            "Make an account for somebody else.",
            {201: data(NEW_USER, "The account was made.", headers=("ETag",))},
            ("email_taken", "not_found", "conflict"),
            example={"email": "bob@example.com", "name": "Bob Example"},
        ),
        "GET /users": Operation("list_users", "Look for accounts.", {200: page_of(USER)}),
        "GET /user/:user_id": Operation("get_user", "Read an account.", {200: data(USER, "The account.", headers=("ETag",))}),
        "PUT /user/:user_id": Operation(
            "update_user",
            "Change an account: what is absent stays.",
            {200: data(USER, "The account as it is now.", headers=("ETag",))},
            ("precondition_failed", "email_taken", "conflict"),
            "With `If-Match` only if it is still the version that was read. One's own new address counts once it is confirmed. `roles`, `status`, `app_metadata` and what is verified take the cap `users:write`.",
            example={"name": "Ann Example"},
        ),
        "DELETE /user/:user_id": Operation("delete_user", "Delete an account; never the last admin.", {204: Answer(NOTHING.meaning, headers=("Set-Cookie",))}, ("conflict", "forbidden")),
        "GET /user/:user_id/export": Operation("export_user", "Everything that is stored of an account.", {200: data(EXPORT, "The export.")}),
        "DELETE /user/:user_id/factors": Operation(
            "reset_factors", "Remove all second factors of somebody who lost theirs.", {200: data(listed({"removed": number()}), "So many were removed.")}
        ),
        "GET /user/:user_id/sessions": Operation("list_sessions_of_user", "The sessions of an account.", {200: page_of(SESSION)}),
        "DELETE /user/:user_id/sessions": Operation("end_sessions_of_user", "End all sessions of an account.", {204: NOTHING}),
        "DELETE /user/:user_id/sessions/:session_id": Operation("end_session_of_user", "End a session of an account.", {204: NOTHING}),
    },
)  # fmt: skip
SESSIONS = Family(
    "Sessions",
    "One's own signed-in devices.",
    {
        "GET /sessions": Operation("list_sessions", "One's own sessions.", {200: page_of(SESSION)}, links={"end_session": {"session_id": "items/0/id"}}),
        "DELETE /sessions": Operation("end_other_sessions", "End one's other sessions.", {204: NOTHING}),
        "DELETE /sessions/:session_id": Operation("end_session", "End one of one's sessions.", {204: NOTHING}),
    },
)  # fmt: skip
FACTORS = Family(
    "Second factors",
    "Authenticator apps, codes by mail and SMS, recovery codes.",
    {
        "GET /mfa": Operation("list_factors", "One's second factors.", {200: data(listed({"factors": many(FACTOR), "recovery_codes_left": or_null(number(example=10))}), "The list.")}),
        "POST /mfa/setup": Operation(
            "set_up_factor", "Begin a new factor.", {201: data(NEW_FACTOR, "It waits for its first code.")}, ("conflict", "email_not_verified"), example={"type": "totp"}
        ),
        "POST /mfa/verify": Operation(
            "verify_factor", "The second step of a sign-in, or the first code of a new factor.", {200: _STEPPED}, _STEP, example={"mfa_token": "…", "code": "123456"}
        ),
        "POST /mfa/remove": Operation("remove_factor", "Remove one factor, or all.", {200: status("removed")}, ("not_found", "conflict"), example={"all": True}),
        "POST /mfa/recovery-codes": Operation(
            "renew_recovery_codes", "New recovery codes in place of the old ones.", {200: data(listed({"recovery_codes": CODES}))}, ("conflict", "not_found")
        ),
        "POST /authenticator/setup": Operation("set_up_authenticator", "Begin an authenticator app.", {201: data(NEW_FACTOR, "It waits for its first code.")}, ("conflict",)),
        "POST /authenticator/verify": Operation(
            "verify_authenticator", "A code of an authenticator app.", {200: _STEPPED}, _STEP, example={"mfa_token": "…", "code": "123456"}
        ),
        "POST /otp/send": Operation(
            "send_code",
            "Have a code sent, to sign in, as a second step, or for a new factor.",
            {202: data(SENT, "Taken; the same for known and unknown addresses.")},
            ("not_found", "conflict", "email_not_verified", "reauthentication_required"),
            "One of: `mfa_token`; `channel`, signed in; `email` or `phone_number`.",
            example={"email": "ann@example.com"},
        ),
        "POST /otp/verify": Operation(
            "verify_code",
            "A code, whatever it was sent for.",
            {200: data({"anyOf": [TOKENS.ref, CONFIRMED.ref, VERIFIED.ref]}, SIGNED_IN.meaning, headers=("Set-Cookie",))},
            (*_STEP, "mfa_required", "email_taken", "signup_closed", "email_not_verified"),
            example={"email": "ann@example.com", "code": "123456"},
        ),
        "POST /otp/remove": Operation("remove_codes", "Remove the factor of a channel.", {200: status("removed")}, ("not_found", "conflict")),
    },
)  # fmt: skip
