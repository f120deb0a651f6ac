"""Which events a webhook wants, what it gets of them, and when it is tried again."""

from __future__ import annotations

import json

import pytest

from authsvc.events import EVENTS
from authsvc.rules.webhooks import NAMES, SCHEDULE, delay_ms, is_known, matches, payload

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("*", "login.failed", True),
        ("login.*", "login.failed", True),
        ("login.failed", "login.failed", True),
        ("login.*", "loginx.failed", False),
        ("login", "login.failed", False),
        ("log*", "login.failed", False),
        ("login.f*", "login.failed", False),
        (".*", "login.failed", False),
        ("*.*", "login.failed", False),
    ],
)
def test_a_pattern_is_a_name_a_prefix_or_everything(pattern: str, name: str, wanted: bool) -> None:
    """Other wildcards mean nothing, and are refused when a webhook is made."""
    assert matches([pattern], name) is wanted
    assert not matches([], name)
    assert is_known(pattern) or not wanted


def test_every_event_can_be_wanted() -> None:
    """By its name; but for what is counted only, and so is no row that could be sent."""
    assert {event.name for event in EVENTS if not event.counted_only} == NAMES
    assert not is_known("session.refreshed")
    assert all(is_known(name) for name in NAMES)
    assert not is_known("webhook.test")


def test_the_payload_has_ids_and_nothing_personal() -> None:
    """No label, no address of the network, no user agent, no MAC."""
    row = {"id": "evt_1", "action": "login.failed", "subject": "usr_1", "actor_type": "user", "actor_id": "usr_1", "outcome": "failure"}
    row |= {
        "session_id": None,
        "data": '{"reason":"credentials"}',
        "actor_label": "jane@example.com",
        "ip": "192.0.2.1",
        "user_agent": "curl",
    }
    row |= {"mac": "secret", "personal_salt": "salt", "request_id": "r"}
    told = payload(row, "2026-01-31T12:30:00.000Z")
    assert told == {
        "type": "login.failed",
        "timestamp": "2026-01-31T12:30:00.000Z",
        "data": {
            "id": "evt_1",
            "subject": "usr_1",
            "actor": {"type": "user", "id": "usr_1"},
            "outcome": "failure",
            "session_id": None,
            "details": {"reason": "credentials"},
        },
    }
    assert not {"jane", "192.0.2.1", "curl", "secret", "salt"} & set(json.dumps(told).replace('"', " ").split())


def test_the_schedule_spans_three_days() -> None:
    """Five seconds at first, then rarer, then daily; chance only makes it longer, by a tenth at most."""
    least = [delay_ms(failures, 0) for failures in range(1, 12)]
    most = [delay_ms(failures, 255) for failures in range(1, 12)]
    assert least[:9] == [seconds * 1000 for seconds in SCHEDULE]
    assert least[9:] == [DAY_MS, DAY_MS]
    assert all(low < high <= low * 1.1 + 1 for low, high in zip(least, most, strict=True))
    assert 3 * DAY_MS <= sum(least[:9]) <= 3.5 * DAY_MS


@pytest.mark.parametrize(
    "pattern", ["", ".", "*.", "user.", "user", "user.*.*", "USER.*", " user.*", "user.* ", "**", "%", "user.registered.*", "us?r.*", "\n*"]
)
def test_no_other_wildcard_is_known(pattern: str) -> None:
    """Nothing is meant by it, so nobody waits for it in vain: it is refused when a webhook is made."""
    assert not is_known(pattern)
    assert not any(matches([pattern], name) for name in NAMES)


def test_prefixes_match_their_own_group_and_no_other() -> None:
    """`x.*` has exactly the names that begin with `x.`, and every group has one."""
    for group in {name.partition(".")[0] for name in NAMES}:
        assert {name for name in NAMES if matches([f"{group}.*"], name)} == {name for name in NAMES if name.startswith(f"{group}.")}


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        (None, 5),
        ("", 5),
        ("0", 5),
        ("3", 5),
        ("6", 6),
        ("3600", 3_600),
        ("3601", 3_600),
        ("999999999", 3_600),
        ("9999999999", 5),
        ("-9", 5),
        ("+9", 5),
        (" 9", 5),
        ("9.5", 5),
        ("1_000", 5),
        ("٩٩", 5),
        ("²", 5),
        ("0x10", 5),
    ],
)
def test_a_wish_lengthens_the_delay_up_to_an_hour(wish: str | None, seconds: int) -> None:
    """It never shortens it, and what is no plain number is no wish."""
    assert delay_ms(1, 0, wish) == seconds * 1_000
    assert delay_ms(9, 0, wish) == DAY_MS


def test_the_payload_takes_nothing_else_from_the_row() -> None:
    """Whatever columns the trail gets: what is not named here does not go out."""
    row = dict.fromkeys(("id", "action", "subject", "actor_type", "actor_id", "outcome", "session_id"), "x") | {"data": "{}"}
    more = {"actor_label": "jane@example.com", "ip": "192.0.2.1", "user_agent": "curl", "personal_mac": "m", "request_id": "r", "kid": "k"}
    assert payload(row | more | {"another": "y"}, "t") == payload(row, "t")
