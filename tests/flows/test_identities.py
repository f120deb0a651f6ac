"""Promises of flows/identities.py that need no provider: whose account an identity is, in parallel and to the last way in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI, Cause
from authsvc.flows import arrivals, identities, login, registration, removal, users
from authsvc.flows.authentication import Caller, authenticate
from authsvc.flows.signin import Wanted
from authsvc.flows.users import NewUser
from authsvc.primitives import emails
from authsvc.problems import Problem
from authsvc.providers.profile import Identity
from authsvc.rules.access import EVERYTHING
from authsvc.store.users import DISABLED, User
from tests.letterbox import counts, letters, rows
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows, running, together

FROM = Cause(ip="192.0.2.9", user_agent="test", request_id="r1")
REALM = "https://id.example"
VICTIM = "victim@mail.com"


def declared(*names: str, issuer: str = REALM) -> dict[str, Any]:
    """Providers that nobody will ever call."""
    parts = {"client_id": "x", "client_secret": "y", "issuer": issuer}
    return {f"oauth_{name}_{part}": value for name in names for part, value in parts.items()}


PROVIDERS = declared("corp", "other")


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, **PROVIDERS) as app:
        yield app


def somebody(sub: str = "ada", email: str | None = EMAIL, *, verified: bool = True, realm: str = REALM, **more: Any) -> Identity:
    parsed = emails.parse(email) if email else None
    more = {"name": None, "picture": None, "locale": None, **more}
    return Identity(realm, sub, parsed, email_verified=verified and email is not None, **more)


def come(app: App, who: Identity, name: str = "corp") -> arrivals.SignedIn:
    return arrivals.sign_in(app.core, arrivals.Arrival(app.core.providers.get(name), who, FROM), Wanted())


def link(app: App, caller: Caller, who: Identity, name: str = "corp") -> identities.Linked:
    return identities.link(app.core, app.core.providers.get(name), who, caller, FROM, redirect_to=None)


def caller(app: App, email: str = EMAIL) -> Caller:
    """Somebody who has registered."""
    return authenticate(app.core, Client(app).register(email)["access_token"])


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(Problem) as caught:
        act()
    return caught.value.code


def tried(act: Callable[[], Any]) -> str:
    try:
        act()
    except Problem as problem:
        return problem.code
    return "done"


def person(app: App, came: arrivals.SignedIn) -> User:
    return users.find(app.core, came.tokens.user["id"]).user


def confirm(app: App, user_id: str) -> None:
    with app.core.store.write() as tx:
        tx.users.change(user_id, app.core.world.now(), email_verified_at=app.core.world.now())


def test_an_identity_has_one_account_whoever_links_it_at_once(app: App) -> None:
    """Eight accounts link one identity at the same time: one has it, all others get a conflict and nothing."""
    callers = [caller(app, f"u{number}@mail.com") for number in range(8)]
    before = len(letters(app))
    outcomes = together(8, lambda number: tried(lambda: link(app, callers[number], somebody())))
    assert sorted(outcomes) == ["conflict"] * 7 + ["done"]
    assert counts(app, "identities") == [1]
    assert actions(app).count("identity.linked") == 1
    assert len(letters(app)) == before + 1
    assert letters(app)[-1] == ("identity_linked", callers[outcomes.index("done")].user.email)


def test_an_account_has_one_identity_of_a_provider_however_many_it_links_at_once(app: App) -> None:
    """Eight identities for one account: one is linked."""
    owner = caller(app)
    outcomes = together(8, lambda number: tried(lambda: link(app, owner, somebody(f"sub{number}", None))))
    assert sorted(outcomes) == ["conflict"] * 7 + ["done"]
    assert counts(app, "identities") == [1]
    assert actions(app).count("identity.linked") == 1


def test_the_first_sign_in_many_times_at_once_makes_one_account(app: App) -> None:
    """Sixteen browsers come with one new identity: one account, one identity, sixteen sessions."""
    came = together(16, lambda _: come(app, somebody()))
    assert len({one.tokens.user["id"] for one in came}) == 1
    assert counts(app, "users", "identities", "sessions") == [1, 1, 16]
    assert [actions(app).count(name) for name in ("user.registered", "identity.linked", "login.succeeded")] == [1, 1, 16]


def test_two_identities_of_one_new_address_at_once_make_one_account(app: App) -> None:
    """Two providers that have both verified it: whoever is second is linked."""
    came = together(2, lambda number: come(app, somebody(), ("corp", "other")[number]))
    assert len({one.tokens.user["id"] for one in came}) == 1
    assert counts(app, "users", "identities") == [1, 2]


def test_linking_it_twice_is_linking_it_once(app: App) -> None:
    """The second time nothing is recorded or mailed."""
    owner = caller(app)
    first = link(app, owner, somebody("ada", None))
    before = counts(app, "identities", "events", "outbox")
    assert link(app, owner, somebody("ada", None)).row == first.row
    assert counts(app, "identities", "events", "outbox") == before


def test_a_second_identity_of_the_provider_is_a_conflict_and_changes_nothing(app: App) -> None:
    """One identity of each provider an account; the first stays."""
    owner = caller(app)
    link(app, owner, somebody("ada", None))
    before = rows(app, "SELECT * FROM identities")
    assert refusal(lambda: link(app, owner, somebody("eve", None))) == "conflict"
    assert rows(app, "SELECT * FROM identities") == before


def test_linking_takes_no_word_of_the_provider_for_the_address(app: App) -> None:
    """The account keeps its address, name and whether it is confirmed: linking is not confirming."""
    owner = caller(app)
    link(app, owner, somebody("ada", EMAIL, name="Somebody Else", picture="https://evil.example/x.png", locale="xx"))
    assert users.find(app.core, owner.user.id).user == owner.user


def test_the_identity_keeps_its_own_address(app: App) -> None:
    """What the provider says of it is kept with the identity and shown; the account's own address stays (D7)."""
    came = person(app, come(app, somebody()))
    app.core.world.advance(5)
    again = person(app, come(app, somebody(email="moved@mail.com")))
    assert (again.id, again.email, again.email_verified_at) == (came.id, EMAIL, came.email_verified_at)
    (row,) = identities.every(app.core, came.id)
    assert (row.email, row.last_used_at - row.created_at) == ("moved@mail.com", 5_000)


def test_an_address_that_moved_at_the_provider_never_opens_another_account(app: App) -> None:
    """D7: a known identity whose address is now a confirmed stranger's stays in its own account, linked or not."""
    victim = caller(app, VICTIM).user
    confirm(app, victim.id)
    own = person(app, come(app, somebody("eve", "eve@mail.com")))
    came = person(app, come(app, somebody("eve", VICTIM)))
    assert (came.id, came.email) == (own.id, "eve@mail.com")
    assert identities.every(app.core, victim.id) == []


def test_another_realm_has_other_people(app: App) -> None:
    """D7: the same subject at another issuer is somebody else."""
    first = person(app, come(app, somebody("ada", None)))
    second = person(app, come(app, somebody("ada", None, realm="https://elsewhere.example")))
    assert first.id != second.id
    assert counts(app, "users", "identities") == [2, 2]


def test_subjects_are_compared_byte_for_byte(app: App) -> None:
    """OpenID Connect Core 2: case-sensitive; blanks count, and nothing is folded together."""
    subjects = ["ada", "Ada", "ADA", "ada ", "ada/", "corp:ada"]
    came = {person(app, come(app, somebody(sub, None))).id for sub in subjects}
    assert len(came) == len(subjects)


@pytest.mark.parametrize("verified", [True, False])
def test_a_free_address_makes_an_account_that_is_confirmed_if_the_provider_says_so(app: App, verified: bool) -> None:
    """And only then."""
    came = person(app, come(app, somebody(verified=verified)))
    assert (came.email, came.email_verified_at is not None, came.password_hash) == (EMAIL, verified, None)
    assert letters(app) == []


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("status", ["active", "disabled"])
def test_an_unverified_address_never_opens_an_account_that_there_is(app: App, confirmed: bool, status: str) -> None:
    """D6: not linked, not signed in, nothing of the account changed, whatever state it is in."""
    victim = caller(app).user
    if confirmed:
        confirm(app, victim.id)
    if status == DISABLED:
        users.set_status(app.core, victim.id, DISABLED, CLI)
    before = rows(app, "SELECT * FROM users"), rows(app, "SELECT * FROM sessions"), counts(app, "identities", "outbox", "challenges")
    assert refusal(lambda: come(app, somebody("eve", verified=False))) == "oauth_not_linked"
    after = rows(app, "SELECT * FROM users"), rows(app, "SELECT * FROM sessions"), counts(app, "identities", "outbox", "challenges")
    assert after == before
    event = event_rows(app)[-1]
    assert (event["action"], event["outcome"], event["subject"]) == ("login.failed", "failure", victim.id)
    assert json.loads(event["data"]) == {"reason": "oauth_not_linked", "provider": "corp"}
    assert event["actor_id"] is None, "the stranger is not the owner"


def test_a_verified_address_links_to_a_confirmed_account_which_keeps_all_it_has(app: App) -> None:
    """D6: password, sessions and name stay, and the owner is told."""
    owner = caller(app)
    confirm(app, owner.user.id)
    before = users.find(app.core, owner.user.id).user
    came = person(app, come(app, somebody(name="Another Name")))
    assert came._replace(last_login_at=None) == before._replace(last_login_at=None)
    assert came.password_hash is not None
    assert authenticate(app.core, Client(app).login()["access_token"]).user.id == came.id
    assert letters(app) == [("identity_linked", EMAIL)]
    assert "account.reclaimed" not in actions(app)


def test_a_confirmed_account_with_another_identity_of_the_provider_is_not_linked_again(app: App) -> None:
    """Two people at one provider with one verified address: the second proves ownership first, and the first stays linked."""
    owner = person(app, come(app, somebody("ada")))
    assert refusal(lambda: come(app, somebody("eve"))) == "oauth_not_linked"
    assert [row.subject for row in identities.every(app.core, owner.id)] == ["ada"]
    assert counts(app, "users") == [1]


def test_a_disabled_account_opens_to_no_identity(app: App) -> None:
    """Known or about to be linked: account_disabled, on record, and nothing is linked or opened."""
    owner = person(app, come(app, somebody("ada")))
    users.set_status(app.core, owner.id, DISABLED, CLI)
    assert refusal(lambda: come(app, somebody("ada"))) == "account_disabled"
    assert refusal(lambda: come(app, somebody("ada"), "other")) == "account_disabled"
    assert [row.provider for row in identities.every(app.core, owner.id)] == ["corp"]
    assert rows(app, "SELECT id FROM sessions WHERE ended_at IS NULL") == []
    assert actions(app)[-2:] == ["login.failed", "login.failed"]


def test_a_disabled_squatter_account_is_not_reclaimed(app: App) -> None:
    """Disabling outlives a proof of the address."""
    squatter = caller(app).user
    users.set_status(app.core, squatter.id, DISABLED, CLI)
    before = users.find(app.core, squatter.id).user
    assert refusal(lambda: come(app, somebody())) == "account_disabled"
    assert users.find(app.core, squatter.id).user == before


def test_people_without_an_address_have_accounts_of_their_own(app: App) -> None:
    """Two without an address are two; nothing is mailed to nobody, and no address can be taken for such an account."""
    first, second = (person(app, come(app, somebody(sub, None))) for sub in ("mia", "max"))
    assert first.id != second.id
    assert person(app, come(app, somebody("mia", None))).id == first.id
    assert (first.email, first.email_verified_at) == ("", None)
    assert letters(app) == []


def test_nobody_without_an_address_is_locked_out_by_an_earlier_account(app: App) -> None:
    """Signed up without an address, linked by another provider, unlinked from the first: coming by the first again is a new
    account, as it is for somebody with an address that is free."""
    first = person(app, come(app, somebody("mia", None)))
    link(app, Caller(first, come(app, somebody("mia", None)).tokens.session, {}), somebody("mia", None), "other")
    identities.unlink(app.core, first, "corp", FROM)
    again = person(app, come(app, somebody("mia", None)))
    assert again.id != first.id
    assert [row.provider for row in identities.every(app.core, first.id)] == ["other"]
    assert [row.provider for row in identities.every(app.core, again.id)] == ["corp"]


def test_an_unlinked_identity_opens_nothing(app: App) -> None:
    """And can be linked by another account."""
    owner = caller(app)
    link(app, owner, somebody("ada", None))
    identities.unlink(app.core, owner.user, "corp", FROM)
    assert person(app, come(app, somebody("ada", "else@mail.com"))).id != owner.user.id


def test_a_deleted_account_leaves_no_identity_behind(app: App) -> None:
    """A18: whoever comes by it afterwards gets a new account that inherits nothing."""
    owner = person(app, come(app, somebody()))
    removal.delete(app.core, owner.id, CLI, EVERYTHING)
    assert counts(app, "identities") == [0]
    again = person(app, come(app, somebody()))
    assert again.id != owner.id
    assert again.created_at == again.updated_at


def test_an_unlinking_is_on_record_and_told_and_a_second_one_finds_nothing(app: App) -> None:
    """not_found the second time, and for a provider that was never linked."""
    owner = caller(app)
    link(app, owner, somebody("ada", None))
    identities.unlink(app.core, owner.user, "corp", FROM)
    before = counts(app, "events", "outbox")
    assert refusal(lambda: identities.unlink(app.core, owner.user, "corp", FROM)) == "not_found"
    assert refusal(lambda: identities.unlink(app.core, owner.user, "nowhere", FROM)) == "not_found"
    assert counts(app, "events", "outbox") == before
    assert actions(app)[-2:] == ["identity.linked", "identity.unlinked"]
    assert letters(app) == [("identity_linked", EMAIL), ("identity_unlinked", EMAIL)]


@pytest.mark.parametrize("has", ["nothing", "password", "confirmed address", "unconfirmed address", "another identity"])
def test_the_last_way_in_is_not_unlinked(app: App, has: str) -> None:
    """With nothing else than an address that nobody has confirmed, the identity stays: conflict, no event, no mail."""
    email = None if has in ("nothing", "another identity") else EMAIL
    came = come(app, somebody("ada", email, verified=has == "confirmed address"))
    user = person(app, came)
    if has == "password":
        login.set_password(app.core, user, PASSWORD, CLI)
    if has == "another identity":
        link(app, Caller(user, came.tokens.session, {}), somebody("ada", None), "other")
    before = counts(app, "events", "outbox")
    outcome = tried(lambda: identities.unlink(app.core, user, "corp", FROM))
    stays = has in ("nothing", "unconfirmed address")
    assert outcome == ("conflict" if stays else "done")
    assert len(identities.every(app.core, user.id)) == (1 if stays or has == "another identity" else 0)
    if stays:
        assert counts(app, "events", "outbox") == before


def test_a_password_that_no_address_goes_with_is_no_way_in(app: App) -> None:
    """POST /login wants an address: an account without one is not left with a password only."""
    user = person(app, come(app, somebody("mia", None)))
    login.set_password(app.core, user, PASSWORD, CLI)
    assert refusal(lambda: identities.unlink(app.core, user, "corp", FROM)) == "conflict"
    assert len(identities.every(app.core, user.id)) == 1


def test_an_identity_of_a_provider_that_is_not_offered_any_more_is_no_way_in(tmp_path: Path, world: FakeWorld) -> None:
    """Of two identities the one whose provider was taken out of the settings does not count, nor does one of another issuer."""
    with running(tmp_path, world, **PROVIDERS) as app:
        came = come(app, somebody("mia", None))
        user = person(app, came)
        link(app, Caller(user, came.tokens.session, {}), somebody("mia", None), "other")
    for settings in (declared("corp"), declared("corp") | declared("other", issuer="https://moved.example")):
        with running(tmp_path, world, **settings) as app:
            outcome = tried(lambda app=app: identities.unlink(app.core, user, "corp", FROM))  # type: ignore[misc]
            assert (outcome, len(identities.every(app.core, user.id))) == ("conflict", 2)


def test_two_unlinkings_at_once_leave_a_way_in(app: App) -> None:
    """Both of the last two identities: one goes, one stays."""
    for round_number in range(5):
        came = come(app, somebody(f"mia{round_number}", None))
        user = person(app, came)
        link(app, Caller(user, came.tokens.session, {}), somebody(f"mia{round_number}", None), "other")
        outcomes = together(2, lambda number, user=user: tried(lambda: identities.unlink(app.core, user, ("corp", "other")[number], FROM)))  # type: ignore[misc]
        assert sorted(outcomes) == ["conflict", "done"]
        assert len(identities.every(app.core, user.id)) == 1


def test_linking_to_an_account_that_is_deleted_meanwhile_is_a_refusal(app: App) -> None:
    """Between its session being looked at and the write: no fault of the store, and nothing is linked."""
    owner = caller(app)
    removal.delete(app.core, owner.user.id, CLI, EVERYTHING)
    assert refusal(lambda: link(app, owner, somebody("ada", None))) in ("oauth_state_invalid", "not_found", "invalid_token")
    assert counts(app, "identities") == [0]


# Addresses of one length, and what the account of each looks like.
KNOWN, OPEN, OUT, FREE = "known@mail.com", "open_@mail.com", "outed@mail.com", "nobdy@mail.com"
HIDING = [{"enumeration": "hide"}, {"enumeration": "hide", "email_verification": "required"}]


def populated(app: App) -> None:
    for email in (KNOWN, OPEN, OUT):
        user = registration.create(app.core, NewUser(emails.parse(email)), PASSWORD, CLI, EVERYTHING)[0].user
        now = app.core.world.now()
        with app.core.store.write() as tx:
            tx.users.change(user.id, now, email_verified_at=None if email == OPEN else now)
        if email == OUT:
            users.set_status(app.core, user.id, DISABLED, CLI)


def told(problem: Problem) -> tuple[Any, ...]:
    """All that a stranger sees of a refusal."""
    return problem.code, problem.status, problem.detail, problem.retry_after, problem.members, problem.headers


@pytest.mark.parametrize("settings", HIDING)
def test_where_accounts_are_hidden_an_unverified_address_tells_nothing(tmp_path: Path, world: FakeWorld, settings: dict[str, str]) -> None:
    """Free, known, open or disabled: the same answer, one mail each and one challenge each, the first time and the next ones,
    until the limit of mails is reached for each at the same time."""
    with running(tmp_path, world, **PROVIDERS, **settings) as app:
        populated(app)
        seen = {}
        for email in (KNOWN, OPEN, OUT, FREE):
            seen[email] = []
            for _ in range(7):
                before = counts(app, "outbox", "challenges", "sessions")
                with pytest.raises(Problem) as caught:
                    come(app, somebody(f"eve {email}", email, verified=False))
                grown = [after - then for after, then in zip(counts(app, "outbox", "challenges", "sessions"), before, strict=True)]
                seen[email].append((told(caught.value), grown))
        assert seen[KNOWN] == seen[FREE]
        assert seen[OPEN] == seen[FREE]
        assert seen[OUT] == seen[FREE]
        assert seen[FREE][0] == (told(Problem("oauth_email_unverified")), [1, 1, 0])
        assert seen[FREE][6][1] == [0, 1, 0]
        assert {row["user_id"] for row in rows(app, "SELECT * FROM identities")} == {
            row["id"] for row in rows(app, "SELECT * FROM users WHERE email = ?", FREE)
        }


def test_where_confirmation_is_required_nobody_comes_in_without(tmp_path: Path, world: FakeWorld) -> None:
    """An unverified address makes an account, and a mail, but no session; once it is confirmed the identity is let in."""
    with running(tmp_path, world, **PROVIDERS, email_verification="required") as app:
        populated(app)
        assert refusal(lambda: come(app, somebody("eve", KNOWN, verified=False))) == "oauth_not_linked"
        assert refusal(lambda: come(app, somebody("new", FREE, verified=False))) == "oauth_email_unverified"
        assert counts(app, "sessions") == [0]
        assert letters(app) == [("verify", FREE)]
        (row,) = rows(app, "SELECT id FROM users WHERE email = ?", FREE)
        confirm(app, row["id"])
        assert person(app, come(app, somebody("new", FREE, verified=False))).id == row["id"]


@pytest.mark.parametrize("settings", [{}, *HIDING, {"email_verification": "required"}])
def test_a_verified_address_is_let_in_whatever_is_hidden(tmp_path: Path, world: FakeWorld, settings: dict[str, str]) -> None:
    """Its owner is there: nothing need be kept from them."""
    with running(tmp_path, world, **PROVIDERS, **settings) as app:
        populated(app)
        assert person(app, come(app, somebody("a", KNOWN))).email == KNOWN
        assert person(app, come(app, somebody("b", FREE))).email == FREE
        assert person(app, come(app, somebody("c", OPEN))).password_hash is None, "what a squatter had set"
        assert refusal(lambda: come(app, somebody("d", OUT))) == "account_disabled"


def test_nobody_without_an_address_comes_in_where_one_must_be_confirmed(tmp_path: Path, world: FakeWorld) -> None:
    """There is none to confirm, and no mail to nobody."""
    with running(tmp_path, world, **PROVIDERS, email_verification="required") as app:
        assert refusal(lambda: come(app, somebody("mia", None))) == "oauth_email_unverified"
        assert (counts(app, "sessions"), letters(app)) == ([0], [])
