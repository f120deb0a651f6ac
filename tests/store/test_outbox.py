"""Table outbox: written with its cause, claimed under leases, settled by the holder only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from authsvc.app import App
from authsvc.store.outbox import DEAD, DROPPED, KEPT_MS, LEASE_MS, NEEDLESS, SENT, Message, Outbox
from tests.letterbox import counts
from tests.support import EMAIL, Client, FakeWorld, together

MAIL = "mail"
DAY = 86_400
MANY = 100


@contextmanager
def outbox(app: App) -> Iterator[Outbox]:
    with app.core.store.write() as tx:
        yield tx.outbox


def add(app: App, count: int = 1, *, kind: str = MAIL, **payload: Any) -> list[str]:
    """So many messages, a millisecond apart."""
    with outbox(app) as table:
        made = []
        for _ in range(count):
            made.append(table.add(kind, EMAIL, payload, seconds=DAY))
            app.core.world.advance(0.001)
    return made


def get(app: App, message_id: str) -> Message:
    with app.core.store.read() as tx:
        found = tx.outbox.get(message_id)
    assert found is not None
    return found


def claim(app: App, most: int = MANY, kind: str = MAIL) -> list[Message]:
    with outbox(app) as table:
        return table.claim(kind, most)


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages]


def wakes(world: FakeWorld) -> int:
    return world.wait_for_work(-1, 0)


def test_what_is_added_is_found_again(app: App, world: FakeWorld) -> None:
    """Every column is what it should be at the beginning, and an unknown id gives nothing."""
    user_id = Client(app).register()["user"]["id"]
    now = world.now()
    with outbox(app) as table:
        message_id = table.add(MAIL, EMAIL, {"b": "ü", "a": 1}, seconds=60, ref="chl_1", user_id=user_id)
    found = get(app, message_id)
    assert found == Message(
        message_id, MAIL, EMAIL, "chl_1", user_id, found.payload, now, now, now + 60_000, 0, None, None, None, None, None
    )
    assert json.loads(found.payload) == {"a": 1, "b": "ü"}
    assert message_id.startswith("dlv_")
    with app.core.store.read() as tx:
        assert tx.outbox.get("dlv_" + "0" * 26) is None


def test_a_message_is_there_only_with_its_cause(app: App, world: FakeWorld) -> None:
    """A block that fails leaves nothing to deliver, and wakes nobody."""

    def fail() -> None:
        with outbox(app) as table:
            table.add(MAIL, EMAIL, {}, seconds=60)
            raise ZeroDivisionError

    before = wakes(world)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert counts(app, "outbox") == [0]
    assert wakes(world) == before


def test_a_block_that_adds_wakes_once_after_its_commit(app: App, world: FakeWorld) -> None:
    """Whoever is woken finds the messages; a block that adds nothing wakes nobody."""
    before = wakes(world)
    with outbox(app) as table:
        table.add(MAIL, EMAIL, {}, seconds=60)
        table.add(MAIL, EMAIL, {}, seconds=60)
        assert wakes(world) == before
    assert wakes(world) == before + 1
    claim(app)
    assert wakes(world) == before + 1


def test_a_claim_takes_the_oldest_first_and_no_more_than_it_may(app: App, world: FakeWorld) -> None:
    """In the order in which they fell due; each claim counts as a try and is held under a lease of its own."""
    made = add(app, 5)
    first, second, none = claim(app, 3), claim(app, 3), claim(app, 3)
    assert (ids(first), ids(second), none) == (made[:3], made[3:], [])
    assert {message.attempts for message in first + second} == {1}
    assert {message.lease_until for message in first + second} == {world.now() + LEASE_MS}
    assert len({message.lease_id for message in first}) == len({message.lease_id for message in second}) == 1
    assert first[0].lease_id != second[0].lease_id
    assert get(app, made[0]) == first[0]


def test_a_claim_takes_only_what_is_due_and_of_its_kind(app: App, world: FakeWorld) -> None:
    """What was put off, is done or is for another courier stays where it is."""
    now = world.now()
    later, done, due = add(app, 3)
    (other,) = add(app, kind="sms")
    held = {message.id: message for message in claim(app)}
    with outbox(app) as table:
        table.put_off(held[later], now + 60_000, "not now")
        table.end(held[done], SENT)
        table.put_off(held[due], world.now(), None)
    assert ids(claim(app)) == [due]
    assert ids(claim(app, kind="sms")) == [other]
    world.advance(60)
    assert ids(claim(app)) == [later]


def test_nobody_else_gets_a_message_while_its_lease_lasts(app: App, world: FakeWorld) -> None:
    """After a kill another gets it, when the lease has run out and not a moment before."""
    (message_id,) = add(app)
    (held,) = claim(app)
    world.advance(LEASE_MS / 1000 - 0.001)
    assert claim(app) == []
    world.advance(0.001)
    (again,) = claim(app)
    assert (again.id, again.attempts) == (message_id, 2)
    assert again.lease_id != held.lease_id


def test_many_claims_at_once_share_no_message(app: App) -> None:
    """The write is the check: of simultaneous claims each message goes to one."""
    made = add(app, 60)
    claimed = together(8, lambda _: claim(app, 10))
    assert sorted(message.id for batch in claimed for message in batch) == sorted(made)


@pytest.mark.parametrize("outcome", [SENT, NEEDLESS, DEAD])
def test_an_end_is_noted_once_by_the_holder_of_the_lease(app: App, world: FakeWorld, outcome: str) -> None:
    """With its time, its outcome and the error; the lease goes, and a second end changes nothing."""
    (message_id,) = add(app)
    (held,) = claim(app)
    with outbox(app) as table:
        assert table.end(held, outcome, "why")
        assert not table.end(held, SENT)
        assert not table.put_off(held, 0, "late")
    done = get(app, message_id)
    assert done == held._replace(done_at=world.now(), outcome=outcome, last_error="why", lease_id=None, lease_until=None)


@pytest.mark.parametrize("act", ["end", "put off"])
def test_who_lost_the_lease_changes_nothing(app: App, world: FakeWorld, act: str) -> None:
    """A worker that slept through its lease neither ends nor delays what another holds or has done."""
    (message_id,) = add(app)
    (lost,) = claim(app)
    world.advance(LEASE_MS / 1000)
    (held,) = claim(app)
    with outbox(app) as table:
        assert not (table.end(lost, DEAD, "late") if act == "end" else table.put_off(lost, 0, "late"))
    assert get(app, message_id) == held
    with outbox(app) as table:
        assert table.end(held, SENT)
        assert not (table.end(lost, DEAD, "late") if act == "end" else table.put_off(lost, 0, "late"))
    assert get(app, message_id).outcome == SENT


def test_next_due_is_when_the_next_free_message_falls_due(app: App, world: FakeWorld) -> None:
    """None when nothing waits; what is held, done, or of another kind does not count; what was lost with its lease does."""

    def next_due() -> int | None:
        with app.core.store.read() as tx:
            return tx.outbox.next_due(MAIL)

    assert next_due() is None
    add(app, kind="sms")
    assert next_due() is None
    made_at = world.now()
    add(app, 2)
    assert next_due() == made_at
    first, second = claim(app)
    assert next_due() is None
    with outbox(app) as table:
        table.put_off(second, made_at + 90_000, None)
    assert next_due() == made_at + 90_000
    world.advance(LEASE_MS / 1000)
    assert next_due() == made_at
    with outbox(app) as table:
        table.end(first, SENT)
    assert next_due() == made_at + 90_000


def test_a_page_shows_what_waits_or_was_given_up_or_all(app: App) -> None:
    """In the order of making, from after an id, so many at a time."""
    made = add(app, 6)
    held = claim(app, 5)
    with outbox(app) as table:
        for message, outcome in zip(held, (SENT, DEAD, NEEDLESS, DEAD), strict=False):
            table.end(message, outcome)
    with app.core.store.read() as tx:
        assert ids(tx.outbox.page(after="", limit=9, everything=True)) == made
        assert ids(tx.outbox.page(after="", limit=9, everything=False)) == [made[1], made[3], made[4], made[5]]
        assert ids(tx.outbox.page(after=made[1], limit=2, everything=False)) == [made[3], made[4]]
        assert ids(tx.outbox.page(after=made[2], limit=2, everything=True)) == [made[3], made[4]]
        assert tx.outbox.page(after=made[5], limit=2, everything=True) == []


@pytest.mark.parametrize("outcome", [SENT, NEEDLESS, DEAD, DROPPED, None])
def test_a_revived_message_begins_anew(app: App, world: FakeWorld, outcome: str | None) -> None:
    """Whatever became of it: due now, no tries, a whole day, the same id and date; and somebody is woken."""
    (message_id,) = add(app)
    (held,) = claim(app)
    with outbox(app) as table:
        if outcome is None:
            table.put_off(held, world.now() + 3_600_000, "later")
        else:
            table.end(held, outcome, "why")
    world.advance(2 * DAY)
    before = wakes(world)
    with outbox(app) as table:
        assert table.revive(message_id, seconds=DAY)
    assert wakes(world) == before + 1
    fresh = get(app, message_id)
    now = world.now()
    assert (fresh.due_at, fresh.expires_at, fresh.attempts, fresh.done_at, fresh.outcome) == (now, now + DAY * 1000, 0, None, None)
    assert fresh.created_at == held.created_at
    assert ids(claim(app)) == [message_id]


def test_what_is_just_being_delivered_is_neither_revived_nor_dropped(app: App, world: FakeWorld) -> None:
    """Who holds the lease has it; once that has run out, both work."""
    (message_id,) = add(app)
    (held,) = claim(app)
    with outbox(app) as table:
        assert not table.revive(message_id, seconds=DAY)
        assert not table.drop(message_id)
    assert get(app, message_id) == held
    world.advance(LEASE_MS / 1000)
    with outbox(app) as table:
        assert table.revive(message_id, seconds=DAY)
        assert table.drop(message_id)
        assert not table.end(held, SENT), "the lease went with it"
    assert get(app, message_id).outcome == DROPPED


def test_a_dropped_message_is_never_delivered(app: App, world: FakeWorld) -> None:
    """What waits or was given up can be dropped, once; what was delivered or never was cannot."""
    waiting, sent, dead = add(app, 3)
    held = {message.id: message for message in claim(app)}
    with outbox(app) as table:
        table.put_off(held[waiting], world.now(), None)
        table.end(held[sent], SENT)
        table.end(held[dead], DEAD)
        assert [table.drop(one) for one in (waiting, sent, dead, waiting, "dlv_" + "0" * 26)] == [True, False, True, False, False]
        assert not table.revive("dlv_" + "0" * 26, seconds=1)
    assert claim(app) == []
    assert [get(app, one).outcome for one in (waiting, sent, dead)] == [DROPPED, SENT, DROPPED]


def test_what_was_delivered_is_forgotten_after_a_week_and_what_was_given_up_never(app: App, world: FakeWorld) -> None:
    """A sweep takes what ended more than seven days ago, a few at a time; dead and waiting messages stay."""
    made = add(app, 6)
    held = claim(app, 5)
    with outbox(app) as table:
        for message, outcome in zip(held, (SENT, NEEDLESS, DEAD, SENT, SENT), strict=True):
            table.end(message, outcome)
        assert table.drop(made[5])
    world.advance(KEPT_MS / 1000)
    with outbox(app) as table:
        table.sweep(MANY)
    assert counts(app, "outbox") == [6]
    world.advance(0.001)
    with outbox(app) as table:
        table.sweep(2)
    assert counts(app, "outbox") == [4]
    with outbox(app) as table:
        table.sweep(MANY)
        assert ids(table.page(after="", limit=MANY, everything=True)) == [made[2]]
    assert KEPT_MS == 7 * DAY * 1000


def test_messages_go_with_their_account(app: App) -> None:
    """Nothing is kept of an account that was deleted; messages of nobody stay."""
    user_id = Client(app).register()["user"]["id"]
    with outbox(app) as table:
        table.add(MAIL, EMAIL, {}, seconds=60, user_id=user_id)
        kept = table.add(MAIL, EMAIL, {}, seconds=60)
    with app.core.store.write() as tx:
        tx.users.delete(user_id)
    with app.core.store.read() as tx:
        assert ids(tx.outbox.page(after="", limit=MANY, everything=True)) == [kept]


@pytest.mark.parametrize(
    "query",
    [
        (
            "SELECT id FROM outbox WHERE done_at IS NULL AND kind = 'mail' AND due_at <= 1 AND (lease_until IS NULL OR lease_until <= 1) "
            "ORDER BY due_at, id LIMIT 20"
        ),
        "SELECT id FROM outbox WHERE done_at < 1 AND outcome <> 'dead' ORDER BY done_at LIMIT 50",
        (
            "SELECT due_at FROM outbox WHERE done_at IS NULL AND kind = 'mail' AND (lease_until IS NULL OR lease_until <= 1) "
            "ORDER BY due_at LIMIT 1"
        ),
    ],
    ids=["claim", "sweep", "next due"],
)
def test_the_outbox_is_looked_into_by_index(app: App, query: str) -> None:
    """However many messages are kept, finding the next ones reads no others."""
    with outbox(app) as table:
        plan = " ".join(row[3] for row in table._connection.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert "USING INDEX outbox_" in plan or "USING COVERING INDEX outbox_" in plan
    assert "SCAN" not in plan
