"""Secret keys and what is derived from them (HMAC-SHA256). Nothing here is ever stored."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache

KID_LENGTH = 8


class Purpose(StrEnum):
    """What a derived value is for. Two purposes never share a sub-key, so no value passes for another."""

    KID = "key id"
    ACCESS = "access token"
    SIGNING = "seal of a signing key"
    REFRESH = "refresh token"
    LINK = "link token"
    CODE = "one-time code"
    BINDING = "browser that asked for a link"
    BROWSER = "browser that went to an OAuth provider"
    NONCE = "OpenID nonce"
    VERIFIER = "PKCE verifier"
    DEVICE = "known device"
    TOTP = "authenticator secret"
    RECOVERY = "recovery code"
    WEBHOOK = "webhook secret"
    API_KEY = "API key"
    IMPORTED = "id of an imported account"
    AUDIT = "audit row"
    PERSONAL = "personal data of an audit row"
    SEAL = "seal of audit rows"
    PRUNED = "edge of forgotten audit rows"
    BUCKET = "bucket key"
    CAPTCHA = "CAPTCHA challenge"
    CAPTCHA_KEY = "key that solves a CAPTCHA"


def encode(raw: bytes) -> str:
    """base64url without padding (RFC 7515 appendix C)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Key:
    """One secret key, known to the outside by its `kid` only."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.kid = encode(_mac(secret, Purpose.KID))[:KID_LENGTH]
        self.sub = cache(self._sub)

    def _sub(self, purpose: Purpose) -> bytes:
        """The sub-key of one purpose: 32 bytes."""
        return _mac(self._secret, purpose)

    def derive(self, purpose: Purpose, *parts: str) -> bytes:
        """The 32 bytes that belong to these parts. Each part goes in with its length, so parts never run together."""
        message = b"".join(len(raw).to_bytes(8, "big") + raw for raw in map(str.encode, parts))
        return hmac.digest(self.sub(purpose), message, "sha256")

    def __repr__(self) -> str:
        return f"<Key {self.kid}>"


class Ring:
    """The keys as they were read at one time; `version` tells whether what they were read from is still the same."""

    def __init__(self, secrets: Sequence[bytes], version: object = None) -> None:
        keys = [Key(secret) for secret in secrets]
        self.version = version
        self.current = keys[0]
        self.keys = {key.kid: key for key in keys}


class Keyring:
    """The current key, which makes new things, and older ones, which only check.

    `newer` is asked at each use for another ring, in case the keys have changed since the given version; so no process
    refuses what another has made under a new key, and none needs a restart. It costs a look at a file's date.
    """

    def __init__(self, secrets: Sequence[bytes], version: object = None, newer: Callable[[object], Ring | None] | None = None) -> None:
        self._ring = Ring(secrets, version)
        self._newer = newer

    @property
    def current(self) -> Key:
        return self._now().current

    def get(self, kid: str) -> Key | None:
        """The key with this id, if we still have it."""
        return self._now().keys.get(kid)

    def every(self) -> list[Key]:
        """All keys, the current one first, for checking what does not name its own."""
        return list(self._now().keys.values())

    @property
    def state(self) -> object:
        """Another object once the keys have changed."""
        return self._now()

    def _now(self) -> Ring:
        """Of two threads the slower may put an older ring back: that has its version, and is replaced at the next use."""
        if self._newer is not None:
            found = self._newer(self._ring.version)
            if found is not None:
                self._ring = found
        return self._ring


def _mac(secret: bytes, label: str) -> bytes:
    return hmac.digest(secret, b"authsvc:" + label.encode(), "sha256")
