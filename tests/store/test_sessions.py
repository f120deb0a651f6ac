"""Sessions in the store: the write is the check, so each token is spent once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from authsvc.app import App
from authsvc.primitives import ids
from authsvc.primitives.ids import NEWEST
from authsvc.store.sessions import Session
from authsvc.store.users import ACTIVE, User
from tests.support import START, FakeWorld

HOUR = 3_600_000
FROM = {"ip": "192.0.2.9", "user_agent": "curl/8"}


@pytest.fixture
def user(app: App) -> User:
    return person(app, "a@example.com")


@pytest.fixture
def session(app: App, user: User) -> Session:
    return opened(app, user)


def test_what_was_stored_comes_back_with_its_account(app: App, user: User, session: Session) -> None:
    """Both rows whole, in one look; nothing for an id that does not exist."""
    with app.core.store.read() as tx:
        assert tx.sessions.with_user(session.id) == (session, user)
        assert tx.sessions.with_user(session.id[:-1]) is None
        assert tx.sessions.with_user("%") is None


def test_a_rotation_spends_the_token_that_counts(app: App, user: User, session: Session) -> None:
    """The counter rises by one, and where and when from is noted; nothing else of the session changes."""
    with app.core.store.write() as tx:
        rotated = tx.sessions.rotate(session.id, 0, user.generation, now=START + 5, **FROM)
    assert rotated == session._replace(counter=1, rotated_at=START + 5, last_seen_at=START + 5, **FROM)
    with app.core.store.read() as tx:
        assert tx.sessions.with_user(session.id) == (rotated, user)


@pytest.mark.parametrize("counter", [-1, 0, 2, 3, 2**62])
def test_no_other_token_rotates(app: App, user: User, session: Session, counter: int) -> None:
    """B5: a spent token, and one that does not exist yet, change nothing."""
    with app.core.store.write() as tx:
        current = tx.sessions.rotate(session.id, 0, user.generation, now=START, **FROM)
        assert tx.sessions.rotate(session.id, counter, user.generation, now=START + 1, **FROM) is None
    with app.core.store.read() as tx:
        assert tx.sessions.with_user(session.id) == (current, user)


def test_an_ended_session_does_not_rotate(app: App, user: User, session: Session) -> None:
    """A14: its token counts no more, though its counter fits."""
    with app.core.store.write() as tx:
        assert tx.sessions.end(session.id, user.id, START + 1) is True
        assert tx.sessions.rotate(session.id, 0, user.generation, now=START + 2, **FROM) is None


def test_a_session_of_an_outdated_generation_does_not_rotate(app: App, user: User, session: Session) -> None:
    """A14: what the caller knew of the account must still hold when the token is spent."""
    with app.core.store.write() as tx:
        tx.users.outdate(user.id)
        assert tx.sessions.rotate(session.id, 0, user.generation, now=START, **FROM) is None
        assert tx.sessions.rotate(session.id, 0, user.generation + 1, now=START, **FROM) is not None


def test_of_many_rotations_at_once_one_wins(app: App, user: User, session: Session) -> None:
    """B6: however many threads spend one token, the counter rises once."""
    results: list[int | None] = []
    gate = threading.Barrier(32)

    def work() -> None:
        gate.wait()
        with app.core.store.write() as tx:
            rotated = tx.sessions.rotate(session.id, 0, user.generation, now=START, **FROM)
        results.append(rotated.counter if rotated else None)

    in_threads(32, work)
    assert Counter(results) == {1: 1, None: 31}
    with app.core.store.read() as tx:
        assert tx.sessions.with_user(session.id)[0].counter == 1


def test_a_rotation_and_an_end_at_once_leave_no_live_successor(app: App, user: User) -> None:
    """A14: whichever comes first, the session has ended afterwards, and a later token of it does not rotate."""
    for _ in range(10):
        session = opened(app, user)
        gate = threading.Barrier(2)

        def rotate(session: Session = session, gate: threading.Barrier = gate) -> None:
            gate.wait()
            with app.core.store.write() as tx:
                tx.sessions.rotate(session.id, 0, user.generation, now=START, **FROM)

        def end(session: Session = session, gate: threading.Barrier = gate) -> None:
            gate.wait()
            with app.core.store.write() as tx:
                assert tx.sessions.end(session.id, user.id, START) is True

        threads = [threading.Thread(target=rotate), threading.Thread(target=end)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with app.core.store.write() as tx:
            found = tx.sessions.with_user(session.id)[0]
            assert found.ended_at == START
            assert tx.sessions.rotate(session.id, found.counter, user.generation, now=START, **FROM) is None


def test_a_session_ends_once_and_only_for_its_owner(app: App, user: User, session: Session) -> None:
    """E1: another user's id ends nothing; the second end changes neither the time nor the answer of the first."""
    other = person(app, "b@example.com")
    with app.core.store.write() as tx:
        assert tx.sessions.end(session.id, other.id, START + 1) is False
        assert tx.sessions.with_user(session.id)[0].ended_at is None
        assert tx.sessions.end(session.id, user.id, START + 2) is True
        assert tx.sessions.end(session.id, user.id, START + 3) is False
        assert tx.sessions.with_user(session.id)[0].ended_at == START + 2


def test_all_sessions_of_a_user_end_but_the_one_that_stays(app: App, user: User) -> None:
    """Those of others stay, and those that had ended are not told again."""
    mine = [opened(app, user) for _ in range(4)]
    foreign = opened(app, person(app, "b@example.com"))
    with app.core.store.write() as tx:
        tx.sessions.end(mine[0].id, user.id, START)
        assert sorted(tx.sessions.end_all(user.id, START + 1, but=mine[1].id)) == sorted(one.id for one in mine[2:])
        assert [tx.sessions.with_user(one.id)[0].ended_at for one in (*mine, foreign)] == [START, None, START + 1, START + 1, None]
        assert tx.sessions.end_all(user.id, START + 2) == [mine[1].id]
        assert tx.sessions.end_all(user.id, START + 3) == []
        assert tx.sessions.with_user(foreign.id)[0].ended_at is None


def test_a_new_proof_counts_only_for_a_session_that_lasts(app: App, user: User, session: Session) -> None:
    """A15: the time of the proof and the ways are set; an ended session is not brought back by it."""
    with app.core.store.write() as tx:
        proved = tx.sessions.prove(session.id, now=START + 7, amr="pwd otp", acr="aal2")
        assert proved == session._replace(auth_time=START + 7, amr="pwd otp", acr="aal2")
        tx.sessions.end(session.id, user.id, START + 8)
        assert tx.sessions.prove(session.id, now=START + 9, amr="pwd", acr="aal1") is None
        assert tx.sessions.with_user(session.id)[0].auth_time == START + 7


def test_pages_name_live_sessions_once_newest_first(app: App, user: User) -> None:
    """Ended, expired, idle and others' sessions are not among them; page after page none is told twice."""
    live = [opened(app, user, at=START + number) for number in range(5)]
    with app.core.store.write() as tx:
        tx.sessions.end(opened_in(tx, user).id, user.id, START)
    opened(app, user, expires_at=START + 10)
    opened(app, user, last_seen_at=START - HOUR)
    opened(app, person(app, "b@example.com"))
    found: list[Session] = []
    while True:
        with app.core.store.read() as tx:
            before = found[-1].id if found else NEWEST
            page = tx.sessions.page(user.id, before=before, limit=2, now=START + 10, idle_since=START - HOUR)
        assert len(page) <= 2
        assert not set(page) & set(found)
        if not page:
            break
        found += page
    assert found == live[::-1]


def person(app: App, email: str) -> User:
    values: dict[str, Any] = dict.fromkeys(User._fields)
    values |= {
        "id": ids.new(ids.USER, FakeWorld()),
        "email": email,
        "email_key": email,
        "status": ACTIVE,
        "familiar_since": 0,
        "mfa_enabled": 0,
    }
    values |= {"generation": 3, "version": 1, "metadata": "{}", "app_metadata": "{}", "created_at": START, "updated_at": START}
    user = User(**values)
    with app.core.store.write() as tx:
        assert tx.users.add(user)
    return user


def opened(app: App, user: User, **more: Any) -> Session:
    with app.core.store.write() as tx:
        return opened_in(tx, user, **more)


def opened_in(tx: Any, user: User, *, at: int = START, **more: Any) -> Session:
    world = FakeWorld()
    world.time = at
    values: dict[str, Any] = dict.fromkeys(Session._fields)
    values |= {"id": ids.new(ids.SESSION, world), "user_id": user.id, "kid": "k", "counter": 0, "amr": "pwd", "acr": "aal1"}
    values |= {"rotated_at": at, "created_at": at, "last_seen_at": at, "expires_at": at + 24 * HOUR, "auth_time": at, "ip": "192.0.2.1"}
    session = Session(**values | more)
    tx.sessions.add(session)
    return session


def in_threads(number: int, work: Any) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
