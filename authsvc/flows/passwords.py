"""What a password must be to be set, and how one is checked."""

from __future__ import annotations

from collections.abc import Iterable

from authsvc.flows.core import Core
from authsvc.primitives import ids
from authsvc.problems import Fault, Problem
from authsvc.rules.strength import weakness
from authsvc.store.users import User


class Generated(str):
    """A password that we have made: nobody has had it before, and nobody has to think of a better one."""

    __slots__ = ()


def accept(core: Core, password: str, own: Iterable[str | None], *, field: str = "password") -> list[Fault]:
    """Raise for a password that may not be set; the warnings about one that may. The password is normalised already."""
    if isinstance(password, Generated):
        return []
    if len(password) < core.settings.password_min:
        least = core.settings.password_min
        raise Problem("invalid_request", errors=[Fault(field, "too_short", f"At least {least} characters.")])
    faults = []
    why = weakness(password, own)
    if why is not None:
        faults.append(_weak(field, why, refused=core.settings.weak_passwords_refused))
    times = core.breaches.count(password)
    if times:
        known = f"The password is known from data breaches ({times} times). Use another one, there and here."
        faults.append(_weak(field, known, refused=core.settings.breach_check == "refuse"))
    return faults


def _weak(field: str, why: str, *, refused: bool) -> Fault:
    fault = Fault(field, "password_weak", why)
    if refused:
        raise Problem("invalid_request", errors=[fault])
    return fault


def generated(core: Core) -> Generated:
    """A password for somebody who gave none."""
    return Generated(ids.readable_secret(core.world))


def check(core: Core, user: User | None, password: str) -> tuple[bool, str | None]:
    """Whether it is this user's password, at the same cost for no user; and its new hash if the old one is outdated."""
    encoded = user.password_hash if user else None
    right = core.hasher.verify(encoded, password)
    stale = right and encoded is not None and core.hasher.is_stale(encoded)
    return right, core.hasher.hash(password) if stale else None
