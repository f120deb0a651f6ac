"""What a check has found, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import authsvc

OK, WARN, FAIL = "ok", "warn", "fail"
_ORDER = (OK, WARN, FAIL)


class Finding(NamedTuple):
    """One thing that was looked at. `advice`: what to do about it."""

    name: str
    status: str
    detail: str
    advice: str = ""


def worst(findings: Sequence[Finding]) -> str:
    return max((finding.status for finding in findings), key=_ORDER.index, default=OK)


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        checks = [finding._asdict() for finding in findings]
        print(json.dumps({"status": worst(findings), "version": authsvc.__version__, "checks": checks}))
        return
    for finding in findings:
        print(f"{finding.status:4}  {finding.name:11}  {finding.detail}")
        if finding.advice:
            print(f"{'':19}-> {finding.advice}")
