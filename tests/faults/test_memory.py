"""A7: a flood of logins at the real hashing cost stays within the memory budget, and is told to come back."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

from tests.faults.servers import CHEAP, Reply, Server, in_threads, serving
from tests.support import EMAIL

THREADS = 200
LOGINS = int(os.environ.get("FAULT_LOGINS", "1000"))
BUDGET_MIB = 64
SLACK_MIB = 60  # threads, connections, SQLite's caches
REAL_COST = dict.fromkeys(CHEAP)  # None: the default


def test_a7_a_flood_of_logins_stays_within_the_memory_budget(tmp_path: Path) -> None:
    """A7: hashing in parallel never holds more than the budget; the rest is 503 `busy` at once, with Retry-After."""
    with serving(tmp_path, **REAL_COST, hash_budget_mib=BUDGET_MIB) as server:
        caller = server.caller()
        assert caller.register(EMAIL).status == 201
        assert caller.login(EMAIL).status == 200
        before = peak_kib(server)
        answers = in_threads(THREADS, lambda number: log_in(server, number))
        after = peak_kib(server)
        assert caller.login(EMAIL).status == 200, "it does not recover"
        assert server.crashes() == []
        assert server.stop() == 0
    flat = [answer for some in answers for answer in some]
    assert None not in flat
    statuses = Counter(answer.status for answer in flat)
    assert statuses.total() == LOGINS
    assert set(statuses) <= {200, 401, 429, 503}
    assert statuses[200] > 0
    assert statuses[401] > 0
    assert {(answer.code, int(answer.headers["retry-after"]) > 0) for answer in flat if answer.status == 503} <= {("busy", True)}
    assert after - before <= (BUDGET_MIB + SLACK_MIB) * 1024


def test_a7_other_routes_keep_answering_during_a_flood_of_logins(tmp_path: Path) -> None:
    """A7: while every hashing slot and its queue are taken, reading and refreshing are answered rightly."""
    with serving(tmp_path, **REAL_COST, hash_budget_mib=BUDGET_MIB) as server:
        made = server.caller().register(EMAIL).body
        answers = in_threads(THREADS // 4, lambda number: log_in(server, number) if number else read(server, made))
    assert [answer.status for answer in answers[0]] == [200] * len(answers[0])


def log_in(server: Server, number: int) -> list[Reply | None]:
    """Right and wrong passwords, and unknown addresses, by turns."""
    caller = server.caller()
    tries = ((EMAIL, "violet-harbour-91"), (EMAIL, "wrong-harbour-91"), ("nobody@example.com", "violet-harbour-91"))
    return [caller.login(*tries[(number + turn) % 3]) for turn in range(LOGINS // THREADS)]


def read(server: Server, made: dict[str, str]) -> list[Reply | None]:
    caller = server.caller()
    return [
        answer
        for _ in range(20)
        for answer in (caller.call("GET", "/user", token=made["access_token"]), caller.refresh(made["refresh_token"]))
    ]


def peak_kib(server: Server) -> int:
    """The most memory that the process has ever held."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{server.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
