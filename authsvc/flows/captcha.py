"""Demanding a CAPTCHA before an act, and making the challenges of the built-in one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from authsvc import events
from authsvc.config.captcha import BUILT_IN, OFF
from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.primitives import captcha
from authsvc.primitives.captcha import Wrong
from authsvc.problems import Problem
from authsvc.providers.captcha import Down
from authsvc.rules import captcha as rules
from authsvc.rules.captcha import Charges
from authsvc.world import WARNING

DOWN_RETRY_SECONDS = 30


class Passed(NamedTuple):
    """A token that is good, or that nobody could check: what it is known by when it is used, and until when it would count."""

    name: str
    expires_at: int
    unchecked: bool = False


def when(core: Core, action: str) -> str:
    """What the settings say of an action."""
    if core.settings.captcha == OFF:
        return OFF
    return next((demand.when for demand in core.settings.captcha_on if demand.action == action), OFF)


def demand(core: Core, action: str, given: Mapping[str, Any], cause: Cause) -> None:
    """Let pass who brings a CAPTCHA that is solved, and use it up. Raises captcha_required, captcha_failed and unavailable."""
    token = given.get(rules.TOKEN) or given.get(form_field(core))
    if not token:
        raise Problem("captcha_required", members={"captcha": needs(core, action)})
    try:
        passed = _passed(core, token, action)
    except Wrong as wrong:
        with core.store.write() as tx:
            tx.events.record(events.CAPTCHA_FAILED, cause, outcome="failure", data=_about(core, action, str(wrong)))
        raise _failed(core, action) from None
    except Down as down:
        passed = _unchecked(core, token, action, down, cause)
    digest = hashlib.sha256(f"{core.settings.captcha} {passed.name}".encode()).hexdigest()
    with core.store.write() as tx:
        fresh = tx.captchas.spend(digest, passed.expires_at)
        if not fresh:
            tx.events.record(events.CAPTCHA_FAILED, cause, outcome="failure", data=_about(core, action, "used"))
        elif passed.unchecked:
            tx.events.record(events.CAPTCHA_FAILED, cause, outcome="failure", data=_about(core, action, "vendor_down", passed=True))
    if not fresh:
        raise _failed(core, action)


def needs(core: Core, action: str) -> dict[str, Any]:
    """All that a client needs to know to solve one."""
    return _widget(core, action) | {"challenge_url": f"{core.settings.public_url}/captcha?action={action}"}


def offer(core: Core, action: str, charged: Charges) -> dict[str, Any]:
    """A challenge of the built-in CAPTCHA; of a vendor's, what its widget needs."""
    if core.settings.captcha == OFF:
        return {"provider": None}
    if core.captcha:
        return _widget(core, action)
    world = core.world
    world.slow("deriving the key of a CAPTCHA")
    most = min(rules.tries(core.settings.captcha_difficulty, charged), captcha.MAX_COUNTER)
    return captcha.challenge(
        core.keyring.current,
        world.random_bytes(captcha.RANDOM_BYTES),
        world.random_bytes(captcha.RANDOM_BYTES),
        int.from_bytes(world.random_bytes(8), "big") % most,
        cost=core.settings.captcha_cost,
        expires_at=world.now() + captcha.SECONDS * 1000,
        action=action,
    )


def form_field(core: Core) -> str:
    """What the widget of this CAPTCHA calls the token in a form."""
    return core.captcha.vendor.form_field if core.captcha else BUILT_IN


def _widget(core: Core, action: str) -> dict[str, Any]:
    """Which CAPTCHA it is, and with a vendor the key that its widget wants."""
    known = {"provider": core.settings.captcha, "action": action}
    return known | {"site_key": core.settings.captcha_site_key} if core.captcha else known


def _passed(core: Core, token: str, action: str) -> Passed:
    if core.captcha:
        core.captcha.ask(token, action)
        return Passed(token, _end_of(core))
    solved = captcha.check(core.keyring.every(), token, now=core.world.now(), action=action)
    return Passed(solved.nonce, solved.expires_at)


def _unchecked(core: Core, token: str, action: str, down: Down, cause: Cause) -> Passed:
    """The vendor cannot be asked: the settings say whether that keeps people out or lets them in."""
    lets_in = core.settings.captcha_down == "open" and not down.provoked
    told = f"captcha: {core.settings.captcha}: {down}"
    if lets_in:
        core.world.log(f"{told}; {action} was let through unchecked", WARNING)
        return Passed(token, _end_of(core), unchecked=True)
    with core.store.write() as tx:
        tx.events.record(events.CAPTCHA_FAILED, cause, outcome="failure", data=_about(core, action, "vendor_down"))
    raise Problem("unavailable", "The CAPTCHA cannot be checked just now.", retry_after=DOWN_RETRY_SECONDS, reason=told)


def _end_of(core: Core) -> int:
    """When a vendor's token that was got just now would run out."""
    return core.world.now() + (core.captcha.vendor.life_seconds * 1000 if core.captcha else 0)


def _failed(core: Core, action: str) -> Problem:
    return Problem("captcha_failed", members={"captcha": needs(core, action)})


def _about(core: Core, action: str, reason: str, *, passed: bool = False) -> dict[str, Any]:
    """What is recorded: never the token."""
    return {"provider": core.settings.captcha, "action": action, "reason": reason, "passed": passed}
