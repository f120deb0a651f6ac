"""The keys of access tokens as this process knows them: key pairs of the store, else sub-keys of the secret keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from authsvc.primitives import keypairs
from authsvc.primitives.jws import HS256, TokenKey
from authsvc.primitives.jwts import DerivedKeys
from authsvc.primitives.keypairs import Jwk
from authsvc.primitives.keyring import Keyring
from authsvc.problems import Problem, unavailable
from authsvc.store.signing_keys import CURRENT, SigningKey
from authsvc.store.sqlite import Store
from authsvc.world import WARNING, World

LOOK_SECONDS = 2.0  # how long a key that somebody else took away may still verify here
NEVER = float("-inf")
KID_LENGTH = 43  # of a SHA-256 in base64url


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """What the store held when it was last read. Another one is made only when that has changed."""

    rows: tuple[SigningKey, ...] = ()
    keys: Mapping[str, TokenKey] = field(default_factory=dict)
    current: TokenKey | None = None
    current_kid: str | None = None
    published: tuple[Jwk, ...] = ()
    takes_derived: bool = True


class LiveKeys:
    """Reads the store at each signing, for each id that it does not know, and every few seconds beside.

    Whoever signs so never uses a key that was taken away, and whoever verifies knows every key that another process may
    sign with. It is a read of three rows: about a tenth of what verifying a token costs.
    """

    def __init__(self, store: Store, keyring: Keyring, world: World) -> None:
        self.derived = DerivedKeys(keyring)
        self._store = store
        self._keyring = keyring
        self._world = world
        self._set = KeySet()
        self._looked = NEVER
        self._told: set[str] = set()

    def current(self) -> TokenKey:
        found = self.look()
        if found.current_kid is None:
            return self.derived.current()
        if found.current is None:
            raise unavailable(f"the signing key {found.current_kid} cannot be used")
        return found.current

    def find(self, kid: str) -> TokenKey | None:
        found = self._set.keys.get(kid)
        if found is not None:
            return found
        if len(kid) == KID_LENGTH:  # only what may be one of ours is worth a read
            return self.look().keys.get(kid)
        return self.derived.find(kid) if self._set.takes_derived else None

    def state(self) -> object:
        if self._world.monotonic() - self._looked > LOOK_SECONDS:
            self.look()
        return self._set, self.derived.state()

    def published(self) -> tuple[Jwk, ...]:
        """The public keys that verify tokens, the next one among them."""
        return self.look().published

    def look(self) -> KeySet:
        """What the store holds now; while it cannot be read, what it held."""
        try:
            with self._store.read() as tx:
                rows = tuple(tx.signing_keys.live(self._world.now()))
        except Problem:
            if self._looked == NEVER:
                raise
            return self._set
        self._looked = self._world.monotonic()
        if rows != self._set.rows:
            self._set = self._made(rows)
        return self._set

    def _made(self, rows: tuple[SigningKey, ...]) -> KeySet:
        known = self._set.keys
        opened = [(row, known.get(row.kid) or self._opened(row)) for row in rows if row.alg != HS256]
        keys = {row.kid: key for row, key in opened if key is not None}
        current = next((row.kid for row in rows if row.state == CURRENT), None)
        return KeySet(
            rows,
            keys,
            keys.get(current) if current else None,
            current,
            tuple(keypairs.published(keypairs.public_jwk(key.signs), key.alg, kid) for kid, key in keys.items()),
            takes_derived=current is None or any(row.alg == HS256 for row in rows),
        )

    def _opened(self, row: SigningKey) -> TokenKey | None:
        """A row's pair; None for one that cannot be used here, which is told once."""
        secret = self._keyring.get(row.secret_kid)
        try:
            if secret is None:
                reason = f"the secret key {row.secret_kid} is not given"
            elif not keypairs.has_crypto():
                reason = "the extra crypto is not installed"
            else:
                private = keypairs.unseal(row.sealed, row.kid, row.alg, secret)
                return TokenKey(row.kid, row.alg, private, private.public_key())
        except keypairs.Unopened:
            reason = "its seal is not ours"
        if row.kid not in self._told:
            self._told.add(row.kid)
            self._world.log(f"warning: the signing key {row.kid} cannot be used: {reason}", WARNING)
        return None
