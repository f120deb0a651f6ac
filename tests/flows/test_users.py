"""Promises of flows/users.py that HTTP does not show: lists, roles, status and what is never taken away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import profile, registration, removal, users
from authsvc.flows.users import Account, NewUser
from authsvc.primitives import emails, ids
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from authsvc.store.users import ACTIVE, DISABLED, User
from tests.support import PASSWORD, Client, FakeWorld, actions, event_rows

FUZZ = settings(deadline=None)

MISSING = "usr_0123456789abcdefghjkmnpqrs"
PAGE = 500


def make(app: App, email: str = "marie@example.com", *roles: str) -> User:
    return registration.create(app.core, NewUser(emails.parse(email), roles=roles), PASSWORD, CLI, EVERYTHING)[0].user


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(Problem) as caught:
        act()
    return caught.value.code


def rows(app: App, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(app.core.store.path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def add_many(app: App, world: FakeWorld, count: int) -> list[str]:
    """Accounts without passwords, a millisecond apart, in one write."""
    template = make(app, "template@example.com")
    made = [template.id]
    with app.core.store.write() as tx:
        for number in range(count - 1):
            world.advance(0.001)
            address = f"user{number}@example.com"
            user = template._replace(id=ids.new(ids.USER, world), email=address, email_key=address, password_hash=None)
            assert tx.users.add(user)
            made.append(user.id)
    return made


@pytest.mark.parametrize("count", [1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 1])
def test_every_account_is_listed_once_in_the_order_of_their_making(app: App, world: FakeWorld, count: int) -> None:
    """Over page boundaries none is left out, repeated or out of order."""
    made = add_many(app, world, count)

    assert [account.user.id for account in users.every(app.core)] == made


def test_an_empty_service_lists_nobody(app: App) -> None:
    """No accounts, no pages."""
    assert list(users.every(app.core)) == []


def test_a_list_holds_no_read_open_between_its_items(app: App, world: FakeWorld) -> None:
    """Who walks the list may write meanwhile: accounts made during the walk come too, deleted ones do not."""
    first, second = add_many(app, world, 2)
    walk = iter(users.every(app.core))
    assert next(walk).user.id == first

    world.advance(1)
    later = make(app, "later@example.com").id
    removal.delete(app.core, second, CLI, EVERYTHING)

    assert [account.user.id for account in walk][-1] == later
    assert rows(app, "SELECT count(*) FROM users") == [(2,)]


def test_a_list_shows_roles(app: App, world: FakeWorld) -> None:
    """Each account comes with the roles granted to it."""
    make(app, "admin@example.com", "admin")
    world.advance(1)
    make(app)

    assert [list(account.roles) for account in users.every(app.core)] == [["admin"], []]
    assert [account.all_roles for account in users.every(app.core)] == [["admin", "user"], ["user"]]


@pytest.mark.parametrize("role", ["amdin", "", "*", "Admin", "admin ", "user,admin"])
def test_an_unknown_role_is_granted_to_nobody(app: App, role: str) -> None:
    """One unknown name refuses the whole change, the known ones of the same call included, and leaves no trace."""
    user = make(app)
    before = users.find(app.core, user.id)

    assert refusal(lambda: users.change_roles(app.core, user.id, CLI, grant=["admin", role])) == "not_found"
    assert refusal(lambda: make(app, "new@example.com", role)) == "invalid_request"
    assert users.find(app.core, user.id) == before
    assert users.find_by_email(app.core, emails.parse("new@example.com")) is None
    assert actions(app) == ["user.created"]


def test_an_unknown_role_may_be_taken_away(app: App) -> None:
    """Ungranting what nobody has is no change: no error, no event, no new generation."""
    user = make(app)

    assert users.change_roles(app.core, user.id, CLI, ungrant=["amdin"]) == Account(user, [], [])
    assert actions(app) == ["user.created"]


def test_a_change_of_roles_starts_a_new_generation_and_is_recorded_once(app: App) -> None:
    """Granting twice changes once; the event says what was before and after; the ETag moves with it (ATTACKS A14)."""
    user = make(app)
    granted = users.change_roles(app.core, user.id, CLI, grant=["admin"])
    again = users.change_roles(app.core, user.id, CLI, grant=["admin", "user"])

    assert (list(granted.roles), granted.user.generation) == (["admin"], user.generation + 1)
    assert again == granted
    assert users.etag(granted.user) != users.etag(user)
    assert actions(app) == ["user.created", "role.changed"]
    assert json.loads(event_rows(app)[-1]["data"]) == {"before": [], "after": ["admin"]}


def test_granting_and_ungranting_the_same_role_takes_it_away(app: App) -> None:
    """In one call the refusal wins: nobody gets a role by a contradiction."""
    user = make(app)

    assert list(users.change_roles(app.core, user.id, CLI, grant=["admin"], ungrant=["admin"]).roles) == []


def test_the_role_of_everybody_is_not_stored(app: App) -> None:
    """`user` is given to all by being there: asking for it stores nothing and later changes nothing."""
    user = make(app, "marie@example.com", "user")
    users.change_roles(app.core, user.id, CLI, grant=["user"])
    users.change_roles(app.core, user.id, CLI, ungrant=["user"])

    assert users.find(app.core, user.id).all_roles == ["user"]
    assert rows(app, "SELECT role FROM user_roles") == []
    assert actions(app) == ["user.created"]


LAST_ADMIN_ACTS: list[Callable[[App, str], Any]] = [
    lambda app, user_id: users.change_roles(app.core, user_id, CLI, ungrant=["admin"]),
    lambda app, user_id: users.set_status(app.core, user_id, DISABLED, CLI),
    lambda app, user_id: removal.delete(app.core, user_id, CLI, EVERYTHING),
]


@pytest.mark.parametrize("act", LAST_ADMIN_ACTS, ids=["ungrant", "disable", "delete"])
def test_the_last_admin_stays(app: App, act: Callable[[App, str], Any]) -> None:
    """Whoever is the only active admin keeps role, status and account; with a second one it goes."""
    first, other = make(app, "admin@example.com", "admin"), make(app, "other@example.com")
    before, recorded = users.find(app.core, first.id), actions(app)

    assert refusal(lambda: act(app, first.id)) == "conflict"
    assert users.find(app.core, first.id) == before
    assert actions(app) == recorded

    users.change_roles(app.core, other.id, CLI, grant=["admin"])
    act(app, first.id)
    assert refusal(lambda: act(app, other.id)) == "conflict"


@pytest.mark.parametrize("act", LAST_ADMIN_ACTS, ids=["ungrant", "disable", "delete"])
def test_a_disabled_admin_does_not_count(app: App, act: Callable[[App, str], Any]) -> None:
    """An admin who cannot sign in is not the one who keeps the service governed, and may go."""
    first, disabled = make(app, "admin@example.com", "admin"), make(app, "disabled@example.com", "admin")
    users.set_status(app.core, disabled.id, DISABLED, CLI)

    assert refusal(lambda: act(app, first.id)) == "conflict"
    users.set_status(app.core, disabled.id, DISABLED, CLI)
    removal.delete(app.core, disabled.id, CLI, EVERYTHING)


def test_a_disabled_last_admin_may_be_enabled_but_not_taken_away(app: App) -> None:
    """When the only active admin is another one, the disabled one's role may go; when there is none, all stay."""
    first, second = make(app, "admin@example.com", "admin"), make(app, "second@example.com", "admin")
    users.set_status(app.core, second.id, DISABLED, CLI)

    assert list(users.change_roles(app.core, second.id, CLI, ungrant=["admin"]).roles) == []
    assert refusal(lambda: removal.delete(app.core, first.id, CLI, EVERYTHING)) == "conflict"


def test_an_ordinary_account_may_always_go(app: App) -> None:
    """The rule about admins concerns nobody else, in a service without any admin neither."""
    user = make(app)

    users.set_status(app.core, user.id, DISABLED, CLI)
    users.change_roles(app.core, user.id, CLI, ungrant=["admin"])
    removal.delete(app.core, user.id, CLI, EVERYTHING)

    assert actions(app) == ["user.created", "user.disabled", "user.deleted"]


ACTS: list[Callable[[App], Any]] = [
    lambda app: users.find(app.core, MISSING),
    lambda app: users.set_status(app.core, MISSING, DISABLED, CLI),
    lambda app: removal.delete(app.core, MISSING, CLI, EVERYTHING),
    lambda app: users.change_roles(app.core, MISSING, CLI, grant=["admin"]),
    lambda app: profile.change(app.core, MISSING, {"name": "x"}, CLI, EVERYTHING, if_match=None),
]


@pytest.mark.parametrize("act", ACTS, ids=["find", "set_status", "delete", "change_roles", "change_profile"])
def test_an_account_that_is_not_there_is_not_found(app: App, act: Callable[[App], Any]) -> None:
    """Every act on a missing account is the same refusal, and records nothing."""
    assert refusal(lambda: act(app)) == "not_found"
    assert event_rows(app) == []
    assert rows(app, "SELECT * FROM user_roles") == []


def test_deleting_leaves_nothing_but_the_audit_trail(app: App, client: Client) -> None:
    """Sessions and roles go with the account; the trail keeps its id (ATTACKS A18)."""
    make(app, "admin@example.com", "admin")
    user_id = client.register(password=PASSWORD)["user"]["id"]
    users.change_roles(app.core, user_id, CLI, grant=["admin"])
    removal.delete(app.core, user_id, CLI, EVERYTHING)

    assert rows(app, "SELECT count(*) FROM sessions") == [(0,)]
    assert rows(app, f"SELECT count(*) FROM user_roles WHERE user_id = '{user_id}'") == [(0,)]
    assert [row["action"] for row in event_rows(app) if row["subject"] == user_id] == ["user.registered", "role.changed", "user.deleted"]


def test_disabling_twice_is_one_event_and_ends_sessions(app: App, client: Client) -> None:
    """The second time nothing changes: no event, no new generation, no new version."""
    user_id = client.register()["user"]["id"]
    once = users.set_status(app.core, user_id, DISABLED, CLI)
    twice = users.set_status(app.core, user_id, DISABLED, CLI)

    assert (once.user.status, twice.user.status) == (DISABLED, DISABLED)
    assert actions(app) == ["user.registered", "user.disabled"]
    assert rows(app, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]
    assert users.find(app.core, user_id).user.generation == 2
    assert users.set_status(app.core, user_id, ACTIVE, CLI).user.status == ACTIVE
    assert actions(app) == ["user.registered", "user.disabled", "user.updated"]


@pytest.mark.parametrize(
    "act",
    [
        lambda app, user_id: users.set_status(app.core, user_id, DISABLED, CLI),
        lambda app, user_id: users.change_roles(app.core, user_id, CLI, grant=["admin"]),
        lambda app, user_id: profile.change(app.core, user_id, {"name": "Marie"}, CLI, EVERYTHING, if_match=None),
    ],
    ids=["set_status", "change_roles", "change_profile"],
)
def test_an_act_returns_the_account_as_it_stands_afterwards(app: App, act: Callable[[App, str], Account]) -> None:
    """What an act gives back is what the next look finds, with the ETag that the next change must match."""
    user = make(app)

    returned = act(app, user.id)

    found = users.find(app.core, user.id)
    assert (returned.user, list(returned.roles)) == (found.user, list(found.roles))


def test_an_empty_change_of_profile_is_none(app: App) -> None:
    """No fields: no event, no new version."""
    user = make(app)

    assert profile.change(app.core, user.id, {}, CLI, EVERYTHING, if_match=users.etag(user)).user == user
    assert actions(app) == ["user.created"]


@pytest.mark.parametrize(
    ("if_match", "passes"),
    [(None, True), ("*", True), ("{etag}", True), ('"0.0.0"', False), ("{etag}x", False), ("W/{etag}", False), ("", False)],
)
def test_a_profile_is_changed_only_in_the_version_that_was_read(app: App, if_match: str | None, passes: bool) -> None:
    """If-Match is compared strongly (RFC 9110 section 13.1.1), and a refused change leaves no trace."""
    user = make(app)
    given_match = None if if_match is None else if_match.format(etag=users.etag(user))

    def change() -> Account:
        return profile.change(app.core, user.id, {"name": "Marie"}, CLI, EVERYTHING, if_match=given_match)

    if passes:
        changed = change().user
        assert (changed.name, changed.version) == ("Marie", user.version + 1)
        assert users.etag(changed) != users.etag(user)
        assert actions(app) == ["user.created", "user.updated"]
    else:
        assert refusal(change) == "precondition_failed"
        assert users.find(app.core, user.id).user == user
        assert actions(app) == ["user.created"]


def test_two_addresses_with_one_key_are_one_account(app: App) -> None:
    """The key decides, whatever the spelling is; the refused second one leaves nothing (ATTACKS A9, A17)."""
    user = make(app, "Marie@Bücher.example")

    assert refusal(lambda: make(app, "MARIE@xn--bcher-kva.example", "admin")) == "email_taken"
    found = users.find_by_email(app.core, emails.parse("marie@BÜCHER.example"))
    assert found == Account(user, [], [])
    assert actions(app) == ["user.created"]


def test_the_user_of_the_contract_shows_no_hash(app: App) -> None:
    """Of the row, the public object has neither hash nor counters nor key."""
    user = make(app)
    seen = users.public(user, ["user"], [])

    assert user.password_hash is not None
    assert user.password_hash not in json.dumps(seen)
    assert not seen.keys() & {"password_hash", "email_key", "generation", "version"}
    assert users.public(user._replace(password_hash=None), [], [])["has_password"] is False
    assert seen["has_password"] is True


@FUZZ
@given(st.integers(0, 253_402_300_799_999))
def test_a_timestamp_is_rfc_3339_to_the_millisecond(milliseconds: int) -> None:
    """UTC with a Z; reading it again gives the very millisecond."""
    text = users.timestamp(milliseconds)

    assert text is not None
    assert len(text) == len("2027-01-15T08:00:00.000Z")
    assert text.endswith("Z")
    whole = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert (whole - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000 == pytest.approx(milliseconds, abs=0.1)
    assert users.timestamp(None) is None


def test_a_new_account_is_as_it_was_asked_for(app: App) -> None:
    """What an account begins with is stored as it came, and nothing is verified by being said."""
    new = NewUser(emails.parse("m@example.com"), "Marie", "+14155550100", "fr", {"a": ["é", None]}, ("admin",))
    account, password = registration.create(app.core, replace(new), None, CLI, EVERYTHING)
    seen = users.public(account.user, account.all_roles, ["*"])

    assert password
    assert (seen["name"], seen["phone_number"], seen["locale"], seen["metadata"]) == ("Marie", "+14155550100", "fr", {"a": ["é", None]})
    assert (seen["email_verified"], seen["phone_number_verified"], seen["app_metadata"], seen["last_login_at"]) == (False, False, {}, None)
    assert seen["roles"] == ["admin", "user"]
