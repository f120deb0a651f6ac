"""What every act needs, put together once by app.py."""

from __future__ import annotations

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
    started_at: int  # ms
    stopping: Event = field(default_factory=Event)  # set: no new requests are wanted

    def close(self) -> None:
        """Finish, flush, and let go of the database."""
        self.hasher.close()
        try:
            with suppress(Problem):  # the figures of the last seconds are no reason to fail
                counts.settle(self.store)
        finally:
            self.store.close()
