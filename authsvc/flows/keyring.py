"""The operator's acts on keys: what there is and what still needs it, rotation, retirement, and keys for other services."""

from __future__ import annotations

from typing import Any, NamedTuple

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import signing
from authsvc.flows.core import Core
from authsvc.primitives import keypairs
from authsvc.primitives.jws import HS256
from authsvc.primitives.jwts import LEEWAY_SECONDS
from authsvc.primitives.keyring import Key
from authsvc.problems import Refused
from authsvc.store.keyfile import KeyFile
from authsvc.store.secret_keys import Need

SECRET, SIGNING = "secret", "signing"
DAY_MS = 86_400_000
PREVIOUS, GONE = "previous", "gone"


class Listed(NamedTuple):
    """A key as its operator sees it. Times in ms; `created_at` of a secret key: when it was first used here."""

    kind: str
    kid: str
    alg: str | None
    state: str
    created_at: int | None
    ends_at: int | None
    needs: list[Need]

    @property
    def rows(self) -> int:
        return sum(need.rows for need in self.needs)


def every(core: Core) -> list[Listed]:
    """The secret keys, newest first, then those that rows need and nobody gives any more, then the signing keys."""
    now = core.world.now()
    with core.store.read() as tx:
        since, needs = tx.secret_keys.every(), tx.secret_keys.needs(now, core.settings.audit_days * DAY_MS)
        pairs = tx.signing_keys.live(now)
    given = [key.kid for key in core.keyring.every()]
    states = dict.fromkeys(given, PREVIOUS) | {core.keyring.current.kid: "current"} | dict.fromkeys(needs.keys() - set(given), GONE)
    secret = [Listed(SECRET, kid, None, state, since.get(kid), None, needs.get(kid, [])) for kid, state in states.items()]
    return secret + [Listed(SIGNING, row.kid, row.alg, row.state, row.created_at, row.ends_at, []) for row in pairs if row.alg != HS256]


def rotate_secret(core: Core, cause: Cause) -> str:
    """A new secret key makes all that is new from now on; whatever was made before goes on. Its id."""
    if core.settings.secret_key:
        raise Refused(
            "the secret key is given by AUTHSVC_SECRET_KEY, so it is rotated there: make a new one (openssl rand -hex 32), give it as "
            "AUTHSVC_SECRET_KEY, and the present one as the first of AUTHSVC_SECRET_KEY_PREVIOUS. Where several processes run, first "
            "give the new one to all of them as a previous one"
        )
    key = KeyFile(core.store.path, core.settings, core.world).add()
    signing.reseal(core)
    with core.store.write() as tx:
        if tx.secret_keys.note(key.kid, core.world.now()):
            tx.events.record(events.KEYS_ROTATED, cause, data={"kind": SECRET, "kid": key.kid})
    return key.kid


def retire(core: Core, kid: str, cause: Cause, *, force: bool) -> str:
    """Take a key out of use; of which kind it was. Raises Refused, for a secret key that something needs unless forced."""
    key = core.keyring.get(kid)
    if key is not None:
        _retire_secret(core, key, cause, force=force)
        return SECRET
    if not signing.retire(core, kid, cause):
        raise Refused(f"there is no key {kid}; see: authsvc keyring list")
    return SIGNING


def shared(core: Core) -> dict[str, Any]:
    """What a service needs to verify our tokens by itself under HS256: sub-keys that are good for nothing else. Never the secret."""
    if core.token_keys.current().alg != HS256:
        raise Refused("access tokens are verified by public keys: give your services the URL of /.well-known/jwks.json")
    return {"keys": [keypairs.shared(key) for key in core.token_keys.derived.every()]}


def _retire_secret(core: Core, key: Key, cause: Cause, *, force: bool) -> None:
    file = KeyFile(core.store.path, core.settings, core.world)
    if key.kid == core.keyring.current.kid:
        raise Refused("this is the key that everything new is made with; first: authsvc keyring rotate secret")
    if not force:
        _refuse_needed(core, key)
    if core.settings.secret_key or key.kid not in {Key(secret.encode()).kid for secret in file.secrets()}:
        raise Refused(f"the key {key.kid} is given by AUTHSVC_SECRET_KEY_PREVIOUS; take it out there")
    signing.reseal(core)
    with core.store.write() as tx:  # so that a start finds a key that it knows, whatever happens in between
        tx.secret_keys.note(core.keyring.current.kid, core.world.now())
    file.remove(key.kid)
    with core.store.write() as tx:
        tx.secret_keys.forget(key.kid)
        tx.events.record(events.KEYS_RETIRED, cause, data={"kind": SECRET, "kid": key.kid, "forced": force})


def _refuse_needed(core: Core, key: Key) -> None:
    now = core.world.now()
    with core.store.read() as tx:
        needs = tx.secret_keys.needs(now, core.settings.audit_days * DAY_MS).get(key.kid, [])
        since = tx.secret_keys.every()
    if needs:
        told = ", ".join(f"{need.rows} {need.what}" for need in needs)
        rows = sum(need.rows for need in needs)
        raise Refused(f"{rows} rows need the key {key.kid}: {told}. With --force they are worth nothing any more")
    later = [at for kid, at in since.items() if kid != key.kid and key.kid in since and at >= since[key.kid]]
    life = core.settings.access_seconds + LEEWAY_SECONDS
    if later and now < min(later) + life * 1000:
        raise Refused(f"access tokens that the key {key.kid} has signed count for up to {life} seconds more; wait, or use --force")
