"""What anybody can write never becomes markup: every field that a page shows, with values that would if they could."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.config.limits import LIMITS
from tests.http.bare import Bare
from tests.pages.test_browser_answers import title
from tests.support import EMAIL, PASSWORD, Answer, Client, running

HTML = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    '" autofocus onfocus="alert(1)',
    "</title><script>alert(1)</script>",
    "</main></body></html><h1>x</h1>",
    "<!--",
    "--><b>",
    "]]><b>",
    "&lt;script&gt;",
    "&#60;b&#62;",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "$title ${content} $$ $",
    "%(x)s {0} {title}",
    "<\x00script>",
    "\x00",
    "\x1b[31m",
    "<b\u2028>",
    "\ufeff<b>",
    "\u202e<b>",
    "\uff1cscript\uff1e",
    "\\u003cb\\u003e",
    "+ADw-b+AD4-",
    "a\r\nSet-Cookie: a=b\r\n\r\n<b>",
    "`${alert(1)}`",
    "\ud800<b>",
    "\U0010ffff<b>",
    "<" * 300,
]
ANY = st.text(st.characters(exclude_categories=[]), max_size=40) | st.text("<>\"'&;=/ $a\x00\n\ud800", max_size=30)
EMAILS = count()


class Shape(HTMLParser):
    """The elements of a page with the names of their attributes, and all values and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.values: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.values += [value for _, value in attrs if value]

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(("/" + tag,))

    def handle_comment(self, data: str) -> None:
        self.elements.append(("!--",))

    def handle_decl(self, decl: str) -> None:
        self.elements.append(("!" + decl,))

    def handle_pi(self, data: str) -> None:
        self.elements.append(("?",))

    def unknown_decl(self, data: str) -> None:
        self.elements.append(("!",))

    def handle_data(self, data: str) -> None:
        self.values.append(data)


def shape(answer: Answer) -> list[tuple[str, ...]]:
    """The markup of a page, which it must have: a refusal as data would hide the question."""
    assert answer.status < 500, answer.body
    assert title(answer)
    assert all(set(value).isdisjoint("\r\n\0") for _, value in answer.headers)
    return Shape(answer.body.decode()).elements


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app without limits."""
    off = dict.fromkeys((f"limit_{name}" for name in LIMITS), "0")
    with running(tmp_path_factory.mktemp("shared"), app_origins="https://app.example.com", **off) as app:
        yield app


def post(app: App, path: str, body: dict[str, Any], *, token: str | None = None) -> Answer:
    """JSON from something that asks for a page: it can hold what no form can."""
    return Client(app).post(path, body, headers=HTML, token=token)


TYPED = [
    ("/login", {"email": None, "password": PASSWORD}),
    ("/login", {"email": EMAIL, "password": None}),
    ("/login/magic", {"email": None}),
    ("/login/magic", {"email": EMAIL, "redirect_to": None}),
    ("/register", {"email": None, "name": "Zoë", "password": PASSWORD}),
    ("/register", {"email": "no address", "name": None, "password": "short"}),
    ("/password/forgot", {"email": None}),
    ("/otp/verify", {"challenge_id": None, "code": "123456"}),
    ("/otp/verify", {"challenge_id": "chl_x", "code": None}),
    ("/email/verify", {"email": None}),
    ("/reauthenticate", {"password": None}),
]


def typed(body: dict[str, Any], value: str) -> dict[str, Any]:
    return {name: value if given is None else given for name, given in body.items()}


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:30])
@pytest.mark.parametrize(
    ("path", "body"), TYPED, ids=lambda value: value if isinstance(value, str) else "+".join(k for k in value if value[k] is None)
)
def test_what_is_typed_is_no_markup(shared: App, path: str, body: dict[str, Any], value: str) -> None:
    """A refused form has the elements that it has for a harmless value, and no others; nothing is a fault of ours."""
    answer = post(shared, path, typed(body, value))
    assert answer.status < 500, (path, answer.body)
    if answer.status == 202:  # an address after all
        assert value not in answer.body.decode()
        return
    known = {tuple(shape(post(shared, path, typed(body, harmless)))) for harmless in ("x", "x y@", "x" * 300, "x@mail.com\x00")}
    assert tuple(shape(answer)) in known


@settings(max_examples=60)
@given(email=ANY, challenge=ANY)
def test_nothing_typed_is_ever_markup(shared: App, email: str, challenge: str) -> None:
    """The same for whatever hypothesis thinks of; what was typed stands in its field as it was."""
    address = f"{email}@"
    answer = post(shared, "/login", {"email": address, "password": PASSWORD})
    harmless = post(shared, "/login", {"email": "x" * len(address) + "@", "password": PASSWORD})
    assert shape(answer) == shape(harmless)
    code = post(shared, "/otp/verify", {"challenge_id": challenge[:90] or "x", "code": "000000"})
    assert shape(code) == shape(post(shared, "/otp/verify", {"challenge_id": "x", "code": "000000"}))


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:30])
def test_a_name_is_text_on_the_account_page(shared: App, value: str) -> None:
    """Where registration lets the name in at all, the page has the elements of any other, and shows it whole."""
    client = Client(shared)
    body = {"email": f"name{next(EMAILS)}@mail.com", "password": PASSWORD, "name": value}
    made = client.post("/register", body)
    if made.status != 201:
        assert made.status == 422
        return
    plain = client.register(f"name{next(EMAILS)}@mail.com", name="Zoë")
    answer = client.get("/account", headers=HTML, token=made["access_token"])
    assert shape(answer) == shape(client.get("/account", headers=HTML, token=plain["access_token"]))
    assert made["user"]["name"] in Shape(answer.body.decode()).values


@pytest.mark.parametrize(
    "email",
    [
        "a&b@mail.com",
        "&lt@mail.com",
        "&copy@mail.com",
        "a.&quot.b@mail.com",
        "a'b@mail.com",
        "a`b@mail.com",
        "${a}@mail.com",
        "$a@mail.com",
        "a{b}|c@mail.com",
        "&lt;b&gt@mail.com",
        "ë<b>@mail.com",
    ],
)
def test_an_address_is_text_wherever_it_stands(shared: App, email: str) -> None:
    """Every letter that an address may have, on the account page and in the hidden field for password managers."""
    client = Client(shared)
    made = client.post("/register", {"email": email, "password": PASSWORD})
    if "<" in email or ";" in email:
        assert made.status == 422
        return
    answer = client.get("/account", headers=HTML, token=made["access_token"])
    plain = client.register(f"plain{next(EMAILS)}@mail.com")
    assert shape(answer) == shape(client.get("/account", headers=HTML, token=plain["access_token"]))
    assert [value.strip() for value in Shape(answer.body.decode()).values].count(email) == 2


@pytest.mark.parametrize("agent", [value for value in HOSTILE if "\r" not in value], ids=lambda value: ascii(value)[:30])
def test_a_user_agent_is_never_shown(shared: App, agent: str) -> None:
    """Of what a program calls itself only words of our own list get onto the page of the account."""
    email = f"agent{next(EMAILS)}@mail.com"
    client = Client(shared)
    token = client.register(email)["access_token"]
    named = agent.encode("utf-8", "surrogatepass").decode("latin-1")
    seen = []
    for header in (named, "Firefox " + named):
        Bare(shared).post("/login", {"email": email, "password": PASSWORD}, environ={"HTTP_USER_AGENT": header})
        seen.append(client.get("/account", headers=HTML, token=token))
    assert b"Firefox" in seen[1].body
    assert b"alert(1)" not in seen[1].body
    assert shape(seen[0])[:20] == shape(seen[1])[:20]
    assert {element for element in shape(seen[1]) if element[0] in ("b", "script", "img", "svg", "!--")} == set()


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:30])
@pytest.mark.parametrize("path", ["/login", "/register", "/account"])
def test_a_query_is_no_markup(shared: App, path: str, value: str) -> None:
    """redirect_to, done, unknown names: a refusal shows none of it."""
    token = Client(shared).register(f"query{next(EMAILS)}@mail.com")["access_token"]
    for name in ("redirect_to", "done", value):
        query = f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}"
        answer = Bare(shared).get(f"{path}?{query}", headers=HTML, token=token)
        assert answer.status in (200, 400, 422)
        elements = shape(answer)
        assert not {element[0] for element in elements} & {"script", "img", "svg", "b", "!--"}
        assert b"alert(1)" not in answer.body


@pytest.mark.parametrize("rest", ["'onfocus='x", "?a='b'&c=%22%3E%3Cb%3E", "?$title=$content&&amp;", "#'-alert(1)-'", "?a=1;b=2&lt;b&gt;"])
def test_a_good_target_is_carried_along_unchanged(shared: App, rest: str) -> None:
    """In the forms' addresses, the links and the hidden field: decoded, it is what was asked for."""
    target = "https://app.example.com/" + rest
    query = urlencode({"redirect_to": target})
    page = Shape(Client(shared).get(f"/login?{query}", headers=HTML).body.decode())
    assert page.values.count(f"/login?{query}") == 1
    assert page.values.count(f"/register?{query}") == 1
    assert page.values.count(target) == 1
    assert page.elements == Shape(Client(shared).get("/login?redirect_to=https://app.example.com/x", headers=HTML).body.decode()).elements
    refused = Shape(post(shared, f"/login?{query}", {"email": "x"}).body.decode())
    assert refused.values.count(f"/login?{query}") == 1


@pytest.mark.parametrize(
    "value", [value for value in HOSTILE if "\x00" not in value and "\r" not in value], ids=lambda value: ascii(value)[:30]
)
def test_an_unknown_field_is_not_quoted(shared: App, value: str) -> None:
    """The details of a refusal say what is wrong, not what was sent."""
    answer = post(shared, "/login", {"email": EMAIL, "password": PASSWORD, value: value, "options": {value: value}})
    assert answer.status == 422
    assert not {element[0] for element in shape(answer)} & {"script", "img", "svg", "b", "!--"}
    assert b"alert(1)" not in answer.body


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:30])
@pytest.mark.parametrize("path", ["/login/magic/", "/email/verify/", "/email/undo/", "/password/reset/"])
def test_a_token_is_never_shown(shared: App, path: str, value: str) -> None:
    """Whatever stands where the token should: the page of links that do not count, or no route at all."""
    raw = value.encode("utf-8", "surrogatepass").decode("latin-1")
    for method in ("GET", "POST"):
        answer = Bare(shared).call(method, "/", headers=HTML, environ={"PATH_INFO": path + raw})
        assert answer.status in (404, 410, 422)
        assert b"alert(1)" not in answer.body
        assert b"<b" not in answer.body.replace(b"<body", b"").replace(b"<br", b"").replace(b"<button", b"")


def test_the_name_of_the_service_is_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Also its operator may use every letter."""
    with running(tmp_path_factory.mktemp("named"), name='<b> & "Sons"') as app:
        body = Client(app).get("/login", headers=HTML).body.decode()
    assert "<title>Sign in · &lt;b&gt; &amp; &quot;Sons&quot;</title>" in body
    assert "<b>" not in body


@pytest.mark.parametrize("value", [None, 1, True, [], {}, ["x"], {"a": "<b>"}])
@pytest.mark.parametrize("path", ["/login", "/register", "/password/forgot", "/otp/verify", "/login/magic"])
def test_a_value_that_is_no_text_is_not_shown(shared: App, path: str, value: Any) -> None:
    """The form comes back empty."""
    answer = post(shared, path, {"email": value, "password": value, "challenge_id": value, "code": value, "redirect_to": value})
    assert answer.status == 422
    assert "<b>" not in answer.body.decode()
    values = Shape(answer.body.decode()).values
    assert not {"None", "1", "True", "[]", "{}"} & set(values)
