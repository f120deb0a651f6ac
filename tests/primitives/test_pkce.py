"""Promises of primitives/pkce.py: the challenge of RFC 7636, by S256 and no other method."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.primitives import pkce

VERIFIERS = st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"), min_size=43, max_size=128)


def test_the_challenge_is_that_of_the_rfc() -> None:
    """RFC 7636 appendix B."""
    assert pkce.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_method_is_s256() -> None:
    """Section 4.2: `plain` would show the verifier to whoever reads the URL."""
    assert pkce.METHOD == "S256"


@given(VERIFIERS)
def test_every_challenge_is_43_characters_that_hide_the_verifier(verifier: str) -> None:
    """Base64url of SHA-256 without padding, as GitHub demands its length, and never the verifier itself."""
    challenge = pkce.challenge(verifier)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge)
    assert base64.urlsafe_b64decode(challenge + "=") == hashlib.sha256(verifier.encode()).digest()
    assert challenge != verifier


def test_a_verifier_is_ascii() -> None:
    """Section 4.1: nothing else is one, so that no two readings of it have two challenges."""
    with pytest.raises(UnicodeEncodeError):
        pkce.challenge("ä" * 43)
