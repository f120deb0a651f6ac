"""Checks of what lies on this machine: settings, database, key, clock, and what the database tells of deliveries and the trail."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from authsvc.cli.findings import FAIL, OK, WARN, Finding
from authsvc.config.limits import LIMITS
from authsvc.config.settings import Settings
from authsvc.flows import verification
from authsvc.flows.core import Core
from authsvc.flows.keyring import DAY_MS
from authsvc.primitives.keyring import Keyring
from authsvc.problems import Refused
from authsvc.store import keyfile
from authsvc.store.inspection import Inspection, free_bytes
from authsvc.world import INFO, World

MIB = 1_048_576
LEAST_FREE_BYTES = 64 * MIB  # as much as the write-ahead log may take
WEAKEST_HASH_KIB = 7_168 * 5  # memory times passes of the least that OWASP's cheat sheet on password storage allows
AHEAD_MS = 60_000  # how far the newest event may lie ahead of the clock
OVERDUE_MS = 600_000
RECENT_ROWS = 5_000  # of the audit trail; all of it is for `authsvc audit verify`


class Quiet(World):
    """This world without its log: what would stand there is a finding."""

    def log(self, message: str, level: str = INFO, *, event: str | None = None, **fields: Any) -> None:
        """Said as a finding."""


def settings(given: Settings) -> Iterator[Finding]:
    kind = "a workbench" if given.workbench else "production"
    yield Finding("settings", OK, f"{kind} at {given.public_url}, {len(given.sources)} set")
    if not given.workbench and given.public_url.scheme == "http":
        yield Finding("settings", WARN, "the public URL is plain http", "only inside a private network; everywhere else use https")
    if given.hash_memory_kib * given.hash_time < WEAKEST_HASH_KIB:
        yield Finding("settings", WARN, "password hashes are cheap to guess", "leave AUTHSVC_HASH_MEMORY_KIB and AUTHSVC_HASH_TIME unset")
    off = [name for name in LIMITS if name in given.limits and not given.limits[name].burst]
    if off and not given.workbench:
        yield Finding("settings", WARN, f"without a limit: {', '.join(off)}", "unset AUTHSVC_LIMIT_… = 0")


def proxies(given: Settings) -> Iterator[Finding]:
    trusted = given.trusted_proxies
    if any(network.prefixlen == 0 for network in trusted):
        yield Finding("proxies", FAIL, "everybody is a trusted proxy, so anybody can claim any address", "name the proxies' own networks")
    elif given.secure and not trusted:
        detail = "https is done by somebody before us, and nobody is trusted to say who calls: all callers count as one for the limits"
        yield Finding("proxies", WARN, detail, "name the reverse proxy's network in AUTHSVC_TRUSTED_PROXIES")
    else:
        yield Finding("proxies", OK, f"trusted: {', '.join(map(str, trusted)) or 'none'}")


def database(given: Settings, found: Inspection | None) -> Iterator[Finding]:
    if found is None:
        path = Path(given.database).resolve()
        if not path.parent.is_dir():
            yield Finding("database", FAIL, f"the folder {path.parent} does not exist", "make it, and let the service's user own it")
            return
        if Path(f"{path}.lock").exists() and Path(f"{path}.lock").stat().st_size:
            yield Finding("database", FAIL, f"{path} is gone or empty", "restore it: authsvc restore FILE")
        else:
            yield Finding("database", WARN, f"there is none at {path} yet", "the first start makes it")
        yield _room(free_bytes(str(path)), 0)
        return
    if found.damage:
        yield Finding("database", FAIL, f"{found.path} is damaged: {'; '.join(found.damage)}", "restore it: authsvc restore FILE --force")
    elif not os.access(found.path, os.R_OK | os.W_OK):
        yield Finding("database", FAIL, f"{found.path} cannot be written", "let the service's user own the file and its folder")
    elif found.schema < found.newest:
        detail = f"{found.path} has schema {found.schema}; the next start makes it {found.newest} and puts a copy aside"
        yield Finding("database", WARN, detail, "make a backup first: authsvc backup FILE")
    else:
        yield Finding("database", OK, f"{found.path} is whole, schema {found.schema}, {found.size / MIB:.1f} MiB")
    yield _room(found.free, found.size)


def _room(free: int, size: int) -> Finding:
    told = f"{free / MIB:.0f} MiB free"
    if free < LEAST_FREE_BYTES:
        return Finding("disk", FAIL, told, "make room: when it is full every write is refused")
    if free < size + LEAST_FREE_BYTES:
        return Finding("disk", WARN, f"{told}, less than an upgrade needs for the copy that it puts aside", "make room")
    return Finding("disk", OK, told)


def key(given: Settings, found: Inspection | None) -> Iterator[Finding]:
    path = str(Path(given.database).resolve())
    file = Path(path + ".key")
    if not given.secret_key and not file.exists() and given.workbench and not (found and found.kids):
        yield Finding("key", OK, f"none yet; the first start makes {file}")
        return
    try:
        keys = keyfile.keyring(given, path, Quiet(), may_make=False)
    except Refused as refused:
        yield Finding("key", FAIL, str(refused), "put the key of this database there; a backup of the database does not have it")
        return
    if not given.secret_key and stat.S_IMODE(file.stat().st_mode) & keyfile.OTHERS:
        yield Finding("key", WARN, f"others can read {file}", f"chmod 600 {file}")
    yield _fitting(keys, found.kids if found else [], "AUTHSVC_SECRET_KEY" if given.secret_key else str(file))


def _fitting(keys: Keyring, kids: list[str], source: str) -> Finding:
    if kids and not any(keys.get(kid) for kid in kids):
        detail = f"the key of {source} is not the one of this database, which was made with {kids[-1]}"
        return Finding("key", FAIL, detail, "give that one; to replace it keep it in AUTHSVC_SECRET_KEY_PREVIOUS")
    fits = "and fits the database" if keys.current.kid in kids else "and will be noted at the next start"
    return Finding("key", OK, f"{keys.current.kid} comes from {source} {fits}")


def clock(found: Inspection | None, now: int) -> Iterator[Finding]:
    ahead = found.latest_at - now if found else 0
    if ahead > AHEAD_MS:
        detail = f"the clock is {ahead // 1000} seconds behind the newest event in the database"
        yield Finding("clock", FAIL, detail, "set it (and run NTP): sessions and links would live too long, codes of apps fail")
    else:
        yield Finding("clock", OK, "not behind the newest event in the database")


def needs(core: Core) -> Iterator[Finding]:
    """Keys that rows still need and nobody gives."""
    with core.store.read() as tx:
        needed = tx.secret_keys.needs(core.world.now(), core.settings.audit_days * DAY_MS)
    for kid, rows in needed.items():
        if core.keyring.get(kid) is None:
            told = ", ".join(f"{need.rows} {need.what}" for need in rows)
            yield Finding("key", WARN, f"nobody gives the key {kid}, which these need: {told}", "add it to AUTHSVC_SECRET_KEY_PREVIOUS")


def outbox(core: Core) -> Iterator[Finding]:
    with core.store.read() as tx:
        waiting, dead, earliest = tx.outbox.state()
    late = core.world.now() - earliest if earliest is not None else 0
    if late > OVERDUE_MS:
        detail = f"{waiting} messages wait, the first for {late // 60_000} minutes longer than it should"
        yield Finding("outbox", WARN, detail, "does authsvc serve, or with AUTHSVC_DELIVERY=off authsvc worker, run?")
    if dead:
        yield Finding("outbox", WARN, f"{dead} messages were given up", "authsvc outbox list, then outbox retry or drop")
    if late <= OVERDUE_MS and not dead:
        yield Finding("outbox", OK, f"{waiting} messages wait, none was given up")


def webhooks(core: Core) -> Iterator[Finding]:
    with core.store.read() as tx:
        every = tx.webhooks.every()
    for hook in every:
        if hook.enabled and hook.failing_since is not None:
            hours = (core.world.now() - hook.failing_since) // 3_600_000
            yield Finding("webhooks", WARN, f"{hook.id} has failed for {hours} hours", "look at its deliveries, and at the receiver's log")
        elif not hook.enabled and hook.disabled_reason:
            yield Finding("webhooks", WARN, f"{hook.id} was disabled: {hook.disabled_reason}", "mend the receiver, then enable it again")
    if not any(hook.failing_since is not None if hook.enabled else hook.disabled_reason for hook in every):
        yield Finding("webhooks", OK, f"{len(every)}, none fails")


def audit(core: Core) -> Iterator[Finding]:
    with core.store.read() as tx:
        last = tx.trail.last() or 0
    verdict = verification.verify(core, from_seq=max(1, last - RECENT_ROWS), most=2 * RECENT_ROWS)
    if verdict.first_bad:
        bad = verdict.first_bad
        advice = (
            "give the key that it was written with"
            if bad.reason == verification.KEY_UNKNOWN
            else "somebody wrote past authsvc: audit verify"
        )
        yield Finding("audit", FAIL, f"row {bad.seq} ({bad.id or 'not there'}): {bad.reason}", advice)
    else:
        yield Finding("audit", OK, f"the newest {verdict.rows} rows are as they were written")
