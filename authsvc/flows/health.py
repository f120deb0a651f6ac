"""Whether the service can do its work."""

from __future__ import annotations

from authsvc.flows.core import Core


def touch_store(core: Core) -> None:
    """Write to the store and wait for the disk; raises busy or unavailable."""
    with core.store.write() as tx:
        tx.readiness.touch(core.world.now())
