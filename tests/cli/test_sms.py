"""Promises of `authsvc sms stats`: how many codes went to which range on which day, and how many were used."""

from __future__ import annotations

from tests.cli.conftest import Cli

DAY = 20_454  # 2026-01-01


def note(cli: Cli) -> None:
    with cli.app() as app, app.core.store.write() as tx:
        for day, prefix, sent, verified in ((DAY, "+491512", 7, 6), (DAY + 1, "+331234", 120, 3), (DAY + 1, "+14155", 9, 9)):
            tx.sms_counts.note(day, prefix, sent=sent, verified=verified)


def test_the_counts_are_a_line_each(cli: Cli) -> None:
    """The newest day first, the most sent first; numbers a person can read."""
    note(cli)
    ran = cli("sms", "stats")

    assert (ran.status, ran.err) == (0, "")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["2026-01-02", "+331234", "120", "sent", "3", "used"],
        ["2026-01-02", "+14155", "9", "sent", "9", "used"],
        ["2026-01-01", "+491512", "7", "sent", "6", "used"],
    ]
    assert len({line.index("sent") for line in ran.out.splitlines()}) == 1


def test_the_counts_are_objects_too(cli: Cli) -> None:
    """--json prints one object a line, with the same four facts and no others."""
    note(cli)
    ran = cli("sms", "stats", "--json")

    assert (ran.status, ran.err) == (0, "")
    assert ran.objects() == [
        {"day": "2026-01-02", "prefix": "+331234", "sent": 120, "verified": 3},
        {"day": "2026-01-02", "prefix": "+14155", "sent": 9, "verified": 9},
        {"day": "2026-01-01", "prefix": "+491512", "sent": 7, "verified": 6},
    ]


def test_nothing_sent_is_nothing_printed(cli: Cli) -> None:
    """Also before the first start, and it is no failure."""
    assert [(ran.status, ran.out, ran.err) for ran in (cli("sms", "stats"), cli("sms", "stats", "--json"))] == [(0, "", "")] * 2


def test_looking_changes_nothing(cli: Cli) -> None:
    """Twice the same."""
    note(cli)
    assert cli("sms", "stats").out == cli("sms", "stats").out


def test_an_act_that_does_not_exist_is_wrong_use(cli: Cli) -> None:
    """Exit status 2, and the acts there are."""
    for arguments in (("sms",), ("sms", "send"), ("sms", "stats", "--markdown")):
        ran = cli(*arguments)
        assert (ran.status, ran.out) == (2, "")
    assert "stats" in cli("sms", "send").err


def test_it_works_as_a_process(cli: Cli) -> None:
    """`python -m authsvc sms stats --json` prints what the service counted."""
    note(cli)
    ran = cli.process("sms", "stats", "--json")

    assert (ran.status, ran.err, len(ran.objects())) == (0, "", 3)


def test_what_waits_is_listed_beside_mails(cli: Cli) -> None:
    """`outbox list` shows an SMS by its kind and number, and never its code."""
    with cli.app() as app, app.core.store.write() as tx:
        message_id = tx.outbox.add("sms", "+14155550123", {"to": "+14155550123", "locale": None}, seconds=300)
    listed = cli("outbox", "list")

    assert (listed.status, listed.err) == (0, "")
    assert listed.out.split() == [message_id, "waiting", "0", "tries", "sms", "+14155550123"]
