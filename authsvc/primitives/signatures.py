"""Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 over id, time and the very bytes that are sent."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"
VERSION = "v1"


def shown(secret: bytes) -> str:
    """A secret as receivers take it."""
    return PREFIX + base64.b64encode(secret).decode("ascii")


def signed(secrets: Iterable[bytes], message_id: str, seconds: int, body: bytes) -> str:
    """The header `webhook-signature`: a signature by each secret, one space between them."""
    content = f"{message_id}.{seconds}.".encode() + body
    return " ".join(f"{VERSION},{base64.b64encode(hmac.digest(secret, content, 'sha256')).decode('ascii')}" for secret in secrets)
