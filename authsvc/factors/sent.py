"""What the kinds have in common whose codes we send: the code belongs to an open challenge of the factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsvc.primitives import codes
from authsvc.primitives.keyring import Keyring
from authsvc.rules.challenges import FACTOR, MOST_ATTEMPTS
from authsvc.store.factors import Factor
from authsvc.store.tx import Tx


@dataclass(frozen=True, slots=True)
class SentCodes:
    """A kind whose codes go over a channel."""

    type: str
    amr: str
    channel: str | None
    enrols: bool = True

    def details(self, keyring: Keyring, factor: Factor, *, service: str, account: str) -> Mapping[str, Any]:  # noqa: ARG002 - the contract's
        return {"target": factor.target or account}

    def accepts(self, tx: Tx, keyring: Keyring, factor: Factor, code: str, now: int) -> bool:
        """Each try is counted by the write that allows it; the right one ends the challenge."""
        known = tx.challenges.open_for(factor.id, FACTOR.purpose, factor.user_id, now)
        counted = tx.challenges.try_code(known.id, MOST_ATTEMPTS, now) if known else None
        key = keyring.get(counted.kid) if counted else None
        if counted is None or key is None or not codes.is_right(code, key, counted.id, counted.sends):
            return False
        return tx.challenges.spend(counted.id, now) is not None
