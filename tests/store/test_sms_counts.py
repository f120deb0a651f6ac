"""How many SMS codes were sent and used: counted for each day and range, over all threads, and forgotten in time."""

from __future__ import annotations

from authsvc.app import App
from authsvc.store.sms_counts import KEPT_DAYS
from tests.support import together

DAY = 20_000
RANGE, OTHER = "+491511", "+331234"


def test_what_is_noted_adds_up(app: App) -> None:
    """Sent and used are counted apart, for each day and range; nothing noted is nothing."""
    with app.core.store.write() as tx:
        tx.sms_counts.note(DAY, RANGE, sent=1)
        tx.sms_counts.note(DAY, RANGE, sent=2)
        tx.sms_counts.note(DAY, RANGE, verified=1)
        tx.sms_counts.note(DAY, OTHER, verified=1)
        tx.sms_counts.note(DAY + 1, RANGE, sent=5)

        assert tx.sms_counts.of(DAY, RANGE) == (3, 1)
        assert tx.sms_counts.of(DAY, OTHER) == (0, 1)
        assert tx.sms_counts.of(DAY + 1, RANGE) == (5, 0)
        assert tx.sms_counts.of(DAY + 1, OTHER) == (0, 0)


def test_the_list_begins_with_today(app: App) -> None:
    """The newest day first, and within it the range that most was sent to."""
    with app.core.store.write() as tx:
        for day, prefix, sent in ((DAY, RANGE, 9), (DAY + 1, OTHER, 2), (DAY + 1, RANGE, 3), (DAY + 1, "+11111", 2)):
            tx.sms_counts.note(day, prefix, sent=sent)

        assert tx.sms_counts.every() == [
            (DAY + 1, RANGE, 3, 0),
            (DAY + 1, "+11111", 2, 0),
            (DAY + 1, OTHER, 2, 0),
            (DAY, RANGE, 9, 0),
        ]


def test_old_days_are_forgotten(app: App) -> None:
    """A row stays for 30 days and no longer."""
    with app.core.store.write() as tx:
        tx.sms_counts.note(DAY, RANGE, sent=1)
        tx.sms_counts.note(DAY + KEPT_DAYS, OTHER, sent=1)
        assert tx.sms_counts.of(DAY, RANGE) == (1, 0)
        tx.sms_counts.note(DAY + KEPT_DAYS + 1, OTHER, sent=1)
        assert tx.sms_counts.of(DAY, RANGE) == (0, 0)
        assert len(tx.sms_counts.every()) == 2
    assert KEPT_DAYS == 30


def test_nothing_is_lost_between_threads(app: App) -> None:
    """Twenty at once are counted as twenty."""

    def act(_: int) -> None:
        with app.core.store.write() as tx:
            tx.sms_counts.note(DAY, RANGE, sent=1, verified=1)

    together(20, act)

    with app.core.store.read() as tx:
        assert tx.sms_counts.of(DAY, RANGE) == (20, 20)
