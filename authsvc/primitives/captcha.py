"""The built-in CAPTCHA: ALTCHA's protocol, version 2, with PBKDF2/SHA-256 and a counter that we picked. Single use is the store's business.

Who knows the counter has the key that it leads to; a browser finds it by trying. The key is signed under a second sub-key, so
checking costs two HMACs, whatever the sender wrote, and never a derivation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from authsvc.primitives import strict
from authsvc.primitives.keyring import Key, Purpose

ALGORITHM = "PBKDF2/SHA-256"
RANDOM_BYTES = 16  # of a nonce, and of a salt
KEY_BYTES = 32
PREFIX_BYTES = 16  # nobody meets another key that begins so
COUNTER_BYTES = 4
MAX_COUNTER = 2 ** (8 * COUNTER_BYTES) - 1
MAX_BYTES = 8_192  # of a payload; an honest one has about 800
SECONDS = 600

_PARAMETERS = {
    "algorithm": str,
    "cost": int,
    "data": dict,
    "expiresAt": int,
    "keyLength": int,
    "keyPrefix": str,
    "keySignature": str,
    "nonce": str,
    "salt": str,
}


class Wrong(Exception):
    """A payload that does not pass; the word says why, for the audit trail."""


class Solved(NamedTuple):
    """A challenge of ours that somebody solved: which, until when it counts (ms), and what for."""

    nonce: str
    expires_at: int
    action: str


def challenge(key: Key, nonce: bytes, salt: bytes, counter: int, *, cost: int, expires_at: int, action: str) -> dict[str, Any]:
    """What a widget is given, as JSON has it. `expires_at` in ms. It derives one key: as slow as one try of the solver."""
    solution = derive(nonce, salt, counter, cost)
    parameters = {
        "algorithm": ALGORITHM,
        "cost": cost,
        "data": {"action": action},
        "expiresAt": expires_at // 1000,
        "keyLength": KEY_BYTES,
        "keyPrefix": solution[:PREFIX_BYTES].hex(),
        "keySignature": _mac(key, Purpose.CAPTCHA_KEY, solution),
        "nonce": nonce.hex(),
        "salt": salt.hex(),
    }
    return {"parameters": parameters, "signature": _signature(key, parameters)}


def derive(nonce: bytes, salt: bytes, counter: int, cost: int) -> bytes:
    """One try."""
    return hashlib.pbkdf2_hmac("sha256", nonce + counter.to_bytes(COUNTER_BYTES, "big"), salt, cost, KEY_BYTES)


def check(keys: Iterable[Key], payload: str, *, now: int, action: str) -> Solved:
    """The challenge behind a widget's payload, if one of the keys made it and it is solved. Raises Wrong."""
    parameters, signature, derived = _parse(payload)
    # Before anything of it is believed or used: only what we have written ourselves is looked at further.
    key = next((key for key in keys if hmac.compare_digest(_signature(key, parameters), signature)), None)
    if key is None:
        raise Wrong("forged")
    if parameters["expiresAt"] * 1000 <= now:
        raise Wrong("expired")
    if not hmac.compare_digest(_mac(key, Purpose.CAPTCHA_KEY, derived), parameters["keySignature"]):
        raise Wrong("unsolved")
    if parameters["data"] != {"action": action}:
        raise Wrong("action")
    return Solved(parameters["nonce"], parameters["expiresAt"] * 1000, action)


def _parse(payload: str) -> tuple[dict[str, Any], str, bytes]:
    """The parameters, their signature and the key that was found. Strict: what we do not know is not passed over."""
    if len(payload) > MAX_BYTES:
        raise Wrong("malformed")
    try:
        text = base64.b64decode(payload, validate=True).decode("utf-8")
        outer = strict.loads(text)
        challenge, solution = _members(outer, "challenge", "solution")
        parameters, signature = _members(challenge, "parameters", "signature")
        if not isinstance(solution, dict) or not {"counter", "derivedKey"} <= solution.keys() <= {"counter", "derivedKey", "time"}:
            raise Wrong("malformed")
        if not isinstance(parameters, dict) or {name: type(value) for name, value in parameters.items()} != _PARAMETERS:
            raise Wrong("malformed")
        if not isinstance(_members(parameters["data"], "action")[0], str):
            raise Wrong("malformed")
        if type(solution["counter"]) is not int or not 0 <= solution["counter"] <= MAX_COUNTER:
            raise Wrong("malformed")
        return parameters, _hex(signature), bytes.fromhex(_hex(solution["derivedKey"]))
    except (ValueError, RecursionError):  # binascii.Error and UnicodeError are such
        raise Wrong("malformed") from None


def _members(value: Any, *names: str) -> list[Any]:
    """Exactly these members of an object."""
    if not isinstance(value, dict) or value.keys() != set(names):
        raise Wrong("malformed")
    return [value[name] for name in names]


def _hex(value: Any) -> str:
    """32 bytes in lower-case hexadecimal digits."""
    if not isinstance(value, str) or len(value) != 2 * KEY_BYTES or not set(value) <= set("0123456789abcdef"):
        raise Wrong("malformed")
    return value


def _signature(key: Key, parameters: dict[str, Any]) -> str:
    """Over the parameters in one spelling: members sorted, no spaces. Lone surrogates stay what they were."""
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _mac(key, Purpose.CAPTCHA, canonical.encode("utf-8", "surrogatepass"))


def _mac(key: Key, purpose: Purpose, message: bytes) -> str:
    return hmac.digest(key.sub(purpose), message, "sha256").hex()
