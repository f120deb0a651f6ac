"""What a transaction offers: one object per table, all on the same connection."""

from __future__ import annotations

import sqlite3
from functools import cached_property

from authsvc.primitives.keyring import Keyring
from authsvc.primitives.metrics import Increment, increment
from authsvc.store.buckets import Buckets
from authsvc.store.captchas import Captchas
from authsvc.store.challenges import Challenges
from authsvc.store.counts import Counts
from authsvc.store.delays import Delays
from authsvc.store.deliveries import Deliveries
from authsvc.store.directory import Directory
from authsvc.store.erasures import Erasures
from authsvc.store.events import Events
from authsvc.store.expiry import Expired
from authsvc.store.factors import Factors
from authsvc.store.identities import Identities
from authsvc.store.keys import Keys
from authsvc.store.outbox import Outbox
from authsvc.store.readiness import Readiness
from authsvc.store.roles import Roles
from authsvc.store.seals import Seals
from authsvc.store.secret_keys import SecretKeys
from authsvc.store.sessions import Sessions
from authsvc.store.signing_keys import SigningKeys
from authsvc.store.sms_counts import SmsCounts
from authsvc.store.stats import Stats
from authsvc.store.trail import Trail
from authsvc.store.users import Users
from authsvc.store.webhooks import Webhooks
from authsvc.world import World


class Tx:
    """A view of the store while a read or write block lasts."""

    def __init__(self, connection: sqlite3.Connection, keyring: Keyring, world: World) -> None:
        self._connection = connection
        self._keyring = keyring
        self._world = world
        self.has_work = False  # whether somebody should be woken once this is committed
        self.counted: list[Increment] = []  # what counts once this is committed

    def close(self) -> None:
        """Close the connection; only a reader's, which belongs to nobody else."""
        self._connection.close()

    @cached_property
    def users(self) -> Users:
        return Users(self._connection)

    @cached_property
    def directory(self) -> Directory:
        return Directory(self._connection)

    @cached_property
    def erasures(self) -> Erasures:
        return Erasures(self._connection)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self._connection)

    @cached_property
    def events(self) -> Events:
        return Events(self._connection, self._keyring, self._world, self.count)

    @cached_property
    def trail(self) -> Trail:
        return Trail(self._connection)

    @cached_property
    def seals(self) -> Seals:
        return Seals(self._connection)

    @cached_property
    def buckets(self) -> Buckets:
        return Buckets(self._connection, self._keyring, self.count)

    @cached_property
    def delays(self) -> Delays:
        return Delays(self._connection, self._keyring, self.count)

    @cached_property
    def captchas(self) -> Captchas:
        return Captchas(self._connection)

    @cached_property
    def challenges(self) -> Challenges:
        return Challenges(self._connection)

    @cached_property
    def factors(self) -> Factors:
        return Factors(self._connection)

    @cached_property
    def identities(self) -> Identities:
        return Identities(self._connection)

    @cached_property
    def roles(self) -> Roles:
        return Roles(self._connection)

    @cached_property
    def keys(self) -> Keys:
        return Keys(self._connection)

    @cached_property
    def secret_keys(self) -> SecretKeys:
        return SecretKeys(self._connection)

    @cached_property
    def signing_keys(self) -> SigningKeys:
        return SigningKeys(self._connection)

    @cached_property
    def webhooks(self) -> Webhooks:
        return Webhooks(self._connection, self._world)

    @cached_property
    def deliveries(self) -> Deliveries:
        return Deliveries(self._connection)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self._connection, self._world, self.note_work)

    @cached_property
    def sms_counts(self) -> SmsCounts:
        return SmsCounts(self._connection)

    @cached_property
    def readiness(self) -> Readiness:
        return Readiness(self._connection)

    @cached_property
    def counts(self) -> Counts:
        return Counts(self._connection)

    @cached_property
    def expired(self) -> Expired:
        return Expired(self._connection)

    @cached_property
    def stats(self) -> Stats:
        return Stats(self._connection)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count something, once this is committed."""
        self.counted.append(increment(name, amount, labels))

    def note_work(self) -> None:
        """Wake those who deliver, once this is committed."""
        self.has_work = True
