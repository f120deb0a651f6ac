"""Authenticator apps (RFC 6238)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.primitives import totp
from authsvc.primitives.keyring import Key, Keyring
from authsvc.store.factors import Factor
from authsvc.store.tx import Tx

FAR_STEPS = 10  # how far a clock may be off for us to be able to say so


class Totp:
    """Codes that the owner's app makes from a shared secret and the time."""

    type = "totp"
    amr = "otp"
    channel: str | None = None
    enrols = True

    def details(self, keyring: Keyring, factor: Factor, *, service: str, account: str) -> Mapping[str, Any]:
        shared = _shared(keyring, factor)
        uri = totp.uri(shared, service, account)
        return {"secret": totp.readable(shared), "otpauth_uri": uri, "qr_svg": _qr(uri)}

    def accepts(self, tx: Tx, keyring: Keyring, factor: Factor, code: str, now: int) -> bool:
        if keyring.get(factor.kid) is None:
            return False
        step = totp.matching_step(code, _shared(keyring, factor), totp.step_at(now))
        return step is not None and tx.factors.advance(factor.id, step, now)


def seconds_off(keyring: Keyring, factor: Factor, code: str, now: int) -> int | None:
    """How far the app's clock is ahead (or, negative, behind), if this is a code of its from not too far off."""
    here = totp.step_at(now)
    step = totp.matching_step(code, _shared(keyring, factor), here, FAR_STEPS)
    return None if step is None else (step - here) * totp.STEP_SECONDS


def secret_of(keyring: Keyring, factor: Factor) -> str | None:
    """The secret as its owner's app has it, for taking it elsewhere; None where the key is gone that it was derived from."""
    return totp.readable(_shared(keyring, factor)) if keyring.get(factor.kid) else None


def adopted(key: Key, factor: Factor, shared: bytes) -> Factor:
    """The factor with a secret that was made elsewhere. No code counts that was made up to now."""
    return factor._replace(nonce=totp.adopted(key, factor.id, factor.nonce, shared), last_step=totp.step_at(factor.confirmed_at or 0))


def _shared(keyring: Keyring, factor: Factor) -> bytes:
    key = keyring.get(factor.kid)
    if key is None:
        raise LookupError(f"factor {factor.id} was made under a key that is gone")
    return totp.secret(key, factor.id, factor.nonce)


def _qr(uri: str) -> str | None:
    """The URI as a picture; None without the extra `qr`."""
    try:
        import segno
    except ImportError:
        return None
    svg: str = segno.make(uri, micro=False, error="m").svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True)
    return svg


TOTP = Totp()
