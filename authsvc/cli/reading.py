"""Reading an export line by line, as often as needed, and the report on what was found in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

from authsvc.cli import records
from authsvc.cli.records import MOST_BYTES
from authsvc.flows import moving_in
from authsvc.flows.core import Core
from authsvc.flows.moving_in import NEW, Conflict, Judge, Written
from authsvc.flows.newcomers import Newcomer, NewFactor, NewRole
from authsvc.problems import Fault, Problem, Refused
from authsvc.store.tx import Tx

MOST_TOLD = 1_000  # faults and conflicts; more are counted
LINES_PER_READ = 500

Numbered = tuple[int, Newcomer | NewRole]


@dataclass(slots=True)
class Report:
    """What was found, and what was done. Faults are told as they are found, unless `quiet`."""

    dry_run: bool
    quiet: bool
    made: int = 0
    there: int = 0
    faults: int = 0
    conflicts: int = 0
    left_behind: int = 0
    writing: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fault(self, line: int, fault: Fault) -> None:
        self.faults += 1
        self._note({"line": line, "field": fault.field, "code": fault.code, "detail": fault.detail})

    def conflict(self, line: int, why: str) -> None:
        self.conflicts += 1
        if self.dry_run or self.writing:  # else it is told when it is not made
            self._note({"line": line, "field": None, "code": "conflict", "detail": f"Not made: {why}."})

    def begin(self) -> None:
        """From the judging to the writing, which counts anew."""
        self.writing = True
        self.made = self.there = self.conflicts = 0

    def add(self, written: Written) -> None:
        self.made += written.made
        self.there += written.there
        for line, why in written.conflicts:
            self.conflict(line, why)

    def tell(self) -> None:
        if self.left_behind:
            self.warnings.append(
                f"{self.left_behind} authenticator apps come without their secret and are left out: these accounts need one step less "
                "to sign in than before (an export made with --with-secrets has the secrets)"
            )
        if self.quiet:
            print(json.dumps(self._seen()))
            return
        for warning in self.warnings:
            sys.stderr.write(f"warning: {warning}\n")
        if self.faults:
            print(f"{self.faults} faults; nothing was written")
        elif self.dry_run:
            print(f"{self.made} would be made, {self.there} are there already, {self.conflicts} could not be made; nothing was written")
        else:
            print(f"{self.made} made, {self.there} were there already, {self.conflicts} not made")

    def _note(self, told: dict[str, Any]) -> None:
        if self.quiet:
            if len(self.told) < MOST_TOLD:
                self.told.append(told)
            return
        where = f"{told['field']}: " if told["field"] else ""
        sys.stderr.write(f"line {told['line']}: {where}{told['detail']}\n")

    def _seen(self) -> dict[str, Any]:
        written = not self.dry_run and not self.faults
        counts = {"made": self.made, "there": self.there, "faults": self.faults, "conflicts": self.conflicts}
        return {"written": written, **counts, "left_behind": self.left_behind, "warnings": self.warnings, "lines": self.told}


class Reading:
    """One file, whose lines are read anew each time, so that only a few are ever in memory."""

    def __init__(self, core: Core, file: BinaryIO) -> None:
        self._core = core
        self._file = file
        self._realms = {provider.name: provider.realm for provider in core.providers.every()}

    def judge(self, report: Report) -> None:
        """Find every fault, and what would come of the rest."""
        judge = Judge(self._core)
        counts = {"roles": 0, "users": 0}
        ended: dict[str, Any] | None = None
        lines, number = self._lines(), 1
        self._judge_header(lines)
        while chunk := list(islice(lines, LINES_PER_READ)):
            with self._core.store.read() as tx:
                for number, line in chunk:
                    try:
                        one = records.record(line, self._core.hasher, self._realms)
                        if ended is not None:
                            raise Problem("invalid_json", "There is more after the line that ends the file.")
                        if isinstance(one, dict):
                            ended = one
                            continue
                        self._judge_one(tx, judge, one, number, report)
                        counts["roles" if isinstance(one, NewRole) else "users"] += 1
                    except Problem as problem:
                        for fault in _faults(problem):
                            report.fault(number, fault)
        if ended is None:
            report.warnings.append("the file has no line that ends it; is it whole?")
        elif not report.faults and any(ended[name] not in (None, count) for name, count in counts.items()):
            report.fault(number, Fault("end", "invalid", "The file has not as many roles or accounts as its last line says."))

    def batches(self, size: int) -> Iterator[list[Numbered]]:
        """What is to be made, so many at a time; raises Refused where the file is not as it was judged."""
        lines = self._lines()
        next(lines, None)
        while chunk := list(islice(lines, size)):
            try:
                found = [(number, records.record(line, self._core.hasher, self._realms)) for number, line in chunk]
            except Problem:
                raise Refused("the file has changed while it was read; run the same command again") from None
            yield [(number, _without_lost_factors(one)) for number, one in found if not isinstance(one, dict)]

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line that is not empty, with its number. One that is too long is cut, which shows."""
        self._file.seek(0)
        number = 0
        while line := self._file.readline(MOST_BYTES + 2):
            number += 1
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = self._file.readline(MOST_BYTES)
            if line.strip():
                yield number, line.rstrip(b"\r\n")

    def _judge_header(self, lines: Iterator[tuple[int, bytes]]) -> None:
        number, line = next(lines, (1, b""))
        try:
            records.header(line)
        except Problem as problem:
            told = "; ".join(fault.detail for fault in problem.errors) or problem.detail
            raise Refused(f'line {number}: this is no export: it begins with {{"authsvc": "export", "version": 1}} ({told})') from None

    def _judge_one(self, tx: Tx, judge: Judge, one: Newcomer | NewRole, number: int, report: Report) -> None:
        repeated = judge.repeats(one)
        if repeated:
            report.fault(number, Fault(repeated, "not_allowed", "A line before has the same."))
            return
        if isinstance(one, NewRole):
            judge.roles.add(one.name)
        else:
            found = list(_faults_of(tx, judge, one))
            for fault in found:
                report.fault(number, fault)
            if found:
                return
        try:
            if moving_in.standing(tx, self._core, one, judge.roles) == NEW:
                report.made += 1
                report.left_behind += 0 if isinstance(one, NewRole) else sum(_lacks_secret(factor) for factor in one.factors)
            else:
                report.there += 1
        except Conflict as conflict:
            if isinstance(one, NewRole):  # accounts would get a role that may do something else
                report.fault(number, Fault("caps", "conflict", f"Change one of them: {conflict}."))
            else:
                report.conflict(number, str(conflict))


def _faults_of(tx: Tx, judge: Judge, one: Newcomer) -> Iterator[Fault]:
    """What is wrong with an account that can be read."""
    for role in judge.unknown_roles(tx, one):
        yield Fault("roles", "not_allowed", f"There is no role {role!r}, here or in a line before.")
    if judge.too_late(one):
        yield Fault("created_at", "not_allowed", "A time before 1970, or one that has not come yet.")


def _lacks_secret(factor: NewFactor) -> bool:
    """An authenticator app without its secret would keep its owner out."""
    return factor.type == "totp" and factor.secret is None


def _without_lost_factors(one: Newcomer | NewRole) -> Newcomer | NewRole:
    if isinstance(one, NewRole) or not any(map(_lacks_secret, one.factors)):
        return one
    return replace(one, factors=[factor for factor in one.factors if not _lacks_secret(factor)])


def _faults(problem: Problem) -> list[Fault]:
    return list(problem.errors) or [Fault("", problem.code, problem.detail)]
