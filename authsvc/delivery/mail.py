"""From a row of the outbox to a mail: what it says, whether anybody is to get it at all, and handing it over."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Any

from authsvc.config.settings import Settings
from authsvc.delivery.letters import Letters, words_of
from authsvc.delivery.senders import BATCH_SECONDS, Broken, Connection, Envelope, Permanent, Sender, Temporary, Unreachable
from authsvc.delivery.worker import Ended
from authsvc.primitives import codes, links
from authsvc.primitives.emails import routed
from authsvc.primitives.keyring import Keyring
from authsvc.rules.challenges import DAY, HOUR, INVITE, KINDS, MAGIC, MINUTE, VERIFY
from authsvc.store.challenges import Challenge
from authsvc.store.outbox import DEAD, LEASE_MS, MAIL, NEEDLESS, SENT, Message
from authsvc.store.sqlite import Store
from authsvc.store.users import ACTIVE, User
from authsvc.world import World


class MailCourier:
    """Delivers the rows of kind `mail`."""

    kind = MAIL
    batch = 20  # for one connection
    lease_ms = LEASE_MS

    def __init__(self, settings: Settings, world: World, keyring: Keyring, store: Store, sender: Sender) -> None:
        self._settings = settings
        self._world = world
        self._keyring = keyring
        self._store = store
        self._sender = sender
        self.letters = Letters(settings.letters)

    def deliver(self, batch: Sequence[Message]) -> Iterator[Ended]:
        """Each message as it ends. One connection carries all; where it breaks, the next message gets a new one."""
        waiting = deque(batch)
        deadline = self._world.monotonic() + BATCH_SECONDS
        while waiting:
            while waiting and isinstance(ended := self._prepared(waiting[0]), Ended):
                waiting.popleft()
                yield ended
            if waiting and self._world.monotonic() > deadline:
                yield from _all_put_off(waiting, "the mail server is too slow")
            try:
                if waiting:
                    with self._sender.connected() as connection:
                        yield from self._over(connection, waiting)
            except Unreachable as error:
                yield from _all_put_off(waiting, str(error))

    def send_now(self, envelope: Envelope) -> None:
        """Past the outbox, for somebody who waits to see it work; raises Permanent or Temporary."""
        with self._sender.connected() as connection:
            connection.send(envelope)

    def _over(self, connection: Connection, waiting: deque[Message]) -> Iterator[Ended]:
        """What one connection takes, up to its end."""
        while waiting:
            message = waiting.popleft()
            envelope = self._prepared(message)
            if isinstance(envelope, Ended):
                yield envelope
                continue
            outcome, error = _sent(connection, envelope)
            yield Ended(message, outcome, str(error) if error else None)
            if isinstance(error, Broken):
                return

    def _prepared(self, message: Message) -> Envelope | Ended:
        """The mail; or how the message ends without one. A letter that cannot be written delays no other."""
        try:
            return self._envelope(message)
        except Permanent as error:
            return Ended(message, DEAD, str(error))
        except (LookupError, ValueError) as error:  # a key that is gone, a letter with a fault
            return Ended(message, None, f"the letter cannot be written: {error}")

    def _envelope(self, message: Message) -> Envelope | Ended:
        """The mail, or how the message ends where nobody is to get one (any more)."""
        payload = json.loads(message.payload)
        with self._store.read() as tx:
            challenge = tx.challenges.get(message.ref) if message.ref else None
            user = tx.users.get(message.user_id) if message.user_id else None
        if message.ref and challenge is None:
            return Ended(message, NEEDLESS)
        words = self._words(payload, challenge)
        envelope = self.compose(message.id, payload["letter"], payload["to"], payload["locale"], words, at=message.created_at)
        # Composed all the same: how busy we are would tell which address has an account.
        now = self._world.now()
        return envelope if challenge is None or is_of_use(challenge, user, now) else without_use(message, challenge, now)

    def compose(self, message_id: str, letter: str, to: str, locale: str | None, words: dict[str, Any], *, at: int) -> Envelope:
        """The mail as it is each time it is sent: the same id, the same date (ms)."""
        settings = self._settings
        rendered = self.letters.render(letter, locale, words_of({"service": settings.name, "address": to, **words}))
        sender, recipient = settings.mail_from, routed(to)
        mail = EmailMessage(policy=SMTP if recipient.isascii() else SMTPUTF8)
        mail["Subject"] = rendered.subject
        mail["From"] = Address(sender.name or settings.name, *_halves(sender.address))
        mail["To"] = Address("", *_halves(recipient))
        mail["Date"] = format_datetime(datetime.fromtimestamp(at // 1000, UTC))
        mail["Message-ID"] = f"<{message_id}@{_halves(sender.address)[1]}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice comes back
        mail.set_content(rendered.text, cte="quoted-printable")  # 7 bits wide: every server takes it
        mail.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
        mail["Content-Language"] = rendered.locale  # not before: setting the content drops what is called Content-*
        envelope = Envelope(message_id, sender.address, recipient, mail)
        if message_from_bytes(envelope.to_bytes()).keys() != mail.keys():  # whatever a value did to become a header of its own
            raise Permanent("a header of this mail would be read as several")
        return envelope

    def _words(self, payload: dict[str, Any], challenge: Challenge | None) -> dict[str, Any]:
        base = str(self._settings.public_url)
        facts = dict(payload["facts"])
        if "when" in facts:
            facts["when"] = when(facts["when"])
        urls = {"account_url": f"{base}/account", "login_url": f"{base}/login", "forgot_url": f"{base}/password/forgot"}
        return {**urls, **facts, **(self._secrets(challenge, base) if challenge else {})}

    def _secrets(self, challenge: Challenge, base: str) -> dict[str, Any]:
        """The link and the code: derived now, and only now."""
        key = self._keyring.get(challenge.kid)
        if key is None:
            raise LookupError(f"challenge {challenge.id} was made under a key that is gone")
        kind = KINDS[challenge.purpose]
        seconds = (challenge.expires_at - challenge.sent_at) // 1000
        return {
            "link": f"{base}{kind.path}{kind.joint}{links.mint(key, challenge.id, challenge.purpose)}",
            "code": codes.code(key, challenge.id, challenge.sends),
            "minutes": seconds // MINUTE,
            "hours": seconds // HOUR,
            "days": seconds // DAY,
        }


def _sent(connection: Connection, envelope: Envelope) -> tuple[str | None, Exception | None]:
    """How it ended, and what went wrong."""
    try:
        connection.send(envelope)
    except Permanent as error:
        return DEAD, error
    except Temporary as error:
        return None, error
    return SENT, None


def _all_put_off(waiting: deque[Message], error: str) -> Iterator[Ended]:
    while waiting:
        yield Ended(waiting.popleft(), None, error)


def without_use(message: Message, challenge: Challenge | None, now: int) -> Ended:
    """How a message ends that has become useless: given up, on record, if it was tried until its link or code ran out."""
    if message.last_error and challenge is not None and challenge.used_at is None and challenge.expires_at <= now:
        return Ended(message, DEAD, f"it ran out before it could be sent: {message.last_error}")
    return Ended(message, NEEDLESS)


def is_of_use(challenge: Challenge, user: User | None, now: int) -> bool:
    """Whether somebody can do something with the link: it is open, and leads to an account, or may make one."""
    if challenge.used_at is not None or challenge.expires_at <= now:
        return False
    if user is None:
        makes_one = challenge.purpose == MAGIC.purpose and bool(json.loads(challenge.data)["create_user"])
        return makes_one or challenge.purpose == INVITE.purpose
    if user.status != ACTIVE:
        return False
    return not (challenge.purpose == VERIFY.purpose and user.email_verified_at is not None)


def _halves(address: str) -> tuple[str, str]:
    local, _, domain = address.rpartition("@")
    return local, domain


def when(milliseconds: int) -> str:
    """A moment as it stands in letters, readable in every language."""
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%d %H:%M} UTC"
