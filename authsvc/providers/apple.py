"""Apple's client secret: a JWT that we sign ourselves, anew for each exchange, with the key that Apple gave us."""

from __future__ import annotations

from collections.abc import Callable

AUDIENCE = "https://appleid.apple.com"
SECONDS = 300  # Apple takes up to six months


def client_secret(*, client_id: str, team_id: str, key_id: str, private_key: str) -> Callable[[int], str]:
    """What makes the secret of a given second. Raises ValueError for a key that is none; needs the extra `crypto`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from jwt import encode

    try:
        key = load_pem_private_key(private_key.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the private key cannot be read ({error})") from None
    is_right = isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    if not is_right:
        raise ValueError("the private key is of another kind than ES256 signs with (P-256)")

    def made(now: int) -> str:
        claims = {"iss": team_id, "sub": client_id, "aud": AUDIENCE, "iat": now, "exp": now + SECONDS}
        return encode(claims, key, "ES256", {"kid": key_id})  # type: ignore[arg-type]

    return made
