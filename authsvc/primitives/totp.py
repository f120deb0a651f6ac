"""Time-based one-time passwords (RFC 6238): SHA-1, 6 digits, 30 seconds, since that is what every authenticator app does."""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import quote

from authsvc.primitives.codes import DIGITS, truncate
from authsvc.primitives.keyring import Key, Purpose

STEP_SECONDS = 30
SECRET_BYTES = 20  # RFC 4226 section 4, R6
WINDOW = 1  # steps to either side that are let pass, for clocks and slow fingers

_FORM = re.compile(rf"[0-9]{{{DIGITS}}}")


def secret(key: Key, factor_id: str, nonce: str) -> bytes:
    """The shared secret of a factor: the same each time it is asked for, and stored nowhere."""
    return key.derive(Purpose.TOTP, factor_id, nonce)[:SECRET_BYTES]


def step_at(now: int) -> int:
    """The time step of a moment (ms)."""
    return now // (STEP_SECONDS * 1000)


def code(shared: bytes, step: int) -> str:
    return truncate(hmac.digest(shared, step.to_bytes(8, "big"), "sha1"))


def matching_step(given: str, shared: bytes, step: int, window: int = WINDOW) -> int | None:
    """The step within the window whose code this is, the nearest first; None when it is none's. In constant time."""
    digits = re.sub(r"[ -]", "", given)
    if not _FORM.fullmatch(digits):
        return None
    offsets = sorted(range(-window, window + 1), key=abs)
    found = [step + offset for offset in offsets if step + offset >= 0 and hmac.compare_digest(digits, code(shared, step + offset))]
    return found[0] if found else None


def readable(shared: bytes) -> str:
    """Base32 without padding (RFC 4648 section 6), as people type it in."""
    return base64.b32encode(shared).decode("ascii").rstrip("=")


def uri(shared: bytes, issuer: str, account: str) -> str:
    """What the QR code says (Key URI Format). Neither name may hold a colon; defaults are left out, since apps choke on extras."""
    issuer, account = (quote(name.replace(":", " "), safe="") for name in (issuer, account))
    return f"otpauth://totp/{issuer}:{account}?secret={readable(shared)}&issuer={issuer}"
