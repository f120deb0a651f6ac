"""Recovery codes: what is left when every other factor is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.primitives import recovery
from authsvc.primitives.keyring import Keyring
from authsvc.store.factors import Batch, Factor
from authsvc.store.tx import Tx


class Recovery:
    """Ten codes, each good once. They come with the first factor and go with the last."""

    type = "recovery"
    amr = "otp"
    channel: str | None = None
    enrols = False

    def details(self, keyring: Keyring, factor: Factor, *, service: str, account: str) -> Mapping[str, Any]:  # noqa: ARG002 - the contract's
        key = keyring.get(factor.kid)
        return {"recovery_codes": recovery.codes(key, factor.id) if key else []}

    def accepts(self, tx: Tx, keyring: Keyring, factor: Factor, code: str, now: int) -> bool:  # noqa: ARG002 - they know no time
        batch, key = tx.factors.batch(factor.user_id), keyring.get(factor.kid)
        index = recovery.index_of(code, key, factor.id) if key and batch and batch.id == factor.id else None
        return batch is not None and index is not None and tx.factors.spend_recovery(batch, 1 << index) is not None


def left_of(batch: Batch | None) -> int:
    """How many codes are left."""
    return recovery.left(batch.used) if batch else 0


def as_factor(batch: Batch) -> Factor:
    """A batch in the form that all kinds take."""
    return Factor(batch.id, batch.kid, batch.user_id, RECOVERY.type, "", None, "", batch.created_at, batch.created_at, 0, None)


RECOVERY = Recovery()
