"""The one assembly: settings and a world in, a WSGI callable out. No globals, so two apps fit one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from authsvc.config import sources
from authsvc.config.settings import Settings
from authsvc.delivery.assembly import deliveries
from authsvc.flows import signing
from authsvc.flows.core import Core
from authsvc.flows.token_keys import LiveKeys
from authsvc.http.cookies import cookies
from authsvc.http.slots import Slots
from authsvc.openapi.reference import Reference
from authsvc.pages.site import site
from authsvc.primitives.buckets import MemoryBuckets
from authsvc.primitives.jws import HS256
from authsvc.primitives.jwts import AccessTokens
from authsvc.primitives.keypairs import has_crypto
from authsvc.primitives.log_forms import FORMS
from authsvc.primitives.metrics import Metrics
from authsvc.primitives.passwords import Cost, Hasher
from authsvc.problems import Refused
from authsvc.providers.assembly import providers
from authsvc.providers.breaches import Breaches
from authsvc.providers.captcha import inquiry
from authsvc.routes import ROUTES
from authsvc.store.opening import open_store
from authsvc.world import World
from authsvc.wsgi import StartResponse, Wsgi

NOWHERE = 0  # no process has this id


class App:
    """A running service: call it as a WSGI application, close it when done. `core` is what flows take."""

    def __init__(self, settings: Settings, world: World | None = None) -> None:
        core = self.core = assemble(settings, world or World())
        try:
            site(settings.pages)  # own pages and letters with faults stop the start
            self.deliveries = deliveries(settings, core.world, core.keyring, core.store)
            signing.prepare(core)
            core.settle()  # else each child of a fork that Python is not told of would have it, too
        except BaseException:
            core.close()
            raise
        core.store.rest()  # the host may fork now, and not each does so in a way that we are told of
        self._wsgi = Wsgi(core, ROUTES)
        self._seen_in = self._at_work_in = NOWHERE
        self._leave_exit: Callable[[], None] = lambda: None
        self._arrive()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if self._at_work_in != os.getpid():
            self._begin()
        return self._wsgi(environ, start_response)

    def is_quick(self, method: str, path: str, authorization: str | None = None) -> bool:
        """Whether this request never waits for the disk or for a password hash, so that an event loop may run it."""
        return self._wsgi.is_quick(method, path, authorization)

    def begin_stop(self) -> None:
        """From now on /readyz says so; whatever comes is still answered."""
        self.core.stopping.set()

    def tick(self) -> int:
        """One round of deliveries and housekeeping, here and now, for hosts that let no thread live; how much was done."""
        self._arrive()
        return self.deliveries.tick()

    def close(self) -> None:
        """Let running deliveries end, flush, and let go of the database. Requests must have ended. Comes by itself when the
        process ends; a second time it does so for requests that came too late."""
        try:
            self.deliveries.stop()
        finally:
            self.core.close()
        self._leave_exit()  # last: what cut this short is made up for at the end of the process
        self._seen_in = self._at_work_in = NOWHERE

    def _begin(self) -> None:
        """A request came, and not all runs that is to run beside requests: the process is new, or could not start a thread."""
        self._arrive()
        if self.deliveries.run_here():
            self._at_work_in = os.getpid()

    def _arrive(self) -> None:
        """The first use in this process. Hosts end without a word to their apps, and the children of multiprocessing forget
        what their parent wanted done at the end."""
        if self._seen_in != os.getpid():
            self._seen_in = os.getpid()
            self.core.arrive()
            self._leave_exit()
            self._leave_exit = self.core.world.at_exit(self.close)


def assemble(settings: Settings, world: World) -> Core:
    """All parts, connected. Raises Refused when something that a start needs is missing or wrong."""
    world.log_form = FORMS[settings.log]
    slots = Slots(threads=settings.threads)
    offered = providers(settings, world, slots)
    if settings.jwt_alg != HS256 and not has_crypto():
        raise Refused(f"AUTHSVC_JWT_ALG={settings.jwt_alg} needs the extra crypto: pip install '.[crypto]' in a checkout")
    metrics = Metrics()
    store, keyring = open_store(settings, world, metrics)
    token_keys = LiveKeys(store, keyring, world)
    cost = Cost(settings.hash_memory_kib, settings.hash_time, settings.hash_parallelism)
    ours = cookies(secure=settings.secure, domain=settings.cookie_domain, mount=settings.public_url.path)
    core = Core(
        settings=settings,
        world=world,
        keyring=keyring,
        store=store,
        metrics=metrics,
        hasher=Hasher(world, cost, budget_mib=settings.hash_budget_mib, metrics=metrics),
        token_keys=token_keys,
        tokens=AccessTokens(token_keys, world, issuer=settings.issuer, audience=settings.audience, seconds=settings.access_seconds),
        memory_buckets=MemoryBuckets(metrics),
        cookies=ours,
        providers=offered,
        breaches=Breaches(world, slots, settings.breach_url if settings.breach_check != "off" else ""),
        captcha=inquiry(settings, world, slots),
        reference=Reference(ROUTES, settings, ours),
    )
    core.arrive()
    return core


def create_app(settings: Mapping[str, Any] | None = None) -> App:
    """An app from a dict of settings by their lower-case names; without one, from the environment."""
    return App(sources.from_environment() if settings is None else sources.from_dict(settings))
