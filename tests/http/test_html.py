"""HTML that is safe by its type: no text that somebody wrote can become markup, wherever a template puts it."""

from __future__ import annotations

from html.parser import HTMLParser
from string import Template

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.http import html
from authsvc.http.html import EMPTY, Safe

FUZZ = settings(deadline=None)
HOSTILE = [
    "<script>alert(1)</script>",
    "</p><p>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    '" onmouseover="x',
    "&lt;script&gt;",
    "&#60;script&#62;",
    "$other ${other} $$",
    "<!--",
    "]]>",
    "<\0script>",
    "＜script＞",
    "\u2028<b>",
    "<" * 1_000,
]
TEXTS = st.text() | st.sampled_from(HOSTILE) | st.text("<>&\"'=/!-$ {}ascript", max_size=40)
PAGE = Template('<p class="$inner" data-x="${inner}y">$inner</p><b>$other</b>')


class Reader(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.ends: list[str] = []
        self.odd: list[str] = []
        self.texts: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.ends.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.odd.append(data)

    def handle_decl(self, decl: str) -> None:
        self.odd.append(decl)

    def unknown_decl(self, data: str) -> None:
        self.odd.append(data)

    def handle_pi(self, data: str) -> None:
        self.odd.append(data)


@FUZZ
@given(TEXTS, TEXTS)
def test_no_text_adds_markup(inner: str, other: str) -> None:
    """In text and in quoted attributes alike: the page has the template's tags and attributes, and the texts are what was given."""
    read = Reader(html.fill(PAGE, inner=inner, other=other))

    assert [(tag, [name for name, _ in attributes]) for tag, attributes in read.tags] == [("p", ["class", "data-x"]), ("b", [])]
    assert (read.ends, read.odd) == (["p", "b"], [])
    assert [value for _, value in read.tags[0][1]] == [inner, inner + "y"]
    assert "".join(read.texts) == inner + other


@FUZZ
@given(TEXTS)
def test_text_is_escaped_once_and_comes_back(value: str) -> None:
    """Escaped text has no character that could open or close anything; a second time changes nothing, since it is Safe then."""
    escaped = html.text(value)

    assert type(escaped) is Safe
    assert not set(escaped) & set("<>\"'")
    assert "".join(Reader(escaped).texts) == value
    assert html.text(escaped) is escaped


@pytest.mark.parametrize(("value", "expected"), [(1, "1"), (None, "None"), (True, "True"), (["<"], "[&#x27;&lt;&#x27;]"), ("", "")])
def test_any_value_becomes_text(value: object, expected: str) -> None:
    """Numbers and other objects are shown by their str, and that is escaped, too."""
    assert html.text(value) == expected


def test_safe_html_passes_as_it_is() -> None:
    """A piece that was filled before is put into the next template unchanged, with the dollars in it."""
    piece = html.fill(Template("<i>$a</i>"), a="$b & <c>")

    assert piece == "<i>$b &amp; &lt;c&gt;</i>"
    assert html.fill(Template("<u>$piece</u>"), piece=piece) == "<u><i>$b &amp; &lt;c&gt;</i></u>"
    assert type(html.fill(Template(""))) is type(html.join([piece, piece])) is Safe
    assert html.join([piece, EMPTY, piece]) == piece * 2
    assert html.join([]) == EMPTY == ""


@pytest.mark.parametrize("act", [lambda s: s + "<b>", lambda s: s.upper(), lambda s: s[1:], lambda s: f"{s}<b>", str.strip])
def test_what_is_made_of_safe_text_is_not_safe(act: object) -> None:
    """Only this module makes Safe: put together by hand, it is escaped like anything else."""
    made = act(Safe("<i></i> "))  # type: ignore[operator]

    assert type(made) is str
    assert "<" not in html.text(made)


def test_a_value_that_is_missing_is_a_fault() -> None:
    """A page with a hole is not shown; what a template does not name is not needed."""
    with pytest.raises(KeyError):
        html.fill(Template("$there $missing"), there="x")
    assert html.fill(Template("$there"), there="x", more="y") == "x"
