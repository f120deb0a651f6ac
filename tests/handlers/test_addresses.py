"""/email/verify, /email/verify/:token, /email/undo/:token and a new address by PUT /user/:user_id, as their callers see them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from tests.letterbox import (
    BROWSER,
    FORM,
    JSON_ONLY,
    NEW,
    ask_change,
    change_link,
    confirm,
    letters,
    link,
    mails,
    rows,
    undo_link,
    verify_link,
)
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, actions, event_rows


@pytest.mark.parametrize("body", [{}, {"email": EMAIL}, None])
def test_asking_while_signed_in_mails_ones_own_address(client: Client, app: App, body: dict[str, str] | None) -> None:
    """202 with the challenge; one letter with a link and a code, one event by the caller."""
    user = client.register()
    answer = client.post("/email/verify", body, token=user["access_token"])
    assert (answer.status, answer.json()) == (202, {"status": "sent", "challenge_id": answer["challenge_id"], "expires_in": 86_400})
    assert answer.header_list("Set-Cookie") == []
    assert letters(app) == [("verify", EMAIL)]
    assert (event_rows(app)[-1]["action"], event_rows(app)[-1]["actor_id"]) == ("email.verification_sent", user["user"]["id"])
    assert len(mails(app)) == 1


@pytest.mark.parametrize("known", [True, False])
def test_anybody_may_ask_for_an_address(client: Client, app: App, known: bool) -> None:
    """202 for all; an address without an account is queued like one with, and gets nothing."""
    if known:
        client.register()
    answer = client.post("/email/verify", {"email": EMAIL})
    assert (answer.status, answer["status"], answer["expires_in"]) == (202, "sent", 86_400)
    assert letters(app) == [("verify", EMAIL)]
    assert len(mails(app)) == known


def test_a_confirmed_address_is_not_mailed_again(client: Client, app: App) -> None:
    """The same 202, and the courier finds nothing to do."""
    client.register()
    confirm(app)
    count = len(mails(app))
    assert client.post("/email/verify", {"email": EMAIL}).status == 202
    assert len(mails(app)) == count


@pytest.mark.parametrize(
    ("body", "fault"),
    [({}, ("email", "required")), ({"email": "x"}, ("email", "invalid")), ({"email": EMAIL, "code": "1"}, ("code", "unknown_field"))],
)
def test_who_is_nobody_says_which_address(client: Client, app: App, body: dict[str, Any], fault: tuple[str, str]) -> None:
    """422 names what is missing; nothing is queued. An old cookie does not stand in the way, an old header does."""
    answer = client.post("/email/verify", body)
    assert (answer.status, [(found["field"], found["code"]) for found in answer["errors"]]) == (422, [fault])
    assert letters(app) == []
    assert client.post("/email/verify", {"email": EMAIL}, headers={"Cookie": "authsvc_access=old"}).status == 202
    assert client.post("/email/verify", {"email": EMAIL}, token="old").status == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_program_confirms_by_the_link(client: Client, app: App, method: str) -> None:
    """200 with the user; the event is the account's own; nobody is signed in, and no session ends."""
    user = client.register()
    answer = client.call(method, verify_link(app), headers=JSON_ONLY)
    assert (answer.status, answer.json().keys(), answer["status"]) == (200, {"status", "user"}, "email_verified")
    assert (answer["user"]["id"], answer["user"]["email_verified"]) == (user["user"]["id"], True)
    assert answer.header_list("Set-Cookie") == []
    assert client.get("/user", token=user["access_token"])["email_verified"] is True
    assert client.login()["user"]["has_password"] is True
    assert actions(app) == ["user.registered", "email.verification_sent", "email.verified", "login.succeeded"]
    assert event_rows(app)[2]["actor_id"] == user["user"]["id"]


def test_the_accounts_own_browser_confirms_by_a_click(client: Client, app: App) -> None:
    """Signed in as that user, a GET is enough: 303 to the account; signed in as somebody else it shows the button."""
    client.register("stranger@mail.com")
    client.register()
    path = verify_link(app)
    other = Client(app, keep_cookies=True)
    other.login("stranger@mail.com")
    shown = other.get(path, headers=BROWSER)
    assert (shown.status, rows(app, "SELECT email_verified_at FROM users WHERE email = ?", EMAIL)) == (200, [{"email_verified_at": None}])
    own = Client(app, keep_cookies=True)
    own.login()
    answer = own.get(path, headers=BROWSER)
    assert (answer.status, answer.header("Location")) == (303, "/account?done=verified")
    assert own.get("/user")["email_verified"] is True
    assert other.get("/user")["email_verified"] is False


def test_a_browsers_button_confirms(client: Client, app: App) -> None:
    """Without a sign-in the page says that it is done, and nobody is signed in."""
    client.register()
    path = verify_link(app)
    page = client.get(path, headers=BROWSER)
    assert (page.status, page.header("Content-Type")) == (200, "text/html; charset=utf-8")
    assert b'method="post"' in page.body
    assert "e•••@mail.com" in page.body.decode()
    answer = client.call("POST", path, raw=b"x=", content_type=FORM, headers=BROWSER)
    assert (answer.status, answer.header_list("Set-Cookie")) == (200, [])
    assert actions(app)[-1] == "email.verified"


@pytest.mark.parametrize(("path_of", "days"), [(verify_link, 1), (change_link, 1), (undo_link, 7)])
def test_links_last_as_long_as_is_promised(client: Client, app: App, world: FakeWorld, path_of: Any, days: int) -> None:
    """Good a second before their end, 410 at it."""
    client.register()
    path = path_of(app)
    world.advance(days * 86_400 - 1)
    assert client.get(path).status == 200
    world.advance(1)
    assert client.get(path).status == 410
    assert client.post(path).code == "link_invalid"


def test_a_link_takes_no_fields(client: Client, app: App) -> None:
    """422 for a body that means something else, and nothing is spent."""
    client.register()
    path = verify_link(app)
    assert client.post(path, {"email": NEW}).status == 422
    assert client.post(path, {}).status == 200


def test_a_new_address_waits_for_its_proof(client: Client, app: App) -> None:
    """200 with the user as it was; a letter to the new address only, one event, and both facts hold until the link is used."""
    user = client.register()
    answer = client.put(f"/user/{user['user']['id']}", {"email": NEW, "name": "Ann"}, token=user["access_token"])
    assert (answer.status, answer["email"], answer["email_verified"], answer["name"]) == (200, EMAIL, False, "Ann")
    assert letters(app) == [("email_change", NEW)]
    assert actions(app) == ["user.registered", "user.updated", "email.verification_sent"]
    assert client.login().status == 200
    assert client.login(NEW).status == 401


def test_the_link_makes_the_new_address_the_accounts_own(client: Client, app: App) -> None:
    """200 with the new address, confirmed; the old one is told and signs nobody in; sessions stay."""
    user = client.register()
    answer = client.post(change_link(app))
    assert (answer.status, answer["status"]) == (200, "email_verified")
    assert (answer["user"]["id"], answer["user"]["email"], answer["user"]["email_verified"]) == (user["user"]["id"], NEW, True)
    assert actions(app)[-2:] == ["email.changed", "email.verified"]
    assert letters(app)[-1] == ("email_changed", EMAIL)
    assert client.login(NEW).status == 200
    assert client.login(EMAIL).status == 401
    assert client.get("/user", token=user["access_token"])["email"] == NEW
    mail = mails(app, EMAIL)[-1]
    assert "r•••@m•••.com" in mail
    assert NEW not in mail


@pytest.mark.parametrize("address", [EMAIL, f" {EMAIL} "])
def test_the_present_address_is_no_change(client: Client, app: App, address: str) -> None:
    """200, and nobody is mailed."""
    ask_change_to = client.register()
    answer = client.put(f"/user/{ask_change_to['user']['id']}", {"email": address}, token=ask_change_to["access_token"])
    assert (answer.status, answer["email"]) == (200, EMAIL)
    assert (letters(app), actions(app)) == ([], ["user.registered"])


def test_another_spelling_of_the_present_address_is_a_change(client: Client, app: App) -> None:
    """It is proved like any other; the account then has the new spelling."""
    client.register()
    answer = client.post(change_link(app, "Example@Mail.com"))
    assert (answer.status, answer["user"]["email"]) == (200, "Example@Mail.com")
    assert client.login().status == 200


@pytest.mark.parametrize(("value", "code"), [("x", "invalid"), (None, "wrong_type"), ("", "invalid"), (1, "wrong_type")])
def test_what_is_no_address_changes_nothing(client: Client, app: App, value: Any, code: str) -> None:
    """422, and nothing of that request is done."""
    user = client.register()
    answer = client.put(f"/user/{user['user']['id']}", {"email": value, "name": "Ann"}, token=user["access_token"])
    assert (answer.status, [(fault["field"], fault["code"]) for fault in answer["errors"]]) == (422, [("email", code)])
    assert client.get("/user", token=user["access_token"])["name"] is None
    assert letters(app) == []


def test_the_old_address_takes_the_change_back(client: Client, app: App) -> None:
    """200; the account has its address again, confirmed, no password and no session, and a link for a new password."""
    user = client.register()
    path = undo_link(app)
    fresh = client.login(NEW)
    answer = client.post(path)
    assert (answer.status, answer.json(), answer.header_list("Set-Cookie")) == (200, {"status": "email_restored"}, [])
    for tokens in (user, fresh):
        assert client.get("/user", token=tokens["access_token"]).status == 401
        assert client.refresh(tokens["refresh_token"]).status == 401
    assert [client.login(email).status for email in (EMAIL, NEW)] == [401, 401]
    assert letters(app)[-1] == ("set_password", EMAIL)
    assert event_rows(app)[-3]["data"] == '{"undone":true}'
    assert client.post(link(app), {"password": PASSWORD}).status == 200
    signed_in = client.login()["user"]
    assert (signed_in["id"], signed_in["email"], signed_in["email_verified"]) == (user["user"]["id"], EMAIL, True)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_program_takes_the_change_back_by_the_link(client: Client, app: App, method: str) -> None:
    """By POST, or by a GET that wants JSON by name; a browser gets the button, and after it the page that says so."""
    client.register()
    path = undo_link(app)
    page = client.get(path, headers=BROWSER)
    assert (page.status, page.header("Content-Type")) == (200, "text/html; charset=utf-8")
    assert client.login(NEW).status == 200
    if method == "GET":
        assert client.get(path, headers=JSON_ONLY)["status"] == "email_restored"
    else:
        assert client.call("POST", path, raw=urlencode({}).encode(), headers=BROWSER).status == 200
    assert client.login(NEW).status == 401


def test_a_stranger_cannot_ask_for_anothers_address(client: Client, app: App) -> None:
    """404 as for an unknown account; nothing is queued."""
    mine, stranger = client.register(), client.register("stranger@mail.com")
    answer = client.put(f"/user/{mine['user']['id']}", {"email": NEW}, token=stranger["access_token"])
    assert (answer.status, answer.code) == (404, "not_found")
    assert letters(app) == []


def test_a_change_that_is_not_wanted_on_this_version_asks_nobody(client: Client, app: App) -> None:
    """412 with an old `If-Match`, and no mail."""
    user = client.register()
    answer = client.put(f"/user/{user['user']['id']}", {"email": NEW}, token=user["access_token"], headers={"If-Match": '"0"'})
    assert answer.status == 412
    assert letters(app) == []
    ask_change(app)
    assert letters(app)[-1] == ("email_change", NEW)
