"""Time-based one-time passwords (RFC 6238): SHA-1, 6 digits, 30 seconds, since that is what every authenticator app does."""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import quote

from authsvc.primitives.codes import DIGITS, truncate
from authsvc.primitives.keyring import Key, Purpose, decode, encode
from authsvc.problems import Invalid

STEP_SECONDS = 30
SECRET_BYTES = 20  # RFC 4226 section 4, R6
LEAST_SECRET_BYTES = 10  # what the first authenticator app had, below RFC 4226's 16 but still in use
MOST_SECRET_BYTES = 32  # as many as are derived
MARK = "."  # stands in no nonce
WINDOW = 1  # steps to either side that are let pass, for clocks and slow fingers

_FORM = re.compile(rf"[0-9]{{{DIGITS}}}")


def secret(key: Key, factor_id: str, nonce: str) -> bytes:
    """The shared secret of a factor: the same each time it is asked for, and stored nowhere.

    The nonce of one that was made elsewhere ends in the difference between its secret and the derived one. To whoever lacks
    the key that is as good as random.
    """
    plain, mark, difference = nonce.partition(MARK)
    derived = key.derive(Purpose.TOTP, factor_id, plain)
    return _xor(derived, decode(difference)) if mark else derived[:SECRET_BYTES]


def adopted(key: Key, factor_id: str, nonce: str, shared: bytes) -> str:
    """The nonce under which this factor has a secret that was made elsewhere; of at most MOST_SECRET_BYTES."""
    return f"{nonce}{MARK}{encode(_xor(key.derive(Purpose.TOTP, factor_id, nonce), shared))}"


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


def read(text: str) -> bytes:
    """A secret that people or other systems wrote down in Base32; raises Invalid."""
    compact = re.sub(r"[ =-]", "", text).upper()
    try:
        shared = base64.b32decode(compact + "=" * (-len(compact) % 8))
    except ValueError:
        raise Invalid("invalid", "A secret is written in Base32.") from None
    if not LEAST_SECRET_BYTES <= len(shared) <= MOST_SECRET_BYTES:
        raise Invalid("not_allowed", f"A secret has from {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes.")
    return shared


def uri(shared: bytes, issuer: str, account: str) -> str:
    """What the QR code says (Key URI Format). Neither name may hold a colon; defaults are left out, since apps choke on extras."""
    issuer, account = (quote(name.replace(":", " "), safe="") for name in (issuer, account))
    return f"otpauth://totp/{issuer}:{account}?secret={readable(shared)}&issuer={issuer}"


def _xor(long: bytes, short: bytes) -> bytes:
    """As many bytes as the shorter one has."""
    return bytes(one ^ other for one, other in zip(long, short, strict=False))
