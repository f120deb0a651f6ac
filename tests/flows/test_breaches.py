"""Passwords that are known from data breaches, asked of a server that speaks the range API as documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.events import CLI
from authsvc.flows import login, passwords, registration, users
from authsvc.flows.users import NewUser
from authsvc.primitives import emails
from authsvc.primitives.breaches import hashed
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from tests.letterbox import UNLIMITED, link, rows
from tests.openid.peers import Asked, Behaviour, Peer, says_bytes, served
from tests.staff import admin
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, running

KNOWN = "correct-horse-battery-91"
SAFE = "another-harbour-of-17-cranes"


class Range(Peer):
    """The API, and what it was asked. `answer` replaces what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.url += "/range"
        self.answer: tuple[int, bytes] | None = None

    def note(self, asked: Asked) -> Behaviour:
        super().note(asked)
        status, body = self.answer or (200, listed(asked.path.rpartition("/")[2]))
        return says_bytes(body, status)


def listed(prefix: str) -> bytes:
    """What it says of a prefix: 800 lines, some of them padding."""
    lines = [f"{number:035X}:{number % 3}" for number in range(800)]
    if prefix == hashed(KNOWN).prefix:
        lines[400] = f"{hashed(KNOWN).suffix}:1234"
    return "\r\n".join(lines).encode()


@pytest.fixture
def api() -> Iterator[Range]:
    with served(Range()) as api:
        yield api


def register(client: Client, password: str, email: str = EMAIL) -> Any:
    return client.post("/register", {"email": email, "password": password})


def test_off_asks_nobody(tmp_path: Path, api: Range) -> None:
    """The default: nothing leaves the house."""
    with running(tmp_path, breach_url=api.url) as app:
        assert register(Client(app), KNOWN).status == 201
    assert api.asked == []


def test_refuse_keeps_a_known_password_out_wherever_one_is_set(tmp_path: Path, api: Range) -> None:
    """At registration, change and reset, with the field's name; a good one passes; five digits are all that is sent."""
    with running(tmp_path, breach_check="refuse", breach_url=api.url, **UNLIMITED) as app:
        client = Client(app)
        refused = register(client, KNOWN)
        assert refused.code == "invalid_request"
        assert [(fault["field"], fault["code"]) for fault in refused["errors"]] == [("password", "password_weak")]
        assert "1234 times" in refused["errors"][0]["detail"]
        assert client.login(EMAIL, KNOWN).code == "invalid_credentials"
        token = register(client, PASSWORD)["access_token"]
        changed = client.post("/password/change", {"current_password": PASSWORD, "new_password": KNOWN}, token=token)
        assert [fault["field"] for fault in changed["errors"]] == ["new_password"]
        stranger = Client(app)
        stranger.post("/password/forgot", {"email": EMAIL})
        path = link(app)
        assert stranger.post(path, {"password": KNOWN}).code == "invalid_request"
        assert stranger.post(path, {"password": SAFE}).status == 200, "the link was not used up by the refusal"
        assert stranger.login(EMAIL, SAFE).status == 200
    assert {asked.path for asked in api.asked} == {f"/range/{hashed(password).prefix}" for password in (KNOWN, PASSWORD, SAFE)}
    assert {asked.headers["Add-Padding"] for asked in api.asked} == {"true"}
    assert all(asked.headers["User-Agent"].startswith("authsvc/") for asked in api.asked)


def test_warn_lets_it_in_and_says_so(tmp_path: Path, api: Range) -> None:
    """With the warning that weak passwords get."""
    with running(tmp_path, breach_check="warn", breach_url=api.url) as app:
        made = register(Client(app), KNOWN)
        assert made.status == 201
        assert [warning["code"] for warning in made["warnings"]] == ["password_weak"]
        assert "warnings" not in register(Client(app), SAFE, "b@mail.com").json()


def test_a_password_of_our_own_making_is_not_asked_about(tmp_path: Path, api: Range) -> None:
    """Nobody else can have had it: not at registration, not from an administrator, not from the command line; nor can it be
    too short for those whom people choose."""
    with running(tmp_path, breach_check="refuse", breach_url=api.url, password_min=40) as app:
        client = Client(app)
        made = client.post("/register", {"email": EMAIL})
        assert made.status == 201
        created, given = registration.create(app.core, NewUser(emails.parse("b@mail.com")), None, CLI, EVERYTHING)
        assert client.login("b@mail.com", given).status == 200
        login.set_password(app.core, created.user, passwords.generated(app.core), CLI)
        assert client.login("b@mail.com", given).code == "invalid_credentials"
        assert client.login(EMAIL, made["password"]).status == 200
        assert api.asked == []
        with pytest.raises(Problem):
            login.set_password(app.core, created.user, made["password"], CLI)


def test_what_an_administrator_sets_is_asked_about(tmp_path: Path, api: Range) -> None:
    """At POST /user and on the command line, as anywhere."""
    with running(tmp_path, breach_check="refuse", breach_url=api.url) as app:
        host = admin(app)
        answer = host.call("POST", "/user", {"email": EMAIL, "password": KNOWN})
        assert [(fault["field"], fault["code"]) for fault in answer["errors"]] == [("password", "password_weak")]
        assert len(rows(app, "SELECT id FROM users")) == 1
        user = users.find(app.core, host.id).user
        with pytest.raises(Problem) as refused:
            login.set_password(app.core, user, KNOWN, CLI)
        assert [fault.code for fault in refused.value.errors] == ["password_weak"]
        assert users.find(app.core, host.id).user.password_hash == user.password_hash


def test_what_is_refused_here_is_not_asked_about_there(tmp_path: Path, api: Range) -> None:
    """Too short, too common: that stays in the house. One that is let in with a warning is asked about."""
    with running(tmp_path, breach_check="refuse", breach_url=api.url, password_weak="refuse") as app:
        assert [register(Client(app), password).status for password in ("short", "password123")] == [422, 422]
        assert api.asked == []
    with running(tmp_path, breach_check="warn", breach_url=api.url, password_weak="warn") as app:
        assert register(Client(app), "password123").status == 201
        assert len(api.asked) == 1


def test_a_password_that_was_made_for_somebody_is_not_asked_about_twice(tmp_path: Path, api: Range) -> None:
    """Signing in asks nobody: an old password still opens."""
    with running(tmp_path, breach_check="off", breach_url=api.url) as app:
        register(Client(app), KNOWN)
    with running(tmp_path, breach_check="refuse", breach_url=api.url) as app:
        assert Client(app).login(EMAIL, KNOWN).status == 200
    assert api.asked == []


def test_known_and_unknown_accounts_ask_alike(tmp_path: Path, api: Range) -> None:
    """ATTACKS A1, A2: where accounts are hidden, the check is made whether or not the address has one, with the same answer."""
    with running(tmp_path, breach_check="refuse", breach_url=api.url, enumeration="hide", **UNLIMITED) as app:
        first, second = register(Client(app), SAFE), register(Client(app), SAFE)
        assert (first.status, second.status) == (202, 202)
        assert register(Client(app), KNOWN).status == register(Client(app), KNOWN, "new@mail.com").status == 422
    assert len(api.asked) == 4


@pytest.mark.parametrize(
    "answer",
    [(429, b""), (503, f"{hashed(KNOWN).suffix}:9".encode()), (301, b""), (200, b"<html>"), (200, b""), (200, b"0" * 300_000)],
    ids=["429", "503", "redirect", "html", "empty", "huge"],
)
def test_without_an_answer_the_password_passes(tmp_path: Path, api: Range, answer: tuple[int, bytes]) -> None:
    """And the log tells of it once a minute, without the password or its hash."""
    api.answer, world = answer, FakeWorld()
    with running(tmp_path, world, breach_check="refuse", breach_url=api.url) as app:
        for number in range(3):
            assert register(Client(app), KNOWN, f"{number}@mail.com").status == 201
        assert sum("breach check" in line for line in world.lines) == 1
        world.advance(61)
        register(Client(app), KNOWN, "later@mail.com")
        assert sum("breach check" in line for line in world.lines) == 2
    told = "\n".join(world.lines)
    assert not [word for word in (KNOWN, hashed(KNOWN).prefix, hashed(KNOWN).suffix) if word in told]


def test_a_dead_server_keeps_nobody_out(tmp_path: Path, api: Range) -> None:
    """Nobody listens there."""
    with running(tmp_path, breach_check="refuse", breach_url="http://127.0.0.1:9/range") as app:
        assert register(Client(app), KNOWN).status == 201


def test_who_finds_no_slot_does_not_wait(tmp_path: Path, api: Range) -> None:
    """Half of the threads wait for others at most; the next password passes unasked."""
    with running(tmp_path, threads=2, breach_check="refuse", breach_url=api.url) as app, app.core.providers.waiting():
        assert register(Client(app), KNOWN).status == 201
    assert api.asked == []
