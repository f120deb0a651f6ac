"""Every event name: one vocabulary for audit, webhooks and metrics. Recording them is store/events.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of thing that happens to an account, in the past tense. `internal`: of no concern to the account's owner.
    `counted_only`: it happens too often to be kept, and is in the metrics alone."""

    name: str
    meaning: str
    internal: bool = False
    counted_only: bool = False


USER_REGISTERED = Event("user.registered", "Somebody made an account for themselves.")
USER_CREATED = Event("user.created", "An administrator made an account.")
USER_UPDATED = Event("user.updated", "Fields of an account changed; `data.fields` names them.")
USER_DISABLED = Event("user.disabled", "An account was disabled and its sessions ended.")
USER_DELETED = Event("user.deleted", "An account was deleted with all that hung on it.")
INVITE_CREATED = Event("invite.created", "Somebody was invited to make an account; `data.invite_id` names the invite.")
INVITE_REVOKED = Event("invite.revoked", "An invite was taken back before it was used; `data.invite_id` names it.")
ROLE_CHANGED = Event("role.changed", "The roles of an account changed.")
ROLE_CREATED = Event("role.created", "A role was made; `data.after` has its caps.")
ROLE_UPDATED = Event("role.updated", "A role has other caps or another description; `data` has its caps `before` and `after`.")
ROLE_DELETED = Event("role.deleted", "A role was deleted, and taken from all who had it.")
KEY_CREATED = Event("key.created", "An API key was made; `data.caps` says what it may do.")
KEY_REVOKED = Event("key.revoked", "An API key was revoked.")
KEYS_ROTATED = Event(
    "keys.rotated", "Another key signs tokens, or makes all that is derived; `data.kind` and `data.kid` say which.", internal=True
)
KEYS_RETIRED = Event("keys.retired", "A key was taken out of use; what was made with it ends.", internal=True)
LOGIN_SUCCEEDED = Event("login.succeeded", "A session was opened; `data.amr` says how.")
LOGIN_FAILED = Event("login.failed", "A sign-in or a confirmation of identity was refused; `data.reason` says why.")
SESSION_REFRESHED = Event("session.refreshed", "A refresh token was spent for its successor.", counted_only=True)
SESSION_REVOKED = Event("session.revoked", "A session was ended before its time.")
SESSION_REUSE_DETECTED = Event("session.reuse_detected", "A spent refresh token came back: its session was ended.")
PASSWORD_CHANGED = Event("password.changed", "The password of an account was set.")
PASSWORD_RESET_REQUESTED = Event("password.reset_requested", "Somebody asked for a password-reset link.")
PASSWORD_RESET = Event("password.reset", "A password was set by a link in a mail.")
EMAIL_VERIFICATION_SENT = Event("email.verification_sent", "A mail to confirm an address was put into the outbox.")
EMAIL_VERIFIED = Event("email.verified", "An address was confirmed by a link or code that was mailed to it.")
EMAIL_CHANGED = Event("email.changed", "An account has another address; `data.undone` where a change was taken back.")
MAGIC_SENT = Event("magic.sent", "Somebody asked for a sign-in link.")
MAGIC_USED = Event("magic.used", "A sign-in link, or the code beside it, was used.")
OTP_SENT = Event("otp.sent", "A code was put into the outbox; `data.channel` says where to.")
OTP_FAILED = Event("otp.failed", "A wrong code was tried.")
PHONE_VERIFIED = Event("phone.verified", "A phone number was proved by a code that was sent to it.")
LOGIN_MFA_REQUIRED = Event("login.mfa_required", "The first step of a sign-in was done; the second is awaited.")
FACTOR_ADDED = Event("factor.added", "A second factor was confirmed; `data.type` names its kind.")
FACTOR_REMOVED = Event("factor.removed", "A second factor was removed; `data.type` names its kind.")
RECOVERY_USED = Event("recovery.used", "A recovery code took the place of a second factor; `data.left` counts the others.")
RECOVERY_RENEWED = Event("recovery.renewed", "New recovery codes were made; the old ones do not count any more.")
IDENTITY_LINKED = Event("identity.linked", "An identity at an OAuth provider was linked to an account; `data.provider` names it.")
IDENTITY_UNLINKED = Event("identity.unlinked", "An identity at an OAuth provider was unlinked; `data.provider` names it.")
ACCOUNT_RECLAIMED = Event("account.reclaimed", "An address was proved by another way in: what had been set up before was dropped.")
LIMIT_HIT = Event("limit.hit", "Something was not done because of a limit on its effects; `data.limit` names it.")
LIMIT_CLEARED = Event("limit.cleared", "An operator filled the buckets of a limit; `data.limit` names it.", internal=True)
CAPTCHA_FAILED = Event(
    "captcha.failed", "A CAPTCHA was refused, or could not be checked; `data.reason` says why, `data.passed` whether it was let through."
)
WEBHOOK_CREATED = Event("webhook.created", "A webhook was made; `data.url` is the host that it goes to.")
WEBHOOK_UPDATED = Event(
    "webhook.updated",
    "A webhook was changed, or its secret renewed; `data.fields` says what. `data.forgotten`: this many events, wanted or not, were forgotten before it was served.",
)
WEBHOOK_DELETED = Event("webhook.deleted", "A webhook was deleted.")
WEBHOOK_DISABLED = Event("webhook.disabled", "A webhook was disabled after failing for too long, or because its receiver is gone.")
DATABASE_RESTORED = Event(
    "database.restored", "A backup took the place of the database: what happened after `data.backup_at` is gone.", internal=True
)
USERS_EXPORTED = Event("users.exported", "All accounts were written into a file, with their password hashes.", internal=True)
DELIVERY_FAILED = Event("delivery.failed", "A message was given up; `data.error` says why.", internal=True)

EVENTS: tuple[Event, ...] = tuple(value for value in globals().values() if isinstance(value, Event))


class Cause(NamedTuple):
    """Who made an event happen, and from where. `label`, `ip` and `user_agent` are personal data."""

    actor_type: str = "anonymous"
    actor_id: str | None = None
    label: str | None = None
    session_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None

    def by_user(self, user_id: str, label: str, session_id: str | None = None) -> Cause:
        """The same cause, once it is known who it was."""
        return self._replace(actor_type="user", actor_id=user_id, label=label, session_id=session_id)

    def by_key(self, key_id: str, name: str) -> Cause:
        """The same cause, made by an API key."""
        return self._replace(actor_type="key", actor_id=key_id, label=name)

    def labelled(self, label: str) -> Cause:
        """The same cause with the name that the caller gave, whether or not it exists."""
        return self._replace(label=label)


CLI = Cause(actor_type="cli", label="authsvc")
SYSTEM = Cause(actor_type="system", label="authsvc")
