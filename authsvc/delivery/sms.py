"""From a row of the outbox to an SMS: what it says, and whether anybody is to get it at all. Handing it over is gateways.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from authsvc.config.settings import Settings
from authsvc.delivery.gateways import Text, sms_sender
from authsvc.delivery.letters import Letters
from authsvc.delivery.mail import is_of_use, without_use
from authsvc.delivery.senders import Permanent, Temporary
from authsvc.delivery.worker import Ended
from authsvc.primitives import codes
from authsvc.primitives.keyring import Keyring
from authsvc.rules.challenges import MINUTE
from authsvc.store.outbox import DEAD, SENT, Message
from authsvc.store.sqlite import Store
from authsvc.world import World


class SmsCourier:
    """Delivers the rows of kind `sms`."""

    kind = "sms"
    batch = 5  # and so within the lease
    lease_ms = 60_000  # a text that is sent anew after a kill still has to arrive within the life of its code

    def __init__(self, settings: Settings, world: World, keyring: Keyring, store: Store, letters: Letters) -> None:
        self._settings = settings
        self._world = world
        self._keyring = keyring
        self._store = store
        self._letters = letters
        self._sender = sms_sender(settings, world)

    def deliver(self, batch: Sequence[Message]) -> Iterator[Ended]:
        for message in batch:
            text = self._text(message)
            if isinstance(text, Ended):
                yield text
                continue
            try:
                self._sender.send(text)
            except Permanent as error:
                yield Ended(message, DEAD, str(error))
            except Temporary as error:
                yield Ended(message, None, str(error))
            else:
                yield Ended(message, SENT)

    def _text(self, message: Message) -> Text | Ended:
        """The SMS, or how the message ends where its code is of no use any more."""
        with self._store.read() as tx:
            challenge = tx.challenges.get(message.ref) if message.ref else None
            user = tx.users.get(message.user_id) if message.user_id else None
        key = self._keyring.get(challenge.kid) if challenge else None
        if challenge is None or key is None or not is_of_use(challenge, user, self._world.now()):
            return without_use(message, challenge, self._world.now())
        payload = json.loads(message.payload)
        host = self._settings.public_url.host
        minutes = max(1, (challenge.expires_at - challenge.sent_at) // 1000 // MINUTE)
        words = {
            "service": self._settings.name,
            "code": codes.code(key, challenge.id, challenge.sends),
            "minutes": str(minutes),
            "host": host,
        }
        body = self._letters.render_text("sms", payload["locale"], words)
        return Text(message.id, self._settings.sms_from, payload["to"], body, message.created_at)
