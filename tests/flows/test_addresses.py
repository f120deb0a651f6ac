"""Addresses in the flows: confirmed, changed and taken back while other things happen to the account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI, Cause
from authsvc.flows import addresses, challenges, removal, users
from authsvc.flows.users import Account
from authsvc.primitives import emails
from authsvc.problems import Problem
from authsvc.rules.access import EVERYTHING
from authsvc.rules.challenges import CHANGE, UNDO, VERIFY, Kind
from authsvc.store.challenges import Challenge
from tests.letterbox import NEW, UNLIMITED, ask_change, change_link, confirm, letters, rows, state, undo_link, use, verify_link
from tests.support import EMAIL, Client, FakeWorld, actions, event_rows, running, together

FROM = Cause(ip="192.0.2.9", user_agent="curl/8", request_id="r1")


@pytest.fixture
def free(tmp_path: Path, world: FakeWorld) -> Any:
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


def find(app: App, path: str, *kinds: Kind) -> Challenge:
    return challenges.find(app.core, path.rpartition("/")[2], *kinds)


def account(app: App, email: str = EMAIL) -> Account:
    return users.find(app.core, Client(app).register(email)["user"]["id"])


def refused(act: Any) -> str:
    with pytest.raises(Problem) as caught:
        act()
    return caught.value.code


@pytest.mark.parametrize("known", [True, False])
def test_asking_is_on_record_with_the_address_that_was_named(app: App, known: bool) -> None:
    """By nobody in particular, about the account if there is one; by the caller where somebody is signed in."""
    subject = account(app).user.id if known else None
    addresses.ask_to_verify(app.core, emails.parse(EMAIL), FROM, locale=None)
    event = event_rows(app)[-1]
    assert (event["action"], event["subject"], event["actor_id"], event["actor_label"]) == ("email.verification_sent", subject, None, EMAIL)
    addresses.ask_to_verify(app.core, emails.parse(EMAIL), FROM.by_user("usr_x", "x@mail.com"), locale=None)
    assert (event_rows(app)[-1]["actor_id"], event_rows(app)[-1]["actor_label"]) == ("usr_x", "x@mail.com")


def test_who_holds_the_link_acts_for_the_account(app: App) -> None:
    """The event of a confirmation is by the account, from where the link was used."""
    user = account(app).user
    challenge = find(app, verify_link(app), VERIFY)
    changed = addresses.confirm(app.core, challenge, FROM)
    assert (changed.user.id, changed.user.email_verified_at) == (user.id, app.core.world.now())
    event = event_rows(app)[-1]
    assert (event["action"], event["actor_id"], event["subject"], event["ip"]) == ("email.verified", user.id, user.id, "192.0.2.9")


@pytest.mark.parametrize("path_of", [verify_link, change_link, undo_link])
def test_an_account_that_went_meanwhile_is_not_an_error(free: App, path_of: Any) -> None:
    """Between the looking and the using it was deleted: link_invalid, and nothing is on record but that."""
    user = account(free).user
    challenge = find(free, path_of(free), VERIFY, CHANGE, UNDO)
    removal.delete(free.core, user.id, CLI, EVERYTHING)
    before = state(free)
    act = addresses.undo if path_of is undo_link else addresses.confirm
    assert refused(lambda: act(free.core, challenge, FROM)) == "link_invalid"
    assert state(free) == before


def test_an_address_that_got_an_account_meanwhile_is_not_taken_from_it(free: App) -> None:
    """email_taken at the confirmation, whoever confirmed; both accounts stay as they are, and nobody is told of a change."""
    account(free)
    path = change_link(free)
    account(free, NEW)
    before = state(free)
    answer = use(free, path)
    assert (answer.status, answer.code) == (409, "email_taken")
    assert state(free) == before
    assert ("email_changed", EMAIL) not in letters(free)


def test_an_old_address_that_is_somebodys_confirmed_one_now_is_not_taken_back(free: App) -> None:
    """Its owner has proved it since: the undoing is email_taken and changes nothing."""
    account(free)
    path = undo_link(free)
    account(free, EMAIL)
    confirm(free)
    before = state(free)
    assert use(free, path).code == "email_taken"
    assert state(free) == before


def test_a_newer_wish_ends_the_older(free: App) -> None:
    """Of one account one change is pending, to whichever address; the account's confirmation goes on."""
    account(free)
    verify = verify_link(free)
    first = change_link(free, "first@mail.com")
    second = change_link(free, "second@mail.com")
    assert use(free, first).status == 410
    assert Client(free).get(verify).status == 200
    assert use(free, second)["user"]["email"] == "second@mail.com"


def test_a_change_is_asked_for_and_made_in_one_piece(free: App) -> None:
    """The events of both halves, who made them, and the letters, in order."""
    user = account(free).user
    path = change_link(free)
    assert use(free, path, ip="203.0.113.9").status == 200
    told = [(row["action"], row["actor_id"], row["ip"]) for row in event_rows(free)[2:]]
    assert told == [
        ("email.verification_sent", user.id, "192.0.2.1"),
        ("email.changed", user.id, "203.0.113.9"),
        ("email.verified", user.id, "203.0.113.9"),
    ]
    assert letters(free) == [("email_change", NEW), ("email_changed", EMAIL)]
    assert json.loads(rows(free, "SELECT payload FROM outbox")[-1]["payload"])["facts"]["new_address"] == "r•••@m•••.com"
    assert not any(NEW in row["data"] or EMAIL in row["data"] for row in event_rows(free)), "addresses are personal data"


def test_an_unconfirmed_account_may_change_its_address(free: App) -> None:
    """The new one is proved by the link; the old one gets its undoing all the same."""
    account(free)
    path = undo_link(free)
    (row,) = rows(free, "SELECT email, email_verified_at FROM users")
    assert row["email"] == NEW
    assert row["email_verified_at"] is not None
    assert use(free, path).status == 200


def test_roles_and_profile_stay_over_change_and_undoing(free: App) -> None:
    """Only address, password and sessions are touched."""
    user = account(free).user
    users.change_roles(free.core, user.id, CLI, grant=["admin"])
    before = users.find(free.core, user.id)
    use(free, undo_link(free))
    after = users.find(free.core, user.id)
    changed = {name for name in before.user._fields if getattr(before.user, name) != getattr(after.user, name)}
    assert changed <= {"email_verified_at", "password_hash", "generation", "version", "updated_at", "last_login_at", "familiar_since"}
    assert after.user.password_hash is None
    assert list(after.roles) == list(before.roles) == ["admin"]


def test_proving_is_done_once(free: App) -> None:
    """The first proof drops what was there; later ones change nothing, and an account with nothing to drop is no news."""
    user = account(free).user
    with free.core.store.write() as tx:
        first = addresses.prove(tx, free.core, user, FROM)
        second = addresses.prove(tx, free.core, first, FROM)
    assert second == first
    assert (first.password_hash, first.generation) == (None, user.generation + 1)
    assert actions(free) == ["user.registered", "email.verified", "account.reclaimed"]
    assert json.loads(event_rows(free)[-1]["data"])["dropped"][:2] == ["password", "sessions"]


def test_a_proof_and_a_change_at_once_leave_one_owner(free: App) -> None:
    """A squatter confirms their pending address while the victim proves the present one: one of both happens, never a mixture."""
    account(free)
    pending = change_link(free)
    Client(free).post("/login/magic", {"email": EMAIL})
    from tests.letterbox import link

    mine = link(free)
    answers = together(10, lambda number: use(free, (pending, mine)[number % 2], ip=f"10.0.{number}.1"))
    assert sum(answer.status == 200 for answer in answers) == 1
    (user,) = rows(free, "SELECT email, password_hash FROM users")
    assert (user["email"], user["password_hash"] is None) in ((EMAIL, True), (NEW, False))
    assert ("account.reclaimed" in actions(free)) is (user["email"] == EMAIL)


def test_a_change_by_an_administrator_is_by_them(free: App) -> None:
    """It waits for no proof, the former address is told, and the record says who did it."""
    user = account(free).user
    admin = account(free, "admin@mail.com").user
    users.change_roles(free.core, admin.id, CLI, grant=["admin"])
    token = Client(free).login("admin@mail.com")["access_token"]
    answer = Client(free).put(f"/user/{user.id}", {"email": NEW}, token=token)
    assert (answer.status, answer["email"], answer["email_verified"]) == (200, NEW, False)
    told = [(event["action"], event["actor_id"], event["subject"]) for event in event_rows(free)[-2:]]
    assert told == [("email.changed", admin.id, user.id), ("user.updated", admin.id, user.id)]
    assert letters(free) == [("email_replaced", EMAIL)]


def test_asking_costs_the_limit_of_the_new_address(tmp_path: Path) -> None:
    """A change is no way to mail a stranger more often (ATTACKS C13): the answer stays, the letters end."""
    with running(tmp_path, **(UNLIMITED | {"limit_mail_address": "2/3600s"})) as app:
        account(app)
        for _ in range(4):
            ask_change(app)
        assert letters(app) == [("email_change", NEW)] * 2
        assert actions(app).count("limit.hit") == 2


def test_links_to_the_old_address_end_with_the_change(free: App) -> None:
    """Sign-in, reset and further changes that were asked for before count no more; what is left open is the undoing."""
    account(free)
    Client(free).post("/login/magic", {"email": EMAIL})
    Client(free).post("/password/forgot", {"email": EMAIL})
    assert use(free, change_link(free)).status == 200
    assert rows(free, "SELECT purpose FROM challenges WHERE used_at IS NULL") == [{"purpose": "email_undo"}]
