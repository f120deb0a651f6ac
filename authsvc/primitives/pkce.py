"""PKCE (RFC 7636): the method S256 and no other."""

from __future__ import annotations

import hashlib

from authsvc.primitives.keyring import encode

METHOD = "S256"


def challenge(verifier: str) -> str:
    """What is sent ahead, when the verifier itself comes with the code (section 4.2)."""
    return encode(hashlib.sha256(verifier.encode("ascii")).digest())
