"""Secret keys and what is derived from them (HMAC-SHA256). Nothing here is ever stored."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from enum import StrEnum
from functools import cache

KID_LENGTH = 8


class Purpose(StrEnum):
    """What a derived value is for. Two purposes never share a sub-key, so no value passes for another."""

    KID = "key id"
    ACCESS = "access token"
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
    AUDIT = "audit row"
    PERSONAL = "personal data of an audit row"
    SEAL = "seal of audit rows"
    PRUNED = "edge of forgotten audit rows"
    BUCKET = "bucket key"


def encode(raw: bytes) -> str:
    """base64url without padding (RFC 7515 appendix C)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


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


class Keyring:
    """The current key, which makes new things, and older ones, which only check."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        keys = [Key(secret) for secret in secrets]
        self.current = keys[0]
        self._keys = {key.kid: key for key in keys}

    def get(self, kid: str) -> Key | None:
        """The key with this id, if we still have it."""
        return self._keys.get(kid)

    def every(self) -> list[Key]:
        """All keys, for checking what does not name its own."""
        return list(self._keys.values())


def _mac(secret: bytes, label: str) -> bytes:
    return hmac.digest(secret, b"authsvc:" + label.encode(), "sha256")
