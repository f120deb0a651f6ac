"""Password hashes as other systems make them, by their own code and cheaply: Django, Werkzeug, passlib, bcrypt, argon2-cffi."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def django() -> Any:
    """Django's hashers, with settings that name nothing else."""
    from django.conf import settings

    if not settings.configured:
        settings.configure(PASSWORD_HASHERS=[f"django.contrib.auth.hashers.{name}" for name in DJANGO_HASHERS])
    from django.contrib.auth import hashers

    return hashers


DJANGO_HASHERS = (
    "PBKDF2PasswordHasher",
    "PBKDF2SHA1PasswordHasher",
    "Argon2PasswordHasher",
    "BCryptSHA256PasswordHasher",
    "BCryptPasswordHasher",
    "ScryptPasswordHasher",
    "MD5PasswordHasher",
)


def passlib() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it asks for `crypt`, which Python drops
        from passlib import hash as made

        return made


def _django(name: str, **costs: int) -> Callable[[str], str]:
    def make(password: str) -> str:
        hasher = getattr(django(), name)()
        for attribute, value in costs.items():
            setattr(hasher, attribute, value)
        # The newest bcrypt refuses what it used to cut off; hashes of long passwords are there all the same.
        taken = password.encode()[:72].decode() if name == "BCryptPasswordHasher" else password
        return str(hasher.encode(taken, hasher.salt()))

    return make


def _werkzeug(method: str) -> Callable[[str], str]:
    def make(password: str) -> str:
        from werkzeug.security import generate_password_hash

        return generate_password_hash(password, method)

    return make


def _passlib(name: str, **costs: int) -> Callable[[str], str]:
    return lambda password: str(getattr(passlib(), name).using(**costs).hash(password))


def _bcrypt(prefix: bytes) -> Callable[[str], str]:
    def make(password: str) -> str:
        import bcrypt

        return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4, prefix)).decode()

    return make


def _argon2(kind: str) -> Callable[[str], str]:
    def make(password: str) -> str:
        from argon2 import PasswordHasher, Type

        return PasswordHasher(time_cost=2, memory_cost=128, parallelism=2, type=Type[kind]).hash(password)

    return make


MADE_BY: Mapping[str, Callable[[str], str]] = {
    "django pbkdf2_sha256": _django("PBKDF2PasswordHasher", iterations=1000),
    "django pbkdf2_sha1": _django("PBKDF2SHA1PasswordHasher", iterations=1000),
    "django argon2": _django("Argon2PasswordHasher", memory_cost=256, time_cost=1),
    "django bcrypt_sha256": _django("BCryptSHA256PasswordHasher", rounds=4),
    "django bcrypt": _django("BCryptPasswordHasher", rounds=4),
    "django scrypt": _django("ScryptPasswordHasher", work_factor=256),
    "werkzeug scrypt": _werkzeug("scrypt:256:8:1"),
    "werkzeug pbkdf2 sha1": _werkzeug("pbkdf2:sha1:1000"),
    "werkzeug pbkdf2 sha256": _werkzeug("pbkdf2:sha256:1000"),
    "werkzeug pbkdf2 sha512": _werkzeug("pbkdf2:sha512:1000"),
    "passlib pbkdf2 sha1": _passlib("pbkdf2_sha1", rounds=1000),
    "passlib pbkdf2 sha256": _passlib("pbkdf2_sha256", rounds=1000),
    "passlib pbkdf2 sha512": _passlib("pbkdf2_sha512", rounds=1000),
    "passlib scrypt": _passlib("scrypt", rounds=8),
    "bcrypt 2a": _bcrypt(b"2a"),
    "bcrypt 2b": _bcrypt(b"2b"),
    "argon2id": _argon2("ID"),
    "argon2i": _argon2("I"),
    "argon2d": _argon2("D"),
}
