"""What people set of their own accounts, in the flow: all of a request or nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import Cause
from authsvc.flows import profile, users
from authsvc.primitives import emails
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from authsvc.store.users import User
from tests.letterbox import NEW, letters, rows, state
from tests.support import EMAIL, Client, FakeWorld, actions, event_rows

FROM = Cause("user", "usr_me", EMAIL, ip="192.0.2.9")


@pytest.fixture
def user(app: App) -> User:
    return users.find(app.core, Client(app).register()["user"]["id"]).user


def change(app: App, user_id: str, if_match: str | None = None, **values: Any) -> User:
    return profile.change(app.core, user_id, values, FROM._replace(actor_id=user_id), EVERYTHING, if_match=if_match, locale="de").user


def refused(act: Any) -> str:
    with pytest.raises(Problem) as caught:
        act()
    return caught.value.code


def test_absent_fields_stay(app: App, user: User, world: FakeWorld) -> None:
    """Only what is named is set; null clears; the event names the fields and not their values."""
    world.advance(5)
    first = change(app, user.id, name="Ann", locale="de", metadata={"a": [1, "ä"]})
    assert first == user._replace(name="Ann", locale="de", metadata=first.metadata, version=2, updated_at=world.now())
    assert json.loads(first.metadata) == {"a": [1, "ä"]}
    assert change(app, user.id, name=None).name is None
    told = [(row["action"], row["data"], row["actor_id"]) for row in event_rows(app)[1:]]
    assert told == [
        ("user.updated", '{"fields":["locale","metadata","name"]}', user.id),
        ("user.updated", '{"fields":["name"]}', user.id),
    ]


def test_nothing_named_is_nothing_done(app: App, user: User) -> None:
    """No version, no event."""
    before = state(app)
    assert change(app, user.id) == user
    assert state(app) == before


def test_a_new_address_alone_leaves_the_account_as_it_is(app: App, user: User) -> None:
    """The version stays, since nothing of the representation changed; what waits is a challenge and a letter."""
    assert change(app, user.id, email=emails.parse(NEW)) == user
    assert actions(app) == ["user.registered", "email.verification_sent"]
    assert letters(app) == [("email_change", NEW)]
    assert [(row["purpose"], row["user_id"], row["target"]) for row in rows(app, "SELECT * FROM challenges")] == [
        ("email_change", user.id, NEW)
    ]
    assert change(app, user.id, if_match=users.etag(user), name="Ann").name == "Ann"


def test_other_fields_are_set_with_the_asking(app: App, user: User) -> None:
    """In one transaction: both, or with a taken address neither."""
    both = change(app, user.id, name="Ann", email=emails.parse(NEW))
    assert (both.name, both.email) == ("Ann", EMAIL)
    Client(app).register("taken@mail.com")
    before = state(app)
    assert refused(lambda: change(app, user.id, name="Eve", email=emails.parse("taken@mail.com"))) == "email_taken"
    assert state(app) == before


@pytest.mark.parametrize("spelling", [EMAIL, " example@mail.com "])
def test_the_present_address_is_no_wish(app: App, user: User, spelling: str) -> None:
    """Nobody is mailed for what is so already."""
    before = state(app)
    assert change(app, user.id, email=emails.parse(spelling)) == user
    assert state(app) == before


@pytest.mark.parametrize("values", [{"name": "Ann"}, {"email": emails.parse(NEW)}, {"name": "Ann", "email": emails.parse(NEW)}])
def test_a_condition_that_does_not_hold_stops_everything(app: App, user: User, values: dict[str, Any]) -> None:
    """precondition_failed, and neither field nor letter."""
    before = state(app)
    assert refused(lambda: change(app, user.id, if_match='"9.9.9"', **values)) == "precondition_failed"
    assert state(app) == before


def test_an_unknown_account_is_not_found(app: App) -> None:
    """Whatever is to be set."""
    assert refused(lambda: change(app, "usr_" + "0" * 26, name="Ann")) == "not_found"
    assert refused(lambda: change(app, "usr_" + "0" * 26, email=emails.parse(NEW))) == "not_found"
    assert actions(app) == []


def test_the_letter_is_in_the_accounts_language_before_the_browsers(app: App, user: User) -> None:
    """The request's stands in where the account has none."""
    change(app, user.id, email=emails.parse(NEW))
    change(app, user.id, locale="en", email=emails.parse("third@mail.com"))
    assert [json.loads(row["payload"])["locale"] for row in rows(app, "SELECT payload FROM outbox ORDER BY rowid")] == ["de", "en"]
