"""`authsvc audit verify`: whether every row of the audit trail is there and as it was written."""

from __future__ import annotations

import json
from argparse import Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.flows import verification
from authsvc.flows.core import Core
from authsvc.handlers.audit import seen

FOUND_BAD = 1


def _verify(core: Core, arguments: Namespace) -> int:
    """Check all of it, beside a running server or without one. Exit status 1 when something does not fit."""
    verdict = verification.verify(core)
    bad = verdict.first_bad
    if arguments.json:
        print(json.dumps(seen(verdict)))
    elif bad is None:
        print(f"ok: {verdict.rows} rows, sealed through {verdict.sealed_through}")
    else:
        print(f"not ok: row {bad.seq} ({bad.id or 'not there'}): {bad.reason}")
    return FOUND_BAD if bad else 0


ACTS: Acts = {"verify": Act("check every row, and name the first that does not fit (exit status 1)", on_core(_verify))}
