"""What pages show of providers: buttons, links, the account's list, the page in between, and refusals; none of it markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from authsvc.app import App
from authsvc.config.settings import LIMITS
from authsvc.pages.identities import WORDS
from authsvc.primitives import ids
from authsvc.problems import KINDS
from authsvc.store.identities import Row
from tests.pages.test_browser_answers import HTML, look, send, title
from tests.pages.test_views import HOSTILE, Shape, shape
from tests.support import Answer, Client, FakeWorld, actions, running

PROVIDER = "https://corp.example"
TARGET = "https://app.example.com/home?a='b'&c=%22%3E%3Cb%3E#x"
CODES = [code for code in KINDS if code.startswith("oauth_")]
NUMBERS = count()
TITLES = [value for value in HOSTILE if value.isprintable() and value == value.strip()]


def plain(name: str = "corp", **more: Any) -> dict[str, Any]:
    """A provider whose sign-in begins without a call."""
    urls = {"authorize_url": "/authorize", "token_url": "/token", "userinfo_url": "/userinfo"}
    parts = {
        "client_id": "our-id",
        "client_secret": "our-secret",
        "fields": "subject=sub",
        **{part: PROVIDER + path for part, path in urls.items()},
    }
    return {f"oauth_{name}_{part}": value for part, value in {**parts, **more}.items()}


def unlimited(folder: Path, **settings: Any) -> Any:
    return running(folder, app_origins="https://app.example.com", **dict.fromkeys((f"limit_{name}" for name in LIMITS), "0"), **settings)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app with three providers."""
    given = plain("corp", title="Corp") | plain("acme", title="Acme") | plain("my_own")
    with unlimited(tmp_path_factory.mktemp("shared"), **given) as app:
        yield app


def signed_in(app: App, **more: Any) -> tuple[Client, str]:
    """A browser with the cookies of a new account, and the account's id."""
    client = Client(app, keep_cookies=True)
    return client, client.register(f"someone{next(NUMBERS)}@mail.com", options={"setCookie": True}, **more)["user"]["id"]


def linked(app: App, user_id: str, provider: str = "corp", email: str | None = "me@corp.example") -> None:
    """Put an identity on record, as a sign-in over there would."""
    world = app.core.world
    row = Row(ids.new(ids.IDENTITY, world), user_id, provider, PROVIDER, f"sub{next(NUMBERS)}", email, 1, world.now(), world.now())
    with app.core.store.write() as tx:
        assert tx.identities.add(row)


def offers(answer: Answer) -> list[tuple[str, str]]:
    """The ways to providers: where they lead, and what they say."""
    found = re.findall(r'<a href="([^"]*/oauth/[^"]*)">([^<]*)</a>', answer.body.decode())
    return [(unescape(href), unescape(said)) for href, said in found]


def buttons(answer: Answer) -> list[str]:
    """What the buttons say, read aloud."""
    found = re.findall(r"<button[^>]*>(.*?)</button>", answer.body.decode())
    return [unescape(re.sub(r"<[^>]*>", "", said)) for said in found]


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_each_provider_has_one_way_to_it(shared: App, path: str) -> None:
    """By its title, in the order of the names; one without a title is called by its name."""
    found = offers(look(Client(shared), path))
    assert found == [
        ("/oauth/acme", "Continue with Acme"),
        ("/oauth/corp", "Continue with Corp"),
        ("/oauth/my_own", "Continue with " + Client(shared).get("/oauth")["providers"][2]["title"]),
    ]


@pytest.mark.parametrize("path", ["/login", "/register", "/account"])
def test_without_providers_pages_do_not_speak_of_them(app: App, path: str) -> None:
    """No empty list, no divider before nothing."""
    client, _ = signed_in(app)
    body = look(client, path).body.decode()
    assert [word for word in ("/oauth", 'class="providers"', "Other ways to sign in", "Continue with") if word in body] == []
    assert body.count('class="or"') == (path == "/login")


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_where_to_go_afterwards_is_carried_to_the_provider(shared: App, path: str) -> None:
    """Decoded it is what was asked for; and the start takes it."""
    found = offers(look(Client(shared), f"{path}?{urlencode({'redirect_to': TARGET})}"))
    assert {parse_qs(urlsplit(href).query)["redirect_to"][0] for href, _ in found} == {TARGET}
    assert len(found) == 3
    assert look(Client(shared), found[0][0]).status == 302


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_a_form_that_was_refused_offers_the_providers_still(shared: App, path: str) -> None:
    """With what the first page carried."""
    query = f"?{urlencode({'redirect_to': TARGET})}"
    answer = send(Client(shared), path + query, email="no address", password="")
    assert answer.status == 422
    assert [href for href, _ in offers(answer)] == [f"/oauth/{name}{query}" for name in ("acme", "corp", "my_own")]


@pytest.mark.parametrize("path", ["/login", "/register", "/oauth/corp"])
@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "https://app.example.com@evil.example/"]
)
def test_a_foreign_target_is_carried_nowhere(shared: App, path: str, target: str) -> None:
    """The page says no, and leads to no provider."""
    answer = look(Client(shared), f"{path}?redirect_to={quote(target, safe='')}")
    assert answer.status == 422
    assert offers(answer) == []
    assert "evil" not in answer.body.decode()
    assert answer.header_list("Set-Cookie") == []


def test_below_a_path_all_ways_stay_below_it(tmp_path: Path) -> None:
    """Links, forms and what a provider's form is sent on to."""
    with unlimited(tmp_path, public_url="http://127.0.0.1:8000/auth", **plain(), **plain("other")) as app:
        client = Client(app, keep_cookies=True)
        user_id = client.register("someone@mail.com", options={"setCookie": True})["user"]["id"]
        linked(app, user_id)
        pages = [look(client, "/auth" + path) for path in ("/login", "/register", "/account", "/oauth/corp/callback")]
    assert [page.status for page in pages] == [200, 200, 200, 400]
    paths = [unescape(path) for page in pages for path in re.findall(r'(?:href|action)="([^"]*)"', page.body.decode())]
    assert [path for path in paths if not path.startswith(("/auth/", "data:,", "http://127.0.0.1:8000/auth/"))] == []
    assert {f"/auth/oauth/{name}" for name in ("corp", "other")} <= set(paths)
    assert {"/auth/oauth/link", "/auth/oauth/link/corp?_method=DELETE"} <= set(paths)


@pytest.mark.parametrize("hostile", TITLES, ids=lambda value: ascii(value)[:30])
def test_a_title_is_text_on_every_page(tmp_path: Path, hostile: str) -> None:
    """Whatever the operator calls it: the pages have the elements that they have for any other title, and show it whole."""
    shapes, shown = [], []
    for folder, name in (("a", "Corp"), ("b", hostile)):
        (tmp_path / folder).mkdir()
        given = plain("corp", title=name) | plain("other", title=name)
        with unlimited(tmp_path / folder, world=FakeWorld(), **given) as app:
            client, user_id = signed_in(app)
            linked(app, user_id)
            pages = [look(client, "/login"), look(client, "/register"), look(client, "/account")]
            pages.append(send(client, "/oauth/link", provider="other"))
            app.core.world.advance(905)  # type: ignore[attr-defined]
            look(client, "/token/refresh")
            pages.append(send(client, "/oauth/link", provider="other"))
        shapes.append([shape(page) for page in pages])
        shown.append([sum(name in value for value in Shape(page.body.decode()).values) for page in pages])
    assert shapes[1] == shapes[0]
    assert title(pages[-1]) == "Is it you?"
    assert all(counted >= 1 for counted in (*shown[1][:3], shown[1][4]))


@pytest.mark.parametrize("hostile", [value for value in HOSTILE if "\ud800" not in value], ids=lambda value: ascii(value)[:30])
def test_an_address_at_the_provider_is_text(shared: App, hostile: str) -> None:
    """What the provider told stands on the account page as it is, and is no markup."""
    pages = []
    for email in ("me@corp.example", hostile):
        client, user_id = signed_in(shared)
        linked(shared, user_id, email=email)
        pages.append(look(client, "/account"))
    assert shape(pages[1]) == shape(pages[0])


def test_the_account_lists_what_is_linked_and_offers_the_others(shared: App) -> None:
    """Each once: the one to be removed, the others to be added."""
    client, user_id = signed_in(shared)
    before = look(client, "/account")
    assert [said for said in buttons(before) if said.startswith(("Add A", "Add C", "Remove"))] == ["Add Acme", "Add Corp"]
    assert before.body.decode().count("None yet.") == 2  # of the factors, and of these
    linked(shared, user_id)
    after = look(client, "/account")
    assert [said for said in buttons(after) if said.startswith(("Add A", "Add C", "Remove"))] == ["Remove Corp", "Add Acme"]
    assert "me@corp.example" in after.body.decode()
    assert after.body.decode().count("None yet.") == 1


def test_what_is_not_offered_any_more_is_listed_and_can_be_removed(app: App) -> None:
    """By the name that it had; nothing is offered to be added."""
    client, user_id = signed_in(app)
    linked(app, user_id, "old_one", None)
    page = look(client, "/account")
    assert "Other ways to sign in" in page.body.decode()
    assert "Remove old_one" in buttons(page)
    assert not [said for said in buttons(page) if said.startswith("Add ") and said != "Add an authenticator app"]
    assert "None" not in re.sub(r"None yet\.", "", page.body.decode())
    answer = send(client, "/oauth/link/old_one?_method=DELETE")
    assert (answer.status, answer.header("Location")) == (303, "/account?done=unlinked")
    assert actions(app)[-1] == "identity.unlinked"
    assert "Other ways to sign in" not in look(client, "/account").body.decode()


def test_only_what_is_linked_and_offered_proves_that_it_is_you(shared: App) -> None:
    """A provider of a stranger's is no proof, nor is one that is not offered any more."""
    client, user_id = signed_in(shared)
    linked(shared, user_id, "corp")
    linked(shared, user_id, "gone")
    shared.core.world.advance(905)  # type: ignore[attr-defined]
    look(client, "/token/refresh")
    page = send(client, "/oauth/link", provider="acme")
    assert (page.status, title(page)) == (401, "Is it you?")
    assert [said for _, said in offers(page)] == ["Continue with Corp"]
    other, _ = signed_in(shared)
    shared.core.world.advance(905)  # type: ignore[attr-defined]
    look(other, "/token/refresh")
    page = send(other, "/oauth/link", provider="acme")
    assert title(page) == "Is it you?"
    assert offers(page) == []
    assert 'class="or"' not in page.body.decode()
    assert 'class="providers"' not in page.body.decode()


def test_the_page_in_between_leads_to_the_provider_and_nowhere_else(tmp_path: Path) -> None:
    """By itself and by its link, to the same address, whatever letters that has; it is kept by no cache and tells no referrer more."""
    odd = f"{PROVIDER}/'\"><b>;/authorize?a='b'&c=\"><b>;url=https://evil.example/"
    with unlimited(tmp_path, **plain(authorize_url=odd, title="Corp")) as app:
        client, _ = signed_in(app)
        page = send(client, "/oauth/link", provider="corp")
    assert page.status == 200
    body = page.body.decode()
    (refresh,) = re.findall(r'<meta http-equiv="refresh" content="([^"]*)">', body)
    (link,) = re.findall(r'<p class="actions"><a href="([^"]*)">', body)
    assert unescape(refresh) == f"0; url={unescape(link)}"
    going = urlsplit(unescape(link))
    assert (going.scheme, going.netloc, going.path) == ("https", "corp.example", "/'\"><b>;/authorize")
    asked = parse_qs(going.query)
    assert asked["a"] == ["'b'"]
    assert asked["redirect_uri"] == ["http://127.0.0.1:8000/oauth/corp/callback"]
    assert asked["code_challenge_method"] == ["S256"]
    assert not {element[0] for element in shape(page)} & {"script", "b", "img"}
    assert page.header("Cache-Control") == "no-store"
    assert page.header("Referrer-Policy") in ("strict-origin", "no-referrer")
    assert "form-action 'self'" in str(page.header("Content-Security-Policy"))
    assert "authsvc_oauth" in client.cookies


def test_a_provider_that_is_not_there_is_no_page_in_between(shared: App) -> None:
    """A form that somebody changed: refused on a page, nothing begun."""
    client, _ = signed_in(shared)
    for provider in ("nobody", "", "link", "../login", "<b>"):
        answer = send(client, "/oauth/link", provider=provider)
        assert answer.status in (404, 422), provider
        assert title(answer)
        assert "refresh" not in answer.body.decode()
        assert "<b>" not in answer.body.decode()
    assert "authsvc_oauth" not in client.cookies


def test_the_last_way_in_is_refused_on_the_account_page(shared: App) -> None:
    """Beside what can be done about it; nothing is removed."""
    client = Client(shared, keep_cookies=True)
    user_id = client.register(f"someone{next(NUMBERS)}@mail.com", options={"setCookie": True})["user"]["id"]
    linked(shared, user_id)
    with shared.core.store.write() as tx:
        tx.users.change(user_id, shared.core.world.now(), password_hash=None)
    page = send(client, "/oauth/link/corp?_method=DELETE")
    assert (page.status, title(page)) == (409, "Your account")
    assert "This is the last way into your account. Confirm your address or set a password first." in page.body.decode()
    assert "Remove Corp" in buttons(page)
    with shared.core.store.read() as tx:
        assert [row.provider for row in tx.identities.of(user_id)] == ["corp"]


@pytest.mark.parametrize("code", CODES)
def test_every_refusal_of_a_provider_has_words_for_people(code: str) -> None:
    """Other ones than for programmers: without paths, names of fields and log files."""
    said = WORDS[code]
    assert said != KINDS[code].meaning
    assert not re.search(r"POST|GET|/\w+|`|_|request id", said)
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("query", "status", "heading"),
    [
        ("", 400, "Not a sign-in of this browser"),
        ("?state=x&code=y", 400, "Not a sign-in of this browser"),
        ("?error=access_denied", 400, "Not a sign-in of this browser"),
        ("?state=" + "x" * 300, 422, "Invalid request"),
        ("?code=%00", 400, "Not a sign-in of this browser"),
        ("?state=x&state=y", 400, "Invalid request"),
    ],
)
def test_coming_back_without_having_gone_has_a_page_with_ways_on(shared: App, query: str, status: int, heading: str) -> None:
    """Whatever is in the address; no cookie is set or taken away."""
    client, _ = signed_in(shared)
    before = dict(client.cookies)
    answer = look(client, f"/oauth/corp/callback{query}")
    assert (answer.status, title(answer)) == (status, heading)
    assert {"/login", "/account"} <= set(re.findall(r'href="([^"]*)"', answer.body.decode()))
    assert answer.header("Cache-Control") == "no-store"
    assert client.cookies == before


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda value: ascii(value)[:30])
@pytest.mark.parametrize("name", ["state", "code", "iss", "error", "user", "error_description", "again"])
def test_nothing_that_came_back_is_shown(shared: App, name: str, hostile: str) -> None:
    """A refusal says what went wrong in words of our own."""
    value = quote(hostile, errors="surrogatepass")
    for path in ("/oauth/corp/callback", "/oauth/corp", f"/oauth/{value}"):
        answer = Client(shared).get(f"{path}?{name}={value}", headers=HTML)
        if answer.status == 302:
            assert urlsplit(str(answer.header("Location"))).netloc == "corp.example"
            continue
        assert answer.status in (400, 404, 422), answer.status
        assert not {element[0] for element in shape(answer)} & {"script", "img", "svg", "b", "!--"}
        assert b"alert(1)" not in answer.body


def test_a_form_of_a_provider_is_sent_on_to_our_own_callback(shared: App) -> None:
    """From whatever site: what the callback knows is kept, all else dropped; nothing is decided, and no cookie set."""
    fields = {"state": "s&x=y", "code": "c #", "user": '{"name":"é"}', "next": "https://evil.example/", "session_state": "z"}
    raw = urlencode(fields).encode()
    answer = Client(shared).call(
        "POST",
        "/oauth/corp/callback",
        raw=raw,
        content_type="application/x-www-form-urlencoded",
        headers={**HTML, "Origin": "https://corp.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status == 303
    there = urlsplit(str(answer.header("Location")))
    assert (there.scheme, there.netloc, there.path) == ("", "", "/oauth/corp/callback")
    assert parse_qs(there.query) == {name: [fields[name]] for name in ("state", "code", "user")}
    assert answer.header_list("Set-Cookie") == []


def test_coming_back_is_for_browsers_only_a_page(shared: App) -> None:
    """A program gets the problem by its code, with the very same status."""
    page = look(Client(shared), "/oauth/corp/callback?state=x&code=y")
    told = Client(shared).get("/oauth/corp/callback?state=x&code=y", headers={"Accept": "application/json"})
    assert (told.code, told.status) == ("oauth_state_invalid", page.status)


def test_no_page_shows_how_we_are_known_at_the_provider(shared: App) -> None:
    """Neither the client's id nor its secret; the id is in the address of the sign-in, and the secret nowhere."""
    client, user_id = signed_in(shared)
    linked(shared, user_id)
    for path in ("/login", "/register", "/account"):
        assert "our-" not in look(client, path).body.decode()
    between = send(client, "/oauth/link", provider="acme").body.decode()
    assert "our-id" in between
    assert "our-secret" not in between
