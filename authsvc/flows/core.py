"""What every act needs, put together once by app.py."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from authsvc.config.settings import Settings
from authsvc.flows.token_keys import LiveKeys
from authsvc.http.cookies import Cookies
from authsvc.http.html import Safe
from authsvc.primitives.buckets import MemoryBuckets
from authsvc.primitives.jwts import AccessTokens
from authsvc.primitives.keyring import Keyring
from authsvc.primitives.metrics import Metrics
from authsvc.primitives.passwords import Hasher
from authsvc.problems import Problem
from authsvc.providers.assembly import Providers
from authsvc.providers.breaches import Breaches
from authsvc.providers.captcha import Inquiry
from authsvc.store import counts
from authsvc.store.sqlite import Store
from authsvc.world import World


class Reference(Protocol):
    """The description of the API. It is made from the route table, which stands above: app.py puts it in."""

    def document(self) -> bytes:
        """The OpenAPI document."""

    def page(self, core: Core) -> Safe:
        """The same, for people."""


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that acts are made of."""

    settings: Settings
    world: World
    keyring: Keyring
    store: Store
    metrics: Metrics
    hasher: Hasher
    token_keys: LiveKeys
    tokens: AccessTokens
    memory_buckets: MemoryBuckets
    cookies: Cookies
    providers: Providers
    breaches: Breaches
    captcha: Inquiry | None  # of a vendor
    reference: Reference
    stopping: Event = field(default_factory=Event)  # set: no new requests are wanted
    _arrived: dict[int, int] = field(default_factory=dict, init=False)  # by process: when, in ms

    def arrive(self) -> int:
        """To be called first in each process: when that was, in ms. What its parent has counted is the parent's to tell."""
        self.metrics.arrive()
        return self._arrived.setdefault(os.getpid(), self.world.now())

    def settle(self) -> None:
        """Add what this process has counted to the store's sums, if that can be: figures are no reason to fail."""
        with suppress(Problem):
            counts.settle(self.store)

    def close(self) -> None:
        """Finish, flush, and let go of the database."""
        self.arrive()
        self.hasher.close()
        try:
            self.settle()
        finally:
            self.store.close()
