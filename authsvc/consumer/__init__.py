"""What another service needs to trust our access tokens. It loads nothing of the server: PyJWT, and `cryptography` for key pairs."""

from authsvc.consumer.claims import Claims, Insufficient, InvalidToken, Refusal, Unverifiable
from authsvc.consumer.middleware import AsgiGuard, WsgiGuard, require
from authsvc.consumer.revocations import Revocations
from authsvc.consumer.verifier import Verifier

__all__ = [
    "AsgiGuard",
    "Claims",
    "Insufficient",
    "InvalidToken",
    "Refusal",
    "Revocations",
    "Unverifiable",
    "Verifier",
    "WsgiGuard",
    "require",
]
