"""Which key pair signs access tokens: made at the first start, changed by a rotation or by another AUTHSVC_JWT_ALG."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from authsvc import events
from authsvc.events import Cause
from authsvc.flows.core import Core
from authsvc.primitives import keypairs
from authsvc.primitives.jws import HS256
from authsvc.primitives.jwts import LEEWAY_SECONDS
from authsvc.primitives.keypairs import Unopened
from authsvc.problems import Refused
from authsvc.store.signing_keys import CURRENT, NEXT, RETIRED, SigningKey, derived_until
from authsvc.store.tx import Tx

# Beside their life and the leeway: a token may have been signed just before, by a process that was held up since.
LATE_SECONDS = 10


class Rotated(NamedTuple):
    """The key that signs now, and for how long anybody could know it before (ms)."""

    kid: str
    known_for: int


def prepare(core: Core) -> None:
    """See to it that the store has the keys that the settings want: one that signs, and the next. Most starts only look.

    Of processes that start at once the first to write wins. Raises Refused.
    """
    rows, wanted = _rows(core), core.settings.jwt_alg
    if _fits(rows, wanted):
        _refuse_lost(core, rows)
        _mend_next(core, rows)
        _reseal(core, rows)
        return
    made = [] if wanted == HS256 else [_new(core, CURRENT, wanted), _new(core, NEXT, wanted)]
    with core.store.write() as tx:
        rows = tx.signing_keys.live(core.world.now())
        if not _fits(rows, wanted):
            _exchange(tx, core, made, had_current=_of(rows, CURRENT) is not None)


def rotate(core: Core, cause: Cause) -> Rotated:
    """The next key signs from now on; the current one only verifies, until its last token has run out. Raises Refused."""
    rows = _rows(core)
    current = _of(rows, CURRENT)
    if current is None:
        _refuse_derived(core)
        prepare(core)
    _mend_next(core, rows)
    following = _new(core, NEXT, current.alg if current else core.settings.jwt_alg)  # whatever the settings of a command say
    with core.store.write() as tx:
        promoted = _advance(tx, core, following, cause)
    core.token_keys.look()
    return Rotated(promoted.kid, core.world.now() - promoted.created_at)


def retire(core: Core, kid: str, cause: Cause) -> bool:
    """Take a key away with all tokens that it signed; one that is in use is replaced. False when there is none of this id."""
    rows = _rows(core)
    found = next((row for row in rows if row.kid == kid), None)
    if found is None:
        return False
    if found.state == CURRENT:
        _mend_next(core, rows)
    following = None if found.state == RETIRED else _new(core, NEXT, found.alg)
    with core.store.write() as tx:
        if following and _is(tx, core, kid, CURRENT):
            _advance(tx, core, following, cause)
        removed = tx.signing_keys.remove(kid)
        if following and removed:
            tx.signing_keys.add(following)  # unless there is a next one
        if removed:
            tx.events.record(events.KEYS_RETIRED, cause, data={"kind": "signing", "kid": kid})
    core.token_keys.look()
    return removed


def reseal(core: Core) -> None:
    """Put every private key under the current secret key, so that no older one is needed for them."""
    _reseal(core, _rows(core))


def _reseal(core: Core, rows: Sequence[SigningKey]) -> None:
    secret = core.keyring.current
    fresh = []
    for row in rows:
        former = core.keyring.get(row.secret_kid)
        if former is None or former.kid == secret.kid or not keypairs.has_crypto():
            continue
        with suppress(Unopened):  # token_keys.py tells of it
            private = keypairs.unseal(row.sealed, row.kid, row.alg, former)
            fresh.append((row, keypairs.seal(private, row.alg, secret, core.world.random_bytes(keypairs.NONCE_BYTES))))
    if fresh:
        with core.store.write() as tx:
            for row, sealed in fresh:
                tx.signing_keys.reseal(row.kid, row.secret_kid, secret.kid, sealed)


def _rows(core: Core) -> list[SigningKey]:
    with core.store.read() as tx:
        return tx.signing_keys.live(core.world.now())


def _of(rows: Sequence[SigningKey], state: str) -> SigningKey | None:
    return next((row for row in rows if row.state == state), None)


def _is(tx: Tx, core: Core, kid: str, state: str) -> bool:
    found = _of(tx.signing_keys.live(core.world.now()), state)
    return found is not None and found.kid == kid


def _fits(rows: Sequence[SigningKey], wanted: str) -> bool:
    """Whether these keys are what the settings want."""
    algs = {row.state: row.alg for row in rows if row.state != RETIRED}
    return not algs if wanted == HS256 else algs == {CURRENT: wanted, NEXT: wanted}


def _refuse_lost(core: Core, rows: Sequence[SigningKey]) -> None:
    """A service that cannot open its key would sign nothing."""
    current = _of(rows, CURRENT)
    if current and core.keyring.get(current.secret_kid) is None:
        raise Refused(
            f"the signing key {current.kid} was sealed with the secret key {current.secret_kid}, which is gone. Give that one "
            f"(in AUTHSVC_SECRET_KEY_PREVIOUS), or do without it: authsvc keyring retire {current.kid}"
        )


def _mend_next(core: Core, rows: Sequence[SigningKey]) -> None:
    """One that cannot be opened any more has signed nothing, so another takes its place."""
    lost = _of(rows, NEXT)
    if lost and core.keyring.get(lost.secret_kid) is None:
        following = _new(core, NEXT, lost.alg)
        with core.store.write() as tx:
            if _is(tx, core, lost.kid, NEXT):
                tx.signing_keys.remove(lost.kid)
                tx.signing_keys.add(following)


def _refuse_derived(core: Core) -> None:
    if core.settings.jwt_alg == HS256:
        raise Refused(
            "AUTHSVC_JWT_ALG is HS256: access tokens are signed by what is derived from the secret key. "
            "To rotate that: authsvc keyring rotate secret"
        )


def _exchange(tx: Tx, core: Core, made: list[SigningKey], *, had_current: bool) -> None:
    """Another algorithm takes over. What the former keys signed counts until it runs out."""
    now, ends_at = core.world.now(), _end(core)
    former = tx.signing_keys.retire(now, ends_at)
    tx.signing_keys.drop_next()
    tx.signing_keys.remove(HS256)
    for key in made:
        tx.signing_keys.add(key)
    if made and not had_current:
        tx.signing_keys.add(derived_until(now, ends_at))
    data = {"kind": "signing", "kid": made[0].kid if made else core.keyring.current.kid, "alg": core.settings.jwt_alg}
    tx.events.record(events.KEYS_ROTATED, events.SYSTEM, data=data | ({"former": former} if former else {}))


def _advance(tx: Tx, core: Core, following: SigningKey, cause: Cause) -> SigningKey:
    now = core.world.now()
    former = tx.signing_keys.retire(now, _end(core))
    promoted = tx.signing_keys.promote(now)
    if promoted is None:
        raise Refused("there is no next signing key; start the service once, it makes one")
    tx.signing_keys.add(following)
    data = {"kind": "signing", "kid": promoted.kid, "alg": promoted.alg, "former": former, "next": following.kid}
    tx.events.record(events.KEYS_ROTATED, cause, data=data)
    return promoted


def _end(core: Core) -> int:
    """When the last token that is signed now has run out."""
    return core.world.now() + (core.settings.access_seconds + LEEWAY_SECONDS + LATE_SECONDS) * 1000


def _new(core: Core, state: str, alg: str) -> SigningKey:
    """A pair of its own; made outside any transaction, since an RSA key takes a while."""
    core.world.slow("making a key pair")
    if not keypairs.has_crypto():
        raise Refused(f"a key for {alg} needs the extra crypto: pip install '.[crypto]' in a checkout")
    secret, now = core.keyring.current, core.world.now()
    private = keypairs.generate(alg)
    public = keypairs.public_jwk(private)
    sealed = keypairs.seal(private, alg, secret, core.world.random_bytes(keypairs.NONCE_BYTES))
    activated_at = now if state == CURRENT else None
    return SigningKey(keypairs.thumbprint(public), alg, json.dumps(public), sealed, secret.kid, state, now, activated_at)
