"""Seals: what their digest is made of, so that no change of the code makes those of the past wrong."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path
from typing import Any

from authsvc.app import App
from authsvc.primitives.keyring import Purpose
from authsvc.store import seals as module
from authsvc.store.seals import Sealable
from tests.auditing import sealed, seals, tampering
from tests.support import FakeWorld


def test_the_digest_is_what_the_documentation_says(app: App, world: FakeWorld) -> None:
    """Computed here anew, without the service's code, from the key file and the tables alone: HMAC-SHA256 under the purpose's
    sub-key over the digest before, the seal's numbers and times, and each row's number and MAC."""
    sealed(app, world, (3, 2))
    secret = Path(f"{app.core.store.path}.key").read_text().strip().encode()
    with tampering(app) as connection:
        macs = connection.execute("SELECT seq, mac FROM events ORDER BY seq").fetchall()
    previous = ""
    for seal in seals(app):
        rows = [(seq, mac) for seq, mac in macs if seal.from_seq <= seq <= seal.through_seq]
        about = (seal.from_seq, seal.through_seq, len(rows), seal.latest_at, seal.earliest_at, seal.sealed_at)
        assert seal.digest == derived(secret, "seal of audit rows", previous, *about, *(f"{seq} {mac}" for seq, mac in rows))
        assert seal.marks == "".join(mac[:8] for _, mac in rows)
        previous = seal.digest


def test_the_edge_is_marked_with_the_key(app: App) -> None:
    """The mark names its key and is bound to one seal."""
    key = app.core.keyring.current
    secret = Path(f"{app.core.store.path}.key").read_text().strip().encode()
    assert module.edge_mark(key, 8, "d") == f"{key.kid}.{derived(secret, 'edge of forgotten audit rows', 8, 'd')}"
    assert (Purpose.SEAL, Purpose.PRUNED) == ("seal of audit rows", "edge of forgotten audit rows")


def test_a_seal_tells_the_times_of_its_rows(app: App) -> None:
    """The latest time so far only rises; the earliest is told where the clock had been set back, and only there."""
    key = app.core.keyring.current
    first = module.make(key, None, [Sealable(1, 50, "a"), Sealable(2, 60, "b")], 100)
    back = module.make(key, first, [Sealable(3, 40, "c"), Sealable(4, 45, "d")], 100)
    on = module.make(key, back, [Sealable(5, 70, "e"), Sealable(6, 80, "f")], 100)
    assert [(seal.from_seq, seal.latest_at, seal.earliest_at) for seal in (first, back, on)] == [(1, 60, None), (3, 60, 40), (5, 80, None)]


def derived(secret: bytes, purpose: str, *parts: Any) -> str:
    sub = hmac.digest(secret, b"authsvc:" + purpose.encode(), "sha256")
    message = b"".join(len(str(part).encode()).to_bytes(8, "big") + str(part).encode() for part in parts)
    return base64.urlsafe_b64encode(hmac.digest(sub, message, "sha256")).decode().rstrip("=")
