"""Password hashes that other systems have made: recognised, held within bounds, checked. Ours are made by passwords.py.

Whoever imports accounts brings hashes that somebody else may have written: what one costs to check is read from its own text, so
the bounds are set before anything is computed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from authsvc.problems import Invalid

MOST_CHARACTERS = 512  # of a whole hash; the longest of the known forms has about 250
MOST_PBKDF2_ROUNDS = 4_000_000  # about two seconds; Django 5.2 makes them with 1,000,000
MOST_SCRYPT_BLOCKS = 1 << 22  # N * r * p, about two seconds; Werkzeug makes them with 1 << 18
MOST_SCRYPT_LANES = 1 << 10  # r * p: so much is hashed before and after all else; an honest one has 8 to 128
MOST_BCRYPT_COST = 14  # about a second; each more doubles it
MOST_ARGON2_KIB = 1 << 22  # memory times passes, a few seconds; RFC 9106's first choice is 1 << 21
MOST_ARGON2_LANES = 64
MOST_ARGON2_STARTS = 1 << 10  # lanes times passes: each starts threads of its own; an honest one has 4 to 32
BCRYPT_BYTES = 72  # bcrypt has always taken these of a password, and no more
ADVICE = "Leave it out: its owner then sets a new password by mail."
OVERHEAD_BYTES = 4 * 1024 * 1024  # that OpenSSL is allowed beyond scrypt's table

_ARGON2 = re.compile(
    r"\$argon2(id|i|d)(?:\$v=(?:16|19))?\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_DJANGO_PBKDF2 = re.compile(r"pbkdf2_(sha1|sha256)\$([1-9][0-9]{0,9})\$([^$]+)\$([A-Za-z0-9+/]+={0,2})")
_DJANGO_SCRYPT = re.compile(r"scrypt\$([1-9][0-9]{0,9})\$([^$]+)\$([1-9][0-9]{0,3})\$([1-9][0-9]{0,3})\$([A-Za-z0-9+/]+={0,2})")
_WERKZEUG_PBKDF2 = re.compile(r"pbkdf2:(sha1|sha256|sha512):([1-9][0-9]{0,9})\$([^$]+)\$([0-9a-f]+)")
_WERKZEUG_SCRYPT = re.compile(r"scrypt:([1-9][0-9]{0,9}):([1-9][0-9]{0,3}):([1-9][0-9]{0,3})\$([^$]+)\$([0-9a-f]+)")
_PASSLIB_PBKDF2 = re.compile(r"\$pbkdf2(-sha256|-sha512|)\$([1-9][0-9]{0,9})\$([A-Za-z0-9./]+)\$([A-Za-z0-9./]+)")
_PASSLIB_SCRYPT = re.compile(r"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]{0,3}),p=([1-9][0-9]{0,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A hash that can be checked: as it is kept, the memory that a check takes, the check itself, and which bound it is beyond."""

    text: str
    memory_kib: int
    matches: Callable[[bytes], bool]
    beyond: str | None = None


def recognise(text: str) -> Foreign:
    """Raises Invalid, saying why, for what is unknown, out of bounds, or protects nothing."""
    if len(text) > MOST_CHARACTERS:
        raise Invalid("too_long", f"At most {MOST_CHARACTERS} characters.")
    for form, read in _FORMS:
        match = form.fullmatch(text)
        if match:
            return read(text, *match.groups())
    for prefix, inner in (("argon2$", "$"), ("bcrypt_sha256$", ""), ("bcrypt$", "")):  # Django puts its own name before theirs
        if text.startswith(prefix):
            return _named_by_django(prefix, inner + text.removeprefix(prefix))
    raise Invalid("not_allowed", f"This is no password hash that can be checked here. {ADVICE}")


def is_argon2(text: str) -> bool:
    return text.startswith("$argon2")


def _named_by_django(prefix: str, inner: str) -> Foreign:
    found = recognise(inner)
    if prefix == "argon2$":
        return found
    match = _BCRYPT.fullmatch(inner)
    if match is None:
        raise Invalid("invalid", "This is not a bcrypt hash.")
    if prefix == "bcrypt$":
        return found
    return Foreign(
        prefix + inner, found.memory_kib, lambda password: _bcrypt(inner, hashlib.sha256(password).hexdigest().encode()), found.beyond
    )


def _read_argon2(text: str, kind: str, memory: str, passes: str, lanes: str, salt: str, digest: str) -> Foreign:
    _demand(int(memory) >= 8 * int(lanes) and len(_b64(salt)) >= 8 and 16 <= len(_b64(digest)) <= 128)
    beyond = _first(
        (int(memory) * int(passes) <= MOST_ARGON2_KIB, f"memory times passes beyond {MOST_ARGON2_KIB} KiB"),
        (int(lanes) <= MOST_ARGON2_LANES, f"more than {MOST_ARGON2_LANES} lanes"),
        (lanes == "1" or int(lanes) * int(passes) <= MOST_ARGON2_STARTS, f"lanes times passes beyond {MOST_ARGON2_STARTS}"),
    )
    return Foreign(text, int(memory), lambda password: _argon2(text, kind, password), beyond)


def _read_bcrypt(text: str, cost: str) -> Foreign:
    _demand(4 <= int(cost) <= 31)
    _demand_bcrypt()
    beyond = _first((int(cost) <= MOST_BCRYPT_COST, f"a cost beyond {MOST_BCRYPT_COST}"))
    return Foreign(text, 4, lambda password: _bcrypt(text, password), beyond)


def _read_django_pbkdf2(text: str, name: str, rounds: str, salt: str, digest: str) -> Foreign:
    return _pbkdf2(text, name, rounds, salt.encode(), _b64(digest))


def _read_werkzeug_pbkdf2(text: str, name: str, rounds: str, salt: str, digest: str) -> Foreign:
    return _pbkdf2(text, name, rounds, salt.encode(), _hex(digest))


def _read_passlib_pbkdf2(text: str, name: str, rounds: str, salt: str, digest: str) -> Foreign:
    return _pbkdf2(text, name.removeprefix("-") or "sha1", rounds, _ab64(salt), _ab64(digest))


def _read_django_scrypt(text: str, n: str, salt: str, r: str, p: str, digest: str) -> Foreign:
    return _scrypt(text, int(n), int(r), int(p), salt.encode(), _b64(digest))


def _read_werkzeug_scrypt(text: str, n: str, r: str, p: str, salt: str, digest: str) -> Foreign:
    return _scrypt(text, int(n), int(r), int(p), salt.encode(), _hex(digest))


def _read_passlib_scrypt(text: str, ln: str, r: str, p: str, salt: str, digest: str) -> Foreign:
    _demand(int(ln) < 32)
    return _scrypt(text, 1 << int(ln), int(r), int(p), _b64(salt), _b64(digest))


_FORMS: tuple[tuple[re.Pattern[str], Callable[..., Foreign]], ...] = (
    (_ARGON2, _read_argon2),
    (_BCRYPT, _read_bcrypt),
    (_DJANGO_PBKDF2, _read_django_pbkdf2),
    (_DJANGO_SCRYPT, _read_django_scrypt),
    (_WERKZEUG_PBKDF2, _read_werkzeug_pbkdf2),
    (_WERKZEUG_SCRYPT, _read_werkzeug_scrypt),
    (_PASSLIB_PBKDF2, _read_passlib_pbkdf2),
    (_PASSLIB_SCRYPT, _read_passlib_scrypt),
)


def _pbkdf2(text: str, name: str, rounds: str, salt: bytes, digest: bytes) -> Foreign:
    """RFC 8018 section 5.2: each block of the digest's size costs all rounds anew."""
    size = hashlib.new(name, usedforsecurity=False).digest_size
    _demand(16 <= len(digest) <= 64)
    compute = partial(hashlib.pbkdf2_hmac, name, salt=salt, iterations=int(rounds), dklen=len(digest))
    beyond = _first((int(rounds) * -(-len(digest) // size) <= MOST_PBKDF2_ROUNDS, f"more than {MOST_PBKDF2_ROUNDS} rounds"))
    return Foreign(text, 1, lambda password: hmac.compare_digest(compute(password), digest), beyond)


def _scrypt(text: str, n: int, r: int, p: int, salt: bytes, digest: bytes) -> Foreign:
    """RFC 7914: a table of N blocks of 128 r bytes, and p more of them. N is a power of two below 2^(16 r) (section 2)."""
    _demand(n > 1 and n & (n - 1) == 0 and n.bit_length() <= 16 * r and 16 <= len(digest) <= 64)
    memory = 128 * r * (n + p - 1)
    compute = partial(hashlib.scrypt, salt=salt, n=n, r=r, p=p, maxmem=memory + 128 * r + OVERHEAD_BYTES, dklen=len(digest))
    beyond = _first(
        (n * r * p <= MOST_SCRYPT_BLOCKS, f"N * r * p beyond {MOST_SCRYPT_BLOCKS}"),
        (r * p <= MOST_SCRYPT_LANES, f"r * p beyond {MOST_SCRYPT_LANES}"),
    )
    return Foreign(text, max(1, memory // 1024), lambda password: hmac.compare_digest(compute(password), digest), beyond)


def _argon2(text: str, kind: str, password: bytes) -> bool:
    from argon2.exceptions import VerificationError
    from argon2.low_level import Type, verify_secret

    try:
        return bool(verify_secret(text.encode(), password, {"id": Type.ID, "i": Type.I, "d": Type.D}[kind]))
    except VerificationError:  # a wrong password, or parameters that the library does not take after all
        return False


def _bcrypt(text: str, password: bytes) -> bool:
    _demand_bcrypt()
    import bcrypt

    try:
        return bool(bcrypt.checkpw(password[:BCRYPT_BYTES], text.encode()))
    except ValueError:  # a salt that the library does not take after all
        return False


def _demand_bcrypt() -> None:
    try:
        import bcrypt  # noqa: F401 - asked for, not used
    except ImportError:
        raise Invalid("not_allowed", "This needs the extra bcrypt: pip install '.[bcrypt]' in a checkout.") from None


def _demand(kept: bool) -> None:
    if not kept:
        raise Invalid("invalid", f"This hash is not whole. {ADVICE}")


def _first(*bounds: tuple[bool, str]) -> str | None:
    """The first bound that is not kept."""
    return next((told for kept, told in bounds if not kept), None)


def _b64(text: str) -> bytes:
    """Base64 with or without its padding (PHC strings have none), in its one spelling: no bits left over at the end."""
    bare = text.rstrip("=")
    try:
        raw = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raise Invalid("invalid", f"This hash is not whole. {ADVICE}") from None
    _demand(base64.b64encode(raw).decode().rstrip("=") == bare)
    return raw


def _ab64(text: str) -> bytes:
    """passlib's base64, with a dot in place of the plus."""
    return _b64(text.replace(".", "+"))


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Invalid("invalid", f"This hash is not whole. {ADVICE}") from None
