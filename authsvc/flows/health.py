"""Whether the service can do its work. What is wrong is told to anyone in fixed words; the rest is for the log."""

from __future__ import annotations

from authsvc.flows.core import Core
from authsvc.problems import Problem, unavailable

OK = "ok"
STOPPING = "stopping"
KEY_UNKNOWN = "key_unknown"
NOT_CHECKED = "not_checked"


def checks(core: Core) -> dict[str, str]:
    """All that is looked at, and that it is well; raises busy or unavailable, with the same list, when it is not."""
    found = {"process": STOPPING if core.stopping.is_set() else OK, "store": OK, "key": NOT_CHECKED}
    problem = None
    try:
        found["key"] = OK if touch_store(core) else KEY_UNKNOWN
    except Problem as failed:
        problem = failed
        found["store"] = failed.state or failed.code
    if problem is None and any(word != OK for word in found.values()):
        problem = unavailable(f"not ready: {found}")
    if problem is not None:
        raise Problem(problem.code, retry_after=problem.retry_after, reason=problem.reason, members={"checks": found})
    return found


def touch_store(core: Core) -> bool:
    """Write to the store and wait for the disk; whether it is the one of our key. Raises busy or unavailable."""
    with core.store.write() as tx:
        tx.readiness.touch(core.world.now())
        return tx.readiness.knows_key(core.keyring.current.kid)
