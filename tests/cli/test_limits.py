"""Promises of `authsvc limits`: what is limited and who has to wait can be seen, and one person or all can be let through again."""

from __future__ import annotations

import json

import pytest

from authsvc.config.limits import LIMITS
from authsvc.events import EVENTS, LIMIT_CLEARED
from authsvc.rules.limits import IN_MEMORY
from tests.cli.conftest import Cli
from tests.support import EMAIL, START, Client, event_rows, running

WRONG = "wrong-password-1"
ELSEWHERE = "198.51.100.7"


def knocks(cli: Cli) -> None:
    """Two who failed at one address, one of them until they have to wait."""
    with running(cli.folder) as app:
        Client(app).register()
        for _ in range(4):
            Client(app).login(password=WRONG)
        Client(app, ip=ELSEWHERE).login(password=WRONG)


def state(cli: Cli, name: str) -> dict[str, object]:
    return next(line for line in cli("limits", "list", "--json").objects() if line["name"] == name)


def may_try(cli: Cli, ip: str = "192.0.2.1") -> bool:
    """Whether a right password is looked at."""
    with running(cli.folder) as app:
        return Client(app, ip=ip).login().status == 200


def test_every_limit_is_a_line(cli: Cli) -> None:
    """With its setting and what it is keyed by; what is in the memory of each process says so."""
    listed = cli("limits", "list", "--json").objects()
    assert [line["name"] for line in listed] == list(LIMITS)
    assert all(line["keyed_by"] == LIMITS[line["name"]].keyed_by for line in listed)
    assert {line["name"] for line in listed if line["in_memory"]} == IN_MEMORY
    assert all((line["used"], line["empty"]) == ((None, None) if line["in_memory"] else (0, 0)) for line in listed)
    assert {line["kind"] for line in listed} == {"bucket", "delay"}
    lines = cli("limits", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == list(LIMITS)
    assert all(("memory of each process" in line) is (line.split()[0] in IN_MEMORY) for line in lines)
    assert cli("limits", "list", AUTHSVC_LIMIT_LOGIN="0").out.splitlines()[0].split()[:2] == ["login", "0"]


@pytest.fixture
def frozen(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The same, at the time of the tests' world."""
    monkeypatch.setattr("authsvc.world.World.now", lambda _: START)
    return cli


def test_the_counts_are_of_this_moment(frozen: Cli) -> None:
    """Two have failed, one of them waits; five tries were charged to one account."""
    knocks(frozen)
    assert (state(frozen, "login_delay")["used"], state(frozen, "login_delay")["empty"]) == (2, 1)
    assert (state(frozen, "login")["used"], state(frozen, "login_account")["used"]) == (2, 1)
    told = frozen("limits", "list").out
    assert "2 have failed, 1 have to wait" in told
    assert "mail.com" not in told


def test_one_is_let_through_again_and_no_other(frozen: Cli) -> None:
    """By address and network as anybody writes them; it is on record with the account, and says how many there were."""
    knocks(frozen)
    assert not may_try(frozen)
    assert frozen("limits", "clear", "login_delay", "--of", f"{EMAIL.upper()} {ELSEWHERE}").out == "cleared 1\n"
    assert not may_try(frozen)
    assert frozen.json("limits", "clear", "login_delay", "--of", f"{EMAIL} 192.0.2.200") == {"cleared": 1}
    assert frozen.json("limits", "clear", "login_delay", "--of", f"{EMAIL} 192.0.2.200") == {"cleared": 0}
    assert may_try(frozen)
    with running(frozen.folder) as app:
        rows = [row for row in event_rows(app) if row["action"] == "limit.cleared"]
        assert [json.loads(row["data"]) for row in rows] == [{"cleared": count, "limit": "login_delay"} for count in (1, 1, 0)]
        assert {(row["actor_type"], row["outcome"]) for row in rows} == {("cli", "success")}
        assert {row["subject"] for row in rows} == {event_rows(app)[0]["subject"]}
        assert "mail.com" not in str([row["data"] for row in rows])


def test_a_bucket_is_filled_by_its_key(frozen: Cli) -> None:
    """And all of a limit without one; other limits stay as they are."""
    knocks(frozen)
    assert frozen.json("limits", "clear", "login_account", "--of", "other@mail.com") == {"cleared": 0}
    assert frozen.json("limits", "clear", "login_account", "--of", EMAIL) == {"cleared": 1}
    assert frozen.json("limits", "clear", "login") == {"cleared": 2}
    assert state(frozen, "login_network")["used"] == 2


def test_everything_is_cleared_by_all(frozen: Cli) -> None:
    """Every limit that the store counts, each on record."""
    knocks(frozen)
    assert frozen.json("limits", "clear", "--all")["cleared"] >= 8
    assert {line["used"] for line in frozen("limits", "list", "--json").objects()} == {0, None}
    assert may_try(frozen)
    with running(frozen.folder) as app:
        cleared = [json.loads(row["data"])["limit"] for row in event_rows(app) if row["action"] == "limit.cleared"]
    assert cleared == [name for name in LIMITS if name not in IN_MEMORY]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("clear",), 2, "NAME"),
        (("clear", "nonsense"), 2, "login_delay"),
        (("clear", "login", "--all"), 2, "not allowed"),
        (("clear", "--all", "--of", "x"), 1, "--of goes with one limit"),
        (("clear", "read"), 1, "memory of each process"),
        (("clear", "login", "--of", EMAIL), 1, "EMAIL NETWORK"),
        (("clear", "login_network", "--of", "nowhere"), 1, "an address"),
        (("clear", "login_account", "--of", "a@b@c"), 1, ""),
        ((), 2, "ACT"),
    ],
)
def test_wrong_use_clears_nothing(frozen: Cli, arguments: tuple[str, ...], status: int, told: str) -> None:
    """What is wrong is told on one line or by the usage."""
    knocks(frozen)
    ran = frozen("limits", *arguments)
    assert (ran.status, ran.out) == (status, "")
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert state(frozen, "login")["used"] == 2


def test_the_owner_is_not_told_of_it() -> None:
    """It is the operator's business, like other internal events."""
    assert LIMIT_CLEARED in EVENTS
    assert LIMIT_CLEARED.internal
