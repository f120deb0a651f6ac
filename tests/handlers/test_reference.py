"""/openapi.json and /docs: the description of the API is served as it is."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.openapi.document import OPERATIONS, SCHEMAS
from authsvc.routes import ROUTES
from tests.support import Client, running


def test_the_document_is_served_to_anybody(client: Client) -> None:
    """JSON that may be kept for five minutes, with all routes in it."""
    answer = client.get("/openapi.json")
    described = answer.json()

    assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    assert answer.header("Cache-Control") == "public, max-age=300"
    assert answer.header_list("Set-Cookie") == []
    assert sum(len(methods) for methods in described["paths"].values()) == len(ROUTES)


@pytest.mark.parametrize(("wanted", "status"), [("{}", 304), ("W/{}", 304), ('"other", {}', 304), ("*", 304), ('"other"', 200), ("x", 200)])
def test_who_has_the_document_is_not_sent_it_again(client: Client, wanted: str, status: int) -> None:
    """If-None-Match with its tag, weak or not, is 304 without a body (RFC 9110 section 13.1.2)."""
    tag = str(client.get("/openapi.json").header("ETag"))
    answer = client.get("/openapi.json", headers={"If-None-Match": wanted.format(tag)})

    assert (answer.status, answer.header("ETag")) == (status, tag)
    assert (answer.body == b"") is (status == 304)
    assert answer.header("Cache-Control") == "public, max-age=300"


def test_the_tag_changes_with_what_is_served(tmp_path: Path, client: Client) -> None:
    """Another public URL is another document."""
    with running(tmp_path / "..", database=str(tmp_path / "other.db"), public_url="http://127.0.0.1:8000/auth") as app:
        below = Client(app).get("/auth/openapi.json")

    assert below["servers"] == [{"url": "http://127.0.0.1:8000/auth"}]
    assert below.header("ETag") != client.get("/openapi.json").header("ETag")


@pytest.mark.parametrize(("metrics", "security", "caps"), [("open", [], None), ("key", [{"bearer": []}, {"cookie": []}], ["metrics:read"])])
def test_the_document_says_who_may_call_as_the_settings_have_it(tmp_path: Path, metrics: str, security: list[object], caps: object) -> None:
    """/metrics, which they may open to anyone."""
    with running(tmp_path, metrics=metrics) as app:
        told = Client(app).get("/openapi.json").json()["paths"]["/metrics"]["get"]

    assert (told["security"], told.get("x-caps"), "401" in told["responses"]) == (security, caps, metrics == "key")


class Seen(HTMLParser):
    """The ids, links and tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        self.ids += [str(named["id"])] if "id" in named else []
        self.links += [str(named["href"])] if tag == "a" else []


def test_the_page_has_an_anchor_for_everything(client: Client) -> None:
    """Each operation and object has one of its own, every link within the page leads somewhere, and nothing in it runs."""
    answer = client.get("/docs")
    seen = Seen(answer.body.decode())

    assert (answer.status, answer.header("Content-Type")) == (200, "text/html; charset=utf-8")
    assert {operation.id for operation, _ in OPERATIONS.values()} <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))
    assert {link[1:] for link in seen.links if link.startswith("#")} <= set(seen.ids)
    assert not seen.tags & {"script", "style", "iframe", "form"}
    assert not re.search(r'\s(style|on\w+)="', answer.body.decode())


def test_the_page_shows_what_answers_hold(client: Client) -> None:
    """Lists lead to their objects, what has no name shows its members, and nothing is just some object but what
    others have defined."""
    page = client.get("/docs").body.decode()

    for shown in (
        '{ <code>items</code>: list of <a href="#object-User">User</a>, <code>next_cursor</code>: string or null }',
        '{ <code>items</code>: list of <a href="#object-Role">Role</a>, <code>next_cursor</code>: null }',
        '{ <code>factors</code>: list of <a href="#object-Factor">Factor</a>, <code>recovery_codes_left</code>: integer or null }',
        "{ <code>providers</code>: list of { <code>name</code>: string, <code>title</code>: string } }",
        "{ <code>status</code>: <code>&quot;revoked&quot;</code> }",
        '{ <code>status</code>: <code>&quot;password_reset&quot;</code>, <code>warnings</code>?: list of <a href="#object-Warning">Warning</a> }',
    ):
        assert shown in page
    answers = [re.sub(r"<[^>]+>", "", row) for row in re.findall(r'<tr><th scope="row">\d+</th><td>(.*?)</td></tr>', page)]
    unsaid = [answer for answer in answers if re.search(r"\bobject\b", answer)]
    assert unsaid == ["An OpenAPI 3.1 document. (object)", "The keys. ({ keys: list of object })"]


def test_the_page_leads_to_each_object_from_its_contents(client: Client) -> None:
    """As to each operation."""
    page = client.get("/docs").body.decode()
    contents = Seen(page[page.index("<nav aria-label") :].partition("</nav>")[0])

    assert set(contents.links) == {f"#{one.id}" for one, _ in OPERATIONS.values()} | {f"#object-{name}" for name in SCHEMAS}


def test_the_page_tells_where_a_form_is_taken(client: Client) -> None:
    """Of the operations that OAuth clients send one to, and of no other."""
    page = client.get("/docs").body.decode()
    sections = page.split('<section class="entry" id="')
    forms = {section.partition('"')[0] for section in sections if "<caption>Body, as JSON or as a form</caption>" in section}

    assert forms == {"sign_out", "introspect_token", "finish_sign_in_by_form"}


def test_the_links_of_the_page_stay_below_the_mount(tmp_path: Path) -> None:
    """Where the service is below a path, so are the problems that the page explains."""
    with running(tmp_path, public_url="http://127.0.0.1:8000/auth") as app:
        seen = Seen(Client(app).get("/auth/docs").body.decode())

    assert {link for link in seen.links if not link.startswith("#")} > {"/auth/openapi.json", "/auth/problems/not_found"}
    assert [link for link in seen.links if not link.startswith(("#", "/auth/"))] == []


def test_a_hostile_name_of_the_service_is_text(tmp_path: Path) -> None:
    """What comes from the settings is escaped on the page."""
    with running(tmp_path, name="<script>alert(1)</script>") as app:
        page = Client(app).get("/docs").body.decode()

    assert "script" not in Seen(page).tags
    assert "&lt;script&gt;alert(1)" in page


def test_no_start_pays_for_the_document(app: App) -> None:
    """It is made when it is first asked for, and once."""
    made = vars(app.core.reference)
    assert "value" not in made
    first = app.core.reference.document()
    assert app.core.reference.document() is first
    assert "value" in made
