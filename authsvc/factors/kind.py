"""What every kind of second factor is: one contract, which the tests hold all of them to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from authsvc.primitives.keyring import Keyring
from authsvc.store.factors import Factor
from authsvc.store.tx import Tx


class FactorKind(Protocol):
    """A kind of factor. `type` is its name, `amr` what it adds to a session's (RFC 8176), `channel` where its codes are
    sent (None: its owner has them already), `enrols` whether one can be set up by itself."""

    @property
    def type(self) -> str: ...

    @property
    def amr(self) -> str: ...

    @property
    def channel(self) -> str | None: ...

    @property
    def enrols(self) -> bool: ...

    def details(self, keyring: Keyring, factor: Factor, *, service: str, account: str) -> Mapping[str, Any]:
        """What its owner is told once, when it is set up."""

    def accepts(self, tx: Tx, keyring: Keyring, factor: Factor, code: str, now: int) -> bool:
        """Whether this is its code at this moment (ms). A right one is spent by the write that finds it right."""
