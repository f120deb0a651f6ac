"""Whose account it is, linked and unlinked, by a real provider that is known under two names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from tests.letterbox import UNLIMITED, confirm, counts, letters, rows
from tests.openid.conftest import ADA, BOB, clients, settings
from tests.openid.peers import go_between
from tests.openid.provider import OpenIdProvider, provider_running, sign_in
from tests.openid.walks import HTML, JSON_ONLY, back, begin, begin_link, browser, enter, link, query_of
from tests.phone import enrol_totp, refused, second_step
from tests.support import Client, FakeWorld, actions, running, together

EMAIL = "ada@example.com"
BOBS = "bob@example.com"


@pytest.fixture
def app(tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld) -> Iterator[App]:
    with running(tmp_path, real_time, **settings(provider, "corp", "other"), **UNLIMITED, limit_oauth="0") as app:
        yield app


def linked(app: App, token: str) -> list[str]:
    return [one["provider"] for one in Client(app).get("/oauth/link", token=token)["identities"]]


def test_a_second_provider_with_the_same_verified_address_links(app: App) -> None:
    """Both have verified it: one account with two identities, and the owner is told of the second."""
    first = enter(browser(app), "ada")
    second = enter(browser(app), "ada", "other")
    assert second["user"]["id"] == first["user"]["id"]
    assert linked(app, second["access_token"]) == ["corp", "other"]
    assert letters(app) == [("identity_linked", EMAIL)]
    assert actions(app).count("identity.linked") == 2


def test_a_second_provider_with_an_unverified_address_does_not(app: App) -> None:
    """oauth_not_linked, on a page in words for people; the account is as it was."""
    Client(app).register(BOBS)
    confirm(app, BOBS)
    before = rows(app, "SELECT * FROM users"), counts(app, "identities", "sessions")
    refused(enter(browser(app), "bob"), 409, "oauth_not_linked")
    page = enter(browser(app), "bob", "other", headers=HTML)
    assert (page.status, page.header_list("Set-Cookie")) == (409, [])
    assert b"sign in as you are used to" in page.body
    assert (rows(app, "SELECT * FROM users"), counts(app, "identities", "sessions")) == before


def test_whoever_was_told_to_links_after_signing_in(app: App) -> None:
    """As oauth_not_linked says: sign in, link; from then on the identity signs in."""
    owner = Client(app).register(BOBS)
    refused(enter(browser(app), "bob"), 409, "oauth_not_linked")
    assert link(browser(app), owner["access_token"], "bob")["status"] == "linked"
    assert enter(browser(app), "bob")["user"]["id"] == owner["user"]["id"]
    assert letters(app) == [("identity_linked", BOBS)]


def test_two_accounts_linking_one_identity_at_once(app: App) -> None:
    """One wins; the other is told that it is another's, and has nothing."""
    owners = [Client(app).register(f"u{number}@mail.com")["access_token"] for number in range(4)]
    browsers = [browser(app) for _ in owners]
    paths = [back(sign_in(begin_link(client, token), "mia")) for client, token in zip(browsers, owners, strict=True)]
    answers = together(4, lambda number: browsers[number].get(paths[number], headers=JSON_ONLY))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert {answer.code for answer in answers if answer.status != 200} == {"conflict"}
    assert sorted(map(len, (linked(app, token) for token in owners))) == [0, 0, 0, 1]


def test_another_accounts_identity_is_a_conflict_for_a_browser_too(app: App) -> None:
    """409 on a page; the browser stays signed in as who it was."""
    enter(browser(app), "mia")
    client = browser(app)
    owner = client.register("owner@mail.com", options={"setCookie": True})
    answer = client.get(back(sign_in(begin_link(client, owner["access_token"]), "mia")), headers=HTML)
    assert (answer.status, answer.header_list("Set-Cookie")) == (409, [])
    assert client.get("/user")["id"] == owner["user"]["id"]


def test_link_list_unlink_and_sign_in_again(app: App) -> None:
    """The whole life of an identity; unlinked, it makes an account of its own."""
    owner = Client(app).register("owner@mail.com")
    token = owner["access_token"]
    assert link(browser(app), token, "mia")["status"] == "linked"
    assert linked(app, token) == ["corp"]
    assert enter(browser(app), "mia")["user"]["id"] == owner["user"]["id"]
    assert Client(app).delete("/oauth/link/corp", token=token).status == 200
    assert linked(app, token) == []
    assert enter(browser(app), "mia")["user"]["id"] != owner["user"]["id"]


def test_the_last_way_in_stays(app: App) -> None:
    """An account without an address or a password keeps its only identity, and loses the first of two."""
    client = browser(app)
    token = enter(client, "mia")["access_token"]
    refused(Client(app).delete("/oauth/link/corp", token=token), 409, "conflict")
    assert link(client, token, "mia", "other")["status"] == "linked"
    assert Client(app).delete("/oauth/link/corp", token=token).status == 200
    refused(Client(app).delete("/oauth/link/other", token=token), 409, "conflict")
    assert enter(browser(app), "mia", "other").status == 200


def test_an_account_without_an_address_has_null_and_no_mail(app: App) -> None:
    """`email` is null, it is not verified, and its page works."""
    client = browser(app)
    enter(client, "mia", headers=HTML)
    user = client.get("/user").json()
    assert (user["email"], user["email_verified"], user["name"]) == (None, False, "Mia")
    assert client.get("/account", headers=HTML).status == 200
    assert letters(app) == []


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "oauth_not_linked"),
        ({"enumeration": "hide"}, "oauth_email_unverified"),
        ({"enumeration": "hide", "email_verification": "required"}, "oauth_email_unverified"),
        ({"email_verification": "required"}, "oauth_not_linked"),
    ],
)
def test_what_an_unverified_address_is_told(
    tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld, values: dict[str, str], code: str
) -> None:
    """Where accounts are hidden a known and a free address get byte for byte the same page and problem, each time, and as many mails."""
    free = {**BOB, "sub": "ben", "email": "ben@example.com", "name": "Ben"}
    provider.set_accounts([BOB, free])
    with running(tmp_path, real_time, **settings(provider), **UNLIMITED, limit_oauth="0", **values) as app:
        Client(app).post("/register", {"email": BOBS, "password": "violet-harbour-91"})
        seen: dict[str, list[Any]] = {"bob": [], "ben": []}
        for login, answers in seen.items():
            for headers in (JSON_ONLY, HTML, JSON_ONLY):
                before = counts(app, "outbox")[0]
                answer = enter(browser(app), login, headers={**headers, "X-Request-Id": "same"})
                shown = [(name, value) for name, value in answer.headers if name != "RateLimit"]
                answers.append((answer.status, shown, answer.body, counts(app, "outbox")[0] - before))
        assert [status for status, *_ in seen["bob"]] == [409 if code == "oauth_not_linked" else 403] * 3
        assert code.encode() in seen["bob"][0][2]
        assert (seen["bob"] == seen["ben"]) == ("enumeration" in values)


def test_the_reclaim_by_a_real_provider(app: App) -> None:
    """A12: who had registered the address first keeps nothing of the account."""
    squatter = Client(app).register(EMAIL, phone_number="+14155550100")
    enrol_totp(Client(app), squatter["access_token"])
    assert link(browser(app), squatter["access_token"], "mia", "other")["status"] == "linked"
    answer = enter(browser(app), "ada")
    assert (answer.status, answer["user"]["id"]) == (200, squatter["user"]["id"])
    assert (answer["user"]["has_password"], answer["user"]["mfa_enabled"], answer["user"]["phone_number"]) == (False, False, None)
    assert linked(app, answer["access_token"]) == ["corp"]
    refused(Client(app).get("/user", token=squatter["access_token"]), 401, "invalid_token")
    assert enter(browser(app), "mia", "other")["user"]["id"] != squatter["user"]["id"]
    assert [name for name, _ in letters(app)] == ["factor_added", "identity_linked", "account_reclaimed", "identity_linked"]
    assert actions(app).count("account.reclaimed") == 1


def test_a_disabled_account_is_told_so_and_stays_shut(app: App) -> None:
    """In JSON and on a page; nothing is set."""
    from authsvc.events import CLI
    from authsvc.flows import users

    users.set_status(app.core, enter(browser(app), "ada")["user"]["id"], "disabled", CLI)
    refused(enter(browser(app), "ada"), 403, "account_disabled")
    page = enter(browser(app), "ada", "other", headers=HTML)
    assert (page.status, page.header_list("Set-Cookie")) == (403, [])


def test_the_second_step_is_asked_for_in_json_and_on_a_page(app: App) -> None:
    """mfa_required with its token, or the page for a code, which leads to where the sign-in was to go."""
    client = browser(app)
    made = enrol_totp(client, enter(client, "ada")["access_token"])
    client.cookies.clear()
    asked = refused(enter(client, "ada"), 401, "mfa_required")
    assert [factor["type"] for factor in asked["factors"]] == ["totp"]
    done = second_step(client, asked["mfa_token"], made.next())
    assert (done.status, done["user"]["email"]) == (200, EMAIL)

    client = browser(app)
    target = "http://127.0.0.1:8000/account?done=again"
    page = enter(client, "ada", query=f"?{urlencode({'redirect_to': target})}", headers=HTML)
    assert (page.status, "authsvc_access" in client.cookies) == (200, False)
    token = page.body.decode().partition('name="mfa_token" value="')[2].partition('"')[0]
    form = urlencode({"mfa_token": token, "code": made.next()}).encode()
    answer = client.post(
        "/mfa/verify", raw=form, content_type="application/x-www-form-urlencoded", headers={**HTML, "Origin": "http://127.0.0.1:8000"}
    )
    assert (answer.status, answer.header("Location")) == (303, target)
    assert client.get("/user")["email"] == EMAIL


def test_where_everybody_needs_a_factor_a_provider_is_none(tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld) -> None:
    """AUTHSVC_MFA=required: signed in, but nothing but adding a factor is let through, also not linking."""
    with running(tmp_path, real_time, **settings(provider, "corp", "other"), mfa="required") as app:
        client = browser(app)
        token = enter(client, "ada")["access_token"]
        refused(client.post("/oauth/link", {"provider": "other"}, token=token), 403, "mfa_enrolment_required")
        enrol_totp(client, token)
        assert refused(enter(browser(app), "ada"), 401, "mfa_required")["mfa_token"]


def test_a_trusted_provider_that_tells_of_no_second_step_is_asked_for_ours(
    tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld
) -> None:
    """AUTHSVC_MFA_TRUST alone lets nobody past; amr in userinfo, which nobody signs, counts for nothing."""
    with running(tmp_path, real_time, **settings(provider), mfa_trust="corp") as app:
        client = browser(app)
        enrol_totp(client, enter(client, "ada")["access_token"])
        refused(enter(client, "ada"), 401, "mfa_required")


def test_another_provider_under_the_same_name_has_other_people(
    tmp_path: Path, provider: OpenIdProvider, reticent: OpenIdProvider, real_time: FakeWorld
) -> None:
    """D7: the same subs at another issuer are not the same people."""
    with running(tmp_path, real_time, **settings(provider)) as app:
        mia, ada = enter(browser(app), "mia")["user"], enter(browser(app), "ada")["user"]
    with running(tmp_path, real_time, **settings(reticent)) as app:
        assert enter(browser(app), "mia")["user"]["id"] != mia["id"]
        refused(enter(browser(app), "ada"), 409, "oauth_not_linked")
        assert rows(app, "SELECT realm FROM identities WHERE user_id = ?", ada["id"]) == [{"realm": provider.issuer}]


def test_an_address_that_changes_at_the_provider_links_nothing(app: App, provider: OpenIdProvider) -> None:
    """D7: everybody stays who they are; a new person with an address that is taken here is asked to prove it."""
    bob, ada = enter(browser(app), "bob")["user"], enter(browser(app), "ada")["user"]
    provider.change("ada", email="moved@example.com")
    provider.change("bob", email=EMAIL, email_verified=True)
    assert enter(browser(app), "bob")["user"]["id"] == bob["id"]
    again = enter(browser(app), "ada")["user"]
    assert (again["id"], again["email"]) == (ada["id"], EMAIL)
    provider.set_accounts([*provider.accounts, {**ADA, "sub": "eve"}])
    refused(enter(browser(app), "eve"), 409, "oauth_not_linked")
    assert counts(app, "users") == [2]


def test_userinfo_that_is_told_apart_is_asked_and_believed_only_of_the_same_sub(
    tmp_path: Path, reticent: OpenIdProvider, real_time: FakeWorld
) -> None:
    """D5: what a real provider tells in userinfo only is taken; the same with another sub is refused."""
    told: dict[str, Any] = {}

    def change(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, **told} if "sub" in value else value

    with go_between(reticent.issuer, change) as between:
        values = settings(reticent, oauth_corp_userinfo_url=f"{between.url}/me")
        with running(tmp_path, real_time, **values) as app:
            assert enter(browser(app), "ada")["user"]["email"] == EMAIL
            told["sub"] = "bob"
            refused(enter(browser(app), "ada"), 502, "oauth_exchange_failed")
            assert counts(app, "users", "sessions") == [1, 1]


def test_a_code_that_was_used_is_no_good_in_another_attempt(app: App) -> None:
    """D4: the provider refuses it, for us and its verifier; nobody is signed in."""
    client = browser(app)
    used = query_of(back(sign_in(begin(client), "ada")))
    assert client.get(f"/oauth/corp/callback?{urlencode(used)}", headers=JSON_ONLY).status == 200
    for query in (used, query_of(back(sign_in(begin(browser(app)), "bob")))):
        mixed = {**query, "state": query_of(begin(client))["state"]}
        refused(client.get(f"/oauth/corp/callback?{urlencode(mixed)}", headers=JSON_ONLY), 502, "oauth_exchange_failed")
    assert counts(app, "sessions") == [1]


def test_a_provider_that_answers_by_a_form(tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld) -> None:
    """response_mode=form_post: the provider's own page posts to us without our cookie, and the browser ends signed in."""
    from urllib.parse import parse_qs, urljoin
    from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

    from tests.openid.provider import PATIENCE_SECONDS, AsItComes, Page, origin

    with running(tmp_path, real_time, **settings(provider, oauth_corp_response_mode="form_post")) as app:
        client = browser(app)
        url = begin(client)
        assert query_of(url)["response_mode"] == "form_post"
        outside = build_opener(ProxyHandler({}), HTTPCookieProcessor(), AsItComes)
        request = Request(url)
        while origin(request.full_url) == origin(url):
            with outside.open(request, timeout=PATIENCE_SECONDS) as answer:
                location, html = answer.headers["Location"], answer.read().decode()
            request = Request(urljoin(request.full_url, location)) if location else Page(request.full_url, html).filled("ada")
        assert isinstance(request.data, bytes)
        form = {name: values[0] for name, values in parse_qs(request.data.decode()).items()}
        assert form.keys() >= {"code", "state", "iss"}
        posted = Client(app).post(
            "/oauth/corp/callback",
            raw=request.data,
            content_type="application/x-www-form-urlencoded",
            headers={**HTML, "Origin": provider.issuer, "Sec-Fetch-Site": "cross-site"},
        )
        assert (posted.status, posted.header_list("Set-Cookie"), counts(app, "sessions")) == (303, [], [0])
        done = client.get(posted.header("Location") or "", headers=HTML)
        assert (done.status, done.header("Location")) == (302, "/account")
        assert client.get("/user")["email"] == EMAIL


def test_cancelling_at_the_provider(app: App) -> None:
    """oauth_denied, in words for people on a page, and nothing was done."""
    client = browser(app)
    refused(client.get(back(sign_in(begin(client), "ada", deny=True)), headers=JSON_ONLY), 403, "oauth_denied")
    page = client.get(back(sign_in(begin(client), "ada", deny=True)), headers=HTML)
    assert (page.status, b"cancelled" in page.body, page.header_list("Set-Cookie")) == (403, True, [])
    assert counts(app, "users", "identities", "sessions") == [0, 0, 0]


def test_a_sign_in_survives_keys_that_the_provider_has_changed(tmp_path: Path, real_time: FakeWorld) -> None:
    """Another process at the same address signs by other keys: they are asked for anew, half a minute later at the latest."""
    with running_at(0) as first, running(tmp_path, real_time, **settings(first), limit_oauth="0") as app:
        assert enter(browser(app), "ada").status == 200
        first.process.kill()
        first.process.wait()
        with running_at(int(first.issuer.rpartition(":")[2])) as second:
            assert second.issuer == first.issuer
            app.core.world.advance(31)
            assert enter(browser(app), "ada").status == 200


def running_at(port: int) -> Any:
    return provider_running(clients(), [ADA], port=port)
