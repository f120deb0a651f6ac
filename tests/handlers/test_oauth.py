"""The /oauth endpoints as callers see them: fields, answers, cookies, what only looks, limits, and other origins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.problems import KINDS
from tests.letterbox import FORM, counts, rows
from tests.openid.peers import Fake, fake_provider
from tests.openid.walks import HTML, JSON_ONLY, begin, begin_link, browser, query_of
from tests.phone import refused
from tests.rules.test_redirects import ATTACKS
from tests.support import Client, FakeWorld, actions, running

APP = "https://app.mine.example"
PREFETCHES = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Purpose": "prefetch"},
    {"X-Moz": "prefetch"},
    {"Purpose": "preview"},
]
TABLES = ("users", "identities", "sessions", "outbox", "events")


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with fake_provider() as fake:
        yield fake


@pytest.fixture
def app(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> Iterator[App]:
    with running(tmp_path, real_time, **fake.settings(), **fake.settings("other"), app_origins=APP, limit_oauth="0") as app:
        yield app


@pytest.fixture
def real_time() -> FakeWorld:
    import time

    world = FakeWorld()
    world.time = time.time_ns() // 1_000_000
    return world


def cookie(answer: Any, name: str) -> Any:
    """What the answer sets of this cookie."""
    (morsel,) = [morsel for value in answer.header_list("Set-Cookie") for morsel in SimpleCookie(value).values() if morsel.key == name]
    return morsel


def test_offered_providers_have_a_name_and_a_title(app: App) -> None:
    """Nothing else of them: no client id, no secret, no issuer."""
    answer = Client(app).get("/oauth")
    assert (answer.status, answer.json()) == (200, {"providers": [{"name": "corp", "title": "corp"}, {"name": "other", "title": "other"}]})


def test_without_providers_none_are_offered(tmp_path: Path, world: FakeWorld) -> None:
    """An empty list, and 404 wherever one is named."""
    with running(tmp_path, world) as app:
        assert Client(app).get("/oauth").json() == {"providers": []}
        refused(Client(app).get("/oauth/google"), 404, "not_found")


def test_a_browser_is_redirected_to_the_provider(app: App, fake: Fake) -> None:
    """302 with everything that the provider needs in the query, and a body that says nothing."""
    answer = browser(app).get("/oauth/corp", headers=HTML)
    location = answer.header("Location") or ""
    assert (answer.status, answer.body) == (302, b"")
    assert location.startswith(f"{fake.url}/authorize?")
    query = query_of(location)
    assert query.keys() == {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
    }
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert query["redirect_uri"] == "http://127.0.0.1:8000/oauth/corp/callback"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", query["code_challenge"])
    assert len(query["nonce"]) >= 22
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Referrer-Policy") == "no-referrer"


@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "application/json, text/html"}, {"Accept": "application/json, */*"}])
def test_only_a_program_that_says_so_gets_the_url_in_json(app: App, accept: dict[str, str]) -> None:
    """Everything but exactly `application/json` is redirected, as a link must work in every browser."""
    assert browser(app).get("/oauth/corp", headers=accept).status == 302


def test_a_program_gets_the_url_and_the_cookie(app: App, fake: Fake) -> None:
    """200 with `authorize_url` alone, and the cookie that binds the attempt to it."""
    answer = browser(app).get("/oauth/corp", headers=JSON_ONLY)
    assert (answer.status, answer.json().keys()) == (200, {"authorize_url"})
    assert answer["authorize_url"].startswith(f"{fake.url}/authorize?")
    assert cookie(answer, "authsvc_oauth").value


def test_json_callback_gives_tokens_and_no_cookies(app: App, fake: Fake) -> None:
    """A program takes the tokens from the body; nothing is set that it would send along unasked."""
    client = browser(app)
    answer = client.get(fake.callback(begin(client)), headers=JSON_ONLY)
    assert answer.status == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token", "session_id", "user"}
    assert answer.header_list("Set-Cookie") == []
    assert client.get("/user", token=answer["access_token"])["email"] == "ada@example.com"
    assert client.refresh(answer["refresh_token"]).status == 200
    assert answer.header("Cache-Control") == "no-store"


def test_json_second_step_of_a_json_sign_in_sets_no_cookies(app: App, fake: Fake) -> None:
    """What ends in JSON without cookies does so with a second factor as well."""
    from tests.phone import enrol_totp, second_step

    client = browser(app)
    owner = client.get(fake.callback(begin(client)), headers=JSON_ONLY)
    made = enrol_totp(client, owner["access_token"])
    asked = refused(client.get(fake.callback(begin(client)), headers=JSON_ONLY), 401, "mfa_required")
    answer = second_step(client, asked["mfa_token"], made.next())
    assert answer.status == 200
    assert [value for value in answer.header_list("Set-Cookie") if "authsvc_access" in value] == []


@pytest.mark.parametrize(
    ("settings", "name", "secure"),
    [
        ({}, "authsvc_oauth", ""),
        (
            {
                "public_url": "https://auth.example",
                "secret_key": "7f3a9c51e8d2b604" + "c4b19e7d20f5683a" * 2,
                "cookie_domain": "auth.example",
            },
            "__Host-authsvc_oauth",
            True,
        ),
    ],
)
def test_cookie_attributes(tmp_path: Path, fake: Fake, real_time: FakeWorld, settings: dict[str, Any], name: str, secure: Any) -> None:
    """HttpOnly, Lax (the provider sends the browser back by a link), the whole host and no domain; on https Secure and __Host-."""
    settings = {"mail_from": "no-reply@auth.example", **settings}
    with running(tmp_path, real_time, **fake.settings(), **settings) as app:
        answer = browser(app).get("/oauth/corp", headers=HTML)
        found = cookie(answer, name)
        assert (found["path"], found["httponly"], found["samesite"], found["domain"]) == ("/", True, "Lax", "")
        assert (found["secure"], found["max-age"]) == (secure, "600")
        assert len(found.value) == 43
        assert len(answer.header_list("Set-Cookie")) == 1


def test_two_tabs_at_once_both_arrive(app: App, fake: Fake) -> None:
    """The second start takes nothing from the first, in whichever order they come back."""
    client = browser(app)
    first, second = begin(client), begin(client, "other")
    third = begin(client)
    answers = [client.get(fake.callback(url), headers=JSON_ONLY).status for url in (third, first, second)]
    assert answers == [200, 200, 200]


@pytest.mark.parametrize("value", ["", "x", "a" * 42, "a" * 44, "é" * 43, "a" * 42 + "!", '"' + "a" * 43 + '"'])
def test_an_odd_cookie_is_replaced(app: App, fake: Fake, value: str) -> None:
    """What is not of our form is not taken over, and opens nothing."""
    client = browser(app)
    client.cookies["authsvc_oauth"] = value.encode().decode("latin-1")
    url = begin(client)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", client.cookies["authsvc_oauth"])
    assert client.get(fake.callback(url), headers=JSON_ONLY).status == 200


def test_one_cookie_twice_is_ambiguous(app: App, fake: Fake) -> None:
    """B10: a sibling domain may have planted one: 400 at the start and at the end, and nothing is spent."""
    client = browser(app)
    callback = fake.callback(begin(client))
    twice = {**JSON_ONLY, "Cookie": f"authsvc_oauth={client.cookies['authsvc_oauth']}; authsvc_oauth={'a' * 43}"}
    for path in ("/oauth/corp", callback):
        refused(Client(app).get(path, headers=twice), 400, "invalid_request")
    assert client.get(callback, headers=JSON_ONLY).status == 200


@pytest.mark.parametrize("target", [None, f"{APP}/home?x=1#y", "http://127.0.0.1:8000/account?done=again"])
def test_redirect_to_is_where_the_browser_ends(app: App, fake: Fake, target: str | None) -> None:
    """By default at its account; in JSON as a member of the answer."""
    query = f"?{urlencode({'redirect_to': target})}" if target else ""
    client = browser(app)
    answer = client.get(fake.callback(begin(client, query=query)), headers=HTML)
    assert (answer.status, answer.header("Location")) == (302, target or "/account")
    assert {morsel for value in answer.header_list("Set-Cookie") for morsel in SimpleCookie(value)} >= {"authsvc_access", "authsvc_refresh"}
    assert b"access_token" not in answer.body
    told = client.get(fake.callback(begin(client, query=query)), headers=JSON_ONLY)
    assert told.json().get("redirect_to") == target


@pytest.mark.parametrize("target", [attack for attack in ATTACKS if attack.isprintable()])
def test_redirects_elsewhere_are_refused_at_the_start(app: App, target: str) -> None:
    """C5, D9: 422 when asked for, in JSON and for linking; no attempt begins and no cookie is set."""
    client = browser(app)
    token = Client(app).register()["access_token"]
    before = counts(app, "challenges")
    query = urlencode({"redirect_to": target})
    answers = [
        client.get(f"/oauth/corp?{query}", headers=JSON_ONLY),
        client.post("/oauth/link", {"provider": "corp", "redirect_to": target}, token=token),
    ]
    for answer in answers:
        refused(answer, 422, "invalid_request")
        assert [fault["field"] for fault in answer["errors"]] == ["redirect_to"]
    page = client.get(f"/oauth/corp?{query}", headers=HTML)
    assert (page.status, page.header("Location")) == (422, None)
    assert counts(app, "challenges") == before
    assert client.cookies == {}


def test_head_and_prefetch_of_the_callback_spend_nothing(app: App, fake: Fake) -> None:
    """Nobody is signed in, the provider is not asked, and the click afterwards still works; also without a cookie."""
    client = browser(app)
    callback = fake.callback(begin(client))
    before, asked = counts(app, *TABLES), len(fake.at("/token"))
    looks = [client.call("HEAD", callback, headers=HTML), *(client.get(callback, headers={**HTML, **kind}) for kind in PREFETCHES)]
    looks.append(Client(app).call("HEAD", callback))
    for answer in looks:
        assert (answer.status, answer.body, answer.header_list("Set-Cookie"), answer.header("Location")) == (204, b"", [], None)
    assert (counts(app, *TABLES), len(fake.at("/token"))) == (before, asked)
    assert client.get(callback, headers=HTML).status == 302


def test_head_works_wherever_get_does(app: App) -> None:
    """With the headers of GET and no body."""
    for path in ("/oauth", "/oauth/corp"):
        answer = Client(app).call("HEAD", path)
        assert (answer.status, answer.body) == (Client(app).get(path).status, b"")
    refused_head = Client(app).call("HEAD", "/oauth/link")
    assert (refused_head.status, refused_head.body) == (401, b"")


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/oauth", "POST", {"GET", "HEAD"}),
        ("/oauth/link", "PUT", {"GET", "HEAD", "POST"}),
        ("/oauth/link/corp", "POST", {"DELETE"}),
        ("/oauth/corp", "POST", {"GET", "HEAD"}),
        ("/oauth/corp/callback", "DELETE", {"GET", "HEAD", "POST"}),
    ],
)
def test_other_methods_are_405(app: App, path: str, method: str, allowed: set[str]) -> None:
    """With what is allowed."""
    answer = refused(Client(app).call(method, path), 405, "method_not_allowed")
    assert allowed <= {name.strip() for name in (answer.header("Allow") or "").split(",")}


@pytest.mark.parametrize(("method", "path"), [("GET", "/oauth/link"), ("POST", "/oauth/link"), ("DELETE", "/oauth/link/corp")])
def test_linking_wants_a_caller(app: App, method: str, path: str) -> None:
    """401 without credentials, and nothing begins."""
    body = {"provider": "corp"} if method == "POST" else None
    refused(Client(app).call(method, path, body), 401, "unauthenticated")
    assert counts(app, "challenges") == [0]


@pytest.mark.parametrize(("method", "path"), [("POST", "/oauth/link"), ("DELETE", "/oauth/link/corp")])
def test_linking_and_unlinking_want_a_recent_sign_in(app: App, method: str, path: str) -> None:
    """A15: a stolen old session links and unlinks nothing; listing it may."""
    token = Client(app).register()["access_token"]
    app.core.world.advance(899)
    assert Client(app).post("/oauth/link", {"provider": "corp"}, token=token).status == 200
    refresh = Client(app).login()
    app.core.world.advance(901)
    token = Client(app).refresh(refresh["refresh_token"])["access_token"]
    answer = refused(
        Client(app).call(method, path, {"provider": "corp"} if method == "POST" else None, token=token), 401, "reauthentication_required"
    )
    assert "insufficient_user_authentication" in (answer.header("WWW-Authenticate") or "")
    assert Client(app).get("/oauth/link", token=token).json() == {"identities": []}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "provider"),
        ({"provider": None}, 422, "provider"),
        ({"provider": 7}, 422, "provider"),
        ({"provider": ["corp"]}, 422, "provider"),
        ({"provider": "\ud800"}, 422, "provider"),
        ({"provider": "corp", "user_id": "usr_x"}, 422, "user_id"),
        ({"provider": "corp", "redirect_to": 7}, 422, "redirect_to"),
        ({"provider": "corp", "redirect_to": f"{APP}/{'x' * 2048}"}, 422, "redirect_to"),
        ({"provider": "nowhere"}, 404, None),
        ({"provider": "link"}, 404, None),
        ({"provider": ""}, 404, None),
        ({"provider": "../corp"}, 404, None),
        ({"provider": "CORP"}, 404, None),
        ({"provider": "corp\0"}, 404, None),
    ],
)
def test_link_names_what_is_wrong(app: App, body: dict[str, Any], status: int, field: str | None) -> None:
    """Each wrong value is named; a provider that is not offered is not found."""
    token = Client(app).register()["access_token"]
    answer = refused(Client(app).post("/oauth/link", body, token=token), status, "invalid_request" if field else "not_found")
    assert field is None or [fault["field"] for fault in answer["errors"]] == [field]
    assert counts(app, "challenges") == [0]


def test_start_names_what_it_does_not_know(app: App) -> None:
    """An unknown parameter is told, and nothing begins."""
    answer = refused(Client(app).get("/oauth/corp?next=https://evil.example", headers=JSON_ONLY), 422, "invalid_request")
    assert [(fault["field"], fault["code"]) for fault in answer["errors"]] == [("next", "unknown_field")]
    assert counts(app, "challenges") == [0]


def test_callback_passes_over_what_providers_add(app: App, fake: Fake) -> None:
    """RFC 6749 4.1.2: unrecognized parameters are ignored."""
    client = browser(app)
    assert (
        client.get(fake.callback(begin(client)) + "&session_state=x&scope=openid&authuser=0&prompt=none", headers=JSON_ONLY).status == 200
    )


def test_linked_identities_are_listed_without_their_subject(app: App, fake: Fake) -> None:
    """Provider, title, address and times of one's own; nothing by which the provider knows them."""
    owner = Client(app).register()["access_token"]
    client = browser(app)
    answer = client.get(fake.callback(begin_link(client, owner)), headers=JSON_ONLY)
    assert (answer.status, answer.json().keys(), answer["status"]) == (200, {"status", "identity"}, "linked")
    (listed,) = client.get("/oauth/link", token=owner)["identities"]
    assert listed == answer["identity"]
    assert listed.keys() == {"provider", "title", "email", "email_verified", "created_at", "last_used_at"}
    assert (listed["provider"], listed["email"], listed["email_verified"]) == ("corp", "ada@example.com", True)
    assert answer.header_list("Set-Cookie") == []
    assert Client(app).get("/oauth/link", token=Client(app).register("eve@mail.com")["access_token"]).json() == {"identities": []}


def test_linking_ends_where_it_was_told_to(app: App, fake: Fake) -> None:
    """In a browser by a redirect, without new tokens; else in the answer."""
    owner = Client(app).register()["access_token"]
    client = browser(app)
    answer = client.get(fake.callback(begin_link(client, owner, redirect_to=f"{APP}/done")), headers=HTML)
    assert (answer.status, answer.header("Location"), answer.header_list("Set-Cookie")) == (302, f"{APP}/done", [])
    again = client.get(fake.callback(begin_link(client, owner)), headers=HTML)
    assert again.header("Location") == "/account?done=linked"
    told = client.get(fake.callback(begin_link(client, owner, redirect_to=f"{APP}/done")), headers=JSON_ONLY)
    assert told["redirect_to"] == f"{APP}/done"
    assert len(rows(app, "SELECT id FROM sessions")) == 1


def test_unlinking_answers_and_a_second_time_is_not_found(app: App, fake: Fake) -> None:
    """200 once; what is not linked, or no provider at all, is the same 404."""
    owner = Client(app).register()["access_token"]
    client = browser(app)
    client.get(fake.callback(begin_link(client, owner)), headers=JSON_ONLY)
    assert client.delete("/oauth/link/corp", token=owner).json() == {"status": "unlinked"}
    answers = [client.delete(f"/oauth/link/{name}", token=owner) for name in ("corp", "other", "nowhere")]
    assert {(refused(answer, 404, "not_found")["detail"]) for answer in answers} == {answers[0]["detail"]}
    assert actions(app).count("identity.unlinked") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", "oauth_denied"), ("server_error", "oauth_exchange_failed"), ("<script>alert(1)</script>", "oauth_exchange_failed")],
)
def test_an_error_of_the_provider_is_a_named_code(app: App, fake: Fake, error: str, code: str) -> None:
    """On a page in words of ours, and nothing of what the provider wrote; spent, on record, and the token endpoint is not asked."""
    client = browser(app)
    asked = len(fake.at("/token"))
    described = {"error": error, "error_description": "<b>call +1-900-EVIL</b>", "error_uri": "https://evil.example", "iss": fake.url}
    for headers in (JSON_ONLY, HTML):
        state = query_of(begin(client))["state"]
        answer = client.get(f"/oauth/corp/callback?{urlencode({**described, 'state': state, 'code': 'x'})}", headers=headers)
        assert answer.status == KINDS[code].status
        assert b"evil" not in answer.body.lower()
        assert b"<script>alert" not in answer.body
        assert answer.header_list("Set-Cookie") == []
        refused(client.get(f"/oauth/corp/callback?state={state}&code=x", headers=JSON_ONLY), 400, "oauth_state_invalid")
    assert len(fake.at("/token")) == asked
    assert actions(app) == ["login.failed", "login.failed"]


@pytest.mark.parametrize("extra", ["", "&code=", "&error="])
def test_a_callback_without_a_code_is_no_sign_in(app: App, fake: Fake, extra: str) -> None:
    """oauth_exchange_failed, and the provider is not asked."""
    client = browser(app)
    asked = len(fake.at("/token"))
    state = query_of(begin(client))["state"]
    answer = client.get(f"/oauth/corp/callback?{urlencode({'state': state, 'iss': fake.url})}{extra}", headers=JSON_ONLY)
    refused(answer, 502, "oauth_exchange_failed")
    assert len(fake.at("/token")) == asked


@pytest.mark.parametrize(
    "query",
    ["code=a&code=b&state=x", "state=" + "x" * 201, "code=" + "x" * 4097, "state=%ff", "state=%00", "state=a%0d%0aX:y", "iss=" + "x" * 501],
)
def test_a_malformed_callback_is_a_refusal(app: App, query: str) -> None:
    """4xx, on a page and in JSON, and nothing happens."""
    for headers in (JSON_ONLY, HTML):
        answer = browser(app).get(f"/oauth/corp/callback?{query}", headers=headers)
        assert answer.status in (400, 422)
    assert counts(app, *TABLES) == [0, 0, 0, 0, 0]


def test_a_form_answer_is_sent_on_to_the_browsers_own_callback(app: App, fake: Fake) -> None:
    """It is posted from a foreign site and so without our cookie; 303 to the same path, and only what we know goes along."""
    client = browser(app)
    callback = query_of(fake.callback(begin(client)))
    form = urlencode(
        {**callback, "user": '{"name":{"firstName":"Ada","lastName":"L"}}', "next": "https://evil.example", "redirect_to": "//evil"}
    )
    foreign = {**HTML, "Origin": "https://appleid.apple.com", "Sec-Fetch-Site": "cross-site"}
    answer = Client(app).post("/oauth/corp/callback", raw=form.encode(), content_type=FORM, headers=foreign)
    location = answer.header("Location") or ""
    assert (answer.status, answer.header_list("Set-Cookie")) == (303, [])
    assert location.startswith("/oauth/corp/callback?")
    assert query_of(location) == {**callback, "user": '{"name":{"firstName":"Ada","lastName":"L"}}'}
    assert answer.header("Access-Control-Allow-Origin") is None
    assert counts(app, *TABLES) == [0, 0, 0, 0, 0]
    assert client.get(location, headers=HTML).status == 302


@pytest.mark.parametrize(
    ("raw", "kind"), [(b"", ""), (b"{}", "text/plain"), (b"state=x", "multipart/form-data"), (b"{", "application/json"), (b"", FORM)]
)
def test_other_posts_to_the_callback_end_nowhere(app: App, raw: bytes, kind: str) -> None:
    """No foreign page can do more by a POST than by a link."""
    answer = Client(app).post("/oauth/corp/callback", raw=raw, content_type=kind, headers={"Origin": "https://evil.example"})
    assert answer.status in (303, 400, 415)
    assert counts(app, *TABLES) == [0, 0, 0, 0, 0]


def test_json_may_be_posted_to_the_callback(app: App, fake: Fake) -> None:
    """An app hands on what its own browser brought back; its cookie stands for it as ever."""
    client = browser(app)
    callback = query_of(fake.callback(begin(client)))
    refused(Client(app).post("/oauth/corp/callback", callback), 400, "oauth_state_invalid")
    assert client.post("/oauth/corp/callback", callback, headers=JSON_ONLY).status == 200


def test_the_limit_counts_starts_ends_and_links_of_a_network(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """One bucket for all of it, before anything is looked at; other networks have their own; it refills."""
    with running(tmp_path, real_time, **fake.settings(), limit_oauth="4/60s") as app:
        token = Client(app).register()["access_token"]
        paths = ["/oauth/corp", "/oauth/nowhere", "/oauth/corp/callback", "/oauth/corp/callback?state=x"]
        answers = [Client(app).get(path) for path in paths]
        assert [answer.status for answer in answers] == [302, 404, 400, 400]
        assert all("oauth" in (answer.header("RateLimit-Policy") or "") for answer in answers)
        for answer in (Client(app).get("/oauth/corp"), Client(app).post("/oauth/link", {"provider": "corp"}, token=token)):
            assert int(refused(answer, 429, "rate_limited").header("Retry-After") or 0) > 0
        page = Client(app).get("/oauth/corp", headers=HTML)
        assert (page.status, page.header("Retry-After") is not None) == (429, True)
        assert Client(app, ip="198.51.100.1").get("/oauth/corp").status == 302
        assert Client(app).get("/oauth").status == 200
        app.core.world.advance(60)
        assert Client(app).get("/oauth/corp").status == 302


def test_only_listed_origins_may_read_the_answers(app: App, fake: Fake) -> None:
    """B14: CORS headers for an app of ours, and for nobody else, on the start, the callback and the list."""
    for path in ("/oauth", "/oauth/corp", "/oauth/corp/callback?state=x", "/oauth/link"):
        good = Client(app).get(path, headers={**JSON_ONLY, "Origin": APP})
        assert (good.header("Access-Control-Allow-Origin"), good.header("Access-Control-Allow-Credentials")) == (APP, "true")
        for origin in ("https://evil.example", "null", "https://app.mine.example.evil", "http://app.mine.example", fake.url):
            bad = Client(app).get(path, headers={**JSON_ONLY, "Origin": origin})
            assert [value for name, value in bad.headers if name.lower().startswith("access-control-")] == []
            assert "Origin" in (bad.header("Vary") or "")


@pytest.mark.parametrize(("method", "path"), [("POST", "/oauth/link"), ("DELETE", "/oauth/link/corp")])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://auth.example"])
def test_a_foreign_page_links_and_unlinks_nothing_by_the_cookie(app: App, fake: Fake, method: str, path: str, origin: str) -> None:
    """B9, D2: csrf_failed, and the identity stays what it is."""
    client = browser(app)
    client.get(fake.callback(begin(client)), headers=HTML)
    before = counts(app, "identities", "challenges")
    refused(client.call(method, path, {"provider": "other"} if method == "POST" else None, headers={"Origin": origin}), 403, "csrf_failed")
    form = f"{path}?_method={method}" if method == "DELETE" else path
    refused(client.post(form, raw=b"provider=other", content_type=FORM, headers={"Origin": origin}), 403, "csrf_failed")
    assert counts(app, "identities", "challenges") == before


def test_pages_lead_to_the_providers_and_keep_where_to_go(app: App) -> None:
    """Login and register have a link to each provider, with the `redirect_to` that they were asked for."""
    for page in ("/login", "/register"):
        shown = Client(app).get(f"{page}?{urlencode({'redirect_to': APP + '/x'})}", headers=HTML).body.decode()
        links = re.findall(r'href="(/oauth/[^"]+)"', shown)
        assert [link.partition("?")[0] for link in links] == ["/oauth/corp", "/oauth/other"]
        assert all(query_of(link)["redirect_to"] == f"{APP}/x" for link in links)


def test_the_account_page_links_and_unlinks_by_forms(app: App, fake: Fake) -> None:
    """The forms of the page, posted as a browser does, go to the provider and come back linked; removing shows on the page."""
    client = browser(app)
    client.get(fake.callback(begin(client)), headers=HTML)
    same = {**HTML, "Origin": "http://127.0.0.1:8000"}
    leaving = client.post("/oauth/link", raw=b"provider=other", content_type=FORM, headers=same)
    assert leaving.status == 200
    url = re.search(rb'href="([^"]*/authorize[^"]*)"', leaving.body)
    assert url
    answer = client.get(fake.callback(url[1].decode().replace("&amp;", "&")), headers=HTML)
    assert answer.header("Location") == "/account?done=linked"
    assert b'action="/oauth/link/other?_method=DELETE"' in client.get("/account", headers=HTML).body
    gone = client.post("/oauth/link/other?_method=DELETE", headers=same, environ={"CONTENT_TYPE": FORM})
    assert (gone.status, gone.header("Location")) == (303, "/account?done=unlinked")
    assert [row["provider"] for row in rows(app, "SELECT provider FROM identities")] == ["corp"]


def test_busy_is_an_answer_that_can_be_repeated(app: App, fake: Fake) -> None:
    """503 says to repeat the request; so it has spent nothing."""
    client = browser(app)
    callback = fake.callback(begin(client))
    waits = [app.core.providers.waiting() for _ in range(4)]
    for wait in waits:
        wait.__enter__()
    answer = refused(client.get(callback, headers=JSON_ONLY), 503, "busy")
    assert int(answer.header("Retry-After") or 0) > 0
    for wait in waits:
        wait.__exit__(None, None, None)
    assert client.get(callback, headers=JSON_ONLY).status == 200
